"""The kinds of component, and the import path of each kind's interface. Imports no torch."""

from __future__ import annotations

KINDS: dict[str, str] = {
    "backbone": "fusekit.interfaces.backbone:FusionBackbone",
    "loss-proposer": "fusekit.interfaces.proposer:LossProposer",
    "reconstruction": "fusekit.interfaces.reconstruction:ReconstructionHead",
    "task": "fusekit.interfaces.task:TaskNetwork",
    "stage": "fusekit.interfaces.stage:UnfoldingStage",
    "dataset": "fusekit.interfaces.dataset:FusionDataset",
    "metric": "fusekit.interfaces.metric:Metric",
    "strategy": "fusekit.interfaces.strategy:Strategy",
    "objective": "fusekit.interfaces.objective:Objective",
    "guidance": "fusekit.interfaces.guidance:GuidanceMaker",
    "loss-term": "fusekit.interfaces.loss_term:LossTerm",
    "pathway": "fusekit.interfaces.pathway:Pathway",
    "transform": "fusekit.interfaces.transform:Transform",
    "importer": "fusekit.interfaces.importer:WeightsImporter",
    "observer": "fusekit.interfaces.observer:Observer",
}
"""Kind of component → ``module:class`` of the interface it implements."""
