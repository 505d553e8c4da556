"""The past, for other eyes: `oc-ops history` (a page), `oc-ops metrics` (Prometheus), `doctor --nagios` (one line)."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oc_ops.cli.frame import Json
from oc_ops.errors import OcOpsError
from oc_ops.text import regex

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from oc_ops.record.metrics import Metrics


def register_history(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "history",
        help="Draw reports/index.html: checks by time, availability, latencies, incidents, restarts.\n\n"
        "A doctor run does so itself when it changes an incident, otherwise at most once an hour. The gateway is not "
        "asked.\n\n"
        "Exit code: 0 drawn, 4 a history that cannot be read, a wrong option or setting.",
    )(history)


def history(
    oc_profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of this profile; else what was looked at last.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="T", help="Of this gateway, as `oc-ops targets` names it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The page of one gateway."""
    import os
    from pathlib import Path

    from oc_ops import settings
    from oc_ops.observe.target import chosen
    from oc_ops.record.history.database import reading
    from oc_ops.record.history.query import History
    from oc_ops.record.page import trends
    from oc_ops.record.redact import Redactor
    from oc_ops.secrecy import secrets_in

    known = settings.load({"profile": oc_profile, "target": target})
    one = chosen(known, os.environ)
    with reading(known.memory_dir) as connection:
        gateways = History(connection).gateways() if connection is not None else ()
    if one is not None:
        gateways = tuple(each for each in gateways if each.key == one.key)
        if not gateways:
            raise OcOpsError(f"target {known.target}: no run of it is on record in {known.memory_dir}")
    elif known.profile:
        gateways = tuple(each for each in gateways if each.profile == known.profile)
        if not gateways:
            raise OcOpsError(f"profile {known.profile}: no run of it is on record in {known.memory_dir}")
    redactor = Redactor(secrets_in(os.environ), Path.home())
    try:
        page = trends.write(known.report_dir, known.memory_dir, redactor, gateways[0].key if gateways else "")
    except OSError as error:
        raise OcOpsError(f"{known.report_dir} cannot be written: {error.strerror or error}") from error
    if as_json:
        print(json.dumps({"page": str(page), "gateways": [each.profile for each in gateways]}))
    else:
        print(f"history: {page}")


_ADDRESS = regex(r"(127\.\d{1,3}\.\d{1,3}\.\d{1,3}|localhost|\[::1\]):(\d{1,5})")


def register_metrics(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "metrics",
        help="Print what the history tells in Prometheus' text format: latencies of calls and jobs, timeouts, "
        "restarts, checks, incidents, the doctor's own cost.\n\n"
        "It reads memory/ops.sqlite, which every doctor run adds to; the gateway is not asked. Where a target is "
        "chosen (--target, OC_OPS_TARGET) it tells of that gateway alone, else of every one on record.\n\n"
        "Exit code: 0 written, 1 the history could not be read, 4 a wrong option or setting.",
    )(metrics)


def metrics(
    textfile: Annotated[
        Path | None,
        typer.Option(metavar="PATH.prom", help="Write it for node_exporter's textfile collector, as a whole file."),
    ] = None,
    listen: Annotated[
        str | None, typer.Option(metavar="127.0.0.1:PORT", help="Serve it there until Ctrl-C; port 0 takes a free one.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="T", help="Of this gateway alone, as `oc-ops targets` names it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """At most one of the three; none prints the text."""
    if sum((textfile is not None, listen is not None, as_json)) > 1:
        raise OcOpsError("metrics: at most one of --textfile, --listen and --json")
    from prometheus_client import CollectorRegistry, generate_latest

    from oc_ops import settings
    from oc_ops.observe.target import chosen
    from oc_ops.record.metrics import Metrics

    loaded = settings.load({"target": target})
    one = chosen(loaded, os.environ)
    told, registry = Metrics(loaded.memory_dir, of=one.key if one else ""), CollectorRegistry()
    if listen is not None:
        registry.register(told)
        _serve(listen, registry)
        return
    if as_json:
        print(json.dumps(_as_json(told)))
    else:
        registry.register(told)
        text = generate_latest(registry)
        if textfile is None:
            print(text.decode(), end="")
        else:
            _write(textfile, text)
    if told.error:
        print(f"oc-ops: {told.error}", file=sys.stderr)
        raise typer.Exit(1)


def _as_json(told: Metrics) -> dict[str, object]:
    return {
        "schema": 1,
        "metrics": [
            {
                "name": family.name,
                "type": family.type,
                "help": family.documentation,
                "samples": [
                    {"name": each.name, "labels": each.labels, "value": float(each.value)} for each in family.samples
                ],
            }
            for family in told.collect()
        ],
    }


def _write(path: Path, text: bytes) -> None:
    """Readable by node_exporter, which runs as another user; it takes files that end in `.prom` and no others."""
    from oc_ops.record import folder

    if path.suffix != ".prom":
        raise OcOpsError(f"--textfile {str(path)!r}: need a name that ends in .prom: node_exporter reads no other")
    if not path.absolute().parent.is_dir():
        need = "a folder that is there, such as node_exporter's --collector.textfile.directory"
        raise OcOpsError(f"--textfile {str(path)!r}: need {need}")
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise OcOpsError(f"--textfile {str(path)!r}: need a plain file: it is replaced as a whole, and this is none")
    try:
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        folder.write(path, text, mode=0o644)
    except OSError as error:
        raise OcOpsError(f"--textfile {str(path)!r}: need a file that can be written ({error.strerror})") from error


def _serve(listen: str, registry: CollectorRegistry) -> None:
    from oc_ops.record.exporter import Exporter

    address = _ADDRESS.fullmatch(listen)
    if address is None or int(address[2]) > 65535:
        raise OcOpsError(f"--listen {listen!r}: need an address of this machine alone, such as 127.0.0.1:9464")
    host = {"localhost": "127.0.0.1", "[::1]": "::1"}.get(address[1], address[1])
    try:
        server = Exporter(host, int(address[2]), registry)
    except OSError as error:
        raise OcOpsError(f"--listen {listen!r}: need a free port ({error.strerror})") from error
    try:
        print(f"metrics: http://{address[1]}:{server.server_port}/metrics until Ctrl-C", flush=True)
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


_LINE = regex(r"DOCTOR (OK|WARNING|CRITICAL|UNKNOWN) - ")


def run_as_plugin(doctor: Callable[[], Sequence[str]]) -> int:
    """Run the doctor with this command line, print the plugin's line and return its exit code.

    A run that says nothing of the kind, by a wrong option, a crash or its deadline, is UNKNOWN with its last words.
    """
    from oc_ops.record import nagios

    try:
        last = _last_line([*doctor(), "--nagios"])
    except OcOpsError as error:
        last = str(error)
    found = _LINE.match(last)
    print(last if found else nagios.said("UNKNOWN", last))
    return nagios.STATES[found[1] if found else "UNKNOWN"]


def _last_line(argv: Sequence[str]) -> str:
    from oc_ops import settings
    from oc_ops.process.run import run

    limits = settings.load()
    call = run(
        argv,
        environ=os.environ,
        deadline_s=limits.run_s + limits.deep_s * ("--deep" in argv) + limits.check_s,
        kill_grace_s=limits.kill_grace_s + 2.0,  # it ends its own calls, and writes its report
        survivors_allowed=True,  # whoever tells people of it
    )
    lines = [line.strip() for line in call.stdout.text.splitlines() if line.strip()]
    if call.exit is None or lines:
        return lines[-1] if call.exit is not None else call.summary
    # A usage error of pytest's has more lines below the one that says it.
    wrong = [line.strip() for line in call.stderr.text.splitlines() if "error: " in line.lower()]
    return wrong[-1] if wrong else call.summary
