"""Write a trained model for other programs: safetensors with its card, ONNX, torch.export, or a hub's directory."""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcfast import cli
from mlcfast.documents import reading
from mlcfast.errors import RunError, UsageError
from mlcfast.files import write_bytes
from mlcfast.models.card import ModelCard, card_file, save_model
from mlcfast.models.exported_forms import TAGGER
from mlcfast.models.hub_files import hub_files, refuse_filled, write_hub_directory
from mlcfast.models.hub_front import About
from mlcfast.models.loading import find_weights
from mlcfast.models.onnx_file import onnx_file
from mlcfast.models.temperature import fitted, temper
from mlcfast.models.torch_program import program_file
from mlcfast.models.trained import load_image_model, load_trained
from mlcfast.runs.directory import RunDirectory

if TYPE_CHECKING:  # cli is imported before torch, whose threads heed what it sets
    from torch import nn

FITTED = "fitted"  # the temperature that the model's card holds


def build_parser() -> cli.Parser:
    """The command line of `python -m mlcfast.export`."""
    parser = cli.Parser("export", __doc__, "python -m mlcfast.export runs/demo/best demo.onnx --format onnx")
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="model.safetensors or its directory")
    parser.add_argument("out", type=Path, metavar="OUT", help="a file; for safetensors also, for hub only a directory")
    parser.add_argument("--format", required=True, choices=tuple(WRITERS))
    parser.add_argument(
        "--int8",
        metavar="CONFIG",
        help="with onnx: in 8-bit numbers, set by CONFIG's training images and compared on its validation images",
    )
    parser.add_argument(
        "--fused", action="store_true", help="with onnx: as ONNX Runtime rewrites it, for ONNX Runtime alone"
    )
    parser.add_argument(
        "--temperature",
        type=_temperature,
        metavar="T",
        help="divide the logits by this, and move the thresholds along; fitted is the best T on the validation images",
    )
    parser.add_argument("--license", metavar="ID", help="with hub: the license, by the hub's identifier, as apache-2.0")
    parser.add_argument("--dataset", metavar="NAME", help="with hub: what it was trained on, in words or as USER/NAME")
    parser.add_argument("--tagger", action="store_true", help="with hub: also what programs that tag images load")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="with --int8: settings that override CONFIG's"
    )
    return parser


def _temperature(text: str) -> float | str:
    """A number, or the word for the one that the model's card holds."""
    if text == FITTED:
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor {FITTED}") from None


def work(args: argparse.Namespace) -> None:
    """Load the model, write it anew and say where it is."""
    if args.format != "onnx" and args.int8:
        raise UsageError("--int8 goes with --format onnx")
    if args.fused and (args.format != "onnx" or args.int8):
        raise UsageError("--fused goes with --format onnx, without --int8, which rewrites the model itself")
    if args.overrides and not args.int8:
        raise UsageError(f"{args.overrides[0]}: settings go with --int8 CONFIG")
    for option in ("license", "dataset", "tagger"):
        if args.format != "hub" and getattr(args, option):
            raise UsageError(f"--{option} goes with --format hub")
    try:
        said = WRITERS[args.format](args)
    except OSError as error:
        raise RunError(f"{args.out}: cannot be written: {error.strerror}") from error
    print(said, file=sys.stderr)


def load(args: argparse.Namespace, for_images: bool = True) -> tuple["nn.Module", ModelCard]:
    """The model and its card, at the temperature that was asked for."""
    model, card = (load_image_model if for_images else load_trained)(args.checkpoint)
    if args.temperature is None:
        return model, card
    return model, temper(model, card, fitted(card) if args.temperature == FITTED else args.temperature)


def write_safetensors(args: argparse.Namespace) -> str:
    """The weights and their card, without the run's configuration."""
    model, card = load(args, for_images=False)
    file = save_model(args.out, model.state_dict(), dataclasses.replace(card, config={}))
    return f"{file} and {file.with_suffix('.json').name}"


def write_onnx(args: argparse.Namespace) -> str:
    """One ONNX file, in 8 bits where asked for."""
    model, card = load(args)
    if args.out.is_dir():
        raise UsageError(f"{args.out}: a directory; name the file, such as {args.out / 'model.onnx'}")
    content, difference = onnx_file(model, card, args.out, quiet=not args.debug, fuse=args.fused)
    said = f"{args.out}: logits within {difference:.1e} of torch's on random images"
    if args.int8:
        content, said = in_8_bits(content, args, card)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(args.out, content)
    return said


def write_program(args: argparse.Namespace) -> str:
    """One program of torch.export."""
    model, card = load(args)
    if args.out.suffix != ".pt2" or args.out.is_dir():
        raise UsageError(f"{args.out}: the name of a program of torch.export ends with .pt2")
    content, difference = program_file(model, card, args.out)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(args.out, content)
    return f"{args.out}: logits within {difference:.1e} of the model's on random images"


def write_hub(args: argparse.Namespace) -> str:
    """A directory that is uploaded as it is."""
    refuse_filled(args.out)
    model, card = load(args)
    weights = find_weights(args.checkpoint)
    tagger = onnx_file(model, card, args.out, not args.debug, TAGGER)[0] if args.tagger else None
    about = About(args.out.absolute().name, args.license, args.dataset, report_of_test(weights))
    with reading(card_file(weights)):
        files = hub_files(card, about, tagger)
    names = write_hub_directory(args.out, model, card, files)
    return f"{args.out}: {', '.join(names)}; next: hf upload USER/NAME {args.out}"


def report_of_test(weights: Path) -> Mapping[str, Any] | None:
    """The report on the test images of a finished run's best model; None for other weights, and without such images."""
    run = RunDirectory(weights.absolute().parent.parent)
    if weights.parent.name != run.best.name or not run.outcome.exists():
        return None
    return run.read_outcome().get("test")


def in_8_bits(content: bytes, args: argparse.Namespace, card: ModelCard) -> tuple[bytes, str]:
    """The file in 8-bit numbers, and a line on how it compares."""
    from mlcfast.data.splits import find_split
    from mlcfast.evaluation.evaluate import load_for_model
    from mlcfast.evaluation.int8 import calibrated_and_judged

    config = load_for_model(args.int8, args.overrides, args.checkpoint)
    data = config.data.model_copy(update=card.preprocessing)
    held = find_split(find_weights(args.checkpoint))
    made, judged = calibrated_and_judged(content, config.model_copy(update={"data": data}), card.labels, held)
    return made, (
        f"{args.out}: mAP {judged.score_int8:.2f} in 8 bits, {judged.score:.2f} in fp32, on {judged.images} validation "
        f"images; {len(made) / 1e6:.1f} MB for {len(content) / 1e6:.1f}, {1e3 * judged.seconds_int8:.2f} ms an image "
        f"on one thread of this CPU for {1e3 * judged.seconds:.2f}"
    )


WRITERS: dict[str, Callable[[argparse.Namespace], str]] = {
    "safetensors": write_safetensors,
    "onnx": write_onnx,
    "torch_export": write_program,
    "hub": write_hub,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return cli.run(build_parser(), work, argv, needs=["timm"])


if __name__ == "__main__":
    sys.exit(main())
