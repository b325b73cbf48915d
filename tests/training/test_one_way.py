"""A configuration goes through a run one way: down the rooms, into no module more than twice.

Counted: every call into the package while `run` trains the tiny configuration, that is given a Config as an argument
and comes from another module of the package. A climb is such a call from a room into one above it.
"""

import sys
from collections import Counter
from types import FrameType
from typing import Any

from mlcfast.config import Config, load_config
from mlcfast.engine import Process
from mlcfast.training.run import run
from tests.test_style import ALLOWED

ROOMS = list(ALLOWED)  # from below upward


class Journey:
    """Notes (from, into) for each call that hands on a configuration."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        code, place = frame.f_code, module_of(frame)
        if event != "call" or place is None or code.co_name.startswith("<"):
            return
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if any(isinstance(frame.f_locals.get(name), Config) for name in names if name != "self"):
            caller = frame.f_back
            while caller is not None and module_of(caller) is None:
                caller = caller.f_back
            self.calls.append((module_of(caller) or "", place) if caller else ("", place))


def module_of(frame: FrameType) -> str | None:
    """mlcfast.training.run -> training.run; None for what is not the package's."""
    name = frame.f_globals.get("__name__", "")
    return name.removeprefix("mlcfast.") if name.startswith("mlcfast.") else None


def height(module: str) -> int:
    room = module.partition(".")[0]
    return ROOMS.index(room) if room in ROOMS else -1


def test_a_configuration_goes_down_and_into_no_module_more_than_twice(config_file):
    config, journey = load_config(config_file), Journey()
    sys.setprofile(journey)
    try:
        run(config, Process())
    finally:
        sys.setprofile(None)
    across = [(caller, place) for caller, place in journey.calls if caller != place]
    assert len(across) >= 8  # it was followed at all
    climbs = [pair for pair in across if 0 <= height(pair[0]) < height(pair[1])]
    assert not climbs
    assert not {place: count for place, count in Counter(place for _, place in across).items() if count > 2}
