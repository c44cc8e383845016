"""The command `breaker replay`: what policies would have done to recorded calls."""
