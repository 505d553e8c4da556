"""Our device identity: one private key per memory directory, whoever comes first and whatever happens to the file."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from oc_ops.errors import CouldNotLook
from oc_ops.observe.device import Device, keep_token, load

RFC8032_SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
RFC8032_PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
GATEWAY = "ws://127.0.0.1:18789"


def decoded(text: str) -> bytes:
    """Base64url without its padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_identity_is_the_fingerprint_of_the_public_key() -> None:
    """The id is the SHA-256 of the raw public key, the key base64url without padding (RFC 8032, test 1)."""
    device_id, public_key = Device(Path("device.json"), RFC8032_SEED).identify()
    assert device_id == hashlib.sha256(RFC8032_PUBLIC).hexdigest()
    assert decoded(public_key) == RFC8032_PUBLIC
    assert "=" not in public_key


def test_a_signature_verifies() -> None:
    """What we sign verifies against the public key we show."""
    signature = decoded(Device(Path("device.json"), RFC8032_SEED).sign("v2|é"))
    Ed25519PublicKey.from_public_bytes(RFC8032_PUBLIC).verify(signature, "v2|é".encode())


def test_key_is_made_once_and_private(tmp_path: Path) -> None:
    """The first use makes a key only its owner can read, in a private folder; later uses find the same one."""
    memory = tmp_path / "deep" / "memory"
    first = load(memory)
    assert load(memory) == first
    assert first.note == ""
    assert (memory / "device.json").stat().st_mode & 0o777 == 0o600
    assert memory.stat().st_mode & 0o777 == 0o700


def test_existing_folder_becomes_private(tmp_path: Path) -> None:
    """A folder that others could read is closed to them when a key moves in."""
    tmp_path.chmod(0o755)
    load(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_loose_permissions_are_tightened(tmp_path: Path) -> None:
    """A key file that a copy left readable for others is closed to them when it is read."""
    load(tmp_path)
    (tmp_path / "device.json").chmod(0o644)
    load(tmp_path)
    assert (tmp_path / "device.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"schema": 1, "se', id="cut-off"),
        pytest.param(b"\xff\xfe\x00", id="binary"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b"[]", id="not-an-object"),
        pytest.param(b'{"seed": "AAAA", "tokens": {}}', id="short-seed"),
        pytest.param(b'{"seed": 7, "tokens": {}}', id="seed-not-text"),
        pytest.param(b'{"tokens": {}}', id="no-seed"),
    ],
)
def test_damaged_file_is_set_aside(tmp_path: Path, damage: bytes) -> None:
    """A damaged file is kept under another name, a new key is made, and the note says so."""
    (tmp_path / "device.json").write_bytes(damage)
    device = load(tmp_path)
    (aside,) = tmp_path.glob("device.json.damaged-*")
    assert aside.read_bytes() == damage
    assert aside.name in device.note
    assert load(tmp_path).seed == device.seed
    assert load(tmp_path).note == ""


def test_processes_that_race_agree_on_one_key(tmp_path: Path) -> None:
    """Eight processes that start at once on a damaged file end up with one key and set one file aside."""
    (tmp_path / "device.json").write_text("damaged")
    program = (
        "import sys, pathlib; from oc_ops.observe.device import load; sys.stdin.read();"
        "print(load(pathlib.Path(sys.argv[1])).identify()[0])"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        for _ in range(8)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.close()
        racer.stdin = None
    ids = {racer.communicate(timeout=60)[0].strip() for racer in racers}
    assert ids == {load(tmp_path).identify()[0]}
    assert len(list(tmp_path.glob("device.json.damaged-*"))) == 1


def test_unusable_folder_is_said_in_one_sentence(tmp_path: Path) -> None:
    """A memory directory that cannot be had is could-not-look, naming the file."""
    (tmp_path / "memory").write_text("a file where the folder should be")
    with pytest.raises(CouldNotLook, match=r"cannot keep the device key .*device\.json"):
        load(tmp_path / "memory")


def test_token_is_kept_and_forgotten(tmp_path: Path) -> None:
    """An issued token is found again by the next process, and gone once it is forgotten."""
    keep_token(load(tmp_path), GATEWAY, "issued-1")
    assert load(tmp_path).tokens == {GATEWAY: "issued-1"}
    keep_token(load(tmp_path), GATEWAY, None)
    assert load(tmp_path).tokens == {}
    assert (tmp_path / "device.json").stat().st_mode & 0o777 == 0o600


def test_unchanged_token_leaves_the_file_alone(tmp_path: Path) -> None:
    """A healthy run writes nothing."""
    device = keep_token(load(tmp_path), GATEWAY, "issued-1")
    before = (tmp_path / "device.json").stat()
    assert keep_token(device, GATEWAY, "issued-1") is device
    assert (tmp_path / "device.json").stat() == before


def test_token_of_another_run_survives(tmp_path: Path) -> None:
    """A token kept by another process since we read the file is not lost."""
    stale = load(tmp_path)
    keep_token(load(tmp_path), "ws://127.0.0.1:1", "theirs")
    keep_token(stale, GATEWAY, "ours")
    assert load(tmp_path).tokens == {"ws://127.0.0.1:1": "theirs", GATEWAY: "ours"}


def test_old_tokens_make_room(tmp_path: Path) -> None:
    """Tokens of throwaway gateways do not pile up; the newest stay."""
    device = load(tmp_path)
    for port in range(20):
        device = keep_token(device, f"ws://127.0.0.1:{port}", "t")
    assert list(load(tmp_path).tokens) == [f"ws://127.0.0.1:{port}" for port in range(4, 20)]


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails half way leaves the key as it was and no litter."""
    before = load(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dump", full)
    with pytest.raises(CouldNotLook, match="No space left on device"):
        keep_token(before, GATEWAY, "issued-1")
    monkeypatch.undo()
    assert load(tmp_path) == before
    assert not list(tmp_path.glob("*.new"))


def test_repr_shows_no_secret(tmp_path: Path) -> None:
    """Neither the key nor a token shows when a device is printed."""
    device = keep_token(load(tmp_path), GATEWAY, "issued-secret")
    assert "issued-secret" not in repr(device)
    assert "seed" not in repr(device)
