"""Whether a directory's labels are its folders of images or the label file beside them."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from mlcfast.data.labels import pairs
from mlcfast.data.readers.elsewhere import notes_without_images
from mlcfast.data.readers.folder_tables import tables_of
from mlcfast.data.readers.image_files import images_below
from mlcfast.data.readers.image_folders import (
    NO_LABELS,
    OF_SPLITS,
    folders_of_images,
    folders_of_labels,
    part_in,
    parts_of,
)
from mlcfast.data.readers.part_columns import part_of
from mlcfast.data.readers.source import LabelSource
from mlcfast.data.splits import TRAIN, is_split_word
from mlcfast.errors import UsageError


def label_folders(path: Path) -> list[Path]:
    """Folders of images whose names may be labels, those within folders of splits included; none where it is one."""
    folders = folders_of_images(path)
    found = [folder for folder in folders_of_labels(folders) or folders if folder.name.lower() not in NO_LABELS]
    return found if len({folder.name for folder in found}) > 1 else []


def may_be_labels(path: Path) -> list[Path]:
    """The same folders, but none where all are called as parts of the data are."""
    folders = label_folders(path)
    return [] if all(OF_SPLITS.fullmatch(folder.name) for folder in folders) else folders


def check_beside(path: Path, table: Path, *sources: LabelSource) -> None:
    """UsageError where the folders beside a label file, or beside one of each part, may be the labels as well.

    So it is where the file names fewer than half of the images in them, or calls its labels as they are called.
    """
    folders = may_be_labels(path)
    if not folders:
        return
    called, names = {folder.name for folder in folders}, {name for source in sources for name in source.names}
    alike = not called.isdisjoint(names) and not all(map(_labels_are_folders, sources))
    images = {image for source in sources for image in source.images}
    few = 2 * len(images) < sum(len(images_below(folder)) for folder in folders)
    if alike or few:
        raise UsageError(
            f"{path}: may be read as folders, each a label, {folders[0].name!r} among them, or by {table.name}: set "
            f"data.format to folders, or name {table}"
        )


def _labels_are_folders(source: LabelSource) -> bool:
    """Whether each image has the one label that its folder is called, so that both readings are the same."""
    rows, columns = pairs(source.states)
    label = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    if not len(rows) == len(label) == len(source.images):
        return False
    return all(PurePosixPath(image).parent.name == source.names[label[row]] for row, image in enumerate(source.images))


def or_folders(path: Path, error: UsageError) -> UsageError:
    """What is wrong with a label file, and that folders beside it may be the labels, if there are such."""
    folders = may_be_labels(path)
    if not folders:
        return error
    return UsageError(f"{error}; or set data.format to folders, if they are the labels ({folders[0].name!r}, …)")


def refuse_parts(path: Path, folders: Sequence[Path]) -> None:
    """UsageError where all folders of images are called as parts of the data are, which are no labels."""
    named = [] if parts_of(folders).labelled else [folder.name for folder in folders]
    if len(named) > 1 and all(map(OF_SPLITS.fullmatch, named)) and not all(map(is_split_word, named)):
        tables = [*notes_without_images(path), *(table for folder in folders for table in tables_of(folder))]
        table = min(tables, key=lambda file: part_of(part_in(file.stem) or "") != TRAIN, default=None)
        shown = f", such as {table.relative_to(path)}" if table is not None else ""
        raise UsageError(
            f"{path}: no labels found: {named[0]!r} and {named[1]!r} are called as parts of the data are: name the "
            f"file of the labels{shown}, or set data.format to folders if they are labels"
        )
