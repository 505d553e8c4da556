"""How long test modules take, roughly, on two cores: the longest are begun first, so that no worker ends alone."""

from __future__ import annotations

MINUTES = {
    "test_recovery_live": 9.0,
    "test_browser_live": 8.0,
    "test_run_live": 5.0,
    "test_doctor_live": 5.0,
    "test_watcher_live": 4.0,
    "test_breaker_live": 4.0,
    "test_store_live": 4.0,
    "test_recovery_foreground_live": 4.0,
    "test_jobs_live": 3.5,
    "test_rpc_live": 3.0,
    "test_schedule_live": 3.0,
    "test_history_live": 3.0,
    "test_cockpit_live": 3.0,
    "test_host_live": 3.0,
    "test_lab_live": 2.0,
    "test_evidence_live": 2.0,
    "test_service_live": 2.0,
    "test_logs_live": 2.0,
    "test_lab_signals_live": 1.5,
    "test_skill_live": 1.0,
    "test_ssh_live": 1.0,
    "test_tmux": 2.0,
    "test_report_in_chromium": 1.5,
    "test_telling": 1.0,
    "test_ports": 1.0,
    "test_kills": 0.5,
    "test_wiring": 1.0,
}
"""Modules that are not here take less than half a minute, or are new."""


def minutes(module: str) -> float:
    """What a module takes; a live one that is not known is taken for a middling one."""
    return MINUTES.get(module, 2.5 if module.endswith("_live") else 0.0)
