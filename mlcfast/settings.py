"""The settings of a run, typed and checked: every key, its default and what values it takes."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
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

from mlcfast.errors import UsageError
from mlcfast.registry import hint, is_import_name

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FORMATS = (
    "auto", "coco", "csv", "features", "demo", "wide", "list", "long", "attributes", "file_list", "label_studio",
    "metadata", "tag_files", "folders", "yolo", "voc", "cvat", "parquet", "huggingface", "webdataset"
)  # fmt: skip


def _named(*known: str) -> AfterValidator:
    """Accepts a name of the project's own or `package.module:name`, which is imported where it is used."""

    def check(name: str) -> str:
        if name in known or is_import_name(name):
            return name
        raise ValueError(f"Input should be {', '.join(known)} or package.module:name{hint(name, known)}")

    return AfterValidator(check)


class Section(BaseModel):
    """A group of settings; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_values_for_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        assert info.field_name is not None, "a validator of fields is called for a field"
        wanted = cls.model_fields[info.field_name].annotation
        if isinstance(value, bool) and wanted is not bool:
            raise ValueError(f"Input should be {getattr(wanted, '__name__', wanted)}")
        return value


class DataConfig(Section):
    """Where the samples are and how they become tensors.

    val: a share, such as 0.2, validates on a part of the training file that holds each label in proportion; null takes
    the published fifth, as labels: single_positive does without a share. split_column: the column of data.train that
    says which rows train, validate and test; group: the column of what may not be torn apart. docs/data.md explains
    these and what settles an ambiguous label file. options: for a reader of one's own, named in format as
    `package.module:name`.
    """

    format: Annotated[str, _named(*FORMATS)]
    options: dict[str, Any] = {}
    root: str = Field(min_length=1)
    train: str = "train"
    val: float | str | None = "val"
    test: str | None = None
    split_column: str | None = None
    group: str | None = None
    image_size: int = Field(448, ge=8)
    labels: Literal["full", "single_positive"] = "full"
    augment: Annotated[str, _named("published", "flip", "none")] = "published"
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
    """The head, its backbone and where their weights come from.

    embed_dim to query_groups are query2label's; head_options: for a head of one's own.
    """

    head: Annotated[str, _named("query2label", "linear")] = "query2label"
    head_options: dict[str, Any] = {}
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
    def head_arguments(self) -> dict[str, Any]:
        """What `build_model` takes for this head beyond the backbone; the linear head takes nothing."""
        names = ["embed_dim", "num_heads", "feedforward", "encoder_layers", "decoder_layers", "dropout"]
        names += ["decoder_self_attention", "query_groups"]
        own = {name: getattr(self, name) for name in names} if self.head == "query2label" else {}
        return own | self.head_options


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

    name: adamw8bit keeps its moments in 8 bits (bitsandbytes). options: further arguments of the optimizer, such as
    betas.
    """

    name: Annotated[str, _named("adamw", "adam", "adamw8bit")] = "adamw"
    options: dict[str, Any] = {}
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
    optim: OptimConfig = OptimConfig()  # type: ignore[call-arg]  # pydantic fills in every field
    engine: EngineConfig = EngineConfig()  # type: ignore[call-arg]  # pydantic fills in every field
    train: TrainConfig = TrainConfig()  # type: ignore[call-arg]  # pydantic fills in every field
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
