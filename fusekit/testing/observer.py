"""What an observer keeps."""

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
    """Checks of an observer: it is told of runs that did not take place, in a temporary folder."""

    kind = "observer"

    def hooks(self, made: Any) -> Any:
        """The hooks of a run with this observer alone; skips where it cannot listen: another check's business."""
        manager = observer_manager()
        try:
            register_observer(manager, self.name, made)
        except PluginError as error:
            raise SkipTest(error.message) from error
        return manager.hook

    def tell_of_a_run(self, made: Any, folder: Path) -> None:
        """Tells of a run of two phases with validation, one value of which is not finite."""
        hook = self.hooks(made)
        hook.fusekit_run_started(folder=folder, recipe=_recipe(), resume=False)
        hook.fusekit_phase_started(phase="first", steps_done=0, total_steps=1)
        _tell_step(hook, "first", 1, 1)
        hook.fusekit_phase_started(phase="train", steps_done=0, total_steps=2)
        for step, value in ((1, 0.5), (2, None)):
            _tell_step(hook, "train", step, 2)
            _tell_validation(hook, "train", step, value)
        hook.fusekit_run_finished(folder=folder, outcome="finished", error="", ended_early=[])

    def tell_of_an_interrupted_run(self, made: Any, folder: Path) -> None:
        """Tells of a run that is stopped in its second step."""
        hook = self.hooks(made)
        hook.fusekit_run_started(folder=folder, recipe=_recipe(), resume=False)
        hook.fusekit_phase_started(phase="train", steps_done=0, total_steps=3)
        _tell_step(hook, "train", 1, 3)
        hook.fusekit_run_finished(folder=folder, outcome="interrupted", error="stopped with Ctrl-C", ended_early=[])

    def tell_of_its_resumption(self, made: Any, folder: Path) -> None:
        """Tells of the rest of that run."""
        hook = self.hooks(made)
        hook.fusekit_run_started(folder=folder, recipe=_recipe(), resume=True)
        hook.fusekit_phase_started(phase="train", steps_done=1, total_steps=3)
        _tell_step(hook, "train", 2, 3)
        _tell_validation(hook, "train", 2, 0.5)
        hook.fusekit_run_finished(folder=folder, outcome="finished", error="", ended_early=["train"])

    def tell_of_a_failure(self, made: Any, folder: Path) -> None:
        """Tells of a run that fails before a phase begins."""
        hook = self.hooks(made)
        hook.fusekit_run_started(folder=folder, recipe=_recipe(), resume=False)
        hook.fusekit_run_finished(folder=folder, outcome="failed", error="no data in /data", ended_early=[])

    def use(self, made: Any) -> None:
        with contextlib.suppress(Exception), _run_folder() as folder:  # whether it fails is another check's business
            self.tell_of_a_run(made, folder)

    def test_listens_to_hooks_that_exist(self) -> None:
        """Its methods are hooks of a run and take arguments of them, so that it hears what it waits for."""
        try:
            register_observer(observer_manager(), self.name, self.make())
        except PluginError as error:
            raise AssertionError(f"its hooks: expected hooks of a run, found {error.message}") from error

    def test_hears_of_a_whole_run(self) -> None:
        """It hears of a run from its start to its end without failing, values that are not finite among them."""
        with _run_folder() as folder:
            _expect_no_error("a whole run", self.tell_of_a_run, self.make(), folder)

    def test_hears_of_a_resumed_run(self) -> None:
        """It goes on in a run folder where it was before, as when a training is resumed."""
        with _run_folder() as folder:
            _expect_no_error("an interrupted run", self.tell_of_an_interrupted_run, self.make(), folder)
            _expect_no_error("the rest of the run", self.tell_of_its_resumption, self.make(), folder)

    def test_hears_of_a_run_that_fails_early(self) -> None:
        """It hears of the end of a run that failed before any phase began."""
        with _run_folder() as folder:
            _expect_no_error("a run that fails early", self.tell_of_a_failure, self.make(), folder)


@contextlib.contextmanager
def _run_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _expect_no_error(what: str, tell: Any, made: Any, folder: Path) -> None:
    try:
        tell(made, folder)
    except SkipTest:
        raise
    except Exception as error:
        raise AssertionError(f"{what}: expected no error, found {one_line(error)}") from error


def _recipe() -> dict[str, Any]:
    given = {"schema": 1, "name": "told", "data": {"use": "toys.scenes"}, "model": {"backbone": {"use": "toys.mean"}}}
    return RecipeModel.model_validate(given).model_dump(mode="json", by_alias=True)


def _tell_step(hook: Any, phase: str, step: int, total_steps: int) -> None:
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


def _tell_validation(hook: Any, phase: str, step: int, value: float | None) -> None:
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
