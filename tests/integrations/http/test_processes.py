"""Clients in programs that gevent has patched, in forked children, and where their library is missing."""

import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest

from support.http.server import Server
from support.libraries import MISSING
from support.processes import run_python

CLIENTS = """
import atexit, os
import breaker
from breaker import BreakerOpenError, Policy, Provider, get_default_config

provider = Provider(get_default_config("svc", "dev"), default_policy=Policy({threshold}, 1, 60.0))

def httpx_get():
    import httpx
    from breaker.integrations.httpx import protect
    client = protect(httpx.Client(verify=False, trust_env=False), provider)
    atexit.register(client.close)
    return lambda url: client.get(url).status_code

def requests_get():
    import requests
    from breaker.integrations.requests import protect
    session = requests.Session()
    session.trust_env = False
    protect(session, provider)
    atexit.register(session.close)
    return lambda url: session.get(url).status_code

def urllib3_get():
    import urllib3
    from breaker.integrations.urllib3 import protect
    manager = protect(urllib3.PoolManager(maxsize=20, retries=False), provider)
    atexit.register(manager.clear)
    return lambda url: manager.request("GET", url).status

get = {library}_get()
url, name = "{url}", "{name}"

def counted():
    found = provider.breakers[name].snapshot()
    return found.successes, found.failures, found.rejected
"""
SYNCHRONOUS = ("httpx", "requests", "urllib3")


@pytest.mark.skipif("gevent" in MISSING, reason="comes with the extra `test`, without it with `test-core`")
@pytest.mark.parametrize("library", SYNCHRONOUS)
def test_greenlets_ask_side_by_side_and_each_counts_once(server: Server, library: str) -> None:
    server.gate = lambda: len(server.requests) >= 8
    program = CLIENTS.format(library=library, threshold=100, url=server.url, name=server.name)
    run_python(f"""
from gevent import monkey
monkey.patch_all()
import gevent
{program}
jobs = [gevent.spawn(get, url + "/gate") for _ in range(8)]
gevent.joinall(jobs, raise_error=True)
assert [job.value for job in jobs] == [200] * 8
assert counted() == (8, 0, 0), counted()
assert get(url + "/status/503") == 503
assert counted() == (8, 1, 0), counted()
""")
    assert len(server.requests) == 9


@pytest.mark.parametrize("library", SYNCHRONOUS)
def test_a_forked_child_counts_for_itself(server: Server, library: str) -> None:
    program = CLIENTS.format(library=library, threshold=1, url=server.url, name=server.name)
    run_python(f"""
{program}
assert get(url + "/status/200") == 200
child = os.fork()
if not child:
    code = 1
    try:
        assert get(url + "/status/503") == 503
        try:
            get(url + "/status/200")
        except BreakerOpenError:
            code = 0 if counted()[1:] == (1, 1) else 2
    finally:
        os._exit(code)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert counted() == (1, 0, 0), counted()
assert get(url + "/status/200") == 200
""")
    assert server.requests == ["GET /status/200", "GET /status/503", "GET /status/200"]


OLDEST = {"httpx": "0.28", "httpx2": "2.0", "requests": "2.32", "aiohttp": "3.12", "urllib3": "2.0"}


def test_what_is_tried_as_the_oldest_is_what_is_promised() -> None:
    root = Path(__file__).parents[3]
    tried = dict(re.findall(r"^(\w+)==([\d.]+)\.\d+$", (root / "tools" / "oldest.txt").read_text(), re.MULTILINE))
    assert {name: tried[name] for name in OLDEST} == OLDEST
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {name: f"{name}>={oldest}" in extras[name] for name, oldest in OLDEST.items()} == dict.fromkeys(OLDEST, True)


@pytest.mark.parametrize(("integration", "oldest"), OLDEST.items())
def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, integration: str, oldest: str) -> None:
    monkeypatch.delitem(sys.modules, f"breaker.integrations.{integration}", raising=False)
    monkeypatch.setitem(sys.modules, integration, None)
    with pytest.raises(ImportError) as caught:
        importlib.import_module(f"breaker.integrations.{integration}")
    assert caught.value.name == integration
    assert str(caught.value).startswith(f"breaker.integrations.{integration} needs {integration} {oldest} or newer")
    assert str(caught.value).endswith(
        f"install it with the extra {integration}, or with: pip install '{integration}>={oldest}'"
    )
