"""TensorBoard's event files, written into the run's directory as the run goes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from mlcfast.runs.directory import RunDirectory
from mlcfast.runs.listening import Listener, scalars_of


class TensorBoard(Listener):
    """Writes tensorboard/: every number, the configuration and, at the end, pictures and the best model's card."""

    def start(self, directory: RunDirectory, step: int) -> None:
        """Open the files; what they hold after `step`, of a run that goes on, is hidden."""
        from torch.utils.tensorboard import SummaryWriter

        self.directory, self._step = directory, step
        self._board = SummaryWriter(str(directory.tensorboard), purge_step=step or None)
        if directory.config.exists():
            self._board.add_text("config", _as_code(directory.config.read_text(encoding="utf-8")), step)

    def line(self, line: Mapping[str, Any]) -> None:
        """Its numbers at its step."""
        self._step = line["step"]
        for name, value in scalars_of(line).items():
            self._board.add_scalar(name, value, line["step"])

    def finish(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """The run's pictures, and where its best model is."""
        for path in (self.directory.picture, self.directory.unobserved_picture):
            if path.exists():
                with Image.open(path) as image:
                    pixels = np.asarray(image.convert("RGB"))
                self._board.add_image(path.stem, pixels, self._step, dataformats="HWC")
        card = json.loads(self.directory.card.read_text(encoding="utf-8"))
        shown = {name: card[name] for name in ("model", "preprocessing", "weights", "step")}
        self._board.add_text("best", _as_code(f"{self.directory.best}\n{json.dumps(shown, indent=1)}"), self._step)

    def close(self) -> None:
        """Write what is left and close the files."""
        self._board.close()


def _as_code(text: str) -> str:
    """Markdown that shows a text as it stands."""
    return "".join(f"    {line}\n" for line in text.splitlines())
