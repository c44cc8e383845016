"""The table of the peers. Run by ``peers``, in the environment that has them."""

import argparse
from collections.abc import Callable
from importlib.metadata import version

from benchmarks import report
from benchmarks.measure import Loop, interleaved
from benchmarks.peer_subjects import PEERS, Statements
from benchmarks.peers import DISTRIBUTIONS
from benchmarks.threads import median_throughputs

KINDS = {
    "call": "`call`: the library runs a no-op function given to it",
    "decorated": "`decorated`: a decorated no-op function is called",
    "rejected": "`rejected`: a rejection is raised and caught (bare: a function that raises)",
    "await": "`await`: an awaited call that does not suspend",
    "threads": "`8 threads`: the decorated function, throughput of 8 threads together beside that of one",
    "wait": "`8 waiting`: calls that wait 1 ms in 8 threads, thousands per second",
}
THREADS = 8
Figures = dict[str, dict[str, float]]


def _loops(libraries: dict[str, Statements], kind: str) -> dict[str, Loop]:
    return {
        name: statements[kind].loop(kind == "await") for name, statements in libraries.items() if kind in statements
    }


def _runs(libraries: dict[str, Statements], kind: str) -> dict[str, Callable[[int], object]]:
    return {name: loop.run for name, loop in _loops(libraries, kind).items()}


def measure(options: argparse.Namespace) -> Figures:
    """Figures by kind and library. All libraries of a kind take turns in every repeat."""
    libraries = {name: make() for name, make in PEERS.items()}
    figures: Figures = {}
    for kind in ("call", "decorated", "rejected", "await"):
        report.progress(f"measuring {kind}")
        loops = _loops(libraries, kind)
        figures[kind] = dict(zip(loops, interleaved(list(loops.values()), options.repeats), strict=True))
    rounds = max(3, options.repeats // 5)
    report.progress("measuring threads")
    found = median_throughputs(_runs(libraries, "decorated"), (1, THREADS), options.thread_seconds, rounds)
    figures["threads"] = {name: found[name, THREADS] / found[name, 1] for name in figures["decorated"]}
    report.progress("measuring waiting threads")
    waits = median_throughputs(_runs(libraries, "wait"), (THREADS,), 0.4, 3)
    figures["wait"] = {name: each / 1e3 for (name, _), each in waits.items()}
    report.progress("")
    return figures


def _cell(figures: Figures, kind: str, name: str) -> str:
    value = figures[kind].get(name)
    if value is None:
        return "—"
    if kind == "threads":
        return f"{value:.0%}"
    if kind == "wait":
        return f"{value:.1f} k/s"
    return f"{value:,.0f} ns ({value / figures[kind]['bare']:.1f} ×)"


def _label(name: str) -> str:
    if name == "bare":
        return "no breaker"
    distribution = name if name in DISTRIBUTIONS else "cybreaker"
    return f"{name} {version(distribution)}"


def render(figures: Figures) -> str:
    header = ["library", "call", "decorated", "rejected", "await", "8 threads", "8 waiting", ""]
    rows = [[_label(name), *[_cell(figures, kind, name) for kind in KINDS], ""] for name in PEERS]
    notes = "\n".join(f"- {note}" for note in KINDS.values())
    legend = "In brackets: times the cost without a breaker. —: the library has no such call."
    return f"{report.table(rows, header)}\n\n{legend}\n\n{notes}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=31)
    parser.add_argument("--thread-seconds", type=float, default=0.15, help="of work that threads divide")
    parser.add_argument("--write", action="store_true", help="keep the table under benchmarks/results/")
    options = parser.parse_args()
    figures = measure(options)
    text = render(figures)
    print(f"{report.describe(report.machine())}\n\n{text}")
    if options.write:
        versions = {name: version(name) for name in DISTRIBUTIONS}
        rounded = {kind: {name: round(value, 3) for name, value in found.items()} for kind, found in figures.items()}
        data = {"versions": versions, "figures": rounded}
        print("\nwrote", *report.write("peers", "Beside other libraries", text, data))


if __name__ == "__main__":
    main()
