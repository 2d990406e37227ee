"""UAAFusion's loss proposer: the attribution weights themselves."""

from __future__ import annotations

from fusekit.errors import UsageError
from fusekit.interfaces import BuildContext, Guidance, LossProposal, LossProposer, Sources
from fusekit_uaafusion.config import AttributionConfig
from fusekit_uaafusion.weights import attribution_weights


class AttributionProposer(LossProposer):
    """Proposes w_i = (A_i + ε) / Σ_k (A_k + ε): a source counts where its regions help the task.

    Has no weights to learn; the task network behind the guidance decides.
    """

    Config = AttributionConfig
    uses_guidance = True

    def __init__(self, config: AttributionConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        self.epsilon = (config or AttributionConfig()).epsilon

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> LossProposal:
        """Weights (B, N, H, W) of a batch.

        Raises:
            UsageError: There is no guidance: the model has no task network, or one that does not segment.
        """
        if guidance is None:
            raise UsageError(
                "uaafusion.attribution proposes from what a segmentation network attributes to regions, and this "
                "model has none",
                hint="choose a task network that segments (a SegmentationNetwork), or a loss proposer that asks none",
            )
        return LossProposal(attribution_weights(guidance, self.epsilon))
