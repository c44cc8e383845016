"""gunicorn as the server of a WSGI application that has `install`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.web.client import ask

PROGRAM = """
import breaker
from breaker.integrations import wsgi

provider = breaker.Provider(breaker.Config("shop", "/config/"), default_policy=breaker.Policy(1, 1, 60.0))
stock = provider.get_breaker("http:internal.example")
stock.force_open()


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/raised":
        stock.acquire()
    write = start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "10")])
    if path == "/written":
        write(b"first")
        stock.acquire()
    return stream(path)


def stream(path):
    if path == "/begun":
        yield b"first"
    if path != "/fine":
        stock.acquire()
    yield b"0123456789"


app = wsgi.install(app, provider)
"""


@pytest.fixture(scope="module")
def gunicorn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    pytest.importorskip("gunicorn", exc_type=ImportError)
    folder: Path = tmp_path_factory.mktemp("gunicorn")
    (folder / "shop.py").write_text(PROGRAM, encoding="utf-8")
    options = ["--bind", "127.0.0.1:0", "--threads", "2", "--chdir", str(folder), "--graceful-timeout", "1"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen([sys.executable, "-m", "gunicorn", *options, "shop:app"], stderr=log, cwd=folder) as process,
    ):
        try:
            yield "127.0.0.1", port_of(process, folder / "log")
        finally:
            process.terminate()


def port_of(process: subprocess.Popen[bytes], log: Path) -> int:
    until = time.monotonic() + 30
    while "Listening at: http://127.0.0.1:" not in (text := log.read_text()) or "Booting worker" not in text:
        assert process.poll() is None, text
        assert time.monotonic() < until, text
        time.sleep(0.02)
    return int(text.partition("Listening at: http://127.0.0.1:")[2].split()[0])


@pytest.mark.parametrize("path", ["/raised", "/lazily"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_gunicorn_sends_the_answer(gunicorn: tuple[str, int], path: str, method: str) -> None:
    seen = ask(gunicorn, path, method)
    assert seen.status == 503
    assert int(seen.headers["retry-after"]) >= 1
    assert seen.headers["content-type"] == "application/problem+json"
    assert int(seen.headers["content-length"]) > 10
    assert len(seen.body) == (int(seen.headers["content-length"]) if method == "GET" else 0)


@pytest.mark.parametrize("path", ["/begun", "/written"])
def test_gunicorn_cuts_what_has_begun(gunicorn: tuple[str, int], path: str) -> None:
    seen = ask(gunicorn, path)
    assert (seen.status, seen.whole) == (200, False)
    assert seen.body.startswith(b"first")
    assert b"problem+json" not in seen.raw
    assert ask(gunicorn, "/fine").body == b"0123456789"
