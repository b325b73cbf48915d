"""An epoch of linear ROLE training at MS-COCO's size on the CPU, with its peak resident memory.

Synthetic features in float16 with labels linear in them, 2.9 an image; batch 16. mlcfast: `mlcfast.train` from the
feature files, two epochs, evaluation and checkpoints included. straightforward: a Dataset of samples and torch's
DataLoader, ROLE line by line, a dense table and torch's Adam; its epoch is the mean of its steps times their number.
"""

import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from bench.baselines.losses import POSITIVES, textbook_role
from bench.suites import Context, Row, Rows, attempt
from bench.timing import in_own_process, peak_resident_bytes, quantiles_ms
from mlcfast.config import parse_config
from mlcfast.data import observe_single_positive, read_features, split_train_val
from mlcfast.engine import Process
from mlcfast.ops.backend import choose
from mlcfast.runs.journal import LOGGER
from mlcfast.training.run import run

D, K, BATCH, EPOCHS = 2048, 80, 16, 2
LONGEST = 30.0  # seconds a contender takes at least
WARM_UP = 5  # steps


def rows(context: Context) -> Rows:
    """One row a contender, measured in a process of its own."""
    context.cpu_only()
    images, steps = context.options["images"], context.options["steps"]
    with tempfile.TemporaryDirectory() as folder:
        make_features(Path(folder), images)
        size = (Path(folder) / "train_features.npy").stat().st_size
        for name in CONTENDERS:
            row = {"contender": name, "images": images, "D": D, "K": K, "B": BATCH, "feature_bytes": size}
            wanted = [("role_loss", choose("cpu"))] if name == "mlcfast" else []
            alone = partial(in_own_process, measure, name, folder, steps)
            yield from attempt(context, LONGEST, row, lambda alone=alone: [alone()], *wanted)


def measure(name: str, root: str, steps: int) -> Row:
    """The row of one contender, in this fresh process."""
    contender, threads = CONTENDERS[name]
    torch.set_num_threads(threads or torch.get_num_threads())
    found = contender(Path(root), steps)
    return found | {"peak_rss_bytes": peak_resident_bytes(), "threads": torch.get_num_threads()}


def make_features(root: Path, images: int) -> None:
    """Features of ReLU's kind and labels whose numbers per label fall off as a power, as MS-COCO's do."""
    random = np.random.default_rng(0)
    directions = random.standard_normal((D, K), np.float32)
    offsets = 0.6 * np.log(np.arange(1, K + 1))
    features = np.lib.format.open_memmap(root / "train_features.npy", "w+", np.float16, (images, D))
    scores = np.empty((images, K), np.float32)
    for start in range(0, images, 4096):
        rows = np.maximum(random.standard_normal((min(4096, images - start), D), np.float32), 0)
        features[start : start + len(rows)] = rows
        scores[start : start + len(rows)] = (rows - rows.mean()) @ directions / np.sqrt(D / 3) - offsets
    features.flush()
    labels = (scores > np.quantile(scores, 1 - POSITIVES / K)).astype(np.int8)
    labels[np.arange(images), scores.argmax(axis=1)] = 1
    np.save(root / "train_labels.npy", labels)


def measure_ours(root: Path, steps: int) -> Row:
    """Two epochs of the trainer; the second is the epoch, its steps and its end (evaluation, checkpoint) apart."""
    values = {
        "name": "bench", "output": str(root / "runs"),
        "data": {"format": "features", "root": str(root), "val": None, "labels": "single_positive"},
        "model": {"head": "linear", "backbone": "none", "weights": "none"},
        "loss": {"name": "role", "expected_positives": POSITIVES},
        "optim": {"name": "adam", "lr": 1e-3, "weight_decay": 0, "schedule": "constant"},
        "engine": {"precision": "fp32", "micro_batch": BATCH, "global_batch": BATCH},
        "train": {"epochs": EPOCHS, "ema_decay": 0, "early_stop": 0, "log_every": 100},
    }  # fmt: skip
    LOGGER.setLevel("WARNING")
    run(parse_config(values), Process())
    lines = [json.loads(line) for line in (root / "runs" / "bench" / "metrics.jsonl").read_text().splitlines()]
    times = {(line["event"], line.get("epoch")): line["time"] for line in lines}  # of the last line of each kind
    rates = [line["images_per_second"] for line in lines if line["event"] == "train" and line["epoch"] == EPOCHS - 1]
    begin, last_step, end = times["evaluation", EPOCHS - 2], times["train", EPOCHS - 1], times["checkpoint", None]
    row = {"epoch_s": round(end - begin, 2), "evaluation_and_checkpoint_s": round(end - last_step, 2)}
    return row | quantiles_ms([BATCH / rate for rate in rates])


class Samples(Dataset):
    """A sample at a time, as a first implementation has it: features to fp32 on reading, labels as floats."""

    def __init__(self, features: np.ndarray, rows: np.ndarray, observed: np.ndarray):
        self.features, self.rows, self.observed = features, rows, observed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        features = torch.from_numpy(self.features[self.rows[index]].astype(np.float32))
        return features, torch.from_numpy(self.observed[index].astype(np.float32)), index


def measure_straightforward(root: Path, steps: int) -> Row:
    """Steps of the plain loop, which reads its loss every step to show it."""
    records = read_features(root, "train")
    part, _ = split_train_val(len(records))
    observed = observe_single_positive(records.labels)[part]
    table = nn.Parameter(torch.where(torch.from_numpy(observed) > 0, 5.29, (torch.rand(len(part), K) * 2 - 1) * 0.405))
    model = nn.Linear(D, K)
    optimizer = torch.optim.Adam([{"params": model.parameters(), "lr": 1e-3}, {"params": [table], "lr": 1e-2}])
    loader = DataLoader(Samples(records.features, part, observed), BATCH, shuffle=True, drop_last=True)
    seconds, mark = [], time.perf_counter()
    for _, (features, labels, index) in zip(range(steps), loader, strict=False):
        loss = textbook_role(model(features), labels, table[index], masked=False)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        seconds.append(time.perf_counter() - mark)
        mark = time.perf_counter()
    epoch = float(np.mean(seconds[WARM_UP:])) * (len(part) // BATCH)
    return {"epoch_s": round(epoch, 2), **quantiles_ms(seconds[WARM_UP:])}


CONTENDERS: dict[str, tuple[Callable[[Path, int], Row], int]] = {
    "mlcfast": (measure_ours, 0),
    "straightforward": (measure_straightforward, 0),
    "straightforward, one thread": (measure_straightforward, 1),
}  # and the threads to compute with, 0 for torch's choice
