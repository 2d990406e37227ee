"""Registration of observers in a plugin manager, with checks of the hooks they implement. Imports no torch."""

from __future__ import annotations

import inspect

import pluggy

from fusekit.errors import PluginError
from fusekit.plugin.hookspecs import PROJECT, ObserverSpecs

_PREFIX = f"{PROJECT}_"
_MARK = f"{PROJECT}_impl"
"""The attribute with which `hookimpl` marks a function."""


def observer_manager() -> pluggy.PluginManager:
    """A plugin manager for the hooks of a run, without observers."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(ObserverSpecs)
    return manager


def register_observer(manager: pluggy.PluginManager, name: str, observer: object) -> None:
    """Checks the hooks of an observer and registers it.

    Raises:
        PluginError: It implements no hook, an unknown hook, or a hook with an unknown argument.
    """
    for method, value in inspect.getmembers(type(observer), callable):
        if method.startswith(_PREFIX) and not hasattr(value, _MARK):
            raise _fault(name, f"{method}() looks like a hook but is not marked with @hookimpl")
    if type(observer).__hash__ is None:  # pluggy keeps them in sets
        raise _fault(name, "its objects cannot be hashed; a dataclass needs eq=False")
    try:
        manager.register(observer, name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise _fault(name, " ".join(str(error).split())) from error
    if not manager.get_hookcallers(observer):
        hooks = ", ".join(hook for hook in vars(ObserverSpecs) if hook.startswith(_PREFIX))
        raise _fault(name, f"it implements no hook of a run ({hooks})")


def _fault(name: str, what: str) -> PluginError:
    return PluginError(
        f"observer {name!r} cannot be used: {what}",
        hint="this is a bug in the plugin; please report it to its authors",
    )
