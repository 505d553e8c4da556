"""Which gateway is looked at: its profile, state directory, config file and the environment its CLI gets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from oc_ops.errors import SettingError

_PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Target:
    """One OpenClaw installation's state, as the CLI would resolve it from the same environment."""

    environ: Mapping[str, str] = field(repr=False)
    profile: str | None
    home: Path
    state_dir: Path
    config_path: Path


def locate(environ: Mapping[str, str], profile: str | None = None) -> Target:
    """Resolve the target as OpenClaw does: OPENCLAW_STATE_DIR and OPENCLAW_CONFIG_PATH win over the profile's folder.

    A named profile lives in `~/.openclaw-NAME`; HOME decides what `~` is. Raises SettingError for a profile name
    that OpenClaw would not accept.
    """
    profile = profile or environ.get("OPENCLAW_PROFILE") or None
    if profile == "default":
        profile = None
    if profile is not None and not _PROFILE.fullmatch(profile):
        raise SettingError("profile", profile, "option or environment", "letters, digits, - and _ only")
    home = Path(environ.get("OPENCLAW_HOME") or environ.get("HOME") or Path.home())

    def resolved(name: str, default: Path) -> Path:
        text = environ.get(name, "").strip()
        return home / text[2:] if text.startswith("~/") else Path(text) if text else default

    state_dir = resolved("OPENCLAW_STATE_DIR", home / (f".openclaw-{profile}" if profile else ".openclaw"))
    config_path = resolved("OPENCLAW_CONFIG_PATH", state_dir / "openclaw.json")
    return Target(environ=environ, profile=profile, home=home, state_dir=state_dir, config_path=config_path)
