"""The gateway's own log: what it says went wrong in the last minutes."""

from __future__ import annotations

from checks.check import check
from checks.report import Report
from oc_ops.doctor import log, summary
from oc_ops.doctor.observations import Doctor
from oc_ops.doctor.surroundings import Surroundings
from oc_ops.judge import host as judge_host
from oc_ops.judge import signatures
from oc_ops.judge.finding import Finding
from oc_ops.observe.install import release


@check("logs/signatures", lane="log", by_clock=True)
def test_log_holds_no_error_signature(
    doctor: Doctor, surroundings: Surroundings, named_cause: Finding | None, report: Report
) -> None:
    """No known error signature stands in what the gateway itself logged lately: CLI output does not count."""
    running = release(summary.gateway_version(doctor) or "")
    view, host = surroundings.work.seen.seen, surroundings.host.seen
    validated = doctor.config_rejected.came and doctor.config_rejected.seen is None
    refuted = signatures.refuted_now(
        doctor.cron_status.seen,
        view.accounts if view else None,
        view.at_ms if view else 0,
        config_accepted=validated or log.config_accepted(doctor.settings, doctor.config, doctor.cli_release),
    )
    room = host is not None and judge_host.disk_low(host, surroundings.host_limits) is None
    found = signatures.findings(
        doctor.log_view(),
        doctor.signatures(),
        running,
        now=doctor.started_at,
        beside=named_cause,
        refuted=refuted,
        past=("db.full",) if room else (),
    )
    report(*found)
