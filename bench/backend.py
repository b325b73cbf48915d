"""Asking for one implementation of the operators inside a block."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLE = "MLCFAST_BACKEND"


@contextmanager
def forced(backend: str | None) -> Iterator[None]:
    """MLCFAST_BACKEND is `backend` inside the block; None leaves it as it is."""
    before = os.environ.get(VARIABLE)
    if backend is not None:
        os.environ[VARIABLE] = backend
    try:
        yield
    finally:
        if backend is not None:
            os.environ.pop(VARIABLE)
            os.environ.update({VARIABLE: before} if before is not None else {})
