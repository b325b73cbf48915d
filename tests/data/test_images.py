"""Every kind of image file becomes the right RGB or an error that names it; bad ones are found beforehand."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mlcfast.data import bad_images, find_bad_images, load_rgb
from mlcfast.errors import RunError

GREY_16 = np.array([[0, 100 * 257], [30000, 65535]], np.uint16)
GREY_8 = [[0, 100], [117, 255]]  # 30000 · 255/65535 = 116.7


def _png_16_bit(pixels: np.ndarray) -> bytes:
    """(h, w, channels) uint16 as a PNG, which Pillow cannot write for colours."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _loaded(image: Image.Image, path, **options) -> np.ndarray:
    image.save(path, **options)
    loaded = load_rgb(str(path))
    assert loaded.mode == "RGB"
    return np.asarray(loaded)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_png_is_scaled_not_clipped(tmp_path, channels):
    pixels = np.repeat(GREY_16[..., None], channels, axis=2)
    pixels[..., 3:] = 65535
    (tmp_path / "x.png").write_bytes(_png_16_bit(pixels))
    loaded = np.asarray(load_rgb(str(tmp_path / "x.png"))).astype(int)
    # Pillow reads 16-bit colour as its high byte, at most one level from the rounding that 16-bit grey gets here.
    assert abs(loaded - np.array(GREY_8)[..., None]).max() <= (channels > 1)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_16_bit_tiff_is_scaled_not_clipped(tmp_path, mode):
    kind = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}[mode]
    image = Image.frombytes(mode, (2, 2), GREY_16.astype(kind).tobytes())
    assert _loaded(image, tmp_path / "x.tif")[..., 0].tolist() == GREY_8


def test_transparency_is_composited_on_white(tmp_path):
    rgba = Image.new("RGBA", (2, 1), (200, 0, 0, 0))
    rgba.putpixel((1, 0), (0, 100, 0, 128))
    assert _loaded(rgba, tmp_path / "x.png").tolist() == [[[255, 255, 255], [127, 177, 127]]]
    assert _loaded(Image.new("LA", (1, 1), (0, 0)), tmp_path / "x.png").tolist() == [[[255, 255, 255]]]


def test_palette_with_and_without_transparency(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    assert _loaded(palette, tmp_path / "x.png").tolist() == [[[10, 20, 30], [40, 50, 60]]]
    assert _loaded(palette, tmp_path / "x.gif").tolist() == [[[10, 20, 30], [40, 50, 60]]]
    assert _loaded(palette, tmp_path / "x.png", transparency=0).tolist() == [[[255, 255, 255], [40, 50, 60]]]


def test_cmyk_jpeg_has_its_colours(tmp_path):
    loaded = _loaded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), tmp_path / "x.jpg", quality=95)
    assert abs(loaded.astype(int) - [255, 0, 0]).max() <= 3  # JPEG's own loss


def test_grey_and_bilevel(tmp_path):
    assert _loaded(Image.new("L", (1, 1), 77), tmp_path / "x.png").tolist() == [[[77, 77, 77]]]
    assert _loaded(Image.new("1", (1, 1), 1), tmp_path / "x.png").tolist() == [[[255, 255, 255]]]


@pytest.mark.parametrize("kind", ["exif", "xmp"])
def test_orientation_turns_the_image_upright(tmp_path, kind):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 255  # the left half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90° clockwise
    tags = {"exif": exif} if kind == "exif" else {"xmp": b'<rdf:Description tiff:Orientation="6"/>'}
    loaded = _loaded(Image.fromarray(pixels), tmp_path / "x.jpg", quality=95, **tags)
    assert loaded.shape == (32, 16, 3)
    assert loaded[2].min() >= 250
    assert loaded[-2].max() <= 5


def _damaged(folder) -> dict[str, str]:
    """Bad files by name, and what is to be said of each."""
    noise = Image.fromarray(np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8))
    for name in ("half.jpg", "header.jpg", "half.png"):
        noise.save(folder / name)
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: 20 if name == "header.jpg" else len(content) // 2])
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("this is not an image")
    (folder / "folder.jpg").mkdir()
    Image.fromarray(np.ones((2, 2), np.float32)).save(folder / "float.tif")
    return {
        "half.jpg": "truncated image", "header.jpg": "image", "half.png": "truncated image",
        "empty.jpg": "empty image file (0 bytes)", "text.jpg": "not an image", "folder.jpg": "directory",
        "float.tif": "32-bit pixels have no defined range", "absent.jpg": "no such image",
    }  # fmt: skip


def test_damaged_files_are_named_in_one_line(tmp_path):
    for name, says in _damaged(tmp_path).items():
        with pytest.raises(RunError) as caught:
            load_rgb(str(tmp_path / name))
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)


def test_bad_images_are_found_once_and_again_after_a_change(images, monkeypatch):
    assert find_bad_images(images, 2) == []
    open(images.paths[7], "w").close()
    with open(images.paths[3], "r+b") as file:
        file.truncate(os.path.getsize(images.paths[3]) // 2)
    found = find_bad_images(images, 2)
    assert [path for path, _ in found] == [images.paths[3], images.paths[7]]
    assert found[0][1].startswith("truncated image")
    assert found[1][1] == "empty image file (0 bytes)"
    monkeypatch.setattr(bad_images, "load_rgb", None)
    assert find_bad_images(images, 2) == found


def test_progress_reaches_the_number_of_images(images):
    seen = []
    find_bad_images(images, 1, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (24, 24)


def test_a_file_that_vanished_is_an_error(images):
    os.remove(images.paths[5])
    with pytest.raises(RunError, match=r"5\.jpg: No such file"):
        find_bad_images(images)
