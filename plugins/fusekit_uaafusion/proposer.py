"""UAAFusion's loss proposer: the attribution weights themselves."""

from __future__ import annotations

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
            ValueError: There is no guidance, because the model has no task network.
        """
        if guidance is None:
            raise ValueError("uaafusion.attribution proposes from guidance: give the model a task network")
        return LossProposal(attribution_weights(guidance, self.epsilon))
