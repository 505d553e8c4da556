"""`oc-ops notify`: whether people would be told."""

from __future__ import annotations

import socket

import typer

from oc_ops.cli.groups import Whole
from oc_ops.errors import OcOpsError

app = typer.Typer(
    cls=Whole,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Tell people what changed, out of band: OC_OPS_NOTIFY_URLS (Apprise, pip install -e '.[notify]') and a "
    "dead-man OC_OPS_PING_URL.",
)


@app.callback()
def group() -> None:
    """Keep `test` a command of its own, though there is no other."""


@app.command(
    help="Send a test message to every address, and one beat to the dead-man URL; say which accepted it."
)
def test() -> None:
    """Exit code 0: all accepted it; 1: one did not; 4: no address is set. No address is shown."""
    from oc_ops import settings
    from oc_ops.notify import deliver

    loaded = settings.load()
    urls, ping_url = loaded.secret("notify_urls"), loaded.secret("ping_url")
    if not deliver.addresses(urls) and not ping_url:
        raise OcOpsError("no notification address is set: set OC_OPS_NOTIFY_URLS or OC_OPS_PING_URL")
    host, limit_s = socket.gethostname(), loaded.notify_s
    sent: list[deliver.Sent] = []
    if deliver.addresses(urls):  # without any, Apprise need not be installed
        sent += deliver.send(urls, f"TEST: oc-ops on {host}", "Nothing is wrong: this is a test.", "info", limit_s)
    if ping_url:
        sent.append(deliver.ping(ping_url, "ok", f"oc-ops notify test on {host}", limit_s))
    for each in sent:
        print(f"{each.service}: {each.why or 'accepted'}")
    if any(each.why for each in sent):
        raise typer.Exit(1)
