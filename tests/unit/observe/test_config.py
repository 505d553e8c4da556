"""The operator's openclaw.json, in every shape it may be found in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyjson5
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oc_ops.errors import CouldNotLook
from oc_ops.observe.config import DEFAULT_PORT, Credential, GatewayConfig, port_named_by, quieted, read
from oc_ops.observe.target import Target, locate

TOKEN = "t0ken-of-the-gateway"

Reader = Callable[..., GatewayConfig]


@pytest.fixture
def target(tmp_path: Path) -> Target:
    """A home with an empty state directory."""
    (tmp_path / ".openclaw").mkdir()
    return locate({"HOME": str(tmp_path)})


@pytest.fixture
def config(tmp_path: Path) -> Reader:
    """Write a config (text, bytes or a table) and read it back, with more environment where given."""

    def of(content: object, profile: str | None = None, **environ: str) -> GatewayConfig:
        target = locate({"HOME": str(tmp_path), **environ}, profile)
        target.state_dir.mkdir(exist_ok=True)
        raw = content if isinstance(content, (str, bytes)) else json.dumps(content)
        target.config_path.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
        return read(target)

    return of


def gateway(**keys: object) -> dict[str, object]:
    """A config with this gateway section."""
    return {"gateway": keys}


def auth(**keys: object) -> dict[str, object]:
    """A config with this gateway.auth section."""
    return gateway(auth=keys)


# -- the file ---------------------------------------------------------------------------------------------------


def test_strict_json_is_read(config: Reader) -> None:
    """What OpenClaw itself writes."""
    found = config(
        {
            "gateway": {"mode": "remote", "port": 4711, "tls": {"enabled": True}, "auth": {"token": TOKEN}},
            "browser": {"enabled": False},
            "cron": {"store": "~/jobs.json"},
            "logging": {"file": "/var/log/openclaw.log"},
        }
    )
    assert (found.exists, found.error) == (True, None)
    assert (found.mode, found.port, found.tls) == ("remote", 4711, True)
    assert not found.browser_enabled
    assert found.cron_store is not None
    assert (found.cron_store.name, "~" in str(found.cron_store)) == ("jobs.json", False)
    assert found.log_file == Path("/var/log/openclaw.log")
    assert found.credential == Credential("token", TOKEN)


@pytest.mark.parametrize(
    "text",
    [
        "// a comment\n{gateway: {port: 4711, /* another */ auth: {token: 'x'},},}",
        "\ufeff{\"gateway\": {port: 4711, 'auth': {}}}",
        '\ufeff{"gateway":{"port":4711}}',
        "{gateway: {port: +4711}, other: [1, .5, 0x10, Infinity,],}",
        '{gateway: {port: 4711}, text: "one \\\ntwo"}',
    ],
    ids=["comments and commas", "byte order mark", "mark before strict JSON", "numbers", "line continuation"],
)
def test_json5_is_read(config: Reader, text: str) -> None:
    """Comments, trailing commas, bare keys, single quotes and a byte order mark are no mistakes."""
    found = config(text)
    assert (found.error, found.port) == (None, 4711)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{\n  "gateway": {,}\n}', "line 2 column 15"),
        ("// one\n// two\n{\n  a: 1,\n  b:}\n", "line 5 column 5"),
        ('{"a": 1', "line 1 column 1"),
        ('{\n"token": "abc\n}', "line 2 column 10"),
        ("", "line 1 column 1"),
        ("{" * 5000, "line 1 column"),
    ],
    ids=["comma", "after comments", "unclosed", "unclosed string", "empty", "too deep"],
)
def test_a_broken_file_is_an_observation_with_its_place(config: Reader, text: str, place: str) -> None:
    """The error says line and column of the mistake, not of the first comment."""
    found = config(text)
    assert found.exists
    assert found.error is not None
    assert place in found.error
    assert "\n" not in found.error


@pytest.mark.parametrize("text", ["[]", '"x"', "null", "7"])
def test_a_file_that_is_no_object_is_broken(config: Reader, text: str) -> None:
    """A list or a word parses and is no config."""
    assert config(text).error == "the top level is not an object"


def test_broken_utf8_does_not_stop_the_reading(config: Reader) -> None:
    """One bad byte in a name is not the end of the port."""
    assert config(b'{"name":"caf\xe9","gateway":{"port":4711}}').port == 4711


def test_a_missing_file_gives_defaults(target: Target) -> None:
    """No config is an observation: defaults, no credential, nothing raised."""
    found = read(target)
    assert (found.exists, found.error, found.port) == (False, None, DEFAULT_PORT)
    assert found.credential.kind == "none"
    assert found.credential.lets_in == "config"


def test_a_missing_folder_gives_defaults(tmp_path: Path) -> None:
    """A state directory that is a file is no config either."""
    (tmp_path / ".openclaw").write_text("")
    assert not read(locate({"HOME": str(tmp_path)})).exists


def test_a_file_that_cannot_be_read_is_no_observation(target: Target) -> None:
    """A directory in its place (or another's file) means that we could not look, which is never green."""
    target.config_path.mkdir()
    with pytest.raises(CouldNotLook, match=r"cannot read .*openclaw\.json: "):
        read(target)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"gateway": "local"}, "gateway: an object"),
        ({"gateway": None}, "gateway: an object"),
        ({"gateway": {"auth": "x"}}, "gateway.auth: an object"),
        ({"gateway": {"tls": True}}, "gateway.tls: an object"),
        ({"gateway": {"port": "18789"}}, "gateway.port: a number"),
        ({"gateway": {"port": True}}, "gateway.port: a number"),
        ({"gateway": {"auth": {"token": 4711}}}, "gateway.auth.token: a text or a SecretRef"),
        ({"logging": {"file": 5}}, "logging.file: a text"),
        ({"cron": []}, "cron: an object"),
    ],
)
def test_a_value_of_a_kind_that_openclaw_refuses_is_an_error(config: Reader, content: object, words: str) -> None:
    """Read as if it were not there, a gateway that is a word was told as a missing token and a port that drifted."""
    found = config(content)
    assert found.error == f"{words} is wanted there"
    assert (found.port, found.log_file, found.cron_store) == (DEFAULT_PORT, None, None)


def test_values_of_a_newer_release_are_no_error(config: Reader) -> None:
    """A mode, a key or a bind that is not known here is OpenClaw's to judge."""
    assert config({"gateway": {"mode": "hybrid", "bind": "mesh", "auth": {"mode": "passkey", "new": 1}}}).error is None


@pytest.mark.parametrize(
    "text",
    [
        '{"gateway": {,}, "logging": {"level": "info", "file": "/var/log/own.log"}}',
        "{logging: {file: '/var/log/own.log'}, gateway: {",
        '{"$include": "./gone.json", "logging": {"file": "/var/log/own.log"}}',
    ],
    ids=["json", "json5", "include"],
)
def test_a_broken_file_still_says_where_the_gateway_logs(config: Reader, text: str) -> None:
    """Else the log in the usual place, which is another gateway's, is held against this one."""
    found = config(text)
    assert found.error is not None
    assert found.log_file == Path("/var/log/own.log")


# -- includes ---------------------------------------------------------------------------------------------------


def test_included_files_count(config: Reader, tmp_path: Path) -> None:
    """A port that stands in an included file is the gateway's port; keys beside `$include` win."""
    folder = tmp_path / ".openclaw"
    (folder / "parts").mkdir(parents=True)
    (folder / "parts" / "gateway.json5").write_text("{port: 4711, auth: {$include: './auth.json'}} // ours")
    (folder / "parts" / "auth.json").write_text(json.dumps({"mode": "token", "token": TOKEN}))
    (folder / "more.json").write_text('{"mode": "remote", "auth": {"extra": 1}}')
    found = config({"gateway": {"$include": ["./parts/gateway.json5", "more.json"], "mode": "local"}})
    assert (found.port, found.mode) == (4711, "local")
    assert found.credential == Credential("token", TOKEN)
    assert TOKEN in found.secrets


def test_an_include_that_cannot_be_had_is_an_error(config: Reader, tmp_path: Path) -> None:
    """OpenClaw would not start with it, so neither is it green here."""
    assert "$include ./no.json: " in str(config({"$include": "./no.json"}).error)
    (tmp_path / ".openclaw" / "bad.json").write_text("{,")
    assert "line 1 column 2" in str(config({"gateway": {"$include": "bad.json"}}).error)
    for nothing in ({"a": 1}, None, [7]):
        assert str(config({"$include": nothing}).error).startswith("$include names no file: ")


def test_the_decoders_words_are_told_plainly(config: Reader) -> None:
    """An operator reads what is open and where, not how Python writes it."""
    assert (
        config('{"gateway": {"mode": "loc').error
        == "JSON5 does not parse: Unclosed string starting at line 1 column 22"
    )


def test_files_that_include_each_other_end(config: Reader) -> None:
    """A circle is an error, not a stack overflow."""
    assert "nested too deeply" in str(config({"$include": "./openclaw.json"}).error)


# -- the port ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("in_environment", "in_file", "port"),
    [
        (None, None, DEFAULT_PORT),
        (None, 4711, 4711),
        ("4712", 4711, 4712),
        (" 4712 ", None, 4712),
        ("127.0.0.1:4712", 4711, 4712),
        ("[::1]:4712", 4711, 4712),
        ("", 4711, 4711),
        ("abc", 4711, 4711),
        ("-1", 4711, 4711),
        ("0", 4711, 4711),
        ("70000", 4711, 4711),
        ("²", 4711, 4711),
        (None, 0, DEFAULT_PORT),
        (None, 70000, DEFAULT_PORT),
        (None, "4711", DEFAULT_PORT),
        (None, True, DEFAULT_PORT),
        (None, [4711], DEFAULT_PORT),
    ],
)
def test_the_port_has_one_precedence(config: Reader, in_environment: str | None, in_file: object, port: int) -> None:
    """Environment over file over default, as `resolveGatewayPort` has it; nonsense is passed over."""
    environ = {} if in_environment is None else {"OPENCLAW_GATEWAY_PORT": in_environment}
    assert config(gateway(port=in_file), **environ).port == port


@pytest.mark.parametrize(("profile", "port"), [("work", 41984), ("dev", 19001), ("default", DEFAULT_PORT)])
def test_a_profile_has_a_port_of_its_own(config: Reader, profile: str, port: int) -> None:
    """Without `gateway.port` 2026.9.6 gives each named profile its own; the figures are its own answers."""
    assert config({}, profile=profile).port == port
    assert config(gateway(port=4711), profile=profile).port == 4711


# -- the credential ---------------------------------------------------------------------------------------------

SECRET_REF = {"source": "env", "provider": "default", "id": "GATEWAY_TOKEN_FROM_THE_VAULT"}


@pytest.mark.parametrize(
    ("table", "environ", "expected"),
    [
        (auth(token=TOKEN), {}, Credential("token", TOKEN)),
        (auth(token="${GT}"), {"GT": TOKEN}, Credential("token", TOKEN)),
        (auth(token="a-${GT}-$${GT}"), {"GT": "b"}, Credential("token", "a-b-${GT}")),
        (auth(mode="password", password="pass-word", token=TOKEN), {}, Credential("password", "pass-word")),
        (auth(mode="token", password="pass-word"), {}, Credential("none")),
        (auth(password="pass-word"), {}, Credential("password", "pass-word")),
        (auth(mode="none", token=TOKEN), {}, Credential("none")),
        (auth(mode="trusted-proxy", password="pass-word", token=TOKEN), {}, Credential("password", "pass-word")),
        (auth(mode="trusted-proxy"), {"OPENCLAW_GATEWAY_PASSWORD": "pass-word"}, Credential("password", "pass-word")),
        ({}, {"OPENCLAW_GATEWAY_TOKEN": TOKEN}, Credential("token", TOKEN)),
        ({}, {"OPENCLAW_GATEWAY_PASSWORD": "pass-word"}, Credential("password", "pass-word")),
        (auth(token=TOKEN), {"OPENCLAW_GATEWAY_TOKEN": "other"}, Credential("token", TOKEN)),
        (gateway(remote={"token": TOKEN}), {}, Credential("token", TOKEN)),
        (gateway(remote={"token": TOKEN}, auth={"token": "mine"}), {}, Credential("token", "mine")),
        ({"env": {"GT": TOKEN}, **auth(token="${GT}")}, {}, Credential("token", TOKEN)),
        ({"env": {"vars": {"GT": TOKEN}}, **auth(token="${GT}")}, {}, Credential("token", TOKEN)),
        ({"env": {"GT": "block"}, **auth(token="${GT}")}, {"GT": TOKEN}, Credential("token", TOKEN)),
        (auth(token=""), {}, Credential("none")),
    ],
)
def test_the_credential_is_the_one_the_cli_uses(
    config: Reader, table: object, environ: dict[str, str], expected: Credential
) -> None:
    """docs/gateway/remote.md: config, then environment, then gateway.remote; references are filled in."""
    assert config(table, **environ).credential == expected


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (auth(token="${GT}"), "gateway.auth.token refers to an unset environment variable"),
        (auth(token=SECRET_REF), "gateway.auth.token is a SecretRef"),
        (auth(mode="password", password=SECRET_REF), "gateway.auth.password is a SecretRef"),
        (auth(mode="trusted-proxy"), "gateway.auth.mode is trusted-proxy"),
        (auth(mode="trusted-proxy", token=TOKEN), "gateway.auth.mode is trusted-proxy"),
    ],
)
def test_what_cannot_be_resolved_says_why(config: Reader, table: object, why: str) -> None:
    """The RPC lane closes with a reason, and no half-made token is tried."""
    assert config(table).credential == Credential("unresolved", why=why)


def test_the_state_directory_s_env_file_counts_below_the_environment(config: Reader, tmp_path: Path) -> None:
    """OpenClaw reads `.env` before it fills in references; the environment wins."""
    folder = tmp_path / ".openclaw"
    folder.mkdir()
    (folder / ".env").write_text(f"# ours\nexport GT='{TOKEN}'\nOPENCLAW_GATEWAY_PORT=4713\nnonsense\n")
    found = config(auth(token="${GT}"))
    assert (found.credential, found.port) == (Credential("token", TOKEN), 4713)
    assert config(auth(token="${GT}"), GT="environment").credential.value == "environment"


@pytest.mark.parametrize(
    ("in_shell", "in_file", "in_config", "place"),
    [
        (None, None, None, "gateway.port in "),
        ("4", "5", "6", "OPENCLAW_GATEWAY_PORT in the environment"),
        (None, "5", "6", "OPENCLAW_GATEWAY_PORT in STATE/.env"),
        (None, None, "6", "OPENCLAW_GATEWAY_PORT in env of STATE"),
        ("", "5", "6", "gateway.port in "),
        ("nonsense", None, None, "gateway.port in "),
    ],
)
def test_the_place_of_a_port_is_known(
    config: Reader, tmp_path: Path, in_shell: str | None, in_file: str | None, in_config: str | None, place: str
) -> None:
    """Shell before `.env` before the config's own `env`, a blank one included; nonsense leaves it to gateway.port."""
    name, folder = "OPENCLAW_GATEWAY_PORT", tmp_path / ".openclaw"
    folder.mkdir()
    if in_file is not None:
        (folder / ".env").write_text(f"{name}={in_file}\n")
    root = {"gateway": {"port": 7}, "env": {} if in_config is None else {name: in_config}}
    said = port_named_by(config(root, **({} if in_shell is None else {name: in_shell})))
    assert said.replace(str(folder), "STATE").startswith(place)


@pytest.mark.parametrize("text", ['{"gateway": {}}', "{ broken", None], ids=["config", "broken config", "no config"])
def test_secrets_of_the_env_file_are_known(config: Reader, tmp_path: Path, text: str | None) -> None:
    """Keys of providers and the gateway's token often stand in `.env` alone: they are redacted, too."""
    folder = tmp_path / ".openclaw"
    folder.mkdir()
    (folder / ".env").write_text(f"OPENCLAW_GATEWAY_TOKEN={TOKEN}\nSOME_API_KEY=key-of-a-provider\nTZ=UTC\n")
    if text is not None:
        (folder / "openclaw.json").write_text(text)
    found = read(locate({"HOME": str(tmp_path)}))
    assert {TOKEN, "key-of-a-provider"} <= set(found.secrets)
    assert "UTC" not in found.secrets


def test_a_log_file_under_home_is_found(config: Reader, tmp_path: Path) -> None:
    """`~` is the home that decides about `.openclaw`, references are filled in, an empty name is none."""
    assert config({"logging": {"file": "~/logs/o.log"}}).log_file == tmp_path / "logs" / "o.log"
    assert config({"logging": {"file": "${LOGS}/o.log"}}, LOGS="/l").log_file == Path("/l/o.log")
    assert config({"logging": {"file": ""}}).log_file is None


# -- secrets ----------------------------------------------------------------------------------------------------


def test_every_secret_of_the_file_is_known(config: Reader) -> None:
    """Whatever stands under a key that names a secret, at any depth, also in lists; references too."""
    table = {
        "gateway": {"auth": {"token": TOKEN, "password": "${PW}"}},
        "channels": {"telegram": {"botToken": "telegram-bot-secret", "accounts": [{"api_key": "in-a-list-1"}]}},
        "skills": {"apiKeys": ["in-a-list-2", "in-a-list-3"], "secrets": {"deep": {"er": "deep-secret"}}},
        "hooks": {"headers": {"Authorization": "Bearer abcdef"}},
        "ui": {"name": "public", "maxTokens": 7},
    }
    found = config(table, PW="from-the-environment")
    assert set(found.secrets) >= {
        TOKEN,
        "from-the-environment",
        "telegram-bot-secret",
        "in-a-list-1",
        "in-a-list-2",
        "in-a-list-3",
        "deep-secret",
        "Bearer abcdef",
    }
    assert "public" not in found.secrets


def test_the_words_of_a_secret_ref_are_no_secrets(config: Reader) -> None:
    """`env` and `default` must not be blacked out all over a report."""
    assert config(auth(token=SECRET_REF)).secrets == ()


@pytest.mark.parametrize(
    "text",
    [
        f'{{"gateway": {{"auth": {{"token": "{TOKEN}"}},,}}',
        f"{{gateway: {{auth: {{token: '{TOKEN}'}},,}}",
        f'{{"botToken"  :\n  "{TOKEN}",,}}',
        f'{{"token": "{TOKEN}\n}}',
        f'{{"tokens": ["x1", "{TOKEN}"],,}}',
        f'{{"tokens": {{"a": "x1", "b": "{TOKEN}"}},,}}',
        f'{{"token": "{TOKEN}',
    ],
    ids=["json", "json5", "next line", "unclosed string", "in a list", "in a table", "torn"],
)
def test_secrets_are_known_although_the_file_is_broken(config: Reader, text: str) -> None:
    """A mistake in the file must not be the moment when its token gets into a report."""
    found = config(text)
    assert found.error is not None
    assert TOKEN in found.secrets
    assert TOKEN not in found.error


def test_no_secret_is_ever_shown(config: Reader) -> None:
    """Neither config nor credential spill their values into a traceback."""
    assert TOKEN not in repr(config(auth(token=TOKEN)))
    assert TOKEN not in repr(config(f'{{"token": "{TOKEN}",,}}'))


@given(st.recursive(st.none() | st.text(max_size=8), lambda kids: st.dictionaries(st.text(max_size=8), kids)))
@settings(deadline=None)
def test_any_object_is_read(tmp_path_factory: pytest.TempPathFactory, root: object) -> None:
    """No table that parses makes the reader raise, or report an error that names nothing."""
    home = tmp_path_factory.getbasetemp() / "any"
    (home / ".openclaw").mkdir(parents=True, exist_ok=True)
    target = locate({"HOME": str(home)})
    target.config_path.write_text(json.dumps({"gateway": {"auth": root}, "x": root}))
    error = read(target).error
    assert error is None or "$include" in json.dumps(root) or error.startswith("gateway.auth")


# -- the copy that keeps a call out of the log ------------------------------------------------------------------


def test_the_quiet_copy_differs_in_the_log_file_alone(target: Target, tmp_path: Path) -> None:
    """Everything else stays, comments apart, and references stay references."""
    text = "{gateway: {auth: {token: '${GT}'}}, logging: {level: 'debug', file: '/old'}, list: [1, null, 'ü']} // c"
    target.config_path.write_text(text)
    quiet = quieted(target, tmp_path / "cli.log")
    assert quiet is not None
    assert quiet.environ == {}
    copy = json.loads(quiet.text)
    assert copy.pop("logging") == {"level": "debug", "file": str(tmp_path / "cli.log")}
    expected = pyjson5.decode(text)
    del expected["logging"]
    assert copy == expected


@pytest.mark.parametrize(
    "content",
    ['{"gateway": {"$include": "./g.json"}}', "{,", "[]", None, b"\xff\xfe"],
    ids=["include", "broken", "no object", "missing", "no text"],
)
def test_where_a_copy_would_not_mean_the_same_there_is_none(target: Target, content: str | bytes | None) -> None:
    """Includes are relative to the file, and a broken file must stay the one that is reported."""
    if content is not None:
        target.config_path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert quieted(target, Path("/x")) is None
