"""What the tests share: the oracle (`model`), ways to drive a breaker (`drive`), and both together (`twin`)."""
