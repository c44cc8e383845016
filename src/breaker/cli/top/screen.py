"""The screen of ``breaker top``: curses, one line for each breaker, keys that sort, filter and scroll."""

from __future__ import annotations

import argparse
import curses
import sys
import threading
import time
import unicodedata
from contextlib import suppress
from typing import Any

from breaker.cli.output import clean, coloured
from breaker.cli.top.reading import Page, Trouble
from breaker.cli.top.rows import ON_THE_RIGHT, SORTS, TITLES, Row, chosen, summary
from breaker.cli.trouble import Code

Seen = tuple[dict[str, Any], list[Row]]

_COLOURS = {
    "open": curses.COLOR_RED,
    "forced_open": curses.COLOR_RED,
    "half_open": curses.COLOR_YELLOW,
    "recovering": curses.COLOR_YELLOW,
    "would_have_opened": curses.COLOR_MAGENTA,
    "strained": curses.COLOR_YELLOW,
    "closed": curses.COLOR_GREEN,
}
_STRONG = ("open", "forced_open")
_HELP = "q quit  s sort  r reverse  / filter  ↑↓ scroll  ←→ columns"
_LOOK = 100  # ms that a key is waited for
_WIDEST = 40  # columns of a cell but the last
_FIXED = 2  # columns that stay where the others move: the condition and the name
_ESCAPE, _ENTER, _BACKSPACES = "\x1b", ("\n", "\r", curses.KEY_ENTER), ("\b", "\x7f", curses.KEY_BACKSPACE)

Key = str | int  # a character, or one of curses.KEY_


def can() -> bool:
    """Whether this terminal has a screen."""
    try:
        curses.setupterm()
        return bool(curses.tigetstr("cup"))
    except curses.error:
        return False


def show(args: argparse.Namespace, page: Page, seen: Seen) -> int:
    """Show it until the user quits."""
    return curses.wrapper(lambda window: _Screen(window, args, page, seen).run())


class _Screen:
    def __init__(self, window: curses.window, args: argparse.Namespace, page: Page, seen: Seen) -> None:
        self._window = window
        self._page = page
        self._interval: float = args.interval
        self._sort: str = args.sort
        self._reverse: bool = args.reverse
        self._filter: str = args.filter
        self._typing = False
        self._first = 0
        self._left = 0  # columns that are passed over, after those that stay
        self._lock = threading.Lock()  # of these three
        self._seen = seen
        self._seen_at = time.monotonic()
        self._trouble = ""
        self._leaving = threading.Event()
        self._colours: dict[str, int] = {}
        self._set_up(window)

    def _set_up(self, window: curses.window) -> None:
        window.timeout(_LOOK)
        curses.set_escdelay(25)
        with suppress(curses.error):  # a terminal that cannot hide its cursor
            curses.curs_set(0)
        if not curses.has_colors():
            return
        try:
            curses.use_default_colors()  # else all is white on black, whatever colours the terminal has
        except curses.error:
            return
        if coloured(sys.stdout):
            for number, (condition, colour) in enumerate(_COLOURS.items(), 1):
                curses.init_pair(number, colour, -1)
                self._colours[condition] = curses.color_pair(number)

    def run(self) -> int:
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        try:
            while not self._leaving.is_set():
                self._draw()
                with suppress(curses.error):  # no key was pressed meanwhile
                    self._obey(self._window.get_wch())
        finally:
            self._leaving.set()
        return Code.DONE

    def _read(self) -> None:
        while not self._leaving.wait(self._interval):
            try:
                seen, trouble = self._page.read(), ""
            except Trouble as error:
                seen, trouble = None, str(error)
            with self._lock:
                self._trouble = trouble
                if seen is not None:
                    self._seen, self._seen_at = seen, time.monotonic()

    # -- keys --

    def _obey(self, key: Key) -> None:
        if self._typing:
            self._type(key)
        elif key in ("q", "Q"):
            self._leaving.set()
        elif key == "s":
            self._sort = SORTS[(SORTS.index(self._sort) + 1) % len(SORTS)]
        elif key == "r":
            self._reverse = not self._reverse
        elif key == "/":
            self._typing, self._filter = True, ""
        elif key == _ESCAPE:
            self._filter = ""
        else:
            self._scroll(key)

    def _type(self, key: Key) -> None:
        if key in _ENTER:
            self._typing = False
        elif key == _ESCAPE:
            self._typing, self._filter = False, ""
        elif key in _BACKSPACES:
            self._filter = self._filter[:-1]
        elif isinstance(key, str) and key.isprintable():
            self._filter += key
        self._first = 0

    def _scroll(self, key: Key) -> None:
        page = max(1, self._window.getmaxyx()[0] - 4)
        steps: dict[Key, int] = {curses.KEY_DOWN: 1, "j": 1, curses.KEY_UP: -1, "k": -1}
        steps |= {curses.KEY_NPAGE: page, " ": page, curses.KEY_PPAGE: -page}
        if key == curses.KEY_HOME:
            self._first = self._left = 0
        self._first += steps.get(key, 0)
        aside: dict[Key, int] = {curses.KEY_RIGHT: 1, "l": 1, curses.KEY_LEFT: -1, "h": -1}
        self._left = max(0, min(self._left + aside.get(key, 0), len(TITLES) - _FIXED - 1))

    # -- drawing --

    def _draw(self) -> None:
        with self._lock:
            (document, rows), trouble, seen_at = self._seen, self._trouble, self._seen_at
        shown = chosen(rows, sort=self._sort, reverse=self._reverse, text=self._filter)
        height, width = self._window.getmaxyx()
        room = max(0, height - 3)
        self._first = max(0, min(self._first, len(shown) - room))
        self._window.erase()
        self._put(0, width, summary(document, len(shown)), curses.A_BOLD)
        cells = [row.cells() for row in shown]
        widths = [
            min(_WIDEST, max([len(title), *(_width(row[place]) for row in cells)]))
            for place, title in enumerate(TITLES)
        ]
        places = [*range(_FIXED), *range(_FIXED + self._left, len(TITLES))]
        self._put(1, width, _line(TITLES, widths, places), curses.A_REVERSE)
        for place, row in enumerate(shown[self._first : self._first + room]):
            line = _line(cells[self._first + place], widths, places)
            style = self._colours.get(row.condition, 0) | (curses.A_BOLD if row.condition in _STRONG else 0)
            self._put(2 + place, width, line, style)
        self._put(height - 1, width, self._foot(trouble, time.monotonic() - seen_at), curses.A_DIM)
        self._window.refresh()

    def _foot(self, trouble: str, age: float) -> str:
        if self._typing:
            return f"filter: {self._filter}_"
        order = f"by {self._sort}{', reversed' if self._reverse else ''}"
        chosen_by = f", with {self._filter!r}" if self._filter else ""
        if trouble:
            return f"{clean(trouble)}; this is {age:.0f} s old"
        return f"{_HELP}   {order}{chosen_by}"

    def _put(self, line: int, width: int, text: str, style: int) -> None:
        with suppress(curses.error):  # the terminal has become smaller meanwhile
            self._window.addstr(line, 0, _cut(text, width - 1), style)


def _line(cells: tuple[str, ...], widths: list[int], places: list[int]) -> str:
    """The cells at these places, one after the other."""
    parts = []
    for place in places:
        title, cell, width = TITLES[place], cells[place], widths[place]
        text = cell if title == TITLES[-1] else _cut(cell, width)
        space = " " * (width - _width(text))
        parts.append(space + text if title in ON_THE_RIGHT else text + space)
    return "  ".join(parts).rstrip()


def _width(text: str) -> int:
    """How many columns a terminal needs for it."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def _cut(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    cut = ""
    for char in text:
        if _width(cut + char) > width - 1:
            break
        cut += char
    return cut + "…" if width > 0 else ""
