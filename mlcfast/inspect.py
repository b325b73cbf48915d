"""Show what a label file or directory holds and how it was read."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlcfast import cli
from mlcfast.data.readers.paths import ImageFinder
from mlcfast.data.readers.recognise import combined, image_root, read_directory, read_labels
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.errors import UsageError

SHOWN = 20  # labels in the table a person reads


def build_parser() -> cli.Parser:
    """The command line of `python -m mlcfast.inspect`."""
    parser = cli.Parser("inspect", __doc__, "python -m mlcfast.inspect photos/labels.csv --images photos")
    parser.add_argument("data", type=Path, metavar="DATA", help="a label file, or a directory that holds one")
    parser.add_argument("--images", type=Path, metavar="DIR", help="where the images are (default: beside the file)")
    parser.add_argument("--image-column", metavar="NAME", help="the column of image files")
    parser.add_argument("--label-columns", metavar="A,B", help="the columns that are labels")
    parser.add_argument("--ignore-columns", metavar="A,B", help="columns that are no labels")
    parser.add_argument("--separator", metavar="SIGN", help="between the labels of a list column")
    parser.add_argument(
        "--uncertain",
        choices=("unknown", "positive", "negative"),
        default="unknown",
        help="what -1 means beside blanks",
    )
    parser.add_argument("--allow-outside", action="store_true", help="images may lie outside the directory")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    return parser


def work(args: argparse.Namespace) -> None:
    """Read the labels, look for the images and print what was found."""
    options = TableOptions(
        args.image_column,
        _names(args.label_columns),
        _names(args.ignore_columns),
        args.separator,
        args.uncertain,
        args.allow_outside,
    )
    found = open_sources(args.data, args.images, options)
    print(json.dumps(summary(found)) if args.json else table(summary(found)))


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",")) if text else ()


def open_sources(data: Path, images: Path | None, options: TableOptions) -> list[tuple[LabelSource, list[str | None]]]:
    """Each split's labels and the paths of its images, None for one that is missing."""
    if not data.exists():
        raise UsageError(f"{data}: no such file or directory")
    if data.is_dir():
        sources = read_directory(data, options)
    else:
        sources = [(read_labels(data, options), image_root(data, data.parent))]
    found = []
    for source, root in sources:
        finder = ImageFinder(images or root, options.allow_outside)
        places = zip(source.images, source.lines, strict=True)
        found.append((source, [finder.find(name, f"{source.path}: line {line}") for name, line in places]))
    return found


def summary(found: Sequence[tuple[LabelSource, list[str | None]]]) -> dict[str, Any]:
    """The document of `--json`."""
    source = combined([source for source, _ in found])
    paths = [path for _, places in found for path in places]
    missing = [image for image, path in zip(source.images, paths, strict=True) if path is None]
    counts = {word: (source.states == code).sum(axis=0) for word, code in _STATES.items()}
    warnings = list(source.warnings)
    if missing:
        warnings.append(f"{len(missing)} of {len(source.images)} images are missing, first {missing[0]!r}")
    twice = [path for path, times in Counter(filter(None, paths)).items() if times > 1]
    if twice:
        warnings.append(f"{len(twice)} image files are named several times or in several splits, first {twice[0]!r}")
    unlabelled = int((~(source.states == 1).any(axis=1)).sum())
    if unlabelled:
        warnings.append(f"{unlabelled} images have no label")
    return {
        "format": source.format,
        "images": len(source.images),
        "missing": len(missing),
        "labels": source.names,
        **{word: dict(zip(source.names, map(int, values), strict=True)) for word, values in counts.items()},
        "unlabelled": unlabelled,
        "assumptions": source.assumptions,
        "warnings": warnings,
    }


_STATES = {"positives": 1, "negatives": -1, "unknown": 0}


def table(about: dict[str, Any]) -> str:
    """The summary as lines a person reads; labels by how many images have them."""
    lines = [f"read as {about['format']}: {about['images']} images ({about['missing']} missing)"]
    lines[0] += f", {len(about['labels'])} labels"
    ordered = sorted(about["labels"], key=lambda name: -about["positives"][name])
    width = max((len(name) for name in [*ordered[:SHOWN], "label"]), default=5)
    lines.append(f"{'label':<{width}} {'positives':>10} {'negatives':>10} {'unknown':>10}")
    for name in ordered[:SHOWN]:
        lines.append(f"{name:<{width}} " + " ".join(f"{about[word][name]:>10}" for word in _STATES))
    if len(ordered) > SHOWN:
        lines.append(f"… and {len(ordered) - SHOWN} more")
    lines += [f"assumed: {line}" for line in about["assumptions"]]
    return "\n".join([*lines, *(f"warning: {line}" for line in about["warnings"])])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return cli.run(build_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
