"""A breaker and its model, fed the same steps and compared after each one."""

from collections.abc import Callable
from typing import Any

from breaker import BreakerOpenError, Mode, Permit, Policy, PolicyError, Provider, State, Window
from breaker.events import PolicyRejected, PolicyUpdated
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
    "failureRateThreshold": "failure_rate_threshold",
    "slowCallRateThreshold": "slow_call_rate_threshold",
    "slowCallDuration": "slow_call_duration",
    "window": "window",
    "minimumCalls": "minimum_calls",
    "recoveryTime": "recovery_time",
}
DURATIONS = ("open_state_timeout", "probe_timeout", "open_timeout_max", "slow_call_duration", "recovery_time")
FAILED_VALUE = "a value that failed_result calls a failure"


class SwingingClock(ManualClock):
    """One that also goes back, as what a program passes for a clock may."""

    behind = 0.0  # seconds until it tells the latest time again that it ever told

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        self.behind = max(0.0, self.behind - seconds)

    def back(self, seconds: float) -> None:
        self._nanoseconds -= round(seconds * 1e9)
        self.behind += seconds


class Judged(BaseException):
    """What `failed_error` judges: no `Exception`, so that it decides and no default does."""

    def __init__(self, failed: bool | None) -> None:
        self.failed = failed


# How a call brings its verdict about, with the options that this needs.
RAISED, BY_VALUE, ASKED, PASSING = "raised", "by its value", "by failed_error", "by a rejection that passes"
FORMS: dict[str, dict[str, Any]] = {
    RAISED: {},
    BY_VALUE: {"failed_result": lambda value: value is FAILED_VALUE},
    ASKED: {"failed_error": lambda error: getattr(error, "failed", None)},
    PASSING: {"failure_on": Exception},
}


def ending(verdict: str, form: str) -> str | BaseException:
    """What a function returns or raises so that its call ends with this verdict."""
    if form == ASKED:
        return Judged({SUCCESS: False, FAILURE: True, IGNORED: None}[verdict])
    if form == PASSING and verdict == IGNORED:
        return BreakerOpenError("another", State.OPEN)
    if verdict == IGNORED:
        return HangUp()
    if verdict == FAILURE:
        return FAILED_VALUE if form == BY_VALUE else Boom("down")
    return "ok"


def as_written(key: str, value: Any) -> Any:
    """A value of `Policy` as a document writes it."""
    if isinstance(value, Window):
        return value.document()
    in_seconds = value is not None and FIELDS[key] in DURATIONS
    return f"{value}s" if in_seconds else value


def comparable(event: Any) -> Any:
    """The event, without the one field that the model cannot know: the source's revision."""
    if isinstance(event, PolicyUpdated):
        return ("PolicyUpdated", event.name, event.old, event.new)
    return event


class Twin:
    """Every step is done to both; ``check`` compares all that can be seen of the breaker."""

    def __init__(self, policy: Policy, **options: Any) -> None:
        self.clock = SwingingClock()
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
        recorded = [comparable(event) for event in self.recorded if not isinstance(event, PolicyRejected)]
        assert recorded == notified
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

    def call(self, verdict: str, body: Callable[[], None] = lambda: None, form: str = RAISED) -> None:
        """A whole call through ``do``, during which ``body`` happens."""
        end = ending(verdict, form)
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
            if isinstance(end, BaseException):
                raise end
            return end

        got: str | BaseException | None = None
        try:
            got = self.breaker.do(fn)
        except BreakerOpenError as error:
            if ran:
                got = error
            else:
                self._same_refusal(error, token)
        except (Boom, HangUp, Judged) as error:
            got = error
        assert bool(ran) is isinstance(token, Token)
        if isinstance(token, Token):
            assert got is end
            text = {BY_VALUE: "failed result", ASKED: "Judged: True"}.get(form, "Boom: down")
            self.model.settle(token, verdict, self.clock(), text)

    # Everything else that can happen to a breaker.

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def back(self, seconds: float) -> None:
        self.clock.back(seconds)

    def override(self, mode: Mode | None) -> None:
        self.breaker.override(mode)
        self.model.override(mode)

    def reset(self) -> None:
        self.breaker.reset()
        self.model.reset(self.clock())

    def put(self, **fields: Any) -> None:
        """Publish a document for the breaker; what it does not say comes from the default policy."""
        texts = {key: as_written(key, value) for key, value in fields.items()}
        self.source.put(NAME, document(**texts))
        values = {FIELDS[key]: value for key, value in fields.items()}
        if "mode" in values:
            values["mode"] = Mode[values["mode"].upper()]
        inherited = {name: getattr(self.default, name) for name in FIELDS.values()}
        try:
            policy = Policy(**{**inherited, **values})
        except PolicyError:
            return  # S217: contradictions between documents change nothing
        self.model.replace_policy(policy, self.clock())

    def delete(self) -> None:
        self.source.delete(NAME)
        self.model.replace_policy(self.default, self.clock())
