"""A full-size model trains on two CPU processes under ZeRO-2 with activation checkpointing: peak resident memory."""

import multiprocessing
import os
import socket
import time
from concurrent.futures import ProcessPoolExecutor

import torch

from bench.record import ROOT
from bench.suites import Context, Row, Rows
from bench.suites.memory import LABELS, batch
from bench.timing import peak_resident_bytes
from mlcfast.config import load_config
from mlcfast.engine import build_engine, discover, start, stop
from mlcfast.engine.training_module import TrainingModule, make_model
from mlcfast.training.build import make_loss

RANKS = 2


def rows(context: Context) -> Rows:
    """One row: each rank's losses, seconds a step and peak, and the sum of the peaks."""
    context.cpu_only()
    config, size, steps = (context.options[name] for name in ("config", "image_size", "steps"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with ProcessPoolExecutor(RANKS, mp_context=multiprocessing.get_context("spawn")) as pool:
        ranks = list(pool.map(train, range(RANKS), *([value] * RANKS for value in (port, config, size, steps))))
    row = {"config": config, "image_size": size, "micro_batch": 1, "ranks": ranks}
    yield row | {"sum_peak_rss_bytes": sum(rank["peak_rss_bytes"] for rank in ranks)}


def train(rank: int, port: int, path: str, image_size: int, steps: int) -> Row:
    """One rank: its losses, seconds a step and peak memory; RuntimeError where a step was not applied."""
    os.environ |= {"WORLD_SIZE": str(RANKS), "RANK": str(rank), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    overrides = ["model.weights=none", f"data.image_size={image_size}", "engine.name=zero2", "engine.micro_batch=1"]
    overrides += [f"engine.global_batch={RANKS}", "engine.activation_checkpointing=blocks"]
    config = load_config(ROOT / path, overrides)
    process = discover()
    start(process)
    torch.manual_seed(0)
    engine = build_engine(config, process, TrainingModule(make_model(config, LABELS), make_loss(config.loss)))
    losses, seconds = [], []
    for step in range(steps):
        began = time.perf_counter()
        torch.manual_seed(100 * step + process.rank)
        losses.append(float(engine.micro_step(*batch(config, "cpu"), last=True)))
        result = engine.step()
        if result.skipped or not torch.isfinite(result.grad_norm):
            raise RuntimeError(f"step {step} was not applied: gradient norm {float(result.grad_norm)}")
        seconds.append(round(time.perf_counter() - began, 1))
    peak = peak_resident_bytes()
    stop()
    return {"losses": losses, "seconds": seconds, "peak_rss_bytes": peak}
