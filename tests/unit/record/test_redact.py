"""Redaction: secrets and the home directory go, everything else stays, in linear time."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from oc_ops.record.redact import PLACEHOLDER, Json, Redactor
from oc_ops.secrecy import is_trivial, secrets_in

HOME = Path("/home/joe")
PLAIN = Redactor([], HOME)
SECRET = "hunter2-Zq/9+x y&<\"'ü"

# Assembled at run time, so that nobody's secret scanner takes this file for a leak.
FAKE = {
    "openai": "sk-" + "proj-" + "Ab3" * 12,
    "github": "ghp" + "_" + "a1B2" * 9,
    "github-fine": "github" + "_pat_" + "a1B2" * 9,
    "slack": "xoxb" + "-1234567890-" + "abcDEF",
    "google": "AIza" + "Sy" + "d" * 33,
    "aws": "AKIA" + "ABCDEFGH12345678",
    "jwt": "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxIn0.c2lnbmF0dXJl",
    "telegram": "123456789" + ":AA" + "h" * 33,
    **{
        each: each + "a1B2" * 10
        for each in (
            "GOCSPX-",
            "glrt-",
            "GR1348941",
            "pypi-",
            "gsk_",
            "pplx-",
            "xai-",
            "tvly-",
            "syt_",
            "r8_",
            "tskey-",
        )
    },
    "sendgrid": "SG" + "." + "a1B2" * 5 + "." + "a1B2" * 9,
    "docker": "dckr" + "_pat_" + "a1B2" * 7,
    "digitalocean": "dop" + "_v1_" + "a1b2" * 16,
    "shopify": "shpat" + "_" + "a1b2" * 8,
    "stripe test": "sk" + "_test_" + "a1B2" * 6,
    "age": "AGE-SECRET-" + "KEY-1" + "Q1A2" * 12,
    "google refresh": "1/" + "/0" + "a1B2" * 10,
    "fernet": "gAA" + "AA" + "a1B2" * 20,
    "databricks": "dapi" + "a1b2" * 8,
    "grafana": "glsa" + "_" + "a1B2" * 10,
    "supabase": "sbp" + "_" + "a1b2" * 10,
    "twilio": "SK" + "a1b2" * 8,
}
PEM = "-----BEGIN " + "PRIVATE KEY-----\n" + "MIIBVAIBADANBgkqhkiG9w0BAQEF\n" * 3 + "-----END " + "PRIVATE KEY-----"


@pytest.mark.parametrize("shape", FAKE)
def test_known_shape_goes_wherever_it_stands(shape: str) -> None:
    """A credential of a well-known make is recognised in prose, in JSON and at the end of a line."""
    secret = FAKE[shape]
    for text in (f"using {secret} now", json.dumps({"x": secret}), f"a\n{secret}\nb", f"({secret})"):
        assert secret not in PLAIN.text(text)
        assert PLACEHOLDER in PLAIN.text(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.def-123", f"Authorization: Bearer {PLACEHOLDER}"),
        ("authorization: Basic dXNlcjpwYXNz", f"authorization: Basic {PLACEHOLDER}"),
        ('{"Authorization":"Bearer abc def"}', f'{{"Authorization":"{PLACEHOLDER}"}}'),
        ("token=abc123 next", f"token={PLACEHOLDER} next"),
        ("http://127.0.0.1:18789/?token=abc123&x=1", f"http://127.0.0.1:18789/?token={PLACEHOLDER}&x=1"),
        ("http://127.0.0.1:18789/#token=abc123", f"http://127.0.0.1:18789/#token={PLACEHOLDER}"),
        ("api_key: abc123", f"api_key: {PLACEHOLDER}"),
        ("password = 'two words'", f"password = '{PLACEHOLDER}'"),
        ('{"token":"abc"}', f'{{"token":"{PLACEHOLDER}"}}'),
        ('{"gatewayToken": "a\\"b", "port": 1}', f'{{"gatewayToken": "{PLACEHOLDER}", "port": 1}}'),
        ('{"0":"{\\"token\\":\\"abc\\"}"}', f'{{"0":"{{\\"token\\":\\"{PLACEHOLDER}\\"}}"}}'),
        ("https://joe:pa55@example.org/x", f"https://{PLACEHOLDER}@example.org/x"),
        ("https://joe:p@55@example.org/x", f"https://{PLACEHOLDER}@example.org/x"),
        ("openclaw --token abc --json", f"openclaw --token {PLACEHOLDER} --json"),
        ("openclaw --gateway-password=abc", f"openclaw --gateway-password={PLACEHOLDER}"),
        ("['openclaw', '--token', 'abc']", f"['openclaw', '--token', '{PLACEHOLDER}']"),
        ("Set-Cookie: session=abc; Path=/", f"Set-Cookie: {PLACEHOLDER}"),
        ("\x1b[1mtoken\x1b[0m=abc123", f"\x1b[1mtoken\x1b[0m={PLACEHOLDER}"),
    ],
)
def test_labelled_secret_goes_and_its_label_stays(text: str, shown: str) -> None:
    """What a name like token or password introduces is replaced, its surroundings are not."""
    assert PLAIN.text(text) == shown


W = "hunter2bluemoon"
"""A secret that no shape tells."""


@pytest.mark.parametrize(
    "text",
    [
        f"<key>OPENCLAW_GATEWAY_TOKEN</key>\n  <string>{W}</string>",
        f"<string>--token</string>\n    <string>{W}</string>",
        f"openclaw\0--token\0{W}\0",
        f"token=\n{W}",
        f'"token":\n   "{W}"',
        f"token: |\n  {W}\n  {W}\nport: 1",
        f'token = """\nfirst\n{W}\n"""',
        f"passphrase: correct horse {W} staple",
        f"the password is {W}",
        f"token -> {W}",
        f"token：{W}",
        f"curl -s -u joe:{W} https://example.org",
        f"sshpass -p {W} ssh joe@example.org",
        f"https://{W}@example.org/hook",
        f"https://{W}:@example.org/hook",
        f"https://joe:a/{W}@example.org/hook",
        f"https://example.org/h?key={W}",
        "https://example.org/webhookb2/Tr4ceB4ck9xQz71kLm",
        f"-----BEGIN {'RSA'} PRIVATE KEY-----\nDEK-Info: A-1,B\n\n{W}\n-----END {'RSA'} PRIVATE KEY-----",
        f"-----BEGIN {'PGP'} PRIVATE KEY BLOCK-----\n\n{W}\n=abcd\n-----END {'PGP'} PRIVATE KEY BLOCK-----",
    ],
)
def test_a_value_goes_however_its_label_stands(text: str) -> None:
    """Property lists, argument vectors, the next line, blocks, sentences, commands, addresses, keys with a head."""
    shown = PLAIN.text(text)
    assert PLACEHOLDER in shown
    assert W not in shown
    assert "Tr4ceB4ck9" not in shown
    assert PLAIN.text(shown) == shown


@pytest.mark.parametrize(
    "value",
    [
        {"argv": ["gateway", "--password", W]}, {"key": "A_TOKEN", "value": W}, [["token", W]],
        {"token": {"a": [W]}}, {"environ": {"FOO": W}}, {"password": ["a", W]},
    ],
)  # fmt: skip
def test_a_value_goes_wherever_it_stands_in_json(value: Json) -> None:
    """Behind a flag, beside its name, in a pair, deep below a secret's name."""
    assert W not in json.dumps(PLAIN.json(value))


@pytest.mark.parametrize(
    "text",
    [
        "unauthorized: gateway token mismatch (set gateway.remote.token to match gateway.auth.token)",
        "AUTH_TOKEN_MISMATCH",
        '{"totalTokens": 8123, "input_tokens": 12}',
        '{"token":{"source":"env","id":"OPENCLAW_TOKEN"}}',
        "gateway token: missing",
        "reason=token_mismatch conn=4",
        '{"token":null}',
        "ws://127.0.0.1:28789 (ETIMEDOUT)",
        "git@github.com:openclaw/openclaw.git",
        "ssh://git@github.com/openclaw",
        "sessionKey=agent:main:main",
        "12:41:15 task-force risk-averse",
        "openclaw gateway status --require-rpc --timeout 8000",
        "the token is missing, and the password is required.",
        "gateway.auth.token -> missing",
        "invalid token:\n2026-11-29T00:00:00Z retry",
        "https://docs.openclaw.ai/gateway/configuration?key=agents#token",
        "ws://127.0.0.1:9222/devtools/browser/0f1c2d3e-4a5b-4c6d-8e7f-0123456789ab",
        "at file:///usr/lib/node_modules/openclaw/dist/server-CxY9zKq3Tr4ceB4ck9.js:12:5",
        "http://localhost:18789/a@b",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    """What an operator must be able to read is not taken for a secret."""
    assert PLAIN.text(text) == text


def test_private_key_goes_whole() -> None:
    """A PEM private key is one placeholder, as text and as the inside of a JSON string."""
    assert PLAIN.text(f"a {PEM} b") == f"a {PLACEHOLDER} b"
    assert PLAIN.text(json.dumps({"x": PEM})) == json.dumps({"x": PLACEHOLDER})


@pytest.mark.parametrize(
    "spell",
    [
        pytest.param(lambda s: s, id="itself"),
        pytest.param(lambda s: quote(s, safe=""), id="url"),
        pytest.param(lambda s: json.dumps(s), id="json"),
        pytest.param(lambda s: json.dumps(s, ensure_ascii=False), id="json-unicode"),
        pytest.param(lambda s: json.dumps(json.dumps(s)), id="json-in-json"),
        pytest.param(lambda s: base64.b64encode(s.encode()).decode(), id="base64"),
        pytest.param(lambda s: base64.b64encode(f"user:{s}".encode()).decode(), id="basic-auth"),
        pytest.param(lambda s: base64.urlsafe_b64encode(s.encode()).decode().rstrip("="), id="base64url"),
    ],
)
def test_known_value_goes_in_every_spelling(spell: object) -> None:
    """A secret of the config or environment is found as it is and as encodings write it."""
    assert callable(spell)
    written = spell(SECRET)
    shown = Redactor([SECRET], HOME).text(f"<{written}>")
    assert PLACEHOLDER in shown
    assert len(shown) <= len("<>") + len(PLACEHOLDER) + 10, "only what depends on neighbours may remain of a base64"


def test_longer_secret_goes_first() -> None:
    """A secret that contains another one leaves no remainder."""
    redactor = Redactor(["abcdef", "abcdef-ghijkl"], HOME)
    assert redactor.text("x abcdef-ghijkl y abcdef z") == f"x {PLACEHOLDER} y {PLACEHOLDER} z"


@pytest.mark.parametrize("value", ["", "a", "123", "true", "gateway", "${OPENCLAW_TOKEN}", "redact"])
def test_trivial_value_is_not_searched_for(value: str) -> None:
    """A value that ordinary text is full of does not eat it."""
    text = f"the gateway true 18789 12345 a redact {value}"
    assert Redactor([value], HOME).text(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/joe", "~"),
        ("/home/joe/.openclaw/openclaw.json", "~/.openclaw/openclaw.json"),
        ("/home/joel/x /home/joe-old /home/joe.bak", "/home/joel/x /home/joe-old /home/joe.bak"),
        ("/mnt/home/joe/x", "/mnt/home/joe/x"),
        ("in /home/joe.", "in ~."),
        ("PATH=/home/joe/bin:/home/joe/.local/bin:/usr/bin", "PATH=~/bin:~/.local/bin:/usr/bin"),
        ("file:///home/joe/x", "file://~/x"),
        ("file%3A%2F%2F%2Fhome%2Fjoe%2Fx", "file%3A%2F%2F~%2Fx"),
        ('"a\\n/home/joe/x"', '"a\\n~/x"'),
        ("\x1b[32m/home/joe/x", "\x1b[32m~/x"),
    ],
)
def test_home_shows_as_tilde(text: str, shown: str) -> None:
    """The home directory goes wherever a path begins with it, and nowhere else."""
    assert PLAIN.text(text) == shown


def test_macos_home_and_private_prefix() -> None:
    """/Users/x and the /private that macOS puts before resolved paths go too, for every home given."""
    redactor = Redactor([], Path("/Users/x"), [Path("/private/var/folders/lab")])
    assert redactor.text("/Users/x/a /private/var/folders/lab/b /var/folders/lab/c") == "~/a ~/b ~/c"


def test_root_is_no_home() -> None:
    """A home of `/`, as containers have it, does not turn every path into a tilde."""
    assert Redactor([], Path("/")).text("/etc/hosts") == "/etc/hosts"


def test_argv_value_after_a_secret_flag_goes() -> None:
    """An argument after --token or the like goes whatever it looks like, the flag stays."""
    argv = ("/home/joe/bin/openclaw", "--token", "{}", "--password=x y", "gateway", "status", "--timeout", "8000")
    assert PLAIN.argv(argv) == (
        "~/bin/openclaw",
        "--token",
        PLACEHOLDER,
        f"--password={PLACEHOLDER} y",
        "gateway",
        "status",
        "--timeout",
        "8000",
    )


def test_json_value_under_a_secret_name_goes() -> None:
    """In JSON a name decides, at any depth; numbers, references and the structure stay."""
    value: Json = {
        "auth": {"token": "a b c", "mode": "token"},
        "list": [{"apiKey": "x"}],
        "tokens": 12,
        "password": None,
    }
    assert PLAIN.json(value) == {
        "auth": {"token": PLACEHOLDER, "mode": "token"},
        "list": [{"apiKey": PLACEHOLDER}],
        "tokens": 12,
        "password": None,
    }


def test_cut_cannot_halve_a_secret() -> None:
    """Text is redacted before it is shortened."""
    redactor = Redactor(["s3cr3t-" * 10], HOME)
    for padding in range(80):
        assert "s3cr3t" not in redactor.line("x" * padding + "s3cr3t-" * 10 + "y" * 400, limit=100)


def test_secrets_in_environment_are_found_by_name() -> None:
    """Names that say secret do; places of secrets and ordinary names do not."""
    environ = {
        "OPENCLAW_GATEWAY_TOKEN": "v1",
        "PGPASSWORD": "v2",
        "OPENAI_API_KEY": "v3",
        "AWS_SECRET_ACCESS_KEY": "v4",
        "CLIENT_SECRET": "v5",
        "APIKEY": "v6",
        "SSH_AUTH_SOCK": "no",
        "TOKEN_FILE": "no",
        "PATH": "no",
        "PWD": "no",
        "KEYBOARD": "no",
        "EMPTY_TOKEN": "",
    }
    assert set(secrets_in(environ)) == {"v1", "v2", "v3", "v4", "v5", "v6"}


_SECRETS = st.text(st.characters(codec="utf-8", exclude_characters="[]"), min_size=8, max_size=40)


@given(_SECRETS, st.text(), st.text())
@settings(max_examples=300)
def test_known_secret_never_survives(secret: str, before: str, after: str) -> None:
    """Whatever stands around it, a known secret is not in the result."""
    secret = secret.strip()
    assume(len(secret) >= 8 and not is_trivial(secret))
    assume(secret not in PLACEHOLDER and secret not in before and secret not in after)
    assert secret not in Redactor([secret], HOME).text(before + secret + after)


_MARKS = [*"=\\'/~ @.[,\"", "\n", ": ", "https://", "[redacted]"]
_WORDS = ["token", "Bearer ", "--token", "abcdef1234567890", "cookie:", "sk-", "eyJ", "password", "1234567:"]
_PIECES = st.sampled_from([*_MARKS, *_WORDS, "/home/joe", "secretvalue"])


@given(st.lists(_PIECES, max_size=25).map("".join))
@settings(max_examples=1500)
def test_redaction_is_idempotent(text: str) -> None:
    """A second redaction finds nothing left to do."""
    redactor = Redactor(["secretvalue"], HOME)
    once = redactor.text(text)
    assert redactor.text(once) == once


_PROVOKING = [
    *("x", " ", "-", "1", "eyJ", "eyJaaaaaaaa.", "://", "://a:", "token", "token ", "--token", '"token":"', "sk-"),
    *("[redacted]", "password=\\", "cookie:", "/home/joe", "%2F", '\\"', "Bearer ", "-----BEGIN PRIVATE KEY-----"),
]


@pytest.mark.parametrize("unit", _PROVOKING)
def test_time_is_linear(unit: str) -> None:
    """Four times the input takes about four times as long, for inputs made to provoke backtracking."""
    redactor = Redactor(["a-known-secret-value", "another/known+secret=value"], HOME)

    def cost(size: int) -> float:
        text = (unit * (size // len(unit) + 1))[:size]
        best = float("inf")
        for _ in range(3):
            began = time.process_time()
            redactor.text(text)
            best = min(best, time.process_time() - began)
        return best

    small, large = cost(250_000), cost(1_000_000)
    assert large < 10 * small + 0.1


def test_five_megabyte_line_is_quick() -> None:
    """A 5 MB line with twenty known secrets to look for costs a CPU second; four on a machine that is busy."""
    redactor = Redactor([f"secret-number-{n}/{n}" for n in range(20)], HOME)
    text = "token=abc " + "lorem ipsum key value: " * 230_000
    began = time.process_time()
    assert "abc" not in redactor.text(text)[:20]
    assert time.process_time() - began < 4
