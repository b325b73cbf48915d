"""Recognises what a single label file is, by its ending and by what it holds, and reads it."""

import dataclasses
from pathlib import Path

from mlcfast.data.labels import holds
from mlcfast.data.readers.attribute_tables import is_attribute_table, read_attribute_table
from mlcfast.data.readers.boxes import read_xml
from mlcfast.data.readers.cub import ATTRIBUTES, read_attributes
from mlcfast.data.readers.exports import has_objects_in_lines, read_metadata
from mlcfast.data.readers.json_files import read_json
from mlcfast.data.readers.label_studio import is_label_studio, read_label_studio_sheet
from mlcfast.data.readers.lists import is_file_list, read_file_list, refuse_without_endings
from mlcfast.data.readers.mimic import explained
from mlcfast.data.readers.mirflickr import refuse_numbers
from mlcfast.data.readers.record_lists import is_record_list, read_record_list
from mlcfast.data.readers.refused import refuse_answers, refuse_archive, refuse_other_tools
from mlcfast.data.readers.registry import read_as
from mlcfast.data.readers.sheet import read_sheet, read_text
from mlcfast.data.readers.signed_lists import is_signed_list, read_signed_list
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.readers.tables import read_rows
from mlcfast.data.readers.tool_exports import DOCUMENTS, read_tool_export
from mlcfast.data.readers.voc_lists import refuse_class_list, refuse_pairs
from mlcfast.documents import reading, refuse_special
from mlcfast.errors import UsageError

VOC_LISTS = Path("ImageSets", "Main")
BY_ENDING = {
    ".parquet": "parquet", ".arrow": "parquet", ".feather": "parquet", ".tar": "webdataset", ".yaml": "yolo",
    ".yml": "yolo", ".data": "yolo", ".npz": "probabilities",
}  # fmt: skip


def read_single(path: Path, options: TableOptions) -> LabelSource:
    """Read a label file that holds one split; UsageError for one that holds several."""
    refuse_special(path)
    with reading(path, within=path.parent):
        return only_one(path, read_as(path, options) if options.form != "auto" else read_file(path, options))


def only_one(path: Path, sources: list[LabelSource]) -> LabelSource:
    """The only one of the splits of a file or directory; UsageError, which names them, where there are several."""
    source, *more = sources
    if more:
        named = ", ".join(each.split for each in sources if each.split)
        raise UsageError(f"{path}: holds several splits: name one of them{': ' if named else ''}{named}")
    return source


def read_file(path: Path, options: TableOptions) -> list[LabelSource]:
    """The sources of a label file, a split each, by its ending or, of a text, by what it holds."""
    refuse_archive(path)
    ending = path.suffix.lower()
    if ending == ".json":
        return [_read_json(path, options)]
    if ending in (".jsonl", ".ndjson", ".manifest"):
        return [read_metadata(path, options)]
    if ending in BY_ENDING or ending == ".xml":
        form = BY_ENDING.get(ending) or ("voc" if read_xml(path).tag == "annotation" else "cvat")
        return read_as(path, dataclasses.replace(options, form=form))
    if path.parent.parts[-2:] == VOC_LISTS.parts:
        return read_as(path, dataclasses.replace(options, form="voc"))
    if path.name == ATTRIBUTES:
        return [read_attributes(path)]
    text, _ = read_text(path)
    if is_attribute_table(text):
        return [read_attribute_table(path)]
    if is_signed_list(text):
        return [read_signed_list(path, options)]
    if is_file_list(text):
        listed = read_file_list(path, options)
        if not holds(listed.states, 1):
            remedy = _labels_in_front(listed) or "name the directory or data.yaml of YOLO, or a table"
            raise UsageError(f"{path}: lists images and no labels: {remedy}")
        return [listed]
    if is_record_list(text):
        return [read_record_list(path, options)]
    refuse_class_list(path)
    refuse_pairs(path)
    refuse_without_endings(path, text)
    refuse_numbers(path, text)
    sheet = read_sheet(path, options)
    refuse_answers(path, sheet.header)
    try:
        return [read_label_studio_sheet(sheet, options) if is_label_studio(sheet) else read_rows(sheet, options)]
    except UsageError as error:
        raise explained(path, error) from error


def _labels_in_front(source: LabelSource) -> str:
    """What to write where all names of images hold a word before a blank, which may be the label: `2 0001.jpg`."""
    apart = [name.partition(" ") for name in source.images]
    if not apart or not all(image.strip() and "/" not in word for word, _, image in apart):
        return ""
    word, _, image = apart[0]
    where = f"{source.unit} {source.lines[0]}: {source.images[0]!r}"
    return f"if {word!r} of {where} is the label, write it behind the image, '{image.strip()} {word}'"


def _read_json(path: Path, options: TableOptions) -> LabelSource:
    from mlcfast.data.coco import coco_source, is_cached
    from mlcfast.data.coco_table import content_of

    if is_cached(path):  # to parse a large file again takes seconds
        return coco_source(path, options)
    try:
        content = content_of(path)
    except UsageError as error:
        if has_objects_in_lines(path):  # as pandas writes with lines=True
            return read_metadata(path, options)
        raise error from None
    if isinstance(content, dict) and "images" in content:
        exported = read_tool_export(path, content, DOCUMENTS)
        if exported is not None:
            return exported
        refuse_other_tools(path, content)
        return coco_source(path, options, content)
    return read_json(path, content, options)
