"""Telling people what changed, out of band: in a process of its own, which no run waits for and none depends on."""
