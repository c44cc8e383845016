"""Breakers as metrics, read when they are scraped and never counted by a call.

Each module is for one library and imports it: `breaker.metrics.prometheus`, `breaker.metrics.opentelemetry`. Nothing is
imported from here. docs/metrics.md has the tour.
"""
