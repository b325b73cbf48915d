"""Write a trained model as a file that other programs load: safetensors with its card, or ONNX."""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from mlcfast import cli
from mlcfast.errors import RunError, UsageError
from mlcfast.files import write_bytes
from mlcfast.models.card import ModelCard, save_model
from mlcfast.models.onnx_file import onnx_file
from mlcfast.models.trained import load_image_model, load_trained


def build_parser() -> cli.Parser:
    """The command line of `python -m mlcfast.export`."""
    parser = cli.Parser("export", __doc__, "python -m mlcfast.export runs/demo/best demo.onnx --format onnx")
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="model.safetensors or its directory")
    parser.add_argument("out", type=Path, metavar="OUT", help="a file; for safetensors also a directory")
    parser.add_argument("--format", required=True, choices=("safetensors", "onnx"))
    parser.add_argument(
        "--int8",
        metavar="CONFIG",
        help="with onnx: in 8-bit numbers, set by CONFIG's training images and compared on its validation images",
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="with --int8: settings that override CONFIG's"
    )
    return parser


def work(args: argparse.Namespace) -> None:
    """Load the model, write it anew and say where it is."""
    if args.format != "onnx" and args.int8:
        raise UsageError("--int8 goes with --format onnx")
    if args.overrides and not args.int8:
        raise UsageError(f"{args.overrides[0]}: settings go with --int8 CONFIG")
    model, card = (load_image_model if args.format == "onnx" else load_trained)(args.checkpoint)
    if args.format == "onnx" and args.out.is_dir():
        raise UsageError(f"{args.out}: a directory; name the file, such as {args.out / 'model.onnx'}")
    try:
        if args.format == "onnx":
            content, difference = onnx_file(model, card, args.out, quiet=not args.debug)
            said = f"{args.out}: logits within {difference:.1e} of torch's on random images"
            if args.int8:
                content, said = in_8_bits(content, args, card)
            args.out.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(args.out, content)
        else:
            file = save_model(args.out, model.state_dict(), dataclasses.replace(card, config={}))
            said = f"{file} and {file.with_suffix('.json').name}"
    except OSError as error:
        raise RunError(f"{args.out}: cannot be written: {error.strerror}") from error
    print(said, file=sys.stderr)


def in_8_bits(content: bytes, args: argparse.Namespace, card: ModelCard) -> tuple[bytes, str]:
    """The file in 8-bit numbers, and a line on how it compares."""
    from mlcfast.data.splits import find_split
    from mlcfast.evaluation.evaluate import load_for_model
    from mlcfast.evaluation.int8 import calibrated_and_judged
    from mlcfast.models.loading import find_weights

    config = load_for_model(args.int8, args.overrides, args.checkpoint)
    data = config.data.model_copy(update=card.preprocessing)
    held = find_split(find_weights(args.checkpoint))
    made, judged = calibrated_and_judged(content, config.model_copy(update={"data": data}), card.labels, held)
    return made, (
        f"{args.out}: mAP {judged.score_int8:.2f} in 8 bits, {judged.score:.2f} in fp32, on {judged.images} validation "
        f"images; {len(made) / 1e6:.1f} MB for {len(content) / 1e6:.1f}, {1e3 * judged.seconds_int8:.2f} ms an image "
        f"on one thread of this CPU for {1e3 * judged.seconds:.2f}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return cli.run(build_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
