"""The ground of every command: the headings of `oc-ops --help`, tables, streams that take any character, a clock."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from oc_ops.text import clock_trouble

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter  # typer carries click with it

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a machine to read.")]
Target = Annotated[str | None, typer.Option("--target", metavar="T", help="The gateway, as `oc-ops targets` names it.")]
Executable = Annotated[str | None, typer.Option("--openclaw", metavar="PATH", help="The `openclaw` executable.")]

GROUPS = {
    "Look (nothing is changed)": {
        "doctor": "what is wrong with the gateway, and the one thing to do",
        "targets": "which gateways there are here",
        "jobs": "the cron jobs, and whether those that matter run",
        "incidents": "what went wrong since when; take it on, mute it",
        "history": "the past as a page: availability, latencies, runs",
        "logs": "known error lines in any log file",
        "metrics": "the same figures for Prometheus",
    },
    "Act (each within limits)": {
        "recover": "one attempt at the cure that fits the cause",
        "run": "run one cron job once, now, with a transcript",
        "breaker": "break a stale marker or lock, each with your approval",
    },
    "Keep watch": {
        "schedule": "the doctor every few minutes, by the system's scheduler",
        "notify": "tell people of what changes; send them a test message",
        "tmux": "the cockpit: a tmux session that shows it all live",
    },
    "Set up": {
        "config": "every setting, its value and where it came from",
        "lab": "a throwaway real gateway to try things on",
        "skill": "teach the gateway's agent when to look",
        "uninstall": "what oc-ops keeps on this machine, and how to remove it",
    },
}


class Whole(TyperGroup):
    """A group whose commands are told in whole sentences, however narrow the terminal is."""

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """One list of definitions, in the order in which the commands were declared."""
        told = [(name, self.commands[name]) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(300)) for name, each in told if not each.hidden])


class Grouped(TyperGroup):
    """The commands under the headings of GROUPS; one that is in none of them comes last."""

    def list_commands(self, ctx: Context) -> list[str]:
        """The commands in the order of the headings."""
        order = [name for group in GROUPS.values() for name in group]
        return sorted(super().list_commands(ctx), key=lambda name: order.index(name) if name in order else len(order))

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """One list of definitions a heading, in columns of one width."""
        left = {name: self.commands[name] for name in self.list_commands(ctx)}
        for title, lines in GROUPS.items():
            rows = [(f"{name:10}", line) for name, line in lines.items() if left.pop(name, None)]
            with formatter.section(title):
                formatter.write_dl(rows)
        rows = [(f"{name:10}", each.get_short_help_str(200)) for name, each in left.items() if not each.hidden]
        if rows:
            with formatter.section("Also"):
                formatter.write_dl(rows)


Row = Sequence[str]
Styles = Callable[[Row], Sequence[str]]
"""The style of each cell of a row, as rich names it."""


def show_table(head: Row, rows: Sequence[Row], styles: Styles = lambda row: [""] * len(row)) -> None:
    """Print it, its header first; no cell is cut, and none breaks a line of a pipe, however narrow COLUMNS is."""
    if not sys.stdout.isatty():
        for row in (head, *rows):
            print("\t".join(" ".join(cell.splitlines()).replace("\t", " ") for cell in row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table: Table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for title in head:
        table.add_column(title, overflow="fold", no_wrap=len(title) < 3)
    for row in rows:
        table.add_row(*(Text(cell, style=style) for cell, style in zip(row, styles(row), strict=True)))
    Console().print(table)


def lenient() -> None:
    """A locale that lacks a character costs neither an answer nor an act: it is printed as its escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def harmless(error: object) -> str:
    """An error as a terminal may show it: it may quote a stranger's name, or the line that a secret stands in."""
    from oc_ops.record.redact import Redactor
    from oc_ops.secrecy import secrets_in

    return Redactor(secrets_in(os.environ), Path("/")).block(str(error), 4000)


def need_clock() -> None:
    """End in one sentence, with exit code 4, where this machine's clock is beyond what Python can read (2262).

    One that is merely wrong is told, and the command goes on: what it looks at says whether it can.
    """
    try:
        wrong = clock_trouble(time.time())
        if wrong:
            print(f"oc-ops: {wrong}: ages, due times and expiries mean nothing", file=sys.stderr)
    except OverflowError:
        print("oc-ops: this machine's clock is beyond the year 2262: set it right first (see `date`)", file=sys.stderr)
        sys.exit(4)
