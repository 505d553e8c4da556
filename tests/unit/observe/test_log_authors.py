"""Whose a record is: the CLI's own, our connection's and what is quoted from a chat do not count."""

from __future__ import annotations

from pathlib import Path

import pytest

from oc_ops.observe.logs.records import read
from tests.support.log_lines import NOW, at, line, look, texts

CLI_RECORDS = {
    "2026.2.26 error": line("Error: gateway timeout after 30000ms\nGateway target: ws://x", name="openclaw"),
    "2026.2.26 answer": line('{\n  "jobs": [{"lastError": "gateway timeout"}]\n}', name="openclaw", level="INFO"),
    "2026.5.28": line("x", name="openclaw", message="GatewayTransportError: gateway timeout after 30000ms"),
    "2026.9.6": line("x", name="openclaw", message="Gateway not reachable: gateway timeout (ETIMEDOUT)."),
    "huge answer": line("gateway timeout" + "x" * 400_000, name="openclaw", level="INFO"),
}


@pytest.mark.parametrize("record", CLI_RECORDS.values(), ids=CLI_RECORDS)
def test_what_a_cli_call_appended_does_not_count(tmp_path: Path, record: str) -> None:
    """Another pane's `openclaw` says nothing about the gateway, however long its answer; it is counted apart."""
    log = tmp_path / "l"
    log.write_text(record + "\n")
    view = look(log, "gateway timeout")
    assert (texts(view), view.own_dropped) == ([], 1)


def test_a_cli_record_with_broken_utf8_does_not_count(tmp_path: Path) -> None:
    """A bad byte or a control character in a job's name does not make the record the gateway's."""
    log = tmp_path / "l"
    raw = line("gateway timeout in job QX", name="openclaw").encode()
    log.write_bytes(raw.replace(b"Q", b"\xff").replace(b"X", b"\x00") + b"\n")
    assert look(log, "gateway timeout").own_dropped == 1


GATEWAY_RECORDS = {
    "subsystem": line("gateway timeout after 5 ms", name='{"subsystem":"gateway/ws"}'),
    "module": line("gateway timeout", name='{"module":"cron","storeKey":"x"}'),
    "console": line("[openclaw] Unhandled promise rejection: gateway timeout", name="openclaw"),
    "plain": "Error: gateway timeout\n    at node:internal",
    "another name": line("gateway timeout", name="other"),
}


@pytest.mark.parametrize("record", GATEWAY_RECORDS.values(), ids=GATEWAY_RECORDS)
def test_what_the_gateway_wrote_counts(tmp_path: Path, record: str) -> None:
    """Its loggers, its `[openclaw]` console lines, and whatever reached the file raw."""
    log = tmp_path / "l"
    log.write_text(record + "\n")
    view = look(log, "gateway timeout")
    assert (len(view.records), view.own_dropped) == (1, 0)


FAILED_COMMAND = (
    "[openclaw] The CLI command failed.",
    "[openclaw] Reason: gateway timeout",
    "[openclaw] Try: gateway timeout",
)


@pytest.mark.parametrize("said", FAILED_COMMAND)
def test_a_failed_command_s_lines_do_not_count(said: str) -> None:
    """2026.9.6 begins them with the same `[openclaw]` as the gateway's own console lines."""
    assert read(line(said, name="openclaw").encode(), Path("openclaw.log"))[1] == "cli"


CHATS = {
    "payload": line({"body": "my build says EPIPE", "from": "+49"}, "inbound message", name='{"module":"web-inbound"}'),
    "message field": line({"body": "EPIPE"}, "inbound message", message="inbound message"),
    "inbound": line("Inbound body: what does EPIPE mean", name='{"subsystem":"gateway/channels/whatsapp"}'),
    "reply": line("Reply body: EPIPE means a closed pipe"),
    "preview": line('slack inbound: channel=C1 from=U1 preview="why EPIPE?"'),
    "quoted reply": line('telegram reply-context: replyToId=7 replyToSender=x replyToBody="EPIPE"'),
    "agent event": line("→ event agent run=1 stream=assistant aseq=2 text=EPIPE is a closed pipe", level="DEBUG"),
    "agent event in colour": line("→ event agent run=1 \x1b[2mtext\x1b[22m=EPIPE is a closed pipe", level="DEBUG"),
    "nested": line({"payload": {"error": "EPIPE"}, "prompt": "EPIPE", "text": "EPIPE"}, "run started"),
}


@pytest.mark.parametrize("record", CHATS.values(), ids=CHATS)
def test_what_is_quoted_from_a_chat_does_not_count(tmp_path: Path, record: str) -> None:
    """Somebody who asks the agent about an error has not caused one."""
    log = tmp_path / "l"
    log.write_text(record + "\n")
    assert texts(look(log, "EPIPE")) == []


FAULTS = {
    "error": (line({"jobId": "j", "error": "write EPIPE"}, "job failed"), "job failed error=write EPIPE"),
    "beside a message": (line({"err": "write EPIPE"}, "x", message="job failed"), "job failed err=write EPIPE"),
    "a logged Error": (line({"name": "Error", "message": "write EPIPE"}), "message=write EPIPE"),
    "its cause": (line({"error": {"message": "write EPIPE", "stack": []}}, "failed"), "failed error=write EPIPE"),
    "said twice": (line({"error": "write EPIPE"}, "failed: write EPIPE"), "failed: write EPIPE"),
}


@pytest.mark.parametrize(("record", "text"), FAULTS.values(), ids=FAULTS)
def test_of_a_payload_what_names_a_fault_counts(tmp_path: Path, record: str, text: str) -> None:
    """The gateway logs the reason beside the message, in a few well-known fields."""
    log = tmp_path / "l"
    log.write_text(record + "\n")
    assert texts(look(log, "EPIPE")) == [text]


RPC_RECORDS = {
    "2026.2.26": line("unauthorized conn=1 remote=127.0.0.1 client=oc-ops cli v0.1.0 reason=token_mismatch"),
    "2026.2.26 closed": line({"userAgent": "oc-ops/0.1.0"}, "closed before connect conn=1 ua=oc-ops/0.1.0 code=1000"),
    "2026.9.6": line("x", message="unauthorized client=oc-ops cli v0.1.0 ua=oc-ops/0.1.0 reason=token_mismatch"),
    "console": f"{at(NOW)} [ws] unauthorized client=oc-ops cli v0.1.0 reason=token_mismatch",
}


@pytest.mark.parametrize("record", RPC_RECORDS.values(), ids=RPC_RECORDS)
def test_what_our_own_connection_caused_does_not_count(tmp_path: Path, record: str) -> None:
    """The gateway writes of our refused connections too: rule 9 holds for these as well."""
    log = tmp_path / "l"
    others = record.replace("oc-ops", "control-ui")
    log.write_text(f"{record}\n{others}\n")
    view = look(log, "unauthorized", "closed before connect")
    assert (len(view.records), view.own_dropped) == (1, 1)
    assert "control-ui" in view.records[0].text
