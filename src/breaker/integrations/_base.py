"""What every integration needs: which breaker a call has, and what a rejection is to the callers of a library.

An integration imports public modules of this package and this module, and nothing else of the package. It begins with
`require`, takes its users' ``provider`` and ``name=`` through `Naming`, builds on ``Breaker.acquire()``, and raises a
class that is both `BreakerOpenError` and the library's own error, so that ``except`` clauses for either keep working.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import math
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, TypeVar

from breaker._core import Breaker, Permit
from breaker.errors import BreakerOpenError
from breaker.provider import Provider

__all__ = [
    "Breaker",
    "NameOf",
    "Naming",
    "Permit",
    "check_provider",
    "leaves",
    "rejected_as",
    "rejection_in",
    "require",
    "retry_seconds",
]

NameOf = Callable[[Any], str | None]
_LONGEST = 2**31 - 1
_Rejection = TypeVar("_Rejection", bound=BreakerOpenError)


def require(
    package: str,
    *,
    oldest: tuple[int, ...],
    integration: str,
    module: str | None = None,
    folder: str = "integrations",
) -> ModuleType:
    """Import the library of an integration, before the modules that use it are imported.

    Args:
        package: its name on the package index.
        oldest: the oldest version that the integration works with, as numbers.
        integration: the name of the integration and of its extra, for errors.
        module: what is imported; None: it is called like the package.
        folder: the package of ours that the integration is in, for errors.

    Raises:
        ImportError: it cannot be imported, or it is too old; ``name`` is the module's. A version that has no number
            is taken as new enough.
    """
    module = module or package
    wanted = ".".join(map(str, oldest))
    needed = f"breaker.{folder}.{integration} needs {package} {wanted} or newer"
    remedy = f"install it with the extra {integration}, or with: pip install '{package}>={wanted}'"
    try:
        library = importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{needed}, which cannot be imported here ({error}); {remedy}", name=module) from error
    version = _version(library, package)
    if (numbers := re.match(r"\d+(?:\.\d+)*", version)) and _is_older(numbers[0], oldest):
        raise ImportError(f"{needed}, and {version} is installed; {remedy}", name=module)
    return library


def _version(library: ModuleType, package: str) -> str:
    version = vars(library).get("__version__")  # not what a module makes when it is asked: Flask warns then
    if isinstance(version, str):
        return version
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # on the path without having been installed
        return ""


def _is_older(version: str, oldest: tuple[int, ...]) -> bool:
    numbers = [int(number) for number in version.split(".")]
    numbers += [0] * (len(oldest) - len(numbers))  # "3" is 3.0
    return tuple(numbers) < oldest


def check_provider(owner: str, provider: object) -> None:
    """Raise `TypeError` unless it is a provider. ``owner`` is what was called with it."""
    if isinstance(provider, type):
        raise TypeError(f"{owner} takes a breaker.Provider, got the class {provider.__name__}; pass an instance")
    if not isinstance(provider, Provider):
        raise TypeError(f"{owner} takes a breaker.Provider, got {type(provider).__name__}")


class Naming:
    """Which breaker each call has: the arguments ``provider`` and ``name=`` of an integration, checked.

    Args:
        owner: what was called with them, for errors.
        provider: whose breakers they are.
        name: as its user gave it. A callable that makes a breaker's name of a call, or None to leave that call
            unprotected; the name of one breaker for all calls; None: each call has its default.
        made_of: what the callable gets, for errors: ``"the call's details"``.
        default: what the default is, for errors: ``"the method's own"``.
        one_for: calls of what the breaker is for, if ``name`` is text, for errors: ``"all methods"``.
        text: whether ``name`` may be text.

    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: no breaker can have the name that was given as text.

    Thread safety: any number of threads may ask for breakers at once.
    """

    __slots__ = ("_fixed", "_name_of", "_owner", "_provider")

    def __init__(
        self,
        owner: str,
        provider: Provider,
        name: NameOf | str | None,
        *,
        made_of: str,
        default: str,
        one_for: str,
        text: bool = True,
    ) -> None:
        check_provider(owner, provider)
        is_text = isinstance(name, str)
        if not (name is None or callable(name) or (is_text and text)):
            takes = f"a callable that makes a breaker's name of {made_of}"
            takes += f", the name of one breaker for {one_for}, or" if text else ", or"
            hint = f"; for one breaker for {one_for}: name=lambda details: {name!r}" if is_text else ""
            raise TypeError(f"name= of {owner} must be {takes} None for {default}; got {type(name).__name__}{hint}")
        self._owner = owner
        self._provider = provider
        self._fixed = name if isinstance(name, str) else None
        self._name_of = name if callable(name) else None
        if self._fixed is not None:
            provider.get_breaker(self._fixed)  # a name that no breaker can have is an error here, not at a call

    def breaker_for(self, call: Any, default: str | None) -> Breaker | None:
        """The breaker of a call, made if it is new; None: the call is not protected.

        Args:
            call: what a callable ``name=`` gets.
            default: the name of its breaker if ``name=`` was not given; None: it is not protected then.

        Raises:
            RuntimeError: ``name=`` raised; its error is the cause.
            TypeError: ``name=`` returned something else than text or None.
            ValueError: no breaker can have that name.
        """
        if self._name_of is not None:
            name = self._named(self._name_of, call, default)
        else:
            name = default if self._fixed is None else self._fixed
        return None if name is None else self._provider.get_breaker(name)

    def _named(self, name_of: NameOf, call: Any, default: str | None) -> str | None:
        which = default or f"a {type(call).__name__}"  # never its text, which may have a password in it
        try:
            name = name_of(call)
        except Exception as error:
            raise RuntimeError(
                f"name= of {self._owner} raised {type(error).__name__} for {which} ({error}); "
                "it must return the name of a breaker, or None to leave the call unprotected"
            ) from error
        if name is not None and not isinstance(name, str):
            got = type(name).__name__  # nor its: it may be made of the call
            raise TypeError(
                f"name= of {self._owner} must return the name of a breaker (text), got {got} for {which}; "
                "None leaves the call unprotected"
            )
        return name


def rejected_as(kind: type[_Rejection], rejected: BreakerOpenError) -> _Rejection:
    """The same rejection in another class: the one that is also the error of the library whose call was rejected."""
    return kind(rejected.name, rejected.state, rejected.retry_after, rejected.reason, rejected.last_error)


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions of a group and of the groups in it; any other exception is its own only one."""
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions
        else:
            yield each


def rejection_in(error: BaseException) -> BreakerOpenError | None:
    """The rejection that an exception is: itself, or of a group of nothing else the one with the longest wait."""
    longest = None
    for each in leaves(error):
        if not isinstance(each, BreakerOpenError):
            return None
        if longest is None or each.retry_after > longest.retry_after:
            longest = each
    return longest


def retry_seconds(of: BreakerOpenError | Breaker) -> int:
    """When to try again in whole seconds, as ``Retry-After`` and timers take it: rounded up, at least 1, 32 bits."""
    return math.ceil(min(_LONGEST, max(1.0, of.retry_after)))  # in this order NaN is 1
