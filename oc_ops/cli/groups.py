"""What `oc-ops --help` shows: the commands by what one wants to do, each with one whole line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typer.core import TyperGroup

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter  # typer carries click with it

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
