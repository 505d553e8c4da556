"""How long test modules take, roughly, on two cores: the longest are begun first, so that no worker ends alone."""

from __future__ import annotations

from pathlib import Path

MINUTES = {
    "test_recovery_live": 4.0,
    "test_browser_live": 3.5,
    "test_container_live": 3.5,
    "test_doctor_live": 4.0,
    "test_run_live": 4.0,
    "test_recovery_foreground_live": 2.5,
    "test_breaker_live": 2.5,
    "test_work_live": 2.5,
    "test_watcher_live": 3.0,
    "test_jobs_live": 2.5,
    "test_schedule_live": 2.5,
    "test_history_live": 1.5,
    "test_cockpit_live": 2.5,
    "test_state_live": 2.0,
    "test_store_live": 2.0,
    "test_wheel_live": 2.0,
    "test_rpc_live": 1.5,
    "test_lab_live": 1.0,
    "test_lab_signals_live": 1.5,
    "test_service_live": 1.5,
    "test_host_live": 1.0,
    "test_evidence_live": 1.0,
    "test_logs_live": 1.0,
    "test_skill_live": 0.5,
    "test_ssh_live": 0.5,
    "test_tmux": 3.0,
    "test_breaker_switching": 1.5,
    "test_breaker_plans": 1.0,
    "test_paced": 1.0,
    "test_answer": 1.0,
    "test_click": 1.0,
    "test_faked_faults": 1.0,
    "test_telling": 2.5,
    "test_wiring": 2.0,
    "test_report_in_chromium": 1.5,
    "test_recover_option": 1.5,
    "test_ports": 1.5,
    "test_words": 1.0,
    "test_looker": 1.0,
    "test_noted": 1.0,
    "test_watcher_process": 1.0,
    "test_kills": 0.5,
    "test_watcher_hours": 0.5,
    "test_cli_recover": 0.5,
}
"""Modules that are not here take less than half a minute, or are new."""
_NEW = {"live": 2.5, "runs": 0.4, "hostile": 0.4}
"""What a module is taken for that is not known, by its folder."""


def minutes(module: Path) -> float:
    """What a module takes."""
    return MINUTES.get(module.stem, _NEW.get(module.parent.name, 0.0))
