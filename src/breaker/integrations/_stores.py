"""What integrations with databases and stores share: which breaker a call has, what an error says of its server.

A client of a store keeps its connections to itself, so that a breaker stands where the client sends something: in
methods of the object that its user has. `put_around` gives that one object a class of its own, derived from the one it
had. The library's classes, and other objects of them, stay as they are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

from breaker.errors import BreakerOpenError
from breaker.integrations._base import Breaker, NameOf, Naming, Permit
from breaker.provider import Provider

Verdict = Literal["success", "failure", "ignored"]
"""What an error that ended a call counts as: the server's answer, the server's fault, or neither."""

_Object = TypeVar("_Object")
_Result = TypeVar("_Result")


class Protection:
    """The settings of one protected object, checked.

    Args:
        owner: what errors call it.
        provider: whose breakers protect its calls.
        name: as for `Naming`.
        default: the name of the breaker where ``name`` is None.
        made_of: what a callable ``name`` gets, for errors.
        one_for: calls of what a breaker is for, if ``name`` is text, for errors.
        judge: what an exception that ended a call counts as.
        reject: makes the library's own error of a rejection and what was rejected.

    Thread safety: any number of threads and tasks may use one.
    """

    __slots__ = ("_get_breaker", "_judge", "_naming", "_one_name", "_reject")

    def __init__(
        self,
        owner: str,
        provider: Provider,
        name: NameOf | str | None,
        default: str,
        *,
        made_of: str,
        one_for: str,
        judge: Callable[[BaseException], Verdict],
        reject: Callable[[BreakerOpenError, Any], BreakerOpenError],
    ) -> None:
        self._naming = Naming(owner, provider, name, made_of=made_of, default="its server's own", one_for=one_for)
        # Most have one name for all calls; asking `Naming` for it would cost as much as the rest of a call.
        self._one_name = None if callable(name) else default if name is None else name
        self._get_breaker = provider.get_breaker
        self._judge = judge
        self._reject = reject
        if name is None:
            provider.get_breaker(default)  # a name that no breaker can have is an error here, not at a call

    def breaker_for(self, call_of: Callable[[Any], Any], what: Any) -> Breaker | None:
        """The breaker of a call; None: it is not protected.

        Args:
            call_of: makes of ``what`` that which a callable ``name=`` gets. It is called only if there is one.
            what: what is to be sent.
        """
        if self._one_name is not None:
            return self._get_breaker(self._one_name)
        return self._naming.breaker_for(call_of(what), None)

    def admit(self, call_of: Callable[[Any], Any], what: Any) -> Permit | None:
        """Leave for a call; None: it is not protected. Raises the library's own error if it is rejected.

        Arguments are those of `breaker_for`.
        """
        if self._one_name is not None:  # as in `breaker_for`, without the call
            breaker = self._get_breaker(self._one_name)
        elif (named := self.breaker_for(call_of, what)) is not None:
            breaker = named
        else:
            return None
        try:
            return breaker.acquire()
        except BreakerOpenError as rejected:
            raise self._reject(rejected, what) from None

    def raised(
        self, permit: Permit, error: BaseException, judge: Callable[[BaseException], Verdict] | None = None
    ) -> None:
        """Settle by what ended a call. ``judge``: whose verdict it is, if not that of the settings."""
        # The rejection of a breaker further inside is the library's own error too.
        verdict = "ignored" if isinstance(error, BreakerOpenError) else (judge or self._judge)(error)
        if verdict == "failure":
            permit.failure(error)
        elif verdict == "success":
            permit.success()
        else:
            permit.ignore()

    def run(
        self,
        call_of: Callable[[Any], Any],
        what: Any,
        function: Callable[..., _Result],
        /,
        *args: Any,
        **kwargs: Any,
    ) -> _Result:
        """Do something as one call: what ``function`` returns, a success, or what it raises, judged."""
        permit = self.admit(call_of, what)
        if permit is None:
            return function(*args, **kwargs)
        with permit:
            try:
                return function(*args, **kwargs)
            except BaseException as error:
                self.raised(permit, error)
                raise

    async def run_async(
        self,
        call_of: Callable[[Any], Any],
        what: Any,
        function: Callable[..., Awaitable[_Result]],
        /,
        *args: Any,
        **kwargs: Any,
    ) -> _Result:
        """The same for a function to be awaited."""
        permit = self.admit(call_of, what)
        if permit is None:
            return await function(*args, **kwargs)
        with permit:
            try:
                return await function(*args, **kwargs)
            except BaseException as error:
                self.raised(permit, error)
                raise


def is_protected(instance: object) -> bool:
    """Whether `put_around` was called with it."""
    return getattr(instance, "_breaker_protection", None) is not None


def put_around(instance: _Object, derive: Callable[[type[Any]], type[Any]], protection: Protection) -> _Object:
    """Have one object ask a breaker: its class becomes one that is derived from its own.

    Args:
        instance: what is protected.
        derive: makes the derived class, whose methods find ``protection`` in ``self._breaker_protection``.
        protection: whom they ask.
    Returns:
        The object.
    """
    changed: Any = instance
    base: type[Any] = type(instance)
    if vars(base).get("_breaker_derived_by") is not derive:
        changed.__class__ = _derived(base, derive)
    changed._breaker_protection = protection
    return instance


def _derived(base: type[Any], derive: Callable[[type[Any]], type[Any]]) -> type[Any]:
    for kind in base.__subclasses__():  # one class for all objects that are protected the same way
        if vars(kind).get("_breaker_derived_by") is derive:
            return kind
    kind = derive(base)
    kind.__name__, kind.__qualname__, kind.__module__ = base.__name__, base.__qualname__, base.__module__
    kind.__doc__ = base.__doc__
    kind._breaker_derived_by = derive  # a function in a class is a method, but `vars` gives it as it is
    kind._breaker_protection = None
    return kind
