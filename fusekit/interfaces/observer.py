"""The observer: callbacks for the events of a run, which cannot change it. Imports no torch."""

from __future__ import annotations

from fusekit.interfaces.component import Component


class Observer(Component):
    """Base class of everything that monitors runs: loggers, dashboards, notifiers.

    A recipe names its observers in ``observe``. They receive the hooks of
    `fusekit.plugin.hookspecs.ObserverSpecs`: a class implements the ones that it uses as methods marked with
    `fusekit.plugin.hookimpl`, each with the arguments that it needs::

        class Printer(Observer):
            @hookimpl
            def fusekit_step_finished(self, step, losses):
                print(step, losses)

    Hooks are called in the first process only, one after the other; training waits for them. If an observer raises,
    a warning is logged once and its hooks are not called again in this run. The state of global random generators and
    the gradient mode are restored after each call. Import an optional package in the constructor, so that the run
    ends with a `PluginError` before training if it is missing, and not with a warning after the first step.

    Args:
        config: Its options.
        context: Roles and classes of the recipe's data.
    """
