"""What is answered to a rejection, whatever the framework and the server."""

from support.web.client import Seen

NAME = "http:internal.example:8443"
DOCUMENT = {
    "type": "about:blank",
    "title": "Service Unavailable",
    "status": 503,
    "detail": "Something that this request needs is not available at the moment. Try again later.",
}


def check_answer(seen: Seen, seconds: int = 60) -> None:
    assert seen.status == 503
    assert seen.headers["retry-after"] == str(seconds)
    assert seen.headers["content-type"] == "application/problem+json"
    assert seen.headers["cache-control"] == "no-store"
    assert seen.headers["content-length"] == str(len(seen.body))
    assert seen.whole
    assert seen.document == DOCUMENT
