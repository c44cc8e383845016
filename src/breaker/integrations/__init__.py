"""Breakers for other libraries, one module for each; nothing here is loaded by `import breaker`.

Each module imports its library when it is imported itself, and says how to install it where it is missing.
"""
