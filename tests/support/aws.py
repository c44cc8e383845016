"""A service of AWS on loopback: it answers as the test tells it, in JSON or XML, and notes what it was asked."""

from __future__ import annotations

import io
import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
from botocore.config import Config

from breaker import Breaker, Provider
from support.http.server import Server

JSON = "application/x-amz-json-1.0"
XML = "application/xml"
KEY: dict[str, Any] = {"TableName": "orders", "Key": {"id": {"S": "7"}}}


@dataclass(frozen=True)
class Answer:
    """``length``: what the head says, where the body is cut short."""

    status: int = 200
    body: bytes = b"{}"
    kind: str = JSON
    length: int | None = None
    headers: tuple[tuple[str, str], ...] = ()


def refusing(status: int, code: str) -> Answer:
    """An error of a service that speaks JSON."""
    return Answer(status, json.dumps({"__type": f"com.example#{code}", "message": "told"}).encode())


def in_xml(body: str = "<R/>", *headers: tuple[str, str]) -> Answer:
    """An answer of S3, IAM and others."""
    return Answer(200, body.encode(), XML, headers=headers)


def refusing_in_xml(status: int, code: str) -> Answer:
    """An error of S3."""
    return Answer(status, f"<Error><Code>{code}</Code><Message>told</Message></Error>".encode(), XML)


class Service:
    """``requests`` has operation or request line of each that was seen; ``answers`` come first, then ``usual``."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.answers: deque[Answer] = deque()
        self.usual = Answer()
        self.url = ""
        self.host = ""

    def client(self, service: str = "dynamodb", **options: Any) -> Any:
        """A client of this service, that asks once unless ``retries`` says otherwise."""
        options = {"retries": {"total_max_attempts": 1}, "s3": {"addressing_style": "path"}} | options
        return boto3.client(
            service,  # type: ignore[call-overload, unused-ignore]
            endpoint_url=self.url,
            region_name="eu-west-1",
            aws_access_key_id="id",
            aws_secret_access_key="secret",
            config=Config(proxies={}, **options),
        )


@contextmanager
def serving() -> Iterator[Service]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            target = self.headers.get("X-Amz-Target") or f"{self.command} {self.path}"
            service.requests.append(target.rpartition(".")[2] if "X-Amz-Target" in self.headers else target)
            given = service.answers.popleft() if service.answers else service.usual
            self.send_response(given.status)
            self.send_header("Content-Type", given.kind)
            self.send_header("Content-Length", str(len(given.body) if given.length is None else given.length))
            for name, value in given.headers:
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(given.body)
            self.close_connection = given.length is not None

        do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = answer

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        service.host = f"127.0.0.1:{server.server_port}"
        service.url = f"http://{service.host}"
        try:
            yield service
        finally:
            server.shutdown()
            thread.join(10)


def of(provider: Provider, service: Service, name: str = "dynamodb") -> Breaker:
    """The breaker that a client of the service has by default."""
    return provider.breakers[f"aws:{name}:{service.host}"]


def s3(server: Server, **options: Any) -> Any:
    """A client of S3 that takes a server of HTTP for it: bucket and key of a request are the path."""
    as_service = Service()
    as_service.url = server.url
    return as_service.client("s3", read_timeout=0.2, connect_timeout=5, **options)


class BrokenUpload(io.BytesIO):
    """The source of an upload, which raises once it is armed."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__(b"content")
        self.error = error
        self.armed = False

    def read(self, size: int | None = -1) -> bytes:
        if self.armed:
            raise self.error("mine")
        return super().read(size)
