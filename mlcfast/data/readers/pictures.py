"""Looks at the headers of image files: their formats and sizes, and what a user should know before training."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from mlcfast.data.images import formats_read, load_rgb
from mlcfast.errors import RunError

LOOKED_AT = 2000  # files, spread evenly
ENDINGS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"), "PNG": (".png",), "WEBP": (".webp",), "BMP": (".bmp",),
    "GIF": (".gif",), "TIFF": (".tif", ".tiff"), "AVIF": (".avif",),
}  # fmt: skip


def look_at(paths: Sequence[str]) -> dict[str, Any]:
    """What is known of some of the image files, LOOKED_AT at most.

    looked_at: how many; formats: their number by format; sizes: [width, height] in pixels of the smallest and of the
    largest by area; warnings: lines of those that cannot be read, whose format is not that of their ending, and that
    hold several pictures.
    """
    chosen = paths[:: max(1, -(-len(paths) // LOOKED_AT))]
    formats: Counter[str] = Counter()
    sizes: list[tuple[int, int]] = []
    unread, misnamed, several = [], [], []
    for path in chosen:
        try:
            with Image.open(path, formats=formats_read()) as image:
                form = str(image.format)
                sizes.append(image.size)
                several += [path] if getattr(image, "n_frames", 1) > 1 else []
        except Exception as error:  # the decoders of damaged files raise nearly anything
            unread.append((path, error))
            continue
        formats[form] += 1
        misnamed += (
            [(path, form)] if Path(path).suffix.lower() not in ENDINGS.get(form, (Path(path).suffix.lower(),)) else []
        )
    of = f"{{}} of {len(chosen)} images" + (" looked at" if len(chosen) < len(paths) else "")
    warnings = [f"{of.format(len(unread))} cannot be read, first {_reason(*unread[0])}"] if unread else []
    if misnamed:
        path, form = misnamed[0]
        warnings.append(
            f"{of.format(len(misnamed))} are of another format than their ending says, first {path}: {form}"
        )
    warnings += [f"{of.format(len(several))} hold several pictures, first {several[0]}: one is read"] if several else []
    ordered = sorted(sizes, key=lambda size: size[0] * size[1])
    ends = [list(ordered[0]), list(ordered[-1])] if ordered else []
    return {"looked_at": len(chosen), "formats": dict(formats), "sizes": ends, "warnings": warnings}


def _reason(path: str, error: Exception) -> str:
    """Why a file cannot be read, as training would say it."""
    try:
        load_rgb(path)
    except RunError as said:
        return str(said)
    return f"{path}: {' '.join(str(error).split())}"
