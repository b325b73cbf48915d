"""MS-COCO, CSV and feature tables as (image, labels, index) samples."""

import importlib
from typing import Any

_HOME = {
    "LabelledImages": "records",
    "read_coco": "coco",
    "read_csv": "csv_labels",
    "SparseLabels": "labels",
    "LabelledFeatures": "features",
    "feature_width": "features",
    "label_file": "label_files",
    "read_features": "features",
    "FeatureLoader": "feature_loader",
    "FeatureWriter": "feature_files",
    "holds_features": "feature_files",
    "load_rgb": "images",
    "contact_sheet": "demo",
    "find_bad_images": "bad_images",
    "EvalTransform": "transforms",
    "TrainTransform": "transforms",
    "ImageDataset": "dataset",
    "ResizedCache": "resized",
    "resized_cache_bytes": "resized",
    "EvalSampler": "samplers",
    "InTurnSampler": "samplers",
    "StreamSampler": "samplers",
    "StreamedImages": "packed",
    "TrainSampler": "samplers",
    "make_loader": "loader",
    "ensure_demo": "demo",
    "make_demo": "demo",
    "observe_single_positive": "protocol",
    "split_train_val": "protocol",
    "stratified_split": "stratify",
    "find_images": "sources",
    "decoded_batches": "stream",
}
__all__ = sorted(_HOME)  # resolved below, so that labels and the demo set load without torch


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
