"""`oc-ops skill`: puts SKILL.md where the gateway's agents find it."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import Annotated

import typer

from oc_ops.cli.groups import Whole
from oc_ops.errors import OcOpsError

app = typer.Typer(
    cls=Whole,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Teach the gateway's agents when to look, what needs a person, and what they must never do.",
)

IN_CHECKOUT = (
    "`oc-ops` below is `{baseDir}/.venv/bin/oc-ops`. If it is missing, ask the user before you make it: "
    "`cd {baseDir} && python3 -m venv .venv && .venv/bin/pip install -q -e .`"
)
"""The line of SKILL.md that holds in a checkout; an installed skill names the command that installed it."""


@app.command(
    help="Write SKILL.md into the managed skills of this account's OpenClaw (~/.openclaw/skills/oc-ops), where "
    "`openclaw skills list` shows it to every agent. Again brings it up to date; nothing else is touched."
)
def install(
    oc_profile: Annotated[str | None, typer.Option(metavar="NAME", help="The OpenClaw profile to teach.")] = None,
) -> None:
    """Refuses a folder of that name that holds something else, such as a checkout that was cloned there."""
    from oc_ops.observe.target import locate
    from oc_ops.record.folder import write
    from oc_ops.settings import SUITE

    state_dir = locate(os.environ, oc_profile).state_dir
    if not state_dir.is_dir():
        raise OcOpsError(f"there is no OpenClaw for this account: {state_dir} is missing")
    folder = state_dir / "skills" / "oc-ops"
    if folder.is_symlink() or (folder.is_dir() and any(each.name != "SKILL.md" for each in folder.iterdir())):
        raise OcOpsError(f"{folder} holds something else than an installed skill: it was left as it is")
    text = (SUITE / "SKILL.md").read_text(encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "SKILL.md", text.replace(IN_CHECKOUT, f"`oc-ops` below is `{_command()}`."))
    print(f"installed: {folder / 'SKILL.md'}\nsee it:    openclaw skills info oc-ops")


def _command() -> str:
    script = Path(sysconfig.get_path("scripts")) / "oc-ops"
    return str(script) if script.is_file() else f"{sys.executable} -m oc_ops"
