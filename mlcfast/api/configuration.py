"""A configuration from a file or from a program's own values."""

import copy
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlcfast import config
from mlcfast.config import Config
from mlcfast.errors import UsageError


def load_config(source: str | Path | Mapping[str, Any], overrides: Sequence[str] | Mapping[str, Any] = ()) -> Config:
    """A configuration, checked.

    source: a YAML file, or its sections as a nested dict; overrides: by dotted key, as {"optim.lr": 1e-4}, or as on
    the command line, ["optim.lr=1e-4"]. UsageError, one line, names an unknown key with the nearest one, a wrong value
    or an impossible combination, and an argument that is none of these.
    """
    if not isinstance(source, str | os.PathLike | Mapping):
        raise UsageError(f"source: a {type(source).__name__}; a YAML file's path or a dict of its sections is taken")
    single = isinstance(overrides, str | bytes) or not isinstance(overrides, Iterable)
    if single or not all(isinstance(each, str) for each in overrides):
        raise UsageError(
            f'overrides: {overrides!r}: a dict such as {{"optim.lr": 1e-4}} or a list such as ["optim.lr=1e-4"] '
            "is taken"
        )
    if isinstance(overrides, Mapping):
        words = [f"{key}={json.dumps(value, default=str)}" for key, value in overrides.items()]
    else:
        words = list(overrides)
    if isinstance(source, Mapping):
        return config.parse_config(copy.deepcopy(dict(source)), words)
    return config.load_config(Path(source), words)
