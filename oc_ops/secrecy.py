"""The one rule of what is secret: by its name, wherever names stand, and by the look of a value where no name tells."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from enum import IntEnum
from functools import lru_cache
from itertools import pairwise
from urllib.parse import parse_qsl, unquote, urlsplit

from oc_ops.text import regex

SHORTEST = 4
"""Characters from which on a value under a secret's name is looked for; a shorter one goes only behind its label."""

_SECRET = frozenset(
    """
    token tokens secret secrets password passwords passwd pwd passphrase passphrases passcode passcodes pass passwort
    credential credentials creds cred cookie cookies bearer webhook webhooks pat pats pin pins otp totp dsn jwt jwts
    authorization apikey apikeys private mnemonic hmac salt pepper seed signature sig psk kek dek auth
    """.split()  # noqa: SIM905 -- read as the table it is
)
STEMS = (
    *("token", "secret", "pass", "key", "pwd", "cred", "cookie", "bearer", "hook", "pat", "pin", "otp", "dsn", "jwt"),
    *(
        "auth",
        "priv",
        "mnemonic",
        "hmac",
        "salt",
        "pepper",
        "seed",
        "sig",
        "psk",
        "kek",
        "dek",
        "code",
        "conn",
        "notify",
        "callback",
    ),
)
"""One of these is in every name that names a secret, in lower case: a text without them needs no closer look."""
_INSIDE = regex(
    r"passw(?:or)?d|passphrase|secret|credential|apikey|webhook|bearer|(?:access|private|signing|encryption)key|tokens?$"
    r"|^(?:db|pg|my|sql|mysql|user|root|admin|redis|mongo|rabbit|smtp|imap|pop|ftp|ssh|http|proxy|key|ldap|vpn)pass$"
)
"""Words without a separator that are secret all the same: PGPASSWORD, authtoken, dbpass."""
_PAIRS = (
    ({"notify", "ping", "callback"}, {"url", "urls"}),
    ({"connection", "conn"}, {"string", "str", "uri"}),
    (
        {"recovery", "backup", "verification", "pairing", "security", "login", "device", "setup", "access"},
        {"code", "codes"},
    ),
)
_HARMLESS_KEYS = frozenset(
    """
    session public pub primary foreign cache sort idempotency idempotent dedupe dedup partition job agent group hot
    object row map config storage lookup unique routing route thread channel peer run task event message state sub
    translation shortcut index binding profile model provider conversation lane queue bucket registry path family
    """.split()  # noqa: SIM905 -- read as the table it is
)
_ABOUT = frozenset(
    """
    limit limits count counts counter max min maximum minimum budget budgets usage used left remaining file files path
    paths dir dirs directory folder sock socket mode modes type types kind name names ttl expiry expires expiration
    expired at age length len size enabled disabled required present missing valid invalid mismatch ok status state
    source provider ref env var variable version algorithm alg format method scheme policy strategy rotation port host
    timeout retries interval window rate cost price through ms s sec secs seconds minutes hours days error errors
    failures attempts per delta percent percentage estimate tokenizer profile profiles profileid origin issuer audience
    scope scopes field fields label rotated created updated ended floor ceiling threshold ratio soft hard
    """.split()  # noqa: SIM905 -- read as the table it is
)
"""A name that ends so tells something about a secret, and not the secret."""
_CONTENT = frozenset("value values val plain plaintext raw text data current new old default b64 base64 hex".split())  # noqa: SIM905
TABLES = frozenset(
    "env environ vars headers environment secrets credentials cookies tokens passwords keys key creds".split()  # noqa: SIM905
)
"""Tables whose members are not to be shown whatever they are called."""

_WORD = regex(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_]+")
_WEAK = frozenset("pass auth private pat pats pin pins salt pepper seed signature sig cookie webhook bearer".split())  # noqa: SIM905
_TRIVIAL = frozenset(
    """
    default defaults disabled enabled gateway localhost loopback openclaw password passwords redacted secret secrets
    undefined token tokens none null true false auto local remote main basic bearer oauth oauth2 apikey api-key api_key
    trusted-proxy file exec env keychain keyring info debug warn error warning telegram discord slack signal whatsapp
    anthropic openai google system agent session browser cron managed optional required webhook cookie digest test
    [redacted] 0000 127.0.0.1
    """.split()  # noqa: SIM905 -- read as the table it is
)
_REFERENCE = regex(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_EVERYDAY = regex(
    r"[a-z]{1,16}(?:[ ,;/.:_-]{1,2}(?:[a-z]{1,16}|v?\d{1,8})){0,16}[.:]?"  # words, models, versions
    r"|-?\d{1,5}(?:[.,:]\d{1,6}){0,3}(?:[a-z]{1,3}|%)?"  # numbers, times, versions, addresses
    r"|\d{4}-\d\d-\d\d(?:[t ][\d:.]{4,15}(?:z|[+-]\d\d:?\d\d)?)?"
    r"|(?:~|\.{1,2})?/[^\s?#]*|[a-z]:\\.*"  # paths
    r"|\w{2}_\w{2}\.utf-?8|[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[a-z]{2,16}"
    r"|(?:https?|wss?)://[\w.\[\]-]{1,253}(?::\d{1,5})?/?",
    re.I,
)
_UUID = regex(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.I)
_RUN = regex(r"[A-Za-z0-9+/=]{12,}")
_CHANGE = regex(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])")
_SHOWN = frozenset(
    """
    $schema id ids version model models primary fallbacks alias path dir file workspace name host bind url baseurl port
    profile provider command lasttouchedversion lasttouchedat lastrunat lastrunversion lastruncommand lastruncommit
    agentid deviceid timezone tz lang locale accept cwd cdpurl executablepath publickey
    """.split()  # noqa: SIM905 -- read as the table it is
)
"""Places of the config whose values are shown: a random look makes them no secret, a secret's name above them does."""
_ASSIGNED = regex(r"""(?<![\w.-])(-{0,2}[A-Za-z][\w.-]{1,63})(?:["']?[ \t]*[:=][ \t]*|[ \t]+)["']?([^\s"',;&]+)""")
_SCHEME = regex(r"(?:bearer|basic|token|digest|bot)[ \t]+(\S+)", re.I)
_MEMBER = regex(r"""(?<![\w.$-])([A-Za-z_$][\w.$-]{0,127}+)["']?[ \t]{0,64}[:=]\s{0,256}""")
_CLOSED, _LINE_END = regex(r"[\]}]"), regex(r"\n")
_STRINGS = regex(r"\"([^\"\n]{1,4096})|'([^'\n]{1,4096})|([^\s\"',\[\]{}]+)")


@lru_cache(maxsize=8192)
def names_a_secret(name: str) -> bool:
    """Tell whether a name (config key, variable, JSON member, flag, query parameter) says that its value is secret.

    Names are split into words, camelCase and separators alike: `gatewayToken`, `GH_PAT`, `--api-key`, `x-goog-api-key`
    are secret; `maxTokens`, `tokenLimit`, `passwordFile`, `keyboard`, `sessionKey` are not.
    """
    words = [] if name in ("PWD", "OLDPWD") else _words(name)
    while len(words) > 1 and words[-1] in _CONTENT:
        words = words[:-1]
    if not words or (words[-1] in _ABOUT and words[-2:] != ["key", "id"]):
        return False
    if any(word in _SECRET or _INSIDE.search(word) for word in words):
        return not ("tokens" in words and words[0] in _QUANTITIES)
    for before, word in pairwise(words):
        if word in ("key", "keys") and before not in _HARMLESS_KEYS:
            return True
        if any(before in first and word in second for first, second in _PAIRS):
            return True
    return False


_QUANTITIES = frozenset(
    """
    max min total input output prompt completion cached num number used context reserve budget reasoning thinking
    estimated remaining approx avg average cache read write extra system
    """.split()  # noqa: SIM905 -- read as the table it is
)


def _words(name: str) -> list[str]:
    # Only the last step of a dotted path names what stands there, and steps like `.value` name nothing.
    steps = [step for step in name[:256].split(".") if step] or [""]
    while len(steps) > 1 and steps[-1].lower() in _CONTENT:
        steps.pop()
    return [word.lower() for word in _WORD.findall(steps[-1])]


def tells(name: str, value: str, *, quoted: bool = True) -> bool:
    """Tell whether a value under that name is the secret itself: counts and words like `missing` are not.

    Where it stands unquoted in a text, a word that is a secret's name in one place and prose in another (`pass: 12 of
    14`, `auth: failed`) needs a value that is no everyday word.
    """
    if not names_a_secret(name) or _NO_VALUE.fullmatch(value):
        return False
    words = _words(name)
    number = re.fullmatch(r"[\d.,]+[kKmM%]?", value) is not None
    if number and ((words[-1].endswith("s") and words[-1] != "pass") or sum(map(str.isdigit, value)) < SHORTEST):
        return False
    if number and ("pin" in words or "pins" in words):
        return True
    strong = any(word not in _WEAK and (word in _SECRET or _INSIDE.search(word)) for word in words)
    return strong or quoted or len(value) > 300 or not is_everyday(value) or "key" in words


_NO_VALUE = regex(
    r"true|false|null|none|nil|undefined|missing|mismatch|required|invalid|expired|unset|empty|unresolved|ok|not|is|the"
    r"|a|an|no|must|was|has|does|should|cannot|expected|unrecognized|too|env|file|exec|\$\{\w+\}|\[redacted\]",
    re.I,
)


def is_everyday(value: str) -> bool:
    """Tell whether a value is of a kind that ordinary text is full of: words, numbers, times, paths, addresses."""
    return len(value) > 300 or value.lower() in _TRIVIAL or _EVERYDAY.fullmatch(value) is not None


def is_trivial(value: str) -> bool:
    """Tell whether a value is a word that OpenClaw's own texts are full of, so that nothing may be known by it."""
    return value.lower() in _TRIVIAL or value in "[redacted]" or _REFERENCE.fullmatch(value) is not None


def looks_random(value: str) -> bool:
    """Tell whether a value looks drawn by lot, as keys and tokens do; an id like a UUID does not count."""
    if not 12 <= len(value) <= 4096 or any(each.isspace() for each in value) or _UUID.fullmatch(value):
        return False
    if "://" in value or value.startswith(("/", "~", "./")):
        return False
    return any(_mixed(run) for run in _RUN.findall(value))


def _mixed(run: str) -> bool:
    if re.fullmatch(r"[0-9a-f]{20,}|[0-9A-F]{20,}", run):
        return not run.isdigit()
    return len(_CHANGE.findall(run)) >= max(4, len(run) // 6)


def secrets_in(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return what is secret in an environment: values of secret names, random ones, passwords inside addresses."""
    return tuple(
        dict.fromkeys(each for name, value in environ.items() for each in _leaf(value, name, _Within.ORDINARY, environ))
    )


def secrets_of(table: object, environ: Mapping[str, str]) -> Iterator[str]:
    """Every secret in a config: by its name, by the table it stands in, by its look; and what references lead to."""
    yield from _value(table, "", _Within.ORDINARY, environ)


def secrets_in_table(table: Mapping[str, str]) -> Iterator[str]:
    """Every value of a table that holds secrets (a `.env`, headers) except everyday ones."""
    yield from _value(table, "env", _Within.TABLE, {})


def secrets_in_broken(text: str) -> Iterator[str]:
    """Secrets in a config that does not parse: any string or number behind a secret's name, to its line's end
    or its closing bracket, and whatever looks random.
    """
    done = 0
    for member in _MEMBER.finditer(text):
        named = names_a_secret(member[1])
        if member.start() < done or not (named or member[1].lower() in TABLES):
            continue
        listed = text[member.end() : member.end() + 1] in ("[", "{")
        end = (_CLOSED if listed else _LINE_END).search(text, member.end(), member.end() + 65536)
        done = end.start() if end else min(len(text), member.end() + 65536)
        for found in _STRINGS.finditer(text, member.end(), done):
            said = next(filter(None, found.groups())).strip(" \t,")
            yield from _leaf(said, member[1] if named else "", _Within.TABLE, {})
    yield from (run for run in re.findall(r"[^\s\"',\[\]{}]{12,4096}", text) if looks_random(run))


class _Within(IntEnum):
    """The kind of table a value stands in: an ordinary one, one like `env` or `headers`, one of secrets by its name."""

    ORDINARY = 0
    TABLE = 1
    SECRETS = 2


def _value(value: object, name: str, inside: _Within, environ: Mapping[str, str]) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from _table(value, name, inside, environ)
    elif isinstance(value, list):
        for before, each in zip([None, *value], value, strict=False):
            flag = isinstance(before, str) and before.startswith("-") and names_a_secret(before)
            yield from _value(each, str(before) if flag else name, inside, environ)
    elif isinstance(value, str):
        yield from _leaf(value, name, inside, environ)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        text = str(value)
        if (names_a_secret(name) and tells(name, text)) or (inside and len(text) > 5):
            yield text


def _table(table: Mapping[str, object], name: str, inside: _Within, environ: Mapping[str, str]) -> Iterator[str]:
    if is_reference(table):
        # A true SecretRef names where the secret is; of the environment it can be had, and an id may be a mistake.
        said = str(table["id"])
        if said in environ:
            yield environ[said]
        elif looks_random(said) or (table["source"] == "env" and not _REFERENCE.fullmatch(f"${{{said}}}")):
            yield said
        return
    own = _Within.TABLE if name.lower() in TABLES or names_a_secret(name) else _Within.ORDINARY
    if names_a_secret(name) and not set(_words(name)) & _WEAK:
        own = _Within.SECRETS
    held = max(inside, own)
    for key, each in table.items():
        plain = _words(key)[-1:] and _words(key)[-1] in _ABOUT and not isinstance(each, Mapping | list)
        yield from _value(each, key, _Within.ORDINARY if plain else held, environ)
        if looks_random(key) and "/" not in key:
            yield key


def is_reference(table: Mapping[str, object]) -> bool:
    """Tell whether a table is a SecretRef and nothing else."""
    return (
        {"source", "id"} <= table.keys() <= {"source", "id", "provider"}
        and table["source"] in ("env", "file", "exec")
        and all(isinstance(each, str) for each in table.values())
    )


def _leaf(value: str, name: str, inside: _Within, environ: Mapping[str, str]) -> Iterator[str]:
    value = value.strip()
    named = names_a_secret(name)
    shown = name.lower() in _SHOWN or not (looks_random(value) or _held(value, inside))
    placed = value.startswith(("/", "~/")) and name.lower().endswith(("url", "urls"))
    if value and ((named and not _ordinary(name, value)) or not shown) and not placed:
        yield value
        if "://" in value:
            yield from value.split()
    for variable in _REFERENCE.findall(value):
        held = environ.get(variable, "")
        if held and (named or inside or names_a_secret(variable)):
            yield held
    yield from _parts(value, named or inside > 0, environ)


def _ordinary(name: str, value: str) -> bool:
    """True if it is a word under a name that is as often a setting's: `pin: latest`, `cookie: session`."""
    words = set(_words(name)) & (_SECRET | {"key"})
    return value.isalpha() and len(value) < 12 and bool(words) and words <= _WEAK - {"pass", "bearer"}


def _held(value: str, inside: _Within) -> bool:
    """True if a table makes its member secret: words and paths are none in one of settings, words in one of secrets."""
    if inside is _Within.ORDINARY or len(value) < 6 or is_trivial(value):
        return False
    if inside is _Within.SECRETS:
        return not (value.isalpha() or value.startswith(("/", "~", "./")))
    return not is_everyday(value)


def _parts(value: str, hidden: bool, environ: Mapping[str, str]) -> Iterator[str]:
    """Secrets inside a value: an address' password and parameters, `--token=…`, a header, JSON as text."""
    if scheme := _SCHEME.fullmatch(value):
        yield scheme[1]
        yield from _userpass(scheme[1])
    if "://" in value:
        yield from _address(value, hidden)
    if value[:1] in "[{" and value[-1:] in "]}" and len(value) < 2**20:
        with suppress(ValueError, RecursionError):
            yield from _value(json.loads(value), "", _Within.TABLE if hidden else _Within.ORDINARY, environ)
    if len(value) < 65536:
        for said in _ASSIGNED.finditer(value):
            flag = said[1].startswith("-")
            if not flag and (is_everyday(said[2]) or said[0][len(said[1]) :][:1].isspace()):
                continue  # prose
            if len(said[2]) >= SHORTEST and tells(said[1], said[2], quoted=False) and not is_trivial(said[2]):
                yield said[2]
        if header := re.match(r"[\w-]{1,64}:[ \t]*(.+)", value):
            yield from (each[1] for each in (_SCHEME.fullmatch(header[1]),) if each)


def _userpass(text: str) -> Iterator[str]:
    try:
        said = base64.b64decode(text, validate=True).decode()
    except ValueError:
        return
    if ":" in said and said.isprintable():
        yield said.partition(":")[2]


def _address(value: str, hidden: bool) -> Iterator[str]:
    for word in value.split():
        try:
            url = urlsplit(word)
            query = parse_qsl(url.query) + parse_qsl(url.fragment)
        except ValueError:
            continue
        user, _, password = url.netloc.rpartition("@")[0].partition(":")
        yield from (each for each in (password, unquote(password)) if len(each) >= SHORTEST and not is_trivial(each))
        if not password and len(user) >= 12 and not is_everyday(user):
            yield user
        for name, said in query:
            if (names_a_secret(name) and len(said) >= SHORTEST and not is_trivial(said)) or looks_random(said):
                yield said
        for step in url.path.split("/"):
            if looks_random(step) or (hidden and len(step) >= 8 and not is_everyday(step)):
                yield step
