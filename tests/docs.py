"""Draws the pages of docs/ that come from the code: `python -m tests.docs` writes them, a test compares them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping

import typer.main
from typer.core import TyperCommand, TyperGroup

from oc_ops.cli import _shown, app
from oc_ops.judge.finding import State
from oc_ops.judge.findings import KINDS
from oc_ops.judge.releases import Release, advisories, shown
from oc_ops.judge.signature_catalogue import Signature, catalogue
from oc_ops.settings import PROJECT, declared, environment_name
from tests import signatures as lines_in_code

DOCS = PROJECT / "docs"
_NOTE = "<!-- Drawn from the code by `python -m tests.docs`: change it there. -->"
_EVERYDAY = (
    *("openclaw", "profile", "browser", "rpc", "notify_urls", "ping_url"),
    *("memory_dir", "report_dir", "config_dir", "tmux_socket"),
)
_WORDS = {
    "restart": "restart",
    "start": "start",
    "wait": "wait",
    "browser-restart": "restart of the browser",
    "channel-restart": "restart of that channel account",
}
_LANES = {
    "http": "HTTP probes, processes and the service manager",
    "rpc": "one read-only connection",
    "cli": "guarded `openclaw` calls",
    "files": "files and the machine; needs no gateway",
    "log": "the gateway's own log",
}


def pages() -> dict[str, str]:
    """Every drawn page by its name."""
    return {
        "checks.md": _page("Checks", _checks()),
        "findings.md": _page("Findings", _findings()),
        "signatures.md": _page("Log signatures", _signatures()),
        "settings.md": _page("Settings", _settings()),
        "releases.md": _with_table((DOCS / "releases.md").read_text(encoding="utf-8"), _seen_releases()),
        "commands.md": _page("Commands and exit codes", _commands()),
    }


def checks() -> list[tuple[str, str, str]]:
    """Id, lane and claim of every check, in the order of the files."""
    found = []
    for path in sorted((PROJECT / "checks").glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                for mark in node.decorator_list:
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func).endswith("check"):
                        lane = next(ast.literal_eval(each.value) for each in mark.keywords if each.arg == "lane")
                        claim = (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ")
                        found.append((ast.literal_eval(mark.args[0]), lane, claim))
    return found


def _page(title: str, lines: Iterator[str]) -> str:
    return "\n".join((f"# {title}", "", _NOTE, "", *lines)).rstrip() + "\n"


def _table(*rows: tuple[str, ...]) -> Iterator[str]:
    head, *rest = rows
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rest:
        yield f"| {' | '.join(each.replace('|', chr(92) + '|') for each in row)} |"


def _checks() -> Iterator[str]:
    yield "A check states a claim and is red only with evidence; a check that could not look is never green."
    yield "`oc-ops doctor --check ID` runs those that look for it: the id of a check, of a finding, or an area such as"
    yield "`host`; repeat it for several. A run of some checks speaks for those alone."
    yield ""
    yield from _table(("check", "lane", "claim"), *((f"`{check}`", lane, claim) for check, lane, claim in checks()))
    yield ""
    yield "Lanes, cheap before costly: " + "; ".join(f"`{name}` is {what}" for name, what in _LANES.items()) + "."


_STATES: Mapping[State, str] = {
    "absent": "does not run",
    "mute": "runs and answers nobody",
    "passing": "is on its way up or down",
    "kept-out": "cannot serve until a person has changed something",
    "late": "answers, too slowly",
    "serving": "answers: this explains nothing else that fails",
}


def _findings() -> Iterator[str]:
    yield "Ids are stable: added to, never renamed. Recovery acts only where a cure is named, and only with the proof"
    yield "beside it; everything else is for a person."
    for kind in sorted(KINDS.values(), key=lambda each: each.id):
        cure = kind.cure
        act = _WORDS.get(cure.action, "none automatic")
        yield from ("", f"## {kind.id}", "")
        yield f"- **Means:** {kind.means}"
        if kind.state:
            yield f"- **The gateway:** {_STATES[kind.state]}"
        if kind.checks:
            yield f"- **Checks:** {', '.join(f'`{each}`' for each in kind.checks)}"
        yield f"- **Helps:** {kind.helps}"
        yield f"- **Recovery:** {act}: {cure.why}" + (f"; needs the proof that {cure.proof}" if cure.proof else "")
    yield from ("", "## logs/&lt;signature&gt;", "", "- **Means:** a known line stands in the gateway's own log")
    yield "- **Helps:** the signature's own first aid: see [signatures](signatures.md)"
    yield "- **Recovery:** none automatic: a line tells of the past"


def _advisories() -> Iterator[str]:
    yield from ("", "## Known of a release", "", "Data, `oc_ops/judge/releases.toml`; said once on each machine, as")
    yield "information (`gateway/known-release`)."
    yield ""
    yield from _table(
        ("release", "what it does", "helps", "fixed in", "known"),
        *((each.of, each.fact, each.helps, each.fixed or "not known", each.seen) for each in advisories()),
    )


def _signatures() -> Iterator[str]:
    yield f"The {len(catalogue())} lines that oc-ops knows, one entry a fact. Your own go into `signatures.toml` in the"
    yield "folder of your own files (`oc-ops config` names it), in the form of `oc_ops/judge/signatures.toml`; an id"
    yield "that exists replaces the shipped entry. `oc-ops logs scan FILE` runs them all over any file. Beside a named"
    yield "cause they are warnings."
    yield ""
    yield from _table(
        ("signature", "severity", "means", "helps", "restart", "known in"),
        *(
            (f"`logs/{each.id}`", each.severity, each.fact, each.fix, each.restart, _releases(each))
            for each in sorted(catalogue(), key=lambda each: each.id)
        ),
    )
    yield from ("", "## Which release still has the text", "")
    yield f"By `python -m tests.signatures`, over {lines_in_code.releases()}. In pieces: the line is put"
    yield "together at run time, and its parts stand in one file. None of them: no installed release has the text; it"
    yield "is of an older release, or the words are those of Node.js, SQLite, the system or another service."
    yield ""
    yield from _table(
        ("signature", "text stands in"), *((f"`logs/{name}`", where) for name, where in lines_in_code.table())
    )
    yield from _advisories()


def _releases(signature: Signature) -> str:
    def end(release: Release | None) -> str:
        return shown(release) if release else ""

    spans = (f"{end(each.since)} to {end(each.until)}".strip() for each in signature.affected)
    return ", ".join(spans) or "any release"


_SEEN = ("never paired", "paired", "its HTTP answers 500", "stopped (SIGSTOP)", "killed")


def _seen_releases() -> Iterator[str]:
    """What the nightly run saw of each release, by the lines that it leaves in tests/data/releases.jsonl."""
    lines = (PROJECT / "tests" / "data" / "releases.jsonl").read_text(encoding="utf-8").splitlines()
    found = {(each["release"], each["state"]): each for each in map(json.loads, lines)}
    releases = sorted({name for name, _ in found}, key=lambda each: [int(part) for part in each.split(".")])
    columns = [each for each in _SEEN if any(state == each for _, state in found)]
    rows = []
    for name in reversed(releases):
        last = next(each for (release, _), each in found.items() if release == name)
        cells = (found.get((name, each)) for each in columns)
        rows.append((name, last["target"], last["supervisor"], last["day"], *map(_cell, cells)))
    yield from _table(("release", "target", "supervisor", "looked at", *columns), *rows)


def _cell(seen: dict[str, str] | None) -> str:
    return "-" if seen is None else f"{seen['verdict']}" + (f", `{seen['cause']}`" if seen["cause"] else "")


def _with_table(page: str, lines: Iterator[str]) -> str:
    """A page written by hand, with the table between its two marks drawn anew."""
    before, _, rest = page.partition("<!-- drawn -->\n")
    _, _, after = rest.partition("<!-- end -->\n")
    return "".join((before, "<!-- drawn -->\n", *(f"{each}\n" for each in lines), "<!-- end -->\n", after))


def _settings() -> Iterator[str]:
    yield "An option wins over the environment, the environment over your own file, that over the default. Your own"
    yield "file is `settings.toml` in the user's configuration directory for oc-ops (`~/.config/oc-ops`, on macOS"
    yield "`~/Library/Application Support/oc-ops`), with the names in lower case, without `OC_OPS_`; below it a"
    yield "checkout has `[tool.oc_ops]` in its pyproject.toml. `oc-ops config` shows every setting, its value and"
    yield "where it came from; a report shows each that is not at its default. `OC_OPS_NOTIFY_URLS` and"
    yield "`OC_OPS_PING_URL` are secrets: give them the path of a file of your own, or the environment."
    groups: dict[str, list[tuple[str, ...]]] = {}
    for each in declared():
        row = (f"`{environment_name(each.name)}`", _shown(each.default), each.metadata["help"])
        groups.setdefault(_group(each.name), []).append(row)
    for name in ("Everyday", "Limits", "Times", "What is kept"):
        yield from ("", f"## {name}", "")
        yield from _table(("setting", "default", "meaning"), *groups[name])


def _group(name: str) -> str:
    if name in _EVERYDAY:
        return "Everyday"
    if name.startswith("keep_"):
        return "What is kept"
    return "Times" if name.endswith(("_s", "_ms")) else "Limits"


def _commands() -> Iterator[str]:
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    for words, command in _leaves(root, "oc-ops"):
        yield from ("", f"## {words}", "")
        text = (command.help or "").replace("\b\n", "").strip()
        yield re.sub(r"(?m)^  (\d+) +", r"- \1: ", text)
        options = [
            (", ".join(f"`{word}`" for word in each.opts), getattr(each, "help", None) or "")
            for each in command.params
            if each.param_type_name == "option"
        ]
        if options:
            yield from ("", *_table(("option", "meaning"), *options))


def _leaves(group: TyperGroup, words: str) -> Iterator[tuple[str, TyperCommand | TyperGroup]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            if command.invoke_without_command:
                yield f"{words} {name}", command
            yield from _leaves(command, f"{words} {name}")
        else:
            assert isinstance(command, TyperCommand)
            yield f"{words} {name}", command


def main() -> None:
    """Write every page."""
    DOCS.mkdir(exist_ok=True)
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
