"""The contract: the interfaces that plugins implement, and the types that they exchange.

The five central interfaces are `FusionBackbone`, `LossProposer`, `ReconstructionHead`, `TaskNetwork`
and `UnfoldingStage`. The supporting kinds are `FusionDataset`, `Metric`, `Strategy`, `Objective`, `GuidanceMaker`,
`Pathway`, `WeightsImporter` and `Observer`. Plugins import from here and from the documented helpers only.

Names are resolved on first use, so that torch-free code (configs, entry modules, the command line) can
import `ComponentConfig` and similar names without importing torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    "BackboneRef": "config",
    "ComponentConfig": "config",
    "ComponentRef": "config",
    "DatasetRef": "config",
    "GuidanceRef": "config",
    "Field": "config",
    "ObjectiveRef": "config",
    "ObserverRef": "config",
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
    "GuidanceMaker": "guidance",
    "RegionAttribution": "guidance",
    "Objective": "objective",
    "Observer": "observer",
    "AttributionPath": "pathway",
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
    "undisturbed": "evaluation_mode",
    "Sums": "whole_image",
    "image_sums": "whole_image",
    "in_parts": "whole_image",
}

__all__ = sorted(_HOME)

if TYPE_CHECKING:  # written twice: a re-export to type checkers
    from fusekit.interfaces.backbone import FusionBackbone as FusionBackbone
    from fusekit.interfaces.config import BackboneRef as BackboneRef
    from fusekit.interfaces.config import ComponentConfig as ComponentConfig
    from fusekit.interfaces.config import ComponentRef as ComponentRef
    from fusekit.interfaces.config import DatasetRef as DatasetRef
    from fusekit.interfaces.config import Field as Field
    from fusekit.interfaces.config import GuidanceRef as GuidanceRef
    from fusekit.interfaces.config import ObjectiveRef as ObjectiveRef
    from fusekit.interfaces.config import ObserverRef as ObserverRef
    from fusekit.interfaces.config import PathwayRef as PathwayRef
    from fusekit.interfaces.config import ProposerRef as ProposerRef
    from fusekit.interfaces.config import StageRef as StageRef
    from fusekit.interfaces.config import StrategyRef as StrategyRef
    from fusekit.interfaces.config import TaskRef as TaskRef
    from fusekit.interfaces.context import BuildContext as BuildContext
    from fusekit.interfaces.context import ClassTable as ClassTable
    from fusekit.interfaces.dataset import FusionDataset as FusionDataset
    from fusekit.interfaces.dataset import Sample as Sample
    from fusekit.interfaces.dataset_config import DatasetConfig as DatasetConfig
    from fusekit.interfaces.dataset_config import Provenance as Provenance
    from fusekit.interfaces.evaluation_mode import undisturbed as undisturbed
    from fusekit.interfaces.guidance import Guidance as Guidance
    from fusekit.interfaces.guidance import GuidanceMaker as GuidanceMaker
    from fusekit.interfaces.guidance import RegionAttribution as RegionAttribution
    from fusekit.interfaces.importer import ImportedWeights as ImportedWeights
    from fusekit.interfaces.importer import WeightsImporter as WeightsImporter
    from fusekit.interfaces.kinds import KINDS as KINDS
    from fusekit.interfaces.loss import LossProposer as LossProposer
    from fusekit.interfaces.metric import Metric as Metric
    from fusekit.interfaces.metric import MetricValue as MetricValue
    from fusekit.interfaces.metric import ReferenceMetric as ReferenceMetric
    from fusekit.interfaces.objective import Objective as Objective
    from fusekit.interfaces.observer import Observer as Observer
    from fusekit.interfaces.pathway import AttributionPath as AttributionPath
    from fusekit.interfaces.pathway import Pathway as Pathway
    from fusekit.interfaces.reconstruction import ReconstructionHead as ReconstructionHead
    from fusekit.interfaces.stage import UnfoldingStage as UnfoldingStage
    from fusekit.interfaces.strategy import StepPlan as StepPlan
    from fusekit.interfaces.strategy import StepRecord as StepRecord
    from fusekit.interfaces.strategy import Strategy as Strategy
    from fusekit.interfaces.strategy import TrainingContext as TrainingContext
    from fusekit.interfaces.strategy import Updater as Updater
    from fusekit.interfaces.strategy import UpdateRule as UpdateRule
    from fusekit.interfaces.task import SegmentationNetwork as SegmentationNetwork
    from fusekit.interfaces.task import TaskNetwork as TaskNetwork
    from fusekit.interfaces.types import Batch as Batch
    from fusekit.interfaces.types import FusionOutput as FusionOutput
    from fusekit.interfaces.types import LossProposal as LossProposal
    from fusekit.interfaces.types import LossTerms as LossTerms
    from fusekit.interfaces.types import Sources as Sources
    from fusekit.interfaces.types import UnfoldingState as UnfoldingState
    from fusekit.interfaces.whole_image import Sums as Sums
    from fusekit.interfaces.whole_image import image_sums as image_sums
    from fusekit.interfaces.whole_image import in_parts as in_parts


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
