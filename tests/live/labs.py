"""The lab that all modules of a session share: seeded once, looked at after each module, made anew where need be."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from oc_ops.errors import CouldNotLook
from oc_ops.lab import sweep
from oc_ops.lab.install import LabError
from oc_ops.lab.lab import Lab
from oc_ops.observe import jobstore

READY_S = 30.0
"""What a gateway that was just let go on, or started again, may take to say that it is ready."""
_COMPLAINTS = (b'"logLevelName":"ERROR"', b'"logLevelName":"WARN"')


class TestLab(Lab):
    """A lab that starts its browser only for those who ask for one: half of the modules never look at it."""

    __test__ = False
    with_browser = False

    def start_browser(self) -> None:
        """Start the browser, if one is wanted."""
        if self.with_browser:
            super().start_browser()

    def config(self, changes: Mapping[str, object]) -> str:
        """The lab's config without a heartbeat every half hour: no model answers it, and a session lasts longer."""
        return super().config({"agents": {"defaults": {"heartbeat": {"every": "6h"}}}, **changes})


class SharedLab:
    """One lab, and its state directory as it was when its jobs had been added and its CLI was paired."""

    def __init__(self, root: Path, version: str) -> None:
        self.lab = TestLab(root, version)
        self._seed = root / "seed"
        try:
            self.lab.up()
            self._keep_seed()
        except BaseException:
            self.lab.down()
            raise
        self._jobs = self._seen_jobs()

    def _keep_seed(self) -> None:
        # A frozen gateway writes nothing: the copy is what a power failure would leave, which OpenClaw starts from.
        listener = self.lab.listener()
        assert listener is not None
        listener.suspend()
        try:
            shutil.copytree(self.lab.state_dir, self._seed, symlinks=True)
        finally:
            listener.resume()

    def take_back(self) -> None:
        """Make sure that the next module meets a lab that is well, as seeded, and has no complaint in its log."""
        self._end_browser()
        if self._as_seeded():
            calm(self.lab.log_file)
        else:
            self._renew()

    def start_browser(self) -> None:
        """Have its browser run, until it is taken back."""
        self.lab.with_browser = True
        if not self.lab.browser_runs():
            self.lab.start_browser()

    def _end_browser(self) -> None:
        self.lab.with_browser = False
        if browsers := sweep.browsers(self.lab.root):
            sweep.end(browsers, 5.0)

    def _as_seeded(self) -> bool:
        """Up, healthy, with the config, the jobs and the restart log of a new lab; a good run leaves no trace."""
        lab = self.lab
        with suppress(LabError):
            lab.wait_ready(READY_S)
        return (
            lab.status().healthy
            and lab.config_path.read_text(encoding="utf-8") == lab.config({})
            and not list(lab.state_dir.glob("openclaw.json.clobbered.*"))
            and not (lab.state_dir / "logs" / "gateway-restart.log").exists()
            and self._seen_jobs() == self._jobs
        )

    def _seen_jobs(self) -> object:
        try:
            jobs = jobstore.read(self.lab.state_dir).jobs
        except CouldNotLook as error:
            return error
        return sorted((job.name, job.enabled, job.consecutive_errors, job.running_ms) for job in jobs)

    def _renew(self) -> None:
        lab = self.lab
        lab.down()
        shutil.rmtree(lab.state_dir)
        shutil.copytree(self._seed, lab.state_dir, symlinks=True)
        lab.log_file.unlink(missing_ok=True)
        lab.up()


def calm(log_file: Path) -> None:
    """Take the complaints out of a log, so that they are held against nobody else."""
    lines = log_file.read_bytes().splitlines(keepends=True)
    log_file.write_bytes(b"".join(line for line in lines if not any(each in line for each in _COMPLAINTS)))
