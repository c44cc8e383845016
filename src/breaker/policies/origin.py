"""Where a policy comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["DocumentOrigin", "PolicyOrigin"]


class DocumentOrigin(NamedTuple):
    """A document that concerns a breaker.

    Attributes:
        key: Its file name, like ``http:payment-api.json``.
        revision: Of the publication that brought its contents of now, as the source counts.
        error: Why these contents are not in force, None if they are. The last good ones stand in (S124).

    .. versionadded:: 0.1
    """

    key: str
    revision: int
    error: str | None


class PolicyOrigin(NamedTuple):
    """Where the policy of a breaker comes from (`Provider.policy_origin`).

    Attributes:
        fields: Each field, as it is written in a document, and the key of the document that sets it; None: the
            provider's default policy does.
        documents: The breaker's own document and that of all others, as far as they are there, in this order.

    .. versionadded:: 0.1
    """

    fields: Mapping[str, str | None]
    documents: tuple[DocumentOrigin, ...]
