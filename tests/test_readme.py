"""The README speaks of what there is: its tables list exactly the checks, findings, settings and commands."""

from __future__ import annotations

import re
from pathlib import Path

from oc_ops.cli import _shown, app
from oc_ops.judge import signatures
from oc_ops.settings import PROJECT, declared, environment_name

README = (PROJECT / "README.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading, its own header row left out."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_check_is_listed_with_its_claim() -> None:
    """Id and claim of every check in checks/, and nothing else."""
    pattern = re.compile(r'mark\.check\("([a-z/-]+)".*?"""(.*?)"""', re.DOTALL)
    sources = (path.read_text(encoding="utf-8") for path in sorted(Path(PROJECT / "checks").glob("test_*.py")))
    exist = {check: claim for source in sources for check, claim in pattern.findall(source)}
    assert {id_.strip("`"): claim for id_, claim in rows("Checks")} == exist


def test_every_finding_is_listed() -> None:
    """Every id that a judge can give; the signatures are listed in their own file, and the README says how many."""
    made = re.compile(r'Finding\(\s*"([a-z]+/[a-z-]+)"')
    judges = [path.read_text(encoding="utf-8") for path in Path(PROJECT / "oc_ops" / "judge").glob("*.py")]
    exist = {id_ for source in judges for id_ in made.findall(source)}
    exist.add("logs/<signature>")
    assert f"one of {len(signatures.catalogue())} known lines" in README
    assert {row[0].strip("`") for row in rows("Findings")} == exist


def test_every_setting_is_listed_with_its_default_and_help() -> None:
    """Environment name, default and meaning of every setting."""
    exist = [[f"`{environment_name(each.name)}`", _shown(each.default), each.metadata["help"]] for each in declared()]
    assert rows("Settings") == exist


def test_every_command_is_listed() -> None:
    """Every command of `oc-ops`, groups spelled out."""

    def names(group: object) -> list[str]:
        return [each.name or each.callback.__name__ for each in group.registered_commands]  # type: ignore[attr-defined]

    exist = {f"`oc-ops {name}`" for name in names(app)}
    for group in app.registered_groups:
        exist |= {f"`oc-ops {group.name} {name}`" for name in names(group.typer_instance)}
    assert {row[0] for row in rows("Commands and exit codes")} == exist


def test_the_failing_message_is_in_the_form_of_a_finding() -> None:
    """The example on the first screen has the lines of the one message, in their order."""
    example = README.split("```")[3]
    assert re.search(r"^gateway/hung: error: .+\n  saw:    .+\n  fix:    .+\n  verify: .+$", example, re.MULTILINE)
    assert example.rstrip().splitlines()[-1].startswith("doctor: unhealthy in ")
