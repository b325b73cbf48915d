"""Make the demo set: scenes of handwritten digits in MS-COCO's layout."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mlcfast import cli
from mlcfast.data import contact_sheet, ensure_demo, read_coco
from mlcfast.data.demo_styles import STYLES

ON_SHEET = 32  # validation scenes


def build_parser() -> cli.Parser:
    """The command line of `python -m mlcfast.demo_data`."""
    parser = cli.Parser("demo_data", __doc__, "python -m mlcfast.demo_data datasets/demo --images 6000 --seed 0")
    parser.add_argument("directory", type=Path, metavar="DIR", help="where to put it; made if absent")
    parser.add_argument("--images", type=int, default=6000, help="scenes in all; train, val and test get 4 : 1 : 1")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other scenes")
    parser.add_argument(
        "--style", choices=STYLES, default="digits", help="few large digits, or many small coloured ones among scraps"
    )
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", help=f"also save {ON_SHEET} validation scenes as one picture"
    )
    return parser


def work(args: argparse.Namespace) -> None:
    """Make the set unless it is there and say where it is."""
    from tqdm import tqdm  # after cli, which says what to install where it is missing

    with tqdm(total=args.images, desc="scenes", leave=False, disable=None) as bar:
        made = ensure_demo(
            args.directory, args.images, args.seed, None, lambda done, _: bar.update(done - bar.n), args.style
        )
    print(f"{args.directory}: {args.images} scenes of digits, {'made' if made else 'already there'}")
    if args.sheet:
        contact_sheet(read_coco(args.directory, "val").paths[:ON_SHEET]).save(args.sheet)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return cli.run(build_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
