"""Write a trained model as a file that other programs load: safetensors with its card, or ONNX."""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from mlcfast import cli
from mlcfast.errors import RunError, UsageError
from mlcfast.models.card import save_model
from mlcfast.models.onnx_file import export_onnx
from mlcfast.models.trained import load_image_model, load_trained


def build_parser() -> cli.Parser:
    """The command line of `python -m mlcfast.export`."""
    parser = cli.Parser("export", __doc__, "python -m mlcfast.export runs/demo/best demo.onnx --format onnx")
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="model.safetensors or its directory")
    parser.add_argument("out", type=Path, metavar="OUT", help="a file; for safetensors also a directory")
    parser.add_argument("--format", required=True, choices=("safetensors", "onnx"))
    return parser


def work(args: argparse.Namespace) -> None:
    """Load the model, write it anew and say where it is."""
    model, card = (load_image_model if args.format == "onnx" else load_trained)(args.checkpoint)
    if args.format == "onnx" and args.out.is_dir():
        raise UsageError(f"{args.out}: a directory; name the file, such as {args.out / 'model.onnx'}")
    try:
        if args.format == "onnx":
            difference = export_onnx(model, card, args.out, quiet=not args.debug)
            said = f"{args.out}: logits within {difference:.1e} of torch's on random images"
        else:
            file = save_model(args.out, model.state_dict(), dataclasses.replace(card, config={}))
            said = f"{file} and {file.with_suffix('.json').name}"
    except OSError as error:
        raise RunError(f"{args.out}: cannot be written: {error.strerror}") from error
    print(said, file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return cli.run(build_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
