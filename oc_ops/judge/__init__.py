"""Pure functions: an observation in, a Finding or None out."""
