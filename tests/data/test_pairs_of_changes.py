"""What Query2Label's code calls RandAugment: what is drawn how often, and each operation's pixels by a formula."""

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from mlcfast.data import TrainTransform, pairs_of_changes
from mlcfast.data.pairs_of_changes import CHANGES, LEVELS, NAMES, PairOfChanges

SIDE = 45
RAMP = np.add.outer(5 * np.arange(SIDE), np.arange(SIDE))[:, :, None] % 256 + np.array([0, 1, 2])
PICTURE = Image.fromarray(np.clip(RAMP, 0, 255).astype(np.uint8))
PIXELS = np.asarray(PICTURE).astype(int)


def after(name: str, level: int, way: int = 1, monkeypatch: pytest.MonkeyPatch | None = None) -> np.ndarray:
    if monkeypatch is not None:
        monkeypatch.setattr(pairs_of_changes, "_either_way", lambda most: way * most)
    return np.asarray(CHANGES[name](PICTURE.copy(), level / LEVELS)).astype(int)


def test_each_of_two_is_one_of_fifteen_at_one_of_nine_levels_in_half_of_the_cases(monkeypatch):
    seen: list[tuple[str, int]] = []

    def noted(name):
        return lambda image, strength: seen.append((name, round(strength * LEVELS))) or image

    for name in NAMES:
        monkeypatch.setitem(CHANGES, name, noted(name))
    torch.manual_seed(0)
    times, change = 4000, PairOfChanges()
    counts = Counter()
    for _ in range(times):
        before = len(seen)
        change(PICTURE)
        counts[len(seen) - before] += 1
    for number, share in {0: 0.25, 1: 0.5, 2: 0.25}.items():
        assert counts[number] == pytest.approx(share * times, abs=5 * (share * (1 - share) * times) ** 0.5)
    assert len(NAMES) == 15 and "Identity" not in NAMES
    for number, kinds in ((0, NAMES), (1, range(1, 10))):
        of_kind = Counter(each[number] for each in seen)
        assert set(of_kind) == set(kinds)
        expected = len(seen) / len(kinds)
        assert all(abs(of_kind[kind] - expected) < 5 * expected**0.5 for kind in kinds)


def test_signs_are_drawn_evenly():
    torch.manual_seed(0)
    assert 400 < sum(pairs_of_changes._either_way(0.3) == 0.3 for _ in range(1000)) < 600


@pytest.mark.parametrize("level", range(1, 10))
def test_values_change_by_formula(level, monkeypatch):
    assert (after("Invert", level) == 255 - PIXELS).all()
    threshold = 256 - 256 * level / 9
    assert (after("Solarize", level) == np.where(threshold > PIXELS, PIXELS, 255 - PIXELS)).all()
    bits = [8, 7, 7, 6, 6, 5, 5, 4, 4][level - 1]
    assert (after("Posterize", level) == PIXELS >> (8 - bits) << (8 - bits)).all()
    for way in (1, -1):
        expected = np.clip(PIXELS * (1 + way * level / 10), 0, 255)
        assert np.abs(after("Brightness", level, way, monkeypatch) - expected).max() < 1.001


@pytest.mark.parametrize("level", range(1, 10))
@pytest.mark.parametrize("way", [1, -1])
def test_a_shift_brings_in_grey(level, way, monkeypatch):
    places = np.floor(np.arange(SIDE) + 0.5 + way * 150 / 331 * level / 9 * SIDE).astype(int)
    inside = (places >= 0) & (places < SIDE)
    columns = np.where(inside[None, :, None], PIXELS[:, np.clip(places, 0, SIDE - 1)], 128)
    rows = np.where(inside[:, None, None], PIXELS[np.clip(places, 0, SIDE - 1)], 128)
    assert (after("TranslateX", level, way, monkeypatch) == columns).all()
    assert (after("TranslateY", level, way, monkeypatch) == rows).all()


def test_a_shear_keeps_the_first_row_and_moves_the_last_by_three_tenths(monkeypatch):
    found = after("ShearX", 9, 1, monkeypatch)
    assert (found[-1, SIDE - 12 :] == 128).all()
    assert np.abs(found[0, :-1] - PIXELS[0, :-1]).max() <= 1
    assert (after("ShearX", 9, -1, monkeypatch)[-1, :12] == 128).all()
    assert (after("ShearY", 9, 1, monkeypatch)[SIDE - 12 :, -1] == 128).all()


def test_it_turns_one_way_only_and_corners_are_grey():
    """Counter-clockwise: what is at the right edge's middle goes up."""
    values = np.zeros((SIDE, SIDE, 3), np.uint8)
    values[SIDE // 2 - 1 : SIDE // 2 + 2, SIDE - 6 :] = 255
    torch.manual_seed(0)
    for _ in range(5):
        turned = np.asarray(CHANGES["Rotate"](Image.fromarray(values), 1.0))
        rows, columns = np.nonzero(turned[:, :, 0] == 255)
        angle = np.degrees(np.arctan2(SIDE // 2 - rows.mean(), columns.mean() - SIDE // 2))
        assert angle == pytest.approx(30, abs=2)
        assert (turned[0, 0] == 128).all()


@pytest.mark.parametrize(("level", "side"), [(1, 2), (2, 4), (3, 6), (5, 10), (8, 18), (9, 20)])
def test_a_hole_has_its_size_and_colour(level, side):
    torch.manual_seed(0)
    white = Image.new("RGB", (SIDE, SIDE), (255, 255, 255))
    sizes = set()
    for _ in range(200):
        found = np.asarray(CHANGES["Cutout"](white, level / LEVELS))
        hole = (found != 255).any(axis=2)
        assert (found[hole] == (125, 122, 113)).all()
        sizes |= {int(hole.any(axis=0).sum()), int(hole.any(axis=1).sum())}
    assert (min(sizes), max(sizes)) == (side // 2, side)
    assert (np.asarray(white) == 255).all()


def test_it_is_an_augmentation_by_name():
    torch.manual_seed(1)
    transform = TrainTransform(24, "query2label")
    tensors = [transform.pixels(np.asarray(PICTURE)) for _ in range(6)]
    assert all(tensor.shape == (3, 24, 24) and tensor.dtype == torch.uint8 for tensor in tensors)
    assert len({tensor.numpy().tobytes() for tensor in tensors}) == 6
    torch.manual_seed(1)
    assert torch.equal(transform.pixels(np.asarray(PICTURE)), tensors[0])
