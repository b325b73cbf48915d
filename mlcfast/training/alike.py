"""Refuses a run whose processes do not do the same thing: then they would train apart, or wait for each other for good.

One launcher gives all of them one command line, but the files that it names may differ from machine to machine.
"""

from collections.abc import Mapping
from typing import Any

from mlcfast.config import Config
from mlcfast.engine import all_gather_objects
from mlcfast.errors import UsageError
from mlcfast.settings_reference import flattened

SHOWN = 4  # settings in an error
# Where this machine has its data and how it reads them; `require_shared` sees to the run's directory.
MAY_DIFFER = frozenset({"name", "output", "data.root", "data.workers", "data.resized_cache"})


def refuse_other_settings(config: Config, **more: Any) -> None:
    """UsageError on every rank unless all have the settings of rank 0, and `more` alike; a collective."""
    settings = flattened(config.model_dump(mode="json"))
    mine = {key: value for key, value in settings.items() if key not in MAY_DIFFER} | more
    first, *others = all_gather_objects(mine)
    for rank, theirs in enumerate(others, 1):
        differ = [key for key in first | theirs if first.get(key) != theirs.get(key)]
        if differ:
            shown = [f"{key} {theirs.get(key)} there, {first.get(key)} on rank 0" for key in differ[:SHOWN]]
            raise UsageError(
                f"rank {rank} has other settings: {'; '.join(shown)}: give all processes one configuration and one "
                "command line"
            )


def refuse_other_data(contents: Mapping[str, str], images: int, saved: int | None) -> None:
    """UsageError on every rank unless all have read what rank 0 has; a collective.

    contents: see `contents_of`; images: that are trained on; saved: the step of the checkpoint that is gone on from.
    """
    first, *others = all_gather_objects((dict(contents), images, saved))
    for rank, (theirs, number, step) in enumerate(others, 1):
        differ = [name for name in first[0] if first[0][name] != theirs.get(name)]
        if differ:
            raise UsageError(
                f"rank {rank} has read other {' and '.join(differ)} data than rank 0, {number} and {first[1]} training "
                "images: copy the data set, and its label files, to each machine anew"
            )
        if step != first[2]:
            raise UsageError(
                f"rank {rank} would go on from step {step}, rank 0 from step {first[2]}: put the run's directory on a "
                "file system that all hosts of the run share"
            )
