"""Databases and stores that the tests start: Debian's PostgreSQL, MariaDB and Redis."""
