"""result.png with few and very many labels, long names and other scripts: no warning, and no caption over another."""

import itertools
import warnings

import numpy as np
import pytest
from PIL import Image

from mlcfast.report.result import draw_result, result_figure
from mlcfast.report.text import drawn_name

NAMES = {
    "short": "cat {}",
    "paths": "animals/mammals/aquatic/{}",
    "eighty": "a very long name of a label that nobody would type and everybody exports {:07d}",
    "chinese": "水生哺乳动物{}",
    "hebrew": "כלב {}",
    "control": "tab\there\nand there {}",
    "mathematics": "$x_{}$ is no formula",
}


def run_of(tmp_path, names: list[str], epochs: int = 3, side: int = 160):
    random = np.random.default_rng(0)
    paths = []
    for number in range(10):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(random.integers(0, 255, (side, side * (1 + number % 2), 3), np.uint8)).save(paths[-1])
    labels = (random.random((10, len(names))) < min(0.5, 8 / len(names))).astype(np.int8)
    labels[3] = 0
    scores = np.where(random.random(labels.shape) < 0.8, labels, 1 - labels) * 0.8 + 0.1
    scores[3] = 0
    rows = [{"epoch": e, "raw_mAP": 50 + e / epochs, "ema_mAP": 40 + e / epochs} for e in range(epochs)]
    return rows, paths, names, scores, labels, [0.5] * len(names)


@pytest.mark.parametrize(
    ("kind", "count"), [*((kind, 27) for kind in NAMES), ("paths", 1), ("eighty", 312), ("hebrew", 9605)]
)
def test_captions_do_not_meet_whatever_the_names_are(tmp_path, kind, count):
    names = [
        NAMES[kind].format(number) if "{}" in NAMES[kind] or "{:" in NAMES[kind] else kind for number in range(count)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = result_figure(*run_of(tmp_path, names))
        figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.texts if text.get_text()]
    assert len(boxes) > 4
    for one, other in itertools.combinations(boxes, 2):
        across = min(one.x1, other.x1) - max(one.x0, other.x0)
        down = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert across <= 1 or down <= 1.5, (one, other)
    for box in boxes:
        assert box.x1 <= figure.bbox.x1 and box.y0 >= 0


def test_names_that_differ_in_their_middle_stay_different(tmp_path):
    names = [f"a rather long label name, number {number} of many things (variant ü)" for number in range(3)]
    rows, paths, _, scores, labels, bounds = run_of(tmp_path, names)
    figure = result_figure(rows, paths, names, scores, labels, bounds)
    drawn = {text.get_text().strip(", ") for text in figure.texts if "…" in text.get_text()}
    assert len(drawn) == 3 and {number for number in "012" for text in drawn if f"{number} of" in text} == set("012")


def test_marks_at_an_end_of_the_scale_are_whole(tmp_path):
    rows, *rest = run_of(tmp_path, ["cat"])
    figure = result_figure([row | {"raw_mAP": 100.0} for row in rows], *rest)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba()).astype(int)
    x, y = figure.axes[0].transData.transform((rows[1]["epoch"] + 1, 100))
    above = pixels[len(pixels) - int(y) - 4 : len(pixels) - int(y) - 2, int(x)]
    assert (above[:, 2] > above[:, 0] + 60).all()  # blue: the mark's upper half, above the frame


@pytest.mark.parametrize(("epochs", "side"), [(3, 32), (300, 600)])
def test_any_number_of_epochs_and_size_of_image(tmp_path, epochs, side):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_result(tmp_path / "result.png", *run_of(tmp_path, ["cat", "dog"], epochs, side))
    with Image.open(tmp_path / "result.png") as image:
        assert image.width > 1000


def test_a_name_that_runs_from_right_to_left_has_a_line_of_its_own(tmp_path):
    """Beside others it would turn their order round."""
    figure = result_figure(*run_of(tmp_path, ["cat", "כלב", "dog", "חתול"]))
    lines = [text.get_text() for text in figure.texts]
    assert any(line.startswith("כלב") for line in lines)
    assert all(line.removesuffix(",") in ("כלב", "חתול") for line in lines if "כלב" in line or "חתול" in line)


def test_an_image_that_is_gone_is_said(tmp_path):
    rows, paths, *rest = run_of(tmp_path, ["cat"])
    (tmp_path / "0.png").unlink()
    figure = result_figure(rows, paths, *rest)
    assert [text.get_text() for axis in figure.axes for text in axis.texts] == ["not there any more"]


def test_names_are_drawn_or_numbered():
    assert drawn_name("cat", 1) == "cat"
    assert drawn_name("a\tb\n", 2) == "a b"
    assert drawn_name("", 3) == "label 3"
    assert drawn_name("\U00013000", 4) == "label 4"  # a hieroglyph, which no usual font has
    assert drawn_name("כלב 14", 5) == "כלב 14"  # matplotlib orders it; a number turned round would be another
