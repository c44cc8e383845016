"""The garbage collector, held still."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collector() -> Iterator[None]:
    """What is not freed by its last reference stays, and can be counted."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
