"""Store a backbone's pooled features of every split, for linear training (data.format features)."""

import argparse
import contextlib
import hashlib
import sys
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from mlcfast import cli

# isort: split
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from mlcfast.config import Config, load_config
from mlcfast.data import FeatureWriter, LabelledImages, holds_features
from mlcfast.data.build import loader_in_turn, open_split
from mlcfast.data.labels import holds_soft
from mlcfast.engine import (
    Predictor,
    Process,
    all_gather_objects,
    all_reduce_max,
    discover,
    keep_freed_memory,
    on_main,
    peers_explained,
    require_one_command_line,
    set_arithmetic,
    start,
    stop,
)
from mlcfast.engine.training_module import make_model
from mlcfast.errors import UsageError
from mlcfast.files import locked
from mlcfast.runs.journal import log_to_console, said_once


def build_parser() -> cli.Parser:
    """The command line of `python -m mlcfast.features`."""
    parser = cli.Parser(
        "features", __doc__, "python -m mlcfast.features configs/role_finetune.yaml --out datasets/coco_resnet50"
    )
    parser.add_argument("config", help="YAML file: its data, backbone, weights, image size and precision are used")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that replace the file's")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where to put them; made if absent")
    parser.add_argument("--dtype", choices=("float16", "float32"), default="float16", help="default float16")
    return parser


def work(args: argparse.Namespace) -> None:
    """Extract the splits; an interrupted extraction goes on where it stopped. Ranks share each split's images."""
    config = load_config(args.config, args.overrides)
    if config.data.format == "features":
        raise UsageError("data.format features: these are features already")
    config = config.model_copy(update={"model": config.model.model_copy(update={"head": "linear"})})
    process = discover()
    if process.is_main:
        log_to_console()
    start(process)
    try:
        with peers_explained(process, "the same command goes on"):
            require_one_command_line(args)
            extract_splits(config, process, args.out, args.dtype)
    finally:
        stop()


def extract_splits(config: Config, process: Process, out: Path, dtype: str) -> None:
    """Write the features of every split that the configuration names into a directory of its own; a collective."""
    data, names, model = config.data, None, None
    parts = (data.train, None if data.val_share else data.val, data.test)  # a share is a part of data.train
    for split in dict.fromkeys(part for part in parts if part):
        with said_once(process.is_main):
            records = open_split(data, split, names)
        if holds_soft(records.labels):
            raise UsageError("data.uncertain: features hold no soft labels: set it to unknown, positive or negative")
        if model is None:
            names = records.names
            torch.manual_seed(config.seed)
            model = make_model(config, len(names)).eval()
        directory = out / str(split)
        shape = extract(config, process, model, records, directory, dtype)
        if process.is_main:
            print(f"{directory}: {shape[0]} × {shape[1]} {dtype}")


def extract(
    config: Config, process: Process, model: nn.Module, records: LabelledImages, directory: Path, dtype: str
) -> tuple[int, int]:
    """Write the pooled features of `records` into `directory`, unless they are there; returns (M, D).

    A collective: the ranks take the batches in turn, and the main process writes what they found, in order.
    """
    from tqdm import tqdm  # after cli, which says what to install where it is missing

    classifier = model.get_submodule("fc")
    assert isinstance(classifier, nn.Linear), "the head is linear"
    shape = (len(records), classifier.in_features)
    writers: list[FeatureWriter] = []  # one, on the main process
    with contextlib.ExitStack() as opened:

        def begin() -> int | None:
            """How many rows are there; None where all are."""
            key = _key(config, model, records, dtype)
            directory.mkdir(parents=True, exist_ok=True)
            opened.enter_context(locked(directory / ".lock"))
            if holds_features(directory, key):
                return None
            writers.append(opened.enter_context(FeatureWriter(directory, key, shape, dtype)))
            return writers[0].done

        done = on_main(process, begin)
        if done is None:
            return shape
        set_arithmetic(config.engine)
        keep_freed_memory()
        predictor = Predictor(process, model.to(process.device), config.engine.precision)
        quiet = None if process.is_main else True
        with tqdm(total=shape[0], initial=done, desc=directory.name, leave=False, disable=quiet) as bar:
            for rows, index in rows_in_order(predictor, loader_in_turn(config, records, process, done)):
                for writer in writers:
                    writer.append(rows, [records.paths[i] for i in index])
                bar.update(len(rows))
        about: dict[str, object] = {"backbone": config.model.backbone, "image_size": config.data.image_size}
        if records.groups is not None:
            about["columns"] = {config.data.group: records.groups}
        on_main(process, lambda: writers[0].publish(records, about))
    return shape


def rows_in_order(predictor: Predictor, loader: DataLoader) -> Iterator[tuple[np.ndarray, list[int]]]:
    """The features (m, D) and numbers of the images of every batch, in order, on every rank; a collective.

    loader: this rank's batches, which it takes in turn with the others.
    """
    batches = iter(loader)
    for _ in range(all_reduce_max([len(loader)])[0]):
        found = [(predictor.features(images).cpu().numpy(), index.tolist()) for images, _, index in islice(batches, 1)]
        yield from chain.from_iterable(all_gather_objects(found))
    # Read to its end, which a loader's worker processes wait for.
    assert next(batches, None) is None, "a loader has as many batches as it says"


def _key(config: Config, model: nn.Module, records: LabelledImages, dtype: str) -> str:
    """A digest of all that the features depend on: images, weights, transform, precision, batch."""
    data = config.data
    settings = (data.image_size, data.mean, data.std, config.engine.precision, config.engine.micro_batch, dtype)
    digest = hashlib.sha256(repr(settings).encode())
    digest.update("\0".join(records.paths).encode())
    for name, tensor in model.get_submodule("backbone").state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return cli.run(build_parser(), work, argv, needs=["timm"])


if __name__ == "__main__":
    sys.exit(main())
