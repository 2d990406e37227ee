"""Hook specifications of plugins and of observers. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pluggy

from fusekit.plugin.specs import ComponentSpec, WeightsSpec

PROJECT = "fusekit"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class FusekitSpecs:
    """Hooks of a plugin's entry module; a plugin implements at least one of them."""

    @hookspec
    def fusekit_components(self) -> Sequence[ComponentSpec]:  # type: ignore[empty-body]
        """The components that this plugin provides.

        Called once, right after the entry module is imported. Return specs made with `component`; their
        import targets are resolved when a component is used, so the entry module does not need torch.
        """

    @hookspec
    def fusekit_weights(self) -> Sequence[WeightsSpec]:  # type: ignore[empty-body]
        """The trained weights that this plugin ships, made with `weights`.

        Called once, right after the entry module is imported. The entry module must be a package, and the files must
        lie inside it; they are read when the weights are used.
        """

    @hookspec
    def fusekit_locations(self) -> Mapping[str, str]:  # type: ignore[empty-body]
        """The addresses of model files that this plugin resolves: URL scheme → ``package.module:function``.

        The function is imported when an address such as ``hf://…`` is used. It takes the whole address and returns the
        path of a local model file, or raises a `FusekitError`. It must not access the network unless the user allows
        it (``FUSEKIT_ALLOW_DOWNLOAD=1``).
        """


Outcome = Literal["finished", "failed", "interrupted"]
"""How a run ended: with a complete report, with an error, or by Ctrl-C."""


class ObserverSpecs:
    """Hooks of a run; an `Observer` implements any of these as methods marked with `hookimpl`.

    An implementation declares the arguments that it uses, in any order, and leaves out the others; later versions may
    add more. All arguments are plain data, and every observer receives its own copy.
    """

    @hookspec
    def fusekit_run_started(self, folder: Path, recipe: Mapping[str, Any], resume: bool) -> None:
        """The run begins; its folder exists.

        Args:
            folder: The folder of the run.
            recipe: The resolved recipe, with every default filled in; its name is ``recipe["name"]``.
            resume: Whether an interrupted training may be resumed.
        """

    @hookspec
    def fusekit_phase_started(self, phase: str, steps_done: int, total_steps: int) -> None:
        """A training phase begins or resumes; not called for a phase that has no steps left.

        Args:
            phase: Name of the phase.
            steps_done: Number of steps already done. Discard records of later steps: these are run again.
            total_steps: Number of steps of the whole phase, unless validation ends it early.
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
            step_name: The strategy's name for this type of step.
            losses: The losses by name; the mean over all processes.
            learning_rate: The initial learning rate after the schedule, for this step.
            seconds: Duration of the step.
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
        """The model was validated after a step.

        Args:
            phase: Name of the phase.
            step: The last step before the validation.
            measure: Name of the metric or loss.
            value: Its value; None if it is not finite.
            best: Whether it is the best value so far.
            higher_is_better: Whether a higher value is better.
            scenes: Number of validation scenes.
            seconds: Duration of the validation.
        """

    @hookspec
    def fusekit_run_finished(self, folder: Path, outcome: Outcome, error: str, ended_early: Sequence[str]) -> None:
        """The run has ended; this is the last call, also if the run failed before any phase began.

        Args:
            folder: The folder of the run; after a finished run it holds ``evaluation.json`` and ``report.html``.
            outcome: How the run ended.
            error: The error in one sentence; empty after a finished run.
            ended_early: Names of phases that validation ended before their last step.
        """
