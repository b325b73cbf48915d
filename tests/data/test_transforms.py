"""The recipes' transforms against their definitions, and augmentation as a function of (seed, epoch, index)."""

import numpy as np
import pytest
import torch
from PIL import Image

from mlcfast.config import IMAGENET_MEAN, IMAGENET_STD
from mlcfast.data import EvalTransform, ImageDataset, TrainTransform, load_rgb
from mlcfast.data.augment import Cutout, as_pixels
from mlcfast.data.transforms import Normalise, resize
from mlcfast.errors import UsageError


def test_evaluation_resizes_bilinearly_and_normalises(images):
    image = load_rgb(images.paths[0])
    resized = resize(image, 20).astype(np.float64) / 255
    expected = (resized - IMAGENET_MEAN) / IMAGENET_STD
    tensor = EvalTransform(20)(image)
    assert tensor.shape == (3, 20, 20)
    assert tensor.dtype == torch.float32
    assert type(tensor) is torch.Tensor
    # |value| < 3 here; the fused multiply-add in float32 rounds three times at 2⁻²⁴ of numbers below 5.
    assert np.abs(tensor.permute(1, 2, 0).numpy() - expected).max() < 1e-6


def test_evaluation_keeps_the_pixels_of_the_published_resize(images):
    image = load_rgb(images.paths[0])
    narrow = image.resize((20, image.height), Image.Resampling.BILINEAR)
    resized = narrow.resize((20, 20), Image.Resampling.BILINEAR)
    assert torch.equal(EvalTransform(20).pixels(image).permute(1, 2, 0), torch.from_numpy(np.array(resized)))


def test_every_byte_is_normalised_alike_in_one_operation_and_in_two():
    """What a GPU does in one kernel: at most as far from the exact value as two roundings of numbers below 4 allow."""
    pixels = torch.arange(256, dtype=torch.uint8).repeat(3, 1).view(1, 3, 16, 16)
    normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)
    mean, std = (torch.tensor(value, dtype=torch.float64).view(3, 1, 1) for value in (IMAGENET_MEAN, IMAGENET_STD))
    exact = (pixels / 255.0 - mean) / std
    for found in (normalise(pixels), normalise.in_one(pixels)):
        assert found.dtype == torch.float32 and found.is_contiguous(memory_format=torch.channels_last)
        assert (found - exact).abs().max() < 6e-7


def test_mean_and_std_of_the_models_trained_without(images):
    tensor = EvalTransform(16, (0, 0, 0), (1, 1, 1))(load_rgb(images.paths[0]))
    assert 0 <= tensor.min() <= tensor.max() <= 1


def test_no_augmentation_equals_evaluation(images):
    image = load_rgb(images.paths[1])
    assert torch.equal(TrainTransform(16, "none")(image), EvalTransform(16)(image))


def test_flip_mirrors_about_half_of_the_samples(images):
    image = load_rgb(images.paths[1])
    straight = EvalTransform(16)(image)
    dataset = ImageDataset(images, TrainTransform(16, "flip"), seed=5)
    flipped = 0
    for epoch in range(200):
        tensor = dataset[epoch, 1][0]
        assert torch.equal(tensor, straight) or torch.equal(tensor, straight.flip(2))
        flipped += torch.equal(tensor, straight.flip(2))
    assert 70 < flipped < 130  # 100 expected, standard deviation 7


@pytest.mark.parametrize("edge", [0, 1])
def test_cutout_paints_one_rectangle_of_half_the_side_clipped_at_the_border(edge):
    torch.manual_seed(0)
    cutout = Cutout(0.5, with_edges=bool(edge))
    white = Image.new("RGB", (40, 40), (255, 255, 255))
    sizes = set()
    for _ in range(300):
        hole = (cutout(as_pixels(white)).numpy() != 255).any(axis=2)
        rows, columns = hole.any(axis=1), hole.any(axis=0)
        assert hole.sum() == rows.sum() * columns.sum()  # one full rectangle
        sizes |= {int(rows.sum()), int(columns.sum())}
    assert max(sizes) == 20 + edge
    assert min(sizes) == 10 + edge  # centred on the border: half is cut off
    assert (np.asarray(white) == 255).all()


def test_published_augmentation_varies_by_epoch_seed_and_index(images):
    dataset = ImageDataset(images, TrainTransform(24), seed=3)
    tensors = [dataset[epoch, 2][0] for epoch in range(8)]
    assert all(not torch.equal(a, b) for i, a in enumerate(tensors) for b in tensors[:i])
    assert torch.equal(tensors[4], dataset[4, 2][0])
    assert not torch.equal(dataset[4, 2][0], ImageDataset(images, TrainTransform(24), seed=4)[4, 2][0])
    assert torch.equal(dataset[0, 2][0], dataset[2][0])


def test_samples_do_not_disturb_the_callers_random_state(images):
    dataset = ImageDataset(images, TrainTransform(24), seed=3)
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first = dataset[1, 0][0]
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(12)
    assert torch.equal(dataset[1, 0][0], first)


def test_a_sample_is_image_labels_and_index(images):
    _, labels, index = ImageDataset(images, EvalTransform(8))[(5, 7)]
    assert (labels.dtype, labels.tolist(), index) == (torch.int8, images.labels[7].tolist(), 7)


def test_unknown_augmentation_names_the_known():
    with pytest.raises(
        UsageError,
        match=r"data\.augment must be one of published, query2label, flip, none or .*, not 'flop': did you mean flip\?",
    ):
        TrainTransform(8, "flop")
