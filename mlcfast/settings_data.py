"""The settings of the data: every key, its default, what values it takes and what it means."""

from functools import partial
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from mlcfast.registry import hint, is_import_name

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FORMATS = (
    "auto", "coco", "csv", "features", "demo", "wide", "list", "long", "attributes", "file_list", "label_studio",
    "metadata", "tag_files", "xmp", "folders", "yolo", "voc", "cvat", "labelme", "datumaro", "supervisely",
    "authors", "nus_wide", "parquet", "huggingface", "webdataset", "probabilities",
)  # fmt: skip


Uncertain = Literal["unknown", "positive", "negative"]


def named(*known: str) -> AfterValidator:
    """Accepts a name of the project's own or `package.module:name`, which is imported where it is used."""
    return AfterValidator(partial(check_name, known=known))


def check_name(name: str, known: tuple[str, ...]) -> str:
    """The name, if it is one of the known or of the form `package.module:name`; else ValueError with the nearest."""
    if name in known or is_import_name(name):
        return name
    raise ValueError(f"must be {', '.join(known)} or package.module:name{hint(name, known)}")


class Section(BaseModel):
    """A group of settings; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_values_for_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        wanted = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and bool not in (wanted, *get_args(wanted)):
            raise PydanticCustomError("truth_value", "must be no truth value")
        return value


class DataConfig(Section):
    """Where the samples are and how they become tensors; docs/data.md explains what settles an ambiguous label file."""

    format: Annotated[str, named(*FORMATS)] = Field(
        description="What the labels are read from; auto recognises it; python -m mlcfast.inspect shows what is read."
    )
    options: dict[str, Any] = Field(
        default={}, description="Arguments of a reader of your own, named in data.format, or of the demo set: style."
    )
    root: str = Field(min_length=1, description="The directory of the data set; the names below are looked for in it.")
    train: str = Field(default="train", description="The split, or the label file in data.root, that is trained on.")
    val: float | str | None = Field(
        default="val",
        description="The split or file that chooses the best epoch, or a share of the training file, such as 0.2, with "
        "each label in proportion; null takes the published fifth.",
    )
    test: str | None = Field(
        default=None, description="A split or file that the best weights are measured on once, at the end."
    )
    split_column: str | None = Field(
        default=None, description="The column of data.train that says which rows train, validate and test."
    )
    group: str | None = Field(
        default=None,
        description="The column of what may not be torn apart, such as the patient, where data.val is a share.",
    )
    val_seed: int | None = Field(
        default=None,
        ge=0,
        lt=2**63,
        description="Which images a share in data.val takes; null takes seed. With a number runs of several seeds are "
        "judged by the same images.",
    )
    image_size: int = Field(
        default=448,
        ge=8,
        le=4096,  # the largest that a model's card may name
        description="The side in pixels that images are resized to, whatever their shape.",
    )
    labels: Literal["full", "single_positive"] = Field(
        default="full",
        description="single_positive keeps one positive label of each training image, by the published protocol.",
    )
    augment: Annotated[str, named("published", "query2label", "flip", "none")] = Field(
        default="published",
        description="How training images are varied: published is cutout and torchvision's RandAugment, query2label "
        "cutout and what the code of Query2Label calls so, flip left for right.",
    )
    mix: Annotated[str, named("none", "mixup", "cutmix", "splicemix")] = Field(
        default="none",
        description="How the training images of a batch are mixed with each other: mixup takes means, cutmix a "
        "rectangle of another image, splicemix adds a quarter more images that are grids of shrunk ones.",
    )
    mix_options: dict[str, Any] = Field(
        default={},
        description="Arguments of data.mix: alpha and share of mixup (0.2, 1) and cutmix (1, 1), or of your own.",
    )
    mean: tuple[float, float, float] = Field(
        default=IMAGENET_MEAN,
        description="Subtracted from the red, green and blue of each pixel, which lie in 0 to 1. Where neither this "
        "nor data.std is given, a backbone of timm that does not begin at random has those that timm records of it.",
    )
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = Field(
        default=IMAGENET_STD, description="What the differences from data.mean are divided by."
    )
    workers: int = Field(
        default=4, ge=0, description="Processes that decode images; 0 decodes in the training process itself."
    )
    keep_unlabelled: bool = Field(
        default=False,
        description="For MS-COCO's layout, `annotations/instances_NAME.json`, which leaves images without a label out: "
        "they are kept as images with none of them. All else keeps them.",
    )
    resized_cache: bool = Field(
        default=False, description="Store the resized images once, which saves most of a sample's CPU time later."
    )
    bad_images: Literal["error", "skip"] = Field(
        default="error",
        description="skip finds images that cannot be decoded before training and leaves them out, each listed. Files "
        "that are missing are an error with both: take their rows out.",
    )
    image_column: str | None = Field(default=None, description="The column of image files, where it is not evident.")
    label_columns: list[str] = Field(default=[], description="The columns that are labels, where not all are.")
    ignore_columns: list[str] = Field(default=[], description="Columns that are neither image nor label.")
    separator: str | None = Field(default=None, description="The sign between the labels of a list column.")
    uncertain: Uncertain | float | dict[str, Uncertain | float] = Field(
        default="unknown",
        description="What -1 means in a file that has blank cells and 0 too or, where this is not unknown, either of "
        "them; a number, such as 0.7, is a soft label; by label, such as {Edema: positive, Fracture: 0.3}, those not "
        "named being unknown.",
    )
    stream: bool = Field(
        default=False, description="Read images inside .tar or Parquet files where they lie, in runs, without a copy."
    )
    stream_buffer: int = Field(
        default=1000, ge=1, description="How many images that follow each other are shuffled together by data.stream."
    )
    allow_outside: bool = Field(default=False, description="Image files may lie outside data.root.")
    allow_overlap: bool = Field(
        default=False,
        description="Images, or copies of their files, may be trained on and validate or test too, which is an error "
        "otherwise.",
    )

    @property
    def names_normalisation(self) -> bool:
        """Whether the user gave mean or deviation."""
        return not {"mean", "std"}.isdisjoint(self.model_fields_set)

    @field_validator("mean", "std", mode="before")
    @classmethod
    def _of_three_channels(cls, value: Any) -> Any:
        """Lists of another length are named here: what a tuple of three says of them names no setting."""
        if not isinstance(value, list | tuple) or len(value) != 3:
            raise ValueError("must be three numbers, for red, green and blue")
        return value

    @field_validator("val", mode="before")
    @classmethod
    def _share(cls, value: Any) -> Any:
        """A number in (0, 1) is a share; a whole number names a split, as numbered folds do."""
        if isinstance(value, bool):
            raise ValueError("must be a file, the name of a split, or a share such as 0.2")
        if (isinstance(value, float) and not 0 < value < 1) or (isinstance(value, str) and value.endswith("%")):
            raise ValueError("a share lies between 0 and 1, such as 0.2")
        return str(value) if type(value) is int else value

    @field_validator("test", mode="before")
    @classmethod
    def _numbered(cls, value: Any) -> Any:
        """A whole number names a split, as numbered folds do."""
        return str(value) if type(value) is int else value

    @field_validator("uncertain", mode="before")
    @classmethod
    def _known_policies(cls, value: Any) -> Any:
        """A soft label is kept in hundredths; 0 and 1 have names."""
        for policy in value.values() if isinstance(value, dict) else [value]:
            soft = isinstance(policy, float) and 0 < policy < 1 and round(policy, 2) == policy
            if not soft and policy not in get_args(Uncertain):
                raise ValueError("must be unknown, positive, negative or 0.01 to 0.99 in hundredths")
        return value

    @model_validator(mode="after")
    def _whole_groups(self) -> "DataConfig":
        if self.group is not None and (self.val is None or (self.labels == "single_positive" and not self.val_share)):
            raise ValueError("group needs val as a share, such as 0.2: the published fifth knows no groups")
        return self

    @model_validator(mode="after")
    def _streamed_or_written(self) -> "DataConfig":
        if self.stream and (self.resized_cache or self.bad_images == "skip"):
            raise ValueError("stream reads images where they lie: it goes without resized_cache and bad_images skip")
        return self

    @property
    def val_share(self) -> float | None:
        """The share of the training file that validates; None where val is something else."""
        return self.val if isinstance(self.val, float) else None
