"""The hooks that a plugin, and an observer of runs, may implement. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pluggy

from fusekit.plugin.specs import ComponentSpec

PROJECT = "fusekit"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class FusekitSpecs:
    """Namespace of the hook specifications."""

    @hookspec
    def fusekit_components(self) -> Sequence[ComponentSpec]:  # type: ignore[empty-body]
        """The components that this plugin provides.

        Called once, right after the entry module is imported. Return specs made with `component`; their
        import targets are resolved when a component is used, so the entry module needs no torch.
        """


Outcome = Literal["finished", "failed", "interrupted"]
"""How a run ended: with its report, with an error, or by Ctrl-C."""


class ObserverSpecs:
    """What a run tells its observers; an `Observer` implements any of these as methods marked with `hookimpl`.

    An implementation names the arguments that it wants, in any order, and leaves out the others; more may be added
    in later versions. All are plain data, and every observer has a copy of its own.
    """

    @hookspec
    def fusekit_run_started(self, folder: Path, recipe: Mapping[str, Any], resume: bool) -> None:
        """The run begins; its folder is there.

        Args:
            folder: The folder of the run.
            recipe: The resolved recipe, every default filled in; its name is ``recipe["name"]``.
            resume: Whether an interrupted training may be continued.
        """

    @hookspec
    def fusekit_phase_started(self, phase: str, steps_done: int, total_steps: int) -> None:
        """A training phase begins, or goes on; not called for a phase that has no step left to do.

        Args:
            phase: Name of the phase.
            steps_done: Steps that were done before. What was noted of later ones is void: they are done again.
            total_steps: Steps of the whole phase, unless validation ends it before.
        """

    @hookspec
    def fusekit_step_finished(
        self,
        phase: str,
        step: int,
        total_steps: int,
        epoch: int,
        step_name: str,
        losses: Mapping[str, float],
        learning_rate: float,
        seconds: float,
    ) -> None:
        """A training step is done.

        Args:
            phase: Name of the phase.
            step: Number of the step in its phase, from 1.
            total_steps: As in `fusekit_phase_started`.
            epoch: Number of the epoch, from 0.
            step_name: What the strategy calls this sort of step.
            losses: The losses by name; the mean over all processes.
            learning_rate: The initial rate as scheduled for this step.
            seconds: How long the step took.
        """

    @hookspec
    def fusekit_validated(
        self,
        phase: str,
        step: int,
        measure: str,
        value: float | None,
        best: bool,
        higher_is_better: bool,
        scenes: int,
        seconds: float,
    ) -> None:
        """The weights were validated after a step.

        Args:
            phase: Name of the phase.
            step: The last step before the validation.
            measure: Name of the metric or loss.
            value: Its value; None where that is not finite.
            best: Whether it is the best so far.
            higher_is_better: Direction of the measure.
            scenes: Number of validation scenes.
            seconds: How long it took.
        """

    @hookspec
    def fusekit_run_finished(self, folder: Path, outcome: Outcome, error: str, ended_early: Sequence[str]) -> None:
        """The run is over; the last call, also of a run that failed before any phase began.

        Args:
            folder: The folder of the run; after a finished one it holds ``evaluation.json`` and ``report.html``.
            outcome: How it ended.
            error: What went wrong, one sentence; empty after a finished run.
            ended_early: Phases that validation ended before their last step.
        """
