"""The gateway's own log records: found, read once, told apart from what others wrote into the same files."""

from __future__ import annotations

from oc_ops.observe.logs.places import around, files, tail
from oc_ops.observe.logs.records import Record, Window, parse, planned_restarts
from oc_ops.observe.logs.scan import Needle, raw_shape
from oc_ops.observe.logs.view import Follower, LogView, recent

__all__ = [
    "Follower",
    "LogView",
    "Needle",
    "Record",
    "Window",
    "around",
    "files",
    "parse",
    "planned_restarts",
    "raw_shape",
    "recent",
    "tail",
]
