"""What stands beside the gateway: what could not be judged of it is never green."""

from __future__ import annotations

from pathlib import Path

import pytest

from oc_ops.doctor.observations import Doctor
from oc_ops.doctor.surroundings import Surroundings
from oc_ops.errors import CouldNotLook
from oc_ops.judge.watched_jobs import Verdict
from oc_ops.observe.watchlist import Watched
from oc_ops.settings import Settings


def test_a_watched_job_that_could_not_be_judged_is_not_green(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every reason is said; jobs that were judged raise nothing."""
    seen = Surroundings(Doctor(Settings(memory_dir=tmp_path), {"HOME": str(tmp_path)}))
    monkeypatch.setattr(seen, "verdicts", lambda: (Verdict(Watched("well"), None),))
    seen.all_jobs_judged()
    verdicts = (Verdict(Watched("a"), None, unseen="one"), Verdict(Watched("b"), None, unseen="two"))
    monkeypatch.setattr(seen, "verdicts", lambda: verdicts)
    with pytest.raises(CouldNotLook, match="one; two"):
        seen.all_jobs_judged()
