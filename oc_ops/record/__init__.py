"""Everything that a run leaves behind: redacted, atomic, readable long after the incident."""
