"""The contract: the interfaces that plugins implement, and the types that travel between them.

Five interfaces carry the mission: `FusionBackbone`, `LossProposer`, `ReconstructionHead`, `TaskNetwork`
and `UnfoldingStage`. The supporting kinds are `FusionDataset`, `Metric`, `Strategy`, `Pathway` and
`WeightsImporter`. Plugins import from here and from the documented helpers only.

Names are resolved on first use, so that torch-free code (configs, entry modules, the command line) can
import `ComponentConfig` and friends without paying for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    "BackboneRef": "config",
    "ComponentConfig": "config",
    "ComponentRef": "config",
    "DatasetRef": "config",
    "Field": "config",
    "ObjectiveRef": "config",
    "PathwayRef": "config",
    "ProposerRef": "config",
    "StageRef": "config",
    "StrategyRef": "config",
    "TaskRef": "config",
    "BuildContext": "context",
    "ClassTable": "context",
    "KINDS": "kinds",
    "Batch": "types",
    "FusionOutput": "types",
    "LossProposal": "types",
    "LossTerms": "types",
    "Sources": "types",
    "UnfoldingState": "types",
    "FusionBackbone": "backbone",
    "LossProposer": "loss",
    "ReconstructionHead": "reconstruction",
    "TaskNetwork": "task",
    "SegmentationNetwork": "task",
    "UnfoldingStage": "stage",
    "Guidance": "guidance",
    "RegionAttribution": "guidance",
    "Objective": "objective",
    "Path": "pathway",
    "Pathway": "pathway",
    "DatasetConfig": "dataset_config",
    "FusionDataset": "dataset",
    "Provenance": "dataset_config",
    "Sample": "dataset",
    "Metric": "metric",
    "MetricValue": "metric",
    "ReferenceMetric": "metric",
    "StepPlan": "strategy",
    "StepRecord": "strategy",
    "Strategy": "strategy",
    "TrainingContext": "strategy",
    "UpdateRule": "strategy",
    "Updater": "strategy",
    "ImportedWeights": "importer",
    "WeightsImporter": "importer",
}

__all__ = sorted(_HOME)

if TYPE_CHECKING:
    from fusekit.interfaces.backbone import FusionBackbone
    from fusekit.interfaces.config import (
        BackboneRef,
        ComponentConfig,
        ComponentRef,
        DatasetRef,
        Field,
        ObjectiveRef,
        PathwayRef,
        ProposerRef,
        StageRef,
        StrategyRef,
        TaskRef,
    )
    from fusekit.interfaces.context import BuildContext, ClassTable
    from fusekit.interfaces.dataset import FusionDataset, Sample
    from fusekit.interfaces.dataset_config import DatasetConfig, Provenance
    from fusekit.interfaces.guidance import Guidance, RegionAttribution
    from fusekit.interfaces.importer import ImportedWeights, WeightsImporter
    from fusekit.interfaces.kinds import KINDS
    from fusekit.interfaces.loss import LossProposer
    from fusekit.interfaces.metric import Metric, MetricValue, ReferenceMetric
    from fusekit.interfaces.objective import Objective
    from fusekit.interfaces.pathway import Path, Pathway
    from fusekit.interfaces.reconstruction import ReconstructionHead
    from fusekit.interfaces.stage import UnfoldingStage
    from fusekit.interfaces.strategy import StepPlan, StepRecord, Strategy, TrainingContext, Updater, UpdateRule
    from fusekit.interfaces.task import SegmentationNetwork, TaskNetwork
    from fusekit.interfaces.types import (
        Batch,
        FusionOutput,
        LossProposal,
        LossTerms,
        Sources,
        UnfoldingState,
    )


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
