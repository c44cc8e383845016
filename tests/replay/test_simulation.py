"""What a replay says of a policy, by recordings whose right answer is reckoned by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from breaker import Policy, PolicyError, State
from breaker.replay import Call, Candidate, Outage, Played, find_outages, read_candidate, replay

SECOND = 1_000_000_000
A = "http:a"


def call(at: float, outcome: str, took: float | None = 0.0, name: str = A) -> Call:
    return Call(round(at * SECOND), name, None if took is None else round(took * SECOND), outcome)


def played(calls: list[Call], **fields: Any) -> Played:
    (result,) = replay(calls, [Candidate("it", {"default": json.dumps(fields).encode()})])
    (one,) = result.played
    return one


def outage(begins: int = 10, ends: int = 20, total: int = 30) -> list[Call]:
    """A call each second; those in between fail."""
    return [call(at, "failure" if begins <= at < ends else "success") for at in range(total)]


def test_an_outage_opens_spares_and_is_over() -> None:
    # Fails at 10, 11, 12: open at 12 for 5 s; probes at 17 (fails, open to 22), rejects 18…21, probe at 22 closes.
    one = played(outage(), failureThreshold=3, openStateTimeout="5s", successThreshold=1)
    assert one.states == [
        (12 * SECOND, State.OPEN),
        (17 * SECOND, State.HALF_OPEN),
        (17 * SECOND, State.OPEN),
        (22 * SECOND, State.HALF_OPEN),
        (22 * SECOND, State.CLOSED),
    ]
    assert (one.name, one.calls, one.openings, one.policy) == (A, 30, 2, Policy(3, 1, 5))
    assert (one.rejected_failures, one.rejected_successes, one.rejected_others) == (6, 2, 0)
    assert one.not_closed == 10 * SECOND
    assert one.outages == [Outage(10 * SECOND, 20 * SECOND, 10)]
    assert one.detected == [2 * SECOND]
    assert one.recovered == [2 * SECOND]


def test_a_policy_that_never_opens_has_detected_nothing() -> None:
    one = played(outage(), failureThreshold=100)
    assert (one.openings, one.rejected_failures, one.not_closed) == (0, 0, 0)
    assert (one.detected, one.recovered) == ([None], [0])


def test_an_outage_to_the_end_of_the_recording() -> None:
    one = played(outage(10, 30), failureThreshold=3, openStateTimeout="1m")
    assert one.outages == [Outage(10 * SECOND, None, 20)]
    assert (one.detected, one.recovered) == ([2 * SECOND], [None])


def test_a_breaker_that_is_open_already_when_the_outage_begins() -> None:
    flicker = [call(0, "failure"), *outage(5, 15, 20)[1:]]
    one = played(flicker, failureThreshold=1, openStateTimeout="10s", successThreshold=1)
    assert one.detected == [0]
    # Open from 0 on; a probe at 10 fails, one at 20 would close.
    assert one.recovered == [None]


def test_results_come_when_they_came_in_the_recording() -> None:
    # Three calls hang for 30 s from 0 on and fail: nothing can be known before 30.
    hanging = [call(0.1 * number, "failure", 30) for number in range(3)]
    healthy = [call(at, "success") for at in range(1, 40)]
    one = played(sorted(hanging + healthy), failureThreshold=3, openStateTimeout="2s", successThreshold=1)
    # The second, at 30.0, comes after the success of the call that began and ended then.
    assert one.openings == 0
    one = played(hanging, failureThreshold=3, openStateTimeout="2s")
    assert one.states == [(round(30.2 * SECOND), State.OPEN)]


def test_slow_calls_are_measured_as_they_were() -> None:
    calls = [call(at, "success", 2.0) for at in range(10)]
    rule = {"failureThreshold": None, "slowCallRateThreshold": 0.5, "slowCallDuration": "2s", "minimumCalls": 3}
    # In flight at 2.0: those of 0 (ended), 1; ended slow: 1 call, then the one of 1 ends at 3.0: late ones count too.
    one = played(calls, **rule, window={"calls": 10}, openStateTimeout="1m")
    assert one.openings == 1
    assert played(calls, **rule | {"slowCallDuration": "2.001s"}, window={"calls": 10}).openings == 0
    unmeasured = [call(at, "success", None) for at in range(10)]
    assert played(unmeasured, **rule, window={"calls": 10}).openings == 0


def test_calls_that_were_rejected_in_the_recording_are_unknown() -> None:
    calls = [call(0, "failure"), call(1, "rejected", None), call(2, "ignored"), call(3, "success")]
    one = played(calls, failureThreshold=5)
    assert (one.unknown, one.rejected_others) == (1, 0)
    one = played(calls, failureThreshold=1, openStateTimeout="1m")
    assert (one.unknown, one.rejected_others, one.rejected_successes) == (0, 2, 1)


def test_each_name_has_its_own_breaker_and_document() -> None:
    calls = [*outage(), *(call(at + 0.5, "failure", name="db:b") for at in range(10))]
    documents = {"default": b'{"failureThreshold": 100}', "db:b": b'{"failureThreshold": 4, "openStateTimeout": "1m"}'}
    (result,) = replay(reversed(calls), [Candidate("it", documents)])
    assert [(one.name, one.openings, one.policy.failure_threshold) for one in result.played] == [
        ("db:b", 1, 4),
        (A, 0, 100),
    ]


def test_a_recording_that_begins_before_its_recorder() -> None:
    calls = [call(-3, "failure", 5), call(1, "failure"), call(2.5, "success")]
    one = played(calls, failureThreshold=2, openStateTimeout="1m")
    assert one.states == [(2 * SECOND, State.OPEN)]


# -- outages --


@pytest.mark.parametrize(
    ("outcomes", "found"),
    [
        ("sssss", []),
        ("ffff", []),  # too few
        ("fffff", [(0, None)]),
        ("fffffs", [(0, 5)]),
        ("sfffffss", [(1, 6)]),
        ("ffsfff", []),  # a good second between them
        ("ff.fff.s", [(0, 7)]),  # a second without calls says nothing
        ("ffifffs", [(0, 6)]),
        ("fffffsssfffff", [(0, 5), (8, None)]),
    ],
)
def test_outages_are_bad_seconds_in_a_row(outcomes: str, found: list[tuple[int, int | None]]) -> None:
    words = {"s": "success", "f": "failure", "i": "ignored"}
    calls = [call(at, words[letter]) for at, letter in enumerate(outcomes) if letter != "."]
    at = [(one.begins // SECOND, None if one.ends is None else one.ends // SECOND) for one in find_outages(calls)]
    assert at == found


def test_half_of_a_second_is_bad() -> None:
    mixed = [call(at + place / 4, "failure" if place % 2 else "success") for at in range(3) for place in range(4)]
    after = [call(3, "success")]
    assert find_outages(mixed + after) == [Outage(SECOND // 4, 3 * SECOND, 6)]
    assert find_outages([*mixed[:4], call(0.9, "success")]) == []


# -- candidates --


def test_a_document_is_for_all_and_a_directory_by_name(tmp_path: Path) -> None:
    (tmp_path / "default.json").write_text('{"failureThreshold": 7}')
    (tmp_path / "%2Fpkg.Svc.json").write_text('{"openStateTimeout": "3s"}')
    (tmp_path / "notes.txt").write_text("no document")
    one = read_candidate(tmp_path / "default.json")
    assert (one.label, one.documents) == (str(tmp_path / "default.json"), {"default": b'{"failureThreshold": 7}'})
    all_of_them = read_candidate(tmp_path)
    assert set(all_of_them.documents) == {"default", "/pkg.Svc"}
    assert one.unknown == all_of_them.unknown == ()


def test_what_a_candidate_leaves_out_is_said(tmp_path: Path) -> None:
    (tmp_path / "default.json").write_text('{"maxCalls": 7}')
    (tmp_path / "a%zz.json").write_text("{}")
    unknown = read_candidate(tmp_path).unknown
    assert [text.removeprefix(str(tmp_path)).split(":")[0] for text in unknown] == ["/default.json", "/a%zz.json"]


@pytest.mark.parametrize(
    ("documents", "file", "field"),
    [
        ({"default": '{"failureThreshold": 0}'}, "default.json", "failureThreshold"),
        ({"default": "{", "a": "{}"}, "default.json", None),
        ({"default": '{"failureThreshold": null}'}, "default.json", "failureThreshold"),
        ({"default": '{"failureThreshold": 3}', "a": '{"failureThreshold": null}'}, "a.json", "failureThreshold"),
    ],
)
def test_a_candidate_that_is_wrong_is_refused(
    tmp_path: Path, documents: dict[str, str], file: str, field: str | None
) -> None:
    for name, document in documents.items():
        (tmp_path / f"{name}.json").write_text(document)
    with pytest.raises(PolicyError) as caught:
        read_candidate(tmp_path)
    assert caught.value.where == str(tmp_path / file)
    assert field is None or field in str(caught.value)


def test_a_directory_without_documents_and_a_missing_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.json"):
        with pytest.raises(FileNotFoundError, match=str(path)):
            read_candidate(path)
