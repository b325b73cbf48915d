"""The settings of a run, typed and checked: every key, its default, what values it takes and what it means.

`python -m mlcfast.train --help-settings` prints them (mlcfast/settings_reference.py).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import ConfigDict, Field, field_validator, model_validator

from mlcfast.errors import UsageError
from mlcfast.settings_data import FORMATS, IMAGENET_MEAN, IMAGENET_STD, DataConfig, Section, check_name, named

__all__ = [
    "FORMATS",
    "FREE_ON_RESUME",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "LENGTH_ON_RESUME",
    "Config",
    "DataConfig",
    "EngineConfig",
    "LossConfig",
    "ModelConfig",
    "OptimConfig",
    "Section",
    "SweepConfig",
    "TrainConfig",
]

# What --resume says of a setting that has changed (training/resuming.py). These change nothing of the result: where
# things lie, how a step is executed, what is written. What data settings read is compared by what was read.
FREE_ON_RESUME = frozenset({
    "name", "output", "sweep.grid", "sweep.variants", "model.weights", "model.query_start", "train.initialise_from",
    "train.renamed_labels", "data.format", "data.options", "data.root", "data.train", "data.val", "data.test",
    "data.split_column", "data.group", "data.val_seed", "data.workers", "data.keep_unlabelled", "data.resized_cache",
    "data.bad_images", "data.image_column", "data.label_columns", "data.ignore_columns", "data.separator",
    "data.uncertain", "data.allow_outside", "data.allow_overlap", "engine.name", "engine.micro_batch",
    "engine.activation_checkpointing", "engine.offload_optimizer", "engine.compile", "train.log_every",
    "train.checkpoint_every", "train.keep_checkpoints", "train.keep_finished", "train.on_save_error", "train.trackers",
})  # fmt: skip
# The run gets longer or shorter, or is judged more or less often.
LENGTH_ON_RESUME = frozenset({"train.epochs", "train.early_stop", "train.evaluate_every"})
# All others make another run of it, which only --with-changes allows.

TRACKERS = ("tensorboard", "mlflow", "wandb")
QUERY2LABEL_OPTIONS = (
    "embed_dim", "num_heads", "feedforward", "encoder_layers", "decoder_layers", "dropout", "decoder_self_attention",
    "query_groups", "auxiliary_linear",
)  # fmt: skip


class ModelConfig(Section):
    """The head, its backbone and where their weights come from; embed_dim to auxiliary_linear are query2label's."""

    head: Annotated[str, named("query2label", "ml_decoder", "linear", "cam")] = Field(
        default="query2label",
        description="What turns the backbone's feature map into labels: query2label looks at the image once for each "
        "label, ml_decoder once for each group of labels and with a smaller transformer, linear is one layer on the "
        "map's mean, cam that layer on each cell, where positive ones count more.",
    )
    head_options: dict[str, Any] = Field(
        default={},
        description="Arguments of a head of your own; of cam boost, how much more, 5 if not given; of ml_decoder "
        "query_groups (100), embed_dim (768), num_heads (8), feedforward (2048), dropout (0.1), learn_queries (false).",
    )
    backbone: str = Field(
        min_length=1,
        description="A model of timm by name, cvt_w24, or package.module:name; none for stored features.",
    )
    backbone_options: dict[str, Any] = Field(
        default={},
        description="Arguments of the backbone; out_index stops at an earlier feature map, join_index joins an "
        "earlier, finer one to the last: -2 is the one before it.",
    )
    weights: str = Field(
        default="pretrained",
        description="Where the backbone starts: pretrained downloads, none begins at random, else a .pth or "
        ".safetensors file, or package:NAME for the file in an installed package.",
    )
    query_start: str | None = Field(
        default=None,
        description="Where the label queries start: an .npz or .safetensors file with a vector under each label's "
        "name, such as a text model's of it; null draws them.",
    )
    freeze: Literal["auto", "published", "none", "backbone"] = Field(
        default="auto",
        description="What is not trained: published freezes what the papers froze, backbone all of it; auto is "
        "published where there are weights to begin with.",
    )
    embed_dim: int | None = Field(
        default=None, ge=4, description="Width of the label embeddings; null takes the backbone's channels."
    )
    num_heads: int = Field(default=4, ge=1, description="Attention heads.")
    feedforward: int = Field(default=8192, ge=1, description="Width of the transformer's feed-forward layers.")
    encoder_layers: int = Field(default=1, ge=0, description="Transformer layers over the feature map.")
    decoder_layers: int = Field(default=2, ge=1, description="Transformer layers in which the labels query the map.")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout of the transformer.")
    decoder_self_attention: bool = Field(
        default=False, description="The labels also attend to each other, as the paper writes and its code does not."
    )
    query_groups: int | None = Field(
        default=None, ge=1, description="Share a query among labels: this many queries; null is one a label."
    )
    auxiliary_linear: bool = Field(
        default=False,
        description="A linear layer on the map's mean learns beside the decoder, by a loss of its own, and the mean of "
        "both logits counts: what a linear head knows is not lost. For losses that look at each image by itself.",
    )

    @property
    def head_arguments(self) -> dict[str, Any]:
        """What `build_model` takes for this head beyond the backbone; the linear head takes nothing."""
        own = {name: getattr(self, name) for name in QUERY2LABEL_OPTIONS} if self.head == "query2label" else {}
        return own | self.head_options

    @property
    def unread(self) -> list[str]:
        """Settings of query2label that were set and that ml_decoder, which has its own of that name, does not read."""
        if self.head != "ml_decoder":
            return []
        shared = [name for name in QUERY2LABEL_OPTIONS if name != "auxiliary_linear"]
        return [n for n in shared if getattr(self, n) != type(self).model_fields[n].default]


class LossConfig(Section):
    """A loss by name; every other key is an option of that loss (docs/losses.md)."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    name: str = Field(
        default="asymmetric",
        description="A loss of docs/losses.md, or package.module:name. Other keys are its options.",
    )

    @property
    def options(self) -> dict[str, Any]:
        """The loss's own options."""
        return dict(self.model_extra or {})


class OptimConfig(Section):
    """The optimizer and its learning-rate schedule."""

    name: Annotated[str, named("adamw", "adam", "adamw8bit")] = Field(
        default="adamw", description="The optimizer; adamw8bit keeps its moments in 8 bits and needs bitsandbytes."
    )
    options: dict[str, Any] = Field(default={}, description="Further arguments of the optimizer, such as betas.")
    lr: float = Field(default=1e-4, gt=0, description="The learning rate, under one_cycle its highest.")
    weight_decay: float = Field(default=1e-2, ge=0, description="Decay of the weights, by the optimizer's own rule.")
    weight_decay_on: Literal["all", "matrices"] = Field(
        default="all", description="matrices spares norms, biases and embeddings; published recipes decay everything."
    )
    backbone_lr_factor: float = Field(
        default=1.0, gt=0, description="The backbone's learning rate is optim.lr times this."
    )
    head_lr_factor: float = Field(
        default=1.0, gt=0, description="The learning rate of all that is not the backbone is optim.lr times this."
    )
    estimator_lr_factor: float = Field(
        default=10.0, gt=0, description="The learning rate of ROLE's label estimates is optim.lr times this."
    )
    layer_lr_decay: float = Field(
        default=1.0, gt=0, le=1, description="Each block of the backbone learns at this share of the next one's rate."
    )
    schedule: Literal["one_cycle", "cosine", "constant"] = Field(
        default="one_cycle",
        description="one_cycle rises to optim.lr and falls to nearly nothing at the run's end; cosine does so with a "
        "straight rise and without moving Adam's beta1.",
    )
    warmup: float = Field(
        default=0.2, ge=0, lt=1, description="The share of all steps in which the learning rate rises, unless constant."
    )
    grad_clip: float | None = Field(
        default=None, gt=0, description="The largest norm of the gradient; a larger one is scaled down to it."
    )


class EngineConfig(Section):
    """How a step is executed; batches are counted in images."""

    name: Literal["auto", "single", "ddp", "zero2"] = Field(
        default="auto",
        description="One process, data-parallel ones, or DeepSpeed's ZeRO-2; auto follows the launcher and the memory.",
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        default="bf16", description="What the model computes in; its weights are kept in fp32."
    )
    micro_batch: int = Field(
        default=8,
        ge=1,
        description="The most images a device holds at once; the largest divisor of its share of a step is taken.",
    )
    global_batch: int = Field(
        default=64, ge=1, description="Images of a step over all processes; beyond the micro-batches they accumulate."
    )
    activation_checkpointing: Literal["none", "blocks", "auto"] = Field(
        default="none",
        description="blocks keeps only each block's input and computes the rest again in the backward pass; auto does "
        "so under zero2.",
    )
    offload_optimizer: bool = Field(default=False, description="zero2 only: the optimizer's state lies in host memory.")
    tf32: bool = Field(
        default=False,
        description="On a GPU products of fp32 numbers are made of their first 10 bits: several times as fast. It "
        "matters under precision fp32.",
    )
    time_convolutions: bool = Field(
        default=True,
        description="On a GPU each convolution tries cuDNN's algorithms once and keeps the fastest; false lets a rule "
        "choose, the same in every run.",
    )
    compile: bool | Literal["auto"] = Field(
        default=False,
        description="Compile the model with torch.compile; the first step then takes a minute or two. auto times a few "
        "steps on the GPU before the first one, and compiles where the run gains by it; on the CPU it does not.",
    )

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

    def accumulation_for(self, devices: int) -> int:
        """Micro-batches of a device in each optimizer step."""
        return self.global_batch // (self.micro_batch_for(devices) * devices)


class TrainConfig(Section):
    """Length of the run and what is kept of it."""

    epochs: int = Field(default=80, ge=1, description="How many times the training images are gone through at most.")
    ema_decay: float = Field(
        default=0.9997,
        ge=0,
        lt=1,
        description="Decay a step of the moving average of the weights, which is evaluated beside them; 0 keeps none.",
    )
    ema_warmup: bool = Field(
        default=False,
        description="The average forgets the initial weights at once, for short runs; published recipes do without.",
    )
    early_stop: int = Field(
        default=8,
        ge=0,
        description="End after more than this many epochs without a new best, also of the weights without averaging, "
        "unless the average alone has just had one; 0 never does.",
    )
    choose: Literal["validation", "last"] = Field(
        default="validation",
        description="Which weights best/ holds: those with the highest validation mAP so far, or the last, averaged "
        "where an average is kept, for so few validation images that a lucky one would choose.",
    )
    evaluate_every: int = Field(
        default=1,
        ge=1,
        description="Epochs between two evaluations; after the last one there is one in any case. The best weights are "
        "chosen at an evaluation, and early_stop ends the run at one, never at the first without a new best.",
    )
    log_every: int = Field(default=50, ge=1, description="Steps between two lines of metrics.jsonl.")
    checkpoint_every: int = Field(default=0, ge=0, description="Steps between two checkpoints; 0 is once an epoch.")
    keep_checkpoints: int = Field(default=2, ge=1, description="How many of the newest checkpoints are kept.")
    keep_finished: bool | None = Field(
        default=None,
        description="Whether a finished run keeps its checkpoints, with which --resume adds epochs; best/ stays in any "
        "case. null deletes them when a later run of this name has finished, false at the end of this run.",
    )
    on_save_error: Literal["stop", "continue"] = Field(
        default="stop",
        description="What a full or failing disk means for a checkpoint or best/: `stop` ends the run, `continue` "
        "warns and trains on, to save at the next occasion.",
    )
    trackers: list[str | dict[str, Any]] = Field(
        default=["tensorboard"],
        description="Where the run is shown besides its directory: tensorboard, mlflow, wandb or package.module:Class, "
        "each as a name or as a mapping of name and options, {name: mlflow, uri: http://HOST:5000} (docs/trackers.md).",
    )
    initialise_from: str | None = Field(
        default=None,
        description="A run's directory or its best/, whose weights and label estimates training starts from; "
        "labels are matched by name, and one that is new starts afresh. Where data.val is a share here, "
        "images keep the part that they had.",
    )
    renamed_labels: dict[str, str] = Field(
        default={},
        description="Labels that train.initialise_from knows under another name: the name now, then the name there.",
    )

    @field_validator("trackers")
    @classmethod
    def _named_once(cls, entries: list[str | dict[str, Any]]) -> list[str | dict[str, Any]]:
        names = [entry if isinstance(entry, str) else entry.get("name") for entry in entries]
        for name in names:
            if not isinstance(name, str):
                raise ValueError("a tracker is a name or a mapping that has one, such as {name: mlflow, uri: …}")
            check_name(name, TRACKERS)
        if len(set(names)) < len(names):
            raise ValueError("a tracker is named twice")
        return entries


class SweepConfig(Section):
    """What `mlcfast.sweep` runs of this configuration: every variant at every point of the grid."""

    grid: dict[str, list[Any]] = Field(default={}, description="Values to try, by dotted key.")
    variants: dict[str, dict[str, Any]] = Field(
        default={}, description="By name, settings by dotted key that belong together."
    )


class Config(Section):
    """One training run."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$", description="The run's name and that of its directory in output."
    )
    seed: int = Field(
        default=0, ge=0, lt=2**63, description="Of every random draw: weights, order, augmentation, split."
    )
    output: str = Field(default="runs", description="The directory that runs are written to.")
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

    def normalised(self, mean: Sequence[float], std: Sequence[float]) -> "Config":
        """The same with this mean and deviation, three numbers each, which do not count as given by the user.

        So what is made of it for another model finds its own.
        """
        data = self.data.model_copy(update={"mean": tuple(mean), "std": tuple(std)})
        data.model_fields_set.difference_update(("mean", "std"))
        return self.model_copy(update={"data": data})

    def to_yaml(self) -> str:
        """The resolved configuration, every default filled in; `load_config` reads it back equal."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)
