"""The contract: the interfaces that plugins implement, and the types that travel between them.

Five interfaces carry the mission: `FusionBackbone`, `LossProposer`, `ReconstructionHead`, `TaskNetwork`
and `UnfoldingStage`. The supporting kinds are `FusionDataset`, `Metric`, `Strategy`, `Objective`, `GuidanceMaker`,
`Pathway`, `LossTerm`, `Transform`, `WeightsImporter` and `Observer`. Plugins import from here and from the documented
helpers only.

Names are resolved on first use, so that torch-free code (configs, entry modules, the command line) can
import `ComponentConfig` and similar names without importing torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
