"""The stale-mutex breaker: what nobody holds and yet holds work up is broken, one at a time, after an approval."""
