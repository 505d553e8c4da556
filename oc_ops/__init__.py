"""The operator's control plane for OpenClaw: observe, judge, record, and act only when asked."""

__version__ = "0.1.0"
