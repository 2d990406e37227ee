"""Plugin with parameter-free fusion methods and fixed loss proposers. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from fusekit.plugin import ComponentSpec, component, hookimpl

FUSEKIT_API = ">=1.0,<2"
_OPTIONLESS = "fusekit_baselines.config:NoOptions"


@hookimpl
def fusekit_components() -> Sequence[ComponentSpec]:
    """Declare the baselines for evaluation tables, and the loss proposers to compare learned ones with."""
    return [
        component(
            "backbone",
            "baselines.copy",
            target="fusekit_baselines.rules:Copy",
            config="fusekit_baselines.config:CopyConfig",
            summary="Copies one source",
            in_tables=True,
            per_source=True,
        ),
        component(
            "backbone",
            "baselines.mean",
            target="fusekit_baselines.rules:Mean",
            config=_OPTIONLESS,
            summary="Mean of the sources",
            in_tables=True,
        ),
        component(
            "backbone",
            "baselines.max",
            target="fusekit_baselines.rules:Maximum",
            config=_OPTIONLESS,
            summary="Pixelwise maximum of the sources",
            in_tables=True,
        ),
        component(
            "backbone",
            "baselines.laplacian",
            target="fusekit_baselines.pyramid:LaplacianPyramid",
            config="fusekit_baselines.config:LaplacianConfig",
            summary="Laplacian pyramid: strongest detail at every scale, mean of the coarsest level",
            paper="Burt and Adelson, IEEE Trans. Communications 1983",
            in_tables=True,
        ),
        component(
            "loss-proposer",
            "baselines.equal",
            target="fusekit_baselines.proposals:EqualProposer",
            config=_OPTIONLESS,
            summary="Equal weights for all sources",
        ),
        component(
            "loss-proposer",
            "baselines.brightest",
            target="fusekit_baselines.proposals:BrightestProposer",
            config=_OPTIONLESS,
            summary="Weight 1 for the brightest source at each pixel, 0 for the others",
        ),
        component(
            "loss-proposer",
            "baselines.sharpest",
            target="fusekit_baselines.proposals:SharpestProposer",
            config="fusekit_baselines.config:SharpestConfig",
            summary="Most weight for the source with the stronger gradients around each pixel (multi-focus)",
        ),
        component(
            "loss-proposer",
            "baselines.well_exposed",
            target="fusekit_baselines.proposals:WellExposedProposer",
            config="fusekit_baselines.config:WellExposedConfig",
            summary="Weights by contrast and good exposure (multi-exposure)",
            paper="Mertens et al., Pacific Graphics 2007",
        ),
        component(
            "strategy",
            "baselines.fixed",
            target="fusekit_baselines.fixed:FixedLoss",
            config="fusekit_baselines.config:FixedLossConfig",
            summary="Trains a backbone with a fixed fusion loss, without labels; the proposer stays as it is",
        ),
    ]
