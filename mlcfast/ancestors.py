"""The processes above this one, as they were when it began: whether its launcher is still there.

Standard library only, since `mlcfast.cli` imports it before anything that takes seconds: a launcher may be killed then.
"""

import os
from pathlib import Path


def ancestors(count: int) -> list[int]:
    """The ids of the parent, its parent and so on; those beyond the parent only where /proc tells them."""
    found = [os.getppid()]
    try:
        while len(found) < count:
            stat = Path(f"/proc/{found[-1]}/stat").read_text(encoding="utf-8", errors="replace")
            found.append(int(stat.rpartition(")")[2].split()[1]))
    except (OSError, ValueError):
        pass
    return found


_BEGAN = os.getpid(), ancestors(2)


def ancestors_at_start(count: int) -> list[int]:
    """At most two of them as they were when this was imported; in a process that was forked since, as they are."""
    process, found = _BEGAN
    return found[:count] if process == os.getpid() else ancestors(count)
