"""The time zone of this machine, in which a gateway reads cron expressions that name none."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from oc_ops.errors import CouldNotLook

_LOCALTIME = Path("/etc/localtime")


def local_zone(environ: Mapping[str, str], localtime: Path = _LOCALTIME) -> tzinfo:
    """The zone that Node.js takes for its own: TZ, else what /etc/localtime holds, else UTC.

    `environ` is that of the gateway where it can be read. Raises CouldNotLook for a TZ that no one knows: what the
    gateway makes of it cannot be told.
    """
    if name := environ.get("TZ", "").strip().removeprefix(":"):
        try:
            if name.startswith("/"):
                return _of_file(Path(name))
            return ZoneInfo(name)
        except (OSError, ValueError, KeyError) as error:
            raise CouldNotLook(f"the time zone TZ={name!r} of the environment is not known here") from error
    try:
        return _of_file(localtime)
    except FileNotFoundError:
        return ZoneInfo("UTC")
    except (OSError, ValueError) as error:
        raise CouldNotLook(f"cannot read the machine's time zone: {localtime}") from error


def gateway_zone(pid: int | None, environ: Mapping[str, str]) -> tzinfo:
    """The zone of the gateway with that pid, by its own environment where that can be read, else by `environ`."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        if pid is not None:
            environ = psutil.Process(pid).environ()
    return local_zone(environ)


def _of_file(path: Path) -> ZoneInfo:
    """By its name in the zone data where the path tells it: a file of its own has no key to show."""
    name = path.resolve(strict=True).as_posix().rpartition("/zoneinfo/")[2]
    with path.open("rb") as data:
        return ZoneInfo.from_file(data, key=name.removeprefix("posix/") or None)
