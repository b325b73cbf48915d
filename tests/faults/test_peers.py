"""A killed rank or loader worker ends the whole run soon, with the reason first, and leaves no process behind.

The quick part kills a rank under torchrun; `MLCFAST_PEERS=all pytest tests/faults/test_peers.py` also takes DeepSpeed's
launcher and loader workers.
"""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import DEEPSPEED
from tests.faults.test_signals import ranks_of, started, until

LAUNCHERS = {
    "torchrun": ["torchrun", "--nproc_per_node", "2", "-m"],
    "deepspeed": [*DEEPSPEED, "--module"],
}
LOST = "rank 0 has lost another process of this run"
DIED = "a data worker died"
# Launcher, what is killed, and what the first error says.
CASES = [("torchrun", "rank", LOST)]
if os.environ.get("MLCFAST_PEERS") == "all":
    CASES += [("deepspeed", "rank", LOST), ("torchrun", "worker", DIED), ("deepspeed", "worker", DIED)]
SECONDS = 60


def children_of(process: int) -> list[int]:
    listed = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="utf-8")
    return [int(number) for number in listed.split()]


def rank_number(process: int) -> str:
    words = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    return next(word.decode() for word in words if word.startswith(b"RANK="))


@pytest.mark.parametrize(("launcher", "victim", "says"), CASES)
def test_what_is_killed_ends_the_run(config_file, tmp_path, record_property, tally, launcher, victim, says):
    config_file.write_text(config_file.read_text().replace("workers: 0", f"workers: {int(victim == 'worker')}"))
    process = started(config_file, tmp_path / "runs" / "tiny", *LAUNCHERS[launcher])
    try:
        ranks = sorted((rank for rank in ranks_of(config_file) if rank_number(rank)), key=rank_number)
        last = next(rank for rank in ranks if rank_number(rank) == "RANK=1")
        began = time.monotonic()
        os.kill(last if victim == "rank" else children_of(last)[0], signal.SIGKILL)
        assert process.wait(SECONDS) != 0
        until(lambda: not ranks_of(config_file), SECONDS)
        record_property("seconds", round(time.monotonic() - began, 1))
    finally:
        process.kill()
    lines = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    said = [line for line in lines if "error: " in line]
    assert said and says in said[0], lines
    assert not any("Traceback" in line for line in lines[: lines.index(said[0])]), lines
    tally[f"{victim} killed under {launcher}: the reason first, all ended within {SECONDS} s, no process left"] += 1
