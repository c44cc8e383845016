"""`breaker.replay.read_calls`: what is no recording is named with its line, and what can be read is."""

import pytest

from breaker.errors import RecordingError
from breaker.replay import read_calls

GOOD = '{"at": 1, "name": "a", "took": 0.5, "outcome": "success"}\n'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nonsense\n", "a JSON object"),
        ("[]\n", "a JSON object"),
        ("[" * 100_000 + "\n", "a JSON object"),
        ('{"recording": 2}\n', "a recording of format 1"),
        ('{"recording": 1, "share": 0}\n', "share"),
        ('{"recording": 1, "started": "noon"}\n', "ISO 8601"),
        ('{"name": "a", "outcome": "success"}\n', 'the key "at"'),
        ('{"at": 1, "outcome": "success"}\n', 'the key "name"'),
        ('{"at": 1, "name": "a"}\n', 'the key "outcome"'),
        ('{"at": 1, "name": "", "outcome": "success"}\n', "the name of a breaker"),
        ('{"at": 1, "name": "default", "outcome": "success"}\n', "the name of a breaker"),
        ('{"at": 1, "name": 7, "outcome": "success"}\n', "the name of a breaker"),
        ('{"at": 1, "name": "a", "outcome": "ok"}\n', "one of success, failure"),
        ('{"at": "1", "name": "a", "outcome": "success"}\n', '"at" to be a number'),
        ('{"at": NaN, "name": "a", "outcome": "success"}\n', '"at" to be a number'),
        ('{"at": 1e300, "name": "a", "outcome": "success"}\n', '"at" to be a number'),
        ('{"at": 1' + "0" * 400 + ', "name": "a", "outcome": "success"}\n', '"at" to be a number'),
        ('{"at": 1, "name": "a", "took": -1, "outcome": "success"}\n', '"took" in seconds'),
        ('{"at": 1, "name": "a", "took": true, "outcome": "success"}\n', '"took" to be a number'),
        ('{"lost": "many"}\n', '"lost" to be a number'),
    ],
)
def test_a_line_that_is_none_is_named(line: str, expected: str) -> None:
    with pytest.raises(RecordingError) as caught:
        read_calls([GOOD, "\n", line, GOOD], "calls.jsonl")
    assert (caught.value.source, caught.value.line) == ("calls.jsonl", 3)
    assert expected in caught.value.expected
    assert str(caught.value).startswith("calls.jsonl, line 3: expected ")
    assert len(str(caught.value)) < 400


def test_a_last_line_that_was_cut_off_is_left_out() -> None:
    read = read_calls([GOOD, GOOD[:20]])
    assert (len(read.calls), read.cut) == (1, True)
    assert not read_calls([GOOD, GOOD.rstrip()]).cut
    with pytest.raises(RecordingError):
        read_calls([GOOD[:20]])
    with pytest.raises(RecordingError):
        read_calls([GOOD, GOOD[:20] + "\n"])


def test_a_byte_order_mark_is_passed_over() -> None:
    assert read_calls(["\ufeff" + GOOD, GOOD]).calls == read_calls([GOOD, GOOD]).calls
    with pytest.raises(RecordingError, match="line 2"):
        read_calls([GOOD, "\ufeff" + GOOD])


def test_calls_are_read_in_the_order_of_their_beginnings() -> None:
    calls = ['{"at": 3, "name": "a", "outcome": "failure"}', GOOD, '{"lost": 4, "name": "a"}\n']
    read = read_calls([calls[0] + "\n", *calls[1:]])
    assert [call.at for call in read.calls] == [1_000_000_000, 3_000_000_000]
    assert read.lost == 4
