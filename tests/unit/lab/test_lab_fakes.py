"""The faults of a lab: a fake Bot API and a fake provider as processes of its own, that change and leave nothing."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oc_ops.lab import config, fakes, sweep
from oc_ops.lab.install import LabError
from oc_ops.lab.lab import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab whose gateway was never started; everything else of it is ended afterwards."""
    lab = Lab(tmp_path / "lab", cache=tmp_path / "cache")
    for folder in (lab.root, lab.home, lab.state_dir, lab.tmp):
        folder.mkdir()
    yield lab
    lab.down()
    assert sweep.residents(lab.root) == []


def asked(url: str, body: object = None, *, within_s: float = 5.0) -> tuple[int, Any]:
    """Status and answer of one POST; status 0 where none came."""
    request = urllib.request.Request(url, json.dumps(body or {}).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=within_s) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
    except OSError:
        return 0, None


def served(lab: Lab, name: str) -> tuple[str, dict[str, Any]]:
    """Where a fake of the lab serves by the config that its gateway reads, and that config."""
    written = json.loads(lab.config_path.read_text(encoding="utf-8"))
    if name == "telegram":
        return f"{written['channels']['telegram']['apiRoot']}/bot{fakes.TOKEN}", written
    return written["models"]["providers"]["lab"]["baseUrl"], written


def test_a_lab_s_channel_and_provider_take_on_every_fault(lab: Lab) -> None:
    """Each mode at the place that the config names; another mode stays where it was, so that nothing is set up anew."""
    lab.fake("telegram", "401")
    lab.fake("provider", "402")
    bot, written = served(lab, "telegram")
    api, _ = served(lab, "provider")
    assert written["gateway"]["auth"]["token"] == lab.token
    assert asked(f"{bot}/getMe")[0] == 401
    status, told = asked(f"{api}/chat/completions")
    assert (status, told["error"]["code"]) == (402, "insufficient_quota")
    lab.fake("telegram", "409")
    lab.fake("provider", "429")
    assert (served(lab, "telegram")[0], served(lab, "provider")[0]) == (bot, api)
    assert asked(f"{bot}/getMe")[0] == 200
    assert asked(f"{bot}/getUpdates")[0] == 409
    assert asked(f"{api}/chat/completions")[0] == 429
    lab.fake("telegram", "closed")
    assert asked(f"{bot}/sendMessage", {"chat_id": 1, "text": "x"})[0] == 0


def test_a_fake_is_off_and_with_it_its_config(lab: Lab) -> None:
    """Its process has ended, and the gateway is told of no such channel."""
    lab.fake("telegram", "ok")
    bot, _ = served(lab, "telegram")
    lab.fake("telegram", "off")
    assert asked(f"{bot}/getMe")[0] == 0
    assert "channels" not in json.loads(lab.config_path.read_text(encoding="utf-8"))
    assert sweep.residents(lab.root) == []


def test_down_ends_the_fakes_and_forgets_them(lab: Lab) -> None:
    """As everything else that lives in the lab."""
    lab.fake("provider", "slow")
    assert len(sweep.residents(lab.root)) == 1
    lab.down()
    assert sweep.residents(lab.root) == []
    remembered = config.read(lab.root / "lab.json")
    assert remembered is not None
    assert remembered.fakes == {}


def test_an_unknown_fault_is_refused_with_those_there_are(lab: Lab) -> None:
    """Nothing is started for it."""
    with pytest.raises(LabError, match="need one of ok, closed, 401, 409, hang, stale, off"):
        lab.fake("telegram", "500")
    assert sweep.residents(lab.root) == []


@pytest.mark.parametrize(("mode", "first"), [("hang", "none"), ("stale", "none"), ("ok", "empty")])
def test_a_poll_ends_or_does_not(mode: str, first: str) -> None:
    """`hang` ends none, `stale` none until the bot logs in anew, `ok` every one."""
    with fakes.Fake("telegram", mode) as fake:
        bot = f"http://127.0.0.1:{fake.port}/bot{fakes.TOKEN}"
        poll = threading.Thread(target=lambda: answers.append(asked(f"{bot}/getUpdates", within_s=30.0)), daemon=True)
        answers: list[tuple[int, Any]] = []
        poll.start()
        poll.join(3.0)
        assert bool(answers) is (first == "empty")
        asked(f"{bot}/getMe")
        poll.join(0.0 if mode == "hang" else 5.0)
        assert bool(answers) is (mode != "hang")
