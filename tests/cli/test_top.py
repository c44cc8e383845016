"""``breaker top``: the breakers of a running program, from its status page, in lines and on a screen."""

import json

import pytest

from breaker import Mode, Policy, Provider
from breaker.cli.top.rows import age
from breaker.status import StatusServer, serve
from support.drive import Providers, fail, rejected
from support.shell import breaker, in_a_process, launched, line_with

HOSTILE = "http:\x1b]0;owned\x07\x9b2J"


def rows(text: str) -> list[list[str]]:
    """The cells of the lines below the titles."""
    return [line.split("  ") for line in text.splitlines()[2:] if line]


def test_breakers_are_lines_worst_first(page: StatusServer) -> None:
    done = breaker("top", page.url, "--once")
    assert (done.code, done.err) == (0, "")
    head, titles = done.out.splitlines()[:2]
    assert "svc on " in head
    assert head.endswith("4 breakers (1 open, 1 forced open, 1 strained, 1 closed)")
    assert titles.split()[:3] == ["condition", "name", "calls/s"]
    assert [row[0] for row in rows(done.out)] == ["open", "forced open", "strained", "closed"]
    worst, forced, strained, _ = done.out.splitlines()[2:6]
    assert "http:prices" in worst
    assert "tripped" in worst
    assert "59s" in worst or "60s" in worst or "1m00s" in worst
    assert worst.endswith("ConnectionError: refused by prices")
    assert "by an operator" in forced
    assert "failures in a row 4 of 5" in strained


def test_rates_are_there_at_the_second_look(page: StatusServer, provider: Provider) -> None:
    with launched("top", page.url, "--interval", "300ms") as process:
        line_with(process, "http:prices")
        rejected(provider.breakers["http:prices"], 3)
        line_with(process, "100 %")


def test_the_url_of_the_environment(page: StatusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREAKER_STATUS", page.url.removeprefix("http://"))
    assert len(rows(breaker("top", "--once").out)) == 4
    assert breaker("top", page.url + "breakers", "--once").code == 0


def test_filter_and_sort(page: StatusServer) -> None:
    def names(*words: str) -> list[str]:
        said = breaker("top", page.url, "--once", "--json", *words).json
        return [each["name"] for each in said["breakers"]]

    assert names("--filter", "PRICES") == ["http:prices"]
    assert names("--filter", "operator") == ["queue:mails"]
    assert names("--sort", "name") == ["db:main", "http:prices", "queue:mails", "redis:日本"]
    assert names("--sort", "name", "--reverse") == ["redis:日本", "queue:mails", "http:prices", "db:main"]
    assert names("--filter", "nobody") == []
    assert (
        "4 breakers (1 open, 1 forced open, 1 strained, 1 closed), 0 shown"
        in breaker("top", page.url, "--once", "--filter", "nobody").out
    )


def test_names_and_errors_are_shown_without_what_a_terminal_would_obey(page: StatusServer, provider: Provider) -> None:
    fail(provider.get_breaker(HOSTILE), 5, ConnectionError("\x1b[2Jgone"))
    done = breaker("top", page.url, "--once")
    assert "\x1b" not in done.out
    assert "\x9b" not in done.out
    assert r"http:\x1b]0;owned\x07\x9b2J" in done.out


def test_a_page_that_goes_away_is_said_and_looked_for_again(provider: Provider) -> None:
    with serve(provider) as first:
        port = int(first.url.rstrip("/").rpartition(":")[2])
        with launched("top", first.url, "--interval", "200ms", "--count", "200") as process:
            line_with(process, "http:prices")
            first.close()
            assert process.stderr is not None
            assert "cannot reach" in process.stderr.readline()
            with serve(provider, f"127.0.0.1:{port}"):
                line_with(process, "http:prices")


def test_a_mode_of_the_policy_is_no_operators(provider_of: Providers) -> None:
    provider = provider_of(Policy(mode=Mode.FORCED_OPEN), clock=None)
    provider.get_breaker("http:prices")
    with serve(provider) as page:
        (row,) = breaker("top", page.url, "--once").out.splitlines()[2:-1]
    assert row.startswith("forced open")
    assert "by its policy" in row


def test_a_reader_that_goes_away_ends_it(page: StatusServer) -> None:
    done = in_a_process("top", page.url, "--count", "1", "--json")
    assert json.loads(done.out)["summary"]["open"] == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.9, "59s"), (60, "1m00s"), (3599, "59m59s"), (3600, "1h00m"), (86399, "23h59m"), (90000, "1d01h")],
)
def test_times_have_two_units_at_most(seconds: float, text: str) -> None:
    assert age(seconds) == text
