"""Batches from workers: the same as without, errors on one line, Ctrl-C without noise."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch

from mlcfast.data import EvalSampler, EvalTransform, ImageDataset, TrainSampler, TrainTransform, make_loader
from mlcfast.errors import RunError
from tests.conftest import ROOT


def _epochs(images, workers: int) -> list[list[tuple]]:
    sampler = TrainSampler(len(images), 8, 4, seed=2)
    loader = make_loader(ImageDataset(images, TrainTransform(16), 2), sampler, workers)
    epochs = []
    for epoch in (0, 1):
        sampler.set_position(epoch)
        epochs.append(list(loader))
    return epochs


def test_batches_do_not_depend_on_workers(images):
    alone, workers = _epochs(images, 0), _epochs(images, 2)
    for epoch, other in zip(alone, workers, strict=True):
        assert len(epoch) == len(other) == 6
        for batch, same in zip(epoch, other, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(batch, same, strict=True))
    assert not torch.equal(alone[0][0][2], alone[1][0][2])


def test_a_batch_is_images_labels_and_indices(images):
    dataset = ImageDataset(images, EvalTransform(16))
    batches = list(make_loader(dataset, EvalSampler(len(images), 10)))
    assert [tuple(batch[0].shape) for batch in batches] == [(10, 3, 16, 16), (10, 3, 16, 16), (4, 3, 16, 16)]
    assert [t.dtype for t in batches[0]] == [torch.float32, torch.int8, torch.int64]
    assert torch.cat([batch[2] for batch in batches]).tolist() == list(range(24))
    assert torch.cat([batch[1] for batch in batches]).tolist() == images.labels.tolist()


def test_loading_does_not_disturb_the_callers_random_state(images):
    loader = make_loader(ImageDataset(images, TrainTransform(16)), EvalSampler(len(images), 8))
    torch.manual_seed(4)
    expected = torch.rand(2)
    torch.manual_seed(4)
    list(loader)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_image_is_one_line_that_names_it(images, workers):
    with open(images.paths[9], "r+b") as file:
        file.truncate(os.path.getsize(images.paths[9]) // 2)
    loader = make_loader(ImageDataset(images, EvalTransform(16)), EvalSampler(len(images), 4), workers)
    with pytest.raises(RunError) as caught:
        list(loader)
    assert str(caught.value).startswith(f"{images.paths[9]}: truncated image")
    assert "\n" not in str(caught.value)


def test_images_travel_as_bytes_and_are_the_same_numbers(images):
    """3·S² bytes an image from a worker, its labels and its index; normalised they are those of the transform alone."""
    transform = TrainTransform(16, "flip", (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    dataset, sampler = ImageDataset(images, transform.pixels, 3), EvalSampler(len(images), 10)
    host = list(make_loader(dataset, sampler, 1))
    assert all(batch[0].dtype == torch.uint8 for batch in host)
    assert all(batch[0].is_contiguous(memory_format=torch.channels_last) for batch in host)
    sizes = [sum(tensor.numel() * tensor.element_size() for tensor in batch) for batch in host]
    labels = images.labels.shape[1]
    assert sizes == [len(batch[0]) * (3 * 16**2 + labels + 8) for batch in host]
    ready = list(make_loader(dataset, sampler, 0, torch.device("cpu"), transform.normalise))
    expected = list(make_loader(ImageDataset(images, transform, 3), sampler))
    for (found, *others), (alone, *same) in zip(ready, expected, strict=True):
        assert torch.equal(found, alone) and found.is_contiguous(memory_format=torch.channels_last)
        assert all(torch.equal(a, b) for a, b in zip(others, same, strict=True))


class _Defect(torch.utils.data.Dataset):
    def __getitem__(self, index):
        raise ValueError("a defect")


class _Dies(torch.utils.data.Dataset):
    def __getitem__(self, index):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_defect_keeps_its_type_and_a_dead_worker_is_explained(monkeypatch):
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.2)  # seconds, to be quick
    with pytest.raises(ValueError, match="a defect"):
        list(make_loader(_Defect(), EvalSampler(4, 2), 1))
    with pytest.raises(RunError, match=r"a data worker died.*lower data\.workers"):
        list(make_loader(_Dies(), EvalSampler(4, 2), 1))


def test_interrupt_prints_nothing_of_the_workers():
    program = """
        import itertools, sys, torch
        from mlcfast import cli
        from mlcfast.data.loader import make_loader

        class Slow(torch.utils.data.Dataset):
            def __getitem__(self, index):
                torch.ones(1).item()
                return index

        def work(args):
            for number, _ in enumerate(make_loader(Slow(), ([i] for i in itertools.count()), 2)):
                if number == 3:
                    print("ready", flush=True)

        sys.exit(cli.run(cli.Parser("loop", "", ""), work, []))
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "interrupted\n")


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_workers_end_with_a_main_process_that_was_killed(tmp_path, method):
    """Under forkserver, Python 3.14's own choice, a worker's parent is not the main process, and outlives it."""
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
            import itertools, multiprocessing, os, sys, torch
            from mlcfast.data.loader import make_loader

            class Who(torch.utils.data.Dataset):
                def __getitem__(self, index):
                    return os.getpid()

            if __name__ == "__main__":
                multiprocessing.set_start_method(sys.argv[1])
                batches = iter(make_loader(Who(), ([i] for i in itertools.count()), 1))
                print(int(next(batches)), flush=True)
                sys.stdin.read()
        """)
    )
    words = [sys.executable, str(program), method]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as main:
        worker = int(main.stdout.readline())
        assert Path(f"/proc/{worker}").exists()
        main.kill()
    until = time.monotonic() + 60
    while Path(f"/proc/{worker}").exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert not Path(f"/proc/{worker}").exists()
