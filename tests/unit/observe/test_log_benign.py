"""A healthy gateway's own wordings: no signature knows any of them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from oc_ops.judge import signature_catalogue, signatures
from oc_ops.observe.logs import Needle, raw_shape, recent
from oc_ops.observe.logs.scan import Scan, finder
from tests.support import gateway_log
from tests.support.log_lines import line

LINES = 1_000_000
NEEDLES = [Needle(each.id, each.literals, raw_shape(each.expression)) for each in signature_catalogue.catalogue()]


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A million lines from a healthy gateway's vocabulary, half a gigabyte."""
    log = tmp_path_factory.mktemp("healthy") / "log"
    block = "".join(f"{each}\n" for each in gateway_log.records(50_000)).encode()
    with log.open("wb") as file:
        for _ in range(LINES // 50_000):
            file.write(block)
    return log


def test_a_million_healthy_lines_give_no_finding(healthy: Path) -> None:
    """Not even a candidate: what the prefilter lets through, the judge would have to look at."""
    size = healthy.stat().st_size
    with healthy.open("rb", buffering=0) as file:
        one = Scan(file, NEEDLES, finder(NEEDLES, size))
        assert [NEEDLES[number].id for hit in one.hits() for number in hit.needles] == []
    assert (one.lines, one.bytes) == (LINES, size)
    since = gateway_log.BEGIN - timedelta(days=1)
    view = recent([healthy], NEEDLES, since=since, tail_bytes=2 * size)
    assert (view.records, signatures.findings(view)) == ((), ())
    healthy.unlink()


@pytest.mark.parametrize("signature", signature_catalogue.catalogue(), ids=lambda each: each.id)
def test_the_prefilter_lets_each_sample_through(tmp_path: Path, signature: signature_catalogue.Signature) -> None:
    """Logged as JSON or as plain text, a signature's sample reaches the judge."""
    for written in (line(signature.sample), signature.sample, line("x", message=signature.sample)):
        log = tmp_path / "log"
        log.write_text(f"{written}\n")
        since = gateway_log.BEGIN - timedelta(days=1)
        (record,) = recent([log], NEEDLES, since=since, tail_bytes=2**20).records
        assert signature.pattern.search(record.text)
