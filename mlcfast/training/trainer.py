"""The training loop: knows an engine, samples and metrics, no device and no launcher."""

import itertools
import logging
import math
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mlcfast.config import Config
from mlcfast.data.build import Loaders
from mlcfast.data.mixing import Mix, mixed
from mlcfast.engine import Engine, EngineState, Schedule, Work, all_reduce_sum
from mlcfast.errors import RunError, UsageError
from mlcfast.evaluation.gather import EvaluationResult, evaluate_weights_in_turn
from mlcfast.runs.journal import Journal
from mlcfast.training.form import settle_form
from mlcfast.training.interruption import Signals
from mlcfast.training.nonfinite import record_non_finite
from mlcfast.training.pace import Pace, memory_peaks
from mlcfast.training.progress import Follower, KeepsBest, Progress
from mlcfast.training.saving import Checkpoints, attempt
from mlcfast.training.spent import TimeSpent, in_words, remedy
from mlcfast.training.validation_loss import mean_loss

LOGGER = logging.getLogger("mlcfast")
STEPS_TO_PEAK = 3  # by then every buffer has been made once
Batch = tuple[Tensor, Tensor, Tensor]  # images, labels, index
OF_MIXING = 1  # behind a micro-batch's position: draws other than the model's
SKIPS_IN_A_ROW = 25  # fp16 halves its loss scale this often at most before it is usable; more means divergence


class Trainer:
    """Trains until the last epoch or the early stop and keeps the best weights.

    best: called on the main process.
    """

    def __init__(
        self,
        config: Config,
        engine: Engine,
        loaders: Loaders,
        best: KeepsBest,
        followers: Sequence[Follower] = (),
        mix: Mix | None = None,
    ):
        self.config, self.engine = config, engine
        self.train, self.validation, self.names = loaders
        self.best, self.followers, self.mix = best, followers, mix
        self.accumulation = config.engine.accumulation_for(engine.process.world_size)
        self.steps_per_epoch = len(self.train) // self.accumulation
        self.total_steps = self.steps_per_epoch * config.train.epochs
        self.schedule = Schedule(config.optim, engine.optimizer, self.total_steps)
        images = len(self.train.dataset)  # type: ignore[arg-type]  # ours have a length, which torch does not promise
        buffer = config.data.stream_buffer if config.data.stream else 0
        self.progress = Progress(config.seed, config.engine.global_batch, images, stream_buffer=buffer)
        self.losses: list[Tensor] = []
        self.indices: list[Tensor] = []  # of the micro-batches of these losses
        self.skips: list[Tensor] = []
        self.grad_norm = torch.zeros(())
        self.signals, self.spent = Signals(engine.process), TimeSpent(engine.stopwatch)
        self.window_started = time.perf_counter()
        self.steps_here = self.epoch_steps = 0
        self.epoch_loss = 0.0
        self.predicted_bytes: tuple[int, int, int] | None = None
        self.is_resumed = self.finishes = False

    def resume(self, state: EngineState, progress: dict[str, Any]) -> None:
        """Go on exactly where a checkpoint was written; UsageError if it is of another model or another run."""
        held = Progress(**progress)
        for name in ("seed", "global_batch", "images", "stream_buffer"):
            now, then = getattr(self.progress, name), getattr(held, name)
            if now != then:
                raise UsageError(f"cannot resume with {name} {now}: the checkpoint was written with {then}")
        if held.step > self.total_steps:
            raise UsageError(f"cannot resume at step {held.step}: train.epochs ends the run at step {self.total_steps}")
        self.engine.load_state(state)
        self.progress, self.is_resumed = held, True

    def forget_best(self) -> None:
        """Choose the best model anew from the next evaluation on: the one the checkpoint knows of is not there."""
        self.progress.best, self.progress.best_epoch = -math.inf, -1

    def fit(self, journal: Journal, predicted_bytes: tuple[int, int, int] | None = None) -> Progress:
        """Train to the end; returns the final progress, whose `best` is the best validation mAP in percent.

        predicted_bytes: of GPU memory at the peak, by the planner, at least, likely and at most, to be compared with
        what is measured.
        SIGTERM, SIGHUP and SIGINT end it after a step that is saved: SystemExit with 128 + the signal's number. Where a
        listener of the journal asks to stop, the step it asks at is the last one: it is saved, and evaluated.
        """
        self.journal, self.predicted_bytes = journal, predicted_bytes
        evaluations = sum(map(self._is_evaluated, range(self.progress.epoch, self.config.train.epochs)))
        self.pace = Pace(self.total_steps - self.progress.step, self.accumulation, evaluations)
        saved_step = self.progress.step if self.is_resumed else 0
        self.checkpoints = Checkpoints(self.engine, self.config.train, journal, saved_step)
        with self.signals, self.checkpoints:
            while self.progress.epoch < self.config.train.epochs and not (self.finishes or self._stops_early()):
                self._epoch()
            if (self.finishes or self.progress.step == self.total_steps) and not self._has_evaluated():
                self._evaluate_and_save()  # a callback, or train.epochs of a run that goes on, has ended it here
        return self.progress

    def _is_evaluated(self, epoch: int) -> bool:
        """Whether there is an evaluation after this epoch, counted from 0."""
        done, settings = epoch + 1, self.config.train
        return done % settings.evaluate_every == 0 or done == settings.epochs

    def _has_evaluated(self) -> bool:
        return bool(self.progress.rows) and self.progress.rows[-1]["step"] == self.progress.step

    def _heed_requests(self) -> None:
        """Save, wait until it is saved, and end, where a signal asks for it; note if a listener does; a collective."""
        stop, save, finishes = self.signals.requested(self.journal.asks_to_stop)
        if finishes and not self.finishes:
            LOGGER.info("step %d/%d: training ends here, as a callback asks", self.progress.step, self.total_steps)
        self.finishes = finishes
        if not (stop or save):
            return
        self.checkpoints.note_completed(wait=True)
        if self.checkpoints.saved_step != self.progress.step:
            if self.skips:
                self._log(self.grad_norm)
            self._save()
            self.checkpoints.note_completed(wait=True)
        saved = self.checkpoints.saved_step
        name, then = signal.Signals(stop or save).name, "--resume goes on" if stop else "going on"
        what = f"step {saved}" if saved else "no step"
        LOGGER.info("%s: %s is saved; %s", name, what, then if saved else "there is nothing to resume")
        if stop:
            raise SystemExit(128 + stop)

    def _stops_early(self) -> bool:
        """As Query2Label's code has it: not while the raw weights or the average still get better by themselves."""
        patience, progress = self.config.train.early_stop, self.progress
        if not patience or progress.best_epoch < 0 or not self._has_evaluated():
            return False
        raw, average = (_scores(progress.rows, f"{which}_mAP") for which in ("raw", "ema"))
        waited = progress.epoch - 1 - max(progress.best_epoch, max(raw, key=raw.__getitem__, default=-1))
        *before, last = average.values() or [-math.inf]
        late = waited > max(patience, self.config.train.evaluate_every)  # two evaluations at least
        stops = late and last <= max(before, default=-math.inf)
        if stops:
            LOGGER.info("early stop: no better mAP in %d epochs", waited)
        return stops

    def _epoch(self) -> None:
        progress = self.progress
        self.engine.training_module.begin_epoch(progress.epoch, self.config.train.epochs)
        sampler = self.train.batch_sampler
        sampler.set_position(progress.epoch, progress.samples)  # type: ignore[union-attr]  # one of data/samplers.py
        done = progress.samples // self.config.engine.global_batch
        bar = tqdm(
            total=self.steps_per_epoch,
            initial=done,
            desc=f"epoch {progress.epoch + 1}/{self.config.train.epochs}",
            leave=False,
            disable=None if self.engine.process.is_main else True,
        )
        self.window_started = time.perf_counter()
        self.epoch_loss, self.epoch_steps = 0.0, 0  # of this epoch, since it was begun or resumed
        self.pace.begin()
        self.spent.begin()
        with bar:
            micro_batches = self.spent.batches(self.train)
            for _ in range(done, self.steps_per_epoch):
                self._step(itertools.islice(micro_batches, self.accumulation))
                bar.update()
                self.checkpoints.note_completed()
                self._heed_requests()
                if self.finishes:
                    break
        if progress.step % self.steps_per_epoch:
            self._evaluate_and_save()
            return
        self._agree()
        if self._is_evaluated(progress.epoch) or self.finishes:
            self._evaluate(progress.epoch)
            self.pace.evaluated()
        for follower in self.followers:
            follower.end_epoch(progress.epoch, self.config.train.epochs)
        progress.epoch, progress.samples = progress.epoch + 1, 0
        self._save()
        self._say_where_time_went()
        self._heed_requests()

    def _evaluate_and_save(self) -> None:
        """Where a callback ends training within an epoch, with the rest of which --resume goes on, or after one."""
        if self.skips:
            self._log(self.grad_norm)
        self._agree()
        self._evaluate(self.progress.epoch if self.progress.samples else self.progress.epoch - 1)
        self._save()

    def _step(self, micro_batches: Iterable[Batch]) -> None:
        """One optimizer step; each micro-batch is asked for after the work on the one before it."""
        progress, settings, engine = self.progress, self.config.train, self.engine
        if self.mix is not None:
            micro_batches = self._mixed(self.mix, micro_batches)
        if self.config.engine.compile == "auto" and not self.steps_here:
            micro_batches = self._in_one_form(micro_batches)
        if self.accumulation > 1 and engine.training_module.couples_images:
            micro_batches = engine.coupled(micro_batches, self._seed)
        for number, batch in enumerate(micro_batches):
            self._seed(number)
            images, labels, index = engine.to_device(*batch)
            last = number == self.accumulation - 1
            self.losses.append(engine.micro_step(images, labels, index, last))
            self.indices.append(batch[2])
            self.pace.micro_batch()
            if engine.process.is_main and not last and self.pace.line_is_due():
                self._say_progress(number + 1, self.accumulation)
        self.schedule.apply(progress.step)
        result = engine.step()
        self.skips.append(result.skipped)
        self.grad_norm = result.grad_norm
        progress.step += 1
        self.steps_here += 1
        progress.samples += self.config.engine.global_batch
        if self.steps_here == STEPS_TO_PEAK:
            self._compare_memory()
        saves = bool(settings.checkpoint_every) and progress.step % settings.checkpoint_every == 0
        if saves or progress.step % settings.log_every == 0 or progress.step % self.steps_per_epoch == 0:
            self._log(result.grad_norm)
        elif engine.process.is_main and self.pace.line_is_due():
            self._say_progress()
        if saves and progress.step % self.steps_per_epoch:
            self._save()

    def _in_one_form(self, micro_batches: Iterable[Batch]) -> Iterator[Batch]:
        """The micro-batches, by the first of which it is decided in which form the model trains."""
        for number, batch in enumerate(micro_batches):
            if number == 0:
                self._settle_form(batch[0])
            yield batch

    def _settle_form(self, images: Tensor) -> None:
        """Decide it, which does not count as training; a signal that came first ends the run here."""
        left = self.total_steps - self.progress.step
        work = Work(self.engine.to_device(images)[0], self.accumulation, left * self.accumulation)
        self.progress.form = settle_form(
            self.engine, work, self.progress, self.journal, lambda: bool(self.signals.stop)
        )
        if not self.progress.form:  # on every rank; what else is asked for waits for the step, as always
            self._heed_requests()
        self.window_started = time.perf_counter()
        self.pace.begin()
        self.spent.begin()

    def _mixed(self, mix: Mix, micro_batches: Iterable[Batch]) -> Iterator[Batch]:
        """The micro-batches on the device and mixed; an image that is added has no index."""
        for number, (images, labels, index) in enumerate(micro_batches):
            images, labels = self.engine.to_device(images, labels)
            draws = np.random.default_rng((*self._position(number), OF_MIXING))
            yield *mixed(mix, images, labels, draws), index

    def _seed(self, micro_batch: int) -> None:
        """Set what the step's micro-batch with this number draws."""
        torch.manual_seed(int(np.random.SeedSequence(self._position(micro_batch)).generate_state(1, np.uint64)[0]))

    def _position(self, micro_batch: int) -> tuple[int, ...]:
        """What alone every random draw of the step's micro-batch with this number is a function of."""
        return self.config.seed, self.progress.step, micro_batch, self.engine.process.rank

    def _say_progress(self, micro_batch: int = 0, micro_batches: int = 0) -> None:
        """A line between those of the journal, for a person who waits; the main process's own losses, no collective.

        micro_batch: how many of the step's micro_batches are done, where it goes on.
        """
        within = f", micro-batch {micro_batch} of {micro_batches} of the next" if micro_batch else ""
        LOGGER.info(
            "step %d/%d%s loss %.5g, %s",
            self.progress.step,
            self.total_steps,
            within,
            torch.stack(self.losses).float().mean().item(),
            self.pace.left_in_words(),
        )
        self.pace.line_written()

    def _say_where_time_went(self) -> None:
        """A line of the log and of the journal on the epoch that has ended, by this rank's clock."""
        shares, engine = self.spent.shares(), self.engine
        change = remedy(shares, self.config, engine.process.world_size)
        hint = f"; {change} would help most" if change else ""
        LOGGER.info("epoch %d: %.3g s: %s%s", self.progress.epoch, shares["seconds"], in_words(shares), hint)
        self.journal.record("spent", self.progress.step, epoch=self.progress.epoch - 1, **shares, remedy=change)

    def _log(self, grad_norm: Tensor) -> None:
        """Read the window's losses (the one wait for the device) and check that training still moves."""
        world, steps = self.engine.process.world_size, len(self.skips)
        loss = (all_reduce_sum(torch.stack(self.losses).float().mean()) / world).item()
        self.spent.note()
        if not math.isfinite(loss):
            place, steps_of = self.journal.directory.non_finite, (self.progress.step, self.accumulation)
            record_non_finite(place, self.engine.process, *steps_of, self.losses, self.indices)
        for skipped in torch.stack(self.skips).tolist():
            self.progress.skipped += int(skipped)
            self.progress.skipped_in_a_row = self.progress.skipped_in_a_row + 1 if skipped else 0
        seconds = time.perf_counter() - self.window_started
        values = {
            "epoch": self.progress.epoch,
            "loss": loss,
            "lr": self.schedule.rate(self.progress.step - 1),
            "grad_norm": grad_norm.item(),
            "skipped": self.progress.skipped,
            "images_per_second": round(steps * self.config.engine.global_batch / seconds, 2),
            **memory_peaks(),
        }
        self.journal.record("train", self.progress.step, **values)
        LOGGER.info(
            "step %d/%d loss %.5g lr %.3g %.1f images/s, %s",
            self.progress.step,
            self.total_steps,
            loss,
            values["lr"],
            values["images_per_second"],
            self.pace.left_in_words(),
        )
        self.pace.line_written()
        self.epoch_loss, self.epoch_steps = self.epoch_loss + loss * steps, self.epoch_steps + steps
        if self.progress.skipped_in_a_row >= min(SKIPS_IN_A_ROW, self.steps_per_epoch):
            raise RunError(
                f"the gradient was not finite in {self.progress.skipped_in_a_row} steps in a row, "
                f"step {self.progress.step} (loss {loss:.4g}): {self._steadier()}"
            )
        for window in (self.losses, self.indices, self.skips):
            window.clear()
        self.window_started = time.perf_counter()

    def _steadier(self) -> str:
        """What to do against values that are not finite, of what is not done yet."""
        steps = ["lower optim.lr", "" if self.config.optim.grad_clip else "set optim.grad_clip"]
        steps.append("" if self.config.engine.precision == "fp32" else "use engine.precision fp32")
        return " or ".join(step for step in steps if step)

    def _compare_memory(self) -> None:
        """Log the planner's prediction beside what the first steps took; nothing without a GPU."""
        measured = memory_peaks().get("peak_bytes")
        if measured is None or self.predicted_bytes is None:
            return
        least, likely, most = self.predicted_bytes
        gib = [count / 2**30 for count in (likely, least, most, measured)]
        LOGGER.info("GPU memory: predicted %.2f GiB (%.2f to %.2f), measured %.2f GiB", *gib)
        values = {"predicted_bytes": likely, "predicted_least_bytes": least, "predicted_most_bytes": most}
        values["measured_bytes"] = measured
        self.journal.record("memory", self.progress.step, **values)

    def _agree(self) -> None:
        """Make what the ranks hold alike, and whole, before it is read."""
        self.engine.average_buffers()
        self.engine.sync_label_estimates()

    def _evaluate(self, epoch: int) -> None:
        results = self._measure(epoch)
        row: dict[str, Any] = {"epoch": epoch, "step": self.progress.step}
        for which, result in results.items():
            row |= {f"{which}_{name}": round(result.report[name], 4) for name in ("mAP", "mAP_voc", "CF1", "OF1")}
        row |= {f"{which}_loss": round(r.loss, 6) for which, r in results.items() if r.loss is not None}
        for follower in self.followers:
            row |= follower.columns(epoch)
        earlier = [each for each in self.progress.rows if each["epoch"] != row["epoch"]]  # it may have ended within it
        self.progress.rows = [*earlier, row]
        self.journal.summarise(self.progress.rows)
        takes_last = self.config.train.choose == "last"
        which = [*results][-1] if takes_last else max(results, key=lambda key: results[key].report["mAP"])
        score = results[which].report["mAP"]
        own, trained = results[which].loss, ""
        if self.epoch_steps:  # none where a run goes on that was stopped at its epoch's last step
            trained = f"; {self.epoch_loss / self.epoch_steps:.5g} on the training images as they were learnt"
        beside = "" if own is None else f", loss {own:.5g}{trained}"
        LOGGER.info("epoch %d: mAP %.2f (%s)%s", epoch + 1, score, which, beside)
        if takes_last or score > self.progress.best:
            state = self.engine.export_state(moments=False)
            held = state.average if which == "ema" else state.weights

            def keep() -> None:
                beside: dict[str, bytes] = {}
                for follower in self.followers:
                    beside |= follower.beside_best(state.weights)
                self.best.keep(_of_model(held), which, results[which], self.progress.step, beside)

            if self._write(keep):
                self.progress.best, self.progress.best_epoch = score, epoch

    def _measure(self, epoch: int) -> dict[str, EvaluationResult]:
        """Of the raw weights and, where an average is kept, of that, on one pass over the validation images."""
        weights: dict[str, Callable[[], AbstractContextManager[None]]] = {"raw": nullcontext}
        if self.engine.average:
            weights["ema"] = self.engine.averaged_weights
        quiet = not self.engine.process.is_main
        with self.spent.of("evaluating"):
            results = evaluate_weights_in_turn(self.engine, self.validation, self.names, "evaluating", quiet, weights)
        for which, result in results.items():
            if not result.is_finite:
                raise RunError(
                    f"the predictions of the {which} weights are not finite after step {self.progress.step}: "
                    f"{self._steadier()}"
                )
            results[which] = result = replace(result, loss=mean_loss(self.engine.training_module.loss, result))
            about = {"weights": which, "epoch": epoch}
            self.journal.record("evaluation", self.progress.step, **about, **result.figures)
        return results

    def _save(self) -> None:
        with self.spent.of("saving"):
            self.checkpoints.save(self.progress)

    def _write(self, work: Callable[[], object]) -> bool:
        """Whether the main process could write; see `attempt`."""
        with self.spent.of("saving"):
            return attempt(self.engine.process, work, self.journal.directory, self.config.train.on_save_error)


def _scores(rows: Sequence[dict[str, Any]], column: str) -> dict[int, float]:
    """The column's number of each epoch that has one, the first epoch, 0, first."""
    return {row["epoch"]: row[column] for row in rows if column in row}


def _of_model(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
