"""``python -m breaker demo`` with documents of the user's: used, obeyed when they change, and never overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.demo import CHANGED, DOCUMENTS, INVENTORY, PRICING, UPDATED, Output
from support.etcd.ports import free_ports
from support.etcd.server import Server
from support.shell import in_a_process, launched, read_until


@pytest.fixture(autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of runs go to where the demo is started."""
    monkeypatch.chdir(tmp_path_factory.mktemp("pictures"))


def test_policies_of_the_user_are_used_and_kept(tmp_path: Path) -> None:
    documents = tmp_path / DOCUMENTS
    documents.mkdir(parents=True)
    own = b'{"failureThreshold": 3, "openStateTimeout": "700ms"}'
    (documents / f"{INVENTORY}.json").write_bytes(own)
    with launched("demo", "--seconds", "4", "--policies", str(tmp_path)) as process:
        text = read_until(process, "circuit breaker created")
        # Somebody else's edit while it runs is obeyed as well.
        (documents / f"{PRICING}.json").write_text('{"successThreshold": 9}')
        rest, errors = process.communicate(timeout=50)
    assert (process.returncode, errors) == (0, "")
    output = Output.of(text + rest)
    opened = next(line for line in output.log if line["msg"] == CHANGED)
    assert opened["failures"] == 3
    assert "openStateTimeout 700ms -> " in output.table
    assert f"{PRICING}: successThreshold 2 -> 9" in output.table
    assert (documents / f"{INVENTORY}.json").read_bytes() == own
    assert sorted(file.name for file in documents.iterdir()) == [
        "default.json",
        f"{INVENTORY}.json",
        f"{PRICING}.json",
    ]


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"failureRateThreshold": 0.5, "window": {"time": "2s"}}, "failure_rate"),
        ({"slowCallRateThreshold": 0.2, "slowCallDuration": "150ms", "window": {"calls": 20}}, "slow_call_rate"),
    ],
    ids=["failure rate", "slow calls"],
)
def test_a_policy_of_the_user_may_have_any_trip_rule(tmp_path: Path, rule: dict[str, object], reason: str) -> None:
    # S205
    documents = tmp_path / DOCUMENTS
    documents.mkdir(parents=True)
    own = json.dumps({"failureThreshold": None, "minimumCalls": 8, "recoveryTime": "200ms", **rule})
    (documents / "default.json").write_text(own)
    done = in_a_process("demo", "--seconds", "4", "--policies", str(tmp_path))
    assert (done.code, done.err) == (0, "")
    output = Output.of(done.out)
    opened = [line for line in output.log if line["msg"] == CHANGED and line["to"] == "OPEN"]
    assert reason in {line["reason"] for line in opened}
    assert f"{PRICING}: failureThreshold None -> 5" in output.table
    assert (documents / "default.json").read_text() == own


def test_a_demo_whose_breaker_rejects_none_says_so(tmp_path: Path) -> None:
    documents = tmp_path / DOCUMENTS
    documents.mkdir(parents=True)
    (documents / "default.json").write_text('{"mode": "shadow"}')
    done = in_a_process("demo", "--seconds", "2", "--policies", str(tmp_path))
    assert (done.code, done.err) == (0, "")
    assert "while it failed: its breaker rejected none." in Output.of(done.out).table


def test_a_broken_document_of_the_user_is_reported_and_left_alone(tmp_path: Path) -> None:
    documents = tmp_path / DOCUMENTS
    documents.mkdir(parents=True)
    (documents / f"{INVENTORY}.json").write_text('{"failureThreshold": ')
    done = in_a_process("demo", "--seconds", "2", "--policies", str(tmp_path))
    assert (done.code, done.err) == (0, "")
    messages = [line["msg"] for line in Output.of(done.out).log]
    assert "circuit breaker policy rejected" in messages
    assert "demo: the policy stays as it is" in messages
    assert (documents / f"{INVENTORY}.json").read_text() == '{"failureThreshold": '


def test_policies_in_etcd_are_used_and_kept(tmp_path: Path) -> None:
    with Server(tmp_path) as etcd:
        etcd.api.put(f"/{DOCUMENTS}/default.json", '{"failureThreshold": 4}')
        done = in_a_process("demo", "--seconds", "4", "--etcd", etcd.endpoint)
        assert (done.code, done.err) == (0, "")
        output = Output.of(done.out)
        assert ("CLOSED", "OPEN") in output.transitions(INVENTORY)
        assert [line["changed"] for line in output.log if line["msg"] == UPDATED and line["name"] == PRICING] == [
            {"failureThreshold": [4, 8]}
        ]
        assert etcd.api.documents(f"/{DOCUMENTS}/")["default.json"] == b'{"failureThreshold": 4}'


def test_an_etcd_that_is_not_there_ends_the_demo_with_one_line() -> None:
    done = in_a_process("demo", "--etcd", f"127.0.0.1:{free_ports(1)[0]}")
    assert done.code == 3
    assert done.out == ""
    (line,) = done.err.splitlines()
    assert line.startswith("breaker demo: error: cannot connect to etcd at")


def test_policies_are_in_files_or_in_etcd(tmp_path: Path) -> None:
    done = in_a_process("demo", "--etcd", "127.0.0.1:1", "--policies", str(tmp_path))
    assert done.code == 2
    assert "not allowed with argument" in done.err
