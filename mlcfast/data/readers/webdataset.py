"""WebDataset's shards: tar files in which the members of one name, without their endings, are a sample."""

import dataclasses
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mlcfast.data.packed import TarImages, contents
from mlcfast.data.readers.class_names import NAME_FILES, names_beside, refuse_nameless
from mlcfast.data.readers.exports import refuse_scored_row, sheet_of
from mlcfast.data.readers.image_files import IMAGE_ENDINGS
from mlcfast.data.readers.refused import OF_IMG2DATASET, refuse_other_tools
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.readers.tables import read_rows
from mlcfast.data.readers.unpacked import by_split, missing_shards, unpack
from mlcfast.documents import parse_json, refuse_special
from mlcfast.errors import UsageError

CLASS = "class"  # the column that a .cls becomes
LARGEST_NOTE = 2**24  # bytes of a .json or .cls


def is_webdataset(path: Path) -> bool:
    """Whether a directory holds tar files, in it or in a folder for each split."""
    return bool(by_split(path, (".tar",)))


def read_webdataset(path: Path, options: TableOptions) -> list[LabelSource]:
    """Read a .tar or a directory of them, a source for each split: images with a .json or .cls of the same name.

    A .json is an object with a list of labels, one label, or a key for each label; a .cls holds class numbers, whose
    names are in classes.txt beside the shards.
    """
    splits = by_split(path, (".tar",))
    if not splits:
        raise UsageError(f"{path}: holds no .tar")
    return [_source(path, split, files, options) for split, files in splits.items()]


def _source(path: Path, split: str, files: Sequence[Path], options: TableOptions) -> LabelSource:
    samples = [(number, *sample) for number, file in enumerate(files) for sample in _samples(file)]
    lost = sum("image" not in sample for _, _, sample in samples)
    if lost == len(samples):
        raise UsageError(f"{path}: no images in it")
    noted = [each for each in samples if "image" in each[2] and len(each[2]) > 1]
    bare = [sample["image"] for _, _, sample in samples if [*sample] == ["image"]]
    pictured = [sample for _, _, sample in noted]
    packed = TarImages.of(files, [(number, *place) for number, place, _ in noted])
    if not noted:
        raise UsageError(
            f"{path}: no sample has a .json or .cls, which hold the labels; a .txt, a caption, is not read"
        )
    if not options.label_columns:
        refuse_other_tools(path, pictured, (OF_IMG2DATASET,))
    for sample in pictured:
        refuse_scored_row(f"{path}: {sample['image']}", sample, options)
    (names, counted), by_class = names_beside(files[0]), all(set(sample) <= {"image", CLASS} for sample in pictured)
    if by_class:  # then 0 and 1 are classes, not flags
        options = dataclasses.replace(options, separator=options.separator or " ")
    if names:
        pictured = [_with_names(sample, names, files[0]) for sample in pictured]
        options = dataclasses.replace(options, separator="\n") if by_class else options
    sheet = sheet_of(path, pictured, range(1, len(pictured) + 1))
    source = read_rows(sheet, dataclasses.replace(options, image_column="image"))
    if len(source.images) != len(pictured):
        raise UsageError(f"{path}: {source.warnings[-1]}, but samples of one name cannot be told apart: rename them")
    warnings = [*source.warnings, f"{lost} samples have no image: they are left out"] if lost else source.warnings
    if bare:
        says = f"{len(bare)} images have neither a .json nor a .cls with anything in it, first {bare[0]!r}"
        remedy = 'they are left out, as nobody has labelled them: write {"labels": []} for those without a label'
        warnings = [*warnings, f"{says}: {remedy}"]
    names = [name for name in names if name]
    source = source.in_order(names if names and set(source.names) <= set(names) else None)
    return dataclasses.replace(
        source,
        format="webdataset",
        split=split,
        assumptions=[*source.assumptions, *counted],
        warnings=[*warnings, *missing_shards(files)],
        unpack=lambda: unpack(files, source.images, lambda: contents(packed)),
        packed=packed,
    )


def _with_names(sample: dict[str, Any], names: Sequence[str], file: Path) -> dict[str, Any]:
    if CLASS not in sample:
        return sample
    numbers = [int(word) for word in str(sample[CLASS]).split()]
    if any(number >= len(names) for number in numbers):
        raise UsageError(
            f"{file}: {sample['image']}: class {max(numbers)}, but there are {len(names)} names: "
            f"name it in {' or '.join(NAME_FILES)} beside the shards, counted from 0"
        )
    refuse_nameless(f"{file}: {sample['image']}", names, numbers)
    return {**sample, CLASS: "\n".join(names[number] for number in numbers)}


def _samples(file: Path) -> list[tuple[tuple[int, int], dict[str, Any]]]:
    """The samples of a shard in order: first byte and size of its image, the image's name and what the notes say."""
    samples: dict[str, dict[str, Any]] = {}
    places: dict[str, tuple[int, int]] = {}
    for name, member, archive in _members(file):
        folder, base = os.path.split(name)
        key, ending = os.path.join(folder, base.partition(".")[0]), _ending(name)
        sample = samples.setdefault(key, {})
        if ending in IMAGE_ENDINGS:
            if "image" in sample:
                raise UsageError(f"{file}: {key}: two images, {sample['image']} and {name}: one a sample is read")
            if member.issparse():
                raise UsageError(f"{file}: {name}: stored with holes in it, as tar --sparse does: pack it without")
            sample["image"], places[key] = name, (member.offset_data, member.size)
        elif ending in (".json", ".cls"):
            if member.size > LARGEST_NOTE:
                raise UsageError(f"{file}: {name}: {member.size} bytes, too many for labels")
            sample.update(_note(file, name, ending, _content(archive, member)))
    ordered = {
        key: dict(sorted(sample.items(), key=lambda item: item[0] != "image")) for key, sample in samples.items()
    }
    return [(places.get(key, (0, 0)), sample) for key, sample in ordered.items()]


def _note(file: Path, name: str, ending: str, content: bytes) -> dict[str, Any]:
    try:
        if ending == ".cls":
            words = content.decode().split()
            if not all(word.isdecimal() for word in words):
                raise ValueError("holds something else than class numbers: write the names in a .json, as labels")
            return {CLASS: " ".join(words)}
        try:
            row = parse_json(content)
        except ValueError as error:
            raise ValueError(f"not valid JSON: {error}: mend it, and pack the shard anew") from error
        if not isinstance(row, dict):
            raise ValueError('is not an object: write {"labels": [...]}')
    except ValueError as error:
        raise UsageError(f"{file}: {name}: {error}") from error
    return {key: value for key, value in row.items() if str(key).lower() != "image"}


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _members(file: Path) -> Iterator[tuple[str, tarfile.TarInfo, tarfile.TarFile]]:
    """The plain files of a shard; links and devices are passed over, and nothing is ever written by its name."""
    refuse_special(file)
    try:
        with tarfile.open(file, "r:") as archive:
            for member in archive:
                if member.isfile():
                    yield member.name.removeprefix("./"), member, archive
    except (OSError, tarfile.TarError, EOFError) as error:
        raise UsageError(f"{file}: not a tar file that can be read: {error}") from error


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    held = archive.extractfile(member)
    return held.read() if held else b""
