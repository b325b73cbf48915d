"""A run killed, or out of disk, at every point of its saves: what was complete stays, and --resume ends it well.

The quick part takes a few points. All of them, in some minutes:
`MLCFAST_POINTS=all pytest tests/faults/test_save_points.py`.
"""

import errno
import os
import resource
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
import yaml

from mlcfast.engine.checkpoint import verify_manifest
from mlcfast.files import write_bytes
from mlcfast.models.card import check_file
from mlcfast.models.trained import load_trained
from mlcfast.runs.directory import RunDirectory, complete_checkpoints
from mlcfast.tensor_files import write_tensors
from tests.conftest import write_colour_set
from tests.faults.points import Fault, train
from tests.ranks import processes

POINTS = os.environ.get("MLCFAST_POINTS", "3")
LAST = "00000004"  # step, of two epochs


class Workshop:
    """Runs of one tiny configuration, each in its own process and output directory."""

    def __init__(self, root: Path):
        self.root, self.context = root, processes()
        (root / "images").mkdir()
        write_colour_set(root / "images", 1, train=16, val=8)
        self.file = root / "tiny.yaml"
        data = {"format": "csv", "root": str(root / "images"), "train": "train.csv", "val": "val.csv"}
        values = {
            "name": "tiny", "output": str(root),
            "data": {**data, "image_size": 32, "workers": 0, "augment": "flip"},
            "model": {"backbone": "test_resnet", "weights": "none", "head": "linear"},
            "optim": {"lr": 1e-3},
            "engine": {"precision": "fp32", "micro_batch": 8, "global_batch": 8},
            "train": {"epochs": 2, "ema_decay": 0.9, "log_every": 1},
        }  # fmt: skip
        self.file.write_text(yaml.safe_dump(values))
        self.whole = self.directory("whole")
        status, said = self.run("whole", "none", 0)
        assert status == 0, said
        self.touches = said.partition("touches\n")[2].splitlines()

    def directory(self, name: str) -> RunDirectory:
        return RunDirectory(self.root / name / "tiny")

    def run(
        self, name: str, kind: str, first: int, *overrides: str, resume: bool = False, count: int = 10**9
    ) -> tuple[int, str]:
        """The exit status, negative for a signal, and what was said."""
        fault, said = Fault(self.directory(name).path, kind, first, count), self.root / f"{name}.said"
        (self.root / name).mkdir(exist_ok=True)
        words = [f"output={self.root / name}", *overrides]
        process = self.context.Process(target=train, args=(self.file, words, resume, fault, said))
        process.start()
        process.join(300)
        assert process.exitcode is not None, "hangs"
        return process.exitcode, said.read_text()

    def points(self) -> list[int]:
        """The touches to fail at: all, or as many as MLCFAST_POINTS says from the second epoch's saves."""
        if POINTS == "all":
            return list(range(len(self.touches)))
        saves = [n for n, touch in enumerate(self.touches) if ".partial" in touch or "renameat2" in touch]
        later = saves[len(saves) // 2 :]
        number = int(POINTS)
        return [later[(2 * k + 1) * len(later) // (2 * number)] for k in range(number)]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("points"))


def require_whole(directory: RunDirectory) -> None:
    """What is there under its own name is complete: best/ and every checkpoint."""
    if directory.best.exists():
        load_trained(directory.best)
        check_file(directory.validation)
    for checkpoint in complete_checkpoints(directory.checkpoints):
        verify_manifest(checkpoint)


def require_same_end(directory: RunDirectory, whole: RunDirectory) -> None:
    """The run ended as the one that nothing befell, to the bit, and left nothing half written."""
    require_whole(directory)
    for name in ("weights", "average", "moments"):
        mine, theirs = (
            safetensors.torch.load_file(each.checkpoints / LAST / f"{name}.safetensors") for each in (directory, whole)
        )
        assert mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)
    assert directory.best_step() == whole.best_step()
    assert directory.read_outcome()["validation_mAP"] == whole.read_outcome()["validation_mAP"]
    assert not list(directory.path.rglob("*.partial"))


def finish(workshop: Workshop, name: str) -> None:
    """Resume where there is a checkpoint, else begin anew; then the run has ended as it should."""
    directory = workshop.directory(name)
    status, said = workshop.run(name, "none", 0, resume=bool(complete_checkpoints(directory.checkpoints)))
    assert status == 0, said
    require_same_end(directory, workshop.whole)
    shutil.rmtree(workshop.root / name)


def test_killed_at_a_point_of_a_save(workshop, tally):
    for point in workshop.points():
        name = f"killed{point}"
        status, said = workshop.run(name, "kill", point)
        assert status == -9, (workshop.touches[point], said)
        require_whole(workshop.directory(name))
        finish(workshop, name)
        tally["points at which the run was killed, then resumed to the same bits"] += 1


def test_out_of_disk_from_a_point_of_a_save_on(workshop, tally):
    for point in workshop.points():
        name = f"full{point}"
        status, said = workshop.run(name, "full", point)
        assert status in (0, 1), said  # 0 where only records were left to write
        assert "Traceback" not in said, said
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        assert len(errors) == status and all(str(workshop.root / name) in line for line in errors), said
        assert all("No space left on device" in line for line in errors), said
        if errors and "checkpoints" in errors[0] and complete_checkpoints(workshop.directory(name).checkpoints):
            assert "is intact: free space there and go on with --resume" in errors[0], said
        require_whole(workshop.directory(name))
        finish(workshop, name)
        tally["points from which on the disk was full, then resumed to the same bits"] += 1


def test_out_of_disk_for_a_while_with_continue(workshop):
    save = next(n for n, touch in enumerate(workshop.touches) if ".00000002.partial" in touch)
    status, said = workshop.run("while", "full", save, "train.on_save_error=continue", count=1)
    assert status == 0, said
    assert "No space left on device; no checkpoint was written before it; training goes on" in said
    names = [entry.name for entry in workshop.directory("while").checkpoints.iterdir() if entry.is_dir()]
    assert names == [LAST]
    require_same_end(workshop.directory("while"), workshop.whole)


@pytest.mark.parametrize("kind", ["tensors", "bytes"])
def test_a_write_that_fails_midway_is_an_error_of_the_disk_that_names_the_file(tmp_path, kind):
    """By a limit on the size of files, which fails in the middle of writing as a full disk does."""
    file, before = tmp_path / "held", resource.getrlimit(resource.RLIMIT_FSIZE)
    file.write_bytes(b"whole")
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            if kind == "tensors":
                write_tensors(file, {"a": torch.ones(100_000)})
            else:
                write_bytes(file, bytes(400_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(file))
    assert file.read_bytes() == b"whole"
