"""What a GPU is asked for when a batch comes, in which order: copies a batch ahead, a wait for its own copy alone."""

from types import SimpleNamespace

import pytest
import torch

from mlcfast.data.transfer import on_device
from mlcfast.stopwatch import Stopwatch

HOST, GPU = torch.device("cpu"), torch.device("cuda", 0)


class Copied:
    """Stands in for a tensor of batch `number`; what happens to it is noted in `done`."""

    def __init__(self, number: int, done: list[str], device: torch.device = HOST):
        self.number, self.done, self.device = number, done, device

    def to(self, device: torch.device, non_blocking: bool = False) -> "Copied":
        assert non_blocking
        self.done.append(f"copy {self.number}")
        return Copied(self.number, self.done, device)

    def is_pinned(self) -> bool:
        return True

    def record_stream(self, stream: object) -> None:
        self.done.append(f"keep {self.number}")


class Stream(SimpleNamespace):
    def record_event(self) -> str:
        return self.done[-1].replace("copy", "copied")

    def wait_event(self, event: str) -> None:
        self.done.append(f"wait {event}")

    def __enter__(self) -> None:
        self.done.append("aside")

    def __exit__(self, *error: object) -> None:
        self.done.append("back")


@pytest.fixture
def done(monkeypatch) -> list[str]:
    notes: list[str] = []
    stream = Stream(done=notes)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    return notes


def test_a_batch_is_copied_while_the_one_before_is_computed_with(done):
    def normalise(images: Copied) -> str:
        done.append(f"normalise {images.number}")
        return f"images {images.number}"

    batches = ((Copied(number, done), Copied(number, done)) for number in range(3))
    for number, (images, labels) in enumerate(on_device(batches, GPU, normalise, Stopwatch(HOST))):
        assert images == f"images {number}" and labels.device == GPU
        done.append(f"compute {number}")
    aside = [["aside", f"copy {number}", f"copy {number}", "back"] for number in range(3)]
    ready = [
        [f"wait copied {number}", f"keep {number}", f"keep {number}", f"normalise {number}", f"compute {number}"]
        for number in range(3)
    ]
    assert done == [*aside[0], *aside[1], *ready[0], *aside[2], *ready[1], *ready[2]]


def test_no_batches_are_none(done):
    assert list(on_device(iter(()), GPU, lambda images: images, Stopwatch(HOST))) == []


def test_an_error_of_the_loader_comes_after_what_it_gave_before(done):
    def batches():
        yield (Copied(0, done),)
        raise RuntimeError("unreadable")

    given = on_device(batches(), GPU, lambda images: images, Stopwatch(HOST))
    with pytest.raises(RuntimeError, match="unreadable"):
        list(given)
