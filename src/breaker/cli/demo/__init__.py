"""The command `breaker demo`: breakers protect real calls to a service that falls ill and recovers."""

from __future__ import annotations

from breaker.cli.demo.options import add_parser

__all__ = ["add_parser"]
