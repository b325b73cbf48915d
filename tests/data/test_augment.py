"""The compiled resize and augmentation, and the quick decoder, give Pillow's and torchvision's pixels and draws."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from mlcfast.data import TrainTransform, images, load_rgb
from mlcfast.data.augment import AUGMENTATIONS, OPERATIONS, HorizontalFlip, RandAugment, as_image, as_pixels
from mlcfast.data.transforms import resize
from mlcfast.ops import pixels

THEIRS = v2.RandAugment(num_ops=2, magnitude=9)
compiled = pytest.mark.skipif(not pixels.available(), reason="the compiled library is not there")


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return Image.fromarray(values.repeat(8, 0).repeat(8, 1)[:height, :width] // 2 + 40)


PICTURES = {
    "wide": noise(40, 61),
    "upright": noise(67, 33, 1),
    "one value": Image.new("RGB", (20, 10), (3, 3, 200)),
    "one pixel": Image.new("RGB", (1, 1), (9, 0, 255)),
    "two rows": noise(2, 30, 2),
}


@compiled
@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES.keys())
@pytest.mark.parametrize("side", [1, 7, 32, 61, 200])
def test_resize_rounds_columns_then_rows_as_pillow_does(picture, side):
    """One direction at a time, which every version of Pillow does alike."""
    narrow = picture.resize((side, picture.height), Image.Resampling.BILINEAR)
    expected = np.asarray(narrow.resize((side, side), Image.Resampling.BILINEAR))
    assert (resize(picture, side) == expected).all() and (resize(np.array(picture), side) == expected).all()


def test_without_the_library_pillow_resizes(monkeypatch):
    monkeypatch.setattr(pixels, "available", lambda: False)
    for picture in PICTURES.values():
        expected = np.asarray(picture.resize((16, 16), Image.Resampling.BILINEAR))
        assert (resize(picture, 16) == expected).all()
    assert type(AUGMENTATIONS.find("published")()[1]) is v2.RandAugment
    assert TrainTransform(16).pixels(PICTURES["wide"]).shape == (3, 16, 16)


@compiled
@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_is_torchvisions(name):
    operation, magnitudes, signed = OPERATIONS[name]
    for picture in PICTURES.values():
        for place in (0, 9, 17, 30):
            for sign in (1, -1) if signed else (1,):
                magnitude = sign * float(magnitudes(picture.height, picture.width)[place])
                expected = THEIRS._apply_image_or_video_transform(
                    picture, name, magnitude, THEIRS.interpolation, THEIRS._fill
                )
                found = operation(as_pixels(picture), magnitude)
                assert (found.numpy() == np.asarray(expected)).all(), (picture.size, magnitude)


@compiled
def test_operations_are_drawn_as_torchvision_draws_them():
    ours, picture = RandAugment(), PICTURES["wide"]
    seen = set()
    for seed in range(60):
        torch.manual_seed(seed)
        expected, after = np.asarray(THEIRS(picture)), torch.get_rng_state()
        torch.manual_seed(seed)
        found = ours(as_pixels(picture)).numpy()
        assert (found == expected).all() and torch.equal(torch.get_rng_state(), after), seed
        seen.add(found.tobytes())
    assert len(seen) > 30


def test_flips_are_drawn_as_torchvision_draws_them():
    theirs, picture = v2.RandomHorizontalFlip(0.5), PICTURES["wide"]
    flipped = 0
    for seed in range(40):
        torch.manual_seed(seed)
        expected = np.asarray(theirs(picture))
        torch.manual_seed(seed)
        assert (HorizontalFlip()(as_pixels(picture)).numpy() == expected).all()
        flipped += bool((expected != np.asarray(picture)).any())
    assert 10 < flipped < 30


def test_an_operation_of_the_library_refuses_what_is_no_image():
    for wrong in (torch.zeros(4, 4, 3), torch.zeros(4, 4, 4, dtype=torch.uint8), as_pixels(PICTURES["wide"]).mT):
        with pytest.raises(ValueError, match=r"contiguous bytes \(H, W, 3\)"):
            pixels.count(wrong)
    with pytest.raises(ValueError, match="6 numbers"):
        pixels.move(as_pixels(PICTURES["wide"]), [1.0])
    assert as_image(as_pixels(PICTURES["wide"])).size == (61, 40)


def jpeg(picture: Image.Image, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", **options)
    return file.getvalue()


EXIF = Image.Exif()
EXIF[0x0112] = 6  # lies on its side
WIDE = PICTURES["wide"]
FILES = {
    "baseline": (jpeg(WIDE), True),
    "no subsampling, comment": (jpeg(WIDE, subsampling=0, quality=97, comment=b"hello"), True),
    "profile": (jpeg(WIDE, icc_profile=bytes(900)), True),
    "one pixel": (jpeg(PICTURES["one pixel"]), True),
    "progressive": (jpeg(WIDE, progressive=True), False),
    "turned by EXIF": (jpeg(WIDE, exif=EXIF), False),
    "grey": (jpeg(WIDE.convert("L")), False),
    "CMYK": (jpeg(WIDE.convert("CMYK")), False),
    "keeps RGB": (jpeg(WIDE, keep_rgb=True), False),
}


@pytest.mark.parametrize("name", FILES)
def test_a_jpeg_is_decoded_to_pillows_bytes_by_either_decoder(name, tmp_path):
    content, plain = FILES[name]
    (tmp_path / "a.jpg").write_bytes(content)
    path = str(tmp_path / "a.jpg")
    assert (images._plain_jpeg(path, None) is not None) == plain
    expected = np.asarray(load_rgb(path))
    for found in (images.load_pixels(path), images.load_pixels("inside.tar/a.jpg", content)):
        assert found.shape == expected.shape and found.flags.writeable and (found == expected).all()


@pytest.mark.parametrize("wrong", [b"", b"\xff\xd8\xff", FILES["baseline"][0][:300], b"\xff\xd8\xff\xc0" + bytes(20)])
def test_what_the_quick_decoder_refuses_is_said_as_pillow_says_it(wrong, tmp_path):
    (tmp_path / "a.jpg").write_bytes(wrong)
    with pytest.raises(images.RunError) as expected:
        load_rgb(str(tmp_path / "a.jpg"))
    with pytest.raises(images.RunError) as found:
        images.load_pixels(str(tmp_path / "a.jpg"))
    assert str(found.value) == str(expected.value)


def test_without_simplejpeg_pillow_decodes(monkeypatch, tmp_path):
    monkeypatch.setattr(images, "_has_simplejpeg", lambda: False)
    (tmp_path / "a.jpg").write_bytes(FILES["baseline"][0])
    assert (images.load_pixels(str(tmp_path / "a.jpg")) == np.asarray(load_rgb(str(tmp_path / "a.jpg")))).all()
