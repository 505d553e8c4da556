"""The process that tells people: `python -m oc_ops.notify.deliver`, its request on standard input."""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from oc_ops.errors import OcOpsError
from oc_ops.locks import single_flight
from oc_ops.notify.news import Kind, News, news, read, save
from oc_ops.notify.news import asked as asked_for
from oc_ops.record.incidents import book as incidents_book
from oc_ops.record.redact import Redactor

Beat = Literal["start", "ok", "fail"]

_CLOSED_AGO = timedelta(days=2)
"""An end that could not be told for so long is no news any more."""
_LOOK: Mapping[Kind, str] = {"recovered": "success", "still down": "failure", "down": "failure"}


class Request(Struct, frozen=True):
    """The message of one run. `urls` and `ping_url` are secrets; times are seconds."""

    memory_dir: Path
    again_s: float
    deadline_s: float
    urls: str = ""
    ping_url: str = ""
    beat: Beat | None = None
    text: str = ""
    """Text that the dead-man service may show beside its beat: the run's last line."""
    gateway: str = ""
    refused: Mapping[str, str] | None = None
    plans: Sequence[str] = ()
    """The breaker's plans that the run has looked at: of these alone, still valid and still stuck, people are told."""

    @classmethod
    def parse(cls, text: str) -> Request:
        """Read what `start_delivery` wrote."""
        said = json.loads(text)
        return cls(**{**said, "memory_dir": Path(said["memory_dir"])})


class Sent(Struct, frozen=True):
    """One attempt at one address, which is named by its kind alone; `why` is empty when it was taken."""

    service: str
    why: str = ""


def main() -> None:
    """Ping, then tell what is news; ended by the alarm if it hangs."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    request = Request.parse(sys.stdin.read())
    signal.setitimer(signal.ITIMER_REAL, request.deadline_s)
    if request.beat and request.ping_url:
        # Beside the messages: neither may keep the other waiting.
        pinging = threading.Thread(target=ping, args=(request.ping_url, request.beat, request.text, request.deadline_s))
        pinging.start()
    if request.urls:
        tell(request)


def tell(request: Request) -> None:
    """Send what people do not know yet, and remember what was taken; one process at a time."""
    until = time.monotonic() + request.deadline_s
    with suppress(OcOpsError, OSError), single_flight(request.memory_dir / "notify.lock", request.deadline_s):
        now = datetime.now(UTC)
        known = read(request.memory_dir)
        book = incidents_book.read(incidents_book.journal(request.memory_dir), now - _CLOSED_AGO)
        mine = [each for each in book.incidents.values() if request.gateway in ("", each.gateway.key)]
        asked = [each for each in asked_for(request.memory_dir, now) if each.plan in request.plans]
        host = socket.gethostname()
        for each in news(mine, known.told, now, request.again_s, asked=asked, refused=request.refused, host=host):
            sent = _send_in_time(request, each, until)
            taken = [one for one in sent if not one.why]
            failed = "; ".join(f"{one.service}: {one.why}" for one in sent if one.why)
            # One that reached anybody has been told: again to all would be worse than not to one.
            known = replace(known.after(each.subject, each.told) if taken else known, failed=failed)
            save(request.memory_dir, known)


def _send_in_time(request: Request, each: News, until: float) -> Sequence[Sent]:
    left_s = max(until - time.monotonic() - 1.0, 0.1)
    try:
        return send(request.urls, each.title, each.body, _LOOK.get(each.kind, "warning"), left_s)
    except OcOpsError as error:
        return (Sent("notify", str(error)),)


def addresses(urls: str) -> tuple[str, ...]:
    """The addresses in a text: apart by blanks or line ends, lines that begin with # left out."""
    lines = (line for line in urls.splitlines() if not line.lstrip().startswith("#"))
    return tuple(word for line in lines for word in line.split())


def send(urls: str, title: str, body: str, look: str, deadline_s: float) -> Sequence[Sent]:
    """Send one message to every address at once; who has not answered within `deadline_s` seconds has not taken it.

    Raises OcOpsError when Apprise is not installed. No address is in what comes back.
    """
    try:
        import apprise
    except ImportError:
        raise OcOpsError("Apprise is not installed for this Python: pip install -e '.[notify]'") from None
    wanted = addresses(urls)
    came: list[Sent | None] = [None] * len(wanted)

    def one(number: int, url: str) -> None:
        came[number] = _one(apprise, url, title, body, look)

    threads = [threading.Thread(target=one, args=each, daemon=True) for each in enumerate(wanted)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + deadline_s
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0.0))
    late = f"no answer in {deadline_s:.0f} s"
    return tuple(each or Sent(_kind(url), late) for url, each in zip(wanted, came, strict=True))


def _one(apprise: object, url: str, title: str, body: str, look: str) -> Sent:
    """One address. Apprise says why in its log only, and may name the address there."""
    service = _kind(url)
    try:
        to = apprise.Apprise()  # type: ignore[attr-defined]
        if not to.add(url):
            return Sent(service, "Apprise does not know such an address")
        with apprise.LogCapture(level=30, fmt="%(message)s") as log:  # type: ignore[attr-defined]
            if to.notify(title=title, body=body, notify_type=look):
                return Sent(service)
            return Sent(service, _without(url, log.getvalue()) or "not accepted")
    except Exception as error:
        return Sent(service, _without(url, f"{type(error).__name__}: {error}"))


def ping(url: str, beat: Beat, text: str, deadline_s: float) -> Sent:
    """Tell a dead-man service that a run starts, or has ended well or badly: URL/start, URL, URL/fail, by POST."""
    parts = urllib.parse.urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return Sent("ping", "need an http or https URL")
    path = parts.path.rstrip("/") + ("" if beat == "ok" else f"/{beat}")
    request = urllib.request.Request(  # noqa: S310 - http and https only
        urllib.parse.urlunsplit(parts._replace(path=path or "/")), data=text.encode(), method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=deadline_s) as answer:  # noqa: S310
            answer.read(1024)
        return Sent("ping")
    except (OSError, ValueError, urllib.error.URLError) as error:
        return Sent("ping", _without(url, str(error)))


def _kind(url: str) -> str:
    scheme = url.partition("://")[0]
    return scheme if len(scheme) < 20 and scheme.isalnum() else "unknown kind"


def _without(url: str, text: str) -> str:
    """A text without the address, and without any part of it that could be its secret."""
    parts = (part for piece in _pieces(url) for part in (piece, urllib.parse.unquote(piece)))
    return Redactor((url, *parts), Path.home()).line(text.strip(), 300)


def _pieces(url: str) -> Iterable[str]:
    rest = url.partition("://")[2]
    for mark in "/?&=@:":
        rest = rest.replace(mark, " ")
    return rest.split()


if __name__ == "__main__":
    main()
