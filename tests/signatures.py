"""Which installed release still has the text of each signature: `python -m tests.signatures [CHECKOUT…]`.

A checkout is the folder of one release, by default every install of the lab. What is found goes into a small file of
tests/data, from which docs/signatures.md is drawn without them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from oc_ops.judge.releases import release
from oc_ops.judge.signature_catalogue import Signature, catalogue
from oc_ops.lab.install import lab_dir
from oc_ops.settings import PROJECT

SEEN = PROJECT / "tests" / "data" / "signature_releases.json"
_CODE = ("--include=*.js", "--include=*.mjs", "--include=*.cjs")
_PIECE = re.compile(r"[^A-Za-z_./ -]+")
_SHORTEST_PIECE = 6


@dataclass(frozen=True, slots=True)
class Seen:
    """Where the text of one signature stands: whole, or in the pieces around what is put in at run time."""

    whole: tuple[str, ...]
    pieces: tuple[str, ...]


def main(arguments: Sequence[str]) -> int:
    """Look into every checkout, say what was found, and keep it for the page."""
    folders = [Path(each) for each in arguments] or sorted(lab_dir().glob("openclaw-*"))
    found: dict[str, dict[str, str]] = {}
    for name, folder in sorted((_named(each), each) for each in folders):
        sys.stderr.write(f"{name}: looking\n")
        found[name] = looked_at(folder, catalogue())
    if not found:
        sys.stderr.write("no installed release: name one, or `oc-ops lab up` installs one\n")
        return 2
    names = sorted(found, key=release)
    kept = {
        each.id: {how: [name for name in names if found[name].get(each.id) == how] for how in ("whole", "pieces")}
        for each in sorted(catalogue(), key=lambda each: each.id)
    }
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in kept.items())
    SEEN.write_text(f'{{"releases": {json.dumps(names)}, "signatures": {{\n{rows}\n}}}}\n', encoding="utf-8")
    sys.stdout.writelines(f"{name:24} {words}\n" for name, words in table())
    return 0


def looked_at(folder: Path, signatures: Iterable[Signature]) -> dict[str, str]:
    """`whole` or `pieces` for every signature whose text stands in the code of this release."""
    known = list(signatures)
    here = _words(folder, {word for each in known for word in _spellings(each)})
    whole = {word for words in here.values() for word in words}
    found = {each.id: "whole" for each in known if _spellings(each) & whole}
    rest = {each.id: _pieces(each) for each in known if each.id not in found}
    here = _words(folder, {word for choices in rest.values() for pieces in choices for word in pieces})
    halves = {
        name: "pieces"
        for name, choices in rest.items()
        if any(set(pieces) <= words for pieces in choices for words in here.values())
    }
    return found | halves


def _words(folder: Path, words: set[str]) -> dict[str, set[str]]:
    """Which of these texts stand in which file: grep reads 250 MB in seconds."""
    if not words:
        return {}
    call = subprocess.run(
        ("grep", "-raoF", "--null", "-f", "-", *_CODE, str(_package(folder) / "dist")),
        input="\n".join(sorted(words)).encode(), capture_output=True, env={**os.environ, "LC_ALL": "C"}, timeout=300,
        check=False,
    )  # fmt: skip
    if call.returncode > 1:
        raise OSError(call.stderr.decode(errors="replace"))
    found: dict[str, set[str]] = {}
    for line in set(call.stdout.splitlines()):
        path, _, word = line.decode().partition("\0")
        found.setdefault(path, set()).update(each for each in words if each in word)
    return found


def releases() -> str:
    """The releases that were looked at last, in words."""
    return ", ".join(json.loads(SEEN.read_text(encoding="utf-8"))["releases"])


def table() -> Iterator[tuple[str, str]]:
    """Every signature and the releases that have its text, by what the last look kept."""
    kept = json.loads(SEEN.read_text(encoding="utf-8"))
    for name, row in kept["signatures"].items():
        told = [_span(kept["releases"], row["whole"])] if row["whole"] else []
        told += [f"in pieces: {_span(kept['releases'], row['pieces'])}"] if row["pieces"] else []
        yield name, "; ".join(told) or "none of them"


def _span(known: list[str], have: list[str]) -> str:
    """Releases that follow one another as first to last."""
    if have == known:
        return "all"
    runs: list[list[str]] = []
    for each in have:
        if runs and known.index(each) == known.index(runs[-1][-1]) + 1:
            runs[-1].append(each)
        else:
            runs.append([each])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def _named(folder: Path) -> str:
    """The release of a folder, by the package that lies in it."""
    package = json.loads((_package(folder) / "package.json").read_text(encoding="utf-8"))
    return str(package["version"])


def _package(folder: Path) -> Path:
    inner = folder / "node_modules" / "openclaw"
    return inner if inner.is_dir() else folder


def _spellings(signature: Signature) -> set[str]:
    """The literals as they are, and with what bundlers escape: quotes and everything beyond ASCII."""
    texts = signature.literals
    spelled = {*texts, *(each.encode("unicode_escape").decode() for each in texts)}
    return spelled | {each.replace('"', '\\"') for each in texts}


def _pieces(signature: Signature) -> list[list[str]]:
    """Of each literal that is put together at run time, the parts that stand in the code."""
    parts = ([piece.strip() for piece in _PIECE.split(each)] for each in signature.literals)
    long = ([each for each in some if len(each) >= _SHORTEST_PIECE] for some in parts if len(some) > 1)
    return [each for each in long if each]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
