"""Tables of one header in a folder, each of other images, as MLRSNet has one for each scene: read together."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from mlcfast.data.labels import stacked
from mlcfast.data.readers.folder_tables import are_pieces
from mlcfast.data.readers.label_file import read_single
from mlcfast.data.readers.paths import plain_path
from mlcfast.data.readers.source import LabelSource, TableOptions


def read_together(folder: Path, tables: Sequence[Path], options: TableOptions) -> LabelSource | None:
    """The images of all tables; None where they are no pieces, have no column for each label, or share an image.

    They may then be versions of the same labels.
    """
    if not are_pieces(tables):
        return None
    sources = [read_single(file, options) for file in tables]
    first = sources[0]
    images = [image for source in sources for image in source.images]
    if len({*map(plain_path, images)}) < len(images) or any(source.format != "wide" for source in sources):
        return None
    if any(source.names != first.names or source.cells != first.cells for source in sources):
        return None
    said = f"{len(tables)} tables have the same columns and other images, first {tables[0].name}: they are read as one"
    warned = [line for source in sources for line in source.warnings if not line.startswith("no image has the label")]
    return dataclasses.replace(
        first,
        path=folder,
        images=images,
        lines=range(1, len(images) + 1),
        states=stacked([source.states for source in sources]),
        columns={name: [cell for source in sources for cell in source.columns[name]] for name in first.columns},
        assumptions=[said, *dict.fromkeys(line for source in sources for line in source.assumptions)],
        warnings=[*dict.fromkeys(warned)],
    )
