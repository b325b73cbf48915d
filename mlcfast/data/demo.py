"""The demo set: scenes in MS-COCO's layout, so that a first run needs no download and exercises the COCO path."""

import contextlib
import importlib.util
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcfast.data.demo_files import NEEDS_SCANS, SPLITS, Progress, file_names, write_splits
from mlcfast.data.demo_styles import STYLES
from mlcfast.data.readers.paths import require_images
from mlcfast.errors import UsageError
from mlcfast.files import cache_directory, locked, published
from mlcfast.registry import hint

if TYPE_CHECKING:
    from PIL import Image

VERSION = 2
MARKER = "demo.json"
DRAFT = ".partial"
FOLDERS = (*SPLITS, "annotations")
CHOICES = ("images", "seed", "side", "style")


def ensure_demo(
    directory: str | Path,
    images: int | None = None,
    seed: int | None = None,
    side: int | None = None,
    progress: Progress | None = None,
    style: str | None = None,
) -> bool:
    """Make the demo set unless one with these properties is already there, complete; returns whether it was made.

    What is None may be whatever the set there has, else `make_demo`'s default; errors are those of `make_demo`. Of
    several processes one makes it while the others wait.
    """
    asked = {"images": images, "seed": seed, "side": side, "style": style}
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    _specification(**given)
    with _writing_to(Path(directory)) as directory:
        wanted = _specification(**{**_present(directory), **given})
        complete = _is_complete(directory, wanted)
        if not complete:
            _make(directory, wanted, progress)
    return not complete


def make_demo(
    directory: str | Path,
    images: int = 6000,
    seed: int = 0,
    side: int = 96,
    progress: Progress | None = None,
    style: str = "digits",
) -> None:
    """Write `images` scenes of `side` × `side` pixels under `directory`: train, val and test as 4 : 1 : 1.

    `directory/SPLIT/*.jpg` and `directory/annotations/instances_SPLIT.json` with categories of gapped ids, a box and
    the ink's area per digit. style: `digits` has ten categories, `clutter` forty (STYLES). The scans are scikit-learn's
    bundled UCI digits; none occurs in two splits. The same arguments give the same bytes. A demo set already there is
    replaced once the new one is complete.

    progress: called with (scenes done, scenes in all). Raises UsageError if the directory cannot be written or holds
    other data, if `images` leaves a split empty, if there is no such style, and if scikit-learn is not installed.
    """
    wanted = _specification(images, seed, side, style)
    with _writing_to(Path(directory)) as directory:
        _make(directory, wanted, progress)


@contextlib.contextmanager
def _writing_to(directory: Path) -> Iterator[Path]:
    """Hold the directory for this process alone, made if absent, after the checks that need no writing."""
    if not (directory / MARKER).exists():
        foreign = [name for name in FOLDERS if (directory / name).exists()]
        if foreign:
            raise UsageError(f"{directory}: holds {foreign[0]}/ of another data set: choose an empty directory")
        if importlib.util.find_spec("sklearn") is None:
            raise UsageError(NEEDS_SCANS)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with locked(cache_directory(directory) / "demo.lock"):
            yield directory
    except OSError as error:
        raise UsageError(f"{directory}: cannot write the demo set: {error.strerror}") from error


def _specification(images: int = 6000, seed: int = 0, side: int = 96, style: str = "digits") -> dict[str, Any]:
    if images < sum(SPLITS.values()):
        raise UsageError(f"images must be at least {sum(SPLITS.values())}, not {images}")
    if seed < 0:
        raise UsageError(f"seed must be at least 0, not {seed}")
    if side < 32:
        raise UsageError(f"side must be at least 32 pixels, not {side}")
    if style not in list(STYLES):
        raise UsageError(f"style must be {' or '.join(STYLES)}, not {style!r}{hint(str(style), STYLES)}")
    scenes = repr(STYLES[style])  # other scenes, another set
    return {"version": VERSION, "style": style, "scenes": scenes, "images": images, "seed": seed, "side": side}


def _present(directory: Path) -> dict[str, Any]:
    """What `_specification` takes, of the set that is there; nothing if there is none of this version."""
    try:
        marker = json.loads((directory / MARKER).read_text())
        return {name: marker[name] for name in CHOICES} if marker["version"] == VERSION else {}
    except (OSError, ValueError, KeyError):
        return {}


def _is_complete(directory: Path, wanted: dict[str, Any]) -> bool:
    try:
        if json.loads((directory / MARKER).read_text()) != wanted:
            return False
        for split, names in file_names(wanted["images"]).items():
            annotations = directory / "annotations" / f"instances_{split}.json"
            annotations.stat()
            require_images(directory / split, names, annotations, names)
    except (OSError, ValueError, UsageError):
        return False
    return True


def _make(directory: Path, wanted: dict[str, Any], progress: Progress | None) -> None:
    draft = directory / DRAFT
    shutil.rmtree(draft, ignore_errors=True)
    try:
        images, seed, side, style = (wanted[name] for name in CHOICES)
        write_splits(draft, images, seed, side, style, progress)
        (directory / MARKER).write_text("{}")  # ours, but of no specification until all is in place
        for name in FOLDERS:
            shutil.rmtree(directory / name, ignore_errors=True)
            os.replace(draft / name, directory / name)
        with published(directory / MARKER) as marker:
            marker.write_text(json.dumps(wanted))
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def contact_sheet(paths: Sequence[str], columns: int = 8, side: int = 96, gap: int = 4) -> "Image.Image":
    """The images in reading order, each resized to `side` × `side` pixels, on white, `gap` pixels apart."""
    from PIL import Image

    from mlcfast.data.images import load_pixels
    from mlcfast.data.transforms import resize  # imports torch, which making the set does without

    rows, pitch = -(-len(paths) // columns), side + gap
    sheet = Image.new("RGB", (columns * pitch - gap, rows * pitch - gap), "white")
    for number, path in enumerate(paths):
        place = (number % columns * pitch, number // columns * pitch)
        sheet.paste(Image.fromarray(resize(load_pixels(path), side)), place)
    return sheet
