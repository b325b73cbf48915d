"""Files of annotations that stand beside the images of a data set, in whatever folders those are."""

from collections.abc import Callable, Sequence
from pathlib import Path

from mlcfast.data.readers.boxes import read_xml
from mlcfast.data.readers.image_files import image_beside, is_hidden
from mlcfast.data.readers.json_files import is_labelme_file
from mlcfast.data.readers.lists import BOXES
from mlcfast.data.readers.sheet import read_text
from mlcfast.errors import UsageError


def annotated_beside(folder: Path) -> tuple[str, Path] | None:
    """The format of the annotations beside images in the folders of a directory, and the first such file.

    The first file of a kind that has content and an image of its name beside it decides; None where no kind is found.
    """
    for ending, (form, knows) in KINDS.items():
        files = (file for file in sorted(folder.rglob(f"*{ending}")) if file.parent != folder and image_beside(file))
        seen = (file for file in files if not is_hidden(file.relative_to(folder)))
        first = next((file for file in seen if file.stat().st_size), None)  # a file without boxes is empty
        if first is not None and knows(first):
            return form, first
    return None


def voc_apart(folder: Path, images: Sequence[Path]) -> Path | None:
    """The folder of Pascal VOC's files that annotate the images of another, by their names; None without one.

    images: all in the directory. They must stand in one folder, these files in one other, and each have its image.
    """
    files = [file for file in sorted(folder.rglob("*.xml")) if not is_hidden(file.relative_to(folder))]
    places = {file.parent for file in files}
    pictured = {image.parent for image in images}
    if len(places) != 1 or len(pictured) != 1 or pictured & {*places, folder} or places == {folder}:
        return None
    named = {file.stem for file in files} <= {image.stem for image in images}
    return files[0].parent if named and _is_voc(files[0]) else None


def _is_voc(file: Path) -> bool:
    try:
        return read_xml(file).tag == "annotation"
    except UsageError:
        return False


def _is_yolo(file: Path) -> bool:
    text = read_text(file)[0]
    return bool(text.strip()) and BOXES.fullmatch(text) is not None


KINDS: dict[str, tuple[str, Callable[[Path], bool]]] = {
    ".xml": ("voc", _is_voc),
    ".json": ("labelme", is_labelme_file),
    ".txt": ("yolo", _is_yolo),
}
