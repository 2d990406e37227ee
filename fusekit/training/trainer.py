"""The trainer: steps, schedules, checkpoints and logs; algorithms are implemented by strategies."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from fusekit.devices import generators_of
from fusekit.errors import RunError, UsageError
from fusekit.interfaces.guidance import Guidance
from fusekit.interfaces.strategy import StepPlan, Strategy, UpdateRule
from fusekit.interfaces.types import Batch
from fusekit.model.system import FusionSystem
from fusekit.recipe.schema import TrainSection
from fusekit.seeds import stream_seed
from fusekit.training import distributed
from fusekit.training.averaging import AveragedWeights
from fusekit.training.checkpoint import CheckpointFolder, Position
from fusekit.training.events import Notify, ignore_event
from fusekit.training.guidance_cache import GuidanceCache
from fusekit.training.log import TrainingLog
from fusekit.training.phase_validation import PhaseValidation
from fusekit.training.schedule import scheduled_learning_rate
from fusekit.training.updater import GradientUpdater, NonFiniteError
from fusekit.training.validation import Validator
from fusekit.training.validation_state import ValidationState


class BatchSource(Protocol):
    """Source of batches: a pure function of stream, epoch and index, which makes resuming exact.

    In distributed training it returns this process's share of the batch.
    """

    @property
    def batches_per_epoch(self) -> int: ...

    def batch(self, stream: str, epoch: int, index: int) -> Batch: ...


Progress = Callable[[str, int, int, dict[str, float]], None]
"""Progress callback, called after every step with the phase, finished steps, total steps, and the losses."""


class Trainer:
    """Runs one training phase, and is the strategy's `TrainingContext`.

    Every step is a pure function of the previous state and the step number: batches are requested by number, and the
    global random state is seeded for each step. So a training of n + m steps that is resumed after n equals an
    uninterrupted one, bit for bit on a CPU.

    Inside `fusekit.training.distributed.process_group` all processes train together: each with its own trainer
    and its share of every batch, with equal weights after every step. The first process writes all files.

    With a validator, the parts are measured between steps, which does not affect the steps. The best weights are
    stored beside the checkpoints and loaded at the end of the phase, unless the section chooses the last weights.

    Attributes:
        validation: Validation of the phase; None if the section has no ``validate``.
        steps_done: Number of finished steps of the phase.

    Args:
        system: The parts; trained in place.
        strategy: The algorithm.
        data: The batches.
        streams: The batches of individual streams, if they differ from `data`.
        section: The phase's settings.
        folder: Run folder for checkpoints and the log; None writes neither.
        phase: Name of the phase.
        seed: Root seed.
        device: Device on which to train.
        progress: Progress callback, called after every step in the first process.
        validator: Validator for the section's ``validate``.
        notify: Callback for events, called in the first process; None ignores events.
    """

    def __init__(
        self,
        system: FusionSystem,
        strategy: Strategy,
        data: BatchSource,
        section: TrainSection,
        *,
        streams: Mapping[str, BatchSource] | None = None,
        folder: Path | None = None,
        phase: str = "train",
        seed: int = 0,
        device: torch.device | str = "cpu",
        progress: Progress | None = None,
        validator: Validator | None = None,
        notify: Notify | None = None,
    ) -> None:
        if (validator is None) != (section.validation is None):
            raise ValueError("a validator is required if the section has `validate`, and not allowed otherwise")
        self.system = system.to(device)
        self.strategy = strategy
        self.data = data
        self.streams = dict(streams or {})
        self.section = section
        self.phase = phase
        self.seed = seed
        self.device = torch.device(device)
        self.progress = progress
        self.notify: Notify = notify if notify is not None and distributed.is_first() else ignore_event
        self.folder = folder
        self.checkpoints = (
            CheckpointFolder(folder / "checkpoints" / phase, section.keep) if folder is not None else None
        )
        self.log = TrainingLog(folder / "metrics.jsonl") if folder is not None else None
        self.validation: PhaseValidation | None = None
        if validator is not None and section.validation is not None:
            best = self.checkpoints.folder / "best" if self.checkpoints is not None else None
            self.validation = PhaseValidation(
                validator, section.validation, self.system, best, seed=seed, phase=phase, device=self.device
            )
        self.steps_done = 0
        self.average = AveragedWeights(self.system, section.ema) if section.ema is not None else None
        self.updaters: dict[str, GradientUpdater] = {}
        self._guidance = GuidanceCache(lambda batch: self.system.guidance(batch.sources, batch.labels))
        self.backbone = system.backbone
        self.proposer = system.proposer
        self.reconstruction = system.reconstruction
        self.task = system.task
        self.plan = list(strategy.plan(data.batches_per_epoch))
        if not self.plan:
            raise RunError(f"strategy {type(strategy).__name__} plans no steps for an epoch")

    # Training context of the strategy ---------------------------------------------------------------------

    def updater(
        self, name: str, *parts: tuple[nn.Module, float] | nn.Module, rule: UpdateRule = "recipe"
    ) -> GradientUpdater:
        """An updater with the recipe's schedule and clipping; its state is checkpointed."""
        if name in self.updaters:
            raise ValueError(f"updater {name!r} was requested twice")
        pairs = [part if isinstance(part, tuple) else (part, 1.0) for part in parts]
        parameters = [(parameter, factor) for module, factor in pairs for parameter in module.parameters()]
        updater = GradientUpdater(name, parameters, self.section.optimiser.of(name), self.section.clip, rule)
        self.updaters[name] = updater
        return updater

    def guidance(self, batch: Batch) -> Guidance | None:
        """The task network's guidance for one batch, cached within a step; None without guidance."""
        return self._guidance(batch)

    def autocast(self) -> AbstractContextManager[Any]:
        """The recipe's precision: bf16 autocast, or nothing."""
        if self.section.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    # Steps ------------------------------------------------------------------------------------------------

    @property
    def validation_state(self) -> ValidationState:
        """Result of the validations so far."""
        return self.validation.state if self.validation is not None else ValidationState()

    @property
    def total_steps(self) -> int:
        """Steps of the whole phase, unless validation ends it earlier."""
        steps = self.section.epochs * len(self.plan)
        return steps if self.section.max_steps is None else min(steps, self.section.max_steps)

    def fit(self, *, resume: bool = False, stop_after: int | None = None) -> int:
        """Trains to the end of the phase.

        Args:
            resume: Resume from the newest checkpoint, if there is one.
            stop_after: Stop, with a checkpoint, after this many steps.

        Returns:
            Total number of finished steps.

        Raises:
            NonFiniteError: Training diverged; the state is saved, and the message contains its path.
            RunError: The disk is full, a checkpoint does not match, or the connection to another process is lost.
        """
        first = distributed.is_first()
        with torch.random.fork_rng(devices=generators_of(self.device)):
            self.strategy.setup(self)
            unknown = sorted(set(self.section.optimiser.updaters) - set(self.updaters))
            if unknown:
                raise UsageError(
                    f"phase {self.phase!r}: optimiser.updaters names {unknown[0]!r}, which the strategy does not have",
                    hint=f"its updaters are: {', '.join(self.updaters)}",
                )
            step = self._restore() if resume else 0
            distributed.copy_from_first([*self.system.parameters(), *self.system.buffers()])
            if self.average is not None and step == 0:
                self.average = AveragedWeights(self.system, self.average.decay)  # of the first process's weights
            if self.log is not None and first:
                self.log.rewind(self.phase, step)
            last = self.total_steps if stop_after is None else min(stop_after, self.total_steps)
            every = self.section.checkpoint_every or len(self.plan)
            if step < last and not self.validation_state.stopped:
                self.notify("phase_started", phase=self.phase, steps_done=step, total_steps=self.total_steps)
            while step < last and not self.validation_state.stopped:
                self._one_step(step)
                step += 1
                if self.validation is not None and self.validation.due(
                    step, steps_per_epoch=len(self.plan), total_steps=self.total_steps
                ):
                    self._validate(step, self.validation)
                if step % every == 0 and step < last:
                    self._save(step)
            self._save(step)
            if self._over(step):
                self._load_result()
        self.system.eval()
        self.steps_done = step
        return step

    def _one_step(self, step: int) -> None:
        epoch, within = divmod(step, len(self.plan))
        planned = self.plan[within]
        batches = self._batches(planned, epoch, within)
        share = scheduled_learning_rate(
            1.0, self.section.schedule, step=step, total_steps=self.total_steps, steps_per_epoch=len(self.plan)
        )
        rate = share * self.section.optimiser.lr
        for updater in self.updaters.values():
            updater.set_lr(share * updater.initial_lr)
        torch.manual_seed(stream_seed(self.seed, self.phase, "step", step, *_rank_stream()))
        began = time.perf_counter()
        try:
            with self._guidance.step():
                record = self.strategy.step(planned, batches)
        except NonFiniteError as error:
            raise self._diverged(error, step, planned, batches) from error
        distributed.copy_from_first(self.system.buffers())  # each process has computed statistics of its own images
        if self.average is not None:
            self.average.update()
        losses = distributed.mean_numbers(record.losses, self.device)
        if not distributed.is_first():
            return
        seconds = round(time.perf_counter() - began, 4)
        facts = {"phase": self.phase, "step": step + 1, "epoch": epoch, "losses": losses, "seconds": seconds}
        if self.log is not None:
            self.log.append({**facts, "name": planned.name, "lr": rate})
        self.notify("step_finished", **facts, total_steps=self.total_steps, step_name=planned.name, learning_rate=rate)
        if self.progress is not None:
            self.progress(self.phase, step + 1, self.total_steps, losses)

    # Validation and the end of a phase ---------------------------------------------------------------------

    def _validate(self, step: int, validation: PhaseValidation) -> None:
        """Measures the weights after a step: the averaged ones, if the recipe asks for an average."""
        began = time.perf_counter()
        with self.average.applied() if self.average is not None else contextlib.nullcontext():
            outcome = validation.measure(step, self._guidance.step, self._state)
        if not distributed.is_first():
            return
        validator = validation.validator
        facts = {"phase": self.phase, "step": step, "seconds": round(time.perf_counter() - began, 4)}
        if self.log is not None:
            counts = {"scenes": outcome.scenes, "undefined": outcome.undefined, "finite": outcome.value is not None}
            self.log.append(
                {
                    **facts,
                    "epoch": (step - 1) // len(self.plan),
                    "name": "validation",
                    "losses": {f"validation {validator.name}": outcome.value},
                    "validation": {"metric": validator.is_metric, "best": outcome.best, **counts},
                }
            )
        self.notify(
            "validated",
            **facts,
            measure=validator.name,
            value=outcome.value,
            best=outcome.best,
            higher_is_better=validator.higher_is_better,
            scenes=outcome.scenes,
        )

    def _over(self, step: int) -> bool:
        return step >= self.total_steps or self.validation_state.stopped

    def _load_result(self) -> None:
        """Loads the weights that the phase ends with: the best, else the averaged, else the last ones."""
        if (self.validation is None or not self.validation.load_best()) and self.average is not None:
            self.average.apply()

    # Batches and checkpoints -------------------------------------------------------------------------------

    def _batches(self, planned: StepPlan, epoch: int, within: int) -> list[Batch]:
        """One batch of each stream that the step draws from; every stream continues where it stopped."""
        return [
            self._batch(stream, epoch * self._drawn(stream) + self._drawn(stream, within)) for stream in planned.draws
        ]

    def _drawn(self, stream: str, within: int | None = None) -> int:
        """How many batches the first `within` steps of an epoch draw from a stream; all of them when None."""
        return sum(planned.draws.count(stream) for planned in self.plan[:within])

    def _batch(self, stream: str, number: int) -> Batch:
        data = self.streams.get(stream, self.data)
        epoch, index = divmod(number, data.batches_per_epoch)
        return data.batch(f"{self.phase}/{stream}", epoch, index).to(self.device)

    def _state(self) -> dict[str, Any]:
        return {
            "updaters": {name: updater.state_dict() for name, updater in self.updaters.items()},
            "strategy": self.strategy.state_dict(),
            **({"validation": self.validation.state_dict()} if self.validation is not None else {}),
            **({"average": self.average.state_dict()} if self.average is not None else {}),
        }

    def _save(self, step: int) -> None:
        if self.checkpoints is not None and distributed.is_first():
            position = Position(step, finished=self._over(step), best=self.validation_state.step)
            self.checkpoints.save(position, self.system.state_dict(), self._state())
            if self.validation is not None:
                # Those of older checkpoints are kept too, because training may be resumed from one of them.
                self.validation.keep_only([kept.best for kept in self.checkpoints.positions()])

    def _restore(self) -> int:
        distributed.wait_for_all()  # the first process may still be writing the checkpoint
        checkpoint = self.checkpoints.load() if self.checkpoints is not None else None
        if not distributed.agreed(checkpoint.position.step if checkpoint is not None else 0, self.device):
            raise RunError(
                f"the processes found different checkpoints of phase {self.phase!r}",
                hint="all machines must have access to the same folder of runs",
            )
        if checkpoint is None:
            return 0
        try:
            self.system.load_state_dict(checkpoint.weights)
            for name, updater in self.updaters.items():
                updater.load_state_dict(checkpoint.state["updaters"][name])
            self.strategy.load_state_dict(checkpoint.state["strategy"])
            if self.validation is not None:
                self.validation.load_state_dict(checkpoint.state["validation"])
            if self.average is not None:
                self.average.load_state_dict(checkpoint.state["average"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise RunError(
                f"the checkpoint of phase {self.phase!r} does not match this recipe: {error}",
                hint="resume a run with the recipe with which it was started",
            ) from error
        return checkpoint.position.step

    def _diverged(
        self, error: NonFiniteError, step: int, planned: StepPlan, batches: Sequence[Batch]
    ) -> NonFiniteError:
        """The error with step and samples added; saves the state from before the step to the run folder."""
        own = sorted({i for batch in batches for i in batch.ids})
        reports = distributed.gather((error.elsewhere, error.message, own))
        # the first process in which a value is not finite
        number, (_, message, ids) = min(enumerate(reports), key=lambda report: report[1][0])
        where = f" in process {number}" if len(reports) > 1 else ""
        saved = ""
        if self.folder is not None and distributed.is_first():
            diverged = CheckpointFolder(self.folder / "diverged" / self.phase, keep=1)
            path = diverged.save(Position(step), self.system.state_dict(), self._state())
            saved = f"; the state before this step is saved in {path}"
        distributed.wait_for_all()  # torchrun ends all processes as soon as one has failed
        return NonFiniteError(
            f"training stopped in phase {self.phase!r} at step {step + 1} ({planned.name}){where}: {message}{saved}",
            hint=f"samples: {', '.join(ids[:6])}. Try a lower train.optimiser.lr, or train.clip=1",
            elsewhere=error.elsewhere,
        )


def _rank_stream() -> tuple[str | int, ...]:
    """Suffix of this process's random stream; empty in the first process, which draws as a single process does."""
    rank = distributed.rank()
    return ("process", rank) if rank else ()
