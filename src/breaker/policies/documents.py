"""Policy documents: JSON text → what its fields hold, what is wrong with it, and its JSON Schema."""

from __future__ import annotations

from breaker._frozen import Frozen
from breaker.errors import PolicyError
from breaker.policies.fields import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from breaker.policies.fields import Field

    Fields = Mapping[str, Field[Any, Any]]

MAX_DOCUMENT_BYTES = 65_536
_BYTE_ORDER_MARK = "\ufeff"  # some editors write one before UTF-8
MAX_DEPTH = 32  # objects and arrays in one another; only keys that are unknown here may hold any


class Unreadable(Frozen):
    """Stands for a document that exists and cannot be read: the last good one stays, and the reason is reported.

    Args:
        reason: what keeps it from being read and how to mend it; the end of "the document must be readable, got …".

    .. versionadded:: 0.1
    """

    __slots__ = ("reason",)
    reason: str

    def __init__(self, reason: str) -> None:
        self._set(reason=reason)

    def __repr__(self) -> str:
        return f"Unreadable({self.reason!r})"


Document = bytes | str | Unreadable  # as a source publishes it


def read_document(document: bytes | str, fields: Fields) -> tuple[dict[str, Any], list[str]]:
    """What a document says: name of the field → what is held for it; and, sorted, the keys that it does not know.

    Args:
        document: JSON text, at most `MAX_DOCUMENT_BYTES` bytes.
        fields: the rows of the policy, by name.
    Raises:
        PolicyError: names the key, what was expected and how to write it. A key that is a known one but for case,
            ``_`` or ``-`` is refused too (S125).
    """
    by_key = {field.key: field for field in fields.values()}
    parsed = _parse(document, _expected(fields))
    _refuse_misspelt(parsed.keys() - by_key.keys(), by_key)
    held = {by_key[key].name: by_key[key].read_json(key, value) for key, value in parsed.items() if key in by_key}
    return held, sorted(parsed.keys() - by_key.keys())


def write_document(values: Mapping[str, Any]) -> bytes:
    """The JSON text of a document's keys and values."""
    import json

    return json.dumps(values).encode()


def document_schema(fields: Fields) -> dict[str, Any]:
    """The JSON Schema of a document, draft 2020-12. See `breaker.policies.schema` for what it cannot say."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Policy of a circuit breaker",
        "description": "A key that is missing is inherited from default.json, then from the program's default policy.",
        "type": "object",
        "properties": {field.key: field.schema() for field in fields.values()},
        "additionalProperties": True,
    }


def _refuse_misspelt(unknown: Iterable[str], known: Iterable[str]) -> None:
    """A key that is another one but for case, ``_`` or ``-`` was meant as that one: no newer version will have it."""
    spelling = {_letters(key): key for key in known}
    for key in sorted(unknown):
        if (right := spelling.get(_letters(key))) is not None:
            raise PolicyError(key, f"written {right}", "a misspelt key", f"rename it to {right}")


def _letters(key: str) -> str:
    return key.replace("_", "").replace("-", "").casefold()


def _expected(fields: Fields) -> str:
    example = next(iter(fields.values()))
    return f'a JSON object like {{"{example.key}": {example.default}}}'


def _parse(document: bytes | str, expected: str) -> dict[str, Any]:
    import json

    if not isinstance(document, bytes | bytearray | str):
        raise PolicyError(None, f"{expected} in text or bytes", shown(document))
    raw = document.encode(errors="surrogatepass") if isinstance(document, str) else document
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise PolicyError(None, f"at most {MAX_DOCUMENT_BYTES} bytes long", "more")
    try:
        text = (document if isinstance(document, str) else document.decode()).removeprefix(_BYTE_ORDER_MARK)
        if not text.strip():
            raise PolicyError(None, expected, "nothing")
        if _depth(text) > MAX_DEPTH:
            raise PolicyError(None, f"{expected}, nested at most {MAX_DEPTH} levels deep", "more levels")
        parsed = json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise PolicyError(None, f"{expected} in UTF-8", f"a byte that is not UTF-8 at {error.start}") from None
    except PolicyError:
        raise
    except ValueError as error:
        raise PolicyError(None, expected, f"text that is no JSON ({error})") from None
    if not isinstance(parsed, dict):
        raise PolicyError(None, expected, shown(parsed))
    return parsed


def _depth(text: str) -> int:
    """How deep objects and arrays are nested, at most; judged here, as the limits of `json` differ by interpreter.

    Exact as far as `json` reads: it stops at the first thing that is no JSON, an unfinished string at the latest.
    """
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    import re

    depth = deepest = 0
    without_strings = re.sub(r'"[^"\\]*(?:\\.[^"\\]*)*"?', "", text, flags=re.DOTALL)
    for bracket in re.findall(r"[][{}]", without_strings):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    parsed = dict(pairs)
    if len(parsed) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise PolicyError(twice, "there once", "the same key twice in one object", "delete one of the two")
    return parsed


def _integer(digits: str) -> float:
    # Python refuses to read very long numbers; as infinity one is refused like any that is too large, by its field.
    return int(digits) if len(digits) < 1000 else float(digits)


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
