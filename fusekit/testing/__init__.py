"""The conformance kit: the contract of each kind of component, as checks that plugin authors inherit.

Usage in a plugin's test file::

    from fusekit.testing import TaskContract

    class TestSmall(TaskContract):
        name = "toyseg.small"
        params = {"width": 8}

pytest finds the checks; ``fusekit plugins check toyseg`` and `fusekit.testing.check.check` run the same checks without
pytest. Contracts are imported on first use, because they import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_MODULES = {
    "BackboneContract": "backbone",
    "DatasetContract": "dataset",
    "GuidanceContract": "guidance",
    "ImporterContract": "importer",
    "LossProposerContract": "proposer",
    "MetricContract": "metric",
    "ObjectiveContract": "objective",
    "ObserverContract": "observer",
    "PathwayContract": "pathway",
    "ReconstructionContract": "reconstruction",
    "StageContract": "stage",
    "StrategyContract": "strategy",
    "TaskContract": "task",
    "ComponentContract": "component",
}

__all__ = [
    "BackboneContract",
    "ComponentContract",
    "DatasetContract",
    "GuidanceContract",
    "ImporterContract",
    "LossProposerContract",
    "MetricContract",
    "ObjectiveContract",
    "ObserverContract",
    "PathwayContract",
    "ReconstructionContract",
    "StageContract",
    "StrategyContract",
    "TaskContract",
]

if TYPE_CHECKING:
    from fusekit.testing.backbone import BackboneContract
    from fusekit.testing.component import ComponentContract
    from fusekit.testing.dataset import DatasetContract
    from fusekit.testing.guidance import GuidanceContract
    from fusekit.testing.importer import ImporterContract
    from fusekit.testing.metric import MetricContract
    from fusekit.testing.objective import ObjectiveContract
    from fusekit.testing.observer import ObserverContract
    from fusekit.testing.pathway import PathwayContract
    from fusekit.testing.proposer import LossProposerContract
    from fusekit.testing.reconstruction import ReconstructionContract
    from fusekit.testing.stage import StageContract
    from fusekit.testing.strategy import StrategyContract
    from fusekit.testing.task import TaskContract


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
