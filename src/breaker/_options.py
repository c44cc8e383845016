"""Checks of what a provider is given: its own arguments, and options of `get_breaker` for a breaker that exists."""

from __future__ import annotations

import threading
from functools import partial
from types import ModuleType

from breaker._core import Breaker, exception_types
from breaker._function_checks import refuse_function_that_runs_later
from breaker.config import Config
from breaker.policies.policy import Policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    ExceptionTypes = type[BaseException] | tuple[type[BaseException], ...]

PREDICATES = ("failed_result", "failed_error")  # the options that are functions


def same_options(breaker: Breaker, given: dict[str, Any]) -> Breaker:
    """The breaker, if each option that is given, by name and not None, equals its own. Raises `ValueError` if not."""
    own = breaker._options()
    for option, value in given.items():
        if value is not None and not _are_same(option, own[option], value):
            _refuse_option(breaker.name, option, own[option], value)
    return breaker


def _are_same(option: str, own: Any, given: Any) -> bool:
    if option in PREDICATES:
        return _are_same_function(own, given)
    listed = exception_types(option, given) or ()
    return own is not None and _hold(own, listed) and _hold(listed, own)


def _hold(types: tuple[type, ...], others: tuple[type, ...]) -> bool:
    """Are these all of the others? By identity: a metaclass may compare and hash its classes as it likes."""
    return all(any(one is other for one in types) for other in others)


def _are_same_function(own: Any, given: Any) -> bool:
    """Equal, or partials that do the same; two functions made by one ``lambda`` are two, for they may hold different
    values.
    """
    if type(own) is partial and type(given) is partial:
        bound = (own.args, own.keywords) == (given.args, given.keywords)
        return bound and _are_same_function(own.func, given.func)
    return bool(own == given)


def check_predicates(given: dict[str, Any]) -> None:
    """Raise `TypeError` for a predicate whose call judges nothing; whether it can be called is asked by the core."""
    for option in PREDICATES:
        if given[option] is not None:
            refuse_function_that_runs_later(given[option], option, "its answer is needed at once")


def _refuse_option(name: str, option: str, own: object, given: object) -> None:
    remedy = "give options where the breaker is made first, or use another name"
    if _are_one_function_made_twice(own, given):
        remedy = (
            f"this is one function that is made anew by each call of the code around it: define it once, at module "
            f"level, and pass that as {option} each time"
        )
    raise ValueError(f"breaker {name!r} exists with {option}={own!r} and cannot get {option}={given!r}; {remedy}")


def _are_one_function_made_twice(own: object, given: object) -> bool:
    """Two objects of one ``def`` or ``lambda``, or partials, or bound methods, of such or of the same function."""
    for inner in ("func", "__func__"):
        if type(own) is type(given) and hasattr(own, inner) and hasattr(given, inner):
            own, given = getattr(own, inner), getattr(given, inner)
    code = getattr(given, "__code__", None)
    return code is not None and getattr(own, "__code__", None) is code


def check_arguments(config: Any, logger: Any, source: Any, policy: Any, clock: Any, start_timeout: Any) -> None:
    """Raise `TypeError` or `ValueError` for the first argument of `Provider` that is wrong."""
    if not isinstance(config, Config):
        raise TypeError(f"config must be a breaker.Config (see get_default_config), got {type(config).__name__}")
    if logger is not None:
        check_logger(logger)
    if source is not None:
        check_source(source)
    if not isinstance(policy, Policy):
        raise TypeError(f"default_policy must be a breaker.Policy, got {type(policy).__name__}")
    if clock is not None:
        if not callable(clock):
            raise TypeError(f"clock must be a callable that returns nanoseconds, got {type(clock).__name__}")
        if isinstance(reading := clock(), bool) or not isinstance(reading, int):
            raise TypeError(f"clock must return whole nanoseconds (int), like time.monotonic_ns, got {reading!r}")
    check_timeout(start_timeout)


def check_logger(logger: Any) -> None:
    """Raise `TypeError` unless it has the methods that are called; the text says what to pass."""
    advice = 'pass structlog.get_logger("breaker") or logging.getLogger("breaker")'
    if isinstance(logger, type | ModuleType):
        kind = "class" if isinstance(logger, type) else "module"
        raise TypeError(f"logger must be a logger, got the {kind} {logger.__name__}; {advice}")
    for level in ("debug", "info", "warning", "error"):
        try:
            method = getattr(logger, level, None)
        except Exception as error:  # structlog makes a logger as it is configured: one of asyncio needs a loop
            raise TypeError(f"logger.{level} raises {error!r}; {advice}") from error
        if not callable(method):
            raise TypeError(f"logger must be a logger, got {type(logger).__name__} without .{level}(); {advice}")
        refuse_function_that_runs_later(method, f"logger.{level}", f"lines would never be written; {advice}")


def check_source(source: Any) -> None:
    if isinstance(source, type):
        raise TypeError(f"policy_source must be a PolicySource, got the class {source.__name__}; pass an instance")
    for method in ("start", "stop", "after_fork", "location"):
        if not hasattr(source, method):
            hint = "pass one of breaker.sources or one of its kind"
            raise TypeError(f"policy_source must be a PolicySource, got {source!r} without .{method}(); {hint}")


def check_timeout(seconds: Any) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"start_timeout must be seconds, got {type(seconds).__name__}")
    if not 0 <= seconds <= threading.TIMEOUT_MAX:
        raise ValueError(
            f"start_timeout must be a number of seconds from 0 to {threading.TIMEOUT_MAX:.0f}, got {seconds}"
        )
