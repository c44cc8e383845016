"""The page as an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from breaker.provider import Provider
from breaker.status._actions import Authorise
from breaker.status._application import Application, missing_slash, too_many_readers
from breaker.status._requests import Answer, Request
from breaker.status._streams import HEARTBEAT, HEARTBEAT_SECONDS, Reader
from breaker.status._threads import TICK_SECONDS, server_is_leaving

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_SEND_SECONDS = 10.0  # that a reader may take for one chunk


def asgi(provider: Provider, *, actions: Authorise | None = None) -> AsgiPage:
    """The status page as an ASGI application, to be mounted below any path.

    Args:
        provider: Whose breakers.
        actions: Called with a `Request` for each attempt to change a breaker, in the server's thread; only the answer
            True allows it. None: the page is for reading.

    Returns:
        The application; its ``close()`` ends the streams of events.

    Raises:
        TypeError: A provider that is none, ``actions`` that cannot be called or whose call would run nothing.

    .. versionadded:: 0.1
    """
    return AsgiPage(provider, actions)


class AsgiPage:
    """What `asgi` returns."""

    def __init__(self, provider: Provider, actions: Authorise | None) -> None:
        self._application = Application(provider, actions)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        else:
            await self._serve(scope, receive, send)

    def close(self) -> None:
        """End all streams of events: call it when the server stops, if it waits for them."""
        self._application.close()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        prefix, path = _place(scope)
        request = _request(scope, path)
        limit = self._application.body_limit(request.method, path)
        body = await _body(receive, limit) if limit else b""
        if path == "" and prefix:
            answer = missing_slash(prefix)
        else:
            query = scope.get("query_string", b"").decode("latin-1")
            answer = self._application.answer(request, query, body, streams=_runs_in_asyncio())
        if answer.follows is not None:
            woken = asyncio.Event()
            loop = asyncio.get_running_loop()

            def wake() -> None:
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    loop.call_soon_threadsafe(woken.set)

            reader = self._application.hub.open(answer.follows, wake)
            if reader is not None:
                try:
                    await _begin(answer, send)
                    await _stream(reader, woken, receive, send)
                finally:
                    self._application.hub.close(reader)
                return
            answer = too_many_readers()
        await _begin(answer, send)
        await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else answer.body})


async def _begin(answer: Answer, send: Send) -> None:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.sent_headers()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})


async def _stream(reader: Reader, woken: asyncio.Event, receive: Receive, send: Send) -> None:
    """Send what comes until the other end goes, does not read, or the stream is closed."""

    async def write(chunk: bytes, more: bool = True) -> None:
        message = {"type": "http.response.body", "body": chunk, "more_body": more}
        await asyncio.wait_for(send(message), _SEND_SECONDS)

    gone = asyncio.ensure_future(_until_disconnected(receive))
    beat = time.monotonic()
    try:
        while not gone.done():
            woken.clear()
            if chunk := reader.take():
                beat = time.monotonic()
                await write(chunk)
                continue
            if reader.closed or server_is_leaving():
                break
            if time.monotonic() - beat >= HEARTBEAT_SECONDS:
                beat = time.monotonic()
                await write(HEARTBEAT)
            waker = asyncio.ensure_future(woken.wait())
            try:
                await asyncio.wait({gone, waker}, timeout=TICK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waker.cancel()
        if not gone.done():
            await write(b"", more=False)
    except (TimeoutError, OSError):
        return  # who does not read, or has hung up
    finally:
        gone.cancel()


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


def _runs_in_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # trio
        return False
    return True


def _place(scope: Message) -> tuple[str, str]:
    """Where the page is mounted, and the path below it. Servers and routers differ in whether the path has both."""
    prefix: str = scope.get("root_path", "").rstrip("/")
    path: str = scope["path"]
    if prefix and (path == prefix or path.startswith(prefix + "/")):
        path = path[len(prefix) :]
    return prefix, path


def _request(scope: Message, path: str) -> Request:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    client = scope.get("client")
    return Request(scope["method"], path, headers, client[0] if client else None)


async def _body(receive: Receive, limit: int) -> bytes:
    """At most one chunk more than the limit."""
    body = b""
    while len(body) <= limit:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body", False):
            break
    return body
