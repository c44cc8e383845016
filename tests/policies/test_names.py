"""Names of breakers, and the keys of their documents."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breaker import Provider
from breaker.policies.names import document_key, document_name

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)

KEYS = {
    "grpc:user-service": "grpc:user-service.json",
    "http:payment-api": "http:payment-api.json",
    "/pkg.Service/Method": "%2Fpkg.Service%2FMethod.json",
    "a/b": "a%2Fb.json",
    "100%": "100%25.json",
    "%2F": "%252F.json",
    "a b": "a b.json",
    " ": " .json",
    ".": "%2E.json",
    "..": "%2E..json",
    "../x": "%2E.%2Fx.json",
    ".hidden": "%2Ehidden.json",
    "a.b": "a.b.json",
    "default.json": "default.json.json",
    "Default": "Default.json",
    "default ": "default .json",
    "x.json": "x.json.json",
    "Zürich→東京": "Zürich→東京.json",
    "e\u0301": "e\u0301.json",  # not the same as é: names are compared as they are
    "\\": "\\.json",
    "a\nb": "a%0Ab.json",
    "\x00": "%00.json",
    "\x1f\x7f": "%1F%7F.json",
    "\x85": "%C2%85.json",
    "\xa0": "\xa0.json",
    "\u2028": "\u2028.json",
    "\U0001f600": "\U0001f600.json",
}


# -- names --


@pytest.fixture
def provider(provider_of: Callable[..., Provider]) -> Provider:
    return provider_of()


@pytest.mark.parametrize("name", [*KEYS, "x" * 255, "é" * 127 + "x", "東" * 85, "\U0001f600" * 63 + "xyz"])
def test_a_name_is_any_text_of_at_most_255_bytes(provider: Provider, name: str) -> None:
    # S121
    made = provider.get_breaker(name)
    assert made.name == name
    assert provider.get_breaker(name) is made
    assert list(provider.breakers) == [name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "a breaker's name must not be empty; name what it protects, like 'grpc:user-service'"),
        ("default", "no breaker may be named 'default': default.json holds the policy of all others; "),
        ("x" * 256, "a breaker's name must be at most 255 bytes of UTF-8, got 256"),
        ("é" * 128, "a breaker's name must be at most 255 bytes of UTF-8, got 256"),
        ("東" * 85 + "x", "a breaker's name must be at most 255 bytes of UTF-8, got 256"),
        ("x" * 300, "a breaker's name must be at most 255 bytes of UTF-8, got 300"),
        ("\ud800", "a breaker's name must be encodable as UTF-8, got '\\ud800'"),
        ("a\udcffb", "a breaker's name must be encodable as UTF-8, got 'a\\udcffb'"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_a_wrong_name_is_a_value_error(provider: Provider, name: str, message: str) -> None:
    # S121
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        provider.get_breaker(name)
    assert str(caught.value).startswith(message)
    assert len(provider.breakers) == 0


@pytest.mark.parametrize("name", [None, 5, b"name", True, ["name"], ("name",), {}, object], ids=repr)
def test_a_name_that_is_no_text_is_a_type_error(provider: Provider, name: Any) -> None:
    # S121
    with pytest.raises(TypeError, match="a breaker's name must be text like 'grpc:user-service', got "):
        provider.get_breaker(name)
    assert len(provider.breakers) == 0


def test_a_name_of_a_text_type_of_ones_own_is_kept_as_plain_text(provider: Provider) -> None:
    class Name(str):
        __slots__ = ()

    made = provider.get_breaker(Name("a"))
    assert type(made.name) is str
    assert [type(name) for name in provider.breakers] == [str]
    assert provider.get_breaker("a") is made


# -- keys --


@pytest.mark.parametrize(("name", "key"), KEYS.items(), ids=lambda value: ascii(value))
def test_the_key_of_a_name_and_back(name: str, key: str) -> None:
    # S122
    assert document_key(name) == key
    assert document_name(key) == name


@pytest.mark.parametrize(
    "key",
    [
        *("", ".json", "x", "x.JSON", "x.json ", "x.json.bak", "json", "x.jsonc"),  # not a document
        *("%.json", "%2.json", "%2", "a%.json", "%zz.json", "% 1.json", "%+1.json", "%٣٣.json"),  # no escape
        *("%2f.json", "%41.json", "%2e.json", "%20.json", "%64efault.json", "%E2%82%AC.json"),  # not how we escape
        *("%FF.json", "%C2.json", "%ED%A0%80.json", "%C0%AF.json"),  # no UTF-8
        *("a/b.json", "/x.json", "a\nb.json", "a\x85b.json", "a\udcff.json", ".x.json", "..json"),  # not escaped
        *("a%2Eb.json", "%2E%2E.json"),  # only a dot at the beginning is
    ],
    ids=lambda key: ascii(key),
)
def test_what_is_no_key_of_a_name(key: str) -> None:
    # S122
    assert document_name(key) is None


@given(names)
def test_any_name_comes_back_from_its_key(name: str) -> None:
    # S122
    key = document_key(name)
    assert document_name(key) == name
    assert key.endswith(".json")
    assert "/" not in key
    assert not key.startswith(".")
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in key)


@given(names, names)
def test_two_names_have_two_keys(one: str, other: str) -> None:
    # S122
    assert (document_key(one) == document_key(other)) == (one == other)


@given(st.text(st.characters(exclude_categories=[]), max_size=20), st.sampled_from([".json", ""]))
def test_any_text_is_the_key_of_one_name_or_of_none(text: str, suffix: str) -> None:
    # S122
    name = document_name(text + suffix)
    assert name is None or document_key(name) == text + suffix


@given(st.text(alphabet="%/0123456789ABCDEFabcdef.\x7f", max_size=12))
def test_texts_of_escapes_are_keys_of_one_name_or_of_none(text: str) -> None:
    # S122
    name = document_name(text + ".json")
    assert name is None or document_key(name) == text + ".json"
    assert not text or document_name(document_key(text)) == text
