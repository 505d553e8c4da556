"""The page that pytest-html wrote, made safe to open anywhere and quick to read."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import escape, unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oc_ops.text import regex

if TYPE_CHECKING:
    from oc_ops.record.redact import Redactor

_TEMPLATES = Path(__file__).parent / "templates"
_LOG = 20_000
_LOGS = 300_000

_BLOB = regex(r'(<div id="data-container" data-jsonblob=")([^"]*)(")')
_SCRIPT = regex(
    r'<div id="data-container" data-jsonblob="[^"]*"></div>\s*<script>((?:(?!</?script).)*)</script>\s*</footer>'
    r"\s*</body>\s*</html>\s*\Z",
    re.DOTALL,
)
_GENERATED = regex(r"<p>Report generated on (?:(?!</p>).)*</p>", re.DOTALL)
_HEAD = regex(r"<head>.*?</head>", re.DOTALL)
_CELL = regex(r'<td class="(col-[A-Za-z]+)">([^<>]*)</td>')
_ANY_CELL = regex(r'<td class="(col-[A-Za-z]+)">(.*)</td>', re.DOTALL)
_RESULTS = frozenset({"Passed", "Failed", "Error", "Skipped", "XFailed", "XPassed", "Rerun"})


def mark(name: str, html: str) -> str:
    """Enclose one of our parts so that `finish` finds it; text cannot imitate the marks, since it is escaped."""
    return f"<!--oc-ops:{name}-->{html}<!--/oc-ops:{name}-->"


def finish(html: str, title: str, redactor: Redactor) -> str:
    """Return pytest-html's page with our parts first, its own table folded below, and nothing in it that can act.

    A strict Content-Security-Policy admits pytest-html's one script by hash and nothing else: no network, no inline
    handler, no form. Everything its script would put into the page as HTML is escaped beforehand, links to the outside
    and the environment table (unescaped values of CI variables) go. Of a page in an unknown shape the policy, the
    style and our parts remain.
    """
    html = html.replace("\r\n", "\n")
    first, html = _cut(html, "first")
    evidence, html = _cut(html, "evidence")
    html = _BLOB.sub(lambda blob: f"{blob[1]}{escape(_clean_blob(blob[2], redactor))}{blob[3]}", html, count=1)
    html = re.sub(r'<a href="https?://[^"]*">([^<]*)</a>', r"\1", html)
    html = html.replace(' onclick="location.reload()"', "")
    html = _GENERATED.sub("", html, count=1)  # a clock time without its offset; our own part says when
    html = re.sub(r'<h1 id="title">[^<]*</h1>', "", html, count=1)
    head = _head(title, _script_source(html))
    html, replaced = _HEAD.subn(lambda _: head, html, count=1)
    if not replaced:
        html = f"<!DOCTYPE html>\n<html>\n{head}\n<body>\n{html}"
    html = html.replace("<html>", '<html lang="en">', 1)
    fold = '<details class="tests">\n<summary>The tests as pytest ran them</summary>'
    top = f"<body>\n<main>\n{first}\n{evidence}\n</main>\n{fold}"
    html = html.replace("<body>", top, 1)
    return "</details>\n<footer>".join(html.rsplit("<footer>", 1))


def standalone(title: str, body: str, *styles: str) -> str:
    """A page of our own round an HTML body: the report's style and `styles` of this folder, no script at all."""
    head = _head(title, "'none'", *styles)
    return f'<!DOCTYPE html>\n<html lang="en">\n{head}\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n'


def _cut(html: str, name: str) -> tuple[str, str]:
    """One of our parts and the page without it."""
    before, opening, rest = html.partition(f"<!--oc-ops:{name}-->")
    part, closing, after = rest.partition(f"<!--/oc-ops:{name}-->")
    return (part, before + after) if opening and closing else ("", html)


def _script_source(html: str) -> str:
    """The script that the policy admits: pytest-html's own, known by the data before it and the footer behind it."""
    found = _SCRIPT.search(html)
    if found is None:
        return "'none'"
    digest = hashlib.sha256(found[1].encode("utf-8", "replace")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _head(title: str, script_source: str, *styles: str) -> str:
    style = "".join((_TEMPLATES / each).read_text("utf-8") for each in ("page.css", "chart.css", *styles))
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src {script_source}; base-uri 'none'; form-action 'none'"
    )
    return f"""<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>"""


def _clean_blob(attribute: str, redactor: Redactor) -> str:
    """pytest-html's data, without what its script would take for HTML."""
    try:
        data: dict[str, Any] = json.loads(unescape(attribute))
        tests = [test for group in data["tests"].values() for test in group]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "{}"
    data["environment"] = {}
    budget = _LOGS
    for test in tests:
        test["log"] = redactor.block(str(test.get("log", "")), min(_LOG, budget))
        budget = max(budget - len(test["log"]), 300)
        test["extras"] = []
        test["result"] = test["result"] if test.get("result") in _RESULTS else "Error"
        test["resultsTableRow"] = [_clean_cell(str(cell), redactor) for cell in test.get("resultsTableRow", [])]
    data["tests"] = {str(number): [test] for number, test in enumerate(tests)}
    return json.dumps(data)


def _clean_cell(cell: str, redactor: Redactor) -> str:
    """A table cell that holds text and nothing else."""
    if _CELL.fullmatch(cell):
        return cell
    whole = _ANY_CELL.fullmatch(cell)
    column, text = (whole[1], whole[2]) if whole else ("col-other", cell)
    return f'<td class="{column}">{escape(redactor.line(text))}</td>'
