"""The command `breaker top`: the breakers of a running program in a terminal, by its status page."""
