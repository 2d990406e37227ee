"""The assembled system: the parts of a model, and the forward pass through them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from fusekit.errors import UsageError
from fusekit.interfaces.backbone import FusionBackbone
from fusekit.interfaces.context import ClassTable
from fusekit.interfaces.guidance import Guidance, GuidanceMaker
from fusekit.interfaces.proposer import LossProposer
from fusekit.interfaces.reconstruction import ReconstructionHead
from fusekit.interfaces.task import TaskNetwork
from fusekit.interfaces.types import FusionOutput, Sources


class FusionSystem(nn.Module):
    """A fusion backbone with the other parts of its model; only the backbone is required.

    Made by `fusekit.assemble` from a recipe, or by hand from objects. The keys of its state dict have the form
    ``part.parameter``.

    Args:
        backbone: Fuses the sources.
        proposer: Proposes the weights of the fusion loss.
        reconstruction: Recovers the sources from the fused image.
        task: Task network of the recognition task for which images are fused.
        guidance: Makes guidance from the task network, for the parts that use it.
        roles: Roles of the sources, in order; empty if it takes any number of sources that the backbone takes.
        classes: Class table of the task.
        description: The ``model`` section of its recipe, plain data; needed for saving.
    """

    def __init__(
        self,
        backbone: FusionBackbone,
        *,
        proposer: LossProposer | None = None,
        reconstruction: ReconstructionHead | None = None,
        task: TaskNetwork | None = None,
        guidance: GuidanceMaker | None = None,
        roles: tuple[str, ...] = ("infrared", "visible"),
        classes: ClassTable | None = None,
        description: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.proposer = proposer
        self.reconstruction = reconstruction
        self.task = task
        self.guidance_maker = guidance
        self.roles = roles
        self.classes = classes
        self.description = dict(description) if description is not None else None
        if roles and backbone.source_count is not None and backbone.source_count != len(roles):
            raise UsageError(
                f"{type(backbone).__name__} takes {backbone.source_count} sources, the data has {len(roles)}: "
                f"{', '.join(roles)}"
            )

    def parts(self) -> dict[str, nn.Module]:
        """The existing parts, by name."""
        named = {
            "backbone": self.backbone,
            "proposer": self.proposer,
            "reconstruction": self.reconstruction,
            "task": self.task,
        }
        return {name: part for name, part in named.items() if part is not None}

    @property
    def guided(self) -> bool:
        """Whether the backbone uses guidance from the task network."""
        return self.backbone.uses_guidance and self.guidance_maker is not None

    def guidance(self, sources: Sources, labels: Tensor | None = None) -> Guidance | None:
        """Guidance from the task network for a batch; None if the model has no guidance.

        Args:
            sources: N images, each (B, C, H, W) in [0, 1].
            labels: Label maps (B, H, W) int64, or None if the data has none.

        Raises:
            UsageError: The guidance component does not support the task network.
        """
        return self.guidance_maker.of(self.task, sources, labels) if self.guidance_maker is not None else None

    def forward(self, sources: Sources, labels: Tensor | None = None) -> FusionOutput:
        """Fuses a batch, with guidance if the backbone uses it.

        Args:
            sources: N images, each (B, C, H, W) in [0, 1], ordered by role.
            labels: Label maps for the guidance; None at test time.
        """
        guidance = self.guidance(sources, labels) if self.guided else None
        output: FusionOutput = self.backbone(sources, guidance=guidance)
        return output
