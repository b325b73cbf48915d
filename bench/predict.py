"""How much prediction from files costs beyond the bare model: python -m bench.predict CHECKPOINT IMAGES [--count 1000]

Three things take turns over the same images: the model alone on tensors prepared beforehand, batch after batch; the
files' decoding and resizing alone; and `predict_files`. Where the model runs on the CPU, decoding needs the same cores;
prediction makes up for it by computing shares of a batch side by side instead of spreading each layer over the cores.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bench.timing import provenance
from mlcfast.data.sources import find_images
from mlcfast.data.stream import decoded_batches
from mlcfast.data.transforms import EvalTransform
from mlcfast.engine import Predictor, Process
from mlcfast.evaluation.predict_files import predict_files
from mlcfast.models.trained import load_trained


def medians(steps: dict[str, Callable[[], object]], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Median seconds of each step, on the clock and of the process's CPU time; the steps take turns."""
    seconds = {name: [] for name in steps}
    for _ in range(rounds + 1):  # the first one warms up
        for name, step in steps.items():
            clock, cpu = time.perf_counter(), time.process_time()
            step()
            seconds[name].append((time.perf_counter() - clock, time.process_time() - cpu))
    return tuple(
        {name: statistics.median(pair[kind] for pair in s[1:]) for name, s in seconds.items()} for kind in (0, 1)
    )


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("images", nargs="+")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    model, card = load_trained(args.checkpoint)
    process = Process()
    predictor = Predictor(process, model.to(process.device, memory_format=torch.channels_last), "fp32")
    sources = list(find_images(args.images))[: args.count]
    side, options = card.preprocessing["image_size"], (args.batch_size, args.workers)
    transform = EvalTransform(**card.preprocessing)
    batches = [
        transform.normalise_batch(np.stack([image.pixels for image in batch]))
        for batch in decoded_batches(sources, side, *options)
    ]
    steps = {
        "model": lambda: [predictor.predict(batch).cpu() for batch in batches],
        "decoding": lambda: list(decoded_batches(sources, side, *options)),
        "predict": lambda: list(predict_files(predictor, card, sources, *options)),
    }
    wall, cpu = medians(steps, args.rounds)
    row = {
        "images": len(sources),
        "image_size": side,
        "backbone": card.model["backbone"],
        "batch_size": args.batch_size,
        "workers": args.workers,
        **{f"{name}_images_per_second": round(len(sources) / seconds, 1) for name, seconds in wall.items()},
        **{f"{name}_cpu_ms_per_image": round(1e3 * seconds / len(sources), 3) for name, seconds in cpu.items()},
        "predict_over_model": round(wall["predict"] / wall["model"], 3),
        "predict_over_model_cpu": round(cpu["predict"] / cpu["model"], 3),
        "cores": os.cpu_count(),
    }
    print(json.dumps(row | provenance(process.device.type)))


if __name__ == "__main__":
    main()
