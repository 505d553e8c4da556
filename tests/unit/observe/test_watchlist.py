"""The watchlist's parser: every line is understood or refused by its number, and none is ever skipped."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oc_ops.errors import OcOpsError, SettingError
from oc_ops.observe import watchlist
from oc_ops.observe.watchlist import Watched
from oc_ops.settings import PROJECT


def parsed(text: str) -> list[tuple[str, float | None, float | None, int]]:
    """What each line asks for."""
    return [(e.job, e.max_age_s, e.timeout_s, e.max_failures) for e in watchlist.parse(text, "list")]


@pytest.mark.parametrize(
    ("line", "job", "max_age_s", "timeout_s", "max_failures"),
    [
        ("nightly", "nightly", None, None, 2),
        ("nightly max-age=26h timeout=180s max-failures=3", "nightly", 93_600, 180, 3),
        ("max-failures-report", "max-failures-report", None, None, 2),
        ("Nightly backup of all", "Nightly backup of all", None, None, 2),
        ("Nightly  backup\tof all \t max-age=8d", "Nightly  backup\tof all", 691_200, None, 2),
        ('"Report #3, the weekly one" max-age=1.5h', "Report #3, the weekly one", 5400, None, 2),
        ('"sync a=b" timeout=5m', "sync a=b", None, 300, 2),
        (r'"say \"hi\" \\ bye"', 'say "hi" \\ bye', None, None, 2),
        ('"quoted"   # a comment', "quoted", None, None, 2),
        ("bare max-age=90s # a comment max-age=1h", "bare", 90, None, 2),
        ("issue#12", "issue#12", None, None, 2),
        ("d07b64cc-43cd-43e6-99d9-53421e59356a max-failures=1",
         "d07b64cc-43cd-43e6-99d9-53421e59356a", None, None, 1),
        ("a=b c", "a=b c", None, None, 2),
        ("Übersicht täglich", "Übersicht täglich", None, None, 2),
        ("job timeout=0.5s", "job", None, 0.5, 2),
    ],
)  # fmt: skip
def test_a_line_says_a_job_and_its_limits(
    line: str, job: str, max_age_s: float | None, timeout_s: float | None, max_failures: int
) -> None:
    """Names with blanks stand bare or in quotes; options stand last; comments go."""
    assert parsed(line) == [(job, max_age_s, timeout_s, max_failures)]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("job max-agee=1h", 'option="max-agee=1h" in list line 3: need one of max-age, timeout, max-failures: maybe'),
        ("job max_age=1h", "maybe max-age"),
        ("job Timeout=1h", "maybe timeout"),
        ("job colour=red", 'a name that ends in such a word stands in "double quotes"'),
        ("job max-age=", 'max-age="" in list line 3: need a time above 0'),
        ("job max-age=26", 'max-age="26" in list line 3'),
        ("job max-age=26 h", "options at the line's end"),
        ("job max-age=0s", "above 0"),
        ("job max-age=401d", "up to 400d"),
        ("job max-age=-1h", "above 0"),
        ("job max-age=1e3s", "above 0"),
        ("job timeout=inf", "above 0"),
        ("job timeout=١h", "above 0"),
        ("job max-failures=0", 'max-failures="0" in list line 3: need a whole number from 1 to 1000'),
        ("job max-failures=2.5", "a whole number"),
        ("job max-failures=99999", "a whole number"),
        ("job max-failures=²", "a whole number"),
        ("job timeout=1s timeout=2s", 'timeout="2s" in list line 3: need an option once'),
        ("max-age=1h", 'job="" in list line 3: need an id or a name'),
        ('"" max-age=1h', "need an id or a name"),
        ('"no end', "a closing"),
        ('"job"max-age=1h', "a closing"),
        ('"job" stray', "need one of"),
        ("max-age=1h job", "options at the line's end"),
        ("job\x1b[31m", "that can be printed"),
        ("job\x00", "that can be printed"),
        ("twice", "a job once: it stands in list line 1 already"),
        ('"twice" max-age=1h', "a job once"),
    ],
)  # fmt: skip
def test_a_bad_line_is_an_error_with_its_number(line: str, says: str) -> None:
    """File, line, value, need, and what a mistyped option may have meant."""
    with pytest.raises(SettingError) as caught:
        watchlist.parse(f"twice\n# comment\n{line}\nlater", "list")
    assert says in str(caught.value)
    assert "list line 3" in str(caught.value)


def test_bom_crlf_tabs_and_blank_lines_survive(tmp_path: Path) -> None:
    """A file saved by any editor means the same."""
    raw = b"\xef\xbb\xbfone\tmax-age=1h\r\n\r\n\t \r\n\t# comment\r\n  Two words  \ttimeout=3m\t\r\nthree"
    (tmp_path / watchlist.FILE).write_bytes(raw)
    found = watchlist.read(tmp_path / watchlist.FILE)
    assert [(each.job, each.max_age_s, each.timeout_s) for each in found] == [
        ("one", 3600, None),
        ("Two words", None, 180),
        ("three", None, None),
    ]
    assert found[1].where == f"{tmp_path / watchlist.FILE} line 5"


def test_no_file_watches_nothing(tmp_path: Path) -> None:
    """A memory directory without the file is no error."""
    assert watchlist.read(tmp_path / watchlist.FILE) == ()


def test_text_that_is_not_utf_8_is_refused_by_its_line(tmp_path: Path) -> None:
    """Broken bytes are not guessed at."""
    (tmp_path / watchlist.FILE).write_bytes(b"one\ntwo\xff\n")
    with pytest.raises(SettingError, match="line 2: need text in UTF-8"):
        watchlist.read(tmp_path / watchlist.FILE)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """Whatever stands in its place: it is not an empty watchlist."""
    (tmp_path / watchlist.FILE).mkdir()
    with pytest.raises(OcOpsError, match="cannot read the watchlist"):
        watchlist.read(tmp_path / watchlist.FILE)


def test_the_tracked_file_is_a_watchlist() -> None:
    """What the project ships watches nothing yet, and its explanation is all comments."""
    text = (PROJECT / "memory" / watchlist.FILE).read_text(encoding="utf-8")
    assert watchlist.parse(text, "tracked") == ()
    examples = [line.removeprefix("#   ") for line in text.splitlines() if line.startswith("#   ")]
    assert [each.max_age_s for each in watchlist.parse("\n".join(examples), "examples")] == [93_600, 691_200]


NAMES = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1).flatmap(
    lambda word: st.sampled_from([word, f"{word} {word}", f"{word}  x=1", f"#{word}", f'"{word}', f"{word} # \\"])
)
SECONDS = st.one_of(
    st.integers(1, 400 * 86_400).map(float), st.integers(1, 10**6).map(lambda milliseconds: milliseconds / 1000)
)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """Nothing but a SettingError comes out, and every line that is no comment is a job."""
    try:
        found = watchlist.parse(text, "list")
    except SettingError:
        return
    lines = [line.rstrip("\r").strip(" \t") for line in text.removeprefix("\ufeff").split("\n")]
    assert len(found) == len([line for line in lines if line and not line.startswith("#")])


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            Watched, NAMES, st.none() | SECONDS, st.none() | SECONDS, st.integers(1, 1000)
        ),
        unique_by=lambda each: each.job,
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\ufeff"]),
)  # fmt: skip
def test_a_written_line_reads_back_as_the_same(listed: list[Watched], newline: str, bom: str) -> None:
    """Whatever the name and the limits, `line` and `parse` agree."""
    text = bom + newline.join(each.line for each in listed)
    assert parsed(text) == [(e.job, e.max_age_s, e.timeout_s, e.max_failures) for e in listed]
