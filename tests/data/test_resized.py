"""The cache of resized images: the same bits, resumable, made anew when its sources change, safe among processes."""

import multiprocessing
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from mlcfast.data import EvalTransform, ImageDataset, ResizedCache, TrainTransform, resized, resized_cache_bytes
from mlcfast.errors import RunError, UsageError


@pytest.mark.parametrize("augment", ["published", "query2label", "flip", "none"])
def test_samples_are_bit_equal_to_those_without_the_cache(images, augment):
    transform = TrainTransform(24, augment)
    plain = ImageDataset(images, transform, 5)
    cached = ImageDataset(images, transform, 5, ResizedCache.build(images, 24, 2))
    for key in [(epoch, index) for epoch in (0, 3) for index in range(len(images))]:
        assert torch.equal(plain[key][0], cached[key][0])


def test_size_is_said_beforehand(images):
    assert resized_cache_bytes(82_081, 448) == 49_421_955_072
    cache = ResizedCache.build(images, 24)
    assert cache.path.stat().st_size == resized_cache_bytes(24, 24) == 24 * 24 * 24 * 3
    assert (len(cache), cache[3].shape, cache[3].dtype) == (24, (24, 24, 3), np.uint8)


def _beside(images) -> Path:
    return Path(images.paths[0]).parent / ".mlcfast"


def _decodes(monkeypatch) -> list[str]:
    seen: list[str] = []
    load = resized.load_pixels
    monkeypatch.setattr(resized, "load_pixels", lambda path: seen.append(path) or load(path))
    return seen


def test_made_once_and_again_when_a_source_the_size_or_the_list_changes(images, monkeypatch):
    first = ResizedCache.build(images, 24)
    seen = _decodes(monkeypatch)
    ResizedCache.build(images, 24)
    assert seen == []
    os.utime(images.paths[4], ns=(1, 1))
    ResizedCache.build(images, 24)
    assert len(seen) == 24
    other_size = ResizedCache.build(images, 16)
    other_list = ResizedCache.build(images.subset([3, 2]), 24)
    assert len(seen) == 24 + 24 + 2
    assert len({first.path, other_size.path, other_list.path}) == 3
    assert (other_list[1] == first[2]).all()


def test_an_interrupted_build_goes_on_where_it_stopped(images, monkeypatch):
    monkeypatch.setattr(resized, "CHUNK", 4)
    whole = ResizedCache.build(images, 24, directory=os.path.dirname(images.paths[0]) + "/whole")
    load, decoded = resized.load_pixels, []

    def interrupted(path):
        if len(decoded) == 10:
            raise KeyboardInterrupt
        decoded.append(path)
        return load(path)

    monkeypatch.setattr(resized, "load_pixels", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ResizedCache.build(images, 24)
    folder = whole.path.parents[1] / ".mlcfast"
    assert not list(folder.glob("*.uint8"))
    monkeypatch.setattr(resized, "load_pixels", load)
    seen = _decodes(monkeypatch)
    cache = ResizedCache.build(images, 24)
    assert len(seen) == 24 - 8  # two chunks of four were complete
    assert all((cache[i] == whole[i]).all() for i in range(24))
    assert not list(folder.glob("*.partial*"))


def test_a_bad_image_is_named_and_leaves_no_finished_file(images):
    open(images.paths[6], "w").close()
    with pytest.raises(RunError, match=r"6\.jpg: empty image file"):
        ResizedCache.build(images, 24, 2)
    assert not list(_beside(images).glob("*.uint8"))


def test_too_little_disk_is_said_before_anything_is_written(images, monkeypatch):
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr(resized.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UsageError, match=r"set data\.resized_cache to false"):
        ResizedCache.build(images, 24)
    assert not [name for name in os.listdir(_beside(images)) if not name.endswith(".lock")]


def test_workers_map_the_file_themselves(images):
    cache = ResizedCache.build(images, 24)
    pixels = cache[5].copy()
    sent = pickle.dumps(ImageDataset(images, EvalTransform(24), 0, cache).resized_cache)
    assert len(sent) < 1000
    assert (pickle.loads(sent)[5] == pixels).all()


def _build_and_count(images, queue):
    seen = []
    load = resized.load_pixels
    resized.load_pixels = lambda path: seen.append(path) or load(path)
    cache = ResizedCache.build(images, 24)
    queue.put((len(seen), [cache[i].tobytes() for i in range(len(cache))]))


def test_of_two_processes_one_builds(images):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=_build_and_count, args=(images, queue)) for _ in range(2)]
    for process in processes:
        process.start()
    results = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(count for count, _ in results) == [0, 24]
    assert results[0][1] == results[1][1]


def test_progress_reaches_the_number_of_images(images):
    seen = []
    ResizedCache.build(images, 8, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (24, 24)
