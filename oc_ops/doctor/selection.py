"""Which checks are meant by a word that stands in a report: a check's id, a finding's id, or their area."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import cache

from oc_ops import files
from oc_ops.doctor.log import known
from oc_ops.errors import OcOpsError
from oc_ops.judge.findings import KINDS
from oc_ops.settings import SUITE, Settings
from oc_ops.text import regex

_DECLARED = regex(r'^@check\(\s*"([a-z]+/[a-z-]+)"', re.MULTILINE)
_LOG_CHECK = "logs/signatures"


@cache
def check_ids() -> tuple[str, ...]:
    """The ids of every check there is, in the order of the files."""
    found = sorted((SUITE / "checks").glob("test_*.py"))
    return tuple(id for file in found for id in _DECLARED.findall(files.read_text(file, files.DATA_BYTES)))


def ids(settings: Settings) -> tuple[str, ...]:
    """Every id that `--check` takes: checks, findings, log signatures, the operator's own among them."""
    signatures = (f"logs/{each.id}" for each in known(settings))
    return tuple(dict.fromkeys((*check_ids(), *KINDS, *signatures)))


def chosen(words: Iterable[str], settings: Settings) -> frozenset[str]:
    """The checks that look for what the words name; raises OcOpsError, with the nearest ids, for an unknown word."""
    return frozenset(check for word in words for check in _checks_of(word, settings))


def _checks_of(word: str, settings: Settings) -> tuple[str, ...]:
    area = tuple(each for each in check_ids() if each.partition("/")[0] == word.partition("/")[0])
    if word in check_ids():
        return (word,)
    if word in KINDS:
        return KINDS[word].checks or area
    if area and "/" not in word:
        return area
    if word in ids(settings):
        return (_LOG_CHECK,)
    raise OcOpsError(f"--check {word!r}: there is no such check or finding; {near(word, settings)}")


def near(word: str, settings: Settings) -> str:
    """The ids nearest to a word, by their letters or by what they mean; where none is near, the areas there are."""
    known_ids, wanted = ids(settings), word.lower().removeprefix("test_").replace("_", "-")
    areas = tuple(dict.fromkeys(each.partition("/")[0] for each in check_ids()))
    names = {each.partition("/")[2]: each for each in reversed(known_ids)}
    found = [each for each in known_ids if len(wanted) > 2 and wanted in each]
    found += difflib.get_close_matches(wanted, (*known_ids, *areas), n=3)
    found += [names[each] for each in difflib.get_close_matches(wanted, names, n=3)]
    said = re.compile(rf"\b{re.escape(wanted)}s?\b", re.IGNORECASE)
    found += [each.id for each in KINDS.values() if len(wanted) > 2 and said.search(f"{each.means} {each.helps}")]
    if not found:
        return f"--check AREA looks at all of one area: {', '.join(areas)}"
    return "nearest: " + ", ".join(f"--check {each}" for each in list(dict.fromkeys(found))[:3])
