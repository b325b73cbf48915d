"""What mixes the training images of a run, where its loss, its labels and its micro-batch are made for that."""

from mlcfast.config import Config
from mlcfast.data import LabelledImages
from mlcfast.data.labels import holds
from mlcfast.data.mixing import Mix, SpliceMix, make_mix
from mlcfast.engine.training_module import TrainingModule
from mlcfast.errors import UsageError
from mlcfast.losses import FOR_FULL_LABELS


def make_training_mix(config: Config, module: TrainingModule, records: LabelledImages) -> Mix | None:
    """What mixes the images of a micro-batch, as large as it is for these processes; None for data.mix none.

    records: the training images. A mix that makes soft labels is told to the loss of `module`, see LabelLoss.
    UsageError where the loss, the labels or the micro-batch are not made for it.
    """
    data, loss = config.data, module.loss
    mix = make_mix(data.mix, data.mix_options)
    if mix is None:
        return None
    what = f"data.mix {data.mix}"
    if data.format == "features":
        raise UsageError(f"{what}: it mixes images, and data.format features has none: set it to none")
    by_image = module.needs & {"estimates", "true_labels", "pseudo_labels"}
    if by_image:
        raise UsageError(
            f"{what}: loss {config.loss.name} keeps something of every image, and a mixed one is none of them"
        )
    if hasattr(loss, "expected_positives"):
        raise UsageError(
            f"{what}: loss {config.loss.name} expects a number of labels an image, and a mixed one has more"
        )
    if mix.soft and not getattr(loss, "takes_soft", False):
        raise UsageError(f"{what}: makes soft labels, which loss {config.loss.name} does not know: see docs/losses.md")
    unknown = (
        data.labels == "single_positive"
        or config.loss.name == "iu"  # to which what is not marked is always unknown
        or (config.loss.name not in FOR_FULL_LABELS and holds(records.labels, -1))
    )
    if mix.soft and unknown:
        raise UsageError(f"{what}: a share of an unknown label means nothing: take splicemix, or none")
    size = config.engine.micro_batch
    if isinstance(mix, SpliceMix) and mix.images(size) == size:
        raise UsageError(f"{what}: a micro-batch of {size} is too small for a mixed image: raise engine.micro_batch")
    if mix.soft:
        loss.soft_labels = True  # type: ignore[assignment]  # torch types every attribute as Tensor | Module
    return mix
