"""The gateway's own log: what it says went wrong in the last minutes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from oc_ops.doctor import Doctor
from oc_ops.judge import signatures

pytestmark = pytest.mark.doctor


@pytest.mark.check("logs/signatures", lane="files")
def test_log_holds_no_error_signature(doctor: Doctor, healthy: Callable[..., None]) -> None:
    """No known error signature stands in what the gateway itself logged lately: CLI output does not count."""
    healthy(*signatures.findings(doctor.log_view()))
