import math

import pytest
import torch

from mlcfast.models.transformer import sine_position


@pytest.mark.parametrize(("height", "width", "dim"), [(1, 1, 4), (3, 5, 8), (14, 14, 2048), (12, 12, 1536)])
def test_equals_the_formula_feature_by_feature(height, width, dim):
    code = sine_position(height, width, dim)
    assert code.shape == (1, height * width, dim) and code.dtype == torch.float32
    half = dim // 2
    for row, column, feature in [(0, 0, 0), (0, 0, dim - 1), (height - 1, width - 1, half - 1), (height // 2, 0, half)]:
        along, length, i = (row, height, feature) if feature < half else (column, width, feature - half)
        angle = 2 * math.pi * (along + 1) / (length + 1e-6) / 10_000 ** (2 * (i // 2) / half)
        expected = math.cos(angle) if i % 2 else math.sin(angle)
        assert code[0, row * width + column, feature].item() == pytest.approx(expected, abs=2e-6)


def test_rows_fill_the_first_half_and_columns_the_second():
    code = sine_position(4, 6, 16).view(4, 6, 16)
    assert (code[:, :, :8] == code[:, :1, :8]).all()
    assert (code[:, :, 8:] == code[:1, :, 8:]).all()
    assert (code[0, :, :8] != code[1, :, :8]).any()


def test_width_must_divide_by_four():
    with pytest.raises(ValueError, match="divisible by 4"):
        sine_position(2, 2, 6)
