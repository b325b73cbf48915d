"""Writes checkpoints beside training: the state is copied, and a thread of each rank writes the copy."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlcfast.engine.checkpoint import CancelledError, discard_draft, save_checkpoint
from mlcfast.engine.distributed import Process, all_gather_objects, all_reduce_max, on_main
from mlcfast.engine.share import HostCopy, StateShare

LAST_WAIT = 10.0  # seconds the main process waits for the others' shares once its own training has failed
LOOKS_AGAIN = 0.1  # seconds


class BackgroundSave:
    """Writes one checkpoint at a time; each method but `leave` is a collective, called on the main thread.

    The writing threads take part in no collective: training's own go on beside them.
    """

    def __init__(self, process: Process, root: Path, keep: int):
        self.process, self.root, self.keep = process, root, keep
        self.step: int | None = None  # of the checkpoint that is being written
        self._copy = HostCopy(process.device.type == "cuda")
        self._cancelled = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread()

    def begin(self, step: int, share: StateShare, progress: Mapping[str, Any]) -> None:
        """Copy this rank's share, and write it from now on; what was begun before must have been collected."""
        if self.step is not None:
            raise RuntimeError(f"checkpoint {self.step} is still being written")
        copied = self._copy.take(share)
        self.step, self._error = step, None
        self._cancelled.clear()
        self._thread = threading.Thread(
            target=self._write, args=(step, copied, dict(progress)), name=f"checkpoint {step}", daemon=True
        )
        self._thread.start()

    def _write(self, step: int, share: StateShare, progress: Mapping[str, Any]) -> None:
        try:
            save_checkpoint(self.root, step, share, progress, self.keep, self.process, self._cancelled)
        except Exception as error:  # said by `collect`, on every rank
            self._error = error

    def collect(self, wait: bool) -> tuple[int, Exception | None] | None:
        """The step of the checkpoint that has been written and None, or the first rank's error, the same on every rank.

        None while it is being written, unless told to wait, and where there is none. After an error nothing of the
        checkpoint is left.
        """
        if self.step is None:
            return None
        while True:
            writes, failed = all_reduce_max([self._thread.is_alive(), self._error is not None])
            if failed:
                self._cancelled.set()
                self._thread.join()
                break
            if not writes:
                break
            if not wait:
                return None
            self._thread.join(LOOKS_AGAIN)
        step, self.step = self.step, None
        if not failed:
            return step, None
        errors = [error for error in all_gather_objects(self._error) if error is not None]
        on_main(self.process, lambda: discard_draft(self.root, step))
        return step, next((error for error in errors if not isinstance(error, CancelledError)), errors[0])

    def leave(self) -> Exception | None:
        """Let the checkpoint be finished although training has failed on this rank; no collective.

        A rank that will never write its share is not waited for. Returns why this rank could not write.
        """
        if self.step is None:
            return None
        alone = self.process.world_size == 1
        self._thread.join(None if alone or not self.process.is_main else LAST_WAIT)
        self._cancelled.set()
        if alone and self._error is not None:
            discard_draft(self.root, self.step)
        return self._error
