"""A gateway's memory over the last day: a small series kept between runs, so that growth can be told from size."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

from oc_ops import files
from oc_ops.observe.host import Sample
from oc_ops.record import folder

SPACING_S = 300.0
"""A sample this soon after the last one is not kept: a cockpit that looks every 5 s must not push out the day."""

_KEPT = 288
"""One day at one sample in SPACING_S; the file stays below 32 KB."""

_FIELDS = 5


def remember(memory_dir: Path, key: str, sample: Sample | None) -> tuple[Sample, ...]:
    """The series of the gateway `key` (a short name for the target) with the new sample at its end, oldest first.

    The file is replaced as a whole and only when the sample is due; one that is broken, or cannot be read or written,
    costs the history and nothing else. Samples of a clock that was set back are dropped.
    """
    path = memory_dir / f"trend-{key}.json"
    kept = _read(path)
    if sample is None:
        return kept
    kept = tuple(each for each in kept if each.at_s < sample.at_s)
    series = (*kept, sample)[-_KEPT:]
    if not kept or sample.at_s - kept[-1].at_s >= SPACING_S:
        try:
            folder.write(path, json.dumps([astuple(each) for each in series]) + "\n")
        except OSError:
            return series
    return series


def _read(path: Path) -> tuple[Sample, ...]:
    try:
        rows: object = json.loads(files.read_text(path, files.SMALL_BYTES))
    except (OSError, ValueError, RecursionError):
        return ()
    if not isinstance(rows, list):
        return ()
    samples = [_sample(each) for each in rows[-_KEPT:]]
    return tuple(sorted((each for each in samples if each is not None), key=lambda each: each.at_s))


def _sample(row: object) -> Sample | None:
    if not isinstance(row, Sequence) or len(row) != _FIELDS:
        return None
    if not all(isinstance(each, int | float) and math.isfinite(each) and each >= 0 for each in row):
        return None
    at_s, pid, started_s, rss_bytes, swapped_out_bytes = row
    return Sample(float(at_s), int(pid), float(started_s), int(rss_bytes), int(swapped_out_bytes))
