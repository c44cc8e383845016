"""Calls of the service in `rpc` that have a stream of responses."""

from typing import Any

import pytest

from support.rpc import SS, US

STREAMS = {"unary-stream": US, "stream-stream": SS}
every_stream = pytest.mark.parametrize("form", STREAMS)


def begin(channel: Any, form: str, request: bytes, **options: Any) -> Any:
    """A call with a response stream, none of which was taken."""
    if form.startswith("unary-stream"):
        return channel.unary_stream(US)(request, **options)
    return channel.stream_stream(SS)(iter([request]), **options)
