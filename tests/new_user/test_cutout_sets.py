"""The small sets that are drawn from anyone's cut-outs and backgrounds, here from discs of one hue on plain grey."""

import colorsys
import csv

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.new_user.compare_heads import build_parser as heads_parser
from tests.new_user.compare_heads import work as compare
from tests.new_user.cutout_sets import COLOURS, KINDS, SIZE, build_parser, colours, work

HUES = {"warm": (0, 30, 60, 330), "cool": (120, 150, 210, 240)}  # degrees, a cut-out each


def disc(hue: float, saturation: float = 1, value: float = 0.8) -> Image.Image:
    """A filled circle inside a transparent border."""
    image = Image.new("RGBA", (90, 70))
    paint = tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue / 360, saturation, value))
    ImageDraw.Draw(image).ellipse((20, 10, 70, 60), fill=paint)
    return image


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder with a set of each kind of 24 images to train with and 36 to test with."""
    folder = tmp_path_factory.mktemp("cutouts")
    for name, hues in HUES.items():
        (folder / name).mkdir()
        for hue in hues:
            disc(hue).save(folder / name / f"{hue}.png")
    for grey in (50, 200):
        Image.new("RGB", (500, 400), (grey,) * 3).save(folder / f"{grey}.jpg")
    labels = [f"{name}={folder / name}" for name in HUES]
    words = [str(folder / "out"), "--labels", *labels, "--backgrounds", str(folder / "*.jpg"), "--seeds", "4"]
    work(build_parser().parse_args([*words, "--images", "24", "36"]))
    return folder / "out"


def read(folder, table: str) -> tuple[list[dict], list[np.ndarray]]:
    """The rows of a table and their images as hue, saturation, value."""
    rows = list(csv.DictReader((folder / f"{table}.csv").open(encoding="utf-8")))
    return rows, [np.asarray(Image.open(folder / row["image"]).convert("HSV"), float).reshape(-1, 3) for row in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_the_test_images_show_other_cut_outs_on_other_backgrounds(drawn, kind):
    hues, greys = [], []
    for table, count in (("labels", 24), ("test", 36)):
        rows, images = read(drawn / f"{kind}4", table)
        assert len(rows) == len(images) == count
        pixels = np.concatenate(images)
        vivid, plain = pixels[pixels[:, 1] > 230], pixels[pixels[:, 1] < 20]
        nearest = np.round(vivid[:, 0] * 360 / 255 / 30).astype(int) % 12 * 30
        hues.append({int(hue) for hue in np.unique(nearest) if (nearest == hue).mean() > 0.02})
        greys.append(bool(np.median(plain[:, 2]) > 90))
    assert hues[0] | hues[1] == {hue for each in HUES.values() for hue in each}
    assert not hues[0] & hues[1] and len(hues[0]) == 4
    assert greys[0] != greys[1]


@pytest.mark.parametrize("kind", KINDS)
def test_the_labels_are_what_the_images_show(drawn, kind):
    rows, images = read(drawn / f"{kind}4", "labels")
    assert set(rows[0]) == {"image", *HUES, *(COLOURS if KINDS[kind].colours else ())}
    covered = []
    for row, pixels in zip(rows, images, strict=True):
        vivid = pixels[pixels[:, 1] > 230]
        cool = (vivid[:, 0] * 360 / 255 > 90) & (vivid[:, 0] * 360 / 255 < 280)
        assert (row["cool"] == "1") == bool(cool.sum() > 50) and (row["warm"] == "1") == bool((~cool).sum() > 50)
        covered.append(len(vivid) / (SIZE[0] * SIZE[1]))
    low, high = KINDS[kind].widths
    area = np.pi / 4 * SIZE[0] / SIZE[1] * np.square([low, high])  # of one disc, as a share of the image
    assert 0.6 * area[0] * KINDS[kind].counts[0] < min(covered)
    assert max(covered) < 1.05 * min(area[1] * KINDS[kind].counts[1], 1)


def test_each_cut_out_may_be_a_label_of_its_own_that_the_test_shows_too(drawn, tmp_path):
    words = ["--labels", f"disc={drawn.parent / 'warm'}", "--backgrounds", str(drawn.parent / "*.jpg")]
    work(
        build_parser().parse_args(
            [str(tmp_path), *words, "--seeds", "0", "--each", "--images", "20", "30", "--kinds", "many_small"]
        )
    )
    for table, count in (("labels", 20), ("test", 30)):
        rows, _ = read(tmp_path / "many_small0", table)
        assert len(rows) == count and set(rows[0]) == {"image", *(f"disc/{hue}" for hue in HUES["warm"])}
        assert all(any(row[f"disc/{hue}"] == "1" for row in rows) for hue in HUES["warm"])


@pytest.mark.parametrize(
    ("paint", "said"),
    [
        *[((0,), {"red"}), ((355,), {"red"}), ((50,), {"yellow"}), ((120,), {"green"}), ((220,), {"blue"})],
        *[((300,), set()), ((0, 0, 0.9), {"pale"}), ((0, 0, 0.1), {"dark"}), ((220, 1, 0.1), {"dark"})],
    ],
)
def test_colours_are_those_of_the_opaque_pixels(paint, said):
    assert colours(disc(*paint)) == said


def test_a_cut_out_of_two_colours_has_both_and_an_empty_one_none():
    image = Image.new("RGBA", (80, 40), (255, 0, 0, 255))
    image.paste((0, 0, 255, 255), (50, 0, 80, 40))
    image.paste((0, 255, 0, 255), (70, 0, 80, 40))  # an eighth
    assert colours(image) == {"red", "blue"}
    assert colours(Image.new("RGBA", (8, 8))) == set()


def test_heads_cannot_be_compared_on_sets_that_are_not_there(drawn):
    args = heads_parser().parse_intermixed_args([str(drawn), "--kinds", "scenes", "--seeds", "4", "5"])
    with pytest.raises(SystemExit, match=r"there is no .*scenes5; drawn here are things"):
        compare(args)
    assert not (drawn / "results.jsonl").exists()


@pytest.mark.parametrize(
    ("labels", "backgrounds", "said"), [("empty", "*.jpg", "empty: .* has 0"), ("warm", "*.bmp", "backgrounds")]
)
def test_folders_without_pictures_are_named(drawn, tmp_path, labels, backgrounds, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "warm").symlink_to(drawn.parent / "warm")
    words = [str(tmp_path / "out"), "--labels", f"{labels}={tmp_path / labels}"]
    with pytest.raises(SystemExit, match=said):
        work(build_parser().parse_args([*words, "--backgrounds", str(drawn.parent / backgrounds)]))
    assert not (tmp_path / "out").exists()
