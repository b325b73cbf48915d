"""The picture of two models: any number of labels and names of any length, without a caption over another."""

import itertools
import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mlcfast.report import side_by_side
from mlcfast.report.side_by_side import Seen, draw_side_by_side

TITLES = ("A  runs/first, query2label", "B  a run with a name that is much too long for the column it stands in")


@pytest.mark.parametrize(
    ("name", "count", "shown", "maps"),
    [("red three {}", 1, 1, True), ("animals/mammals/aquatic/{}", 27, 5, True), ("水生哺乳动物{}", 9605, 3, False)],
)
def test_captions_do_not_meet(tmp_path, monkeypatch, name, count, shown, maps):
    random = np.random.default_rng(0)
    names, seen, figures = [name.format(number) for number in range(count)], [], []
    for number in range(shown):
        path = tmp_path / f"{number}.png"
        Image.fromarray(random.integers(0, 255, (32, 32 * (1 + number), 3), np.uint8)).save(path)
        positive, first, second = random.random((3, count)) < min(0.5, 60 / count)
        attention = (f"where {names[0]} looks", random.random((4, 4)).astype(np.float32)) if maps else None
        seen.append(Seen(str(path), positive, (first, second), attention))
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (figures.append(self), save(self, *a, **k)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_side_by_side(tmp_path / "both.png", seen, names, TITLES)
    (figure,) = figures
    assert len(figure.axes) == (2 if maps else 1) * shown
    boxes = [text.get_window_extent() for text in figure.texts]
    assert len(boxes) >= 3 + 2 * shown
    for one, other in itertools.combinations(boxes, 2):
        across = min(one.x1, other.x1) - max(one.x0, other.x0)
        down = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert across <= 1 or down <= 1.5, (one, other)
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 for box in boxes)


def test_a_photograph_is_drawn_as_the_camera_was_held(tmp_path, monkeypatch):
    file, exif, shapes = tmp_path / "a.jpg", Image.Exif(), []
    exif[0x0112] = 6  # orientation: turned by a quarter
    Image.new("RGB", (80, 40)).save(file, exif=exif)
    monkeypatch.setattr(side_by_side, "_show", lambda figure, left, top, pixels: shapes.append(pixels.shape))
    none = np.zeros(1, bool)
    side_by_side._pictures(None, 0.0, Seen(str(file), none, (none, none)))
    assert shapes == [(80, 40, 3)]
