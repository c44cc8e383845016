"""A breaker and its model, fed the same steps and compared after each one."""

from collections.abc import Callable
from typing import Any

from breaker import BreakerOpenError, Mode, Permit, Policy, Provider, State
from breaker.events import PolicyUpdated
from breaker.sources import MemorySource
from breaker.testing import ManualClock
from support.drive import CONFIG, NAME, Boom, HangUp, document
from support.model import FAILURE, IGNORED, SUCCESS, Model, Refusal, Token

# The fields of a policy document, and of `Policy`, that a step may change.
FIELDS = {
    "failureThreshold": "failure_threshold",
    "successThreshold": "success_threshold",
    "openStateTimeout": "open_state_timeout",
    "halfOpenMaxCalls": "half_open_max_calls",
    "probeTimeout": "probe_timeout",
    "mode": "mode",
    "openTimeoutMultiplier": "open_timeout_multiplier",
    "openTimeoutMax": "open_timeout_max",
}
COUNTS = ("failureThreshold", "successThreshold", "halfOpenMaxCalls", "openTimeoutMultiplier")
FAILED_VALUE = "a value that failed_result calls a failure"


def comparable(event: Any) -> Any:
    """The event, without the one field that the model cannot know: the source's revision."""
    if isinstance(event, PolicyUpdated):
        return ("PolicyUpdated", event.name, event.old, event.new)
    return event


class Twin:
    """Every step is done to both; ``check`` compares all that can be seen of the breaker."""

    def __init__(self, policy: Policy, **options: Any) -> None:
        self.clock = ManualClock()
        self.default, self.source = policy, MemorySource()
        self.provider = Provider(CONFIG, policy_source=self.source, default_policy=policy, clock=self.clock)
        self.recorded: list[Any] = []
        self.provider.subscribe(self.recorded.append)
        self.breaker = self.provider.get_breaker(NAME, **options)
        self.model = Model(NAME, policy, self.clock(), self.breaker.snapshot().epoch)
        self.pending: list[tuple[Permit, Token]] = []
        self.settled: list[tuple[Permit, Token]] = []
        self.around: list[Token] = []  # the calls whose functions run now
        self.admitted = 0
        self.check()

    def close(self) -> None:
        self.provider.close()

    def check(self) -> None:
        """Breaker and model look the same, and have notified their listeners of the same since the last check."""
        now, seen = self.clock(), self.breaker.snapshot()
        expected = self.model.snapshot(now)
        assert {name: getattr(seen, name) for name in expected} == expected
        reads = (self.breaker.state, self.breaker.mode, self.breaker.policy, self.breaker.retry_after)
        assert reads == (seen.state, seen.mode, seen.policy, seen.retry_after)
        notified = [comparable(event) for event in self.model.events]
        assert [comparable(event) for event in self.recorded] == notified
        self.model.events.clear()
        self.recorded.clear()

    # Calls.

    def _same_refusal(self, error: BreakerOpenError, token: Token | Refusal) -> None:
        seen = Refusal(error.state, error.reason, error.retry_after, error.last_error)
        assert seen == token
        assert error.name == NAME

    def admit(self) -> None:
        """Begin a call that stays in flight."""
        token = self.model.admit(self.clock(), self.around)
        try:
            permit = self.breaker.acquire()
        except BreakerOpenError as error:
            self._same_refusal(error, token)
        else:
            assert isinstance(token, Token)
            self.admitted += 1
            self.pending.append((permit, token))

    def settle(self, which: int, verdict: str) -> None:
        """End a call in flight with a verdict."""
        if self.pending:
            pair = self.pending.pop(which % len(self.pending))
            self._report(pair, verdict)
            self.settled.append(pair)
            del self.settled[:-5]

    def again(self, which: int, verdict: str) -> None:
        """Report once more on a call that has ended."""
        if self.settled:
            self._report(self.settled[which % len(self.settled)], verdict)

    def _report(self, pair: tuple[Permit, Token], verdict: str) -> None:
        permit, token = pair
        if verdict == FAILURE:
            permit.failure(Boom("down"))
        else:
            (permit.success if verdict == SUCCESS else permit.ignore)()
        self.model.settle(token, verdict, self.clock(), "Boom: down")

    def drop(self, which: int) -> None:
        """Forget a permit without a verdict."""
        if self.pending:
            token = self.pending.pop(which % len(self.pending))[1]
            self.model.settle(token, IGNORED, self.clock())

    def call(self, verdict: str, body: Callable[[], None] = lambda: None, failed_value: bool = False) -> None:
        """A whole call through ``do``, during which ``body`` happens."""
        token = self.model.admit(self.clock(), self.around)
        ran: list[bool] = []

        def fn() -> str:
            ran.append(True)
            self.admitted += 1
            mode = self.breaker.mode
            assert mode is not Mode.FORCED_OPEN, "S93: an override is obeyed"
            assert mode is not Mode.AUTO or self.breaker.state is not State.OPEN, "S21: nothing runs while open"
            assert isinstance(token, Token)
            self.around.append(token)
            body()
            self.around.pop()
            if verdict == IGNORED:
                raise HangUp
            if verdict == FAILURE and not failed_value:
                raise Boom("down")
            return "ok" if verdict == SUCCESS else FAILED_VALUE

        try:
            value: str | None = self.breaker.do(fn)
        except BreakerOpenError as error:
            self._same_refusal(error, token)
        except (Boom, HangUp):
            value = None
        assert bool(ran) is isinstance(token, Token)
        if isinstance(token, Token):
            by_value = failed_value and verdict == FAILURE
            assert (value is None) is (verdict == IGNORED or (verdict == FAILURE and not by_value))
            self.model.settle(token, verdict, self.clock(), "failed result" if by_value else "Boom: down")

    # Everything else that can happen to a breaker.

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def override(self, mode: Mode | None) -> None:
        self.breaker.override(mode)
        self.model.override(mode)

    def reset(self) -> None:
        self.breaker.reset()
        self.model.reset(self.clock())

    def put(self, **fields: Any) -> None:
        """Publish a document for the breaker; what it does not say comes from the default policy."""
        texts = {key: value if key in COUNTS or key == "mode" else f"{value}s" for key, value in fields.items()}
        self.source.put(NAME, document(**texts))
        values = {FIELDS[key]: value for key, value in fields.items()}
        if "mode" in values:
            values["mode"] = Mode[values["mode"].upper()]
        inherited = {name: getattr(self.default, name) for name in FIELDS.values()}
        self.model.replace_policy(Policy(**{**inherited, **values}), self.clock())

    def delete(self) -> None:
        self.source.delete(NAME)
        self.model.replace_policy(self.default, self.clock())
