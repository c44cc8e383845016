"""``breaker replay``: what it reads, what it says, what it refuses."""

import bz2
import gzip
import json
import lzma
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from support.shell import breaker, in_a_process

HEAD: dict[str, object] = {"recording": 1, "service": "shop", "started": "2026-05-04T09:30:00+00:00", "share": 1.0}


def call(at: int, name: str) -> dict[str, object]:
    failed = 10 <= at < 20 and name == "a"
    return {"at": at, "name": name, "took": 0.01, "outcome": "failure" if failed else "success"}


CALLS = [HEAD, *[call(at, name) for at in range(30) for name in ("a", "b")]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, CALLS)
    (tmp_path / "streak.json").write_text('{"failureThreshold": 3, "openStateTimeout": "5s", "successThreshold": 1}')
    (tmp_path / "many.json").write_text('{"failureThreshold": 100}')
    return tmp_path


def write(folder: Path, lines: list[dict[str, object]]) -> None:
    (folder / "calls.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_line_for_each_policy(folder: Path) -> None:
    done = breaker("replay", "calls.jsonl", "--policy", "streak.json", "--policy", "many.json")
    assert (done.code, done.err) == (0, "")
    first, outages, _, titles, *rows = done.out.splitlines()
    assert first == "60 calls of 2 breakers in 29.01s: 50 success, 10 failure, 0 ignored, 0 rejected"
    assert outages == "1 outage"
    assert titles.split()[:2] == ["policy", "openings"]
    assert rows[0].split() == ["streak.json", "2", "10", "4", "6", "12s", "1", "of", "1", "2.01s", "4.01s"]
    assert rows[1].split() == ["many.json", "0", "0", "0", "0", "0s", "0", "of", "1", "–", "0s"]


def test_a_line_for_each_breaker_and_one_alone(folder: Path) -> None:
    done = breaker("replay", "calls.jsonl", "--policy", "streak.json", "--each")
    rows = done.out.splitlines()[4:]
    assert [row.split()[:3] for row in rows] == [["streak.json,", "a", "2"], ["streak.json,", "b", "0"]]
    done = breaker("replay", "calls.jsonl", "--policy", "streak.json", "--only", "b")
    assert done.out.startswith("30 calls of b in 29.01s: 30 success")
    assert done.out.splitlines()[1] == "no outage"


def test_all_of_it_as_json(folder: Path) -> None:
    said = breaker("replay", "calls.jsonl", "--policy", "streak.json", "--json").json
    assert said["calls"] == {"success": 50, "failure": 10, "ignored": 0, "rejected": 0}
    (policy,) = said["policies"]
    a, b = policy["breakers"]
    assert (policy["policy"], a["name"], b["name"]) == ("streak.json", "a", "b")
    assert a["effective"]["failureThreshold"] == 3
    assert (a["openings"], a["rejected_failures"], a["rejected_successes"], a["unknown"]) == (2, 6, 4, 0)
    assert a["outages"] == [{"begins": 10.0, "ends": 20.0, "failures": 10, "noticed_after": 2.01, "closed_after": 4.01}]
    assert b["outages"] == []


def test_a_directory_is_a_policy_too(folder: Path) -> None:
    (folder / "policies").mkdir()
    (folder / "policies/default.json").write_text('{"failureThreshold": 100}')
    (folder / "policies/a.json").write_text('{"failureThreshold": 1}')
    said = breaker("replay", "calls.jsonl", "--policy", "policies", "--json").json
    assert [each["effective"]["failureThreshold"] for each in said["policies"][0]["breakers"]] == [1, 100]


def test_calls_from_standard_input(folder: Path) -> None:
    text = (folder / "calls.jsonl").read_text()
    done = breaker("replay", "-", "--policy", "streak.json", stdin=text)
    assert done.out.startswith("60 calls of 2 breakers")
    breaker("replay", "-", "--policy", "streak.json", stdin="x\n").failed(1, "standard input, line 1: expected")


def test_what_is_to_be_known_of_the_figures_is_said(folder: Path) -> None:
    lines = [
        CALLS[0] | {"share": 0.5},
        *CALLS[1:],
        {"lost": 7, "name": "a"},
        {"at": 1, "name": "a", "outcome": "rejected"},
    ]
    write(folder, lines)
    (folder / "many.json").write_text('{"failureTreshhold": 100}')
    done = breaker("replay", "calls.jsonl", "--policy", "many.json")
    assert done.code == 0
    share, lost, unknown, left_out = done.err.splitlines()
    assert share.startswith("note: the recording has 0.5 of the calls")
    assert lost == "note: 7 calls were not recorded, for there were too many at once"
    assert unknown.startswith("note: 1 calls were rejected when they were recorded")
    assert left_out == "note: left out: many.json: failureTreshhold"


def test_a_mode_that_hides_the_rules_is_said(folder: Path) -> None:
    (folder / "policies").mkdir()
    (folder / "policies/default.json").write_text('{"mode": "shadow", "failureThreshold": 3}')
    (folder / "policies/b.json").write_text('{"mode": "auto"}')
    done = breaker("replay", "calls.jsonl", "--policy", "policies", "--policy", "many.json")
    assert done.err == (
        "note: policies: mode shadow decides for 1 of 2 breakers, not the rules; take the mode out to see what they "
        "would do\n"
    )


def test_without_standard_input_it_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = in_a_process("replay", "-", "--policy", "streak.json", preexec_fn=lambda: os.close(0))
    done.failed(3, "there is no standard input")


def test_a_last_line_that_is_cut_off_is_said(folder: Path) -> None:
    file = folder / "calls.jsonl"
    file.write_text(file.read_text()[:-9])
    done = breaker("replay", "calls.jsonl", "--policy", "streak.json", "--json")
    assert done.err == "note: the last line of calls.jsonl is cut off and was left out\n"
    assert (sum(done.json["calls"].values()), done.json["lines_left_out"]) == (59, 1)


@pytest.mark.parametrize(
    ("pack", "tool"),
    [(gzip.compress, "zcat"), (bz2.compress, "bzcat"), (lzma.compress, "xzcat")],
    ids=["gz", "bz2", "xz"],
)
def test_a_packed_file_names_the_tool_that_unpacks_it(folder: Path, pack: Callable[[bytes], bytes], tool: str) -> None:
    data = (folder / "calls.jsonl").read_bytes()
    (folder / "old calls").write_bytes(pack(data))
    done = breaker("replay", "old calls", "--policy", "streak.json")
    done.failed(1, f"old calls is packed; {tool} 'old calls' | breaker replay - reads it")
    assert breaker("replay", "-", "--policy", "streak.json", stdin=data).code == 0


def test_a_pipe_is_read_to_its_end(folder: Path) -> None:
    os.mkfifo("pipe")
    data = (folder / "calls.jsonl").read_bytes()
    writer = threading.Thread(target=(folder / "pipe").write_bytes, args=(data,))
    writer.start()
    done = breaker("replay", "pipe", "--policy", "streak.json")
    writer.join()
    assert (done.code, done.out.partition(" calls")[0]) == (0, "60")


def test_a_log(folder: Path) -> None:
    line = '203.0.113.7 - - [04/May/2026:09:30:00 +0000] "GET /prices HTTP/1.1" 503 512 0.043\n'
    (folder / "access.log").write_text(line * 3 + "noise \xff\n", encoding="latin-1")
    done = breaker("replay", "access.log", "--format", "common", "--name", "http:a", "--policy", "streak.json")
    assert done.out.startswith("3 calls of http:a in")
    assert done.err == "note: 1 lines of access.log are not of the format common and were left out\n"


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_a_picture(folder: Path, ending: str) -> None:
    done = breaker("replay", "calls.jsonl", "--policy", "streak.json", "--plot", f"it.{ending}")
    assert done.code == 0
    data = (folder / f"it.{ending}").read_bytes()
    assert data.startswith(b"\x89PNG") if ending == "png" else b">a</text>" in data  # the breaker with the failures


@pytest.mark.parametrize(
    ("words", "code", "texts"),
    [
        (["calls.jsonl"], 2, ["--policy", "breaker replay --help"]),
        (["missing", "--policy", "streak.json"], 3, ["cannot read missing: No such file"]),
        ([".", "--policy", "streak.json"], 3, ["cannot read .: Is a directory"]),
        (["calls.jsonl", "--policy", "missing"], 3, ["cannot read missing: No such file"]),
        (["calls.jsonl", "--policy", "empty"], 3, ["cannot read empty: no .json document in it"]),
        (["calls.jsonl", "--policy", "wrong.json"], 1, ["wrong.json", "failureThreshold", "write 5 without quotes"]),
        (["streak.json", "--policy", "streak.json"], 1, ['streak.json, line 1: expected the key "at"']),
        (["nothing", "--policy", "streak.json"], 1, ["no calls in nothing"]),
        (["calls.jsonl", "--policy", "streak.json", "--only", "c"], 1, ["no calls of 'c'", "a, b"]),
        (["calls.jsonl", "--policy", "streak.json", "--name", "c"], 2, ["--name is for logs"]),
        (["calls.jsonl", "--policy", "streak.json", "--format", "iis"], 2, ["--format", "common, combined"]),
        (["calls.jsonl", "--policy", "streak.json", "--format", "envoy"], 1, ["calls.jsonl: expected lines like"]),
        (["calls.jsonl", "--policy", "streak.json", "--plot", "it.gif"], 2, ["--plot", ".svg or .png"]),
        (["calls.jsonl", "--policy", "streak.json", "--plot", "no/it.svg"], 3, ["--plot: cannot write no/it.svg"]),
    ],
)
def test_a_mistake_is_one_line(folder: Path, words: list[str], code: int, texts: list[str]) -> None:
    (folder / "empty").mkdir()
    (folder / "nothing").write_text("")
    (folder / "wrong.json").write_text('{"failureThreshold": "5"}')
    breaker("replay", *words).failed(code, *texts)


def test_names_are_shown_without_what_a_terminal_would_obey(folder: Path) -> None:
    write(folder, [{"at": 1, "name": "a\x1b]0;owned\x07", "outcome": "success"}])
    done = breaker("replay", "calls.jsonl", "--policy", "streak.json", "--each")
    assert "\x1b" not in done.out + done.err


def test_a_reader_that_goes_away_is_no_error(folder: Path) -> None:
    done = in_a_process("replay", "calls.jsonl", "--policy", "streak.json")
    assert (done.code, done.err) == (0, "")
