"""Where a program's policies live: the service's name, the path of its documents, and the key of one breaker."""

from __future__ import annotations

from breaker._frozen import Frozen

DEFAULT_NAME = "default"
SUFFIX = ".json"
MAX_NAME_BYTES = 255
NAME_HINT = "its name is not the escaped name of a breaker; write '/' as %2F and '%' as %25"
_ENVIRONMENTS = {"production": "prod", "development": "dev"}


class Config(Frozen):
    """What a `Provider` needs to know: ``service_name`` and ``policies_path``.

    Both are non-empty text. ``policies_path`` starts with ``/``; a missing ``/`` at its end is added.
    Raises `TypeError` for anything but text and `ValueError` for a bad value.
    """

    __slots__ = ("policies_path", "service_name")
    service_name: str
    policies_path: str

    def __init__(self, service_name: str, policies_path: str) -> None:
        _require_text("service_name", service_name)
        _require_text("policies_path", policies_path)
        if not policies_path.startswith("/"):
            raise ValueError(
                f"policies_path must start with '/', like '/config/dev/my-service/breakers/', got {policies_path!r}"
            )
        if not policies_path.endswith("/"):
            policies_path += "/"
        self._set(service_name=service_name, policies_path=policies_path)

    def __repr__(self) -> str:
        return f"Config(service_name={self.service_name!r}, policies_path={self.policies_path!r})"


def get_default_config(service_name: str, env: str) -> Config:
    """The `Config` with ``policies_path="/config/{env}/{service_name}/breakers/"``.

    ``production`` becomes ``prod`` and ``development`` ``dev``; any other environment name is used as it is. Raises
    `ValueError` where a name is empty or holds a ``/``, `TypeError` where it is no text.
    """
    for what, text in (("service_name", service_name), ("env", env)):
        _require_text(what, text)
        if "/" in text:
            raise ValueError(f"{what} is one level of a path and must not hold '/', got {text!r}")
    return Config(service_name, f"/config/{_ENVIRONMENTS.get(env, env)}/{service_name}/breakers/")


def check_name(name: str) -> None:
    """Raise unless ``name`` may name a breaker: non-empty text of at most 255 bytes of UTF-8, not ``default``."""
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

    ``/``, ``%`` and control characters are percent-escaped (their UTF-8 bytes, upper-case digits), all else stays.
    """
    return "".join(_escape(char) if _is_escaped(char) else char for char in name) + SUFFIX


def document_name(key: str) -> str | None:
    """The breaker's name of a key, or None if the key is not one that `document_key` writes."""
    if not key.endswith(SUFFIX):
        return None
    try:
        name = _unescape(key.removesuffix(SUFFIX))
        return name if name and document_key(name) == key else None
    except ValueError:
        return None


def _require_text(what: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{what} must be text, got {type(value).__name__}")
    if not value:
        raise ValueError(f"{what} must not be empty")


def _is_escaped(char: str) -> bool:
    return char in "/%" or char < " " or "\x7f" <= char < "\xa0"


def _escape(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode())


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
