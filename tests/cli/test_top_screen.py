"""The screen of ``breaker top``: keys, colours, sizes, Ctrl-C."""

import re
import signal

import pytest

from breaker import Provider
from breaker.status import StatusServer, serve
from support.shell import Terminal


def test_a_screen_sorts_filters_and_quits(page: StatusServer) -> None:
    with Terminal("top", page.url, "--interval", "200ms", size=(12, 140)) as terminal:
        shown = terminal.wait_for_screen("http:prices", "redis:日本", "q quit")
        assert [line.split("  ")[0] for line in shown[2:6]] == ["open", "forced open", "strained", "closed"]
        assert "by trouble" in shown[-1]
        terminal.type("s")
        shown = terminal.wait_for_screen("by name")
        assert [line.split()[-1] for line in shown[2:6]][1] == "prices"  # the last error of the second by name
        terminal.type("r")
        assert "redis" in terminal.wait_for_screen("by name, reversed")[2]
        terminal.type("/db:")
        shown = terminal.wait_for_screen("filter: db:_", ", 1 shown")
        assert shown[3] == ""
        terminal.type("x\x7f\r")
        terminal.wait_for_screen("with 'db:'")
        terminal.type("q")
        assert terminal.end() == 0


@pytest.mark.parametrize(
    ("environment", "coloured"), [({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "vt100"}, False)]
)
def test_a_screen_has_colours_or_those_of_the_terminal(
    page: StatusServer, environment: dict[str, str], coloured: bool
) -> None:
    with Terminal("top", page.url, size=(12, 140), environment=environment) as terminal:
        terminal.wait_for_screen("http:prices", "q quit")
        codes = {code for each in re.findall(r"\x1b\[([\d;]*)m", terminal.seen) for code in each.split(";")}
    assert codes & {"7", "1"}, "the line of titles stands out without colours, too"
    colours = {code for code in codes if len(code) == 2 and code[0] in "34"} - {"39", "49"}  # these: the terminal's own
    assert bool(colours) == coloured
    assert not colours & {"37", "40"}, "white or black on a terminal that may have either behind it"


def test_a_screen_scrolls(page: StatusServer, provider: Provider) -> None:
    for number in range(30):
        provider.get_breaker(f"http:host-{number:02}")
    with Terminal("top", page.url, "--sort", "name", size=(10, 120)) as terminal:
        shown = terminal.wait_for_screen("34 breakers", "db:main", "by name")  # the last line is drawn last
        assert "http:host-00" in shown[3]
        terminal.type("jj")
        terminal.wait_for_screen("http:host-07")
        terminal.type("  ")
        terminal.wait_for_screen("http:host-19")
        terminal.type("kkkk" + "\x1b[5~" * 5)
        terminal.wait_for_screen("db:main")
        terminal.type("q")
        assert terminal.end() == 0


def test_a_narrow_screen_has_the_other_columns_aside(page: StatusServer) -> None:
    with Terminal("top", page.url, size=(10, 60)) as terminal:
        shown = terminal.wait_for_screen("condition    name         calls/s", "http:prices", "q quit")
        assert not any("refused" in line for line in shown)
        terminal.type("\x1bOC" * 20)  # the arrow to the right
        terminal.wait_for_screen("condition    name         last error", "http:prices  ConnectionError: refused")
        terminal.type("h")
        terminal.wait_for_screen("condition    name         why", "http:prices  tripped")
        terminal.type("\x1bOD" * 20)
        terminal.wait_for_screen("condition    name         calls/s")
        terminal.type("q")
        assert terminal.end() == 0


def test_a_filter_takes_any_letter(page: StatusServer) -> None:
    with Terminal("top", page.url, size=(10, 140), environment={"LC_ALL": "C.UTF-8"}) as terminal:
        terminal.wait_for_screen("http:prices", "q quit")
        terminal.type("/日本")
        shown = terminal.wait_for_screen("filter: 日", ", 1 shown")
        assert "redis:" in shown[2]
        terminal.type("\x1bOCx\r")  # an arrow is no letter
        terminal.wait_for_screen("with '日", ", 0 shown")
        terminal.type("\x1b")
        terminal.wait_for_screen("http:prices")
        terminal.type("q")
        assert terminal.end() == 0


def test_a_screen_says_how_old_it_is(provider: Provider) -> None:
    with serve(provider) as page, Terminal("top", page.url, "--interval", "100ms", size=(10, 160)) as terminal:
        terminal.wait_for_screen("http:prices")
        page.close()
        terminal.wait_for_screen("cannot reach", "s old", "http:prices")
        terminal.type("q")
        assert terminal.end() == 0


@pytest.mark.parametrize("size", [(1, 1), (3, 10), (24, 5)])
def test_a_screen_of_any_size(page: StatusServer, size: tuple[int, int]) -> None:
    with Terminal("top", page.url, size=size) as terminal:
        terminal.wait_for("\x1b[")
        terminal.type("sr/a\rq")
        assert terminal.end() == 0


def test_ctrl_c_leaves_the_terminal_as_it_was(page: StatusServer) -> None:
    with Terminal("top", page.url, size=(10, 100)) as terminal:
        terminal.wait_for_screen("http:prices")
        terminal.process.send_signal(signal.SIGINT)  # as the terminal does at Ctrl-C
        assert terminal.end() == 130
        assert "\x1b[?1049l" in terminal.seen


def test_a_terminal_without_a_screen_gets_lines(page: StatusServer) -> None:
    with Terminal("top", page.url, "--interval", "200ms", environment={"TERM": "dumb"}, size=(10, 150)) as terminal:
        terminal.wait_for("http:prices")
        assert "\x1b" not in terminal.seen
        terminal.process.send_signal(signal.SIGINT)  # as the terminal does at Ctrl-C
        assert terminal.end() == 130
