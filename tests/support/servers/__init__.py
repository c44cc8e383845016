"""Databases and stores that the tests start: Debian's PostgreSQL and Redis."""
