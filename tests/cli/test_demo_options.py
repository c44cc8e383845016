"""The options of the demo: wrong ones, none, and its help."""

from __future__ import annotations

import re
import sys

import pytest

from support.shell import in_a_process


@pytest.mark.parametrize(
    "args",
    [
        ["--seconds", "0"],
        ["--seconds", "-5"],
        ["--seconds", "soon"],
        ["--seconds", "nan"],
        ["--seconds", "inf"],
        ["--seconds", "1e9"],
        ["--workers", "0"],
        ["--workers", "-1"],
        ["--workers", "2.5"],
        ["--workers", "many"],
        ["--workers", "1000000"],
        ["--picture", ""],
        ["--picture", "/"],
        ["--picture", "run.png"],
        ["--policies", ""],
        ["--policies", __file__],
        ["--policies", f"{__file__}/below"],
        pytest.param(
            ["--policies", "/proc/breaker-demo"],
            marks=pytest.mark.skipif(sys.platform != "linux", reason="needs a place nobody can write to"),
        ),
        ["--speed", "9"],
    ],
    ids=" ".join,
)
def test_wrong_options_are_one_line_and_exit_code_2(args: list[str]) -> None:
    done = in_a_process("demo", *args)
    assert done.code == 2
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert re.match(r"breaker( demo)?: error: ", done.err)
    assert args[0] in done.err


def test_missing_and_unknown_commands() -> None:
    for args in ([], ["demos"]):
        done = in_a_process(*args)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)


def test_help_and_version() -> None:
    assert "demo" in in_a_process("--help").out
    for option in ("--seconds", "--workers", "--policies", "--picture"):
        assert option in in_a_process("demo", "--help").out
    assert re.fullmatch(r"cybreaker \d+\.\d+\.\d+\S*\n", in_a_process("--version").out)
