"""ReFusion's parts as small as they get, wired by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from fusekit.interfaces import Batch, BuildContext, TaskNetwork
from fusekit.model.assembly import Builder
from fusekit.model.system import FusionSystem
from fusekit.recipe.schema import TrainSection
from fusekit.training.trainer import Trainer
from fusekit_refusion.config import MetaConfig, NetworkConfig, ProposerConfig, ReconstructionConfig
from fusekit_refusion.meta import MetaLearning
from fusekit_refusion.network import FusionNetwork
from fusekit_refusion.proposer import LossProposalModule
from fusekit_refusion.reconstruction import ReconstructionModule
from tests.networks import ROLES, TinySegmenter, scene

SIZE = {"channels": 4, "heads": 2, "blocks": 1, "expansion": 1}


def context() -> BuildContext:
    """Builds nested components, as a recipe would."""
    return Builder(ROLES, None).context


class Scenes:
    """Batches of random images by number, of one type."""

    batches_per_epoch = 3

    def __init__(self, dtype: torch.dtype = torch.float32, size: int = 16) -> None:
        self.dtype, self.size = dtype, size
        self.asked: list[tuple[str, int, int]] = []

    def batch(self, stream: str, epoch: int, index: int) -> Batch:
        self.asked.append((stream, epoch, index))
        seed = 1000 * sum(map(ord, stream)) + 100 * epoch + index
        sources, labels = scene(batch=2, height=self.size, width=self.size, seed=seed, dtype=self.dtype)
        return Batch(sources, labels, (f"{stream}-{epoch}-{index}",))


def system(seed: int = 0, task: TaskNetwork | None = None) -> FusionSystem:
    """All parts of ReFusion and a segmenter, with weights of a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = FusionSystem(
            FusionNetwork(NetworkConfig(**SIZE)),
            proposer=LossProposalModule(ProposerConfig(**SIZE), context()),
            reconstruction=ReconstructionModule(ReconstructionConfig(**SIZE), context()),
            task=task or TinySegmenter(4),
        )
        for name, weight in made.named_parameters():
            if name.endswith("temperature"):
                nn.init.uniform_(weight, 0.5, 1.5)
    return made


def trainer(
    parts: FusionSystem, data: Any = None, *, options: dict[str, Any] | None = None, **settings: Any
) -> tuple[Trainer, MetaLearning]:
    """A trainer of the strategy with these options, set up; `settings` are of the trainer or of its section."""
    strategy = MetaLearning(MetaConfig.model_validate({"rounds": 2, **(options or {})}), context())
    own = {key: settings.pop(key) for key in ("folder", "streams", "seed", "progress") if key in settings}
    section = TrainSection.model_validate({"strategy": {"use": "refusion.meta"}, "epochs": 2, **settings})
    return Trainer(parts, strategy, data or Scenes(), section, **own), strategy
