"""The operator's openclaw.json, as far as a doctor reads it: where the gateway listens and how it is asked."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Literal, cast

from oc_ops import files
from oc_ops.errors import CouldNotLook
from oc_ops.observe.target import Target
from oc_ops.secrecy import secrets_in_broken, secrets_in_table, secrets_of
from oc_ops.text import regex

_PORT = "OPENCLAW_GATEWAY_PORT"
DEFAULT_PORT = 18789
"""The documented default of `gateway.port`."""

_NEAR = regex(r"near (\d+)")
_BYTES = regex(r"\bb'([^']*)'")
_MOST_INCLUDES = 10
"""How deep files may include each other, as in OpenClaw."""
_MOST_INCLUDED = 100
"""How many files one config may include altogether."""
_REFERENCE = regex(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LOG_FILE = regex(r"""\blogging["']?\s*:\s*\{[^{}]*?\bfile["']?\s*:\s*(["'])([^"'\n\\]+)\1""")
_KINDS: tuple[tuple[type | tuple[type, ...], str, tuple[str, ...]], ...] = (
    (
        dict,
        "an object",
        ("gateway", "gateway.auth", "gateway.remote", "gateway.tls", "logging", "browser", "cron", "env", "meta"),
    ),
    ((int, float), "a number", ("gateway.port",)),
    (str, "a text", ("gateway.mode", "gateway.auth.mode", "gateway.bind", "logging.file")),
    ((str, dict), "a text or a SecretRef", ("gateway.auth.token", "gateway.auth.password")),
)
"""Places read here that OpenClaw (2026.4.11 to 2026.9.6) refuses with anything else in them, null included."""


@dataclass(frozen=True, slots=True)
class Credential:
    """The credential of our calls. `unresolved` says in `why` which form we do not follow (the CLI may).

    `variables` are the environment variables that it rests on, set here or not: none for a value in the config itself.
    For `none` they are those that could name one. `lets_in` is what the gateway lacks to have one for us.
    """

    kind: Literal["token", "password", "none", "unresolved"]
    value: str = field(default="", repr=False)
    why: str = ""
    variables: tuple[str, ...] = field(default=(), compare=False)
    lets_in: Literal["", "password", "config"] = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """One reading of the config file.

    `error` is set where it could not be parsed, or has a value of a kind that OpenClaw takes for none of what is read.
    """

    path: Path
    exists: bool
    error: str | None = None
    unread: str = ""
    """Why the config cannot be read here, a pipe or one beyond our bounds; `error` says it too."""
    mode: str = "local"
    """The config's `gateway.mode`, "" in a config that has none."""
    port: int = DEFAULT_PORT
    port_by: str = ""
    """The place of the OPENCLAW_GATEWAY_PORT that counts; empty where none does."""
    host: str = "127.0.0.1"
    tls: bool = False
    credential: Credential = Credential("none")
    browser_enabled: bool = True
    cron_store: Path | None = None
    log_file: Path | None = None
    written_by: str = ""
    url: str = ""
    """OPENCLAW_GATEWAY_URL, from wherever the CLI would take it: its calls then go there."""
    remote_url: str = ""
    """`gateway.remote.url`, the gateway of a config whose mode is remote; without password, path and query."""
    secrets: tuple[str, ...] = field(default=(), repr=False)


def read(target: Target) -> GatewayConfig:
    """Read the config file of a target; a file that does not parse is an observation, not an error.

    Raises CouldNotLook when the file, or the .env beside it, exists and cannot be read at all. `$include` is followed,
    `env` filled in.
    """
    path = target.config_path
    dotenv = _dotenv(target.state_dir / ".env")
    environ = {**dotenv, **target.environ}
    own_secrets = tuple(secrets_in_table(dotenv))
    try:
        text = files.read_text(path, files.CONFIG_BYTES, errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        credential = replace(_credential({}, environ), why=f"there is no file {path}", lets_in="config")
        port, port_by = _port(environ, {}), _port_by(target, dotenv, {}, path)
        return GatewayConfig(
            path, False, port=port, port_by=port_by, credential=credential, url=_url(environ), secrets=own_secrets
        )
    except OSError as error:
        as_whom = "; run the doctor as the user who owns it" if isinstance(error, PermissionError) else ""
        raise CouldNotLook(f"cannot read {path}: {error.strerror}{as_whom}") from error
    try:
        root = _table({"": _Includes(target.home).merged(_parsed(text), path.parent)}, "")
    except ValueError as error:
        secrets, logs = tuple(secrets_in_broken(text)), _LOG_FILE.search(text)
        log_file = _substituted(logs[2], environ) if logs else None
        return GatewayConfig(
            path,
            True,
            error=str(error),
            port=_port(environ, {}),
            log_file=_path(log_file, target.home) if isinstance(log_file, str) else None,
            secrets=secrets + own_secrets,
        )
    own = _table(root, "env")
    set_here = {name: value for name, value in {**own, **_table(own, "vars")}.items() if isinstance(value, str)}
    environ = {**set_here, **environ}
    gateway = _table(root, "gateway")
    log_file = _substituted(_table(root, "logging").get("file"), environ)
    cron_store = _table(root, "cron").get("store")
    credential = _credential(gateway, environ)
    return GatewayConfig(
        path,
        exists=True,
        error=_misshapen(root),
        mode=str(gateway.get("mode") or ""),
        port=_port(environ, gateway),
        port_by=_port_by(target, dotenv, set_here, path),
        tls=bool(_table(gateway, "tls").get("enabled")),
        credential=credential,
        browser_enabled=_table(root, "browser").get("enabled") is not False,
        cron_store=_path(cron_store, target.home) if isinstance(cron_store, str) and cron_store else None,
        log_file=_path(log_file, target.home) if isinstance(log_file, str) and log_file else None,
        url=_url(environ),
        remote_url=bare(str(_table(gateway, "remote").get("url") or "")),
        written_by=str(_table(root, "meta").get("lastTouchedVersion") or ""),
        secrets=(*secrets_of(root, environ), *own_secrets, *filter(None, (credential.value,))),
    )


@dataclass(frozen=True, slots=True)
class Quieted:
    """A copy of the config that logs elsewhere: no secret is in its `text`, references lead to `environ`."""

    text: str
    environ: Mapping[str, str] = field(repr=False)


def quieted(target: Target, log_file: Path) -> Quieted | None:
    """The config with `logging.file` pointed elsewhere, or None where a copy would not mean the same.

    It keeps an `openclaw` call out of the gateway's own log on releases whose log level cannot be lowered (2026.2.26
    crashes on it). A secret stands in it as `${OC_OPS_SECRET_n}`, and what `env` sets is in the environment: a copy
    that a killed run leaves behind gives nothing away.
    """
    try:
        root = dict(_parsed(files.read_text(target.config_path, files.CONFIG_BYTES)))
        dotenv = _dotenv(target.state_dir / ".env")
    except (OSError, ValueError, CouldNotLook):
        return None
    if "$include" in json.dumps(root):
        return None
    secrets = frozenset(each for each in secrets_of(root, {}) if not _REFERENCE.fullmatch(each))
    environ = {name: each for name, each in _moved_out(root, secrets).items() if name not in dotenv}
    known = {**environ, **dotenv, **target.environ}
    root["logging"] = {**_table(root, "logging"), "file": str(log_file)}
    copy = json.dumps(_referring(root, secrets, environ, known))
    # A number, a key or a setting without a value of its own: no reference can stand there.
    return None if any(each in copy or json.dumps(each)[1:-1] in copy for each in secrets) else Quieted(copy, environ)


def _moved_out(root: dict[str, object], secrets: frozenset[str]) -> dict[str, str]:
    """Take the secrets out of the config's `env`: OpenClaw sets it as it stands, and only what is not set yet."""
    own = _table(root, "env")
    if not own:
        return {}
    moved: dict[str, str] = {}

    def without(table: Mapping[str, object]) -> dict[str, object]:
        kept: dict[str, object] = {}
        for name, value in table.items():
            if isinstance(value, str) and "${" not in value and any(each in value for each in secrets):
                moved[name] = value
            else:
                kept[name] = value
        return kept

    root["env"] = without(own)
    if "vars" in own:
        root["env"] = {**without(own), "vars": without(_table(own, "vars"))}
    return moved


def _referring(value: object, secrets: frozenset[str], environ: dict[str, str], known: Mapping[str, str]) -> object:
    """The value with each text that holds a secret replaced by a reference, what it leads to put into `environ`."""
    if isinstance(value, dict):
        return {name: _referring(each, secrets, environ, known) for name, each in value.items()}
    if isinstance(value, list):
        return [_referring(each, secrets, environ, known) for each in value]
    if isinstance(value, str) and any(each in value for each in secrets) and not _REFERENCE.fullmatch(value):
        resolved = _substituted(value, known)
        if isinstance(resolved, str) and resolved:
            name = f"OC_OPS_SECRET_{len(environ)}"
            environ[name] = resolved
            return f"${{{name}}}"
    return value


def _parsed(text: str) -> Mapping[str, object]:
    """JSON5, read as strict JSON where it is (OpenClaw writes it so); raises ValueError with line and column."""
    if (deep := files.too_deep(text)) is not None:
        raise ValueError(f"it is nested deeper than {files.MOST_DEPTH} levels {_place(text, deep)}")
    try:
        value = files.json_of(text)
    except ValueError:
        import pyjson5

        try:
            value = files.as_javascript(pyjson5.decode(text))
        except pyjson5.Json5DecoderException as error:
            # Only the first argument: the others hold what was parsed so far, secrets included.
            raise ValueError(f"JSON5 does not parse: {_placed(str(error.args[0]), text)}") from None
    if not isinstance(value, dict):
        raise ValueError("the top level is not an object")
    return cast("dict[str, object]", value)


def _placed(said: str, text: str) -> str:
    """The decoder's message with its offset as line and column, and its names of things without Python's quotes."""

    return _NEAR.sub(lambda near: _place(text, int(near[1]) - 1), _BYTES.sub(r"\1", said))


def _place(text: str, offset: int) -> str:
    before = text[: max(offset, 0)]
    return f"at line {before.count(chr(10)) + 1} column {len(before) - before.rfind(chr(10))}"


class _Includes:
    """The `$include` files of one config: so many, so large and so deep altogether, whatever includes what."""

    def __init__(self, home: Path) -> None:
        self._home, self._left, self._left_bytes = home, _MOST_INCLUDED, files.CONFIG_BYTES
        self._until = time.monotonic() + files.DEADLINE_S

    def merged(self, value: object, folder: Path, depth: int = 0) -> object:
        """The value with its files in place: merged in order, the keys beside `$include` last.

        Raises ValueError for a file that cannot be read or parsed: OpenClaw would not start with it either.
        """
        if isinstance(value, list):
            return [self.merged(each, folder, depth) for each in value]
        if not isinstance(value, dict):
            return value
        own = {name: self.merged(each, folder, depth) for name, each in value.items() if name != "$include"}
        named = value.get("$include", [])
        merged: object = {}
        for name in named if isinstance(named, list) else [named]:
            if not isinstance(name, str):
                raise ValueError("$include names no file: it takes a path, or a list of paths")
            merged = _merged(merged, self._file(name, folder / _path(name, self._home), depth))
        return _merged(merged, own)

    def _file(self, name: str, path: Path, depth: int) -> object:
        if depth >= _MOST_INCLUDES:
            raise ValueError(f"$include {name} is nested too deeply")
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"$include {name}: more than {_MOST_INCLUDED} files are included")
        if time.monotonic() > self._until:
            raise ValueError(f"$include {name}: the included files take longer than {files.DEADLINE_S:g} s")
        try:
            content = files.read_bytes(path, self._left_bytes)
            self._left_bytes -= len(content)
            part = _parsed(content.decode("utf-8", "replace"))
        except OSError as error:
            raise ValueError(f"$include {name}: {error.strerror}") from error
        except ValueError as error:
            raise ValueError(f"$include {name}: {error}") from error
        return self.merged(part, path.parent, depth + 1)


def _merged(under: object, over: object) -> object:
    if isinstance(under, dict) and isinstance(over, dict):
        return {**under, **{name: _merged(under[name], each) if name in under else each for name, each in over.items()}}
    return [*under, *over] if isinstance(under, list) and isinstance(over, list) else over


def _misshapen(root: Mapping[str, object]) -> str | None:
    """The first value of a kind that OpenClaw refuses, in words without the value; None where there is none."""
    for kind, words, places in _KINDS:
        for place in places:
            *above, name = place.split(".")
            told = reduce(_table, above, root).get(name, ...)
            if told is ... or (isinstance(told, str) and _REFERENCE.search(told)):
                continue  # not given, or what a variable says
            if not isinstance(told, kind) or isinstance(told, bool):
                return f"{place}: {words} is wanted there"
    return None


def _table(table: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = table.get(key)
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def _port(environ: Mapping[str, str], gateway: Mapping[str, object]) -> int:
    """`OPENCLAW_GATEWAY_PORT` (a host before it is dropped) > `gateway.port` > the profile's own > 18789.

    A named profile's own port is 2026.9.6's FNV-1a hash of its name, 19001 for `dev`; older releases always want one
    set. Nonsense is left to the config check.
    """
    told = re.fullmatch(r"(?:\[[^\]]+\]:|[^:]+:)?([0-9]{1,5})", environ.get(_PORT, "").strip())
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


def _port_by(target: Target, dotenv: Mapping[str, str], set_here: Mapping[str, str], path: Path) -> str:
    """The place of the variable that names the port; the first one that has it counts, and nonsense names none."""
    places = (
        ("the environment", target.environ),
        (str(target.state_dir / ".env"), dotenv),
        (f"env of {path}", set_here),
    )
    where, text = next(((where, each[_PORT]) for where, each in places if _PORT in each), ("", ""))
    return where if _port({_PORT: text}, {"port": 0}) == _port({_PORT: text}, {"port": 1}) else ""


def port_named_by(config: GatewayConfig) -> str:
    """Where the config's port comes from, in words; nothing where there is no config."""
    if config.port_by:
        return f"{_PORT} in {config.port_by}"
    return f"gateway.port in {config.path}" if config.exists else ""


def _credential(gateway: Mapping[str, object], environ: Mapping[str, str]) -> Credential:
    """The local precedence of docs/gateway/remote.md: the config's value, the environment's, then gateway.remote's."""
    auth, remote = _table(gateway, "auth"), _table(gateway, "remote")
    mode = auth.get("mode")
    if mode == "none":
        return Credential("none")
    proxied = mode == "trusted-proxy"  # who does not come through the proxy is let in by a password, never by a token
    if proxied:
        remote, mode = {}, "password"
    kinds: tuple[Literal["token", "password"], ...] = ("token", "password")
    usual = {kind: f"OPENCLAW_GATEWAY_{kind.upper()}" for kind in kinds if mode not in kinds or mode == kind}
    for kind, name in usual.items():
        own, inherited = auth.get(kind), environ.get(name)
        if not own and inherited:
            return Credential(kind, inherited, variables=(name,))
        if value := own or remote.get(kind):
            return _resolved(kind, value, environ)
    if proxied:
        return Credential(
            "unresolved", why="gateway.auth.mode is trusted-proxy", variables=tuple(usual.values()), lets_in="password"
        )
    return Credential("none", variables=tuple(usual.values()))


def _resolved(kind: Literal["token", "password"], value: object, environ: Mapping[str, str]) -> Credential:
    """A config's value: itself, filled in from the environment, or why it cannot be had here."""
    if isinstance(value, str):
        names = tuple(dict.fromkeys(_REFERENCE.findall(value)))
        resolved = _substituted(value, environ)
        if isinstance(resolved, str):
            return Credential(kind, resolved, variables=names)
        return Credential(
            "unresolved", why=f"gateway.auth.{kind} refers to an unset environment variable", variables=names
        )
    source = _table({"": value}, "")
    name = source.get("id")
    if source.get("source") != "env" or not isinstance(name, str):
        return Credential("unresolved", why=f"gateway.auth.{kind} is a SecretRef")
    if found := environ.get(name):
        return Credential(kind, found, variables=(name,))
    return Credential(
        "unresolved",
        why=f"gateway.auth.{kind} is a SecretRef",
        variables=(name,),
    )


def elsewhere(config: GatewayConfig) -> str:
    """The machine that a config of mode remote leads to, in words; empty for a gateway of this machine."""
    if config.mode != "remote":
        return ""
    there = f" ({config.remote_url})" if config.remote_url else ""
    return f"gateway.mode is remote in {config.path}, so its gateway runs on another machine{there}"


def bare(url: str) -> str:
    """An address without what may be secret in it: user, password, path and query."""
    return re.sub(r"^(\w+://)?(?:[^/@]*@)?([^/?#]*).*$", r"\1\2", url)


def _url(environ: Mapping[str, str]) -> str:
    return environ.get("OPENCLAW_GATEWAY_URL", "").strip()


def _substituted(value: object, environ: Mapping[str, str]) -> object:
    """A config string with its `${VAR}` references filled in; None when one is not set."""
    if not isinstance(value, str):
        return value
    names = _REFERENCE.findall(value)
    if any(not environ.get(name) for name in names):
        return None
    return _REFERENCE.sub(lambda match: environ[match[1]], value).replace("$${", "${")


def _dotenv(path: Path) -> dict[str, str]:
    """The state directory's .env, which OpenClaw reads before it fills in references.

    None, a folder (a container's mount makes one) and one that we may not read count as empty. Raises CouldNotLook for
    what no gateway could read either, such as a pipe, a device or a gigabyte.
    """
    try:
        lines = files.read_text(path, files.SMALL_BYTES, errors="replace").splitlines()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except OSError as error:
        if path.is_dir():
            return {}
        raise CouldNotLook(f"cannot read {path}: {error.strerror}") from error
    pairs = (line.removeprefix("export ").split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, value in pairs}


def _path(text: str, home: Path) -> Path:
    return Path(f"{home}{text[1:]}" if text == "~" or text.startswith("~/") else text)
