"""Plugin with UAAFusion (Bai et al., arXiv 2502.01467, TCSVT 2024). Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from fusekit.plugin import ComponentSpec, component, hookimpl

FUSEKIT_API = ">=1.0,<2"
_PAPER = "arXiv 2502.01467"


@hookimpl
def fusekit_components() -> Sequence[ComponentSpec]:
    """Declare the components of UAAFusion."""
    return [
        component(
            "backbone",
            "uaafusion.unfolding",
            target="fusekit_uaafusion.unfolding:UnfoldingBackbone",
            config="fusekit_uaafusion.config:UnfoldingConfig",
            summary="Unfolding network with pluggable stages and attribution attention",
            paper=_PAPER,
        ),
        component(
            "stage",
            "uaafusion.stage",
            target="fusekit_uaafusion.stage:AttributionStage",
            config="fusekit_uaafusion.config:StageConfig",
            summary="Gradient step, attribution attention, proximal network, memory augmentation",
            paper=_PAPER,
        ),
        component(
            "loss-proposer",
            "uaafusion.attribution",
            target="fusekit_uaafusion.attribution:AttributionProposer",
            config="fusekit_uaafusion.config:AttributionConfig",
            summary="Loss weights from the region attribution of each source",
            paper=_PAPER,
        ),
        component(
            "guidance",
            "uaafusion.attribution_guidance",
            target="fusekit_uaafusion.attribution:AttributionGuidance",
            config="fusekit_uaafusion.config:AttributionGuidanceConfig",
            summary="Region attributions and task gradients of a segmentation network",
            paper=_PAPER,
        ),
        component(
            "pathway",
            "uaafusion.straight_path",
            target="fusekit_uaafusion.attribution:StraightPath",
            config="fusekit_uaafusion.config:StraightPathConfig",
            summary="Straight path from a black image to the source, as released",
            paper=_PAPER,
        ),
        component(
            "pathway",
            "uaafusion.unfolding_path",
            target="fusekit_uaafusion.attribution:UnfoldingPath",
            config="fusekit_uaafusion.config:UnfoldingPathConfig",
            summary="Path of unfolding iterates from the mean of the sources to the source",
            paper=_PAPER,
        ),
        component(
            "strategy",
            "uaafusion.joint",
            target="fusekit_uaafusion.joint:JointTraining",
            config="fusekit_uaafusion.config:JointConfig",
            summary="Trains the fusion and the segmentation network jointly",
            paper=_PAPER,
        ),
        component(
            "importer",
            "uaafusion.release",
            target="fusekit_uaafusion.importer:ReleaseImporter",
            config="fusekit.interfaces.config:ComponentConfig",
            summary="Imports the weights of the authors' release",
            paper=_PAPER,
        ),
    ]
