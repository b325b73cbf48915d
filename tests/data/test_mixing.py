"""Mixing the images of a batch: pixels and labels of each kind, and that nothing is waited for."""

import collections

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mlcfast.data.mixing import CutMix, MixUp, SpliceMix, make_mix, mixed
from mlcfast.errors import UsageError
from tests.engine.watching import HostQuestions, Operations

SIDE, K = 12, 5


def batch(size=8, side=SIDE):
    """Images that are one grey each, of another one each, and labels with unknown ones."""
    grey = torch.arange(1, size + 1, dtype=torch.float32)
    labels = torch.randint(-1, 2, (size, K), generator=torch.Generator().manual_seed(0)).to(torch.int8)
    return grey.view(-1, 1, 1, 1).expand(size, 3, side, side).contiguous(memory_format=torch.channels_last), labels


def draws(seed):
    return np.random.default_rng(seed)


def test_mixup_takes_one_share_of_pixels_and_labels():
    images, labels = batch()
    mixed, targets = MixUp(alpha=1.0)(images, labels, draws(3))
    kept = (mixed[0, 0, 0, 0] - 8) / (1 - 8)
    assert 0.02 < kept < 0.98
    assert torch.allclose(mixed, kept * images + (1 - kept) * images.flip(0))
    present = (labels > 0).float()
    assert torch.allclose(targets, kept * present + (1 - kept) * present.flip(0), atol=1e-6)
    assert torch.equal(images, batch()[0]) and torch.equal(labels, batch()[1])


@pytest.mark.parametrize("seed", range(20))
def test_cutmix_counts_what_it_really_cut(seed):
    images, labels = batch()
    mixed, targets = CutMix()(images, labels, draws(seed))
    own = (mixed == images).float().mean(dim=(1, 2, 3))
    assert torch.all((mixed == images) | (mixed == images.flip(0)))
    present = (labels > 0).float()
    expected = own[:, None] * present + (1 - own[:, None]) * present.flip(0)
    assert torch.allclose(targets, expected, atol=1e-6)
    changed = (mixed[0, 0] != images[0, 0]).nonzero()
    if len(changed):
        (top, left), (bottom, right) = changed.amin(0).tolist(), changed.amax(0).tolist()
        assert len(changed) == (bottom - top + 1) * (right - left + 1)


def test_shares_are_drawn_as_said():
    kept = [MixUp(alpha=0.4)(*batch(2), draws(seed))[0][0, 0, 0, 0].item() for seed in range(400)]
    shares = 2 - np.array(kept)  # of the greys 1 and 2
    assert abs(shares.mean() - 0.5) < 0.07 and abs(shares.var() - 0.25 / 1.8) < 0.03
    mix, given = MixUp(share=0.25), batch(2)[0]
    untouched = sum(mix(*batch(2), draws(seed))[0].equal(given) for seed in range(200))
    assert 0.65 < untouched / 200 < 0.85


@pytest.mark.parametrize("seed", range(30))
def test_splicemix_adds_grids_with_the_labels_of_their_cells(seed):
    images, labels = batch()
    mixed, targets = SpliceMix()(images, labels, draws(seed))
    assert torch.equal(mixed[:8], images) and torch.equal(targets[:8], labels)
    assert len(mixed) == len(targets) == SpliceMix().images(8) == 10
    assert mixed.is_contiguous(memory_format=torch.channels_last)
    for picture, row in zip(mixed[8:, 0], targets[8:], strict=True):
        seen = {int(value) for value in picture.unique() if value == value.round()} - {0}
        kept = torch.stack([labels[grey - 1] for grey in seen])
        assert torch.equal(row, kept.amax(0))


def test_splicemix_draws_grids_and_empty_cells_as_published():
    grids, empty = collections.Counter(), collections.Counter()
    for seed in range(1500):
        picture = SpliceMix()(*batch(), draws(seed))[0][8, 0]
        rows = 1 + int((picture[1:, 0] != picture[:-1, 0]).sum())
        columns = 1 + int((picture[0, 1:] != picture[0, :-1]).sum())
        cells = F.adaptive_avg_pool2d(picture[None], 6)[0]
        if (cells == 0).any():
            empty[True] += 1
        else:
            grids[tuple(sorted((rows, columns)))] += 1
            grids["lying" if columns > rows else "standing" if rows > columns else "square"] += 1
    assert 0.26 < empty[True] / 1500 < 0.34
    whole = grids[1, 2] + grids[2, 2] + grids[2, 3]
    assert abs(grids[1, 2] / whole - 0.3) < 0.05 and abs(grids[2, 2] / whole - 0.4) < 0.05
    assert abs(grids["lying"] / (grids["lying"] + grids["standing"]) - 0.5) < 0.06


def test_splicemix_fills_sides_that_cells_do_not_divide():
    images, labels = batch(8, side=13)
    assert all(SpliceMix()(images, labels, draws(seed))[0].shape == (10, 3, 13, 13) for seed in range(10))


def test_too_few_images_are_left_alone():
    images, labels = batch(3)
    mixed, targets = SpliceMix()(images, labels, draws(0))
    assert mixed is images and targets is labels and SpliceMix().images(3) == 3


@pytest.mark.parametrize("name", ["mixup", "cutmix", "splicemix"])
def test_nothing_is_waited_for(name):
    mix = make_mix(name, {})
    images, labels = batch()
    for seed in range(10):
        random = draws(seed)
        with Operations(), HostQuestions():
            mix(images, labels, random)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("none", {"alpha": 1}, "data.mix_options: there is no data.mix"),
        ("mixup", {"alpha": 0}, "data.mix mixup: alpha 0 must be above 0"),
        ("cutmix", {"share": 2}, "share 2"),
        ("cutmix", {"alpha": "a"}, "data.mix cutmix: "),
        ("splicemix", {"alpha": 1}, "data.mix splicemix has no option 'alpha'"),
        ("mixupp", {}, "did you mean mixup"),
        ("collections:OrderedDict", {}, "data.mix collections:OrderedDict gives a OrderedDict, not what mixes a batch"),
    ],
)
def test_what_does_not_fit_is_said(name, options, said):
    with pytest.raises(UsageError, match=said):
        make_mix(name, options)


class Doubled:
    """Says one number of images and makes another."""

    soft = False

    def __init__(self, says: int = 2, labels: int = 2):
        self.says, self.labels = says, labels

    def images(self, micro_batch: int) -> int:
        return self.says * micro_batch

    def __call__(self, images, labels, random):
        return torch.cat([images, images]), labels.repeat(self.labels, 1)


def test_a_mix_is_held_to_the_number_of_images_it_says():
    images, labels = batch(4)
    after, targets = mixed(Doubled(), images, labels, draws(0))
    assert len(after) == len(targets) == 8
    for wrong in (Doubled(says=1), Doubled(says=3), Doubled(labels=1)):
        rows, says = 4 * wrong.labels, 4 * wrong.says
        made = f"data.mix: Doubled made 8 images and {rows} rows of labels of a micro-batch of 4, and its images"
        with pytest.raises(UsageError, match=made) as raised:
            mixed(wrong, images, labels, draws(0))
        assert str(raised.value).endswith(f"says {says}")


@pytest.mark.parametrize("mix", [MixUp(), CutMix(), SpliceMix()])
@pytest.mark.parametrize("size", [1, 3, 4, 9])
def test_ours_make_what_they_say(mix, size):
    images, labels = batch(size)
    assert len(mixed(mix, images, labels, draws(size))[0]) == mix.images(size)
