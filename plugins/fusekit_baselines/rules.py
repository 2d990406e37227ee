"""Fusion by fixed rules: backbones without parameters, for any number of sources."""

from __future__ import annotations

import torch

from fusekit.errors import UsageError
from fusekit.interfaces import BuildContext, FusionBackbone, FusionOutput, Guidance, Sources
from fusekit_baselines.config import CopyConfig, NoOptions


class Copy(FusionBackbone):
    """Copy of one source: the baseline that shows the value of a metric without fusion."""

    Config = CopyConfig
    config: CopyConfig
    reach = 0

    def __init__(self, config: CopyConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        config, context = self.config, self.context
        if config.source is None or isinstance(config.source, int):
            self.index = config.source or 0
        elif config.source in context.roles:
            self.index = context.roles.index(config.source)
        else:
            raise UsageError(
                f"baselines.copy: no source has the role {config.source!r}",
                hint=f"roles: {', '.join(context.roles)}",
            )

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> FusionOutput:
        if not -len(sources) <= self.index < len(sources):
            raise ValueError(f"baselines.copy: there is no source with index {self.index} among {len(sources)} sources")
        return FusionOutput(sources[self.index].clone())


class Mean(FusionBackbone):
    """Mean of the sources."""

    Config = NoOptions
    reach = 0

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> FusionOutput:
        return FusionOutput(torch.stack(sources).mean(dim=0))


class Maximum(FusionBackbone):
    """Pixelwise maximum of the sources."""

    Config = NoOptions
    reach = 0

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> FusionOutput:
        return FusionOutput(torch.stack(sources).amax(dim=0))
