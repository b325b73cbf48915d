"""An evaluation over two ranks, of more scores than are held: its figures are one process's, exchanged in blocks."""

from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from mlcfast.data import EvalSampler
from mlcfast.evaluation import gather
from mlcfast.evaluation.gather import EvaluationResult, evaluate_loader
from tests.ranks import start_ranks

M, K, BLOCK = 23, 7, 60  # images, an odd number of them; labels; entries that ranks exchange together


class Batches:
    """The share of a rank: scores as images, labels with some unknown ones, index."""

    def __init__(self, rank: int, world_size: int):
        self.sampler = EvalSampler(M, 4, rank, world_size)
        random = np.random.default_rng(0)
        self.scores = random.random((M, K), np.float32).round(1)  # with ties
        self.labels = random.choice([1, 0, -1], (M, K), p=[0.2, 0.3, 0.5]).astype(np.int8)
        self.labels[:, 3] = -1  # a label that no image has
        self.dataset = range(M)

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self):
        for indices in self.sampler:
            yield torch.from_numpy(self.scores[indices]), torch.from_numpy(self.labels[indices]), torch.tensor(indices)


class Identity:
    def predict(self, images: torch.Tensor) -> torch.Tensor:
        return images


def evaluated(rank: int, world_size: int, most_held: int = 1) -> EvaluationResult:
    names = [f"label {k}" for k in range(K)]
    return evaluate_loader(Identity(), Batches(rank, world_size), names, "", quiet=True, most_held=most_held)


def rank_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.FileStore(f"{folder}/store", 2), rank=rank, world_size=2)
    exchange, sizes = gather.all_gather_objects, []

    def watched(value):
        found = exchange(value)
        if isinstance(value, tuple) and all(isinstance(each, np.ndarray) for each in value):
            sizes.append(sum(scores.size for scores, _ in found))
        return found

    gather.all_gather_objects, gather.BLOCK_ENTRIES = watched, BLOCK
    result = evaluated(rank, 2)
    torch.save((result.report, result.thresholds, result.rows, result.scores, sizes), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_ranks_find_what_one_process_does_and_exchange_no_more_than_a_block(tmp_path: Path):
    start_ranks(rank_of_two, (str(tmp_path),), 2)
    held = evaluated(0, 1, most_held=M * K)
    assert held.rows is None and held.report["unknown"] > 0
    for rank in range(2):
        report, thresholds, rows, scores, sizes = torch.load(tmp_path / f"{rank}.pt", weights_only=False)
        assert report == held.report and np.array_equal(thresholds, held.thresholds)
        assert np.array_equal(scores, held.scores[rows])
        assert sizes and sum(sizes) == M * K and max(sizes) <= BLOCK
