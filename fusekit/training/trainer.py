"""The trainer: steps, schedules, checkpoints, logs. It knows no algorithm."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from fusekit.devices import generators_of
from fusekit.errors import RunError
from fusekit.interfaces.guidance import Guidance
from fusekit.interfaces.strategy import StepPlan, Strategy, UpdateRule
from fusekit.interfaces.types import Batch
from fusekit.model.system import FusionSystem
from fusekit.recipe.schema import TrainSection, ValidationSection
from fusekit.seeds import stream_seed
from fusekit.training import distributed
from fusekit.training.averaging import AveragedWeights
from fusekit.training.best import BestWeights
from fusekit.training.checkpoint import CheckpointFolder, Position
from fusekit.training.events import Tell, nobody
from fusekit.training.guidance_once import GuidanceOnce
from fusekit.training.log import TrainingLog
from fusekit.training.standing import Standing
from fusekit.training.updater import GradientUpdater, NonFiniteError, scheduled_rate
from fusekit.training.validation import Validator, measure_all


class BatchSource(Protocol):
    """Where batches come from: a pure function of stream, epoch and index, which makes resuming exact.

    In a distributed training it gives this process's share of the batch.
    """

    @property
    def batches_per_epoch(self) -> int: ...

    def batch(self, stream: str, epoch: int, index: int) -> Batch: ...


Progress = Callable[[str, int, int, dict[str, float]], None]
"""Called after every step with the phase, steps done, steps in all, and the losses."""


class Trainer:
    """Runs one training phase, and gives the strategy what it needs (`TrainingContext`).

    Every step is a pure function of the state before it and of its number: batches come by number, and the
    global random state is seeded anew for each step. So n + m steps with a resume between equal n + m
    straight, bit for bit on a CPU.

    Inside of `fusekit.training.distributed.process_group` all processes train together: each with its own trainer
    and its share of every batch, with equal weights after every step. The first writes all files.

    With a validator, the parts are measured between steps, which changes nothing of the steps. The best weights are
    kept beside the checkpoints, and at the end of the phase the parts have them, unless the section wants the last.

    Attributes:
        standing: What validation has come to.
        steps_done: Steps of the phase that are done.

    Args:
        system: The parts; trained in place.
        strategy: The algorithm.
        data: The batches.
        streams: The batches of single streams, where they differ from `data`.
        section: The phase's settings.
        folder: Run folder for checkpoints and the log; None keeps neither.
        phase: Name of the phase.
        seed: Root seed.
        device: Where to train.
        progress: Called after every step, in the first process.
        validator: What the section's ``validate`` asks for.
        tell: Hears what happens, in the first process; nobody when None.
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
        tell: Tell | None = None,
    ) -> None:
        if (validator is None) != (section.validation is None):
            raise ValueError("a validator goes with a section that says `validate`, and the other way round")
        self.system = system.to(device)
        self.strategy = strategy
        self.data = data
        self.streams = dict(streams or {})
        self.section = section
        self.phase = phase
        self.seed = seed
        self.device = torch.device(device)
        self.progress = progress
        self.tell: Tell = tell if tell is not None and distributed.is_first() else nobody
        self.folder = folder
        self.checkpoints = (
            CheckpointFolder(folder / "checkpoints" / phase, section.keep) if folder is not None else None
        )
        self.log = TrainingLog(folder / "metrics.jsonl") if folder is not None else None
        self.validator = validator
        self.standing = Standing()
        self.steps_done = 0
        self.best = BestWeights(self.checkpoints.folder / "best" if self.checkpoints is not None else None)
        self.average = AveragedWeights(self.system, section.ema) if section.ema is not None else None
        self.updaters: dict[str, GradientUpdater] = {}
        self._guidance = GuidanceOnce(lambda batch: self.system.guidance(batch.sources, batch.labels))
        self.backbone = system.backbone
        self.proposer = system.proposer
        self.reconstruction = system.reconstruction
        self.task = system.task
        self.plan = list(strategy.plan(data.batches_per_epoch))
        if not self.plan:
            raise RunError(f"strategy {type(strategy).__name__} plans no steps for an epoch")

    # What a strategy asks for -----------------------------------------------------------------------------

    def updater(
        self, name: str, *parts: tuple[nn.Module, float] | nn.Module, rule: UpdateRule = "recipe"
    ) -> GradientUpdater:
        """An updater with the recipe's schedule and clipping; its state is checkpointed."""
        if name in self.updaters:
            raise ValueError(f"updater {name!r} was asked for twice")
        pairs = [part if isinstance(part, tuple) else (part, 1.0) for part in parts]
        parameters = [(parameter, factor) for module, factor in pairs for parameter in module.parameters()]
        made = GradientUpdater(name, parameters, self.section.optimiser, self.section.clip, rule)
        self.updaters[name] = made
        return made

    def guidance(self, batch: Batch) -> Guidance | None:
        """What the task network says about one batch, the same in a whole step; None without guidance."""
        return self._guidance(batch)

    def autocast(self) -> AbstractContextManager[Any]:
        """The recipe's precision: bf16 autocast, or nothing."""
        if self.section.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    # The books --------------------------------------------------------------------------------------------

    @property
    def total_steps(self) -> int:
        """Steps of the whole phase, unless validation ends it before."""
        steps = self.section.epochs * len(self.plan)
        return steps if self.section.max_steps is None else min(steps, self.section.max_steps)

    def fit(self, *, resume: bool = False, stop_after: int | None = None) -> int:
        """Trains to the end of the phase.

        Args:
            resume: Continue from the newest checkpoint, if there is one.
            stop_after: Stop, with a checkpoint, once so many steps are done.

        Returns:
            Steps done in all.

        Raises:
            NonFiniteError: Training diverged; the state is saved and the message says where.
            RunError: The disk is full, a checkpoint does not fit, or another process is gone.
        """
        first = distributed.is_first()
        with torch.random.fork_rng(devices=generators_of(self.device)):
            self.strategy.setup(self)
            step = self._restore() if resume else 0
            distributed.copy_from_first([*self.system.parameters(), *self.system.buffers()])
            if self.average is not None and step == 0:
                self.average = AveragedWeights(self.system, self.average.decay)  # of the first process's weights
            if self.log is not None and first:
                self.log.rewind(self.phase, step)
            last = self.total_steps if stop_after is None else min(stop_after, self.total_steps)
            every = self.section.checkpoint_every or len(self.plan)
            if step < last and not self.standing.stopped:
                self.tell("phase_started", phase=self.phase, steps_done=step, total_steps=self.total_steps)
            while step < last and not self.standing.stopped:
                self._one_step(step)
                step += 1
                if self.validator is not None and self._validates(step):
                    self._validate(step, self.validator)
                if step % every == 0 and step < last:
                    self._save(step)
            self._save(step)
            if self._over(step):
                self._take_best()
        self.system.eval()
        self.steps_done = step
        return step

    def _one_step(self, step: int) -> None:
        epoch, within = divmod(step, len(self.plan))
        planned = self.plan[within]
        batches = self._batches(planned, epoch, within)
        rate = scheduled_rate(
            self.section.optimiser.lr,
            self.section.schedule,
            step=step,
            total_steps=self.total_steps,
            steps_per_epoch=len(self.plan),
        )
        for updater in self.updaters.values():
            updater.set_lr(rate)
        torch.manual_seed(stream_seed(self.seed, self.phase, "step", step, *_others_stream()))
        began = time.perf_counter()
        try:
            with self._guidance.step():
                record = self.strategy.step(planned, batches)
        except NonFiniteError as error:
            raise self._diverged(error, step, planned, batches) from error
        distributed.copy_from_first(self.system.buffers())  # statistics are of each process's own images
        if self.average is not None:
            self.average.update()
        losses = distributed.mean_numbers(record.losses, self.device)
        if not distributed.is_first():
            return
        seconds = round(time.perf_counter() - began, 4)
        if self.log is not None:
            self.log.append(
                {
                    "phase": self.phase,
                    "step": step + 1,
                    "epoch": epoch,
                    "name": planned.name,
                    "lr": rate,
                    "losses": losses,
                    "seconds": seconds,
                }
            )
        self.tell(
            "step_finished",
            phase=self.phase,
            step=step + 1,
            total_steps=self.total_steps,
            epoch=epoch,
            step_name=planned.name,
            losses=losses,
            learning_rate=rate,
            seconds=seconds,
        )
        if self.progress is not None:
            self.progress(self.phase, step + 1, self.total_steps, losses)

    # Validation -------------------------------------------------------------------------------------------

    @property
    def _validation(self) -> ValidationSection:
        assert self.section.validation is not None
        return self.section.validation

    def _validates(self, step: int) -> bool:
        """At its interval and after the last step of the phase, wherever a training is interrupted."""
        return step % (self._validation.every or len(self.plan)) == 0 or step == self.total_steps

    def _validate(self, step: int, validator: Validator) -> None:
        """Measures the weights as they are after a step, and keeps them if they are the best so far."""

        def measure(number: int) -> float:
            with self._guidance.step():
                return validator.measure(number)

        with self.average.applied() if self.average is not None else contextlib.nullcontext():
            self._validate_weights(step, validator, measure)

    def _validate_weights(self, step: int, validator: Validator, measure: Callable[[int], float]) -> None:
        """Measures the weights that the system has now."""
        began = time.perf_counter()
        values = measure_all(len(validator), measure, self.system, seed=self.seed, phase=self.phase, device=self.device)
        value = validator.mean(values)
        self.standing = self.standing.after(step, value, validator.higher_is_better, self._validation)
        if not distributed.is_first():
            return
        best, finite = self.standing.step == step, math.isfinite(value)
        if best:
            self.best.keep(step, self.system.state_dict(), self._state())
        seconds = round(time.perf_counter() - began, 4)
        if self.log is not None:
            self.log.append(
                {
                    "phase": self.phase,
                    "step": step,
                    "epoch": (step - 1) // len(self.plan),
                    "name": "validation",
                    "losses": {f"validation {validator.name}": value if finite else None},
                    "validation": {
                        "metric": validator.is_metric,
                        "best": best,
                        "finite": finite,
                        "scenes": len(values),
                        "undefined": sum(math.isnan(v) for v in values),
                    },
                    "seconds": seconds,
                }
            )
        self.tell(
            "validated",
            phase=self.phase,
            step=step,
            measure=validator.name,
            value=value if finite else None,
            best=best,
            higher_is_better=validator.higher_is_better,
            scenes=len(values),
            seconds=seconds,
        )

    def _over(self, step: int) -> bool:
        return step >= self.total_steps or self.standing.stopped

    def _take_best(self) -> None:
        """Gives the parts the best weights, if the recipe wants them and there are any; else the averaged ones."""
        if self.standing.step is None or self._validation.weights == "last":
            if self.average is not None:
                self.average.apply()
            return
        if distributed.is_first():
            self.system.load_state_dict(self.best.weights(self.standing.step))
        distributed.copy_from_first([*self.system.parameters(), *self.system.buffers()])

    # What goes into a step, and what is kept of it ---------------------------------------------------------

    def _batches(self, planned: StepPlan, epoch: int, within: int) -> list[Batch]:
        """One batch of each stream that the step draws from; every stream goes on where it was."""
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
            "validation": asdict(self.standing),
            **({"average": self.average.state_dict()} if self.average is not None else {}),
        }

    def _save(self, step: int) -> None:
        if self.checkpoints is not None and distributed.is_first():
            position = Position(step, finished=self._over(step), best=self.standing.step)
            self.checkpoints.save(position, self.system.state_dict(), self._state())
            # An older checkpoint may be what a resume goes back to, so its best weights stay too.
            self.best.forget_but([kept.best for kept in self.checkpoints.positions()])

    def _restore(self) -> int:
        distributed.wait_for_all()  # the first process may still be writing what all are to read
        found = self.checkpoints.load() if self.checkpoints is not None else None
        if not distributed.agreed(found.position.step if found is not None else 0, self.device):
            raise RunError(
                f"the processes found different checkpoints of phase {self.phase!r}",
                hint="all machines must see the same folder of runs",
            )
        if found is None:
            return 0
        try:
            self.system.load_state_dict(found.weights)
            for name, updater in self.updaters.items():
                updater.load_state_dict(found.state["updaters"][name])
            self.strategy.load_state_dict(found.state["strategy"])
            if self.validator is not None:
                self.standing = Standing(**found.state["validation"])
            if self.average is not None:
                self.average.load_state_dict(found.state["average"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise RunError(
                f"the checkpoint of phase {self.phase!r} does not fit this recipe: {error}",
                hint="a run is resumed with the recipe that it was started with",
            ) from error
        if self.standing.step is not None:
            self.best.check(self.standing.step)
        return found.position.step

    def _diverged(
        self, error: NonFiniteError, step: int, planned: StepPlan, batches: Sequence[Batch]
    ) -> NonFiniteError:
        """The error with step and samples; the state before the step is saved beside the checkpoints."""
        own = sorted({i for batch in batches for i in batch.ids})
        reports = distributed.gather((error.elsewhere, error.message, own))
        number, (_, message, ids) = min(enumerate(reports), key=lambda report: report[1][0])  # first one at fault
        where = f" in process {number}" if len(reports) > 1 else ""
        saved = ""
        if self.folder is not None and distributed.is_first():
            place = CheckpointFolder(self.folder / "diverged" / self.phase, keep=1)
            saved = f"; the state is saved in {place.save(Position(step), self.system.state_dict(), self._state())}"
        distributed.wait_for_all()  # torchrun ends all processes as soon as one has failed
        return NonFiniteError(
            f"training stopped in phase {self.phase!r} at step {step + 1} ({planned.name}){where}: {message}{saved}",
            hint=f"samples: {', '.join(ids[:6])}. Try a lower train.optimiser.lr, or train.clip=1",
            elsewhere=error.elsewhere,
        )


def _others_stream() -> tuple[str | int, ...]:
    """What tells a process's random numbers from the first one's, which are those of a single process."""
    rank = distributed.rank()
    return ("process", rank) if rank else ()
