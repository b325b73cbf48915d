"""Writes safetensors files, by one process or by several at once, each its own byte ranges, hashed on the way.

The layout follows from the names, types and shapes alone, so that every process knows where its bytes belong without
asking the others: 8 bytes with the header's length, the header as JSON, then the tensors one after the other.
"""

import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mlcfast.files import CHUNK, DIGEST, errors_name

NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip


class Form(NamedTuple):
    """What a file says of a tensor."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Of its elements."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


class Stretch(NamedTuple):
    """Elements of the tensor `name`, flattened in row-major order, from `start` on; values: their tensor."""

    name: str
    start: int
    values: Tensor


class Share(NamedTuple):
    """A file's tensors by name, the same on every process, and the stretches of them that this process writes."""

    forms: dict[str, Form]
    stretches: list[Stretch]


class Layout:
    """Where the tensors of a file lie; TypeError for a type that safetensors does not know."""

    def __init__(self, forms: Mapping[str, Form], metadata: Mapping[str, str] | None = None):
        self.forms, self.starts = forms, {}
        header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
        position = 0
        # The widest first, so that each begins at a multiple of its elements' width.
        for name in sorted(forms, key=lambda name: (-forms[name].dtype.itemsize, name)):
            form = forms[name]
            if form.dtype not in NAMES:
                raise TypeError(f"{name}: {form.dtype} has no name in a safetensors file")
            self.starts[name] = position
            ends = [position, position + form.bytes]
            header[name] = {"dtype": NAMES[form.dtype], "shape": list(form.shape), "data_offsets": ends}
            position = ends[1]
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self.head = len(text).to_bytes(8, "little") + text
        self.bytes = len(self.head) + position

    def place(self, stretch: Stretch) -> int:
        """The offset in the file of a stretch's first byte."""
        return len(self.head) + self.starts[stretch.name] + stretch.start * self.forms[stretch.name].dtype.itemsize


def forms_of(tensors: Mapping[str, Tensor]) -> dict[str, Form]:
    """What a file says of whole tensors."""
    return {name: Form(tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}


def whole(tensors: Mapping[str, Tensor]) -> Share:
    """All of these tensors, written by one process."""
    return Share(forms_of(tensors), [Stretch(name, 0, tensor) for name, tensor in tensors.items()])


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Write a safetensors file whole or not at all; its entry for `compare_listed`. OSError names the file."""
    draft = path.with_name(path.name + ".partial")
    with errors_name(path):
        draft.unlink(missing_ok=True)
        part = write_share(draft, whole(tensors), metadata)
        os.replace(draft, path)
    return entry_of([part])


def write_share(
    path: Path, share: Share, metadata: Mapping[str, str] | None = None, head: bool = True
) -> dict[str, Any]:
    """Write this process's stretches of a file, and its head where told so, and have them on the disk.

    Several processes may write to the same file at once. Returns this process's part for `entry_of`. OSError names the
    file.
    """
    layout = Layout(share.forms, metadata)
    pieces: list[tuple[int, Tensor | bytes]] = [(0, layout.head)] if head else []
    pieces += sorted(((layout.place(each), each.values) for each in share.stretches), key=lambda piece: piece[0])
    digest = hashlib.sha256()
    segments: list[list[int]] = []  # start and length
    with errors_name(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        with open(descriptor, "r+b", buffering=0) as file:
            file.truncate(layout.bytes)
            for place, values in pieces:
                content = _bytes_of(values)
                file.seek(place)
                _write(file, content, digest)
                if segments and sum(segments[-1]) == place:
                    segments[-1][1] += len(content)
                elif len(content):
                    segments.append([place, len(content)])
            os.fsync(file.fileno())
    return {"bytes": layout.bytes, DIGEST: digest.hexdigest(), "segments": segments}


def entry_of(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The entry of a file for `compare_listed`, from what each process wrote of it.

    ValueError where the parts leave a hole, overlap, or are of files of different sizes.
    """
    size, position = parts[0]["bytes"], 0
    for start, length in sorted(tuple(segment) for part in parts for segment in part["segments"]):
        if start != position:
            raise ValueError(f"the parts that were written do not meet at byte {min(start, position)}")
        position += length
    if position != size or any(part["bytes"] != size for part in parts):
        raise ValueError(f"the parts that were written end at byte {position} of {size}")
    if len(parts) == 1:
        return {"bytes": size, DIGEST: parts[0][DIGEST]}
    return {"bytes": size, "parts": [{DIGEST: p[DIGEST], "segments": p["segments"]} for p in parts if p["segments"]]}


def _bytes_of(values: Tensor | bytes) -> memoryview:
    if isinstance(values, bytes):
        return memoryview(values)
    return values.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data


def _write(file: io.RawIOBase, content: memoryview, digest: "hashlib._Hash") -> None:
    """In chunks; while one is written or hashed other threads of Python run."""
    for start in range(0, len(content), CHUNK):
        chunk = content[start : start + CHUNK]
        digest.update(chunk)
        while len(chunk):
            chunk = chunk[file.write(chunk) :]
