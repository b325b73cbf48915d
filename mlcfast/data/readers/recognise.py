"""Recognises what a label file or a directory is and reads it; what could be several things is an error."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from mlcfast.data.labels import count, stacked
from mlcfast.data.readers.authors import is_authors
from mlcfast.data.readers.directories import ROBOFLOW, ROBOFLOW_BOXES, at, called, in_either, read_directory
from mlcfast.data.readers.image_files import holds_images, unread_below
from mlcfast.data.readers.label_file import only_one, read_file
from mlcfast.data.readers.lists import KERAS
from mlcfast.data.readers.name_tables import with_names
from mlcfast.data.readers.names import garbled, nearly_equal, refuse_halves, with_plain_labels
from mlcfast.data.readers.registry import has_splits, known_as, read_as
from mlcfast.data.readers.side_by_side import parts_among, tables_apart, tables_of_parts, without_names
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.readers.text_lists import unread_lists
from mlcfast.data.readers.voc import lists_called, read_lists
from mlcfast.data.readers.wrapped import tables_in, within
from mlcfast.data.splits import is_part
from mlcfast.documents import reading, refuse_special
from mlcfast.errors import UsageError
from mlcfast.registry import hint

ALIKE = "look alike"  # in the warning of such labels
SINGLES = ("list", "metadata", "tag_files", "file_list", "parquet", "huggingface", "webdataset")  # of words or numbers
TABLES = ("wide", "list", "long", "metadata", "coco")  # of a directory, beside which lists of images may stand
LEAST_LABELS = 10  # of which fewer may well be of one image each


def read_labels(path: Path, options: TableOptions) -> LabelSource:
    """Read a label file by what it holds, or a directory by its layout; UsageError where it has several splits."""
    return only_one(path, read_all(path, options))


def read_named(root: Path, name: str, options: TableOptions) -> LabelSource:
    """Read the file or directory `root/name`; where there is none, the split of that name of the data set in `root`."""
    root = root if (root / name).exists() else within(root)
    path = root / name
    listed = lists_called(root, name) if options.form in ("auto", "voc") and not path.exists() else []
    if listed:
        (source,) = read_lists(root, listed, options)
        return at(_with_settled_names(source), root)
    may_be_part = root.is_dir() and not path.is_file() and not (path.exists() and path.samefile(root))
    of_authors = may_be_part and is_authors(root)  # whose splits are more than the folders that they name
    plain = options.form == "auto" and not path.is_file()
    tables = without_names(tables_in(root))[0] if plain else []
    parts = tables_of_parts(tables) if path.exists() else parts_among(tables)[0]
    parts = parts or (tables_apart(root) if plain else {})
    by_tables = any(is_part(part, name) for part in parts)
    known = by_tables or (has_splits(options.form) if options.form != "auto" else known_as(root))
    if (path.exists() and not of_authors and not by_tables) or not root.is_dir() or not known:
        path = called(path, root)
        try:
            source = read_labels(path, options)
        except UsageError as error:
            part = _part_of(root, name, options) if options.form == "auto" and path.is_dir() and path != root else None
            if part is None:
                raise error from None
            return part
        if source.root == path:
            apart = path.is_dir() and source.unpack is None and not holds_images(path)  # a folder of tables alone
            return dataclasses.replace(source, root=root) if apart else in_either(source, path, root)
        return source
    sources = read_all(root, options)
    exact = [source for source in sources if source.split == name]
    fitting = exact or [source for source in sources if source.split and is_part(source.split, name)]
    if len(fitting) != 1:
        shown = ", ".join(source.split or "one without a name" for source in sources)
        near = hint(name, [source.split for source in sources])
        raise UsageError(f"{root}: no split {name!r}, and no file of that name; there is {shown}{near}")
    return fitting[0]


def _part_of(root: Path, name: str, options: TableOptions) -> LabelSource | None:
    """The split of a data set that is called as a folder of it is, which holds images alone; None where none is."""
    try:
        sources = read_all(root, options)
    except UsageError:
        return None
    fitting = [source for source in sources if source.split and is_part(source.split, name)]
    return fitting[0] if len(fitting) == 1 else None


def read_all(path: Path, options: TableOptions) -> list[LabelSource]:
    """The sources of a file or a directory, a split each; of a directory they say where their images are."""
    refuse_special(path)
    given, path = path, within(path)
    in_layout = options.form == "coco" and path.is_dir()
    with reading(path, within=path.parent):
        if options.form != "auto" and not in_layout:
            sources = [at(source, path) if path.is_dir() else source for source in read_as(path, options)]
        else:
            sources = read_directory(path, options) if path.is_dir() else read_file(path, options)
    unread = unread_below(path) if path.is_dir() and sources[0].format in ("folders", "tag_files", "yolo") else []
    unread += unread_lists(path, sources[0].images) if path.is_dir() and sources[0].format in TABLES else []
    said = [] if path == given else [f"{path.relative_to(given)} is the only folder in {given}: what is in it is read"]
    assumed, warned = [*sources[0].assumptions, *said], [*sources[0].warnings, *unread]
    sources = [dataclasses.replace(sources[0], assumptions=assumed, warnings=warned), *sources[1:]]
    sources = [_with_settled_names(source) for source in with_names(sources, options)]
    if any(ALIKE in line for source in sources for line in source.warnings):
        return sources
    alike = nearly_equal([name for source in sources for name in source.names], "the labels")
    return [dataclasses.replace(sources[0], warnings=[*sources[0].warnings, *alike]), *sources[1:]]


def _with_settled_names(source: LabelSource) -> LabelSource:
    refuse_halves(source)
    source = with_plain_labels(source)
    alike = [line for line in nearly_equal(source.names, "the labels") if line not in source.warnings]
    more = [*alike, *garbled(source.names), *_of_one_image(source)]
    return dataclasses.replace(
        source, warnings=[*source.warnings, *(each for each in more if each not in source.warnings)]
    )


def _of_one_image(source: LabelSource) -> list[str]:
    """A warning where nearly each label is that of one image alone, as texts, names and addresses are."""
    if source.format not in SINGLES or 2 * len(source.names) < len(source.images):
        return []
    times = count(source.states, 1, axis=0)
    alone, held = times == 1, times > 0
    if held.sum() < LEAST_LABELS or 10 * alone.sum() < 9 * held.sum():
        return []
    if all(map(str.isdecimal, source.names)):  # of which the readers say what they may be
        return []
    name = source.names[int(alone.argmax())]
    said = f"{int(alone.sum())} of {int(held.sum())} labels are of one image each, first {name!r}"
    return [f"{said}: if they are texts, names or addresses of the images, these are no labels"]


def image_root(path: Path, root: Path) -> Path:
    """Where the images of a label file are: beside Roboflow's tables and metadata files, else in the root."""
    beside = path.name in (ROBOFLOW, ROBOFLOW_BOXES, KERAS) or path.stem == "metadata"
    return path if path.is_dir() else path.parent if beside else root


def combined(sources: Sequence[LabelSource]) -> LabelSource:
    """Several splits as one source, their labels united in the order in which they first appear."""
    if len(sources) == 1:
        return sources[0]
    names = list(dict.fromkeys(name for source in sources for name in source.names))
    ordered = [source.in_order(names) for source in sources]
    first = ordered[0]
    return dataclasses.replace(
        first,
        images=[f"{source.path.stem}/{image}" for source in ordered for image in source.images],
        lines=[line for source in ordered for line in source.lines],
        names=names,
        states=stacked([source.states for source in ordered]),
        assumptions=list(dict.fromkeys(line for source in ordered for line in source.assumptions)),
        warnings=[f"{source.path.name}: {line}" for source in ordered for line in source.warnings],
    )
