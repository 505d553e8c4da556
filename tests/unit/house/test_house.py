"""The house of the design: who may import whom, and what every module and finding owes its reader."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from oc_ops.doctor import selection
from oc_ops.judge import gateway as judge_gateway
from oc_ops.judge import signature_catalogue
from oc_ops.judge.findings import KINDS

PROJECT = Path(__file__).resolve().parents[3]
PACKAGE = PROJECT / "oc_ops"
MODULES = sorted(PACKAGE.rglob("*.py"))
CHECKS = sorted((PROJECT / "checks").glob("test_*.py"))
MOST_LINES = 450

ROOMS = (
    "process",
    "observe",
    "judge",
    "doctor",
    "record",
    "act",
    "notify",
    "schedule",
    "cockpit",
    "lab",
    "cli",
    "gateway",
)
GROUND = {"errors", "settings", "text", "files", "locks", "secrecy", "__init__", "__main__"}
MAY_IMPORT = {
    "process": {"process"},
    "observe": {"observe", "process"},
    "judge": {"judge", "observe", "process"},
    "record": {"record", "judge", "observe", "process"},
    "notify": {"notify", "record", "judge", "observe", "process"},
    "gateway": {"record", "observe", "process"},
    "doctor": {"doctor", "gateway", "notify", "record", "judge", "observe", "process"},
    "act": {"act", "doctor", "gateway", "notify", "record", "judge", "observe", "process"},
    "schedule": {"schedule", "act", "doctor", "gateway", "notify", "record", "judge", "observe", "process"},
    "cockpit": {"cockpit", "act", "doctor", "gateway", "notify", "record", "judge", "observe", "process"},
    "lab": {"lab", "observe", "process"},
    "cli": set(),  # whatever it likes; nothing imports it but itself
}


def named(path: Path) -> str:
    """A module's name within the project."""
    return ".".join(path.relative_to(PROJECT).with_suffix("").parts)


def imports(path: Path) -> Iterator[str]:
    """Every module that a module imports, wherever in it; `if TYPE_CHECKING` as well."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{each.name}" for each in node.names)


def room(module: str) -> str:
    """The room a module stands in, or nothing for the package's own top level."""
    parts = module.split(".")
    return parts[1] if parts[0] == "oc_ops" and len(parts) > 1 and parts[1] in ROOMS else ""


def findings(path: Path) -> Iterator[ast.Call]:
    """Every place where a finding is made."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
            yield node


def argument(made: ast.Call, position: int, name: str) -> ast.expr:
    """An argument of a call, by place or by name."""
    if len(made.args) > position:
        return made.args[position]
    return next(each.value for each in made.keywords if each.arg == name)


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_imports_go_one_way(path: Path) -> None:
    """observe → judge → record, and act closes the loop; nothing in oc_ops knows pytest or what stands outside it."""
    here = room(named(path))
    for module in imports(path):
        assert module.split(".")[0] not in ("pytest", "_pytest", "conftest", "checks", "recover", "tests"), module
        there = room(module)
        assert here in ("", "cli") or not there or there in MAY_IMPORT[here], f"{here} imports {module}"


def test_only_the_ground_floor_stands_outside_a_room() -> None:
    """A module at the root may be imported by everybody: `gateway` is a room of its own."""
    assert {each.stem for each in PACKAGE.glob("*.py")} <= {*GROUND, "gateway"}


@pytest.mark.parametrize("path", [each for each in MODULES if room(named(each)) == "judge"], ids=named)
def test_judges_only_judge(path: Path) -> None:
    """Judges open no file, start no process and ask no clock: what they go by is handed to them."""
    outside = ("os", "socket", "subprocess", "time", "psutil", "random", "asyncio", "urllib", "http", "shutil")
    assert not [each for each in imports(path) if each.split(".")[0] in outside]


@pytest.mark.parametrize("path", MODULES + CHECKS + [PROJECT / "conftest.py"], ids=named)
def test_a_module_states_its_purpose_and_stays_small(path: Path) -> None:
    """Each module begins with a sentence and can be read in one sitting."""
    text = path.read_text(encoding="utf-8")
    purpose = ast.get_docstring(ast.parse(text)) or ""
    assert purpose.split("\n")[0].endswith((".", "…"))
    assert len(text.splitlines()) < MOST_LINES


def ids_made() -> dict[str, list[Path]]:
    """Every finding id written in the judges, and where."""
    made: dict[str, list[Path]] = {}
    for path in MODULES:
        for each in findings(path):
            check = argument(each, 0, "check")
            if isinstance(check, ast.Constant):
                made.setdefault(str(check.value), []).append(path)
            else:
                assert ast.unparse(check) == "f'logs/{signature.id}'", f"{path}: {ast.unparse(check)}"
    return made


def test_each_finding_that_is_made_is_declared() -> None:
    """What a judge gives it has declared with @finds, and nothing is declared that no judge gives."""
    assert set(ids_made()) == set(KINDS)
    assert all(re.fullmatch(r"[a-z]+(\.[a-z0-9_]+)+", each.id) for each in signature_catalogue.catalogue())


def test_findings_are_made_by_judges_alone() -> None:
    """Whatever names a fault stands in the judge's room."""
    assert {path.parent.name for paths in ids_made().values() for path in paths} == {"judge"}


def test_ids_mentioned_anywhere_exist() -> None:
    """No module waits for a finding that nobody can make, nor names a check that is none."""
    known = {*KINDS, *selection.check_ids(), *(f"logs/{each.id}" for each in signature_catalogue.catalogue())}
    pattern = re.compile(r"[\"'](?:cli|config|state|gateway|cron|browser|logs|host)/[a-z][a-z._-]*[\"']")
    for path in (each for each in MODULES if room(named(each)) != "observe"):
        mentioned = {each.strip("\"'") for each in pattern.findall(path.read_text(encoding="utf-8"))}
        assert mentioned <= known, path


def texts(node: ast.expr, constants: dict[str, str]) -> list[str]:
    """Every text an expression of a judge can begin with, as far as it can be read off."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp(body=body, orelse=orelse):
            return [*texts(body, constants), *texts(orelse, constants)]
        case ast.JoinedStr(values=[first, *_]):
            return texts(first.value if isinstance(first, ast.FormattedValue) else first, constants)
        case ast.Name(id=name) if name in constants:
            return [constants[name]]
        case ast.BinOp(left=left):
            return texts(left, constants)
    return []


PASTES = re.compile(r"none automatic: |openclaw [a-z]|kill -CONT |(?:podman|docker) (?:start|restart|unpause) ")


@pytest.mark.parametrize("path", [each for each in MODULES if room(named(each)) == "judge"], ids=named)
def test_a_fix_is_a_command_or_says_that_there_is_none(path: Path) -> None:
    """Every fix pastes and runs or begins with `none automatic: `; none deletes data or hides a shell comment."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = {"RESTART": judge_gateway.RESTART}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            for text in texts(node.value, {}):
                constants.setdefault(node.targets[0].id, text)
    for made in findings(path):
        fix = argument(made, 4, "fix")
        source = ast.unparse(fix)
        if source in ("signature.fix", "fix"):
            continue  # data, and a local: judged in the next test and in the judges' own tests
        found = texts(fix, constants)
        assert found, source
        assert all(PASTES.match(each) for each in found), source
        assert not re.search(r"\brm |# |--force-delete|kill -9", source), source


def words_of(function: ast.FunctionDef, made: ast.Call) -> str:
    """All that the fix of a finding may say: its own text, that of the locals in it, and commands by their names."""
    fix = argument(made, 4, "fix")
    names = {each.id for each in ast.walk(fix) if isinstance(each, ast.Name)}
    parts: list[ast.AST] = [fix]
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            targets = {each.id for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name)}
            parts += [node.value] if targets & names else []
    said = [each.value for part in parts for each in ast.walk(part) if isinstance(each, ast.Constant)]
    named_too = [each.id for part in parts for each in ast.walk(part) if isinstance(each, ast.Name)]
    commands = {"RESTART": judge_gateway.RESTART, "_restart": judge_gateway.RESTART}
    return " ".join([*(str(each) for each in said), *(commands[each] for each in named_too if each in commands)])


_NOT = re.compile(
    r"\b(?:no|never a|not|or|before\W+any|before you|another|a|only|changes?|without a) (?:\w+ )?"
    r"(?:re)?starts?(?: (?:it|now|alone|does|would|aborts|changes|helps)\b[^;,:.]*)?|\bdo not \w+ it"
)
"""How a text speaks of a restart that is not to be done."""
_DOES = re.compile(
    r"\b(?:re)?start\b(?! up| here|ed)|\bkill\b|\bstop\b|\bconfig set\b|\bedit\b"
    r"|\bend (?:that |those )?pids?\b|disable --now"
)


def advises(text: str) -> bool:
    """True if a help or a fix tells a person to restart, start, kill, stop or edit something."""
    return bool(_DOES.search(_NOT.sub("", text)))


def test_advice_to_restart_kill_stop_or_edit_names_its_proof() -> None:
    """A person is told to do no more on a hunch than recovery is: the registry says what has shown it (issue 12)."""
    without = {id for id, kind in KINDS.items() if advises(kind.helps) and not kind.cure.proof}
    for path in (each for each in MODULES if room(named(each)) == "judge"):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            for made in ast.walk(function):
                if isinstance(made, ast.Call) and isinstance(made.func, ast.Name) and made.func.id == "Finding":
                    id = argument(made, 0, "check")
                    known = KINDS.get(str(id.value)) if isinstance(id, ast.Constant) else None
                    if advises(words_of(function, made)) and known is not None and not known.cure.proof:
                        without.add(known.id)
    assert without == set()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("openclaw gateway restart", True),
        ("kill -CONT 7", True),
        ("wait until then, then start once", True),
        ("look, then end those pids", True),
        ("openclaw config set gateway.port 1", True),
        ("systemctl disable --now x.service ends the other's tries", True),
        ("less load; no restart", False),
        ("the gateway is well, do not restart it; see this call's transcript", False),
        ("a restart aborts the work and brings the load back; look again", False),
        ("another restart ends the same way; read why it exits", False),
        ("repair it *before* any restart", False),
        ("what it was started with; it starts up", False),
    ],
)
def test_what_advice_is(text: str, told: bool) -> None:
    """What is to be done counts, not the word: most findings say that a restart helps nothing."""
    assert advises(text) is told


def test_a_signature_s_fix_is_a_command_or_says_that_there_is_none() -> None:
    """The same rule for the fixes that are data, and facts without a period."""
    for each in signature_catalogue.catalogue():
        assert PASTES.match(each.fix), each.id
        assert not each.fact.endswith("."), each.id
        assert not each.fix.startswith("openclaw gateway restart"), each.id


def test_facts_end_without_a_period() -> None:
    """A fact is part of a longer line."""
    for path in MODULES:
        for made in findings(path):
            for each in texts(argument(made, 2, "fact"), {}):
                assert not each.endswith("."), each


def checks() -> Iterator[tuple[Path, ast.FunctionDef]]:
    """Every check."""
    for path in CHECKS:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield path, node


def test_each_check_has_an_id_a_lane_and_a_claim() -> None:
    """A check states its claim in one sentence and its id, which no other one has, and its lane."""
    ids = []
    for _path, node in checks():
        claim = ast.get_docstring(node) or ""
        assert claim.split("\n")[0].endswith("."), node.name
        marks = [each for each in node.decorator_list if ast.unparse(each).startswith("check(")]
        assert len(marks) == 1, node.name
        assert isinstance(marks[0], ast.Call)
        ids.append(ast.literal_eval(marks[0].args[0]))
        assert ast.literal_eval(marks[0].keywords[0].value) in ("http", "rpc", "files", "cli", "log")
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z]+/[a-z]+(-[a-z]+)*", each) for each in ids)


def test_check_ids_are_found_without_importing_the_checks() -> None:
    """The ids that `--check` and the shells' completion know are those of the checks."""
    declared = [each for path in CHECKS for each in re.findall(r'check\("([^"]+)"', path.read_text(encoding="utf-8"))]
    assert sorted(selection.check_ids()) == sorted(declared)


@pytest.mark.parametrize("id", sorted(KINDS))
def test_each_finding_names_the_checks_that_find_it(id: str) -> None:
    """`verify: oc-ops doctor --check ID` runs at least one check; one that is named exists."""
    assert KINDS[id].checks, f"{id}: declare `checks=` in @finds"
    assert set(KINDS[id].checks) <= set(selection.check_ids())


def test_no_judge_types_the_command_of_the_doctor() -> None:
    """A finding is verified by its own id, whatever its test is called."""
    for path in MODULES:
        assert not re.search(r"checks/ -m doctor -k", path.read_text(encoding="utf-8")), path
