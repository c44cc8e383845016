"""An ASGI application whose rejections are answered: by itself, and as a middleware of Starlette."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from breaker.integrations._web import STATUS, Answer, Edge

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_BEGINNINGS = frozenset({"http.response.start", "websocket.accept", "websocket.close", "websocket.http.response.start"})
_DENIAL = "websocket.http.response"  # the extension by which a handshake gets a response of HTTP
_TRY_AGAIN_LATER = 1013  # RFC 6455's registry


class GuardedApplication:
    """An application around one whose rejections it answers, as long as no response has begun.

    Args:
        app: the application inside.
        edge: what is answered.

    Thread safety: as that of the application inside.
    """

    def __init__(self, app: Application, edge: Edge) -> None:
        self._app = app
        self._edge = edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        has_begun = False

        def sending(message: Message) -> Awaitable[None]:
            nonlocal has_begun
            if message["type"] in _BEGINNINGS:
                has_begun = True
            return send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            answer = None if has_begun else self._edge.answer_to(error)
            if answer is None:
                raise
        else:
            return
        await _answer(answer, scope, send)


async def _answer(answer: Answer, scope: Scope, send: Send) -> None:
    if scope["type"] == "http":
        kind = "http.response"
    elif _DENIAL in (scope.get("extensions") or ()):
        kind = _DENIAL
    else:
        await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER, "reason": ""})
        return
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    body = b"" if scope.get("method") == "HEAD" else answer.body
    await send({"type": f"{kind}.start", "status": STATUS, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
