"""One doctor run: what it looks at, what it finds, and what is made of it."""
