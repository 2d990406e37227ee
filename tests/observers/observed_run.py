"""A run of seconds, and a registry in which observers of tests are components."""

from __future__ import annotations

import fusekit
from fusekit.plugin.loader import PluginReport
from fusekit.plugin.registry import Registry, registry
from fusekit.plugin.specs import component
from tests.observers import recording_observers

PLAIN = {
    "schema": 1,
    "name": "watched",
    "data": {"use": "scenes.streets", "params": {"train": 4, "val": 2, "test": 1, "height": 32, "width": 32}},
    "model": {
        "backbone": {"use": "refusion.network", "params": {"channels": 4, "heads": 2, "blocks": 1}},
        "proposer": {"use": "baselines.equal"},
    },
    "train": {
        "strategy": {"use": "uaafusion.joint", "params": {"task_weight": 0}},
        "epochs": 2,
        "batch": 2,
        "sampling": {"size": 32},
        "optimiser": {"lr": 1e-3},
        "validate": {"metric": "strict.en"},
    },
    "evaluate": {"metrics": ["strict.en"], "baselines": [], "pictures": 0},
}
"""Four steps, two of them followed by a validation."""


def with_watchers() -> Registry:
    """What is installed, and the observers of `recording_observers` as ``watch.NAME``."""
    classes = ["Recorder", "Meddler", "Throws", "Unmarked", "Misspelt", "Curious", "Deaf", "Quitting"]
    specs = tuple(
        component(
            "observer", f"watch.{name.lower()}", target=f"{recording_observers.__name__}:{name}", summary="a test's"
        )
        for name in classes
    )
    toys = PluginReport("watch", "fusekit-watch", "1.0", "tests.testing.entry", components=specs)
    return Registry([*registry().reports, toys])


def watched_recipe(observe: str = "[]", *overrides: str) -> fusekit.Recipe:
    """The recipe with these observers, as after ``-o observe=``."""
    return fusekit.Recipe.from_dict(PLAIN, [f"observe={observe}", *overrides], with_watchers())
