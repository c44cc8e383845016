"""What integrations share, with a library that is pretended: naming, arguments, rejections, the library itself."""

import copy
import itertools
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from breaker import BreakerError, BreakerOpenError, Provider, State
from breaker.integrations._base import Naming, check_provider, rejected_as, require, retry_seconds
from support.drive import Boom, fail, rejected


class HostError(Exception):
    """The error of a library: arguments of its own, which have nothing to do with a breaker's."""

    def __init__(self, request: object, *, attempts: int) -> None:
        super().__init__(f"{request!r} failed {attempts} times")
        self.request = request
        self.attempts = attempts


class BreakerOpenHostError(BreakerOpenError, HostError):
    """What an integration of that library raises."""


def naming(provider: Provider, name: Any = None, **options: Any) -> Naming:
    return Naming(
        "HostTransport", provider, name, made_of="the request", default="its host's", one_for="all hosts", **options
    )


# Naming.


def test_the_default_names_the_breaker_where_no_name_is_given(provider: Provider) -> None:
    names = naming(provider)
    assert names.breaker_for("GET /", "host:a") is provider.breakers["host:a"]
    assert names.breaker_for("GET /", "host:b") is provider.breakers["host:b"]


def test_no_default_leaves_a_call_unprotected(provider: Provider) -> None:
    assert naming(provider).breaker_for("GET /", None) is None
    assert list(provider.breakers) == []


def test_text_names_one_breaker_for_all(provider: Provider) -> None:
    names = naming(provider, "http:billing")
    for default in ("host:a", "host:b", None):
        assert names.breaker_for("GET /", default) is provider.breakers["http:billing"]
    assert list(provider.breakers) == ["http:billing"]


def test_a_callable_gets_the_call_and_names_its_breaker(provider: Provider) -> None:
    calls: list[object] = []

    def name(call: object) -> str:
        calls.append(call)
        return "http:billing"

    call = object()
    for default in ("host:a", None):
        assert naming(provider, name).breaker_for(call, default) is provider.breakers["http:billing"]
    assert calls == [call, call]
    assert list(provider.breakers) == ["http:billing"]


def test_a_callable_that_returns_none_leaves_that_call_unprotected(provider: Provider) -> None:
    names = naming(provider, lambda call: None if call == "GET /health" else "http:billing")
    assert names.breaker_for("GET /health", "host:a") is None
    assert list(provider.breakers) == []
    assert names.breaker_for("GET /bill", "host:a") is provider.breakers["http:billing"]


def test_threads_that_name_one_breaker_get_one(provider: Provider) -> None:
    names = naming(provider, lambda call: "http:billing")
    found: list[object] = []
    together = threading.Barrier(8)

    def ask() -> None:
        together.wait(20)
        found.append(names.breaker_for("GET /", None))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [provider.breakers["http:billing"]] * 8


# Arguments.


def test_a_provider_of_the_wrong_kind() -> None:
    with pytest.raises(
        TypeError, match=r"^protect takes a breaker\.Provider, got the class Provider; pass an instance$"
    ):
        check_provider("protect", Provider)
    with pytest.raises(TypeError, match=r"^protect takes a breaker\.Provider, got NoneType$"):
        check_provider("protect", None)
    wrong: Any = "provider"
    with pytest.raises(TypeError, match=r"^HostTransport takes a breaker\.Provider, got str$"):
        naming(wrong)


@pytest.mark.parametrize("name", [5, b"http:billing", ["http:billing"], object()], ids=lambda name: type(name).__name__)
def test_a_name_of_the_wrong_kind_is_answered_with_the_right_ones(provider: Provider, name: Any) -> None:
    with pytest.raises(TypeError) as caught:
        naming(provider, name)
    assert str(caught.value) == (
        "name= of HostTransport must be a callable that makes a breaker's name of the request, the name of one breaker "
        f"for all hosts, or None for its host's; got {type(name).__name__}"
    )
    with pytest.raises(TypeError) as caught:
        naming(provider, name, text=False)
    assert str(caught.value) == (
        "name= of HostTransport must be a callable that makes a breaker's name of the request, or None for its host's; "
        f"got {type(name).__name__}"
    )


def test_text_where_it_is_not_taken_is_answered_with_how_to_say_it(provider: Provider) -> None:
    with pytest.raises(TypeError, match=r"got str; for one breaker for all hosts: name=lambda details: 'http:x'$"):
        naming(provider, "http:x", text=False)
    assert list(provider.breakers) == []


@pytest.mark.parametrize("name", ["", "default", "x" * 256])
def test_text_that_no_breaker_can_be_called_is_refused_before_the_first_call(provider: Provider, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        naming(provider, name)


def test_a_callable_that_raises(provider: Provider) -> None:
    def name(call: object) -> str:
        raise KeyError("no such host")

    with pytest.raises(RuntimeError) as caught:
        naming(provider, name).breaker_for("GET /", "host:a")
    assert str(caught.value) == (
        "name= of HostTransport raised KeyError for host:a ('no such host'); it must return the name of a breaker, "
        "or None to leave the call unprotected"
    )
    assert isinstance(caught.value.__cause__, KeyError)
    assert list(provider.breakers) == []


def test_a_callable_that_exits_is_not_held_up(provider: Provider) -> None:
    def name(call: object) -> str:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        naming(provider, name).breaker_for("GET /", "host:a")


@pytest.mark.parametrize("returned", [5, b"x", False, ["x"]])
def test_a_callable_that_returns_no_text(provider: Provider, returned: Any) -> None:
    with pytest.raises(TypeError) as caught:
        naming(provider, lambda call: returned).breaker_for("GET /", "host:a")
    assert str(caught.value) == (
        f"name= of HostTransport must return the name of a breaker (text), got {type(returned).__name__} for host:a; "
        "None leaves the call unprotected"
    )


def test_errors_never_show_what_is_in_a_call(provider: Provider) -> None:
    hosts: dict[str, str] = {}
    for name in (lambda call: 5, lambda call: hosts["host"], lambda call: [call], lambda call: call.encode()):
        with pytest.raises((TypeError, RuntimeError), match="for a str") as caught:
            naming(provider, name).breaker_for("GET /?password=secret", None)
        assert "secret" not in str(caught.value)


def test_what_a_callable_returns_is_not_asked_for_its_text(provider: Provider) -> None:
    class Mute:
        def __repr__(self) -> str:
            raise KeyError("no text")

    with pytest.raises(TypeError, match=r"\(text\), got Mute for host:a; None leaves the call unprotected"):
        naming(provider, lambda call: Mute()).breaker_for("GET /", "host:a")


def test_a_callable_that_returns_a_name_that_no_breaker_can_have(provider: Provider) -> None:
    with pytest.raises(ValueError, match="255"):
        naming(provider, lambda call: "x" * 256).breaker_for("GET /", "host:a")


# Rejections.


FIELDS = ("name", "state", "retry_after", "reason", "last_error")


def fields(error: BreakerOpenError) -> list[object]:
    return [getattr(error, field) for field in FIELDS]


def test_a_rejection_is_the_same_in_the_librarys_class(provider: Provider) -> None:
    breaker = provider.get_breaker("http:billing")
    fail(breaker, error=Boom("down"))
    original = rejected(breaker)
    error = rejected_as(BreakerOpenHostError, original)
    assert type(error) is BreakerOpenHostError
    assert fields(error) == fields(original) == ["http:billing", State.OPEN, 60.0, "open", "Boom: down"]
    assert str(error) == str(original)
    for kind in (HostError, BreakerOpenError, BreakerError):
        with pytest.raises(kind) as caught:
            raise error
        assert caught.value is error


@pytest.mark.parametrize("twin_of", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_it_can_be_copied_and_pickled(twin_of: Callable[[Any], Any]) -> None:
    error = BreakerOpenHostError("http:billing", State.HALF_OPEN, 2.5, "half_open", "Boom: down")
    error.add_note("order 17")
    twin = twin_of(error)
    assert type(twin) is BreakerOpenHostError
    assert fields(twin) == fields(error)
    assert twin.__notes__ == ["order 17"]


def test_a_rejection_of_one_library_becomes_that_of_another() -> None:
    class Outer(BreakerOpenError, RuntimeError):
        pass

    inner = BreakerOpenHostError("http:billing", State.OPEN, 1.0, "operator")
    outer = rejected_as(Outer, inner)
    assert fields(outer) == fields(inner)
    assert not isinstance(outer, HostError)


UNBOUNDED = [(9.3e9, 2**31 - 1), (float("inf"), 2**31 - 1), (float("nan"), 1)]


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [(0.0, 1), (1e-9, 1), (0.4, 1), (1.0, 1), (1.000001, 2), (59.94, 60), (60.0, 60), (3e6, 3_000_000), *UNBOUNDED],
)
def test_retry_after_in_whole_seconds_is_rounded_up(retry_after: float, seconds: int) -> None:
    found = retry_seconds(BreakerOpenError("http:billing", State.OPEN, retry_after))
    assert found == seconds
    assert type(found) is int


def test_retry_after_of_a_breaker_that_an_operator_opened(provider: Provider) -> None:
    breaker = provider.get_breaker("http:billing")
    breaker.force_open()
    assert retry_seconds(rejected(breaker)) >= 1


# The library.

NUMBERS = itertools.count()  # a module of a name that was imported once is never read again


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """``library(version, text)``: an installed library with that version in its metadata; returns its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(version: str | None, text: str = "") -> str:
        name = f"hostlib_{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(text)
        if version is not None:
            information = tmp_path / f"{name}-{version}.dist-info"
            information.mkdir()
            (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        return name

    return install


@pytest.mark.parametrize("version", ["1.4", "1.4.0", "1.4rc1", "1.4.1.dev3", "1.10", "2", "10.0", "2.0+local"])
def test_a_library_that_is_new_enough_is_imported(library: Callable[..., str], version: str) -> None:
    for name in (library(version), library(None, f"__version__ = {version!r}")):
        assert require(name, oldest=(1, 4), integration="host").__name__ == name


@pytest.mark.parametrize("version", ["1.3", "1.3.99", "1", "0.9.1", "1.3rc2"])
def test_a_library_that_is_too_old_is_refused(library: Callable[..., str], version: str) -> None:
    for name in (library(version), library(None, f"__version__ = {version!r}")):
        with pytest.raises(ImportError) as caught:
            require(name, oldest=(1, 4), integration="host")
        assert str(caught.value) == (
            f"breaker.integrations.host needs {name} 1.4 or newer, and {version} is installed; "
            f"install it with the extra host, or with: pip install '{name}>=1.4'"
        )
        assert caught.value.name == name


def test_a_module_may_be_called_otherwise_than_its_package(library: Callable[..., str]) -> None:
    module = library(None, "__version__ = '1.3'")
    with pytest.raises(ImportError, match=r"needs Host-Lib 1\.4 or newer, and 1\.3 is installed") as caught:
        require("Host-Lib", oldest=(1, 4), integration="host", module=module)
    assert caught.value.name == module


@pytest.mark.parametrize("text", ["", "__version__ = 'unknown'", "__version__ = (1, 3)"])
def test_a_library_whose_version_cannot_be_read_is_taken(library: Callable[..., str], text: str) -> None:
    assert require(library(None, text), oldest=(1, 4), integration="host")


def test_a_library_that_is_missing_or_broken_is_named_with_what_installs_it(library: Callable[..., str]) -> None:
    with pytest.raises(ImportError) as caught:
        require("no-such-host", oldest=(1, 4, 2), integration="host", module="no_such_host")
    assert str(caught.value) == (
        "breaker.integrations.host needs no-such-host 1.4.2 or newer, which cannot be imported here "
        "(No module named 'no_such_host'); install it with the extra host, or with: pip install 'no-such-host>=1.4.2'"
    )
    assert caught.value.name == "no_such_host"
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    broken = library("1.4", "raise ImportError('its own library is missing')")
    with pytest.raises(
        ImportError, match=r"cannot be imported here \(its own library is missing\); install it with the extra host, or"
    ):
        require(broken, oldest=(1, 4), integration="host")
