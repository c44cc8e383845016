"""The oracle of outcomes: what an exception means by the options, in plain Python from docs/states.md alone."""

from collections.abc import Mapping
from typing import Any

from breaker import BreakerError, BreakerOpenError
from support.model import FAILURE, IGNORED, SUCCESS

LISTS = {"ignore_on": IGNORED, "success_on": SUCCESS, "failure_on": FAILURE}


def meaning(error: BaseException, options: Mapping[str, Any]) -> str:
    """SUCCESS, FAILURE or IGNORED. ``options``: of `get_breaker`, by name, with lists as tuples."""
    if isinstance(error, BaseExceptionGroup):  # S42
        found = {meaning(leaf, options) for leaf in error.exceptions}
        return FAILURE if FAILURE in found else SUCCESS if SUCCESS in found else IGNORED
    passing = isinstance(error, BreakerOpenError)
    if "failed_error" in options and not passing:  # S49
        answer = options["failed_error"](error)
        if answer is not None:
            return FAILURE if answer else SUCCESS
    for option, outcome in LISTS.items():  # S41
        for kind in options.get(option, ()):
            if isinstance(error, kind) and (not passing or issubclass(kind, BreakerError)):  # S100
                return outcome
    if passing or not isinstance(error, Exception):  # S40, S100
        return IGNORED
    return SUCCESS if "failure_on" in options else FAILURE
