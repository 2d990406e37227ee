"""Terms of fusion losses, as a plugin. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from fusekit.plugin import ComponentSpec, component, hookimpl

FUSEKIT_API = ">=1.0,<2"


@hookimpl
def fusekit_components() -> Sequence[ComponentSpec]:
    """The terms of the papers, and further ones that a recipe can add."""
    return [
        component(
            "loss-term",
            "losses.intensity",
            target="fusekit_losses.intensity:ProposedIntensity",
            config="fusekit_losses.config:ProposedIntensityConfig",
            summary="Distance to every source, weighted pixel by pixel by the loss proposer",
            paper="ReFusion, arXiv 2312.07943",
        ),
        component(
            "loss-term",
            "losses.brightest",
            target="fusekit_losses.intensity:BrightestIntensity",
            config="fusekit_losses.config:BrightestIntensityConfig",
            summary="Distance to the pixelwise maximum of the sources",
        ),
        component(
            "loss-term",
            "losses.gradient",
            target="fusekit_losses.gradient:StrongestGradient",
            config="fusekit_losses.config:GradientConfig",
            summary="Distance to the strongest gradient of the sources, by strength or signed per axis",
            paper="ReFusion, arXiv 2312.07943; signed: TDFusion, arXiv 2412.03240",
        ),
        component(
            "loss-term",
            "losses.edges",
            target="fusekit_losses.gradient:EdgeTransfer",
            config="fusekit_losses.config:EdgesConfig",
            summary="Share of the sources' edges that is lost, after Qabf",
            paper="Xydeas and Petrovic, Electronics Letters 2000",
        ),
        component(
            "loss-term",
            "losses.ssim",
            target="fusekit_losses.structure:Dissimilarity",
            config="fusekit_losses.config:SsimConfig",
            summary="1 - SSIM with each source, added up",
            paper="Wang et al., IEEE Trans. Image Processing 2004",
        ),
        component(
            "loss-term",
            "losses.vif",
            target="fusekit_losses.structure:LostInformation",
            config="fusekit_losses.config:VifConfig",
            summary="1 - a VIF-like fidelity to each source, added up",
            paper="after Sheikh and Bovik, IEEE Trans. Image Processing 2006",
        ),
        component(
            "loss-term",
            "losses.scd",
            target="fusekit_losses.structure:LostDifferences",
            config="fusekit_losses.config:ScdConfig",
            summary="N - the sum of the correlations of differences (SCD)",
            paper="Aslantas and Bendes, AEU 2015",
        ),
    ]
