"""Plugin with ReFusion (Bai et al., arXiv 2312.07943, IJCV 2024) and TDFusion. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from fusekit.plugin import ComponentSpec, component, hookimpl

FUSEKIT_API = ">=1.0,<2"
_REFUSION = "arXiv 2312.07943"
_TDFUSION = "arXiv 2412.03240"


@hookimpl
def fusekit_components() -> Sequence[ComponentSpec]:
    """Declare the components of ReFusion and TDFusion."""
    return [
        component(
            "backbone",
            "refusion.network",
            target="fusekit_refusion.network:FusionNetwork",
            config="fusekit_refusion.config:NetworkConfig",
            summary="Fusion module: two encoders, attention fusion, one decoder; 59,856 parameters",
            paper=_REFUSION,
        ),
        component(
            "loss-proposer",
            "refusion.proposer",
            target="fusekit_refusion.proposer:LossProposalModule",
            config="fusekit_refusion.config:ProposerConfig",
            summary="Learned loss proposal module",
            paper=_REFUSION,
        ),
        component(
            "reconstruction",
            "refusion.reconstruction",
            target="fusekit_refusion.reconstruction:ReconstructionModule",
            config="fusekit_refusion.config:ReconstructionConfig",
            summary="Reconstruction module: one encoder, a decoder per source",
            paper=_REFUSION,
        ),
        component(
            "strategy",
            "refusion.meta",
            target="fusekit_refusion.meta:MetaLearning",
            config="fusekit_refusion.config:MetaConfig",
            summary="Meta-learned fusion loss: inner update, outer update, then fusion and evaluator",
            paper=_REFUSION,
        ),
        component(
            "objective",
            "refusion.sources",
            target="fusekit_refusion.objectives:SourcesObjective",
            config="fusekit_refusion.config:SourcesObjectiveConfig",
            summary="Loss of reconstructing the sources from the fused image (ReFusion)",
            paper=_REFUSION,
        ),
        component(
            "objective",
            "refusion.task",
            target="fusekit_refusion.objectives:TaskObjective",
            config="fusekit_refusion.config:TaskObjectiveConfig",
            summary="Loss of the task network on the fused image (TDFusion)",
            paper=_TDFUSION,
        ),
        component(
            "importer",
            "refusion.release",
            target="fusekit_refusion.importer:ReleaseImporter",
            config="fusekit.interfaces.config:ComponentConfig",
            summary="Imports the weights of the authors' release",
            paper=_REFUSION,
        ),
    ]
