"""Names of folders that say no label: parts and versions of a set, sizes, dates, places where it was taken."""

import re
from collections.abc import Sequence
from pathlib import Path

from mlcfast.data.readers.image_files import images_below
from mlcfast.data.readers.image_folders import OF_SPLITS, folders_of_images, part_in
from mlcfast.data.splits import is_split_word
from mlcfast.errors import UsageError

# Folders of which each holds a piece of the set: `fold1`, `images_002`, `patient_17`.
PIECES = re.compile(
    r"(cv)?(k?folds?|splits?|parts?|batch(es)?|chunks?|shards?|subsets?|sets?|sessions?|runs?|rounds?|archives?|folders?"
    r"|dirs?|images?|imgs?|photos?|pics?|data|train|test|val|videos?|vids?|clips?|seq(uence)?s?|scenes?|cam(era)?s?|views?"
    r"|patients?|subjects?|cases?|stud(y|ies)|visits?|sites?|hospitals?|days?|weeks?|months?|years?)[ _.-]?\d+",
    re.IGNORECASE,
)
NUMBERED = re.compile(rf"(.*[ _.-])({PIECES.pattern})", re.IGNORECASE)
OF_CAMERAS = re.compile(r"[1-9]\d\d[a-z_]{5}")  # `100CANON`, as cameras number their folders
DATE = re.compile(r"(19|20)\d\d([ _.-]?(0?[1-9]|1[0-2])([ _.-]?([0-2]?\d|3[01]))?)?")
SIZE = re.compile(r"\d{2,5}\s*(x\s*\d{2,5}|px|p|k)|\d+(\.\d+)?x", re.IGNORECASE)  # `64x64`, `256px`, `40X`
SIZES = {
    "16", "28", "32", "48", "64", "96", "112", "128", "160", "192", "224", "240", "256", "299", "320", "331", "336",
    "384", "416", "448", "480", "512", "600", "640", "720", "768", "800", "1024", "1080", "1280", "2048", "4096",
}  # fmt: skip
MONTHS = {
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
}  # fmt: skip
HASH = re.compile(r"[0-9a-f]{2}")
# Versions of the same images, or what somebody has labelled and not.
MADE = {
    "original", "originals", "orig", "raw", "augmented", "augmentation", "augmentations", "aug", "processed",
    "preprocessed", "unprocessed", "cropped", "crops", "uncropped", "resized", "enhanced", "filtered", "normalized",
    "grayscale", "greyscale", "flipped", "rotated", "synthetic", "generated", "extra", "old", "new",
}  # fmt: skip
ANNOTATED = {"labeled", "unlabeled", "labelled", "unlabelled", "annotated", "unannotated"}
# Images beside what is made of them, under the same names of files; all folders must be of one line.
PAIRS = (
    {
        "input", "inputs", "target", "targets", "output", "outputs", "gt", "ground_truth", "groundtruth",
        "ground-truth", "mask", "masks", "label", "labels", "segmentation", "segmentations", "image", "images", "img",
        "imgs", "source", "reference", "result", "results", "noisy", "clean", "hazy", "blurred", "sharp",
    },
    {"low", "high", "lr", "hr", "sr", "lowres", "highres", "low_res", "high_res", "hq", "lq"},
    {"rgb", "depth", "ir", "nir", "thermal", "infrared", "visible", "lidar", "normals", "flow", "disparity"},
)  # fmt: skip
SEARCHED = {"query", "gallery", "bounding_box_train", "bounding_box_test", "gt_bbox", "gt_query", "distractors"}
PLAIN = {"images", "image", "imgs", "img", "photos", "extra_images", "more_images", "other_images"}


def refuse_no_labels(path: Path, folders: Sequence[Path]) -> None:
    """UsageError where all of the folders, which hold images, are called as pieces or versions of a set are."""
    names = {folder.name.lower() for folder in folders}
    says = _why(names) or ("versions of the same images" if _are_pairs(names, folders) else "")
    if says:
        first, second = sorted({folder.name for folder in folders})[:2]
        inside = next((inner for folder in folders for inner in folders_of_images(folder)), None)
        deeper = f", or name {inside.parent} if its own folders are the labels" if inside is not None else ""
        raise UsageError(
            f"{path}: the folders {first!r}, {second!r} and so on are called as {says} are, and may be no labels: set "
            f"data.format to folders if they are, else name the file of the labels{deeper}"
        )


def _why(names: set[str]) -> str:
    """What folders of these names, in small letters, may be other than labels; "" where nothing says so."""
    if len(names) < 2 or all(map(is_split_word, names)):
        return ""
    if all(map(DATE.fullmatch, names)) or names <= MONTHS:
        return "dates"
    if names <= SIZES or all(map(SIZE.fullmatch, names)):
        return "sizes of the images"
    if names <= MADE or names <= ANNOTATED:
        return "versions of the same images"
    if all(map(HASH.fullmatch, names)) and any(re.search("[a-f]", name) for name in names) and _has_digit(names):
        return "the first letters of the images' checksums"
    pieces = [NUMBERED.fullmatch(name) for name in names]
    if all(pieces) and len({piece[1] for piece in pieces if piece}) == 1:  # `HAM10000_images_part_1`
        return "pieces of the set"
    if all(
        PIECES.fullmatch(name) or OF_SPLITS.fullmatch(name) or name in PLAIN or OF_CAMERAS.fullmatch(name)
        for name in names
    ):
        return "pieces of the set"
    if names & SEARCHED and all(part_in(name) or name in SEARCHED for name in names):
        return "parts of the set"
    return ""


def _are_pairs(names: set[str], folders: Sequence[Path]) -> bool:
    """Whether folders are called as images and what is made of them are, and most files of one have another's name."""
    if len(names) < 2 or not any(names <= each for each in PAIRS):
        return False
    first, second = ({image.stem for image in images_below(folder)} for folder in sorted(folders)[:2])
    return 2 * len(first & second) >= min(len(first), len(second))


def _has_digit(names: set[str]) -> bool:
    return any(re.search(r"\d", name) for name in names)
