"""The watchlist: the cron jobs that an operator said must never stop silently, and what is asked of each."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from oc_ops import files
from oc_ops.errors import OcOpsError, SettingError
from oc_ops.settings import Settings
from oc_ops.text import regex

FILE = "ops_critical_cron_jobs.txt"
"""Its name; in a checkout git tracks the one in memory/, so that no job leaves it unnoticed."""

MAX_FAILURES = 2
"""One failed run of a watched job is a warning, as many as this in a row are an error; a line may say otherwise."""

_OPTIONS = ("max-age", "timeout", "max-failures")
_TIMES = ("max-age", "timeout")
_UNIT = "a time with its unit: add a unit, such as 7d, 26h, 15m or 90s"
_OPTION = regex(r"([A-Za-z][\w-]*)=(\S*)")
_DURATION = regex(r"([0-9]+(?:\.[0-9]+)?)([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST_S = 400 * 86_400.0
_MOST_FAILURES = 1000
_QUOTED = regex(r'"((?:[^"\\]|\\.)*)"(?=[ \t]|$)')
_COMMENT = regex(r"(?:^|[ \t])#")
_BLANKS = " \t"
_LINE = regex(r"[^\n]*\n|[^\n]+")


class Watched(Struct, frozen=True):
    """One line of the watchlist: a job by its id or unique name, and its limits; None leaves it to the job itself."""

    job: str
    max_age_s: float | None = None
    timeout_s: float | None = None
    max_failures: int = MAX_FAILURES
    where: str = ""
    """File and line, for messages."""

    @property
    def line(self) -> str:
        """The line that says this; `parse` reads it back as the same."""
        words = [_written(self.job)]
        words += [f"max-age={duration(self.max_age_s)}"] if self.max_age_s is not None else []
        words += [f"timeout={duration(self.timeout_s)}"] if self.timeout_s is not None else []
        words += [f"max-failures={self.max_failures}"] if self.max_failures != MAX_FAILURES else []
        return " ".join(words)


def place(settings: Settings) -> Path:
    """The watchlist that counts: of its two places the first that holds a line, else the first that is there."""
    places = settings.own_files(FILE)
    return next(
        (each for wanted in (holds_lines, os.path.lexists) for each in places if wanted(each)),
        places[0],
    )


def holds_lines(path: Path) -> bool:
    """True when a watchlist names a job; also for one that cannot be read: its reader then says so."""
    try:
        lines = files.read_bytes(path, files.SMALL_BYTES).splitlines()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return any(each.strip() and not each.strip().startswith(b"#") for each in lines)


def read(path: Path) -> tuple[Watched, ...]:
    """The watchlist in this file; one that is not there watches nothing.

    Raises OcOpsError for a file that cannot be read and SettingError, with its line, for the first bad line.
    """
    return parse(text_of(path), str(path))


def text_of(path: Path) -> str:
    """The text of a watchlist, empty for one that is not there; raises as `read` does."""
    try:
        raw = files.read_bytes(path, files.SMALL_BYTES)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise OcOpsError(f"cannot read the watchlist {path}: {error.strerror}") from error
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        broken = ascii(raw[error.start : error.start + 8])
        raise SettingError("job", broken, f"{path} line {line}", "text in UTF-8") from error


def with_job(text: str, job: str, limits: Mapping[str, str]) -> str:
    """The text with this job watched: its line with these limits over its own, else a new line at the end.

    Raises SettingError for a limit that makes no sense. All other lines stay as they are, comments included.
    """
    lines = _LINE.findall(text)
    number = _line_of(text, job)
    ending = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    if number is None:
        gap = ending if lines and not lines[-1].endswith("\n") else ""
        return f"{text}{gap}{_with_limits(Watched(job).line, limits)}{ending}"
    if limits:
        old = parse(text, "")
        known = _limits_of(next(each for each in old if each.job == job))
        comment = _trailing_comment(lines[number])
        end = lines[number][len(lines[number].rstrip("\r\n")) :]
        lines[number] = f"{_with_limits(Watched(job).line, {**known, **limits})}{comment}{end}"
    return "".join(lines)


def without_job(text: str, job: str) -> str:
    """The text without the line of this job."""
    number = _line_of(text, job)
    return "".join(each for at, each in enumerate(_LINE.findall(text)) if at != number)


def _line_of(text: str, job: str) -> int | None:
    """The number of its line, from 0."""
    found = next((each for each in parse(text, "") if each.job == job), None)
    return int(found.where.rsplit(" ", 1)[1]) - 1 if found else None


def _limits_of(watched: Watched) -> dict[str, str]:
    limits = {"max-age": watched.max_age_s, "timeout": watched.timeout_s}
    written = {name: duration(each) for name, each in limits.items() if each is not None}
    return written if watched.max_failures == MAX_FAILURES else {**written, "max-failures": str(watched.max_failures)}


def _with_limits(job: str, limits: Mapping[str, str]) -> str:
    line = " ".join((job, *(f"{name}={value}" for name, value in limits.items())))
    return parse(line, "the options")[0].line


def _trailing_comment(line: str) -> str:
    bare = line.rstrip("\r\n")
    quoted = _QUOTED.match(bare.lstrip(_BLANKS))
    start = len(bare) - len(bare.lstrip(_BLANKS)) + (quoted.end() if quoted else 0)
    comment = _COMMENT.search(bare, start)
    return f"  {bare[comment.start() :].strip(_BLANKS)}" if comment else ""


def parse(text: str, source: str) -> tuple[Watched, ...]:
    """The watched jobs in the order of their lines. `source` names the file in messages.

    Raises SettingError naming line, value and need for what is no such line and for a job that stands there twice.
    """
    found: dict[str, Watched] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        where = f"{source} line {number}"
        watched = _parsed(line.rstrip("\r").strip(_BLANKS), where)
        if watched is None:
            continue
        if before := found.get(watched.job):
            raise SettingError("job", watched.job, where, f"a job once: it stands in {before.where} already")
        found[watched.job] = watched
    return tuple(found.values())


def duration(seconds: float) -> str:
    """A time as the watchlist writes it, in the largest unit that is whole."""
    for unit in ("d", "h", "m"):
        if seconds >= _UNITS[unit] and seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:.0f}{unit}"
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"


def _parsed(line: str, where: str) -> Watched | None:
    if not line or line.startswith("#"):
        return None
    job, rest = _quoted(line, where) if line.startswith('"') else _bare(line, where)
    if not job.strip(_BLANKS) or not job.replace("\t", " ").isprintable():
        raise SettingError("job", job, where, "an id or a name that can be printed")
    options = dict(_options(rest, where))
    failures = options.get("max-failures")
    return Watched(
        job=job,
        max_age_s=_seconds("max-age", options, where),
        timeout_s=_seconds("timeout", options, where),
        max_failures=MAX_FAILURES if failures is None else _count(failures, where),
        where=where,
    )


def _quoted(line: str, where: str) -> tuple[str, str]:
    match = _QUOTED.match(line)
    if match is None:
        raise SettingError("job", line, where, "a closing \" with a blank or the line's end after it")
    return re.sub(r"\\(.)", r"\1", match[1]), _uncommented(line[match.end() :])


def _bare(line: str, where: str) -> tuple[str, str]:
    """Everything before the options at the line's end is the name, single blanks or not."""
    line = _uncommented(line)
    begin = len(line)
    words = list(re.finditer(r"[^ \t]+", line))
    while words and _OPTION.fullmatch(words[-1][0]):
        begin = words.pop().start()
    for word in words:
        option = _OPTION.fullmatch(word[0])
        if option and option[1] in _TIMES and option[2].replace(".", "").isdigit():
            raise SettingError(option[1], line[word.start() :].partition("=")[2], where, _UNIT)
        if option and option[1] in _OPTIONS:
            raise SettingError("job", line, where, f"options at the line's end: after {word[0]} stands more of a name")
    return line[:begin].strip(_BLANKS), line[begin:]


def _uncommented(text: str) -> str:
    comment = _COMMENT.search(text)
    return (text[: comment.start()] if comment else text).strip(_BLANKS)


def _options(text: str, where: str) -> Iterator[tuple[str, str]]:
    seen = set()
    for word in text.replace("\t", " ").split(" "):
        if not word:
            continue
        match = _OPTION.fullmatch(word)
        name = match[1] if match else word
        if match is None or name not in _OPTIONS:
            raise SettingError("option", word, where, f"one of {', '.join(_OPTIONS)}{_near(name)}")
        if name in seen:
            raise SettingError(name, match[2], where, "an option once")
        seen.add(name)
        yield name, match[2]


def _near(word: str) -> str:
    import difflib

    near = difflib.get_close_matches(word.replace("_", "-").lower(), _OPTIONS, n=1)
    return f": maybe {near[0]}" if near else '; a name that ends in such a word stands in "double quotes"'


def _seconds(name: str, options: Mapping[str, str], where: str) -> float | None:
    if name not in options:
        return None
    match = _DURATION.fullmatch(options[name])
    seconds = round(float(match[1]) * _UNITS[match[2]], 3) if match else math.nan
    if options[name].replace(".", "").isdigit():
        raise SettingError(name, options[name], where, _UNIT)
    if not 0 < seconds <= _LONGEST_S:
        raise SettingError(name, options[name], where, "a time above 0 and up to 400d, such as 90s, 15m, 26h or 8d")
    return seconds


def _count(text: str, where: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= _MOST_FAILURES):
        raise SettingError("max-failures", text, where, f"a whole number from 1 to {_MOST_FAILURES}")
    return int(text)


def _written(job: str) -> str:
    """The job's name as a line holds it: in quotes where the bare words would be read as something else."""
    last = job.rsplit(" ", 1)[-1].rsplit("\t", 1)[-1]
    plain = job == job.strip(_BLANKS) and job[:1] not in ('"', "#") and not _COMMENT.search(job)
    if plain and not _OPTION.fullmatch(last) and not any(f"{each}=" in job for each in _OPTIONS):
        return job
    escaped = job.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
