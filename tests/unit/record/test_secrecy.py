"""What is secret: by its name, by its place in a config, by its look; and that a whole run leaves none of it."""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oc_ops.judge import signature_catalogue
from oc_ops.judge.signature_catalogue import Signature
from oc_ops.record.redact import PLACEHOLDER, Redactor
from oc_ops.secrecy import (
    STEMS,
    is_everyday,
    is_trivial,
    looks_random,
    names_a_secret,
    secrets_in,
    secrets_in_broken,
    secrets_of,
    tells,
)
from oc_ops.settings import for_a_child
from tests.support.log_lines import line
from tests.support.machine import Operator, gateway

HOME = Path("/home/joe")
PLAIN = Redactor([], HOME)
PLANTED = "Tr4ceB4ck-9xQz71"
SECRET_NAMES = """
token gatewayToken GH_PAT SLACK_WEBHOOK MYAPP_PIN passphrase cookie pass encryptionKey bearer webhook signingKey pin otp
dsn connectionString privateKey PGPASSWORD apiKey api_key X-Api-Key --api-key --token OPENAI_API_KEY CLIENT_SECRET
AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID clientSecret botToken webhookUrl webhookSecret authtoken DB_PASS dbpass
SENTRY_DSN SSH_KEY gateway.auth.token token.value setupCode accessToken id_token refresh_token sig npm_config__auth
REDIS_AUTH
OC_OPS_NOTIFY_URLS pingUrl passwordHash appSecret masterKey APIKEY x-goog-api-key recoveryCodes sessionToken
cookies privateKeyPem DB_PWD
""".split()  # noqa: SIM905 -- read as the table it is
OTHER_NAMES = """
tokenLimit maxTokens passThrough keyboard monkey compass compassHeading maxOutputTokens totalTokens input_tokens
sessionKey publicKey passwordFile tokenPath SSH_AUTH_SOCK GIT_AUTHOR_NAME spinner ping pattern path pinned keyring
bypass tokenizer author cookieName tokenCount idempotencyKey key model port passed passing contextTokens
reserveTokensFloor
auth.profiles.mode keyboardLayout primaryKey apiKeySource patience pints tokenTtlMs passengers hotkey shipping option
opinion authMode webhookPath TOKEN_FILE PWD turkey donkey codec session_id
""".split()  # noqa: SIM905 -- read as the table it is


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_name_that_says_secret(name: str) -> None:
    """In camelCase, snake_case, kebab-case, upper case, as a flag, at the end of a path; each holds a stem."""
    assert names_a_secret(name)
    assert any(stem in name.lower() for stem in STEMS)
    assert PLANTED not in PLAIN.text(f"{name}={PLANTED}")
    assert PLANTED not in PLAIN.text(json.dumps({name: PLANTED}))
    assert PLANTED not in PLAIN.text(json.dumps(json.dumps({name: PLANTED})))
    assert PLANTED not in PLAIN.text(f"https://example.org/x?a=b&{name}={PLANTED}")
    assert PLANTED not in json.dumps(PLAIN.json({"x": [{name: PLANTED}]}))
    assert PLANTED in secrets_in({name: PLANTED})
    assert PLANTED in set(secrets_of({"x": [{name: PLANTED}]}, {}))


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_a_name_that_says_something_else(name: str) -> None:
    """Counts, places and words that only look like one: a report that hides these is of no use."""
    assert not names_a_secret(name)
    for value in ("8123", "abc", "agent:main:main"):
        assert PLAIN.text(f"{name}={value}") == f"{name}={value}"
        assert set(secrets_of({name: value}, {})) == set()


@pytest.mark.parametrize(
    "text",
    [
        "tests: 12 passed, pass: 12 of 14",
        "auth: failed for conn=4",
        '{"tokens": 8123, "maxTokens": 200000, "tokenLimit": 5}',
        '{"webhook": true, "pin": false, "password": null}',
        "gateway token: missing",
        "token: 401",
        "keyboard=de monkey=1 compass=north bypass=yes passThrough=off",
        '{"token":{"source":"env","provider":"default","id":"OPENCLAW_TOKEN"}}',
        "cookieName=sid sessionKey=agent:main:main",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    """What an operator must be able to read is not taken for a secret."""
    assert PLAIN.text(text) == text


@pytest.mark.parametrize(
    ("table", "environ"),
    [
        ({"gateway": {"auth": {"source": "x", "id": "y", "token": PLANTED}}}, {}),
        ({"token": {"source": "env", "id": PLANTED}}, {}),
        ({"token": {"source": "env", "id": "REAL"}}, {"REAL": PLANTED}),
        ({"x": "${REAL_TOKEN}"}, {"REAL_TOKEN": PLANTED}),
        ({"env": {"INNOCENT": PLANTED}}, {}),
        ({"env": {"vars": {"INNOCENT": PLANTED}}}, {}),
        ({"mcp": {"headers": {"X-Thing": PLANTED}}}, {}),
        ({"headers": {"Authorization": f"Bearer {PLANTED}"}}, {}),
        ({"headers": {"Authorization": "Basic " + base64.b64encode(f"joe:{PLANTED}".encode()).decode()}}, {}),
        ({"args": ["--token", PLANTED]}, {}),
        ({"args": [f"--token={PLANTED}"]}, {}),
        ({"args": ["-e", f"API_KEY={PLANTED}"]}, {}),
        ({"args": ["--header", f"Authorization: Bearer {PLANTED}"]}, {}),
        ({"url": f"https://joe:{PLANTED}@example.org/"}, {}),
        ({"url": f"https://example.org/?a=1&access_token={PLANTED}"}, {}),
        ({"webhook": f"https://example.org/services/{PLANTED}"}, {}),
        ({"secrets": ["one", PLANTED]}, {}),
        ({"credentials": {"anything": {"deep": PLANTED}}}, {}),
        ({"raw": json.dumps({"token": PLANTED})}, {}),
        ({"plain": "q8Zt4Lw0Xc7Vb2Nm5Ka1"}, {}),
    ],
)
def test_a_secret_of_the_config_is_known_wherever_it_stands(table: object, environ: dict[str, str]) -> None:
    """Look-alikes of references, tables of secrets, headers, arguments, addresses, JSON as text, what looks random."""
    planted = "q8Zt4Lw0Xc7Vb2Nm5Ka1" if "plain" in str(table) else PLANTED
    assert planted in set(secrets_of(table, environ))
    assert planted not in Redactor(secrets_of(table, environ), HOME).text(f"it said {planted} twice")


def test_a_secret_with_a_sign_of_mail_in_it_is_no_address() -> None:
    """Without a domain behind it nobody can be written to; a true address stays to be read."""
    assert set(secrets_of({"env": {"INNOCENT": "N5133MtL8G5@wf6uc7k"}}, {})) == {"N5133MtL8G5@wf6uc7k"}
    assert set(secrets_of({"env": {"INNOCENT": "joe.doe@mail.example.org"}}, {})) == set()


def test_numbers_under_a_secrets_name_are_known() -> None:
    """A password of digits and a short token are found as words, and dates, ports and counts are left."""
    known = Redactor(secrets_of({"password": 48151623, "pin": 4711, "token": "ab3d5", "maxTokens": 2026}, {}), HOME)
    assert known.text("is 48151623, 4711 and ab3d5") == f"is {PLACEHOLDER}, {PLACEHOLDER} and {PLACEHOLDER}"
    for text in ("2026-04-71 127.0.0.1:4711 0.4711", "tab3d5x", "x48"):
        assert known.text(text) == text


@pytest.mark.parametrize(
    "value",
    ["claude-opus-4-20250514", "anthropic/claude-opus-4-1", "agent:main:cron:daily", "30m", "production", "/usr/bin"],
)
def test_everyday_values_are_no_secrets(value: str) -> None:
    """Models, modes, times and paths: to look for them would eat a report."""
    assert is_everyday(value)
    assert not looks_random(value)
    assert set(secrets_of({"env": {"MODE": value}, "agents": {"defaults": {"model": value}}, "id": value}, {})) == set()


@pytest.mark.parametrize(
    "table",
    [
        {"prompt": "the token: provided by the operator, password is required"},
        {"pin": "latest", "cookie": "session", "auth": "device", "webhook": "enabled", "private": "yes"},
        {"auth": {"mode": "token", "profiles": {"anthropic:default": {"provider": "anthropic", "mode": "oauth"}}}},
        {"auth": {"order": {"anthropic": ["anthropic:default", "anthropic:work-2"]}}},
        {"secrets": {"providers": {"vault": {"source": "exec", "command": "/usr/bin/vault"}}}},
        {"env": {"NODE_ENV": "production", "TZ": "Europe/Berlin", "PATH": "/usr/bin:/bin", "N": "12"}},
        {"headers": {"Content-Type": "application/json", "Accept": "text/html"}},
    ],
)
def test_words_of_a_config_are_no_secrets(table: object) -> None:
    """To look for them would black out ordinary sentences all over a report."""
    text = json.dumps(table) + " provided by the operator: latest session on a device, enabled, yes, anthropic, vault"
    assert Redactor(secrets_of(table, {}), Path("/")).text(text) == Redactor((), Path("/")).text(text)


def test_a_broken_config_gives_its_secrets_up_too() -> None:
    """Numbers, tables and lists included."""
    text = "{ password: 48151623, env: { X: 'q1w2-e3r4' }, hooks: [ pins: ['ab3d5'] "
    assert {"48151623", "q1w2-e3r4", "ab3d5"} <= set(secrets_in_broken(text))


@pytest.mark.parametrize("unit", ["token:[", "token: '", "a", "[{", "' ", "token: {env: ", '"a": "b",', "token:\n"])
def test_a_broken_config_takes_no_longer_for_being_nasty(unit: str) -> None:
    """Linear: 100 kB of what provokes backtracking is read in less than a few seconds."""
    began = time.process_time()
    for _ in secrets_in_broken((unit * 100_000)[:100_000]):
        pass
    assert time.process_time() - began < 5


SPELLINGS: dict[str, Callable[[str], str]] = {
    "itself": str,
    "upper": str.upper,
    "lower": str.lower,
    "reversed": lambda s: s[::-1],
    "hex": lambda s: s.encode().hex(),
    "hex upper": lambda s: s.encode().hex().upper(),
    "hex colons": lambda s: s.encode().hex(":"),
    "hex spaces": lambda s: s.encode().hex(" "),
    "hex bytes": lambda s: ", ".join(map(hex, s.encode())),
    "decimal bytes": lambda s: str(list(s.encode())),
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 inside": lambda s: base64.b64encode(f"joe:{s}!".encode()).decode(),
    "base64 url": lambda s: base64.urlsafe_b64encode(f"?{s}".encode()).decode().rstrip("="),
    "base64 twice": lambda s: base64.b64encode(base64.b64encode(s.encode())).decode(),
    "base32": lambda s: base64.b32encode(s.encode()).decode(),
    "base32 inside": lambda s: base64.b32encode(f"ab{s}c".encode()).decode(),
    "url": lambda s: quote(s, safe=""),
    "url all": lambda s: "".join(f"%{byte:02X}" for byte in s.encode()),
    "url twice": lambda s: "".join(f"%25{byte:02x}" for byte in s.encode()),
    "unicode escapes": lambda s: "".join(f"\\u{ord(each):04x}" for each in s),
    "byte escapes": lambda s: "".join(f"\\x{byte:02x}" for byte in s.encode()),
    "entities": lambda s: "".join(f"&#{ord(each)};" for each in s),
    "json": lambda s: json.dumps(s)[1:-1],
    "json in json": lambda s: json.dumps(json.dumps(s))[3:-3],
    "full width": lambda s: "".join(chr(ord(each) + 0xFEE0) for each in s),
    "colours": "\x1b[31m".join,
    "colours shown": "␛[31m".join,
    "colours in json": lambda s: json.dumps("\x1b[1m".join(s))[1:-1],
    "zero width": "\u200b".join,
    "newlines": "\n".join,
    "newline escapes": "\\n".join,
    "wrapped": lambda s: f"{s[:5]}\n    {s[5:]}",
    "nul": "\0".join,
    "link": lambda s: f"{s[:5]}\x1b]8;;http://x\x07{s[5:]}",
    "override": lambda s: f"{s[:5]}\\u202e{s[5:]}",
}
_TOKENS = st.text("ABCDEFGHabcdefgh0123456789-_+/=.~", min_size=8, max_size=40).filter(
    lambda text: len(set(text)) > 4 and any(map(str.isdigit, text)) and not is_trivial(text)
)


def bared(text: str) -> str:
    """A text in which nothing of a secret may be left, whatever stood between its letters."""
    return "".join(each for each in text.lower() if each.isalnum())


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_known_secret_goes_however_it_is_spelt(spelling: str) -> None:
    """Nothing of it is left, its surroundings are, and a second time changes nothing."""
    redactor = Redactor([PLANTED], HOME)
    written = SPELLINGS[spelling](PLANTED)
    shown = redactor.text(f"got <{written}> and more")
    assert shown.startswith("got <")
    assert shown.endswith("> and more")
    assert PLACEHOLDER in shown
    rest = bared(shown.removeprefix("got <").removesuffix("> and more").replace(PLACEHOLDER, ""))
    assert len(rest) <= 6, "only what an encoding made of its neighbours"
    assert redactor.text(shown) == shown


@given(_TOKENS, st.sampled_from(sorted(SPELLINGS)))
@settings(max_examples=300, deadline=None)
def test_any_known_secret_goes_however_it_is_spelt(secret: str, spelling: str) -> None:
    """The same for whatever is drawn, between spaces."""
    written = SPELLINGS[spelling](secret)
    shown = Redactor([secret], HOME).text(f"x {written} y")
    assert PLACEHOLDER in shown
    assert len(bared(shown.replace(PLACEHOLDER, ""))) <= 10


@given(_TOKENS, st.integers(6, 40))
@settings(max_examples=200, deadline=None)
def test_a_cut_leaves_no_beginning_of_a_secret(secret: str, size: int) -> None:
    """A text that was shortened before it came here ends in half a secret."""
    secret, size = f"k3y{secret}xyz", min(size, len(secret) + 5)
    for text in (f"got {secret[:size]}…", f"got {secret[:size]}", f"a […5 characters left out…] {secret[-size:]} b"):
        assert secret[:size] not in Redactor([secret], HOME).text(text)


def samples() -> list[tuple[Signature, str]]:
    """Each signature with the plain text of its literals."""
    return [(each, literal) for each in signature_catalogue.catalogue() for literal in each.literals]


@pytest.mark.parametrize(("signature", "literal"), samples(), ids=lambda each: getattr(each, "id", ""))
def test_no_signature_is_redacted_away(signature: Signature, literal: str) -> None:
    """What is kept of the log is looked at again: the words that a signature goes by stay."""
    assert literal in PLAIN.text(f"2026-11-22T12:00:00Z {literal} after 30000ms")


def test_words_that_are_no_values() -> None:
    """A state in the place of a secret is shown."""
    assert not tells("token", "missing")
    assert tells("token", "hunter2")


def test_no_child_learns_where_people_are_told() -> None:
    """The addresses are secrets; everything else goes on."""
    assert for_a_child({"OC_OPS_NOTIFY_URLS": "x", "OC_OPS_PING_URL": "y", "HOME": "/"}) == {"HOME": "/"}


PLACES = {
    "config token": "gw-7Hq2-token-Zx81kD",
    "config env": "en9v-Wq31-Tt",
    "config header": "hd3r-Kp77-Yy",
    "config number": "5839201746",
    "config url": "ur1pa55-Lm",
    "config look-alike": "l00k-al1ke-9Q",
    "dotenv": "d0tenv-v4lue-3Z",
    "GH_PAT": "p4t-Zz19-qwe",
    "SLACK_WEBHOOK": "https://example.org/services/T0/B0/w3bh00k-Jj5",
    "MYAPP_PIN": "739146",
    "DATABASE_URL": "db-pa55-Xw2",
}


def planted(root: Path, port: int) -> Operator:
    """A machine whose every input holds secrets, and whose gateway and CLI say them back in all spellings."""
    operator = Operator(root, port)
    config = json.loads(operator.config.read_text())
    config["gateway"]["auth"]["token"] = PLACES["config token"]
    config["env"] = {"INNOCENT": PLACES["config env"]}
    config["mcp"] = {
        "servers": {
            "a": {"url": f"https://u:{PLACES['config url']}@example.org", "headers": {"X-A": PLACES["config header"]}}
        }
    }
    config["channels"] = {"x": {"password": int(PLACES["config number"])}}
    config["skills"] = {"token": {"source": "x", "id": "y", "value": PLACES["config look-alike"]}}
    operator.config.write_text(json.dumps(config))
    (operator.config.parent / ".env").write_text(f"SOMETHING={PLACES['dotenv']}\n")
    operator.environ |= {name: PLACES[name] for name in ("GH_PAT", "SLACK_WEBHOOK", "MYAPP_PIN")}
    operator.environ["DATABASE_URL"] = f"postgres://joe:{PLACES['DATABASE_URL']}@localhost/x"
    return operator


def said() -> list[str]:
    """Every secret in every spelling that has no letter from its neighbours in it."""
    return [spell(each) for each in PLACES.values() for spell in SPELLINGS.values()]


def test_a_whole_run_leaves_no_secret_anywhere(tmp_path: Path) -> None:
    """Reports, memory, state, the terminal: no byte of it, however the gateway and the CLI spelt it."""
    everything = said()

    def told(http: dict[str, object]) -> None:
        http["/readyz"] = {"ready": False, "failing": everything[:200], "uptimeMs": 86_400_000}

    with gateway(told) as port:
        operator = planted(tmp_path, port)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        operator.log.write_text(
            "".join(line(f"EPIPE gateway timeout after 30000ms {each}", time=now) + "\n" for each in everything)
        )
        executable = tmp_path / "bin" / "openclaw"
        hostile = (
            f"#!{sys.executable}\nimport json, os, sys\n"
            f"open({str(tmp_path / 'children.jsonl')!r}, 'a').write(json.dumps(dict(os.environ)) + chr(10))\n"
            f"print({chr(10).join(everything)!r}, file=sys.stderr)\n"
            'words = " ".join(sys.argv[1:])\n'
            'print("OpenClaw 2026.9.6" if words == "--version" else '
            f"json.dumps({{'jobs': [{{'id': 'a', 'name': {everything[0]!r}}}], 'said': {everything!r}}}))\n"
            'sys.exit(0 if words == "--version" else 1)\n'
        )
        executable.write_text(hostile)
        run = operator.run(
            OC_OPS_NOTIFY_URLS="json://127.0.0.1:9/n0t1fy-Aa1", OC_OPS_PING_URL="http://127.0.0.1:9/p1ng-Bb2"
        )
    written = [
        path for name in ("reports", "memory", "state") for path in (tmp_path / name).rglob("*") if path.is_file()
    ]
    assert any(path.name.startswith("logs-") for path in written)
    assert any(path.suffix == ".log" and "calls" in path.parts for path in written)
    for path in [*written, None]:
        text = path.read_bytes().decode("utf-8", "replace") if path else run.out + run.err
        bare, place = bared(text), path or "the terminal"
        for name, secret in PLACES.items():
            core = secret.rpartition("/")[2]
            for spelling in (
                core,
                core[::-1],
                core.encode().hex(),
                base64.b64encode(core.encode()).decode().rstrip("=")[:-1],
            ):
                assert bared(spelling) not in bare, f"{name} in {place}"
    children = [json.loads(each) for each in (tmp_path / "children.jsonl").read_text().splitlines()]
    assert children
    assert not any("OC_OPS_NOTIFY_URLS" in each or "OC_OPS_PING_URL" in each for each in children)


def test_the_quiet_copy_of_the_config_holds_no_secret(tmp_path: Path) -> None:
    """What a killed run leaves in the temporary folder gives nothing away; the call gets all of it."""
    from oc_ops.observe.config import quieted
    from oc_ops.observe.target import locate

    operator = planted(tmp_path, 18789)
    config = json.loads(operator.config.read_text())
    config["channels"]["x"]["password"] = PLACES["config number"]
    operator.config.write_text(json.dumps(config))
    quiet = quieted(locate({"HOME": operator.environ["HOME"]}), tmp_path / "cli.log")
    assert quiet is not None
    assert not [name for name in PLACES if name.startswith("config") and PLACES[name] in quiet.text]
    assert PLACES["config token"] in quiet.environ.values()
    assert quiet.environ["INNOCENT"] == PLACES["config env"]
    assert quiet.environ.keys().isdisjoint(os.environ)


def test_a_secret_that_no_reference_can_stand_for_is_not_copied(tmp_path: Path) -> None:
    """A number stays a number: then there is no copy, and the call logs where the gateway does."""
    from oc_ops.observe.config import quieted
    from oc_ops.observe.target import locate

    operator = planted(tmp_path, 18789)
    assert quieted(locate({"HOME": operator.environ["HOME"]}), tmp_path / "cli.log") is None
