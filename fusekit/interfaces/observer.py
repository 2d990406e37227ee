"""The observer: hears what happens in a run, and has no say in it. Imports no torch."""

from __future__ import annotations

from fusekit.interfaces.component import Component


class Observer(Component):
    """Base of everything that watches runs: loggers, dashboards, notifiers.

    A recipe names its observers in ``observe``. What they hear are the hooks of
    `fusekit.plugin.hookspecs.ObserverSpecs`: a class implements those that it wants as methods marked with
    `fusekit.plugin.hookimpl`, each with those arguments that it needs::

        class Printer(Observer):
            @hookimpl
            def fusekit_step_finished(self, step, losses):
                print(step, losses)

    Hooks are called in the first process only, one after the other; the training waits meanwhile. An observer that
    raises costs one warning, and hears no more of the run. Nothing that it draws from global random generators, and
    no gradient mode that it sets, outlasts the call. A package that it needs and that may be absent is imported in its
    constructor, so that the run ends with a `PluginError` before it trains, and not with a warning after the first
    step.

    Args:
        config: Its options.
        context: What the wiring knows.
    """
