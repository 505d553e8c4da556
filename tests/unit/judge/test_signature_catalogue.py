"""The catalogue's own truth, entry by entry, and what an operator may add to it."""

from __future__ import annotations

import json
import re
import time
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oc_ops.errors import OcOpsError
from oc_ops.judge import signature_catalogue as catalogue_module
from oc_ops.judge.signature_catalogue import Signature, catalogue, load, parse
from oc_ops.settings import Settings

SHIPPED = resources.files("oc_ops.judge").joinpath("signatures.toml").read_text(encoding="utf-8")
CATALOGUE = {each.id: each for each in catalogue()}
BENIGN_FILE = Path(__file__).parents[2] / "data" / "benign.jsonl"

BENIGN = (
    "[gateway] update available (latest): v2026.9.6",
    "cron: started, jobs:42, nextWakeAtMs:1999999999999",
    "Browser control service ready (profiles=2)",
    '{"ok":true,"status":"live"}',
    "[health-monitor] started (interval: 300s, grace: 60s)",
    "lane task done: lane=main durationMs=12 active=0 queued=0",
    "⇄ res ✓ cron.list 61ms",
    "received SIGTERM; shutting down",
    *(json.loads(each)["text"] for each in BENIGN_FILE.read_text(encoding="utf-8").splitlines()),
    *(each for signature in CATALOGUE.values() for each in signature.benign),
)
"""What gateways of three releases logged when nothing was wrong with them, and the look-alikes of each entry."""


def test_the_catalogue_is_whole() -> None:
    """The sixty of the first issue, and what came after; each names what recovery needs to know."""
    assert len(CATALOGUE) == len(catalogue()) == 77
    seeds = "\n".join(each.sample for each in CATALOGUE.values())
    for seed in ("gateway timeout", "OpenClaw browser control service", "timed out after 20000ms", "EPIPE",
                 "Non-fatal unhandled rejection"):  # fmt: skip
        assert seed in seeds
    assert len(BENIGN) > 150


def test_every_shipped_entry_passes_the_check_for_own_entries() -> None:
    """What is not checked in a run is checked here: types, fields, pattern, sample."""
    assert parse(SHIPPED, "signatures.toml") == catalogue()


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_sample_is_matched_by_its_own_pattern_alone(name: str) -> None:
    """Not merely first: no other pattern matches it at all."""
    assert [each.id for each in CATALOGUE.values() if each.pattern.search(CATALOGUE[name].sample)] == [name]


@pytest.mark.parametrize("name", CATALOGUE)
def test_no_benign_line_is_matched(name: str) -> None:
    """Lines of healthy gateways match no pattern, whatever the literals say."""
    pattern = CATALOGUE[name].pattern
    assert [line for line in BENIGN if pattern.search(line)] == []


@pytest.mark.parametrize("name", CATALOGUE)
def test_whatever_a_pattern_matches_holds_a_literal(name: str) -> None:
    """The fast filter throws nothing away that the pattern would have taken."""
    signature = CATALOGUE[name]

    @settings(max_examples=12, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.from_regex(signature.pattern))
    def holds(line: str) -> None:
        assert any(each in line for each in signature.literals)

    holds()


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_pattern_is_of_one_meaning_in_every_engine(name: str) -> None:
    """Bytes and text, RE2 and hyperscan: ASCII classes only in what is counted, every gap bounded."""
    expression = CATALOGUE[name].expression
    assert not re.search(r"\.\*|\.\+|\\d|\\s\*", expression)
    assert not re.search(r"\(\?[^:]", expression)
    re.compile(expression.encode())


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_pattern_gives_up_quickly(name: str) -> None:
    """A long line made of the beginnings of a match costs no noticeable time."""
    signature = CATALOGUE[name]
    beginnings = (signature.literals[0] + " ") * 2, signature.sample[: len(signature.sample) // 2]
    for each in beginnings:
        line = (each * (200_000 // len(each)))[:200_000]
        begin = time.thread_time()
        signature.pattern.search(line)
        assert time.thread_time() - begin < 1


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_remedy_fits_its_group(name: str) -> None:
    """Config and credentials forbid a restart, browsers want their own cure; nothing deletes."""
    signature, group = CATALOGUE[name], name.split(".")[0]
    assert signature.restart == "forbidden" if group in ("cfg", "auth") else True
    assert signature.restart == "useless" if group == "br" else True
    assert signature.fix.startswith(("none automatic: ", "openclaw "))
    assert not re.search(r"\brm\b|delete|kill -9|^openclaw gateway restart", signature.fix)
    assert not signature.fix.endswith(".")


def test_loading_costs_little() -> None:
    """A doctor run pays for reading the file, not for compiling what no line asks for."""
    catalogue_module._compiled.cache_clear()
    catalogue.cache_clear()
    begin = time.process_time()
    catalogue()
    assert time.process_time() - begin < 0.06
    assert catalogue_module._compiled.cache_info().currsize == 0


ENTRY = """
[[signature]]
id = "my.boom"
literals = ["boom"]
pattern = "boom [0-9]+"
severity = "error"
fact = "it goes boom"
fix = "none automatic: duck"
restart = "allowed"
affected = ["2026.3.8", "2026.4..2026.5"]
fixed = "2026.6.1"
issues = [1, 2]
threshold = 2
window_s = 60
sample = "boom 1"
benign = ["boom"]
"""


def test_a_good_entry() -> None:
    """All fields arrive; what may be left out has the default that the head of the file tells."""
    (signature,) = parse(ENTRY, "my.toml")
    assert isinstance(signature, Signature)
    assert (signature.id, signature.literals, signature.pattern.pattern) == ("my.boom", ("boom",), "boom [0-9]+")
    assert (signature.threshold, signature.window_s, signature.issues) == (2, 60, (1, 2))
    assert (signature.restart, signature.fixed, len(signature.affected)) == ("allowed", (2026, 6, 1), 2)
    optional = ("affected", "fixed", "issues", "threshold", "window_s", "benign")
    (plain,) = parse("\n".join(each for each in ENTRY.splitlines() if not each.startswith(optional)), "my.toml")
    assert (plain.threshold, plain.window_s, plain.issues, plain.affected, plain.fixed) == (1, 900, (), (), None)
    assert parse("", "my.toml") == ()


TEXT = "need a non-empty text"
WHOLE = "need a whole number > 0"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('id = "my.boom"', "", f"entry 1: id=None: {TEXT}"),
        ('id = "my.boom"', "id = 3", f"entry 1: id=3: {TEXT}"),
        ('"my.boom"', '"Boom!"', "Boom!: id='Boom!': need lower-case words joined by dots, such as my.signature"),
        ('literals = ["boom"]', "", "my.boom: literals=None: need texts of one line and at least 4 characters"),
        ('["boom"]', "[]", "my.boom: literals=[]: need texts of one line and at least 4 characters"),
        ('["boom"]', '["boo"]', "my.boom: literals=['boo']: need texts of one line and at least 4 characters"),
        ('["boom"]', '"boom"', "my.boom: literals='boom': need a list of texts"),
        ('["boom"]', '["bang"]', "my.boom: sample='boom 1': need a line that holds one of the literals"),
        ('"boom [0-9]+"', '" "', f"my.boom: pattern=' ': {TEXT}"),
        ('"boom [0-9]+"', '"bo(m"', "my.boom: pattern='bo(m': need a regular expression (missing )"),
        ('"boom [0-9]+"', '"boom{99999999999}"', "my.boom: pattern='boom{99999999999}': need a regular expression ("),
        ('"boom [0-9]+"', '"(?!x)boom [0-9]"', "my.boom: pattern='(?!x)boom [0-9]': need a regular expression without"),
        ('"boom [0-9]+"', "'(b)oom \\1'", "my.boom: pattern='(b)oom \\\\1': need a regular expression without"),
        ('"boom [0-9]+"', '"(boom)?"', "my.boom: pattern='(boom)?': need a regular expression that does not match ev"),
        ('"boom [0-9]+"', '"bang"', "my.boom: sample='boom 1': need a line that the pattern matches"),
        ('benign = ["boom"]', 'benign = ["boom 7"]', "my.boom: benign=['boom 7']: need lines that the pattern does"),
        ('"error"', '"fatal"', "my.boom: severity='fatal': need info, warning or error"),
        ('"allowed"', "true", "my.boom: restart=True: need allowed, useless or forbidden"),
        ('"it goes boom"', '"it goes boom."', "my.boom: fact='it goes boom.': need a text without a period at its end"),
        ("threshold = 2", "threshold = 0", f"my.boom: threshold=0: {WHOLE}"),
        ("threshold = 2", "threshold = true", f"my.boom: threshold=True: {WHOLE}"),
        ("window_s = 60", "window_s = -1", f"my.boom: window_s=-1: {WHOLE}"),
        ("window_s = 60", "window_s = 1.5", f"my.boom: window_s=1.5: {WHOLE}"),
        ('fix = "none automatic: duck"', "fix = 3", f"my.boom: fix=3: {TEXT}"),
        ("[1, 2]", '"1"', "my.boom: issues='1': need a list of issue numbers"),
        ("[1, 2]", "[true]", "my.boom: issues=[True]: need a list of issue numbers"),
        ('"2026.3.8", ', '"<2026.3.8", ', "my.boom: affected=['<2026.3.8', '2026.4..2026.5']: need releases such as"),
        ('"2026.6.1"', '"soon"', "my.boom: fixed='soon': need releases such as 2026.3.8 or 2026.2..2026.5 ('soon' is "),
        ("threshold", "treshold", "my.boom: treshold=2: need a field that there is (did you mean threshold?)"),
        ("threshold", "zzz", "my.boom: zzz=2: need a field that there is"),
        ("[[signature]]", "[[signature]", "Expected"),
        ("[[signature]]", "[signature]", "signature: need [[signature]] tables and nothing else"),
        ("[[signature]]", "[[signatures]]", "signatures: need [[signature]] tables and nothing else"),
    ],
)  # fmt: skip
def test_a_bad_entry_is_named(old: str, new: str, message: str) -> None:
    """The message names file, entry and field, so that whoever wrote the entry finds the place."""
    assert old in ENTRY
    with pytest.raises(OcOpsError) as caught:
        parse(ENTRY.replace(old, new, 1), "my.toml")
    assert str(caught.value).startswith(f"my.toml: {message}")


@pytest.mark.parametrize("text", ["signature = 3", "signature = [1]"])
def test_entries_that_are_no_tables(text: str) -> None:
    """A catalogue of another shape is refused in the same words."""
    with pytest.raises(OcOpsError, match=r"my.toml: signature: need \[\[signature\]\] tables"):
        parse(text, "my.toml")


def test_two_entries_of_one_id() -> None:
    """An id is a contract: the second entry that claims it is refused."""
    with pytest.raises(OcOpsError, match=r"my.toml: my.boom: id='my.boom': need an id of its own"):
        parse(ENTRY + ENTRY, "my.toml")


def test_without_an_own_file_the_shipped_ones_are_all(tmp_path: Path) -> None:
    """The file is optional."""
    assert load(Settings(memory_dir=tmp_path, config_dir=tmp_path)) == catalogue()


def test_own_signatures_stand_before_the_shipped_ones(tmp_path: Path) -> None:
    """What an operator adds claims its lines first."""
    (tmp_path / "signatures.toml").write_text(ENTRY, encoding="utf-8")
    own, *shipped = load(Settings(memory_dir=tmp_path, config_dir=tmp_path))
    assert own.id == "my.boom"
    assert tuple(shipped) == catalogue()


def test_an_own_entry_with_a_shipped_id_takes_its_place(tmp_path: Path) -> None:
    """So a threshold, a severity or a pattern can be made to fit the house."""
    (tmp_path / "signatures.toml").write_text(ENTRY.replace("my.boom", "crash.epipe"), encoding="utf-8")
    known = load(Settings(memory_dir=tmp_path, config_dir=tmp_path))
    assert [each.id for each in known] == [each.id for each in catalogue()]
    assert next(each for each in known if each.id == "crash.epipe").sample == "boom 1"


def test_a_bad_own_file_is_named_by_its_path(tmp_path: Path) -> None:
    """The path, the entry and the field; also where the file cannot be read at all."""
    path = tmp_path / "signatures.toml"
    path.write_text(ENTRY.replace("threshold = 2", 'threshold = "2"'), encoding="utf-8")
    with pytest.raises(OcOpsError, match=f"{re.escape(str(path))}: my.boom: threshold='2': need a whole number > 0"):
        load(Settings(memory_dir=tmp_path, config_dir=tmp_path))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(OcOpsError, match=f"{re.escape(str(path))}: cannot be read: it is not UTF-8"):
        load(Settings(memory_dir=tmp_path, config_dir=tmp_path))
    path.unlink()
    path.mkdir()
    with pytest.raises(OcOpsError, match=f"{re.escape(str(path))}: cannot be read: "):
        load(Settings(memory_dir=tmp_path, config_dir=tmp_path))


@settings(database=None, deadline=None)
@given(st.dictionaries(st.sampled_from([*catalogue_module._FIELDS, "other"]), st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.lists(st.text(max_size=9)),
    st.lists(st.integers(), max_size=3), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)))  # fmt: skip
def test_any_other_content_is_one_clear_sentence(fields: dict[str, object]) -> None:
    """Whatever stands in the fields: an OcOpsError on one line, never another exception."""
    entry = catalogue_module._Entry(fields, "my.toml", 1)
    with pytest.raises(OcOpsError) as caught:
        entry.checked()
    assert "\n" not in str(caught.value)
