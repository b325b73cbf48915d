"""Store a backbone's pooled features of every split, for linear training (data.format features)."""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from mlcfast import cli

# isort: split
import torch
from torch import nn

from mlcfast.config import Config, load_config
from mlcfast.data import FeatureWriter, LabelledImages, holds_features
from mlcfast.data.build import evaluation_loader, open_split
from mlcfast.data.labels import holds_soft
from mlcfast.engine import Predictor, Process, keep_freed_memory, set_arithmetic, start
from mlcfast.engine.training_module import make_model
from mlcfast.errors import UsageError
from mlcfast.files import locked
from mlcfast.runs.journal import log_to_console


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
    """Extract split by split; an interrupted extraction goes on where it stopped."""
    config = load_config(args.config, args.overrides)
    if config.data.format == "features":
        raise UsageError("data.format features: these are features already")
    log_to_console()
    config = config.model_copy(update={"model": config.model.model_copy(update={"head": "linear"})})
    process, names, model = Process(), None, None
    start(process)
    data = config.data
    parts = (data.train, None if data.val_share else data.val, data.test)  # a share is a part of data.train
    for split in dict.fromkeys(part for part in parts if part):
        records = open_split(data, split, names)
        if holds_soft(records.labels):
            raise UsageError("data.uncertain: features hold no soft labels: set it to unknown, positive or negative")
        if model is None:
            names = records.names
            torch.manual_seed(config.seed)
            model = make_model(config, len(names)).eval()
        shape = extract(config, process, model, records, args.out / split, args.dtype)
        print(f"{args.out / split}: {shape[0]} × {shape[1]} {args.dtype}")


def extract(
    config: Config, process: Process, model: nn.Module, records: LabelledImages, directory: Path, dtype: str
) -> tuple[int, int]:
    """Write the pooled features of `records` into `directory`, unless they are there; returns (M, D)."""
    from tqdm import tqdm  # after cli, which says what to install where it is missing

    classifier = model.get_submodule("fc")
    assert isinstance(classifier, nn.Linear), "the head is linear"
    shape = (len(records), classifier.in_features)
    key = _key(config, model, records, dtype)
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory / ".lock"):
        if holds_features(directory, key):
            return shape
        set_arithmetic(config.engine)
        keep_freed_memory()
        predictor = Predictor(process, model.to(process.device), config.engine.precision)
        with FeatureWriter(directory, key, shape, dtype) as writer:
            loader = evaluation_loader(config, records, process, first=writer.done)
            with tqdm(total=shape[0], initial=writer.done, desc=directory.name, leave=False, disable=None) as bar:
                for images, _, index in loader:
                    rows = predictor.features(images).cpu().numpy()
                    writer.append(rows, [records.paths[i] for i in index.tolist()])
                    bar.update(len(rows))
            about: dict[str, object] = {"backbone": config.model.backbone, "image_size": config.data.image_size}
            if records.groups is not None:
                about["columns"] = {config.data.group: records.groups}
            writer.publish(records, about)
    return shape


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
