"""Incidents: their events, the rules that open and close them, the book they stand in."""
