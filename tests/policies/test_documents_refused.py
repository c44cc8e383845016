"""A policy as a JSON document: what is refused, key by key and as a whole, and how refusals read."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breaker import Policy, PolicyError
from breaker.policies.documents import MAX_DEPTH, MAX_DOCUMENT_BYTES
from support.drive import document
from support.policy_values import (
    COUNTS,
    COUNTS_REFUSED,
    MODES_REFUSED,
    NUMBERS,
    NUMBERS_REFUSED,
    RATIOS,
    SWITCHED,
    TIMES,
    TIMES_REFUSED,
    with_value,
)


def refusal(text: Any) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        Policy.from_json(text)
    return caught.value


def read_or_refused(text: Any) -> Policy | str:
    try:
        return Policy.from_json(text)
    except PolicyError as error:
        return str(error)


# -- by key --


@pytest.mark.parametrize("key", ["failureThreshold", "openTimeoutMultiplier", "mode"])
@pytest.mark.parametrize(
    "misspelt", [str.upper, str.title, lambda key: f"_{key}", lambda key: "-".join(key), lambda key: f"{key}_"]
)
def test_a_key_that_is_another_but_for_case_or_strokes_is_refused(key: str, misspelt: Callable[[str], str]) -> None:
    # S125
    error = refusal(document(**{misspelt(key): 1}))
    assert (error.field, error.hint) == (misspelt(key), f"rename it to {key}")
    assert f"must be written {key}, got a misspelt key" in str(error)
    assert str(refusal(document(**{misspelt(key): 1, "newer": 2}))) == str(error)


def test_a_misspelt_key_is_refused_beside_the_right_one_too() -> None:
    # S125
    error = refusal(document(failureThreshold=3, failure_threshold=4))
    assert str(error) == (
        "failure_threshold must be written failureThreshold, got a misspelt key; rename it to failureThreshold"
    )


@pytest.mark.parametrize("key", COUNTS)
@pytest.mark.parametrize("value", COUNTS_REFUSED, ids=lambda value: value[:20])
def test_a_count_is_a_whole_number_in_its_range(key: str, value: str) -> None:
    # S126
    if value == "null" and key in SWITCHED:
        return  # S218
    message = str(refusal(with_value(key, value)))
    assert message.startswith(f"{key} must be a whole number from 1 to {COUNTS[key]}, got ")
    assert len(message) < 200


def test_a_count_may_be_at_its_limit_and_not_over_it() -> None:
    for key, limit in COUNTS.items():
        Policy.from_json(document(**{key: limit}))
        assert refusal(document(**{key: limit + 1})).field == key


@pytest.mark.parametrize("key", TIMES)
@pytest.mark.parametrize("value", TIMES_REFUSED, ids=lambda value: value[:20])
def test_a_time_is_a_duration_in_quotes_longer_than_0(key: str, value: str) -> None:
    # S126
    if value == "null" and key in SWITCHED:
        return  # S218
    message = str(refusal(with_value(key, value)))
    assert message.startswith(f"{key} must be a duration ")
    assert 'write "' in message
    assert len(message) < 250


@pytest.mark.parametrize("value", ["60", "1.5"])
def test_a_bare_number_is_refused_with_advice_how_to_write_it(value: str) -> None:
    # S126
    assert str(refusal(with_value("openStateTimeout", value))).endswith(
        f'; write "{value}s" for seconds or "{value}ms" for milliseconds'
    )


@pytest.mark.parametrize("value", ["0", "-1", "1e999", "1" * 400])
def test_a_bare_number_that_is_no_duration_is_not_advised(value: str) -> None:
    assert str(refusal(with_value("openStateTimeout", value))).endswith('; write "60s" or "1m30s"')


@pytest.mark.parametrize("value", MODES_REFUSED)
def test_a_mode_is_one_of_the_words(value: str) -> None:
    message = str(refusal(with_value("mode", value)))
    assert message.startswith('mode must be one of "auto", "forced_open", "disabled", "shadow", got ')


@pytest.mark.parametrize(("key", "bounds"), NUMBERS.items())
@pytest.mark.parametrize("value", NUMBERS_REFUSED)
def test_a_number_has_its_range(key: str, bounds: str, value: str) -> None:
    assert str(refusal(with_value(key, value))).startswith(f"{key} must be a number from {bounds}, got ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"failureThreshold": "5"}',
            "failureThreshold must be a whole number from 1 to 2147483647, got '5' (text); write 5 without quotes",
        ),
        (
            '{"successThreshold": null}',
            "successThreshold must be a whole number from 1 to 2147483647, got null (None); write 5",
        ),
        (
            '{"openStateTimeout": 60}',
            'openStateTimeout must be a duration in quotes like "60s", got 60 (a number); '
            'write "60s" for seconds or "60ms" for milliseconds',
        ),
        (
            '{"openStateTimeout": "abc"}',
            "openStateTimeout must be a duration like \"60s\", got 'abc' (text); "
            'a number was expected at \'abc\'; write "60s" or "1m30s"',
        ),
        (
            '{"openStateTimeout": "60"}',
            "openStateTimeout must be a duration like \"60s\", got '60' (text); "
            'a unit is missing (ns, us, ms, s, m, h); write "60s" or "1m30s"',
        ),
        (
            '{"mode": "x"}',
            'mode must be one of "auto", "forced_open", "disabled", "shadow", got \'x\' (text)',
        ),
    ],
)
def test_a_refusal_names_the_key_the_expectation_and_the_remedy(text: str, message: str) -> None:
    # S126
    assert str(refusal(text)) == message


# -- as a whole --


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("", "nothing"),
        (b"", "nothing"),
        (" \n\t", "nothing"),
        ("[]", "[] (an array)"),
        ('[{"failureThreshold": 5}]', "(an array)"),
        ("null", "null (None)"),
        ("5", "5 (a number)"),
        ("true", "True (true or false)"),
        ('"text"', "'text' (text)"),
        ("nonsense", "no JSON (Expecting value"),
        ("{'failureThreshold': 5}", "no JSON (Expecting property name"),
        ('{"failureThreshold": 5', "no JSON (Expecting ',' delimiter"),
        ('{"failureThreshold": 5,}', "no JSON ("),
        ('{"failureThreshold": 5} x', "no JSON (Extra data"),
        ('{"failureThreshold": 5}{}', "no JSON (Extra data"),
        ('{"failureThreshold": 5}\0', "no JSON (Extra data"),
        ('{"failureThreshold": 05}', "no JSON ("),
        ('{"failureThreshold": +5}', "no JSON ("),
        ("{/* five */}", "no JSON ("),
        ('{"failureThreshold": NaN}', "no JSON (NaN is not JSON)"),
        ('{"comment": Infinity}', "no JSON (Infinity is not JSON)"),
        ('{"comment": -Infinity}', "no JSON (-Infinity is not JSON)"),
        ('{"comment": "\n"}', "no JSON (Invalid control character"),
        ("\ufeff\ufeff{}", "no JSON ("),
        ("\ufeff", "nothing"),
        ("{}".encode("utf-16"), "a byte that is not UTF-8 at 0"),
        ("{}".encode("utf-16-le"), "no JSON ("),
        (b'{"mode": "\xff"}', "a byte that is not UTF-8 at 10"),
        (b'{"mode": "\xed\xa0\x80"}', "a byte that is not UTF-8 at 10"),
        ("[" * 60_000, "nested at most 32 levels deep, got more levels"),
        ('{"a":' * 10_000 + "0" + "}" * 10_000, "nested at most 32 levels deep, got more levels"),
        (None, "null (None)"),
        (5, "5 (a number)"),
        ({"failureThreshold": 5}, "(an object)"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_what_is_no_json_object(text: Any, got: str) -> None:
    # S127
    error = refusal(text)
    assert str(error).startswith('the document must be a JSON object like {"failureThreshold": 5}')
    assert got in str(error)
    assert error.field is None


@pytest.mark.parametrize(
    "text",
    [
        '{"mode": "auto", "mode": "auto"}',
        '{"mode": "x", "failureThreshold": 1, "mode": "auto"}',
        '{"mode": "auto", "\\u006dode": "shadow"}',
        '{"comment": {"mode": 1, "mode": 2}}',
    ],
)
def test_a_key_that_is_there_twice(text: str) -> None:
    # S127
    message = "mode must be there once, got the same key twice in one object; delete one of the two"
    assert str(refusal(text)) == message


@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}"), ('{"]]]\\"]]": [', "]}"), ('["[[[\\\\",', "]")])
def test_a_document_may_be_nested_as_deep_and_no_deeper(begin: str, end: str) -> None:
    def nested(levels: int) -> str:
        return f'{{"failureThreshold": 3, "comment": {begin * levels} 0 {end * levels}}}'

    fitting = (MAX_DEPTH - 1) // (2 if end == "]}" else 1)
    assert Policy.from_json(nested(fitting)) == Policy(3)
    expected = 'the document must be a JSON object like {"failureThreshold": 5}, nested at most 32 levels deep'
    assert str(refusal(nested(fitting + 1))) == f"{expected}, got more levels"


def test_many_brackets_in_text_are_no_depth() -> None:
    assert Policy.from_json(document(failureThreshold=3, comment="[{" * 1000, more=[[], {}] * 100)) == Policy(3)


@pytest.mark.parametrize("tail", ['\\"' * 32_000, '""' * 32_000, "\\" * 65_000, "]" * 40 + "[" * 60_000], ids=len)
def test_depth_is_judged_in_one_pass_over_a_string_that_never_ends(tail: str) -> None:
    assert "no JSON (" in str(refusal("[" * (MAX_DEPTH // 2) + "{}," * (MAX_DEPTH // 2) + '"' + tail))


def test_depth_is_ours_to_judge_whatever_the_stack_of_json_is() -> None:
    deepest = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert "(an array)" in str(refusal(deepest))
    assert "nested" in str(refusal(f"[{deepest}]"))


def test_a_document_may_be_so_long_and_no_longer() -> None:
    # S127
    def padded(size: int) -> bytes:
        return b'{"failureThreshold": 3}'.ljust(size)

    assert Policy.from_json(padded(MAX_DOCUMENT_BYTES)) == Policy(3)
    for text in (padded(MAX_DOCUMENT_BYTES + 1), padded(MAX_DOCUMENT_BYTES + 1).decode(), b"x" * 10_000_000):
        assert str(refusal(text)) == "the document must be at most 65536 bytes long, got more"


def test_the_length_of_text_is_that_of_its_bytes() -> None:
    # S127
    text = '{"a": "%s"}' % ("é" * 32_760)
    assert len(text) < len(text.encode()) <= MAX_DOCUMENT_BYTES
    Policy.from_json(text)
    assert "bytes long" in str(refusal(text.replace("é", "€")))


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_whatever_is_given_is_a_policy_or_a_policy_error(text: bytes | str) -> None:
    assert isinstance(read := read_or_refused(text), Policy) or read.startswith("the document must be ")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from([*COUNTS, *TIMES, "mode", *NUMBERS, *RATIOS, "window"]), json_values)
def test_whatever_a_key_holds_is_its_value_or_an_error_that_names_it(key: str, value: Any) -> None:
    text = with_value(key, json.dumps(value).replace("Infinity", "1e999"))
    assert isinstance(read := read_or_refused(text), Policy) or re.match(rf"{key}(\.calls|\.time)? must be ", read)
