"""Trained models by their name on the Hugging Face hub; needs huggingface_hub, and nothing else of the project does.

    model = PretrainedModel.from_pretrained("user/name")  # or a run, its best/, a directory that export wrote
    logits = model(images)
    model.push_to_hub("user/name")

A name means the two files model.json and model.safetensors of a repository. What it downloads is never run: a model
whose head or backbone is somebody's own code is refused, and loads from a directory once that code is at hand.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import ModelHubMixin, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from torch import Tensor, nn

from mlcfast.errors import UsageError
from mlcfast.models.card import ModelCard, load_card
from mlcfast.models.hub_files import hub_files, write_hub_directory
from mlcfast.models.hub_front import HUB_NAME, About
from mlcfast.models.trained import load_image_model
from mlcfast.registry import is_import_name

NAME = re.compile(rf"({HUB_NAME.pattern})(?:@([\w./-]+))?")


class HubName(NamedTuple):
    """A repository of the hub, user/name, and a revision of it: a branch, a tag or a commit; None for the newest."""

    repository: str
    revision: str | None = None


def read_hub_name(text: str) -> HubName:
    """`user/name` or `user/name@revision`; UsageError for anything else."""
    found = NAME.fullmatch(text)
    if found is None:
        raise UsageError(f"{text}: no such path, and no model's name on the hub: USER/NAME or USER/NAME@REVISION")
    return HubName(found[1], found[2])


def download(name: HubName, **options: Any) -> Path:
    """The weight file of a model in huggingface_hub's cache, its card beside it; only what is not there is fetched.

    options: of hf_hub_download, such as cache_dir and token. UsageError, one line, where there is no such model,
    revision or file, the hub cannot be reached, or the model's head or backbone is code.
    """
    try:
        card = Path(hf_hub_download(name.repository, "model.json", revision=name.revision, **options))
        _refuse_code(card, name)
        cached = card.parent.parent.name == "snapshots"  # and not in a `local_dir`
        commit = card.parent.name if cached else name.revision  # so that both files are of one commit
        return Path(hf_hub_download(name.repository, "model.safetensors", revision=commit, **options))
    except (EntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        raise UsageError(f"hf://{name.repository}: {_reason(error, name)}") from error


def _refuse_code(card: Path, name: HubName) -> None:
    """UsageError where the model is code; `evaluate` takes it from the card's configuration where that has one."""
    held = load_card(card.parent)
    configured = held.config.get("model")
    for arguments in (held.model, configured if isinstance(configured, dict) else {}):
        for key in ("head", "backbone"):
            if is_import_name(arguments.get(key)):
                raise UsageError(
                    f"hf://{name.repository}: its model.{key} is the code {arguments[key]}, which is not run from the "
                    f"hub: `hf download {name.repository} --local-dir DIR`, and load DIR with that code at hand"
                )


def _reason(error: Exception, name: HubName) -> str:
    """Why a download failed, and what to do."""
    if isinstance(error, RevisionNotFoundError):
        return f"has no revision {name.revision}"
    if isinstance(error, RepositoryNotFoundError):
        return "no such model, or one for which to log in: `hf auth login`"
    if isinstance(error, LocalEntryNotFoundError):
        return "not in the cache, and the hub cannot be reached (HF_HUB_OFFLINE, or no network)"
    if isinstance(error, EntryNotFoundError):
        return "no model of mlcfast: it lacks model.json or model.safetensors"
    return " ".join(str(error).split()) or type(error).__name__


class PretrainedModel(
    nn.Module,
    ModelHubMixin,
    library_name="mlcfast",
    pipeline_tag="image-classification",
    tags=["multi-label-image-classification"],
):
    """A trained model in evaluation mode: images (B, 3, S, S), normalised as card.preprocessing says -> logits (B, K).

    card: its labels, thresholds and preprocessing. about: what `save_pretrained` and `push_to_hub` add to the README,
    such as license and data set. Both write the directory that `mlcfast export --format hub` writes.
    """

    def __init__(self, model: nn.Module, card: ModelCard, about: About | None = None):
        super().__init__()
        self.model, self.card, self.about = model, card, about
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, K)."""
        return self.model(images)

    @classmethod
    def from_pretrained(  # type: ignore[override]  # the mixin's own takes arguments for a constructor as well
        cls,
        name_or_path: str | Path,
        *,
        revision: str | None = None,
        about: About | None = None,
        **options: Any,
    ) -> "PretrainedModel":
        """A model by its path or by its name on the hub; a path that exists always wins.

        name_or_path: a run, its best/, model.safetensors or a directory that holds it; or user/name, hf://user/name,
        either with @revision. revision: the same as after the @. options: of hf_hub_download, such as cache_dir, token,
        force_download and local_files_only; a path needs none. UsageError names what is missing or wrong.
        """
        path = Path(name_or_path)
        if not path.exists():
            text = str(name_or_path).removeprefix("hf://")
            name = read_hub_name(text)
            path = download(HubName(name.repository, revision or name.revision), **options)
        return cls(*load_image_model(path), about)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """As the mixin's: make the repository user/name where there is none and upload; the address of the commit."""
        self.about = replace(self.about or About(repo_id), name=repo_id)
        return super().push_to_hub(repo_id, **options)

    def _save_pretrained(self, save_directory: Path) -> None:
        about = self.about or About(save_directory.name)
        write_hub_directory(save_directory, self.model, self.card, hub_files(self.card, about))
