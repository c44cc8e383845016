"""What may stand in etcd: many keys, large ones, wrong ones, and keys of others beside and below."""

import time

import pytest

from breaker.events import PolicyRejected
from etcd.conftest import Follow, fill
from support.drive import document
from support.etcd.server import Server
from support.etcd.subjects import PATH, Subject
from support.reading import of_type
from support.watching import eventually

REJECTED = "circuit breaker policy rejected"
IGNORED = "circuit breaker policy key ignored"


def errors(subject: Subject) -> dict[str, str]:
    """The rejected documents: key without the path → what was said, each once."""
    lines = [(keys["key"].removeprefix(PATH), keys["error"]) for keys in subject.lines.of(REJECTED)]
    assert len(dict(lines)) == len(lines), lines
    return dict(lines)


BAD = {
    "malformed.json": b'{"failureThres',
    "binary.json": bytes(range(256)),
    "empty.json": b"",
    "huge.json": b'{"failureThreshold": 2, "note": "' + b"x" * 1_500_000 + b'"}',
    "array.json": b"[1]",
    "wrong.json": b'{"failureThreshold": "5"}',
    "number.json": b'{"openStateTimeout": 60}',
}


@pytest.mark.every_version
@pytest.mark.parametrize("moment", ["listed", "watched"])
def test_bad_documents_are_named_and_all_others_applied(server: Server, follow: Follow, moment: str) -> None:
    subjects = None
    if moment == "watched":
        subjects = follow(server.endpoint)
        subjects.eventually(lambda subject: subject.status.connected)
    for key, value in BAD.items():
        if len(value) < 1_000_000:
            server.api.put(PATH + key, value)
    server.api.put(PATH + "huge.json", BAD["huge.json"])
    fill(server)
    good = {key: value for key, value in server.api.documents(PATH).items() if key not in BAD}
    subjects = subjects or follow(server.endpoint, provider={"start_timeout": 10})
    subjects.eventually(lambda subject: not subject.differences(good) and len(errors(subject)) == len(BAD))
    for subject in subjects:
        said = errors(subject)
        assert set(said) == set(BAD)
        assert all(error.startswith(PATH + key) for key, error in said.items())
        assert "at most 65536 bytes" in said["huge.json"]
        assert "UTF-8" in said["binary.json"]
        assert "no JSON" in said["malformed.json"]
        assert "write 5 without quotes" in said["wrong.json"]
        assert '"60s"' in said["number.json"]
        assert subject.threshold("huge") == subject.threshold("malformed") == subject.threshold("never listed")
        assert subject.losses == []
    server.api.put(PATH + "malformed.json", '{"failureThreshold": 3}')
    subjects.eventually(lambda subject: subject.threshold("malformed") == 3)
    server.api.put(PATH + "malformed.json", "worse")
    subjects.eventually(lambda subject: len(subject.lines.of(REJECTED)) == len(BAD) + 1)
    for subject in subjects:
        assert subject.threshold("malformed") == 3
        if moment == "watched":  # listeners of a provider that is being made hear nothing yet
            assert len(of_type(subject.heard, PolicyRejected)) == len(BAD) + 1


def test_keys_of_others_beside_and_below_are_left_alone(server: Server, follow: Follow) -> None:
    beside = PATH.rstrip("/")
    foreign: list[str | bytes] = [
        beside,
        f"{beside}-old/name-00.json",
        f"{beside}.json",
        f"{beside}0",
        f"{PATH}below/name-00.json",
        f"{PATH}name-00.json/more",
        f"{PATH}name-00",
        f"{PATH}name-00.yaml",
        PATH,
        "/config/dev/svc/",
        "/config/dev/sv/breakers/name-00.json",
        PATH.encode() + b"\xff\xfe",
    ]
    for key in foreign:
        server.api.put(key, '{"failureThreshold": 666}')
    subjects = follow(server.endpoint, ["name-00", "never listed"], traffic=False)
    server.api.put(f"{PATH}name-01.json", '{"failureThreshold": 3}')
    subjects.eventually(lambda subject: subject.threshold("name-01") == 3)
    for key in foreign:
        server.api.put(key, '{"failureThreshold": 667}')
        server.api.delete(key)
    server.api.put(f"{PATH}name-01.json", '{"failureThreshold": 4}')
    subjects.eventually(lambda subject: subject.threshold("name-01") == 4)
    for subject in subjects:
        assert {name: subject.threshold(name) for name in ("name-00", "never listed")} == {
            "name-00": 5,
            "never listed": 5,
        }
        assert subject.lines.of(IGNORED) == subject.lines.of(REJECTED) == subject.losses == []


def test_keys_that_no_breaker_can_have_are_warned_about_once(server: Server, follow: Follow) -> None:
    names: list[bytes] = [b"a%2fb.json", b"50%.json", b".json", b"\xff.json", b"%64efault.json"]
    for name in names:
        server.api.put(PATH.encode() + name, '{"failureThreshold": 666}')
    subjects = follow(server.endpoint, traffic=False)
    for threshold in (3, 4):
        for name in names:
            server.api.put(PATH.encode() + name, document(failureThreshold=threshold))
        server.api.put(f"{PATH}name-01.json", document(failureThreshold=threshold))
        subjects.eventually(lambda subject, threshold=threshold: subject.threshold("name-01") == threshold)
    server.restart()
    server.api.put(f"{PATH}name-01.json", '{"failureThreshold": 5}')
    subjects.eventually(lambda subject: subject.threshold("name-01") == 5)
    for subject in subjects:
        warned = sorted(keys["key"].removeprefix(PATH) for keys in subject.lines.of(IGNORED))
        assert warned == sorted([r"\xff.json", "%64efault.json", ".json", "50%.json", "a%2fb.json"])


@pytest.mark.parametrize("name", ["/pkg.Service/Method", "50%", "naïve ☃", "..", "a b", "x" * 255])
def test_a_name_of_any_kind_has_its_document(server: Server, follow: Follow, name: str) -> None:
    from breaker.policies.names import document_key

    subjects = follow(server.endpoint, [name], traffic=False)
    server.api.put(PATH + document_key(name), '{"failureThreshold": 2}')
    subjects.eventually(lambda subject: subject.threshold(name) == 2)
    for subject in subjects:
        subject.source.put(name, {"failureThreshold": 3})
        subjects.eventually(lambda each: each.threshold(name) == 3)
        policy = subject.source.list()[name].policy
        assert policy is not None
        assert policy.failure_threshold == 3
        server.api.put(PATH + document_key(name), '{"failureThreshold": 2}')
        subjects.eventually(lambda each: each.threshold(name) == 2)


@pytest.mark.filterwarnings("ignore:the provider of:RuntimeWarning")  # of more than 1,000 breakers
@pytest.mark.alone
@pytest.mark.every_version
@pytest.mark.timeout(120)
def test_ten_thousand_keys(server: Server, follow: Follow) -> None:
    names = [f"many-{number:05}" for number in range(10_000)]
    for first in range(0, len(names), 100):  # a transaction has at most 128 operations
        server.api.transaction(
            (f"{PATH}{name}.json", b'{"failureThreshold": 7}') for name in names[first : first + 100]
        )
    began = time.monotonic()
    subjects = follow(server.endpoint, names[::100], provider={"start_timeout": 30})
    subjects.record("10,000 keys: both providers made, seconds", round(time.monotonic() - began, 2))
    subjects.converge(server.api, 10)
    server.api.put(f"{PATH}many-05000.json", '{"failureThreshold": 8}')
    put = time.monotonic()
    subjects.eventually(lambda subject: subject.threshold("many-05000") == 8, 5)
    subjects.record("10,000 keys: one put, seconds", round(time.monotonic() - put, 3))
    server.kill()
    server.start()
    subjects.converge(server.api, 6, "10,000 keys, killed")
    server.api.delete_below(PATH)
    subjects.converge(server.api, 20)
    for subject in subjects:
        assert len(subject.losses) <= 1


@pytest.mark.every_version
def test_a_listing_larger_than_grpc_takes_by_itself(server: Server, follow: Follow) -> None:
    """Eight documents of 1.4 MB, each refused for its size, and the policies among them."""
    for number in range(8):
        server.api.put(f"{PATH}large-{number}.json", b"x" * 1_400_000)
    fill(server)
    good = {key: value for key, value in server.api.documents(PATH).items() if not key.startswith("large")}
    subjects = follow(server.endpoint, provider={"start_timeout": 20})
    subjects.eventually(lambda subject: not subject.differences(good))
    for subject in subjects:
        assert len(errors(subject)) == 8
        assert subject.losses == []


def test_more_keys_than_are_allowed_are_refused_and_less_taken_again(server: Server, follow_filled: Follow) -> None:
    subjects = follow_filled(server.endpoint, traffic=False, max_documents=40)
    server.api.transaction((f"{PATH}more-{number}.json", b"{}") for number in range(20))
    server.restart()
    said = "51 keys below /config/dev/svc/breakers/, more than max_documents=40"
    subjects.eventually(lambda subject: any(said in loss["error"] for loss in subject.losses), 20)
    for number in range(20):
        server.api.delete(f"{PATH}more-{number}.json")
    subjects.converge(server.api, 15)
    eventually(lambda: all(subject.returns for subject in subjects))


def test_deleting_a_key_that_is_no_text_takes_no_policy_away(server: Server, follow: Follow) -> None:
    """A key that is no UTF-8 is not confused with the one that it looks like when it is shown."""
    subjects = follow(server.endpoint, ["\ufffd"], traffic=False)
    for subject in subjects:
        server.api.put(PATH.encode() + b"\xff.json", '{"failureThreshold": 666}')
        server.api.put(f"{PATH}\ufffd.json", '{"failureThreshold": 3}')
        server.api.delete(PATH.encode() + b"\xff.json")
        server.api.put(f"{PATH}after.json", '{"failureThreshold": 4}')
        subjects.eventually(lambda each: each.threshold("after") == 4)
        assert subject.threshold("\ufffd") == 3
        server.api.delete_below(PATH)
