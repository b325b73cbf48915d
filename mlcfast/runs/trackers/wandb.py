"""Shows a run on Weights & Biases, or keeps it in the run's directory until `wandb sync` sends it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from mlcfast.runs.trackers.base import Scalars, TrackedRun, Tracker

UPLOAD = 50.0  # seconds that the end of a run waits for what is still to be uploaded
MODES = ("online", "offline")


class WeightsAndBiases(Tracker):
    """project, entity: where it is shown; mode: online, or offline, which contacts nobody; WANDB_MODE if not given.

    Neither code nor the state of a git repository is sent, nor errors to the authors of the package.
    """

    needs: ClassVar[Sequence[str]] = ("wandb",)

    def __init__(self, project: str = "mlcfast", entity: str | None = None, mode: str = ""):
        mode = mode or os.environ.get("WANDB_MODE", "online")
        if mode not in MODES:
            raise ValueError(f"mode must be {' or '.join(MODES)}, not {mode!r}")
        self.project, self.entity, self.mode = project, entity, mode
        self.place = f"{entity}/{project} {mode}"
        self._step: int | None = None
        if mode == "online" and not _is_logged_in():
            raise ValueError("nobody is logged in: run `wandb login`, set WANDB_API_KEY, or take mode: offline")

    def open(self, run: TrackedRun) -> None:
        """Begin or go on; a run that goes on offline is a second folder with the same id."""
        wandb, self._name = _imported(), run.name
        settings = wandb.Settings(
            console="off",
            silent=True,
            disable_git=True,
            disable_code=True,
            disable_job_creation=True,
            symlink=False,  # its files stay whole where the run's directory is moved
            finish_timeout=UPLOAD,
            finish_timeout_raises=True,
        )
        self._run = wandb.init(
            project=self.project,
            entity=self.entity,
            id=run.key,
            name=run.name,
            dir=str(run.directory),
            config=dict(run.settings),
            allow_val_change=True,
            resume="allow" if self.mode == "online" else None,
            reinit="create_new",
            mode=self.mode,
            settings=settings,
        )
        folders = run.directory / "wandb"
        self.remedy = f"wandb sync {folders}/*run-*-{run.key}"
        if self.mode == "offline":
            self.note = f"the run lies in {folders}; {self.remedy} sends it"

    def scalars(self, batch: Sequence[Scalars]) -> None:
        """As history, at their steps."""
        for line in batch:
            self._run.log(dict(line.values), step=line.step)
            self._step = line.step

    def file(self, path: Path) -> None:
        """A picture under figures/ and the report as they are seen, other files as files of the run."""
        wandb = _imported()
        if path.suffix == ".png":
            self._run.log({f"figures/{path.stem}": wandb.Image(str(path))}, step=self._step)
        elif path.suffix == ".html":
            self._run.log({path.stem: wandb.Html(str(path))}, step=self._step)
        elif path.name != "config.yaml":  # it has the configuration, and writes a file of this name itself
            self._run.save(str(path), base_path=str(path.parent), policy="now")

    def model(self, directory: Path) -> None:
        """As an artifact NAME-best of type model."""
        artifact = _imported().Artifact(f"{self._name}-best", type="model")
        artifact.add_dir(str(directory))
        self._run.log_artifact(artifact)

    def close(self, finished: bool) -> None:
        """End it, once all is uploaded; what is not within UPLOAD seconds stays in the run's directory."""
        try:
            self._run.finish(exit_code=0 if finished else 1)
        except TimeoutError:
            self.note = f"not all was uploaded within {UPLOAD:.0f} s; {self.remedy} sends the rest"


def _imported() -> Any:
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    return wandb


def _is_logged_in() -> bool:
    """Whether there is a key for the server; it is not asked."""
    wandb = _imported()
    try:
        return bool(wandb.login(prompt=False, verify=False))
    except wandb.errors.Error as error:
        raise ValueError(" ".join(str(error).split())) from error
