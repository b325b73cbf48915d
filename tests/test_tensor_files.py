"""Safetensors files written in stretches: what others read of them, and what tells whether all was written."""

import itertools
import random

import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from mlcfast.errors import RunError
from mlcfast.files import compare_listed
from mlcfast.tensor_files import Form, Share, Stretch, entry_of, forms_of, write_share, write_tensors

AWKWARD = {
    "": torch.arange(6.0).view(2, 3).t(),
    "half": torch.tensor([1.5, -0.0], dtype=torch.float16),
    "brain": torch.full((3, 1), float("nan"), dtype=torch.bfloat16),
    "number": torch.tensor(7),
    "none": torch.zeros(0, 4),
    "yes": torch.tensor([True, False, True]),
    "schrödinger/α": torch.tensor([[2**40]]),
    "byte": torch.tensor([255], dtype=torch.uint8),
    "every second": torch.arange(9.0, dtype=torch.float64)[::2],
    "image": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
}


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and one[name]
        .contiguous()
        .flatten()
        .view(torch.uint8)
        .equal(other[name].contiguous().flatten().view(torch.uint8))
        for name in one
    )


def test_others_read_what_was_written(tmp_path):
    file = tmp_path / "a.safetensors"
    entry = write_tensors(file, AWKWARD, {"format": "pt", "names": '["é"]'})
    assert same(safetensors.torch.load_file(file), AWKWARD)
    with safe_open(file, "pt") as held:
        assert held.metadata() == {"format": "pt", "names": '["é"]'}
    compare_listed(tmp_path, {file.name: entry}, "again")
    write_tensors(file, {})
    assert safetensors.torch.load_file(file) == {} and [entry.name for entry in tmp_path.iterdir()] == [file.name]


def test_the_layout_is_that_of_safetensors_itself(tmp_path):
    tensors = {name: t for name, t in AWKWARD.items() if t.dtype in (torch.float32, torch.float16, torch.uint8)}
    write_tensors(tmp_path / "ours", tensors, {"format": "pt"})
    safetensors.torch.save_file({n: t.contiguous() for n, t in tensors.items()}, tmp_path / "theirs", {"format": "pt"})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_a_type_without_a_name_is_an_error_that_names_the_tensor(tmp_path):
    with pytest.raises(TypeError, match=r"phase: torch\.complex64"):
        write_tensors(tmp_path / "a", {"phase": torch.zeros(2, dtype=torch.complex64)})


def dealt(tensors: dict, writers: int) -> list[Share]:
    """Stretches of random lengths, each of a random writer."""
    draw, forms = random.Random(writers), forms_of(tensors)
    shares = [Share(forms, []) for _ in range(writers)]
    for name, tensor in tensors.items():
        flat = tensor.contiguous().flatten()
        cuts = sorted({0, flat.numel(), *(draw.randint(0, flat.numel()) for _ in range(3))})
        for start, end in itertools.pairwise(cuts):
            shares[draw.randrange(writers)].stretches.append(Stretch(name, start, flat[start:end]))
    return shares


@pytest.mark.parametrize("writers", [1, 2, 5])
def test_several_write_one_file(tmp_path, writers):
    file = tmp_path / "a.safetensors"
    parts = [write_share(file, share, head=number == 0) for number, share in enumerate(dealt(AWKWARD, writers))]
    assert same(safetensors.torch.load_file(file), AWKWARD)
    entry = entry_of(parts)
    compare_listed(tmp_path, {file.name: entry}, "again")
    content = file.read_bytes()
    for place in range(0, len(content), 7):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(RunError, match="damaged"):
            compare_listed(tmp_path, {file.name: entry}, "again")


def test_parts_that_do_not_make_up_the_file_are_refused(tmp_path):
    forms, whole = {"a": Form(torch.float32, (4,))}, torch.arange(4.0)
    head = write_share(tmp_path / "a", Share(forms, []))
    first, last, more = (
        write_share(tmp_path / "a", Share(forms, [Stretch("a", start, whole[start:end])]), head=False)
        for start, end in ((0, 2), (2, 4), (1, 4))
    )
    entry_of([head, last, first])
    for parts in ([head, last], [head, first], [head, first, more], [first, last]):
        with pytest.raises(ValueError, match="the parts that were written"):
            entry_of(parts)
    other = write_share(tmp_path / "b", Share({"a": Form(torch.float32, (5,))}, []), head=False)
    with pytest.raises(ValueError, match="the parts that were written"):
        entry_of([head, first, last, other])


@pytest.mark.parametrize("entry", [{}, [], {"bytes": 3}, {"bytes": 3, "parts": [{"sha256": "0"}]}, {"parts": 4}])
def test_an_entry_that_is_none_is_named(tmp_path, entry):
    (tmp_path / "a").write_bytes(b"abc")
    with pytest.raises(RunError, match="the list of its files is damaged at 'a'"):
        compare_listed(tmp_path, {"a": entry}, "again")
