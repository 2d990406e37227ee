"""Contract of observers."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import SkipTest

from fusekit.errors import PluginError
from fusekit.plugin.imports import one_line
from fusekit.plugin.observing import observer_manager, register_observer
from fusekit.recipe.schema import RecipeModel
from fusekit.testing.component import ComponentContract


class ObserverContract(ComponentContract):
    """Checks of an observer: the hooks of simulated runs are called, with a temporary run folder."""

    kind = "observer"

    def hooks(self, made: Any) -> Any:
        """The hooks of a run with only this observer; skips if it cannot be registered, which another check reports."""
        manager = observer_manager()
        try:
            register_observer(manager, self.name, made)
        except PluginError as error:
            raise SkipTest(error.message) from error
        return manager.hook

    def simulate_run(self, made: Any, folder: Path) -> None:
        """Simulate a run of two phases with validation, including a value that is not finite."""
        hook = self.hooks(made)
        hook.fusekit_run_started(folder=folder, recipe=_recipe(), resume=False)
        hook.fusekit_phase_started(phase="first", steps_done=0, total_steps=1)
        _report_step(hook, "first", 1, 1)
        hook.fusekit_phase_started(phase="train", steps_done=0, total_steps=2)
        for step, value in ((1, 0.5), (2, None)):
            _report_step(hook, "train", step, 2)
            _report_validation(hook, "train", step, value)
        hook.fusekit_run_finished(folder=folder, outcome="finished", error="", ended_early=[])

    def simulate_interrupted_run(self, made: Any, folder: Path) -> None:
        """Simulate a run that is interrupted in its second step."""
        hook = self.hooks(made)
        hook.fusekit_run_started(folder=folder, recipe=_recipe(), resume=False)
        hook.fusekit_phase_started(phase="train", steps_done=0, total_steps=3)
        _report_step(hook, "train", 1, 3)
        hook.fusekit_run_finished(folder=folder, outcome="interrupted", error="stopped with Ctrl-C", ended_early=[])

    def simulate_resumed_run(self, made: Any, folder: Path) -> None:
        """Simulate the resumed rest of the interrupted run."""
        hook = self.hooks(made)
        hook.fusekit_run_started(folder=folder, recipe=_recipe(), resume=True)
        hook.fusekit_phase_started(phase="train", steps_done=1, total_steps=3)
        _report_step(hook, "train", 2, 3)
        _report_validation(hook, "train", 2, 0.5)
        hook.fusekit_run_finished(folder=folder, outcome="finished", error="", ended_early=["train"])

    def simulate_failed_run(self, made: Any, folder: Path) -> None:
        """Simulate a run that fails before its first phase."""
        hook = self.hooks(made)
        hook.fusekit_run_started(folder=folder, recipe=_recipe(), resume=False)
        hook.fusekit_run_finished(folder=folder, outcome="failed", error="no data in /data", ended_early=[])

    def use(self, made: Any) -> None:
        with contextlib.suppress(Exception), _run_folder() as folder:  # another check reports failures
            self.simulate_run(made, folder)

    def test_hooks_exist(self) -> None:
        """Its methods are existing hooks with valid arguments, so that they are called during a run."""
        try:
            register_observer(observer_manager(), self.name, self.make())
        except PluginError as error:
            raise AssertionError(f"its hooks: expected hooks of a run, found {error.message}") from error

    def test_observes_a_complete_run(self) -> None:
        """It observes a complete run without errors, including values that are not finite."""
        with _run_folder() as folder:
            _expect_no_error("a complete run", self.simulate_run, self.make(), folder)

    def test_observes_a_resumed_run(self) -> None:
        """It observes an interrupted and then resumed run in the same run folder without errors."""
        with _run_folder() as folder:
            _expect_no_error("an interrupted run", self.simulate_interrupted_run, self.make(), folder)
            _expect_no_error("the resumed run", self.simulate_resumed_run, self.make(), folder)

    def test_observes_a_run_that_fails_early(self) -> None:
        """It observes a run that fails before its first phase without errors."""
        with _run_folder() as folder:
            _expect_no_error("a run that fails early", self.simulate_failed_run, self.make(), folder)


@contextlib.contextmanager
def _run_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _expect_no_error(what: str, simulate: Any, made: Any, folder: Path) -> None:
    try:
        simulate(made, folder)
    except SkipTest:
        raise
    except Exception as error:
        raise AssertionError(f"{what}: expected no error, found {one_line(error)}") from error


def _recipe() -> dict[str, Any]:
    given = {
        "schema": 1,
        "name": "observed",
        "data": {"use": "toys.scenes"},
        "model": {"backbone": {"use": "toys.mean"}},
    }
    return RecipeModel.model_validate(given).model_dump(mode="json", by_alias=True)


def _report_step(hook: Any, phase: str, step: int, total_steps: int) -> None:
    hook.fusekit_step_finished(
        phase=phase,
        step=step,
        total_steps=total_steps,
        epoch=0,
        step_name="fusion",
        losses={"total": 1.0 / step, "fusion/intensity": 0.5},
        learning_rate=1e-4,
        seconds=0.1,
    )


def _report_validation(hook: Any, phase: str, step: int, value: float | None) -> None:
    hook.fusekit_validated(
        phase=phase,
        step=step,
        measure="strict.qabf",
        value=value,
        best=value is not None,
        higher_is_better=True,
        scenes=2,
        seconds=0.1,
    )
