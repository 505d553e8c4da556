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
_SECRET_TEXT = re.compile(rf"""(?:{_SECRET_KEY.pattern})\w*["']?\s*:\s*((?:[\[{{][^\]}}]*)|["'][^\n]*)""", re.I)
"""A value under such a key in a text that does not parse: a string to the end of its line, or all in its brackets."""
_STRING = re.compile(r"""(["'])(.+?)(?:\1|[\s,]*$)""", re.M)
_NEAR = re.compile(r"near (\d+)")
_BYTES = re.compile(r"\bb'([^']*)'")
_MOST_INCLUDES = 10
"""How deep files may include each other, as in OpenClaw."""
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
    cron_store: Path | None = None
    log_file: Path | None = None
    includes: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False)


def read(target: Target) -> GatewayConfig:
    """Read the config file of a target; a file that does not parse is an observation, not an error.

    Raises CouldNotLook when the file exists and cannot be read at all. `$include` is followed, `env` filled in.
    """
    path = target.config_path
    dotenv = _dotenv(target.state_dir / ".env")
    environ = {**dotenv, **target.environ}
    own_secrets = tuple(value for name, value in dotenv.items() if value and _SECRET_KEY.search(name))
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        credential = _credential({}, environ)
        return GatewayConfig(path, False, port=_port(environ, {}), credential=credential, secrets=own_secrets)
    except OSError as error:
        raise CouldNotLook(f"cannot read {path}: {error.strerror}; run the doctor as the user who owns it") from error
    try:
        root = _table({"": _included(_parsed(text), path.parent, target.home)}, "")
    except ValueError as error:
        secrets = tuple(each[2] for found in _SECRET_TEXT.finditer(text) for each in _STRING.finditer(found[1]))
        return GatewayConfig(path, True, error=str(error), port=_port(environ, {}), secrets=secrets + own_secrets)
    own = _table(root, "env")
    environ = {
        **{name: value for name, value in {**own, **_table(own, "vars")}.items() if isinstance(value, str)},
        **environ,
    }
    gateway = _table(root, "gateway")
    log_file = _substituted(_table(root, "logging").get("file"), environ)
    cron_store = _table(root, "cron").get("store")
    return GatewayConfig(
        path,
        exists=True,
        mode=str(gateway.get("mode", "local")),
        port=_port(environ, gateway),
        tls=bool(_table(gateway, "tls").get("enabled")),
        credential=_credential(gateway, environ),
        browser_enabled=_table(root, "browser").get("enabled") is not False,
        cron_store=_path(cron_store, target.home) if isinstance(cron_store, str) and cron_store else None,
        log_file=_path(log_file, target.home) if isinstance(log_file, str) and log_file else None,
        includes="$include" in text,
        secrets=(*_secrets(root, environ), *own_secrets),
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
    except (ValueError, RecursionError):
        import pyjson5

        try:
            value = pyjson5.decode(text)
        except pyjson5.Json5DecoderException as error:
            # Only the first argument: the others hold what was parsed so far, secrets included.
            raise ValueError(f"JSON5 does not parse: {_placed(str(error.args[0]), text)}") from None
    if not isinstance(value, dict):
        raise ValueError("the top level is not an object")
    return cast("dict[str, object]", value)


def _placed(said: str, text: str) -> str:
    """The decoder's message with its offset as line and column, and its names of things without Python's quotes."""

    def place(near: re.Match[str]) -> str:
        before = text[: max(int(near[1]) - 1, 0)]
        return f"at line {before.count(chr(10)) + 1} column {len(before) - before.rfind(chr(10))}"

    return _NEAR.sub(place, _BYTES.sub(r"\1", said))


def _included(value: object, folder: Path, home: Path, depth: int = 0) -> object:
    """The value with its `$include` files in place: merged in order, the keys beside `$include` last.

    Raises ValueError for a file that cannot be read or parsed: OpenClaw would not start with it either.
    """
    if isinstance(value, list):
        return [_included(each, folder, home, depth) for each in value]
    if not isinstance(value, dict):
        return value
    own = {name: _included(each, folder, home, depth) for name, each in value.items() if name != "$include"}
    named = value.get("$include", [])
    merged: object = {}
    for name in named if isinstance(named, list) else [named]:
        if not isinstance(name, str):
            raise ValueError("$include names no file: it takes a path, or a list of paths")
        path = folder / _path(name, home)
        if depth >= _MOST_INCLUDES:
            raise ValueError(f"$include {name} is nested too deeply")
        try:
            part = _parsed(path.read_bytes().decode("utf-8", "replace"))
        except OSError as error:
            raise ValueError(f"$include {name}: {error.strerror}") from error
        except ValueError as error:
            raise ValueError(f"$include {name}: {error}") from error
        merged = _merged(merged, _included(part, path.parent, home, depth + 1))
    return _merged(merged, own)


def _merged(under: object, over: object) -> object:
    if isinstance(under, dict) and isinstance(over, dict):
        return {**under, **{name: _merged(under[name], each) if name in under else each for name, each in over.items()}}
    return [*under, *over] if isinstance(under, list) and isinstance(over, list) else over


def _table(table: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = table.get(key)
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def _port(environ: Mapping[str, str], gateway: Mapping[str, object]) -> int:
    """`OPENCLAW_GATEWAY_PORT` (a host before it is dropped) > `gateway.port` > the profile's own > 18789.

    A named profile's own port is 2026.9.6's FNV-1a hash of its name, 19001 for `dev`; older releases always want one
    set. Nonsense is left to the config check.
    """
    told = re.fullmatch(r"(?:\[[^\]]+\]:|[^:]+:)?([0-9]{1,5})", environ.get("OPENCLAW_GATEWAY_PORT", "").strip())
    for port in (int(told[1]) if told else None, gateway.get("port")):
        if isinstance(port, int) and not isinstance(port, bool) and 0 < port < 65536:
            return port
    profile = environ.get("OPENCLAW_PROFILE", "").strip()
    if not profile or profile.lower() == "default":
        return DEFAULT_PORT
    if profile == "dev":
        return 19001
    hashed = 2166136261
    for byte in profile.encode():
        hashed = (hashed ^ byte) * 16777619 % 2**32
    return 20000 + hashed % 40000


def port_named_by(target: Target, config: GatewayConfig) -> str:
    """Where the config's port comes from, in words."""
    if target.environ.get("OPENCLAW_GATEWAY_PORT", "").strip().rpartition(":")[2] == str(config.port):
        return "OPENCLAW_GATEWAY_PORT in the environment"
    return f"gateway.port in {config.path}" if config.exists else "the default"


def _credential(gateway: Mapping[str, object], environ: Mapping[str, str]) -> Credential:
    """The local precedence of docs/gateway/remote.md: the config's value, the environment's, then gateway.remote's."""
    auth, remote = _table(gateway, "auth"), _table(gateway, "remote")
    mode = auth.get("mode")
    if mode in ("none", "trusted-proxy"):
        return Credential("none") if mode == "none" else Credential("unresolved", why=f"gateway.auth.mode is {mode}")
    kinds: tuple[Literal["token", "password"], ...] = ("token", "password")
    for kind in kinds:
        if mode in kinds and mode != kind:
            continue
        value = auth.get(kind) or environ.get(f"OPENCLAW_GATEWAY_{kind.upper()}") or remote.get(kind)
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
        if {"source", "id"} <= value.keys():
            return  # a SecretRef names where the secret is, and `env` or `default` are no secrets
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
    return Path(f"{home}{text[1:]}" if text == "~" or text.startswith("~/") else text)
