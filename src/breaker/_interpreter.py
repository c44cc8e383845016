"""One interpreter of a process has this package: the main one. Looked at before the core is loaded.

The core is one copy of C state. Where a sub-interpreter were first to load it, the main one could do so no more.
"""

from __future__ import annotations

import _thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType


def refuse_sub_interpreters() -> None:
    """Raise `ImportError` in any interpreter but the main one (S155)."""
    if not _is_main():
        raise ImportError(
            "breaker cannot be imported in a sub-interpreter: its state belongs to the main interpreter of a process; "
            "make the calls there, in a thread, or in a process of their own (mod_wsgi: WSGIApplicationGroup %{GLOBAL})"
        )


def _is_main() -> bool:
    if asked := getattr(_thread, "_is_main_interpreter", None):  # from 3.13 on
        return bool(asked())
    try:
        interpreters: ModuleType = __import__("_xxsubinterpreters")
    except ImportError:  # a Python that was built without
        return True
    return bool(interpreters.get_current() == interpreters.get_main())
