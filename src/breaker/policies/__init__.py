"""Policies: values and text. No threads, no clock, no I/O."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["schema"]


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a policy document, for editors and pipelines.

    What is not valid by it, a program refuses. What is valid, a program reads, except for what JSON Schema cannot say:
    a key that is there twice, a whole number written as ``5.0``, a duration shorter than a nanosecond or longer than
    ``2**63 - 1`` of them, text of more than 64 KiB or nested more than 32 levels deep. Unknown keys are allowed: a
    document may be newer than the program.

    .. versionadded:: 0.1
    """
    from breaker.policies.documents import document_schema
    from breaker.policies.policy import Policy

    return document_schema(Policy.fields)
