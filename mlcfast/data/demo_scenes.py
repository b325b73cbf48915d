"""Scenes of handwritten digits: real 8×8 scans at varied place, size, slant and contrast among clutter."""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from mlcfast.data.demo_styles import COLOURS, SceneStyle


class Digit(NamedTuple):
    """One digit of a scene: its class, its box (x, y, width, height) in pixels and its ink's area in pixels."""

    value: int
    box: tuple[int, int, int, int]
    area: int


def draw_scene(
    random: np.random.RandomState, scans: list[np.ndarray], side: int, style: SceneStyle
) -> tuple[Image.Image, list[Digit]]:
    """Draw one scene of `side` × `side` pixels and say what is in it; a pure function of the random state.

    scans: for each class 0…9 the scans to choose from, (n, 8, 8) float32 in [0, 1].
    """
    canvas = _background(random, side, style)
    _draw_blobs(random, canvas, style)
    for _ in range(random.randint(style.fragments[0], style.fragments[1] + 1)):
        _draw_fragment(random, canvas, scans, style)
    canvas = _draw_lines(random, canvas, style)
    digits = _draw_digits(random, canvas, scans, style)
    canvas += random.normal(0.0, style.noise, canvas.shape[:2])[..., None]
    return Image.fromarray(np.clip(canvas + 0.5, 0, 255).astype(np.uint8)), digits


def _background(random: np.random.RandomState, side: int, style: SceneStyle) -> np.ndarray:
    """Soft light of one hue, (side, side, 3) float32 in grey levels."""
    base = random.uniform(*style.light) + random.uniform(-30, 30, 3)
    coarse = np.clip(base + random.uniform(-28, 28, (4, 4, 1)) + random.uniform(-8, 8, (4, 4, 3)), 0, 255)
    soft = Image.fromarray(coarse.astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(soft).astype(np.float32)


def _ink(random: np.random.RandomState, ground: np.ndarray, style: SceneStyle) -> np.ndarray:
    """A colour (3,) by a contrast from the style's range with the ground it is drawn on, or one of the style's."""
    if style.colours:
        return _shade(random, style.colours[random.randint(len(style.colours))])
    level = ground.mean()
    end = 255.0 if level < 128 else 0.0
    tint = random.uniform(-35, 35, 3)
    return np.clip(level + random.uniform(*style.contrast) * (end - level) + tint - tint.mean(), 0, 255)


def _shade(random: np.random.RandomState, colour: str) -> np.ndarray:
    """A colour (3,) by its name, more or less bright."""
    return np.clip(np.array(COLOURS[colour]) * random.uniform(0.75, 1.0) + random.uniform(-18, 18, 3), 0, 255)


def _draw_blobs(random: np.random.RandomState, canvas: np.ndarray, style: SceneStyle) -> None:
    side = len(canvas)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    for _ in range(random.randint(style.blobs[0], style.blobs[1] + 1)):
        centre, radii = random.uniform(0, side, 2), random.uniform(0.08, 0.3, 2) * side
        distance = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2
        alpha = np.clip(1.5 - 1.5 * distance, 0, 1)[..., None] * random.uniform(0.2, 0.6)
        canvas += alpha * (random.uniform(0, 255, 3) - canvas)


def _draw_lines(random: np.random.RandomState, canvas: np.ndarray, style: SceneStyle) -> np.ndarray:
    side = len(canvas)
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(random.randint(style.lines[0], style.lines[1] + 1)):
        points = random.uniform(-0.1 * side, 1.1 * side, 4)
        colour = _ink(random, canvas, style) * 0.6 + canvas.mean() * 0.4
        pen.line(tuple(points), fill=tuple(int(c) for c in colour), width=random.randint(1, max(2, side // 40)))
    return np.asarray(image).astype(np.float32)


def _draw_fragment(
    random: np.random.RandomState, canvas: np.ndarray, scans: list[np.ndarray], style: SceneStyle
) -> None:
    """A quarter of some scan, at a digit's scale: strokes that are no digit."""
    pool = scans[random.randint(len(scans))]
    row, column = random.randint(0, 5, 2)
    part = pool[random.randint(len(pool))][row : row + 4, column : column + 4]
    mask = _mask(random, part, 0.5 * random.uniform(*style.height) * len(canvas), style)
    top, left = (random.randint(0, max(1, len(canvas) - size)) for size in mask.shape)
    _stamp(random, canvas, mask, top, left, style)


def _draw_digits(
    random: np.random.RandomState, canvas: np.ndarray, scans: list[np.ndarray], style: SceneStyle
) -> list[Digit]:
    inks = max(1, len(style.colours))
    classes = random.permutation(len(scans) * inks)[: random.randint(style.classes[0], style.classes[1] + 1)]
    values = [int(v) for v in classes for _ in range(1 + (random.uniform() < style.repeat))]
    digits: list[Digit] = []
    for value in values:
        members = scans[value // inks]
        scan = members[random.randint(len(members))]
        mask = _mask(random, scan, random.uniform(*style.height) * len(canvas), style)
        place = _free_place(random, len(canvas), mask.shape, [digit.box for digit in digits], style)
        if place is not None:
            colour = style.colours[value % inks] if style.colours else None
            _stamp(random, canvas, mask, *place, style, colour)
            height, width = mask.shape
            digits.append(Digit(value, (place[1], place[0], width, height), int((mask > 0.5).sum())))
    return digits


def _mask(random: np.random.RandomState, scan: np.ndarray, height: float, style: SceneStyle) -> np.ndarray:
    """The scan's ink at about `height` pixels, slanted and rotated, cropped to the ink: float32 in [0, 1]."""
    side = int(height * 1.75)
    padded = np.pad(scan, 3)
    angle, slant = np.deg2rad(random.uniform(*style.rotation)), random.uniform(*style.slant)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[1.0, slant], [0.0, 1.0]]) * (len(scan) / height)
    offset = np.array(padded.shape[::-1]) / 2 - matrix @ np.array([side / 2, side / 2])
    data = (*matrix[0], offset[0], *matrix[1], offset[1])
    grey = Image.fromarray(padded).transform((side, side), Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)
    edge = np.clip((np.asarray(grey) - 0.2) / 0.45, 0, 1)
    ink = edge * edge * (3 - 2 * edge)
    rows, columns = (np.flatnonzero((ink > 0.3).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return np.zeros((1, 1), np.float32)
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _free_place(
    random: np.random.RandomState,
    side: int,
    shape: tuple[int, int],
    taken: list[tuple[int, int, int, int]],
    style: SceneStyle,
) -> tuple[int, int] | None:
    """Top and left of a place that covers no digit by more than the style's overlap; None if 30 tries find none."""
    height, width = shape
    if height >= side or width >= side:
        return None
    for _ in range(30):
        top, left = random.randint(0, side - height), random.randint(0, side - width)
        covered = (
            max(0, min(top + height, y + h) - max(top, y)) * max(0, min(left + width, x + w) - max(left, x))
            <= style.overlap * min(w * h, width * height)
            for x, y, w, h in taken
        )
        if all(covered):
            return top, left
    return None


def _stamp(
    random: np.random.RandomState,
    canvas: np.ndarray,
    mask: np.ndarray,
    top: int,
    left: int,
    style: SceneStyle,
    colour: str | None = None,
) -> None:
    ground = canvas[top : top + mask.shape[0], left : left + mask.shape[1]]
    mask = mask[: ground.shape[0], : ground.shape[1], None]
    ink = _ink(random, ground, style) if colour is None else _shade(random, colour)
    ground += mask * (ink - ground)
