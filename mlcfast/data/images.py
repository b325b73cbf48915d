"""Decodes image files to 8-bit RGB, whatever their mode, or says in one line why that fails."""

import functools
import io
import os
import stat
import struct
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mlcfast.errors import RunError

# What a decoder may unpack: beyond this a small file could fill the memory. Pillow holds 4 bytes a pixel.
MAX_PIXELS, MAX_SIDE = 2**27, 2**15
# A progressive JPEG is gone over once a scan: encoders write about ten, and a small file may hold thousands.
MAX_SCANS, MAX_SCANNED = 100, 2**31  # the latter in pixels times scans
# Pillow's other formats include some that start programs (EPS) or are no pictures.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000", "TGA", "PCX", "DIB", "ICO")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # load_rgb has its own, firm limits
# Segments of a JPEG that say nothing about how its pixels are to be read; those of EXIF and Adobe do.
UNREMARKABLE = frozenset((0xE0, *range(0xE2, 0xEE), 0xFE, 0xDB, 0xC4, 0xDD))
BASELINE = (0xC0, 0xC1)
SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")


def load_rgb(path: str, content: bytes | None = None) -> Image.Image:
    """Decode an image file to 8-bit RGB, turned upright by its EXIF orientation.

    content: that of an image inside another file, of which `path` is then the name alone.

    Transparency is composited on white, 16-bit grey scaled by 255/65535 (not clipped), CMYK and palettes converted.
    Raises RunError "PATH: reason" for a file that is missing, empty, truncated, not an image, of 32-bit pixels or of
    more than MAX_PIXELS pixels, MAX_SIDE pixels a side or MAX_SCANS scans, which is found before any is decoded.
    """
    try:
        if content is None:
            _check_regular(path)
        with Image.open(path if content is None else io.BytesIO(content), formats=formats_read()) as image:
            _check_size(*image.size)
            if "progressive" in image.info:
                _check_scans(path, content, *image.size)
            image.load()
            if image.format != "JPEG" or image.info.keys() & {"exif", "xmp"}:  # looking for it in vain takes time
                ImageOps.exif_transpose(image, in_place=True)
            return _to_rgb(image)
    except Exception as error:  # the decoders of damaged files raise nearly anything
        raise RunError(f"{path}: {_reason(path, content, error)}") from error


def load_pixels(path: str, content: bytes | None = None) -> np.ndarray:
    """The same as uint8 (H, W, 3); plain JPEGs by simplejpeg, which gives the same bytes in less time than Pillow."""
    found = _plain_jpeg(path, content)
    return np.array(load_rgb(path, content)) if found is None else found


def pixels_of(image: Image.Image) -> np.ndarray:
    """The pixels, uint8 (H, W, 3), that `load_pixels` has of the file that a Pillow image is of; it stays as it is.

    RunError for pixels that are neither of 8 nor of 16 bits, or that cannot be decoded.
    """
    try:
        return np.array(_to_rgb(ImageOps.exif_transpose(image)))
    except (ValueError, OSError, SyntaxError) as error:
        raise RunError(f"a picture of mode {image.mode}: {error}") from error


def _plain_jpeg(path: str, content: bytes | None) -> np.ndarray | None:
    """None unless it is a sound baseline JPEG in colour without EXIF: Pillow has the others, or says what is wrong."""
    if not _has_simplejpeg():
        return None
    import simplejpeg

    try:
        if content is None:
            _check_regular(path)
            content = Path(path).read_bytes()
        return simplejpeg.decode_jpeg(content, "RGB") if _is_plain(content) else None
    except (OSError, ValueError):
        return None


@functools.cache
def _has_simplejpeg() -> bool:
    return find_spec("simplejpeg") is not None


def _is_plain(content: bytes) -> bool:
    """Whether a baseline frame of three 8-bit components within the limits comes first after unremarkable segments."""
    at = 2
    while content[:2] == b"\xff\xd8" and at + 10 <= len(content) and content[at] == 0xFF:
        kind = content[at + 1]
        if kind in BASELINE:
            bits, height, width, components = struct.unpack_from(">BHHB", content, at + 4)
            return bits == 8 and components == 3 and 0 < height * width <= MAX_PIXELS and max(height, width) <= MAX_SIDE
        if kind not in UNREMARKABLE:
            return False
        at += 2 + int.from_bytes(content[at + 2 : at + 4])
    return False


@functools.cache
def formats_read() -> list[str]:
    """The formats of FORMATS that this build of Pillow has, the likeliest first: they are tried in this order."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


class _RefusedError(ValueError):
    """No regular file, or an image beyond the limits."""


def _check_regular(path: str) -> None:
    """Opening a pipe would wait for ever and a device may have no end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise _RefusedError("a directory, not an image" if os.path.isdir(path) else "neither a file nor a directory")


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        limit = f"at most {MAX_PIXELS // 2**20} Mi pixels and {MAX_SIDE} a side are decoded"
        raise _RefusedError(f"too large: {width} × {height} pixels; {limit}")


def _check_scans(path: str, content: bytes | None, width: int, height: int) -> None:
    """Count the markers that begin a scan; coded data hold no such bytes."""
    scans = (Path(path).read_bytes() if content is None else content).count(b"\xff\xda")
    if scans > MAX_SCANS or scans * width * height > MAX_SCANNED:
        limit = f"at most {MAX_SCANS}, and {MAX_SCANNED // 2**20} Mi pixels in all of them together, are decoded"
        raise _RefusedError(f"a progressive JPEG of {scans} scans of {width} × {height} pixels; {limit}")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in SIXTEEN_BIT or image.mode == "I":
        return _scale_16_bit(image).convert("RGB")
    if image.mode == "F":
        raise ValueError("32-bit pixels have no defined range; convert the image to 8 or 16 bits")
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", rgba.size, "white")
        white.paste(rgba, mask=rgba)
        return white
    return image.convert("RGB")


def _scale_16_bit(image: Image.Image) -> Image.Image:
    wide = image.convert("I")
    values = np.asarray(wide)
    if values.max(initial=0) > 65535:
        raise ValueError("32-bit pixels have no defined range; convert the image to 8 or 16 bits")
    scaled = (values.astype(np.uint32) * 255 + 32767) // 65535
    return Image.fromarray(scaled.astype(np.uint8))


def _reason(path: str, content: bytes | None, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such image"
    if isinstance(error, _RefusedError):
        return str(error)
    if isinstance(error, Image.DecompressionBombError):
        return f"too large: more than {MAX_PIXELS // 2**20} Mi pixels"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot read the image: {error.strerror}"
    if not (os.path.getsize(path) if content is None else content):
        return "empty image file (0 bytes)"
    if "truncated" in str(error).lower():
        return f"truncated image ({error})"
    if type(error).__name__ == "UnidentifiedImageError":
        return "not an image, or of a format that Pillow does not read"
    return f"damaged or unsupported image ({' '.join(str(error).split())})"
