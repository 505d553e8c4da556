"""`oc-ops metrics`: the history for Prometheus, as text, as a file for node_exporter, or on a port of this machine."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oc_ops.errors import OcOpsError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from oc_ops.record.metrics import Metrics

_ADDRESS = re.compile(r"(127\.\d{1,3}\.\d{1,3}\.\d{1,3}|localhost|\[::1\]):(\d{1,5})")


def register(app: typer.Typer) -> None:
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
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a machine to read.")] = False,
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
