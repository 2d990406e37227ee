"""The observers of a run: they are notified of its events, and cannot change the run, even if they fail."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from fusekit.devices import generators_of
from fusekit.errors import FusekitError, PluginError
from fusekit.interfaces.observer import Observer
from fusekit.model.assembly import Builder
from fusekit.pipeline.run_folder import RunFolder
from fusekit.plugin.imports import one_line
from fusekit.plugin.observing import observer_manager, register_observer
from fusekit.recipe.recipe import Recipe


class Observers:
    """Observers by name, in one plugin manager.

    Args:
        observers: The observers, in the order in which they are notified.
        device: Device of the run, whose random state is preserved.
        warn: Called with a message about an observer that failed.

    Raises:
        PluginError: An observer's hooks do not match those of a run.
    """

    def __init__(self, observers: Mapping[str, Observer], device: torch.device, warn: Callable[[str], None]) -> None:
        self._manager = observer_manager()
        self._device = device
        self._warn = warn
        for name, observer in observers.items():
            register_observer(self._manager, name, observer)

    @classmethod
    def of(cls, recipe: Recipe, device: torch.device, warn: Callable[[str], None]) -> Observers:
        """Builds the observers that a recipe names.

        Raises:
            PluginError: An observer is missing, broken, or lacks a package that it needs.
            UsageError: Parameters of an observer are not valid.
        """
        builder = Builder(recipe.data_config.roles(), recipe.data_config.classes(), recipe.registry)
        built: dict[str, Observer] = {}
        for index, ref in enumerate(recipe.model.observe):
            # The position distinguishes several observers of one component.
            name = ref.use if ref.use not in built else f"{ref.use} (observe.{index})"
            with _preserved_state(device):
                try:
                    built[name] = builder.build("observer", ref)
                except SystemExit as error:
                    raise PluginError(f"observer {name!r} ended the program while it was built") from error
        return cls(built, device, warn)

    @contextmanager
    def watching(self, recipe: Recipe, folder: RunFolder, *, resume: bool) -> Iterator[None]:
        """Notifies the observers of the start and, whatever the outcome, the end of the run in the ``with`` block."""

        def finished(outcome: str, error: str = "") -> None:
            early = _ended_early(folder)
            self.notify("run_finished", folder=folder.path, outcome=outcome, error=error, ended_early=early)

        self.notify("run_started", folder=folder.path, recipe=recipe.plain, resume=resume)
        try:
            yield
        except KeyboardInterrupt:
            finished("interrupted", "stopped with Ctrl-C")
            raise
        except BaseException as error:
            finished("failed", error.message if isinstance(error, FusekitError) else one_line(error))
            raise
        finished("finished")

    def notify(self, event: str, /, **facts: Any) -> None:
        """Calls a hook of every observer that implements it.

        An observer that fails is named in one warning and receives no further events. Ctrl-C still interrupts the run.

        Args:
            event: Name of the hook, without the prefix.
            **facts: Arguments of the hook.
        """
        all_observers = self._manager.get_plugins()
        for name, observer in self._manager.list_name_plugin():
            # One at a time: pluggy stops a call at the first implementation that raises.
            hook = self._manager.subset_hook_caller(f"fusekit_{event}", all_observers - {observer})
            if not hook.get_hookimpls():
                continue
            try:
                with _preserved_state(self._device):
                    hook(**copy.deepcopy(facts))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # even SystemExit of an observer must not end a training
                self._manager.unregister(name=name)
                self._warn(
                    f"observer {name!r} failed in fusekit_{event} and receives no further events of this run: "
                    f"{one_line(error)}"
                )


def _ended_early(folder: RunFolder) -> list[str]:
    try:
        validation = folder.record().get("validation", {})
    except FusekitError:  # a damaged record must not hide why the run failed
        return []
    return [phase for phase, outcome in validation.items() if outcome["ended_early"]]


@contextmanager
def _preserved_state(device: torch.device) -> Iterator[None]:
    """Restores all global random states and the gradient mode afterwards."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=generators_of(device)), torch.no_grad():
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)
