"""The operator's openclaw.json, as far as a doctor reads it: where the gateway listens and how it is asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from oc_ops.errors import CouldNotLook
from oc_ops.observe.target import Target

DEFAULT_PORT = 18789
"""The documented default of `gateway.port`."""

_SECRET_KEY = re.compile(r"token|password|passwd|secret|api.?key|private.?key|credential|authorization", re.I)
_SECRET_TEXT = re.compile(rf"""["']?\w*(?:{_SECRET_KEY.pattern})\w*["']?\s*:\s*["']([^"'\n]+)["']""", re.I)
_REFERENCE = re.compile(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Credential:
    """What the gateway is asked with. `unresolved` says in `why` which form we do not follow (the CLI does)."""

    kind: Literal["token", "password", "none", "unresolved"]
    value: str = field(default="", repr=False)
    why: str = ""


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """What one reading of the config file said. `error` is set when the file could not be parsed."""

    path: Path
    exists: bool
    error: str | None = None
    mode: str = "local"
    port: int = DEFAULT_PORT
    host: str = "127.0.0.1"
    tls: bool = False
    credential: Credential = Credential("none")
    browser_enabled: bool = True
    cron_enabled: bool = True
    log_file: Path | None = None
    includes: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False)


def read(target: Target) -> GatewayConfig:
    """Read the config file of a target; a file that does not parse is an observation, not an error.

    Raises CouldNotLook when the file exists and cannot be read at all.
    """
    path = target.config_path
    environ = {**_dotenv(target.state_dir / ".env"), **target.environ}
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return GatewayConfig(path, exists=False, port=_port(environ, {}), credential=_credential({}, environ))
    except OSError as error:
        raise CouldNotLook(f"cannot read {path}: {error.strerror}; run the doctor as the user who owns it") from error
    try:
        root = _parsed(text)
    except ValueError as error:
        secrets = tuple(match[1] for match in _SECRET_TEXT.finditer(text))
        return GatewayConfig(path, exists=True, error=str(error), port=_port(environ, {}), secrets=secrets)
    gateway = _table(root, "gateway")
    log_file = _substituted(_table(root, "logging").get("file"), environ)
    return GatewayConfig(
        path,
        exists=True,
        mode=str(gateway.get("mode", "local")),
        port=_port(environ, gateway),
        tls=bool(_table(gateway, "tls").get("enabled")),
        credential=_credential(gateway, environ),
        browser_enabled=_table(root, "browser").get("enabled") is not False,
        cron_enabled=_table(root, "cron").get("enabled") is not False,
        log_file=_path(log_file, target.home) if isinstance(log_file, str) and log_file else None,
        includes="$include" in text,
        secrets=tuple(_secrets(root, environ)),
    )


def quieted(target: Target, log_file: Path) -> str | None:
    """The config as text with `logging.file` pointed elsewhere, or None where a copy would not mean the same.

    It keeps an `openclaw` call out of the gateway's own log on releases whose log level cannot be lowered
    (2026.2.26 crashes on it). The text holds the token: whoever writes it down uses mode 0600.
    """
    try:
        root = dict(_parsed(target.config_path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
    if "$include" in json.dumps(root):
        return None
    root["logging"] = {**_table(root, "logging"), "file": str(log_file)}
    return json.dumps(root)


def _parsed(text: str) -> Mapping[str, object]:
    """JSON5, read as strict JSON where it is (OpenClaw writes it so); raises ValueError with line and column."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as strict:
        import pyjson5

        try:
            value = pyjson5.decode(text)
        except pyjson5.Json5DecoderException as error:
            place = f"line {strict.lineno} column {strict.colno}"
            raise ValueError(f"JSON5 does not parse near {place}: {str(error).splitlines()[0]}") from error
    if not isinstance(value, dict):
        raise ValueError("the top level is not an object")
    return cast("dict[str, object]", value)


def _table(table: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = table.get(key)
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def _port(environ: Mapping[str, str], gateway: Mapping[str, object]) -> int:
    """`OPENCLAW_GATEWAY_PORT` > `gateway.port` > 18789, as documented; nonsense is left to the config check."""
    for raw in (environ.get("OPENCLAW_GATEWAY_PORT"), gateway.get("port")):
        if str(raw or "").isdigit() and 0 < int(str(raw)) < 65536:
            return int(str(raw))
    return DEFAULT_PORT


def _credential(gateway: Mapping[str, object], environ: Mapping[str, str]) -> Credential:
    """The local precedence of docs/gateway/remote.md: the config's value, then the environment's."""
    auth = _table(gateway, "auth")
    mode = auth.get("mode")
    if mode in ("none", "trusted-proxy"):
        return Credential("none") if mode == "none" else Credential("unresolved", why=f"gateway.auth.mode is {mode}")
    kinds: tuple[Literal["token", "password"], ...] = ("token", "password")
    for kind in kinds:
        if mode in kinds and mode != kind:
            continue
        value = auth.get(kind) or environ.get(f"OPENCLAW_GATEWAY_{kind.upper()}")
        if not value:
            continue
        if not isinstance(value, str):
            return Credential("unresolved", why=f"gateway.auth.{kind} is a SecretRef")
        resolved = _substituted(value, environ)
        if isinstance(resolved, str):
            return Credential(kind, resolved)
        return Credential("unresolved", why=f"gateway.auth.{kind} refers to an unset environment variable")
    return Credential("none")


def _substituted(value: object, environ: Mapping[str, str]) -> object:
    """A config string with its `${VAR}` references filled in; None when one is not set."""
    if not isinstance(value, str):
        return value
    names = _REFERENCE.findall(value)
    if any(not environ.get(name) for name in names):
        return None
    return _REFERENCE.sub(lambda match: environ[match[1]], value).replace("$${", "${")


def _secrets(value: object, environ: Mapping[str, str], key: str = "") -> Iterator[str]:
    """Every string that stands under a key that names a secret, and what its references resolve to."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _secrets(each, environ, name if _SECRET_KEY.search(name) else key)
    elif isinstance(value, list):
        for each in value:
            yield from _secrets(each, environ, key)
    elif isinstance(value, str) and key:
        yield value
        yield from (environ[name] for name in _REFERENCE.findall(value) if environ.get(name))


def _dotenv(path: Path) -> dict[str, str]:
    """The state directory's .env, which OpenClaw reads before it fills in references; unreadable means empty."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.removeprefix("export ").split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, value in pairs}


def _path(text: str, home: Path) -> Path:
    return home / text[2:] if text.startswith("~/") else Path(text)
