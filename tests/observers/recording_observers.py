"""Observers to watch runs with: one that writes down what it hears, and ones that misbehave."""

from __future__ import annotations

import random
from typing import Any, ClassVar

import numpy as np
import torch

from fusekit.interfaces import ComponentConfig, Field, Observer
from fusekit.plugin import hookimpl


class RecorderConfig(ComponentConfig):
    """Whose list is written to."""

    key: str = Field("main", description="name of the list")


class Recorder(Observer):
    """Writes every call with all its arguments into a list of the class."""

    Config = RecorderConfig
    heard: ClassVar[dict[str, list[tuple[str, dict[str, Any]]]]] = {}

    def __init__(self, config: Any = None, context: Any = None) -> None:
        self.calls = self.heard.setdefault(config.key, [])

    @hookimpl
    def fusekit_run_started(self, folder: Any, recipe: Any, resume: Any) -> None:
        assert folder.is_dir()
        self.calls.append(("run_started", {"name": recipe["name"], "resume": resume}))

    @hookimpl
    def fusekit_phase_started(self, phase: Any, steps_done: Any, total_steps: Any) -> None:
        self.calls.append(("phase_started", {"phase": phase, "steps_done": steps_done, "total_steps": total_steps}))

    @hookimpl
    def fusekit_step_finished(
        self,
        phase: Any,
        step: Any,
        total_steps: Any,
        epoch: Any,
        step_name: Any,
        losses: Any,
        learning_rate: Any,
        seconds: Any,
    ) -> None:
        facts = {"phase": phase, "step": step, "epoch": epoch, "name": step_name, "lr": learning_rate}
        self.calls.append(("step_finished", {**facts, "losses": losses, "seconds": seconds}))

    @hookimpl
    def fusekit_validated(
        self,
        phase: Any,
        step: Any,
        measure: Any,
        value: Any,
        best: Any,
        higher_is_better: Any,
        scenes: Any,
        seconds: Any,
    ) -> None:
        facts = {"phase": phase, "step": step, "measure": measure, "value": value, "best": best}
        self.calls.append(("validated", {**facts, "higher": higher_is_better, "scenes": scenes}))

    @hookimpl
    def fusekit_run_finished(self, folder: Any, outcome: Any, error: Any, ended_early: Any) -> None:
        self.calls.append(("run_finished", {"outcome": outcome, "error": error, "ended_early": ended_early}))


class Meddler(Observer):
    """Draws, seeds, switches gradients off, and overwrites what it is given."""

    calls: ClassVar[int] = 0

    def __init__(self, config: Any = None, context: Any = None) -> None:
        self.meddle()

    def meddle(self) -> None:
        type(self).calls += 1
        torch.manual_seed(self.calls)
        np.random.seed(self.calls)
        random.seed(self.calls)
        torch.set_grad_enabled(False)

    @hookimpl
    def fusekit_run_started(self, recipe: Any) -> None:
        self.meddle()
        recipe["train"].clear()

    @hookimpl
    def fusekit_phase_started(self) -> None:
        self.meddle()

    @hookimpl
    def fusekit_step_finished(self, losses: Any) -> None:
        self.meddle()
        losses.clear()

    @hookimpl
    def fusekit_validated(self) -> None:
        self.meddle()


class ThrowsConfig(ComponentConfig):
    """How it fails."""

    how: str = Field("ValueError", description="name of the exception")
    at: int = Field(1, description="the first step at which it raises")


class Throws(Observer):
    """Raises from some step on."""

    Config = ThrowsConfig
    calls: ClassVar[list[str]] = []

    def __init__(self, config: Any = None, context: Any = None) -> None:
        self.how, self.at = config.how, config.at

    @hookimpl
    def fusekit_step_finished(self, step: int) -> None:
        self.calls.append(f"step {step}")
        kinds = {kind.__name__: kind for kind in (ValueError, SystemExit, KeyboardInterrupt)}
        if step >= self.at:
            raise kinds[self.how](f"no room at step {step}")

    @hookimpl
    def fusekit_run_finished(self) -> None:
        self.calls.append("run_finished")


class Unmarked(Observer):
    """Forgets the mark of its hook."""

    def fusekit_step_finished(self) -> None:
        """Is never called."""


class Misspelt(Observer):
    """Waits for something that never comes."""

    @hookimpl
    def fusekit_step_done(self) -> None:
        """Is never called."""


class Curious(Observer):
    """Asks for more than there is."""

    @hookimpl
    def fusekit_step_finished(self, weights: Any) -> None:
        """Is never called."""


class Deaf(Observer):
    """Implements nothing."""


class Quitting(Observer):
    """Ends the program while it is built."""

    def __init__(self, config: Any = None, context: Any = None) -> None:
        raise SystemExit(3)
