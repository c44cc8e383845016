"""Circuit breakers with a compiled core, policies that change at run time, and events in order.

Begin with `Provider` and `get_default_config`; README.md has the tour. Everything optional is loaded when it is used.
"""

from __future__ import annotations

from breaker._core import Breaker, BreakerError, BreakerOpenError, Permit
from breaker.config import Config, get_default_config
from breaker.errors import PolicyError
from breaker.policies.policy import Policy
from breaker.policies.window import Window
from breaker.provider import Provider
from breaker.states import Mode, State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from breaker import events, logs, policies, sources, testing
    from breaker.snapshot import Snapshot

__version__ = "0.1.0"

__all__ = [
    "Breaker",
    "BreakerError",
    "BreakerOpenError",
    "Config",
    "Mode",
    "Permit",
    "Policy",
    "PolicyError",
    "Provider",
    "Snapshot",
    "State",
    "Window",
    "events",
    "get_default_config",
    "logs",
    "policies",
    "sources",
    "testing",
]

_SUBMODULES = frozenset({"events", "logs", "policies", "sources", "testing"})


def __getattr__(name: str) -> object:
    """Load what is not needed by every program at its first use."""
    if name in _SUBMODULES:
        from importlib import import_module

        return import_module(f"breaker.{name}")
    if name == "Snapshot":
        from breaker.snapshot import Snapshot

        return Snapshot
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, also those that are loaded at their first use, and what every module has."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
