"""One row per field: a policy with one row more knows it everywhere, and no field is named in a second place."""

from __future__ import annotations

import inspect
import json
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import breaker
from breaker import Mode, Policy, PolicyError, Window
from breaker.policies.documents import document_schema, read_document
from breaker.policies.fields import Choice, Count, Number, OptionalTime, Time
from breaker.policies.record import Record
from breaker.policies.switches import SwitchedCount
from breaker.policies.window import Recent
from support.policy_table import table
from support.processes import run_python

SRC = Path(__file__).parents[2] / "src/breaker"
MACHINE = [file for suffix in ("pyx", "pxi", "h") for file in SRC.rglob(f"*.{suffix}")]
STRUCTS = re.findall(
    r"cdef struct (?:PolicyNumbers|RuleNumbers):.*?\n\n",
    "".join(file.read_text(encoding="utf-8") for file in MACHINE),
    flags=re.DOTALL,
)
assert len(STRUCTS) == 2
STRUCT = "".join(STRUCTS)
# What uses a rule, shows it or edits documents, as a program would: their names of fields are those of the public
# interface.
USERS = {"testing.py", "cli", "metrics", "status"}
TOGETHER = "policies/trip_rules.py"  # what fields say together


class Wider(Policy):
    """A policy of tomorrow.

    Args:
        {arguments}
    """

    __slots__ = ()
    patience_of_tests: Count = Count(default=3, most=10, means="how often a test is tried", kw_only=False)
    grace_time: OptionalTime = OptionalTime(default=None, unset="none", otherwise=7, means="how long a test may hang")


# -- one row more --


def test_the_constructor_knows_the_row() -> None:
    names = list(Policy.fields)
    assert list(inspect.signature(Wider).parameters) == [*names[:3], "patience_of_tests", *names[3:], "grace_time"]
    assert Wider(1, 2, 3, 4).patience_of_tests == 4
    assert (Wider(grace_time=1.5).grace_time, Wider().grace_time) == (1.5, None)
    with pytest.raises(PolicyError, match="patience_of_tests must be a whole number from 1 to 10, got 11"):
        Wider(patience_of_tests=11)
    with pytest.raises(TypeError, match="unexpected keyword argument 'patience_of_tests'"):
        Policy(patience_of_tests=4)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def test_the_value_knows_the_row() -> None:
    policy = Wider(patience_of_tests=4)
    assert policy != Wider()
    assert policy == pickle.loads(pickle.dumps(policy))
    assert len({policy, Wider(), Wider(patience_of_tests=4)}) == 2
    assert repr(policy).startswith("Wider(5, 2, 60.0, 4, half_open_max_calls=1, ")
    assert repr(policy).endswith(", grace_time=None)")
    with pytest.raises(AttributeError, match="frozen"):
        policy.patience_of_tests = 5  # type: ignore[misc]


def test_the_document_knows_the_row() -> None:
    text = '{"patienceOfTests": 4, "graceTime": "1m", "failureThreshold": 3}'
    policy = Wider.from_json(text)
    assert policy == Wider(3, patience_of_tests=4, grace_time=60)
    assert Wider.from_json(policy.to_json()) == policy
    assert json.loads(policy.to_json()).items() >= json.loads(text).items()
    assert read_document(text, Wider.fields)[1] == []
    assert read_document(text, Policy.fields)[1] == ["graceTime", "patienceOfTests"]
    with pytest.raises(PolicyError, match="graceTime must be a duration in quotes"):
        Wider.from_json('{"graceTime": 5}')


def test_differences_know_the_row() -> None:
    assert Wider(grace_time=2).differences(Wider(1, patience_of_tests=4)) == {
        "failureThreshold": (5, 1),
        "patienceOfTests": (3, 4),
        "graceTime": ("2s", None),
    }


def test_the_numbers_know_the_row() -> None:
    more = {"patience_of_tests": 3, "grace_time_ns": 7}
    assert Wider().numbers() == {**Policy().numbers(), **more}
    assert Wider(grace_time=2).numbers()["grace_time_ns"] == 2_000_000_000


def test_schema_docstring_and_table_know_the_row() -> None:
    schema = document_schema(Wider.fields)
    Draft202012Validator(schema).validate({"patienceOfTests": 10})
    assert not Draft202012Validator(schema).is_valid({"patienceOfTests": 11})
    assert schema["properties"]["graceTime"]["description"] == "how long a test may hang; without it: none"
    if __debug__ and Wider.__doc__:
        assert "patience_of_tests: how often a test is tried (1 … 10).\n" in Wider.__doc__
    assert "| `patienceOfTests` | 1 … 10 | 3 | how often a test is tried |" in table(Wider.fields)


def test_a_row_written_into_the_source_is_all_that_python_needs(tmp_path: Path) -> None:
    package = shutil.copytree(Path(breaker.__file__).parent, tmp_path / "breaker")
    source = (package / "policies/policy.py").read_text(encoding="utf-8")
    row = '    patience_of_tests: Count = Count(default=3, most=10, means="how often a test is tried")\n\n'
    before, method, after = source.partition("    @classmethod\n    def from_json")
    (package / "policies/policy.py").write_text(before + row + method + after, encoding="utf-8")
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import breaker
from breaker.sources import MemorySource
assert breaker.__file__.startswith({str(tmp_path)!r})
assert breaker.Policy(patience_of_tests=4).to_json().endswith(b'"patienceOfTests": 4}}')
assert breaker.policies.schema()["properties"]["patienceOfTests"]["maximum"] == 10
source, heard = MemorySource(), []
with breaker.Provider(breaker.get_default_config("svc", "dev"), policy_source=source) as provider:
    x = provider.get_breaker("x")
    provider.subscribe(heard.append)
    source.put("x", {{"patienceOfTests": 7}})
    assert x.policy.patience_of_tests == 7 and x.do(int) == 0
    (updated,) = heard
    print(updated.old.differences(updated.new))
"""
    assert run_python(program).strip() == "{'patienceOfTests': (3, 7)}"


# -- no second place --


def lines_with(name: str, key: str) -> list[tuple[str, str]]:
    """The lines of the sources that name a field, with their files."""
    word = re.compile(rf"\b({name}(_ns)?|{key})\b")
    files = sorted({*SRC.rglob("*.py"), *SRC.rglob("*.pyi"), *MACHINE})
    return [
        (file.relative_to(SRC).as_posix(), line.strip())
        for file in files
        for line in file.read_text(encoding="utf-8").splitlines()
        if word.search(line)
    ]


@pytest.mark.parametrize("name", Policy.fields)
def test_a_field_is_named_in_its_row_the_struct_and_the_rules(name: str) -> None:
    kind, key = type(Policy.fields[name]).__name__, Policy.fields[name].key
    machine = {file.relative_to(SRC).as_posix() for file in MACHINE}
    found = [(file, line) for file, line in lines_with(name, key) if file.split("/")[0] not in USERS]
    if name == "mode":  # elsewhere the word means the overlay, which an operator sets without a policy
        found = [(file, line) for file, line in found if file.startswith("policies/") or file in machine]
    if name == "window":  # and this means what such a row holds, too
        found = [(file, line) for file, line in found if file in machine or line.startswith("window: ")]
        found = [(file, line) for file, line in found if not line.endswith("window: Window = held[self.name]")]
    found = [(file, line) for file, line in found if file != TOGETHER]
    in_python = [line for file, line in found if file not in machine and f'otherwise="{name}"' not in line]
    assert len(in_python) == 1, in_python
    assert re.fullmatch(rf"{name}: {kind}(\[\w+\])? = {kind}\(", in_python[0])
    member = name if name in Policy().numbers() else f"{name}_ns"
    limits = [line for line in STRUCT.splitlines() if line.split()[-1:] == [member]]
    assert len(limits) == 1, limits


def test_the_struct_has_a_member_for_each_number_and_no_other() -> None:
    assert sorted(re.findall(r"^    \w+ (\w+)$", STRUCT, flags=re.MULTILINE)) == sorted(Policy().numbers())


def test_rows_are_matched_by_name_whatever_their_order_is() -> None:
    class Forth(Record):
        __slots__ = ()
        first: Count = Count(default=1, most=9, means="first", kw_only=False)
        second: Number = Number(default=0.5, least=0, most=1, means="second")

    class Back(Record):
        __slots__ = ()
        second: Number = Number(default=0.5, least=0, most=1, means="second")
        first: Count = Count(default=1, most=9, means="first", kw_only=False)

    forth, back = Forth(7, second=0.25), Back(7, second=0.25)
    assert (forth.first, forth.second) == (back.first, back.second) == (7, 0.25)
    assert (Forth(), Back()) == (Forth(1, second=0.5), Back(1, second=0.5))
    assert (repr(forth), repr(back)) == ("Forth(7, second=0.25)", "Back(7, second=0.25)")


def test_a_row_in_place_of_a_bases_is_there_once() -> None:
    class Patient(Policy):
        __slots__ = ()
        failure_threshold: SwitchedCount = SwitchedCount(
            default=50, most=100, off="no number", means="more patience", kw_only=False
        )

    assert Patient.fields.keys() == Policy.fields.keys()
    assert (Patient().failure_threshold, Patient(7).failure_threshold) == (50, 7)
    assert document_schema(Patient.fields)["properties"]["failureThreshold"]["maximum"] == 100
    assert Policy(101).failure_threshold == 101


def test_a_constructor_of_ones_own_stays() -> None:
    class Swift(Policy):
        __slots__ = ()

        def __init__(self, seconds: float) -> None:
            super().__init__(1, 1, seconds)

    assert Swift(2.5).open_state_timeout == 2.5
    assert repr(Swift(2.5)).startswith("Swift(1, 1, 2.5, ")


# -- the constructor is a plain function --


def test_the_signature_is_that_of_the_interface() -> None:
    parameters = inspect.signature(Policy).parameters
    assert {name: parameter.default for name, parameter in parameters.items()} == {
        "failure_threshold": 5,
        "success_threshold": 2,
        "open_state_timeout": 60.0,
        "half_open_max_calls": 1,
        "probe_timeout": None,
        "mode": Mode.AUTO,
        "open_timeout_multiplier": 1.0,
        "open_timeout_max": None,
        "open_timeout_jitter": 0.0,
        "failure_rate_threshold": None,
        "slow_call_rate_threshold": None,
        "slow_call_duration": None,
        "window": Window(calls=100),
        "minimum_calls": 10,
        "recovery_time": None,
    }
    by_place = [name for name, parameter in parameters.items() if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    assert by_place == ["failure_threshold", "success_threshold", "open_state_timeout"]
    assert all(p.kind is p.KEYWORD_ONLY for name, p in parameters.items() if name not in by_place)
    assert {name: parameter.annotation for name, parameter in parameters.items()} == {
        "failure_threshold": "int | None",
        **dict.fromkeys(["success_threshold", "half_open_max_calls", "minimum_calls"], "int"),
        **dict.fromkeys(["failure_rate_threshold", "slow_call_rate_threshold"], "float | None"),
        "window": "Window",
        **dict.fromkeys(["open_timeout_multiplier", "open_timeout_jitter"], "float"),
        **dict.fromkeys(
            ["probe_timeout", "open_timeout_max", "slow_call_duration", "recovery_time"], "float | timedelta | None"
        ),
        "open_state_timeout": "float | timedelta",
        "mode": "Mode",
    }


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {"failure_treshold": 3}, r"Policy\.__init__\(\) got an unexpected keyword argument 'failure_treshold'"),
        ((1,), {"failure_threshold": 3}, r"Policy\.__init__\(\) got multiple values for argument 'failure_threshold'"),
        ((1, 2, 3, 4), {}, r"Policy\.__init__\(\) takes from 1 to 4 positional arguments but 5 were given"),
    ],
)
def test_a_wrong_call_is_refused_as_by_any_function(args: Any, kwargs: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Policy(*args, **kwargs)


def test_a_policy_matches_by_its_first_three() -> None:
    match Policy(3, 4, 5):
        case Policy(3, successes, open_state_timeout=seconds, mode=Mode.AUTO):
            assert (successes, seconds) == (4, 5.0)
        case _:
            pytest.fail("no match")


def test_help_shows_every_field_and_what_it_means() -> None:
    shown = run_python("import breaker; help(breaker.Policy)")
    assert "class Policy(breaker.policies.record.Record)" in shown
    shown_types = shown.replace("'int'", "int").replace(
        "'int | None'", "int | None"
    )  # before 3.14 an annotation that is text is shown as text
    assert re.search(r"Policy\([\s|]*failure_threshold: int \| None = 5,[\s|]*success_threshold: int = 2,", shown_types)
    for name, field in Policy.fields.items():
        assert len(re.findall(rf"^ \|      +{name}: {re.escape(field.means)} \(", shown, flags=re.MULTILINE)) == 1


def test_without_docstrings_nothing_is_missed() -> None:
    shown = run_python("import breaker; print(breaker.Policy.__doc__, breaker.Policy(3))", "-OO")
    assert shown.startswith("None Policy(3, 2, 60.0, half_open_max_calls=1, ")


def test_a_row_is_read_from_the_class() -> None:
    assert isinstance(Policy.failure_threshold, SwitchedCount)
    assert isinstance(Policy.success_threshold, Count)
    assert isinstance(Policy.window, Recent)
    assert isinstance(Policy.open_state_timeout, Time)
    assert isinstance(Policy.mode, Choice)
    assert Policy.open_timeout_max.unset == "10 minutes, or the open timeout if that is longer"


def test_a_pickle_is_read_by_name() -> None:
    older = pickle.dumps(Policy(3, mode=Mode.SHADOW)).replace(b"half_open_max_calls", b"half_open_max_callz")
    assert pickle.loads(older) == Policy(3, mode=Mode.SHADOW)
