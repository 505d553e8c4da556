"""A Telegram Bot API and a model provider on loopback, that refuse, hang or answer: faults a lab's gateway can meet."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

TELEGRAM_MODES = ("ok", "closed", "401", "409", "hang", "stale")
"""Modes of the fake Bot API: `closed` answers polls and cuts every message off, `hang` never ends a poll, `stale` ends
none until the bot logs in anew, as a connection does whose other end is gone."""
PROVIDER_MODES = ("ok", "401", "402", "429", "slow")
"""Modes of the fake provider; `slow` takes SLOW_S for a reply."""
MODES: Mapping[str, tuple[str, ...]] = {"telegram": TELEGRAM_MODES, "provider": PROVIDER_MODES}
TOKEN = "123456:lab-token-of-no-account"  # noqa: S105 - a form that Telegram never gave out
SLOW_S = 8.0
_POLL_S = 2.0
_TURN_S = 0.05
_MOST_BYTES = 8 * 2**20
_CHUNK = {"id": "lab", "object": "chat.completion.chunk", "created": 0, "model": "lab-model"}

_TELEGRAM_REFUSALS: Mapping[str, tuple[int, str]] = {
    "401": (401, "Unauthorized"),
    "409": (409, "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"),
}
_PROVIDER_REFUSALS: Mapping[str, tuple[int, str, str]] = {
    "401": (401, "invalid_api_key", "Incorrect API key provided: lab"),
    "402": (402, "insufficient_quota", "Insufficient credits: this account has run out of credit"),
    "429": (429, "rate_limit_exceeded", "Rate limit reached for requests"),
}


@dataclass
class Fake:
    """One of the two; `mode` may be changed while it serves. `asked` are the requests so far, by their last word."""

    name: str
    mode: str = "ok"
    port: int = 0
    asked: list[str] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Fake:
        """Serve on `port` of 127.0.0.1, on any free one when it is 0."""
        handler = type("Handler", (_Telegram if self.name == "telegram" else _Provider,), {"fake": self})
        self._server = _Server(("127.0.0.1", self.port), handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(_TURN_S,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self.mode = "ended"
            self._server.shutdown()
            self._server.server_close()

    @property
    def config(self) -> Mapping[str, object]:
        """The part of a lab's openclaw.json that has its gateway ask this one."""
        url = f"http://127.0.0.1:{self.port}"
        if self.name == "telegram":
            account = {"enabled": True, "botToken": TOKEN, "apiRoot": url, "dmPolicy": "open", "allowFrom": ["*"]}
            return {"channels": {"telegram": account}}
        model = {"id": "lab-model", "name": "lab", "contextWindow": 32000, "maxTokens": 1000}
        provider = {"baseUrl": f"{url}/v1", "apiKey": "lab", "api": "openai-completions", "models": [model]}
        return {
            "models": {"mode": "merge", "providers": {"lab": provider}},
            "agents": {"defaults": {"model": {"primary": "lab/lab-model"}}},
        }


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as trial:
        return int(trial.getsockname()[1])


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


class _Handler(BaseHTTPRequestHandler):
    """The common part: bodies read, answers in JSON, nothing logged."""

    fake: Fake
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: standard error is the lab's."""

    def body(self) -> Mapping[str, object]:
        """The request's JSON body; an empty table for any other."""
        length = min(int(self.headers.get("Content-Length") or 0), _MOST_BYTES)
        try:
            value = json.loads(self.rfile.read(length) or b"{}")
        except ValueError:
            return {}
        return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}

    def answer(self, status: int, payload: object) -> None:
        """One JSON answer."""
        self.send(status, json.dumps(payload).encode(), "application/json")

    def send(self, status: int, content: bytes, kind: str) -> None:
        """One answer with its length; a caller that has gone is no fault."""
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            self.close_connection = True

    def held(self, seconds: float) -> None:
        """Wait, but no longer than the mode stays as it is."""
        mode, until = self.fake.mode, time.monotonic() + seconds
        while self.fake.mode == mode and time.monotonic() < until:
            time.sleep(_TURN_S)

    def cut(self) -> None:
        """End the connection without a word."""
        self.close_connection = True
        self.connection.close()


class _Telegram(_Handler):
    """Just enough of the Bot API for a polling channel."""

    def do_GET(self) -> None:
        """Methods may be called by GET as well."""
        self.do_POST()

    def do_POST(self) -> None:
        """One method call."""
        fake, method, body = self.fake, self.path.partition("?")[0].rpartition("/")[2], self.body()
        fake.asked.append(method)
        if method == "getMe" and fake.mode == "stale":
            fake.mode = "ok"
        refusal = _TELEGRAM_REFUSALS.get(fake.mode)
        if refusal and (fake.mode == "401" or method == "getUpdates"):
            self.answer(refusal[0], {"ok": False, "error_code": refusal[0], "description": refusal[1]})
        elif fake.mode == "closed" and method.startswith("send"):
            self.cut()
        elif method == "getUpdates":
            self.held(3600.0 if fake.mode in ("hang", "stale") else _POLL_S)
            self.answer(200, {"ok": True, "result": []})
        else:
            self.answer(200, {"ok": True, "result": _telegram_result(method, body)})


def _telegram_result(method: str, body: Mapping[str, object]) -> object:
    bot = {"id": 123456, "is_bot": True, "first_name": "lab", "username": "lab_bot", "can_join_groups": True}
    if method == "getMe":
        return bot
    if method == "getWebhookInfo":
        return {"url": "", "has_custom_certificate": False, "pending_update_count": 0}
    if method.startswith("send"):
        chat = {"id": body.get("chat_id"), "type": "private"}
        return {"message_id": 1, "date": int(time.time()), "chat": chat, "from": bot, "text": body.get("text", "")}
    return True


class _Provider(_Handler):
    """Just enough of an OpenAI-compatible API for one turn of an agent."""

    def do_GET(self) -> None:
        """The list of models."""
        self.fake.asked.append(self.path.rpartition("/")[2])
        self.answer(200, {"object": "list", "data": [{"id": "lab-model", "object": "model", "owned_by": "lab"}]})

    def do_POST(self) -> None:
        """One completion, streamed where that is wanted."""
        fake, body = self.fake, self.body()
        fake.asked.append(self.path.rpartition("/")[2])
        if refusal := _PROVIDER_REFUSALS.get(fake.mode):
            status, code, message = refusal
            self.answer(status, {"error": {"message": message, "type": code, "code": code}})
            return
        if fake.mode == "slow":
            self.held(SLOW_S)
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        if body.get("stream") is not True:
            choice = {"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}
            self.answer(200, {**_CHUNK, "object": "chat.completion", "choices": [choice], "usage": usage})
            return
        deltas: tuple[tuple[dict[str, str], str | None], ...] = (
            ({"role": "assistant", "content": "fine"}, None),
            ({}, "stop"),
        )
        lines = [{**_CHUNK, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]} for delta, end in deltas]
        lines.append({**_CHUNK, "choices": [], "usage": usage})
        stream = "".join(f"data: {json.dumps(line)}\n\n" for line in lines) + "data: [DONE]\n\n"
        self.send(200, stream.encode(), "text/event-stream")


def main(name: str, mode: str, port: str) -> None:
    """Serve until ended: `python -m oc_ops.lab.fakes telegram 401 PORT`."""
    with Fake(name, mode, int(port)):
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:4])
