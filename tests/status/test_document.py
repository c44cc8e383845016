"""``GET /breakers``: what is in it, in which order, and that its schema describes all of it."""

import json
import time
from typing import Any

import jsonschema
import pytest

from breaker import Mode, Policy, State, Window
from breaker.policies.names import document_key
from breaker.sources import MemorySource
from breaker.status._document import CONDITIONS
from breaker.testing import ManualClock
from support.drive import NAME, Boom, Providers, cool, fail, ignored, rejected, succeed, trip
from support.sources import Handmade
from support.status import SCHEMA, only, shown
from support.status_table import PAGE, PLACE, table

RATES = Policy(
    None, failure_rate_threshold=0.5, slow_call_rate_threshold=0.8, slow_call_duration=1, window=Window(calls=20),
    minimum_calls=4,
)  # fmt: skip


def test_the_schema_is_one_and_describes_each_part() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert set(SCHEMA["$defs"]["condition"]["enum"]) == set(CONDITIONS)
    breaker = SCHEMA["$defs"]["breaker"]
    assert set(breaker["required"]) == set(breaker["properties"]) - {"line"}
    assert set(SCHEMA["required"]) == set(SCHEMA["properties"])


def test_the_page_of_the_docs_has_the_table_of_the_schema() -> None:
    (found,) = PLACE.findall(PAGE.read_text(encoding="utf-8"))
    assert found == table(), "`PYTHONPATH=tests python -m support.status_table` writes it"


def test_a_page_without_breakers(provider_of: Providers) -> None:
    seen = shown(provider_of())
    assert (seen["breakers"], seen["policies"], seen["source"], seen["actions"]) == ([], [], None, None)
    assert set(seen["summary"].values()) == {0}
    assert list(seen["summary"]) == list(reversed(CONDITIONS))
    assert seen["service"] == "svc"
    assert abs(seen["at"] - time.time()) < 60


def test_an_open_breaker_says_since_when_until_when_and_why(provider_of: Providers, clock: ManualClock) -> None:
    provider = provider_of(Policy(2, 1, 60))
    breaker = provider.get_breaker(NAME)
    succeed(breaker, 3)
    fail(breaker, 2, Boom("no route"))
    rejected(breaker, 4)
    clock.advance(20)
    seen = shown(provider)
    (found,) = seen["breakers"]
    assert (found["name"], found["condition"], found["state"], found["reason"]) == (NAME, "open", "OPEN", "tripped")
    assert found["last_error"] == "Boom: no route"
    assert found["since"] == pytest.approx(seen["at"] - 20, abs=0.01)
    assert found["until"] == pytest.approx(seen["at"] + 40, abs=0.01)
    assert found["retry_after"] == 40
    totals = found["totals"]
    assert [totals[kind] for kind in ("success", "failure", "ignored", "late", "rejected")] == [3, 2, 0, 0, 4]
    assert (totals["rejected_by_reason"]["open"], totals["openings"]) == (4, 1)
    assert totals["transitions"]["CLOSED->OPEN"] == 1
    assert found["state_seconds"]["OPEN"] == 20
    assert seen["summary"]["open"] == 1


def test_a_closed_breaker_says_how_near_it_is_to_opening(provider_of: Providers) -> None:
    provider = provider_of(Policy(5))
    breaker = provider.get_breaker(NAME)
    for failures, condition in ((0, "closed"), (1, "closed"), (3, "strained"), (4, "strained")):
        fail(breaker, failures - breaker.snapshot().consecutive_failures)
        found = only(provider)
        assert found["pressure"] == failures / 5
        assert found["condition"] == condition
        assert found["measures"]["consecutive_failures"] == {"value": failures, "threshold": 5}
    assert found["until"] is None


def test_rates_stand_beside_their_thresholds(provider_of: Providers) -> None:
    provider = provider_of(RATES)
    breaker = provider.get_breaker(NAME)
    fail(breaker)
    measures = only(provider)["measures"]
    assert measures["failure_rate"] == {"value": None, "threshold": 0.5}  # too few calls
    assert measures["consecutive_failures"] is None  # no such rule
    succeed(breaker, 3)
    found = only(provider)
    assert found["measures"]["failure_rate"] == {"value": 0.25, "threshold": 0.5}
    assert found["measures"]["slow_call_rate"] == {"value": 0.0, "threshold": 0.8}
    assert (found["pressure"], found["condition"]) == (0.5, "strained")
    assert found["window"] == {"calls": 4, "failures": 1, "slow_calls": 0, "slow_calls_in_flight": 0}


def test_probes_are_measured_while_half_open(provider_of: Providers, clock: ManualClock) -> None:
    provider = provider_of(Policy(1, 3, 60, half_open_max_calls=2))
    breaker = provider.get_breaker(NAME)
    fail(breaker)
    cool(breaker, clock)
    succeed(breaker)
    held = breaker.acquire()
    found = only(provider)
    assert (found["condition"], found["state"], found["reason"]) == ("half_open", "HALF_OPEN", "timeout")
    assert found["measures"]["probe_successes"] == {"value": 1, "threshold": 3}
    assert found["measures"]["probes_in_flight"] == {"value": 1, "threshold": 2}
    held.ignore()


def test_a_recovering_breaker_says_how_far_it_is(provider_of: Providers, clock: ManualClock) -> None:
    provider = provider_of(Policy(1, 1, 60, recovery_time=90))
    breaker = provider.get_breaker(NAME)
    fail(breaker)
    cool(breaker, clock)
    succeed(breaker)
    clock.advance(40)
    seen = shown(provider)
    (found,) = seen["breakers"]
    assert (found["condition"], found["state"], found["reason"]) == ("recovering", "CLOSED", "recovered")
    assert found["measures"]["recovery_share"] == {"value": 0.5, "threshold": 1}
    assert found["until"] == pytest.approx(seen["at"] + 50, abs=0.01)


@pytest.mark.parametrize(
    ("mode", "condition"),
    [(Mode.FORCED_OPEN, "forced_open"), (Mode.DISABLED, "disabled"), (Mode.SHADOW, "shadow"), (Mode.AUTO, "open")],
)
def test_a_mode_is_a_condition_whatever_lies_underneath(provider_of: Providers, mode: Mode, condition: str) -> None:
    # S90, S91
    provider = provider_of(Policy(2))
    breaker = provider.get_breaker(NAME)
    trip(breaker)
    breaker.override(mode)
    found = only(provider)
    assert (found["condition"], found["mode"], found["override"]) == (condition, mode.value, mode.value)
    assert found["state"] == "OPEN"


def test_a_shadow_that_would_have_opened_says_so(provider_of: Providers) -> None:
    provider = provider_of(Policy(2, mode=Mode.SHADOW))
    breaker = provider.get_breaker(NAME)
    fail(breaker)
    found = only(provider)
    assert (found["condition"], found["pressure"], found["override"]) == ("shadow", 0.5, None)
    fail(breaker)
    assert only(provider)["condition"] == "would_have_opened"


def test_the_worst_come_first(provider_of: Providers, clock: ManualClock) -> None:
    provider = provider_of(Policy(4, 1, 60))
    names = ["b-fine", "a-fine", "probing", "open", "forced", "hot", "warm"]
    made = {name: provider.get_breaker(name) for name in names}
    trip(made["probing"])
    cool(made["probing"], clock)
    made["probing"].acquire()
    trip(made["open"])
    made["forced"].force_open()
    fail(made["hot"], 3)
    fail(made["warm"], 2)
    names = [found["name"] for found in shown(provider)["breakers"]]
    assert names == ["open", "forced", "probing", "hot", "warm", "a-fine", "b-fine"]


def test_breakers_that_share_a_policy_share_its_entry(provider_of: Providers, source: MemorySource) -> None:
    # S165
    provider = provider_of(Policy(9), policy_source=source)
    default = source.put("default", {"successThreshold": 4})
    own = source.put("own", {"failureThreshold": 3})
    for name in ("own", "first", "second"):
        provider.get_breaker(name)
    seen = shown(provider)
    by_name = {found["name"]: seen["policies"][found["policy"]] for found in seen["breakers"]}
    assert len(seen["policies"]) == 2
    assert by_name["first"] is by_name["second"]
    policy = by_name["own"]
    assert (policy["fields"]["failureThreshold"], policy["fields"]["successThreshold"]) == (3, 4)
    assert policy["fields"] == provider.get_breaker("own").policy.document(whole=True)
    assert policy["from"]["failureThreshold"] == document_key("own")
    assert policy["from"]["successThreshold"] == "default.json"
    assert policy["from"]["openStateTimeout"] is None
    assert policy["documents"] == [
        {"key": document_key("own"), "revision": own, "error": None},
        {"key": "default.json", "revision": default, "error": None},
    ]
    assert by_name["first"]["documents"] == [{"key": "default.json", "revision": default, "error": None}]


def test_a_document_that_is_not_in_force_says_why(provider_of: Providers) -> None:
    # S124, S165
    source = Handmade(lambda watch: None)
    provider = provider_of(policy_source=source, start_timeout=0)
    provider.get_breaker(NAME)
    source.watches[0].publish({document_key(NAME): b'{"failureThreshold": "many"}'}, 7)
    seen = shown(provider)
    (found,) = seen["policies"][0]["documents"]
    assert found["revision"] == 7
    assert "failureThreshold must be a whole number" in found["error"]


def test_the_source_says_how_it_is(provider_of: Providers) -> None:
    source = Handmade(lambda watch: None)
    provider = provider_of(policy_source=source, start_timeout=0)
    (watch,) = source.watches
    watch.connected("center")
    watch.publish({}, 12)
    watch.failed("the center is away; start it")
    seen = shown(provider)["source"]
    assert (seen["connected"], seen["endpoint"], seen["revision"]) == (False, "center", 12)
    assert seen["last_error"] == "the center is away; start it"


def test_errors_are_shown_shortened_and_any_text_survives(provider_of: Providers) -> None:
    for text in ("x" * 100_000, "</script><script>alert(1)</script>", "\ud800 lone", "\x00\x1b[31m", "𝒳 ümlaut"):
        provider = provider_of(Policy(1))
        breaker = provider.get_breaker(NAME)
        fail(breaker, error=Boom(text))
        error = only(provider)["last_error"]
        assert len(error) <= 1000
        assert error == (f"Boom: {text}" if len(text) < 900 else f"Boom: {text}"[:999] + "…")


def test_names_are_shown_as_they_are(provider_of: Providers) -> None:
    names = ["<img src=x onerror=alert(1)>", "a/b%2F", '"quoted"', "☃ snow", "\x07bell"]
    provider = provider_of()
    for name in names:
        provider.get_breaker(name)
    assert sorted(found["name"] for found in shown(provider)["breakers"]) == sorted(names)


def test_reading_changes_nothing(provider_of: Providers, clock: ManualClock, events: list[Any]) -> None:
    # S160
    provider = provider_of(Policy(1, 1, 60))
    breaker = provider.get_breaker(NAME)
    fail(breaker)
    clock.advance(100)
    before, told = breaker.snapshot(), len(events)
    found = only(provider)
    assert (found["condition"], found["retry_after"]) == ("open", 0)
    assert (breaker.snapshot(), len(events)) == (before, told)
    assert breaker.state is State.OPEN


def test_every_outcome_has_its_total(provider_of: Providers) -> None:
    provider = provider_of(Policy(100))
    breaker = provider.get_breaker(NAME)
    late = breaker.acquire()
    succeed(breaker, 3)
    ignored(breaker, 2)
    breaker.reset()
    late.success()
    totals = only(provider)["totals"]
    assert [totals[kind] for kind in ("success", "failure", "ignored", "late", "rejected")] == [3, 0, 2, 1, 0]


def test_it_is_json_for_every_reader(provider_of: Providers) -> None:
    provider = provider_of()
    provider.get_breaker(NAME)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(json.dumps(shown(provider)), parse_constant=refuse)
