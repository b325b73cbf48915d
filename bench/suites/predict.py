"""How much prediction from files costs beyond the bare model.

Three things take turns over the same images: the model alone on tensors prepared beforehand, batch after batch; the
files' decoding and resizing alone; and `predict_files`. Where the model runs on the CPU, decoding needs the same cores;
prediction makes up for it by computing shares of a batch side by side instead of spreading each layer over the cores.
"""

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bench.suites import Context, Rows, SkippedError
from mlcfast.data.sources import find_images
from mlcfast.data.stream import decoded_batches
from mlcfast.data.transforms import EvalTransform
from mlcfast.engine import Predictor, Process
from mlcfast.evaluation.predict_files import predict_files
from mlcfast.models.trained import load_trained


def rows(context: Context) -> Rows:
    """One row: images a second and CPU milliseconds an image of the three, and prediction's over the model's."""
    checkpoint, images = context.options["checkpoint"], context.options["images"]
    if not (checkpoint and images):
        raise SkippedError("needs checkpoint=… and images=…")
    model, card = load_trained(Path(checkpoint))
    process = Process()
    predictor = Predictor(process, model.to(process.device, memory_format=torch.channels_last), "fp32")
    sources = list(find_images(images.split(",")))[: context.options["count"]]
    batch_size, workers = context.options["batch_size"], context.options["workers"] or os.cpu_count()
    side, transform = card.preprocessing["image_size"], EvalTransform(**card.preprocessing)
    batches = [
        transform.normalise(torch.from_numpy(np.stack([image.pixels for image in batch])).permute(0, 3, 1, 2))
        for batch in decoded_batches(sources, side, batch_size, workers)
    ]
    steps = {
        "model": lambda: [predictor.predict(batch).cpu() for batch in batches],
        "decoding": lambda: list(decoded_batches(sources, side, batch_size, workers)),
        "predict": lambda: list(predict_files(predictor, card, sources, batch_size, workers)),
    }
    wall, cpu = medians(steps, context.options["rounds"])
    row = {"backbone": card.model["backbone"], "image_size": side, "images": len(sources), "batch_size": batch_size}
    row |= {"workers": workers, "cores": os.cpu_count()}
    row |= {f"{name}_images_per_second": round(len(sources) / seconds, 1) for name, seconds in wall.items()}
    row |= {f"{name}_cpu_ms_per_image": round(1e3 * seconds / len(sources), 3) for name, seconds in cpu.items()}
    row |= {"predict_over_model": round(wall["predict"] / wall["model"], 3)}
    yield row | {"predict_over_model_cpu": round(cpu["predict"] / cpu["model"], 3)}


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
