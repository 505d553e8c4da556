"""Every error that oc-ops raises on purpose; each message is one sentence an operator can act on."""

from __future__ import annotations

from oc_ops.secrecy import names_a_secret


class OcOpsError(Exception):
    """The base of them all: catching it catches everything oc-ops refuses by design and nothing else."""


class SettingError(OcOpsError):
    """A value that cannot be used: names the setting, the value, where it came from, and what is needed.

    Without a value where it may be anything, a secret too: that of a name nobody knows.
    """

    def __init__(self, name: str, value: object, source: str, need: str) -> None:
        self.name, self.value, self.source, self.need = name, value, source, need
        shown = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(value))[:1000]
        if names_a_secret(name) or "_URL" in name.upper():
            shown = "[redacted]"
        said = name if value is None else f'{name}="{shown}"'
        super().__init__(f"{said} in {source}: need {need}")


class CouldNotLook(OcOpsError):
    """The doctor was unable to observe something; never to be taken for health."""


class OtherAccount(CouldNotLook):
    """Something that only another account may see: all that belongs to one account is one reason."""

    def __init__(self, message: str, uid: int | None) -> None:
        super().__init__(message)
        self.uid = uid
