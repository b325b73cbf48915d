"""Which implementation of an op runs: `MLCFAST_BACKEND` = auto | triton | native | reference, read at every call."""

import logging
import os

BACKENDS = ("auto", "triton", "native", "reference")
_logged: set[str] = set()


def requested() -> str:
    """The value of `MLCFAST_BACKEND` (default auto); ValueError names the allowed values."""
    name = os.environ.get("MLCFAST_BACKEND", "auto")
    if name not in BACKENDS:
        raise ValueError(f"MLCFAST_BACKEND={name!r} is not one of {', '.join(BACKENDS)}")
    return name


def log_once(message: str) -> None:
    """Log a warning the first time this process says it: a slower path is never taken silently."""
    if message not in _logged:
        _logged.add(message)
        logging.getLogger("mlcfast").warning(message)
