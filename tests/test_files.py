"""Files written whole or not at all."""

import os
import stat

import torch

from mlcfast.files import write_text
from mlcfast.tensor_files import write_tensors


def test_tensors_have_the_permissions_of_other_files(tmp_path):
    """A colleague, or a container's user, reads the weights as they read the card beside them."""
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "card.json", "{}")
        write_tensors(tmp_path / "model.safetensors", {"w": torch.zeros(2)})
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("card.json", "model.safetensors")]
    assert modes == [0o644, 0o644]
