"""Reasons for which systemd cannot even begin the program of a unit: a mask, a folder, an account, a condition."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path

from oc_ops.observe import unitfiles
from oc_ops.text import regex

_CONDITION, _STATE = "ConditionTimestampMonotonic", "StateChangeTimestampMonotonic"
PROPERTIES = (
    "ConditionResult",
    _CONDITION,
    _STATE,
    "WorkingDirectory",
    "User",
    "EnvironmentFiles",
)
"""Properties of `systemctl show` that `fault` reads beside those of every unit."""

_CHDIR, _USER = 200, 217
_STEPS: Mapping[int, str] = {
    208: "its StandardInput cannot be opened",
    209: "its StandardOutput cannot be opened",
    210: "its RootDirectory cannot be used",
    216: "its Group cannot be taken on",
    218: "its capabilities cannot be set",
    222: "its StandardError cannot be opened",
    224: "its PAMName gives it no session",
    226: "its view of the file system cannot be made (ReadWritePaths, BindPaths or the like name what is not there)",
    228: "its SystemCallFilter cannot be set",
    233: "its RuntimeDirectory cannot be made",
    238: "its StateDirectory cannot be made",
    239: "its CacheDirectory cannot be made",
    240: "its LogsDirectory cannot be made",
    241: "its ConfigurationDirectory cannot be made",
    243: "its credentials cannot be loaded (LoadCredential)",
}
"""systemd's own exit statuses (systemd.exec(5)) for what it does before the program begins; 203 is told elsewhere."""
_FILE = regex(r"^(/.*) \(ignore_errors=no\)$", re.M)


def fault(says: Mapping[str, str]) -> str:
    """The reason for which systemd cannot begin the program; nothing where it can, or where that may be mended."""
    if says.get("LoadState") == "masked":
        return "it is masked"
    if says.get("LoadState") in ("bad-setting", "error"):
        return "systemd does not accept its file"
    again = says.get("SubState", "").startswith("auto-restart")
    if says.get("ActiveState") == "failed" or again:
        return "" if not again and _changed(says) else _failed(says)
    unmet = says.get("ConditionResult") == "no" and says.get(_CONDITION, "0") not in ("", "0")
    told = unmet and not _changed(says, _CONDITION)
    return "a condition of it was not met when it was last to start" if told else ""


def _failed(says: Mapping[str, str]) -> str:
    if says.get("Result") == "resources":
        gone = next((each for each in _FILE.findall(says.get("EnvironmentFiles", "")) if _is_gone(each)), "")
        return f"its EnvironmentFile {gone} is not there" if gone else ""
    if says.get("Result") != "exit-code":
        return ""
    status, folder = says.get("ExecMainStatus", ""), says.get("WorkingDirectory", "")
    if status == str(_CHDIR):
        return f"its WorkingDirectory {folder} is not there" if _is_gone(folder) else ""
    if status == str(_USER):
        return f"the account {says.get('User') or 'of its User='} cannot be taken on"
    return _STEPS.get(int(status), "") if status.isdigit() else ""


def _is_gone(path: str) -> bool:
    """True if it is seen to be gone, and not merely kept from us."""
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _changed(says: Mapping[str, str], moment: str = _STATE) -> bool:
    """True if the unit or a drop-in was written after that moment of systemd's."""
    since = says.get(moment, "")
    if not since.isdigit():
        return False
    since_s = time.time() - (time.monotonic() - int(since) / 1e6)
    for each in (says.get("FragmentPath", ""), *unitfiles.words(says.get("DropInPaths", ""))):
        try:
            if each and Path(each).stat().st_mtime > since_s:
                return True
        except OSError:
            continue
    return False
