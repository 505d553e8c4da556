"""One bounded recovery."""
