"""The end of the interpreter is silent and quick, in every state of the connection."""

import time

import pytest

from support.etcd.ports import HOST, free_ports, unanswered
from support.etcd.server import Server
from support.etcd.subjects import PATH, TRANSPORTS
from support.processes import run_python

PROGRAM = """
import time
from breaker import Provider, get_default_config
from breaker.sources import EtcdSource
source = EtcdSource({endpoint!r}, transport={transport!r})
provider = Provider(get_default_config("svc", "dev"), policy_source=source, start_timeout=1)
provider.get_breaker("a").do(print, provider.get_breaker("a").policy.failure_threshold)
{rest}
"""


def run(endpoint: str, transport: str, rest: str = "") -> str:
    began = time.monotonic()
    printed = run_python(PROGRAM.format(endpoint=endpoint, transport=transport, rest=rest))
    assert time.monotonic() - began < 12
    return printed


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    "rest",
    [
        "",
        "provider.close()",
        "del provider",
        "time.sleep(0.5)",
        "import sys; sys.exit(0)",
        "import os; os.fork() or os._exit(0)",
    ],
    ids=["not closed", "closed", "dropped", "later", "exit", "after a fork"],
)
def test_connected(server: Server, transport: str, rest: str) -> None:
    server.api.put(f"{PATH}a.json", '{"failureThreshold": 3}')
    assert run(server.endpoint, transport, rest) == "3\n"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_in_the_middle_of_changes(server: Server, transport: str) -> None:
    rest = (
        "for number in range(50):\n"
        "    source.put('a', {'failureThreshold': number + 1})\n"
        "provider.subscribe(lambda event: time.sleep(0.01))"
    )
    assert run(server.endpoint, transport, rest) == "5\n"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_away(transport: str) -> None:
    assert run(f"{HOST}:{free_ports(1)[0]}", transport) == "5\n"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_connecting(transport: str) -> None:
    with unanswered() as endpoint:
        assert run(endpoint, transport) == "5\n"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_hung(server: Server, transport: str) -> None:
    server.pause()
    assert run(server.endpoint, transport) == "5\n"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_two_providers_and_an_exit_handler(server: Server, transport: str) -> None:
    rest = (
        "import atexit\n"
        "other = Provider(get_default_config('other', 'dev'), policy_source=source)\n"
        "atexit.register(lambda: print(other.get_breaker('b').do(lambda: 'still works')))"
    )
    assert run(server.endpoint, transport, rest) == "5\nstill works\n"
