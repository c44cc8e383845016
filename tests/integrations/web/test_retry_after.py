"""When a client is told to come back, whatever the framework and the server."""

from __future__ import annotations

from collections.abc import Callable

from breaker import Policy, Provider, State
from breaker.testing import ManualClock
from support.drive import cool, raiser
from support.web.answers import NAME, check_answer
from support.web.client import ask
from support.web.sites import Kind, refused


def test_the_wait_is_in_whole_seconds_rounded_up_and_at_least_one(
    kind: Kind, provider: Provider, clock: ManualClock
) -> None:
    refused(provider, NAME)
    breaker = provider.get_breaker(NAME)
    with kind.served(kind.built({"shop": lambda: breaker.do(str)}, provider)) as address:
        found = []
        for passes in (0.5, 0.5, 57.0, 1.5, 0.499):
            clock.advance(passes)
            found.append(ask(address, "/shop").headers["retry-after"])
        assert found == ["60", "59", "2", "1", "1"]
        cool(breaker, clock)
        probe = breaker.acquire()
        assert breaker.state is State.HALF_OPEN
        check_answer(ask(address, "/shop"), max(1, int(-(-breaker.retry_after // 1))))
        probe.success()
        assert ask(address, "/shop").status == 200


def test_an_operator_has_no_end_in_mind(kind: Kind, provider: Provider) -> None:
    breaker = provider.get_breaker(NAME)
    breaker.force_open()
    with kind.served(kind.built({"shop": lambda: breaker.do(str)}, provider)) as address:
        seen = ask(address, "/shop")
        assert seen.status == 503
        assert int(seen.headers["retry-after"]) >= 1
        breaker.clear_override()
        assert ask(address, "/shop").status == 200


def test_the_wait_is_that_of_now_where_a_rejection_is_old(kind: Kind, provider: Provider, clock: ManualClock) -> None:
    kept = refused(provider, NAME)
    with kind.served(kind.built({"shop": raiser(kept)}, provider)) as address:
        clock.advance(50)
        check_answer(ask(address, "/shop"), 10)
        provider.get_breaker(NAME).reset()
        check_answer(ask(address, "/shop"), 1)


def test_a_breaker_of_another_provider_is_answered_with_its_own_time(
    kind: Kind, provider: Provider, provider_of: Callable[..., Provider]
) -> None:
    other = provider_of(Policy(1, 1, 12.0))
    with kind.served(kind.built({"shop": raiser(refused(other, NAME))}, provider)) as address:
        check_answer(ask(address, "/shop"), 12)
    assert list(provider.breakers) == []


def test_a_breaker_that_was_removed_is_answered(kind: Kind, provider: Provider) -> None:
    rejection = refused(provider, NAME)
    provider.remove(NAME)
    with kind.served(kind.built({"shop": raiser(rejection)}, provider)) as address:
        check_answer(ask(address, "/shop"), 60)
