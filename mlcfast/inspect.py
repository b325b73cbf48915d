"""Show what a label file or directory holds and how it was read."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlcfast import cli
from mlcfast.data.readers.pictures import look_at
from mlcfast.data.readers.source import TableOptions, policy_code
from mlcfast.data.readers.summary import STATES, open_sources, sides_of, summary
from mlcfast.data.splits import in_words
from mlcfast.errors import counted, printable

SHOWN = 20  # labels in the table a person reads


def build_parser() -> cli.Parser:
    """The command line of `python -m mlcfast.inspect`."""
    parser = cli.Parser("inspect", __doc__, "python -m mlcfast.inspect photos/labels.csv --images photos")
    parser.add_argument("data", type=Path, metavar="DATA", help="a label file, or a directory that holds one")
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="where the images are (default: where the labels' layout has them)"
    )
    parser.add_argument("--format", default="auto", metavar="NAME", help="what it is, where that is not recognised")
    parser.add_argument("--image-column", metavar="NAME", help="the column of image files")
    parser.add_argument("--label-columns", type=cli.names, metavar="A,B", help="the columns that are labels")
    parser.add_argument("--ignore-columns", type=cli.names, metavar="A,B", help="columns that are no labels")
    parser.add_argument("--separator", metavar="SIGN", help="between the labels of a list column")
    parser.add_argument(
        "--uncertain",
        type=_policies,
        default="unknown",
        metavar="POLICY",
        help="what -1 means beside 0 and blanks: unknown, positive, negative or a soft label such as 0.7; by label as "
        "Edema=positive,Fracture=0.3",
    )
    parser.add_argument("--allow-outside", action="store_true", help="images may lie outside the directory")
    parser.add_argument("--split-column", metavar="NAME", help="the column that says what trains, validates and tests")
    parser.add_argument("--group", metavar="NAME", help="the column of what is not torn apart, such as the patient")
    parser.add_argument("--val", type=cli.probability, metavar="SHARE", help="divide it as data.val=SHARE would")
    parser.add_argument("--seed", type=int, default=0, help="of that division (default 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    return parser


def _policies(text: str) -> str | dict[str, str]:
    """One policy, or one for each label named; for argparse, whose error names the option."""
    parts = [part.rpartition("=") for part in cli.names(text)]
    try:
        for _, _, policy in parts:
            policy_code(policy.strip())
        if len(parts) > 1 and not all(sign for _, sign, _ in parts):
            raise ValueError(f"{text!r} names a policy without its label: write LABEL=POLICY,…")
        labels = [label.strip() for label, _, _ in parts]
        if len(set(labels)) < len(labels):
            raise ValueError(f"{text!r} names a label twice: keep one policy for it")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    named = {label.strip(): policy.strip() for label, sign, policy in parts if sign}
    return named or text.strip()


def work(args: argparse.Namespace) -> None:
    """Read the labels, look for the images and print what was found."""
    options = TableOptions(
        args.image_column,
        _names(args.label_columns),
        _names(args.ignore_columns),
        args.separator,
        args.uncertain,
        args.allow_outside,
        args.split_column,
        args.group,
        "auto" if args.format == "csv" else args.format,  # the name that configurations have for it
    )
    found = open_sources(args.data, args.images, options)
    about = summary(found, sides_of(found, options, args.val, args.seed))
    on_disk = [path for source, paths in found if source.unpack is None for path in paths if path is not None]
    seen = look_at(on_disk)
    about |= {key: seen[key] for key in ("looked_at", "formats", "sizes")}
    about["warnings"] += seen["warnings"]
    print(json.dumps(about) if args.json else printable(table(about)))


def _names(given: list[str] | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in given or ())


def table(about: dict[str, Any]) -> str:
    """The summary as lines a person reads; labels by how many images have them."""
    lines = [f"read as {about['format']}: {about['images']} images ({about['missing']} missing)"]
    lines[0] += f", {counted(len(about['labels']), 'label')}"
    ordered = sorted(about["labels"], key=lambda name: -about["positives"][name])
    width = max((len(name) for name in [*ordered[:SHOWN], "label"]), default=5)
    lines.append(f"{'label':<{width}} {'positives':>10} {'negatives':>10} {'unknown':>10}")
    for name in ordered[:SHOWN]:
        lines.append(f"{name:<{width}} " + " ".join(f"{about[word][name]:>10}" for word in STATES))
    if len(ordered) > SHOWN:
        lines.append(f"… and {len(ordered) - SHOWN} more")
    if about["sizes"]:
        (low, short), (wide, high) = about["sizes"]
        shown = ", ".join(f"{number} {form}" for form, number in about["formats"].items())
        lines.append(f"pictures: {shown}; {low} × {short} to {wide} × {high} pixels")
    lines += [f"split: {in_words(about['splits'])}"] if about["splits"] else []
    lines += [f"assumed: {line}" for line in about["assumptions"]]
    return "\n".join([*lines, *(f"warning: {line}" for line in about["warnings"])])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return cli.run(build_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
