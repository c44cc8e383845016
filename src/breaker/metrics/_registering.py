"""What both libraries' modules share: checked arguments, and the handle that ends a registration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from breaker.integrations._base import check_provider
from breaker.provider import Provider

__all__ = ["Registration", "check_service", "refuse_twice"]


class Registration:
    """A provider whose breakers are shown as metrics, until `unregister`.

    Calling it does the same, and so does the end of a ``with`` block.

    Thread safety: everything may be called from any thread.

    .. versionadded:: 0.1
    """

    def __init__(self, provider: Provider, service: str, end: Callable[[], None]) -> None:
        self.provider = provider
        self.service = service
        self._end: list[Callable[[], None]] = [end]  # emptied by the first who ends it

    def unregister(self) -> None:
        """Show its breakers no more, and keep the provider alive no more. A second time does nothing."""
        try:
            end = self._end.pop()
        except IndexError:
            return
        end()

    def __call__(self) -> None:
        self.unregister()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.unregister()

    def __repr__(self) -> str:
        return f"<Registration of {self.service!r}{'' if self._end else ', ended'}>"


def check_service(owner: str, provider: Provider, service: str | None) -> str:
    """The value of the label ``service``. ``owner`` is what was called with it, for errors."""
    check_provider(owner, provider)
    if service is None:
        service = provider.config.service_name
    elif not isinstance(service, str):
        raise TypeError(
            f"service= of {owner} must be text or None for the provider's own, got {type(service).__name__}"
        )
    if not service:
        raise ValueError(f"service= of {owner} must not be empty; None takes the provider's own")
    service = str.__str__(service)
    try:
        service.encode()
    except UnicodeEncodeError:
        raise ValueError(f"service= of {owner} must be encodable as UTF-8, got {service!r}; give another") from None
    return service


def refuse_twice(owner: str, provider: Provider, service: str, others: list[tuple[Provider, str]]) -> None:
    """Raise `ValueError` where a provider or a service is there already: their series would be the same."""
    for other, theirs in others:
        if other is provider:
            raise ValueError(f"{owner} got a provider that is registered there already, as service {theirs!r}")
        if theirs == service:
            raise ValueError(
                f"{owner} has another provider of service {service!r} there already, and their series would be the "
                "same; tell them apart by service="
            )
