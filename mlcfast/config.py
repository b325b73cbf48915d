"""Typed configuration: YAML in, dotted overrides on top, one-line errors that suggest the nearest key."""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from mlcfast.errors import UsageError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Section(BaseModel):
    """A group of settings; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_values_for_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        wanted = cls.model_fields[info.field_name].annotation
        if isinstance(value, bool) and wanted is not bool:
            raise ValueError(f"Input should be {getattr(wanted, '__name__', wanted)}")
        return value


class DataConfig(Section):
    """Where the samples are and how they become tensors.

    val: a share, such as 0.2, validates on a part of the training file that holds each label in proportion; null takes
    the published fifth, as labels: single_positive does without a share. split_column: the column of data.train that
    says which rows train, validate and test; group: the column of what may not be torn apart. docs/data.md explains
    these and what settles an ambiguous label file.
    """

    format: Literal[
        "auto", "coco", "csv", "features", "demo", "wide", "list", "long", "attributes", "file_list", "label_studio",
        "metadata", "tag_files", "folders", "yolo", "voc", "cvat", "parquet", "huggingface", "webdataset"
    ]  # fmt: skip
    root: str = Field(min_length=1)
    train: str = "train"
    val: float | str | None = "val"
    test: str | None = None
    split_column: str | None = None
    group: str | None = None
    image_size: int = Field(448, ge=8)
    labels: Literal["full", "single_positive"] = "full"
    augment: Literal["published", "flip", "none"] = "published"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = IMAGENET_STD
    workers: int = Field(4, ge=0)
    keep_unlabelled: bool = False
    resized_cache: bool = False
    bad_images: Literal["error", "skip"] = "error"
    image_column: str | None = None
    label_columns: list[str] = []
    ignore_columns: list[str] = []
    separator: str | None = None
    uncertain: Literal["unknown", "positive", "negative"] = "unknown"
    allow_outside: bool = False

    @field_validator("val", mode="before")
    @classmethod
    def _share(cls, value: Any) -> Any:
        """A number in (0, 1) is a share; a whole number names a split, as numbered folds do."""
        if isinstance(value, float) and not 0 < value < 1:
            raise ValueError("a share lies between 0 and 1, such as 0.2")
        return str(value) if type(value) is int else value

    @model_validator(mode="after")
    def _whole_groups(self) -> "DataConfig":
        if self.group is not None and (self.val is None or (self.labels == "single_positive" and not self.val_share)):
            raise ValueError("group needs val as a share, such as 0.2: the published fifth knows no groups")
        return self

    @property
    def val_share(self) -> float | None:
        """The share of the training file that validates; None where val is something else."""
        return self.val if isinstance(self.val, float) else None


class ModelConfig(Section):
    """The head, its backbone and where their weights come from."""

    head: Literal["query2label", "linear"] = "query2label"
    backbone: str = Field(min_length=1)
    backbone_options: dict[str, Any] = {}
    weights: str = "pretrained"
    freeze: Literal["auto", "published", "none", "backbone"] = "auto"
    embed_dim: int | None = Field(None, ge=4)
    num_heads: int = Field(4, ge=1)
    feedforward: int = Field(8192, ge=1)
    encoder_layers: int = Field(1, ge=0)
    decoder_layers: int = Field(2, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    decoder_self_attention: bool = False
    query_groups: int | None = Field(None, ge=1)

    @property
    def head_options(self) -> dict[str, Any]:
        """What `build_model` takes for this head beyond the backbone; the linear head takes nothing."""
        names = ("embed_dim", "num_heads", "feedforward", "encoder_layers", "decoder_layers", "dropout")
        names += ("decoder_self_attention", "query_groups")
        return {name: getattr(self, name) for name in names} if self.head == "query2label" else {}


class LossConfig(Section):
    """A loss by name; every other key is an option of that loss (see `mlcfast.losses.build_loss`)."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    name: str = "asymmetric"

    @property
    def options(self) -> dict[str, Any]:
        """The loss's own options."""
        return dict(self.model_extra or {})


class OptimConfig(Section):
    """The optimizer and its learning-rate schedule; warmup is a fraction of all steps.

    name: adamw8bit keeps its moments in 8 bits (bitsandbytes).
    """

    name: Literal["adamw", "adam", "adamw8bit"] = "adamw"
    lr: float = Field(1e-4, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    schedule: Literal["one_cycle", "constant"] = "one_cycle"
    warmup: float = Field(0.2, ge=0, lt=1)
    grad_clip: float | None = Field(None, gt=0)


class EngineConfig(Section):
    """How a step is executed; batches are counted in images, micro_batch is the most a device holds at once.

    activation_checkpointing: blocks keeps only each block's input and computes the rest again in the backward pass;
    auto does so under zero2.
    """

    name: Literal["auto", "single", "ddp", "zero2"] = "auto"
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"
    micro_batch: int = Field(8, ge=1)
    global_batch: int = Field(64, ge=1)
    activation_checkpointing: Literal["none", "blocks", "auto"] = "none"
    offload_optimizer: bool = False
    compile: bool = False

    @model_validator(mode="after")
    def _possible(self) -> "EngineConfig":
        if self.offload_optimizer and self.name in ("single", "ddp"):
            raise ValueError(f"offload_optimizer needs name: zero2, not {self.name}")
        return self

    def micro_batch_for(self, devices: int) -> int:
        """Images a device takes at once: the largest divisor of its share of global_batch of at most micro_batch.

        Raises UsageError where the devices cannot share global_batch evenly.
        """
        share, rest = divmod(self.global_batch, devices)
        if rest or not share:
            several = max(1, share) * devices
            raise UsageError(
                f"engine.global_batch {self.global_batch} cannot be shared evenly by {devices} processes: "
                f"set it to a multiple of {devices}, such as {several}"
            )
        return max(size for size in range(1, min(self.micro_batch, share) + 1) if share % size == 0)


class TrainConfig(Section):
    """Length of the run and what is kept of it; ema_decay 0 and early_stop 0 switch those off.

    early_stop: training ends after more than this many epochs without a new best; checkpoint_every: steps, 0 for
    once an epoch; initialise_from: a run's directory or its best/, whose classifier and label estimates training
    starts from.
    """

    epochs: int = Field(80, ge=1)
    ema_decay: float = Field(0.9997, ge=0, lt=1)
    early_stop: int = Field(8, ge=0)
    log_every: int = Field(50, ge=1)
    checkpoint_every: int = Field(0, ge=0)
    keep_checkpoints: int = Field(2, ge=1)
    initialise_from: str | None = None


class SweepConfig(Section):
    """What `mlcfast.sweep` runs of this configuration: every variant at every point of the grid.

    grid: values by dotted key; variants: by name, settings by dotted key that belong together.
    """

    grid: dict[str, list[Any]] = {}
    variants: dict[str, dict[str, Any]] = {}


class Config(Section):
    """One training run."""

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")
    seed: int = Field(0, ge=0)
    output: str = "runs"
    data: DataConfig
    model: ModelConfig
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    engine: EngineConfig = EngineConfig()
    train: TrainConfig = TrainConfig()
    sweep: SweepConfig = SweepConfig()

    @model_validator(mode="after")
    def _possible(self) -> "Config":
        if self.data.format == "features" and self.model.head != "linear":
            raise ValueError("data.format features has no feature map for query2label: set model.head to linear")
        if (self.data.format == "features") != (self.model.backbone == "none"):
            raise ValueError(
                "data.format features and model.backbone none go together: there are no images to run it on"
            )
        return self

    @property
    def run_directory(self) -> Path:
        """Where everything this run writes goes."""
        return Path(self.output) / self.name

    def without_initial_weights(self) -> "Config":
        """The same model, to be filled from a checkpoint: nothing is downloaded, and what was frozen stays so."""
        model = self.model
        frozen = "published" if model.freeze == "auto" and model.weights != "none" else model.freeze
        return self.model_copy(update={"model": model.model_copy(update={"weights": "none", "freeze": frozen})})

    def to_yaml(self) -> str:
        """The resolved configuration, every default filled in; `load_config` reads it back equal."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file, apply `section.key=value` overrides and validate.

    Raises UsageError, one line, for a missing or malformed file, an unknown key (with the nearest one), a wrong
    type or an impossible combination.
    """
    return parse_config(_read_yaml(Path(path)), overrides, source=str(path))


def parse_config(values: dict[str, Any], overrides: Sequence[str] = (), source: str = "configuration") -> Config:
    """Validate a nested dict of settings, as `load_config` does for a file."""
    settings = [_setting(override) for override in overrides]
    for key, value in sorted(settings, key=lambda setting: setting[0] not in ("loss", "loss.name")):
        set_value(values, key, value)
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"{source}: {_one_line(error)}") from error
    _check_loss(config.loss, source)
    return config


def set_value(values: dict[str, Any], key: str, value: Any) -> None:
    """Set one dotted key of a nested dict of settings.

    Another `loss.name`, or `loss` set to a name, drops the options of the loss before; an option of null is removed.
    UsageError where a part of the key is no section.
    """
    *parents, leaf = key.split(".")
    if key == "loss" and isinstance(value, str):
        parents, leaf = ["loss"], "name"
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise UsageError(f"{key}: {parent} is not a section")
    if parents == ["loss"] and leaf == "name" and values.get("name") != value:
        values.clear()
    if parents == ["loss"] and leaf != "name" and value is None:
        values.pop(leaf, None)
    else:
        values[leaf] = value


def _check_loss(loss: LossConfig, source: str) -> None:
    """UsageError unless there is such a loss and it takes these options."""
    from mlcfast.losses import build_loss  # needs torch, which settings alone do not

    try:
        build_loss(loss.name, **loss.options)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{source}: loss: {str(error).removeprefix('loss ')}") from error


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot read the configuration: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path}: expected `key: value` lines at the top level")
    return values


def _setting(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UsageError(f"override {override!r} is not of the form section.key=value")
    try:
        return key, yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"override {override!r}: the value is not valid YAML") from error


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key {where}{_suggestion(first['loc'])}"
    if first["type"] == "missing":
        return f"missing key {where}"
    message = first["msg"].removeprefix("Value error, ")
    given = "" if isinstance(first["input"], dict | BaseModel) else f", not {first['input']!r}"
    return f"{where}: {message}{given}" if where else message


def _suggestion(location: Iterable[Any]) -> str:
    *parents, leaf = (str(part) for part in location)
    known = list(_keys(Config))
    prefix = ".".join([*parents, ""]) if parents else ""
    siblings = [key for key in known if key.startswith(prefix) and key.count(".") == len(parents)]
    near = difflib.get_close_matches(f"{prefix}{leaf}", siblings, n=1, cutoff=0.6)
    near = near or [key for key in known if key.rpartition(".")[2] == leaf]
    return f": did you mean {near[0]}?" if near else f"; known here: {', '.join(siblings)}"


def _keys(model: type[BaseModel], prefix: str = "") -> Iterable[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _keys(field.annotation, f"{prefix}{name}.")
