"""A run of the demo as a picture: the service, and of each breaker its states and its calls by outcome.

One SVG file that needs no other, with colours for light and dark. Nothing in it is told by colour alone: states carry
their names, outcomes have patterns.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from breaker.cli.demo.history import OUTCOMES, STEPS, History
from breaker.states import State

_WIDTH, _LEFT, _RIGHT = 960, 150, 24
_PLOT = _WIDTH - _LEFT - _RIGHT
_BAND, _BARS, _GAP = 22, 90, 34
_LETTER = 6.6  # pixels that a letter takes, about
_WORDS = {State.CLOSED: "closed", State.OPEN: "open", State.HALF_OPEN: "half open"}
_LEGEND = {"success": "succeeded", "failure": "failed", "other": "ignored or late", "rejected": "rejected"}
_STYLE = """
svg {
  --page: #fff; --ink: #1b1d20; --quiet: #5c6167; --rule: #d5d5d0; --ill: #fdecec; --on: #fff;
  --closed: #dcebe0; --open: #b3141c; --half: #8a5300;
  --success: #74a884; --failure: #d2474d; --other: #9aa3ad; --rejected: #b98bc6;
}
@media (prefers-color-scheme: dark) {
  svg {
    --page: #15171a; --ink: #e6e7e9; --quiet: #a2a8b0; --rule: #3d434b; --ill: #381c1e; --on: #15171a;
    --closed: #22392a; --open: #ff8a85; --half: #f0b763;
    --success: #4f8a63; --failure: #e0605f; --other: #69727d; --rejected: #a573b5;
  }
}
text { font: 12px system-ui, "Segoe UI", "Noto Sans", sans-serif; fill: var(--ink); }
.page { fill: var(--page); }
.title { font-size: 16px; font-weight: 600; }
.name { font-weight: 600; }
.quiet { fill: var(--quiet); }
.on { fill: var(--on); font-weight: 600; }
.rule { stroke: var(--rule); fill: none; }
.mark { stroke: var(--ink); stroke-dasharray: 3 3; }
.CLOSED { fill: var(--closed); }
.OPEN { fill: var(--open); }
.HALF_OPEN { fill: var(--half); }
.ill { fill: var(--ill); }
.success { fill: var(--success); }
.failure { fill: var(--failure); }
.other { fill: var(--other); }
.rejected { fill: url(#hatched); }
.ground { fill: var(--rejected); }
.cut { stroke: var(--page); stroke-width: 1.5; }
"""


def draw(history: History, names: Sequence[str], title: str) -> str:
    """The picture as the text of an SVG file.

    Args:
        history: Of the run.
        names: Of the breakers, from top to bottom.
        title: What was run.
    """
    lanes = 70 + _BAND + _GAP
    height = lanes + len(names) * (_BAND + _BARS + _GAP + 14) + 30
    most = max([1.0, *(sum(rates) for name in names for rates in history.calls(name))])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
        ' role="img" aria-labelledby="title what">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="what">{escape(_described(history, names))}</desc>',
        f"<style>{_STYLE}</style>",
        '<defs><pattern id="hatched" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect class="ground" width="5" height="5"/><path class="cut" d="M0 0v5"/></pattern></defs>',
        f'<rect class="page" width="{_WIDTH}" height="{height}"/>',
        _text(20, 30, title, "title"),
        *_legend(),
        *_service(history, 70, height - 44),
    ]
    for number, name in enumerate(names):
        parts += _breaker(history, name, lanes + number * (_BAND + _BARS + _GAP + 14), most)
    parts += [*_axis(history, height - 44), "</svg>", ""]
    return "\n".join(parts)


def _x(history: History, at: float) -> float:
    return round(_LEFT + _PLOT * min(1.0, at / history.seconds), 1)


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}"{style} text-anchor="{anchor}">{escape(text)}</text>'


def _rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def _legend() -> list[str]:
    parts, x = [], float(_LEFT)
    for outcome, word in _LEGEND.items():
        parts += [_rect(x, 45, 12, 12, outcome), _text(x + 17, 55, word, "quiet")]
        x += 35 + _LETTER * len(word)
    return parts


def _labelled(history: History, y: float, begin: float, end: float, kind: str, word: str, on: str = "") -> list[str]:
    """A span of time with its name, where there is room for it."""
    x = _x(history, begin)
    width = max(_x(history, end) - x, 2.0)  # a moment is to be seen, too
    parts = [_rect(x, y, width, _BAND, kind)]
    if width > _LETTER * len(word) + 8:
        parts.append(_text(x + 6, y + 15, word, on))
    return parts


def _service(history: History, y: float, ground: float) -> list[str]:
    parts = [_text(_LEFT - 10, y + 15, "the service is", "quiet", "end")]
    spans = [*history.conditions, (history.length, "")]
    for (begin, word), (end, _) in pairwise(spans):
        ill = "failing" in word
        if ill:
            x = _x(history, begin)
            parts.append(_rect(x, y, _x(history, end) - x, ground - y, "ill"))
        parts += _labelled(history, y, begin, end, "ill" if ill else "CLOSED", word)
    return parts


def _breaker(history: History, name: str, y: float, most: float) -> list[str]:
    ground = y + _BAND + 6 + _BARS
    parts = [
        _text(_LEFT - 10, y + 15, name, "name", "end"),
        _text(_LEFT - 10, ground - _BARS + 10, f"{most:.0f}", "quiet", "end"),
        _text(_LEFT - 10, ground, "calls per second  0", "quiet", "end"),
    ]
    for begin, end, state in history.visits(name):
        parts += _labelled(history, y, begin, end, state.value, _WORDS[state], "" if state is State.CLOSED else "on")
    width = _PLOT / STEPS
    for step, rates in enumerate(history.calls(name)):
        top = ground
        for outcome, rate in zip(OUTCOMES, rates, strict=True):
            size = _BARS * rate / most
            if size > 0:
                top -= size
                parts.append(_rect(_LEFT + step * width, top, width - 0.5, size, outcome))
    parts.append(f'<path class="rule" d="M{_LEFT} {ground:.1f}H{_WIDTH - _RIGHT}"/>')
    return parts + _edits(history, name, y)


def _edits(history: History, name: str, y: float) -> list[str]:
    """Changes of a breaker's policy: a line through its lane, and above it what has changed."""
    parts = []
    for at, who, what in history.edits:
        if who == name:
            x = _x(history, at)
            late = x + _LETTER * len(what) > _WIDTH - _RIGHT
            parts.append(f'<path class="mark" d="M{x:g} {y - 4:g}V{y + _BAND + 6 + _BARS:g}"/>')
            parts.append(_text(x, y - 7, what, "quiet", "end" if late else "start"))
    return parts


def _axis(history: History, y: float) -> list[str]:
    parts = []
    for part in range(5):
        at = history.seconds * part / 4
        parts.append(_text(_x(history, at), y + 16, f"{at:g} s", "quiet", "middle"))
    return parts


def _described(history: History, names: Sequence[str]) -> str:
    sentences = [f"At {at:.1f} s the service is {word}." for at, word in history.conditions]
    for name in names:
        visits = ", ".join(f"{_WORDS[state]} from {begin:.1f} s" for begin, _, state in history.visits(name))
        sentences.append(f"{name} is {visits}.")
    sentences += [f"At {at:.1f} s {name} gets another policy: {what}." for at, name, what in history.edits]
    return " ".join(sentences)
