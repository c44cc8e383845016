"""One breaker, one fallback, and the three ways to call: ``do``, the decorator, ``acquire``.

Run it with ``python main.py``. It needs no network and does not wait: the "remote" service is a function,
and a clock that is moved by hand stands in for the time.
"""

from __future__ import annotations

import asyncio

import breaker
from breaker.testing import ManualClock


class Inventory:
    """Stands in for a remote service. ``trouble`` is the exception that its calls raise, or None."""

    def __init__(self) -> None:
        self.trouble: Exception | None = None
        self.requests = 0

    def stock(self, item: str) -> int:
        self.requests += 1
        if self.trouble is not None:
            raise self.trouble
        return 7

    async def stock_async(self, item: str) -> int:
        await asyncio.sleep(0)
        return self.stock(item)


def stock_or_fallback(protected: breaker.Breaker, service: Inventory, item: str) -> str:
    """The usual shape of a call: the answer, or a fallback when the breaker is open or the service fails."""
    try:
        return f"{protected.do(service.stock, item)} in stock"
    except breaker.BreakerOpenError as rejected:
        # The service was not called. Retrying before retry_after has passed is of no use.
        return f"stock unknown (next try in {rejected.retry_after:.0f} s, cause: {rejected.last_error})"
    except TimeoutError:
        return "stock unknown (too slow)"
    except LookupError as error:
        return f"no such item: {error}"


def open_and_recover(clock: ManualClock, protected: breaker.Breaker, service: Inventory) -> None:
    """CLOSED, OPEN, HALF_OPEN, CLOSED."""
    print("healthy:   ", stock_or_fallback(protected, service, "apple"))

    service.trouble = TimeoutError("no answer within 2 s")
    for _ in range(3):
        print("failing:   ", stock_or_fallback(protected, service, "apple"))
    print("the state: ", protected.state)

    requests = service.requests
    print("open:      ", stock_or_fallback(protected, service, "apple"))
    print("requests while open:", service.requests - requests)

    clock.advance(30)
    service.trouble = None
    print("probe:     ", stock_or_fallback(protected, service, "apple"))
    print("the state: ", protected.state)


def answers_that_are_no_failure(protected: breaker.Breaker, service: Inventory) -> None:
    """A timely "there is none" says that the service works: ``success_on`` counts it as a success."""
    service.trouble = LookupError("unicorn")
    answers = {stock_or_fallback(protected, service, "unicorn") for _ in range(5)}
    print("not found: ", *answers)
    print("the state: ", protected.state)
    service.trouble = None


def three_ways_to_call(protected: breaker.Breaker, service: Inventory) -> None:
    """The same protection and the same rules, whichever way the call is written."""
    print("do:        ", protected.do(service.stock, "pear"))

    @protected
    def pears() -> int:
        """How many pears there are."""
        return service.stock("pear")

    print("decorator: ", pears(), "-", pears.__doc__)

    # acquire() is for outcomes that are neither a return value nor an exception. Leaving the block settles
    # the permit by the exception that leaves it, unless it has been settled before.
    with protected.acquire() as permit:
        if service.stock("pear") < 0:
            permit.failure()
    print("acquire:   ", protected.snapshot().consecutive_failures, "failures in a row")

    # A coroutine function goes through the same do().
    print("coroutine: ", asyncio.run(await_stock(protected, service)))


async def await_stock(protected: breaker.Breaker, service: Inventory) -> int:
    return await protected.do(service.stock_async, "pear")


def main() -> None:
    clock = ManualClock()
    config = breaker.get_default_config("shop", "development")
    policy = breaker.Policy(failure_threshold=3, success_threshold=1, open_state_timeout=30)
    with breaker.Provider(config, default_policy=policy, clock=clock) as provider:
        protected = provider.get_breaker("http:inventory-api", success_on=LookupError)
        service = Inventory()
        open_and_recover(clock, protected, service)
        answers_that_are_no_failure(protected, service)
        three_ways_to_call(protected, service)


if __name__ == "__main__":
    main()
