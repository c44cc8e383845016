"""Where policy documents come from. A source publishes; the provider compares, validates and swaps."""

from breaker.sources.base import Feed, PolicySource, Unreadable
from breaker.sources.files import FileSource
from breaker.sources.memory import MemorySource

__all__ = ["Feed", "FileSource", "MemorySource", "PolicySource", "Unreadable"]
