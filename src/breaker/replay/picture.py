"""A picture of a replay: the state under each policy over time, above the calls by outcome."""

from __future__ import annotations

import os
from collections.abc import Sequence

from breaker.replay.calls import Call
from breaker.replay.simulation import Result
from breaker.states import State

_COLOURS = {State.CLOSED: "#2e9e5b", State.HALF_OPEN: "#e0a100", State.OPEN: "#c8372d"}
_OF_OUTCOMES = {"success": "#9cc8ae", "ignored": "#c9c9c9", "rejected": "#e7c98a", "failure": "#c8372d"}
_BINS = 120
ENDINGS = (".svg", ".png")


def draw(path: str | os.PathLike[str], calls: Sequence[Call], results: Sequence[Result], name: str) -> None:
    """Draw one breaker of a replay.

    Args:
        path: the file, which is overwritten; its ending says which kind: ``.svg`` or ``.png``.
        calls: as they were given to `breaker.replay.replay`.
        results: what it returned.
        name: which breaker is drawn.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: another ending, or no call of such a breaker.
        OSError: the file cannot be written.
    """
    ending = os.path.splitext(os.fspath(path))[1].lower()
    if ending not in ENDINGS:
        raise ValueError(f"a picture's file must end in {' or '.join(ENDINGS)}, got {os.fspath(path)!r}")
    own = [call for call in calls if call.name == name]
    if not own:
        raise ValueError(f"no call of {name!r} was recorded")
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            f"a picture needs matplotlib, which cannot be imported here ({error}); "
            "install it with: pip install 'cybreaker[plot]'",
            name="matplotlib",
        ) from error
    ends = max(call.at + (call.took or 0) for call in own) / 1e9
    begins = own[0].at / 1e9
    with rc_context({"svg.hashsalt": "breaker", "svg.fonttype": "none"}):
        figure = Figure(figsize=(9, 2.4 + 0.5 * len(results)), layout="constrained")
        FigureCanvasAgg(figure)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[max(1, len(results)) * 0.5, 1.6])
        _draw_states(above, results, name, begins, ends)
        _draw_outcomes(below, own, begins, ends)
        above.set_title(name, loc="left")
        figure.savefig(path, format=ending[1:], dpi=150, metadata={"Date": None} if ending == ".svg" else None)


def _draw_states(axes: object, results: Sequence[Result], name: str, begins: float, ends: float) -> None:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

    assert isinstance(axes, Axes)
    for row, result in enumerate(results):
        played = next(played for played in result.played if played.name == name)
        moments = [(begins, State.CLOSED), *((at / 1e9, state) for at, state in played.states)]
        spans = zip(moments, [*(at for at, _ in moments[1:]), max(ends, moments[-1][0])], strict=True)
        for (start, state), end in spans:
            axes.broken_barh([(start, end - start)], (row - 0.3, 0.6), facecolors=_COLOURS[state])
    axes.set_yticks(range(len(results)), [result.label for result in results])
    axes.set_ylim(len(results) - 0.5, -0.5)
    axes.legend(
        handles=[Patch(color=colour, label=state.name) for state, colour in _COLOURS.items()],
        ncols=3, loc="lower right", bbox_to_anchor=(1, 1), frameon=False, fontsize="small",
    )  # fmt: skip


def _draw_outcomes(axes: object, calls: Sequence[Call], begins: float, ends: float) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    times = {outcome: [call.at / 1e9 for call in calls if call.outcome == outcome] for outcome in _OF_OUTCOMES}
    shown = {outcome: at for outcome, at in times.items() if at}
    axes.hist(
        list(shown.values()), bins=_BINS, range=(begins, max(ends, begins + 1e-9)), stacked=True,
        histtype="stepfilled", color=[_OF_OUTCOMES[outcome] for outcome in shown], label=list(shown),
    )  # fmt: skip
    axes.margins(x=0)
    axes.set_ylabel("recorded calls")
    axes.set_xlabel("seconds since the recording began")
    axes.legend(ncols=4, loc="lower right", bbox_to_anchor=(1, 1), frameon=False, fontsize="small")
