"""Programs that gevent has patched, in processes of their own: over either transport, and what gRPC needs for that."""

import pytest

from support.etcd.server import Server
from support.etcd.subjects import PATH
from support.libraries import MISSING
from support.processes import FREE_THREADED, run_python

pytestmark = [
    pytest.mark.skipif("gevent" in MISSING, reason="comes with the extra `test`, without it with `test-core`"),
    pytest.mark.timeout(90),
]

FOLLOWS = """
import gevent
from breaker import Provider
from breaker.sources import EtcdSource
from breaker import Config

source = EtcdSource({endpoint!r}, transport={transport!r})
ticks = []
def tick():
    while True:
        ticks.append(1)
        gevent.sleep(0.01)
gevent.spawn(tick)
with Provider(Config("svc", {path!r}), policy_source=source) as provider:
    breaker = provider.get_breaker("a")
    assert breaker.policy.failure_threshold == 7, provider.source_status
    EtcdSource({endpoint!r}, policies_path={path!r}).put("a", {{"failureThreshold": 8}})
    with gevent.Timeout(20):
        while breaker.policy.failure_threshold != 8:
            gevent.sleep(0.01)
    before = len(ticks)
    gevent.sleep(0.3)
    assert len(ticks) > before + 5, "other greenlets stand still"
print("closed")
"""
PATCH = "from gevent import monkey; monkey.patch_all()\n"
INITIALISED = "from grpc.experimental import gevent as of_grpc; of_grpc.init_gevent()\n"


@pytest.mark.parametrize(
    ("transport", "before"),
    [
        ("gateway", PATCH),
        pytest.param(
            "etcd3",
            PATCH + INITIALISED,
            marks=pytest.mark.skipif(FREE_THREADED, reason="grpcio has no packages for free-threaded builds"),
        ),
    ],
)
def test_a_patched_program_follows_and_goes_on(server: Server, transport: str, before: str) -> None:
    server.api.put(f"{PATH}a.json", '{"failureThreshold": 7}')
    program = FOLLOWS.format(endpoint=server.endpoint, transport=transport, path=PATH)
    assert "closed" in run_python(before + program)


@pytest.mark.skipif(FREE_THREADED, reason="grpcio has no packages for free-threaded builds")
@pytest.mark.parametrize("patch", ["monkey.patch_all()", "monkey.patch_socket()", "monkey.patch_thread()"])
def test_a_program_in_which_grpc_would_hang_is_told_at_construction(patch: str) -> None:
    run_python(f"""
from gevent import monkey
{patch}
from breaker.sources import EtcdSource
try:
    EtcdSource("127.0.0.1:2379", transport="etcd3")
except RuntimeError as error:
    assert "grpc.experimental.gevent.init_gevent()" in str(error), error
    assert "transport='gateway'" in str(error), error
else:
    raise AssertionError("it would hang")
EtcdSource("127.0.0.1:2379")
""")


@pytest.mark.skipif(FREE_THREADED, reason="grpcio has no packages for free-threaded builds")
def test_a_program_that_only_has_gevent_is_like_any_other() -> None:
    run_python("""
import gevent.monkey
from breaker.sources import EtcdSource
EtcdSource("127.0.0.1:2379", transport="etcd3")
""")
