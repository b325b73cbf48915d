"""A full-size model trains on two CPU processes under ZeRO-2 with activation checkpointing: peak resident memory.

python -m bench.full_size [--config configs/cvt_w24.yaml] [--image-size 384] [--steps 2]

Appends a row to bench/results/full_size.jsonl. Random images and labels; nothing is downloaded.
"""

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from bench.timing import provenance
from mlcfast.config import load_config
from mlcfast.engine import build_engine, discover, start, stop
from mlcfast.engine.model import make_model
from mlcfast.engine.training_module import TrainingModule
from mlcfast.training.build import make_loss

RESULTS = Path(__file__).parent / "results" / "full_size.jsonl"
RANKS, LABELS = 2, 80


def train(args: argparse.Namespace) -> None:
    """One rank: the steps, then its losses and memory to the parent's folder."""
    overrides = [
        "model.weights=none",
        f"data.image_size={args.image_size}",
        "engine.name=zero2",
        "engine.micro_batch=1",
    ]
    overrides += [f"engine.global_batch={RANKS}", "engine.activation_checkpointing=blocks"]
    config = load_config(args.config, overrides)
    process = discover()
    start(process)
    torch.manual_seed(0)
    engine = build_engine(config, process, TrainingModule(make_model(config, LABELS), make_loss(config.loss)))
    losses, seconds = [], []
    for step in range(args.steps):
        began = time.perf_counter()
        torch.manual_seed(100 * step + process.rank)
        images = torch.randn(1, 3, args.image_size, args.image_size)
        labels = (torch.rand(1, LABELS) < 0.04).float()
        losses.append(float(engine.micro_step(images, labels, torch.arange(1), last=True)))
        outcome = engine.step()
        if outcome.skipped or not torch.isfinite(outcome.grad_norm):
            raise SystemExit(f"step {step} was not applied: gradient norm {float(outcome.grad_norm)}")
        seconds.append(round(time.perf_counter() - began, 1))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    row = {"losses": losses, "seconds": seconds, "peak_rss_bytes": peak}
    (Path(args.out) / f"{process.rank}.json").write_text(json.dumps(row))
    stop()


def launch(args: argparse.Namespace) -> None:
    """Start the ranks, wait, and record the sum of their peaks."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as out:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [sys.executable, "-m", "bench.full_size", "--out", out, "--config", args.config]
        command += ["--image-size", str(args.image_size), "--steps", str(args.steps)]
        shared = {
            "WORLD_SIZE": str(RANKS),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1",
        }
        ranks = [
            subprocess.Popen(command, env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
            for rank in range(RANKS)
        ]
        statuses = [rank.wait() for rank in ranks]
        if any(statuses):
            raise SystemExit("a rank failed")
        rows = [json.loads((Path(out) / f"{rank}.json").read_text()) for rank in range(RANKS)]
    total = sum(row["peak_rss_bytes"] for row in rows)
    what = {"config": args.config, "image_size": args.image_size, "micro_batch": 1, "ranks": rows}
    line = {**provenance("cpu"), **what, "sum_peak_rss_bytes": total}
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    print(f"peak resident memory of {RANKS} ranks together: {total / 2**30:.2f} GiB")


def main() -> None:
    """Parse and run as parent or rank."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/cvt_w24.yaml")
    parser.add_argument("--image-size", type=int, default=384)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    args = parser.parse_args()
    train(args) if args.out else launch(args)


if __name__ == "__main__":
    main()
