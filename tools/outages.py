"""Draw what each trip rule does in four simulated outages: ``python tools/outages.py docs/pictures``.

The breakers are real ones on a clock that the simulation moves, so the pictures change only with the rules. The table
of docs/which-rule.md is what this prints.
"""

import heapq
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from breaker import Breaker, BreakerOpenError, Config, Permit, Policy, Provider, State, Window
from breaker.testing import ManualClock

LENGTH, BEGINS, ENDS = 40.0, 10.0, 25.0  # seconds: of the run, and of the outage in it
EVERY = 0.02  # a call begins
HEALTHY = 0.01  # so long takes an answer
LIMIT = 5.0  # so long callers wait

Answer = Callable[[random.Random], tuple[float, str]]  # how long a call takes, and how it ends


def refuses(_: random.Random) -> tuple[float, str]:
    return HEALTHY, "failure"


def fails_at_times(choice: random.Random) -> tuple[float, str]:
    return HEALTHY, "failure" if choice.random() < 0.3 else "success"


def is_slow(_: random.Random) -> tuple[float, str]:
    return 4.0, "success"


def hangs(_: random.Random) -> tuple[float, str]:
    return LIMIT, "ignored"  # the caller's own time limit cancels the call


TROUBLES: dict[str, tuple[str, Answer]] = {
    "refuses": ("it refuses every call", refuses),
    "fails": ("it fails 30 % of the calls", fails_at_times),
    "slow": ("it answers, after 4 s", is_slow),
    "hangs": ("it hangs, callers give up after 5 s", hangs),
}
WINDOW = {"window": Window(calls=100), "minimum_calls": 20}
FAILURES = {"failure_rate_threshold": 0.2}
SLOW = {"slow_call_rate_threshold": 0.5, "slow_call_duration": 1.0}
POLICIES: dict[str, Policy] = {
    "streak: 5 failures in a row": Policy(5, 2, 5),
    "failure rate: 20 % of 100 calls": Policy(None, 2, 5, **WINDOW, **FAILURES),
    "slow calls: 50 % last 1 s": Policy(None, 2, 5, **WINDOW, **SLOW),
    "all three": Policy(5, 2, 5, **WINDOW, **FAILURES, **SLOW),
}


@dataclass
class Run:
    """What was seen."""

    states: list[State] = field(default_factory=list)  # at each call's beginning
    waiting: list[int] = field(default_factory=list)  # calls in flight, likewise
    opened: float | None = None  # seconds after the outage began
    closed: float | None = None  # for good, seconds after it ended
    reached: int = 0  # calls that ran while it lasted, but for quick successes
    rejected_healthy: int = 0  # calls rejected while nothing was wrong


def settle(permit: Permit, verdict: str) -> None:
    {"success": permit.success, "failure": permit.failure, "ignored": permit.ignore}[verdict]()


def play(answer: Answer, policy: Policy) -> Run:
    """One breaker through one outage."""
    clock, choice, run = ManualClock(), random.Random(1), Run()
    breaker = Provider(Config("shop", "/policies/"), default_policy=policy, clock=clock).get_breaker("http:prices")
    running: list[tuple[float, int, Permit, str]] = []

    def move(to: float) -> None:
        clock.advance(to - clock.seconds)

    for number in range(round(LENGTH / EVERY)):
        at = round(number * EVERY, 9)
        while running and running[0][0] <= at:
            end, _, permit, verdict = heapq.heappop(running)
            move(end)
            settle(permit, verdict)
        move(at)
        ill = BEGINS <= at < ENDS
        seconds, verdict = answer(choice) if ill else (HEALTHY, "success")
        begin(breaker, run, running, (round(at + seconds, 9), number, verdict), ill and (seconds, verdict) != GOOD)
        record(breaker, run, at, len(running))
    for _, _, permit, verdict in running:
        settle(permit, verdict)
    return run


GOOD = (HEALTHY, "success")


def begin(
    breaker: Breaker, run: Run, running: list[tuple[float, int, Permit, str]], call: tuple[float, int, str], bad: bool
) -> None:
    end, number, verdict = call
    try:
        permit = breaker.acquire()
    except BreakerOpenError:
        run.rejected_healthy += not BEGINS <= number * EVERY < ENDS
    else:
        run.reached += bad
        heapq.heappush(running, (end, number, permit, verdict))


def record(breaker: Breaker, run: Run, at: float, waiting: int) -> None:
    run.states.append(breaker.state)
    run.waiting.append(waiting)
    if breaker.state is not State.CLOSED:
        run.closed = None
        run.opened = at - BEGINS if run.opened is None else run.opened
    elif at >= ENDS and run.opened is not None and run.closed is None:
        run.closed = max(at - ENDS, 0.0)


# -- drawing --

LEFT, TOP, WIDE, ROW, BAND, CURVE = 190, 46, 480, 74, 16, 34
COLOURS = {State.CLOSED: "#2e9e5b", State.HALF_OPEN: "#e0a100", State.OPEN: "#c8372d"}
STYLE = "font-family='sans-serif' font-size='12' fill='#333'"


def across(seconds: float) -> str:
    return f"{LEFT + WIDE * seconds / LENGTH:.1f}"


def bands(states: list[State], top: int) -> list[str]:
    """One rectangle for each stretch of the same state."""
    drawn, start = [], 0
    for number in range(1, len(states) + 1):
        if number == len(states) or states[number] is not states[start]:
            width = WIDE * (number - start) * EVERY / LENGTH
            place = f"x='{across(start * EVERY)}' y='{top}' width='{width:.1f}' height='{BAND}'"
            drawn.append(f"<rect {place} fill='{COLOURS[states[start]]}'/>")
            start = number
    return drawn


def curve(waiting: list[int], top: int, most: int) -> str:
    """Calls in flight, the largest of each quarter of a second."""
    step = round(0.25 / EVERY)
    peaks = [max(waiting[at : at + step]) for at in range(0, len(waiting), step)]
    points = " ".join(
        f"{across(number * step * EVERY)},{top + CURVE - CURVE * peak / most:.1f}" for number, peak in enumerate(peaks)
    )
    return f"<polyline points='{points}' fill='none' stroke='#3566a8' stroke-width='1.5'/>"


def picture(title: str, runs: dict[str, Run]) -> str:
    height, most = TOP + ROW * len(runs) + 26, max(max(run.waiting) for run in runs.values())
    width = LEFT + WIDE + 20
    lines = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}'>",
        f"<title>{title}</title>",
        f"<rect width='{width}' height='{height}' fill='#fff'/>",
        f"<rect x='{across(BEGINS)}' y='{TOP - 22}' width='{WIDE * (ENDS - BEGINS) / LENGTH:.1f}' "
        f"height='{ROW * len(runs) + 22}' fill='#f3e3e1'/>",
        f"<text x='{across(BEGINS)}' y='{TOP - 28}' {STYLE}>{title}</text>",
    ]
    for number, (name, run) in enumerate(runs.items()):
        top = TOP + ROW * number
        lines += [f"<text x='8' y='{top + 12}' {STYLE}>{name}</text>", *bands(run.states, top)]
        lines.append(curve(run.waiting, top + BAND + 4, most))
        lines.append(
            f"<text x='8' y='{top + BAND + 26}' {STYLE} opacity='0.7'>in flight: {max(run.waiting)} at most</text>"
        )
    for second in range(0, round(LENGTH) + 1, 10):
        lines.append(f"<text x='{across(second)}' y='{height - 8}' {STYLE} text-anchor='middle'>{second} s</text>")
    return "\n".join([*lines, "</svg>", ""])


HEAD = "| the service | rule | opens after | calls spoilt | in flight at most | closed after | rejected in vain |"


def row(title: str, name: str, run: Run) -> str:
    opened = "never" if run.opened is None else f"{run.opened:.2f} s"
    closed = "–" if run.closed is None else f"{run.closed:.2f} s"
    return f"| {title} | {name} | {opened} | {run.reached} | {max(run.waiting)} | {closed} | {run.rejected_healthy} |"


def main(folder: Path) -> None:
    """Write one picture for each trouble, and print the table."""
    print("| the service | rule | opens after | calls spoilt | in flight at most | closed after | rejected in vain |")
    print("|---|---|---|---|---|---|---|")
    for key, (title, answer) in TROUBLES.items():
        runs = {name: play(answer, policy) for name, policy in POLICIES.items()}
        (folder / f"outage-{key}.svg").write_text(picture(title, runs), encoding="utf-8")
        for name, run in runs.items():
            print(row(title, name, run))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
