"""One breaker called by 1, 2, 4 and 8 threads at once: the work is divided, the totals stay exact."""

import pytest

from benchmarks.measure import sync_loop
from benchmarks.meter import Meter
from benchmarks.subjects import names, subject
from benchmarks.threads import elapsed

STATEMENTS = {"floor": "forward.do(noop)", "breaker": "b.do(noop)"}
CALLS = 40_000


@pytest.mark.parametrize("threads", [1, 2, 4, 8])
@pytest.mark.parametrize("kind", ["floor", "breaker"])
def test_threads(meter: Meter, threads: int, kind: str) -> None:
    made = subject("closed")
    loop = sync_loop(STATEMENTS[kind], names(made.breaker))
    meter.fixture.group = f"threads: {threads}"
    with made.provider:
        calls = meter.measure(lambda n: elapsed(loop.run, threads, n // threads), calls=CALLS, rounds=20)
        assert made.total("successes") == (calls if kind == "breaker" else 0)


@pytest.mark.parametrize("kind", ["floor", "breaker"])
def test_threads_mixed_outcomes(meter: Meter, kind: str) -> None:
    """Failures take the lock and successes after them too: four threads of both at once."""
    made = subject("closed")
    guard = "b" if kind == "breaker" else "forward"
    statement = f"try: {guard}.do(fail)\nexcept ValueError: pass\n{guard}.do(noop)"
    loop = sync_loop(statement, names(made.breaker))
    meter.fixture.group = "threads: mixed outcomes"
    with made.provider:
        calls = meter.measure(lambda n: elapsed(loop.run, 4, n // 4), calls=4000, rounds=20)
        expected = calls if kind == "breaker" else 0
        assert (made.total("successes"), made.total("failures")) == (expected, expected)
