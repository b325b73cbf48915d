"""Images streamed from shards: each once an epoch, in one order whatever stops the run, and how many read it."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mlcfast.config import Config
from mlcfast.data import read_csv
from mlcfast.data.build import open_samples, train_loader
from mlcfast.data.packed import stream_order
from mlcfast.engine import Process
from mlcfast.errors import RunError, UsageError

SHARDS = (7, 1, 12, 4)  # images of each
IMAGES = sum(SHARDS)


def picture(number: int) -> bytes:
    """An image whose grey tells its number."""
    content = io.BytesIO()
    Image.new("L", (8, 8), 10 * number).save(content, "PNG")
    return content.getvalue()


def write_tars(folder: Path) -> None:
    number = 0
    for shard, images in enumerate(SHARDS):
        with tarfile.open(folder / f"train-{shard:04d}.tar", "w") as archive:
            for name in range(number, number + images):
                note = json.dumps({"labels": ["odd" if name % 2 else "even"]}).encode()
                for ending, content in (("json", note), ("png", picture(name))):
                    member = tarfile.TarInfo(f"{name:04d}.{ending}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
        number += images


def write_parquet(folder: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="writes Parquet files")
    from pyarrow import parquet

    table = pyarrow.table(
        {
            "image": [picture(number) for number in range(IMAGES)],
            "labels": [["odd" if number % 2 else "even"] for number in range(IMAGES)],
        }
    )
    parquet.write_table(table, folder / "train.parquet", row_group_size=5)


@pytest.fixture(params=[write_tars, write_parquet])
def shards(request, tmp_path) -> Path:
    request.param(tmp_path)
    return tmp_path


def settings(root: Path, workers: int = 0, **data) -> Config:
    return Config.model_validate(
        {
            "name": "stream",
            "data": {
                "format": "auto",
                "root": str(root),
                "train": ".",
                "val": 0.25,
                "stream": True,
                "stream_buffer": 6,
                "image_size": 8,
                "augment": "none",
                "mean": [0, 0, 0],
                "std": [1, 1, 1],
                "workers": workers,
                **data,
            },
            "model": {"head": "linear", "backbone": "resnet18", "weights": "none"},
            "loss": {"name": "asymmetric"},
            "engine": {"micro_batch": 2, "global_batch": 4},
        }
    )


def seen(batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> list[int]:
    """The numbers of a batch's images, by their grey."""
    return (batch[0][:, 0, 0, 0] * 25.5).round().int().tolist()


def test_images_labels_and_names_are_those_of_the_files(shards):
    samples = open_samples(settings(shards))
    assert not list(shards.rglob("unpacked")), "images were written out"
    for records in (samples.train, samples.validation):
        for index in range(len(records)):
            number = records.load_pixels(index)[0, 0, 0] // 10
            assert records.names[int(records.labels[index].argmax())] == ("odd" if number % 2 else "even")
    assert len(samples.train) + len(samples.validation) == IMAGES


@pytest.mark.parametrize("workers", [0, 2])
def test_stopped_anywhere_and_resumed_fifty_times_the_order_is_that_of_one_go(shards, workers):
    """With two ranks a step is two micro-batches; with one it is the same images, one rank's after the other's."""
    config, random, stops = settings(shards, workers), np.random.default_rng(0), 50 if workers == 0 else 3
    records = open_samples(config).train
    steps = len(records) // 4

    def steps_from(loaders, epoch, step):
        for loader in loaders:
            loader.batch_sampler.set_position(epoch, 4 * step)
        whole = [[seen(batch) for batch in loader] for loader in loaders]
        pairs = zip(*whole, strict=True) if len(whole) == 2 else zip(whole[0][::2], whole[0][1::2], strict=True)
        return [first + second for first, second in pairs]

    one, two = ([train_loader(config, records, Process(rank, 0, W)) for rank in range(W)] for W in (1, 2))
    epochs = [steps_from(one, epoch, 0) for epoch in range(2)]
    assert epochs[0] != epochs[1] and all(len(epoch) == steps for epoch in epochs)
    numbers = sorted(number for step in epochs[0] for number in step)
    assert len(set(numbers)) == 4 * steps == len(numbers)
    assert [steps_from(two, epoch, 0) for epoch in range(2)] == epochs
    for _ in range(stops):
        epoch, step, loaders = int(random.integers(2)), int(random.integers(steps + 1)), (one, two)[random.integers(2)]
        assert steps_from(loaders, epoch, step) == epochs[epoch][step:]


def test_a_buffer_of_blocks_reads_in_runs_and_is_a_pure_function():
    block = np.repeat(np.arange(40), 25)
    order = stream_order(block, 100, 1, 2)
    assert np.array_equal(np.sort(order), np.arange(1000)) and np.array_equal(order, stream_order(block, 100, 1, 2))
    assert not np.array_equal(order, stream_order(block, 100, 1, 3))
    assert all(len(set(block[order[start : start + 100]])) <= 9 for start in range(0, 1000, 100))
    assert stream_order(block[:0], 100, 1, 2).size == 0 and stream_order(block, 1, 0, 0).size == 1000


def test_a_member_order_that_differs_is_paired_by_name(tmp_path):
    with tarfile.open(tmp_path / "train.tar", "w") as archive:
        notes = [("1.json", b'{"labels": ["odd"]}'), ("2.json", b'{"labels": ["even"]}')]
        for name, content in (*notes, ("2.png", picture(2)), ("1.png", picture(1))):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    for records in (read_csv(tmp_path, "train.tar"), read_csv(tmp_path, "train.tar", buffer=4)):
        assert [records.load_pixels(index)[0, 0, 0] for index in range(2)] == [10, 20]
        assert [records.names[k] for k in records.labels.argmax(axis=1)] == ["odd", "even"]


def test_what_cannot_be_streamed_says_so(tmp_path):
    (tmp_path / "labels.csv").write_text("image,cat\na.png,1\n")
    with pytest.raises(UsageError, match="stream reads images inside"):
        open_samples(settings(tmp_path, train="labels.csv"))
    with pytest.raises(UsageError, match="coco keeps no images inside"):
        open_samples(settings(tmp_path, format="coco"))
    with pytest.raises(ValueError, match="goes without resized_cache"):
        settings(tmp_path, resized_cache=True)
    write_tars(tmp_path)
    records = read_csv(tmp_path, "train-0002.tar", buffer=4)
    (tmp_path / "train-0002.tar").write_bytes(b"")
    with pytest.raises(RunError, match=r"train-0002\.tar: ends before its image 3"):
        records.load_pixels(3)
