"""Real servers in processes of their own, which end as their operators end them: with readers of events there."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.etcd.ports import free_ports
from support.status_servers import Stream, ask

pytest.importorskip("gunicorn")
pytest.importorskip("uvicorn")

APPLICATION = """
import breaker
from breaker import status

provider = breaker.Provider(breaker.get_default_config("svc", "dev"))
provider.get_breaker("http:x")
wsgi = status.wsgi(provider, actions=lambda request: True)
asgi = status.asgi(provider, actions=lambda request: True)
"""
UVICORN = ["uvicorn", "--log-level", "warning", "application:asgi", "--port"]
GUNICORN = ["gunicorn", "--log-level", "warning", "--threads", "4", "application:wsgi", "--bind"]
SYNC = ["gunicorn", "--log-level", "warning", "application:wsgi", "--bind"]
WORKERS = [*GUNICORN[:-2], "--workers", "2", "--preload", *GUNICORN[-2:]]
WORKER = "uvicorn.workers.UvicornWorker"
WITH_UVICORN = ["gunicorn", "--log-level", "warning", "-k", WORKER, "application:asgi", "--bind"]


@contextmanager
def running(command: list[str], folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server and its address; it is over when the block is left."""
    (folder / "application.py").write_text(APPLICATION, encoding="utf-8")
    (port,) = free_ports(1)
    where = str(port) if command[0] == "uvicorn" else f"127.0.0.1:{port}"
    with subprocess.Popen(
        [sys.executable, "-m", *command, where],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            url = f"http://127.0.0.1:{port}/"
            end = time.monotonic() + 30
            while time.monotonic() < end:
                try:
                    ask(url, "breakers")
                    break
                except OSError:
                    assert process.poll() is None, process.communicate()[0]
                    time.sleep(0.05)
            yield process, url
        finally:
            process.kill()


@pytest.mark.parametrize("command", [UVICORN, GUNICORN, WITH_UVICORN], ids=["uvicorn", "gunicorn", "both"])
def test_a_server_that_is_stopped_waits_for_no_reader(command: list[str], tmp_path: Path) -> None:
    with running(command, tmp_path) as (process, url), Stream(url) as stream:
        stream.until_ready()
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert list(stream.events()) == []
        output, _ = process.communicate(timeout=20)
        assert time.monotonic() - begun < 10  # gunicorn would wait 30 s, uvicorn for ever
    assert "Traceback" not in output
    assert "ERROR" not in output


def test_workers_for_one_request_at_a_time_stay_free(tmp_path: Path) -> None:
    with running(SYNC, tmp_path) as (_, url):
        assert ask(url, "events").status == 503
        assert ask(url, "breakers").status == 200


def test_workers_have_identities_and_tokens_of_their_own(tmp_path: Path) -> None:
    with running(WORKERS, tmp_path) as (_, url):
        tokens: dict[str, str] = {}
        end = time.monotonic() + 20
        while len(tokens) < 2 and time.monotonic() < end:
            shown = ask(url, "breakers").json
            tokens[shown["process"]["id"]] = shown["actions"]["token"]
        assert len(set(tokens.values())) == 2
