"""Documents written and listed by tools: validated before, and never over somebody else's change."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from breaker import Policy
from breaker.errors import PolicyError, RevisionConflict, SourceError, Unreachable
from breaker.sources import EtcdSource
from support.etcd.proxy import Proxy
from support.etcd.server import Server
from support.etcd.subjects import PATH, TRANSPORTS

pytestmark = pytest.mark.every_version


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def source(server: Server, transport: str) -> EtcdSource:
    return EtcdSource(server.endpoint, transport=transport, policies_path=PATH)


@pytest.mark.parametrize(
    "document",
    [Policy(3), {"failureThreshold": 3}, '{"failureThreshold": 3}', b'{"failureThreshold": 3}'],
    ids=["policy", "mapping", "text", "bytes"],
)
def test_put_list_delete(server: Server, source: EtcdSource, document: Any) -> None:
    assert source.list() == {}
    revision = source.put("/pkg.Service/Method", document)
    assert revision == server.api.revision()
    (key,) = server.api.documents(PATH)
    assert key == "%2Fpkg.Service%2FMethod.json"
    stored = source.list()["/pkg.Service/Method"]
    assert (stored.policy, stored.revision, stored.error) == (Policy(3), revision, None)
    assert stored.document == server.api.documents(PATH)[key]
    assert source.delete("/pkg.Service/Method")
    assert not source.delete("/pkg.Service/Method")
    assert server.api.documents(PATH) == {}


def test_the_default_of_all_others(server: Server, source: EtcdSource) -> None:
    source.put("default", {"failureThreshold": 4})
    assert server.api.documents(PATH) == {"default.json": b'{"failureThreshold": 4}'}
    assert list(source.list()) == ["default"]
    assert source.delete("default")


@pytest.mark.parametrize(
    "document",
    [{"failureThreshold": 0}, '{"failureThres', {"openStateTimeout": 60}, {"failureTreshold": 3}, b"\xff", "[]"],
)
def test_what_is_no_policy_is_never_written(server: Server, source: EtcdSource, document: Any) -> None:
    before = server.api.revision()
    with pytest.raises(PolicyError) as caught:
        source.put("name", document)
    assert str(caught.value).startswith(f"{PATH}name.json: ")
    assert server.api.revision() == before


def test_a_wrong_name_or_kind_is_refused(server: Server, source: EtcdSource) -> None:
    before = server.api.revision()
    wrong: list[tuple[Any, type[Exception]]] = [
        ("", ValueError),
        ("x" * 256, ValueError),
        (None, TypeError),
        (b"name", TypeError),
    ]
    for name, error in wrong:
        for write in (lambda name=name: source.put(name, Policy()), lambda name=name: source.delete(name)):
            with pytest.raises(error):
                write()
    with pytest.raises(TypeError):
        source.put("name", 3)  # type: ignore[arg-type]
    assert server.api.revision() == before


def test_expected_revisions(server: Server, source: EtcdSource) -> None:
    first = source.put("name", Policy(2), expected_revision=0)
    with pytest.raises(RevisionConflict) as caught:
        source.put("name", Policy(3), expected_revision=0)
    assert (caught.value.name, caught.value.expected, caught.value.found) == ("name", 0, first)
    second = source.put("name", Policy(3), expected_revision=first)
    server.api.put(f"{PATH}other.json", "{}")  # of another key: no conflict
    for write in (
        lambda: source.put("name", Policy(4), expected_revision=first),
        lambda: source.delete("name", expected_revision=first),
        lambda: source.delete("absent", expected_revision=second),
        lambda: source.put("absent", Policy(), expected_revision=second),
    ):
        with pytest.raises(RevisionConflict):
            write()
    assert source.list()["name"].policy == Policy(3)
    assert source.delete("name", expected_revision=second)
    assert not source.delete("name", expected_revision=0)


def test_of_writers_who_read_the_same_one_wins(server: Server, source: EtcdSource) -> None:
    revision = source.put("name", Policy(1))

    def write(number: int) -> int | RevisionConflict:
        try:
            return source.put("name", Policy(number), expected_revision=revision)
        except RevisionConflict as conflict:
            return conflict

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(write, range(2, 18)))
    (winner,) = [result for result in results if isinstance(result, int)]
    assert source.list()["name"].revision == winner
    assert {result.found for result in results if isinstance(result, RevisionConflict)} == {winner}


def test_a_list_shows_bad_documents_and_no_foreign_keys(server: Server, source: EtcdSource) -> None:
    for key in ("below/x.json", "x.yaml", "%zz.json"):
        server.api.put(PATH + key, "{}")
    server.api.put(PATH.encode() + b"\xff.json", "{}")
    server.api.put(f"{PATH}bad.json", '{"failureThreshold": "5"}')
    server.api.put(f"{PATH}good.json", '{"failureThreshold": 6}')
    stored = source.list()
    assert sorted(stored) == ["bad", "good"]
    assert stored["good"].policy == Policy(6)
    assert stored["bad"].policy is None
    assert "write 5 without quotes" in (stored["bad"].error or "")


def test_the_first_member_that_answers_is_written_to(server: Server, proxy: Proxy, transport: str) -> None:
    proxy.refuse()
    source = EtcdSource([proxy.endpoint, server.endpoint], transport=transport, policies_path=PATH)
    source.put("name", Policy(3))
    assert source.list()["name"].policy == Policy(3)


def test_errors_say_where_and_why(proxy: Proxy, transport: str) -> None:
    proxy.refuse()
    source = EtcdSource(proxy.endpoint, transport=transport, policies_path=PATH)
    for work in (source.list, lambda: source.put("name", Policy()), lambda: source.delete("name")):
        with pytest.raises(SourceError, match=f"{proxy.endpoint}.*check the endpoint") as caught:
            work()
        assert (type(caught.value), caught.value.endpoint) == (Unreachable, f"http://{proxy.endpoint}")
    with pytest.raises(ValueError, match="pass policies_path= to EtcdSource"):
        EtcdSource(proxy.endpoint, transport=transport).list()
