"""Which names and policies paths are allowed, and the key of a name's document."""

from __future__ import annotations

DEFAULT_NAME = "default"
SUFFIX = ".json"
MAX_NAME_BYTES = 255
NAME_HINT = "its name is not the escaped name of a breaker; write '/' as %2F, '%' as %25 and a leading '.' as %2E"


def check_name(name: str) -> None:
    """Raise unless ``name`` may name a breaker: text of 1 to 255 bytes of UTF-8, not ``default`` (rule S121)."""
    if not isinstance(name, str):
        raise TypeError(f"a breaker's name must be text like 'grpc:user-service', got {type(name).__name__}")
    if not name:
        raise ValueError("a breaker's name must not be empty; name what it protects, like 'grpc:user-service'")
    if name == DEFAULT_NAME:
        raise ValueError(
            "no breaker may be named 'default': default.json holds the policy of all others; "
            "name what it protects, like 'grpc:user-service'"
        )
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError(f"a breaker's name must be encodable as UTF-8, got {name!r}") from None
    if size > MAX_NAME_BYTES:
        raise ValueError(f"a breaker's name must be at most {MAX_NAME_BYTES} bytes of UTF-8, got {size}")


def document_key(name: str) -> str:
    """The key of a breaker's document below the policies path: ``/pkg.Svc/Get`` → ``%2Fpkg.Svc%2FGet.json``.

    ``/``, ``%``, control characters and a leading ``.`` are percent-escaped (their UTF-8 bytes, upper-case digits), all
    else stays (rule S122). So no document's file is a hidden one.
    """
    escaped = "".join([_escape(char) if _is_escaped(char) else char for char in name]) + SUFFIX
    return _escape(escaped[0]) + escaped[1:] if escaped.startswith(".") else escaped


def document_name(key: str) -> str | None:
    """The breaker's name of a key, or None if the key is not one that `document_key` writes."""
    if not key.endswith(SUFFIX):
        return None
    try:
        name = _unescape(key.removesuffix(SUFFIX))
        return name if name and document_key(name) == key else None
    except ValueError:
        return None


def read_policies_path(policies_path: str) -> str:
    """The path with ``/`` at its end. Raises `TypeError` or `ValueError` for one that is none."""
    check_text("policies_path", policies_path)
    if not policies_path.startswith("/"):
        raise ValueError(
            f"policies_path must start with '/', like '/config/dev/my-service/breakers/', got {policies_path!r}"
        )
    return policies_path if policies_path.endswith("/") else policies_path + "/"


def check_text(what: str, value: object) -> None:
    """Raise unless it is text and not empty; ``what`` it is, for the error."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be text, got {type(value).__name__}")
    if not value:
        raise ValueError(f"{what} must not be empty")


def _is_escaped(char: str) -> bool:
    return char in "/%" or char < " " or "\x7f" <= char < "\xa0"


def _escape(char: str) -> str:
    return "".join([f"%{byte:02X}" for byte in char.encode()])


def _unescape(text: str) -> str:
    """Raises `ValueError` where a ``%`` is followed by anything but two hexadecimal digits, or by no UTF-8."""
    raw = bytearray()
    parts = text.split("%")
    raw += parts[0].encode()
    for part in parts[1:]:
        raw += bytes.fromhex(part[:2]) if len(part) >= 2 and part[:2].isalnum() else _bad_escape(text)
        raw += part[2:].encode()
    return raw.decode()


def _bad_escape(text: str) -> bytes:
    raise ValueError(f"{text!r} holds a '%' without two hexadecimal digits")
