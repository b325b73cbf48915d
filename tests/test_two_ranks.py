"""Commands whose work two ranks share: together they write what one process does, and one's failure ends both."""

import contextlib
import datetime
import io
import json
import multiprocessing
import os
import shutil
import signal
from pathlib import Path
from unittest import mock

import pytest
import torch
import torch.distributed as dist

from mlcfast import features, launch, predict, sweep
from mlcfast.engine import Process, peers_explained
from mlcfast.errors import UsageError
from tests.conftest import write_colour_set
from tests.test_predict import save_untrained

COMMANDS = {"predict": predict, "features": features}
SECONDS = 300  # in which the other rank must have imported torch
Calls = list[tuple[str, list[str]]]


def as_rank(rank: int, folder: Path, calls: Calls) -> list[int]:
    """Each command's status on this rank of two."""
    statuses = []
    with mock.patch.dict(os.environ, {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}):
        for number, (command, words) in enumerate(calls):
            store, patience = dist.FileStore(f"{folder}/{number}", 2), datetime.timedelta(seconds=SECONDS)
            dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=patience)
            statuses.append(COMMANDS[command].main(words))
    return statuses


def main_rank(folder: Path, calls: Calls) -> None:
    """Rank 0 in a process of its own; leaves the statuses and what it said."""
    torch.set_num_threads(1)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        statuses = as_rank(0, folder, calls)
    (folder / "said").write_text(json.dumps([statuses, out.getvalue(), err.getvalue()]))


def test_two_ranks_write_what_one_process_does(tmp_path, config_file, capsys, monkeypatch):
    """Of seven images in batches of two rank 1 has the second and the last batch, with the file that is no image."""
    root, broken, (one, both) = tmp_path / "set", tmp_path / "broken", (tmp_path / "one", tmp_path / "both")
    for folder in (root, one, both):
        folder.mkdir()
    write_colour_set(root, train=13, val=5)
    shutil.copytree(root, broken)
    (broken / "train6.jpg").write_bytes(b"no image")  # in rank 1's batch of four
    best = save_untrained(tmp_path / "best")
    photos = [root / name for name in ("val0.jpg", "val1.jpg", "train0.jpg", "val.csv", "val2.jpg", "val3.jpg")]
    photos.append(broken / "val0.jpg")  # of one name with the first

    def calls(out: Path) -> Calls:
        files = ["--csv", out / "table.csv", "--probabilities", out / "p.npz", "--attention", out / "maps"]
        how = ["--batch-size", "2", "--workers", "1", "--labels", "red", "--top-k", "3", "--json"]
        setting = [config_file, f"data.root={root}"]
        given = [
            ("predict", [best, *photos, *files, *how]),
            ("predict", ["--local_rank=1", best, photos[0], "--threshold", "0"]),
            ("features", [*setting, "--out", out / "features"]),
        ]
        return [(command, list(map(str, words))) for command, words in given]

    assert [COMMANDS[command].main(words) for command, words in calls(one)] == [1, 0, 0]
    alone = capsys.readouterr()
    failing = ("features", [str(config_file), f"data.root={broken}", "--out", str(tmp_path / "out")])
    every = [*calls(both), failing]
    main = multiprocessing.get_context("spawn").Process(target=main_rank, args=(tmp_path, every))
    main.start()
    ignored: list[tuple] = []  # the signal that a launcher sends to those that have not ended yet
    monkeypatch.setattr("signal.signal", lambda *pair: ignored.append(pair))
    try:
        assert as_rank(1, tmp_path, every) == [0, 0, 0, 1]
        main.join(SECONDS)
    finally:
        main.kill()
    assert [number for number, _ in ignored] == [signal.SIGTERM]
    beside = capsys.readouterr()
    statuses, out, err = json.loads((tmp_path / "said").read_text())
    assert statuses == [1, 0, 0, 1]
    assert out.replace(str(both), str(one)) == alone.out and out.count("val0.jpg") == 3
    assert beside.out == "" and beside.err.startswith(f"error: {broken}/train6.jpg: ") and beside.err.count("\n") == 1
    assert "done 6, failed 1" in err and "rank 0 has lost another process of this run" in err.splitlines()[-1]
    written = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert len(written) >= 2 + 6 + 2 * 3
    assert written == sorted(path.relative_to(both) for path in both.rglob("*") if path.is_file())
    for path in written:
        assert (one / path).read_bytes() == (both / path).read_bytes(), path


@pytest.mark.parametrize("command", ["predict", "features"])
def test_ranks_with_work_of_their_own_are_refused(config_file, tmp_path, monkeypatch, capsys, command):
    """As `srun -n 2 sh -c 'python -m mlcfast.predict best part$SLURM_PROCID'`: the second part would be left out."""
    gathered = "mlcfast.engine.distributed.all_gather_objects"
    monkeypatch.setattr(gathered, lambda mine: [mine, mine | {next(iter(mine.keys() & {"images", "out"})): "other"}])
    predicts = [save_untrained(tmp_path / "best"), "photo.jpg"]
    words = predicts if command == "predict" else [config_file, "--out", tmp_path / "out"]
    assert COMMANDS[command].main(list(map(str, words))) == 2
    said = capsys.readouterr()
    assert said.out == "" and "rank 1 was called with other arguments than rank 0" in said.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_a_program_that_goes_on_after_an_error_can_be_ended(monkeypatch, seconds):
    """Its launcher's SIGTERM is not heard while the error is said, and not for ever."""
    heard: list[int] = []
    monkeypatch.setattr("mlcfast.engine.distributed.SAYING", seconds)
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with pytest.raises(UsageError), peers_explained(Process(0, 0, 2, "torchrun")):
            raise UsageError("a setting")
        signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN  # which a later training would leave ignored
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM] * (seconds == 0.0)


@pytest.mark.parametrize("command", [sweep, launch])
def test_what_starts_processes_itself_is_refused_under_a_launcher(config_file, tmp_path, monkeypatch, capsys, command):
    for name, value in (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    assert command.main(["--local_rank=0", str(config_file), "seed=0,1"]) == 2
    said = capsys.readouterr().err
    assert "itself: call it without a launcher" in said and said.count("\n") == 1
    assert not (tmp_path / "runs").exists()
