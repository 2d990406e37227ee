"""Synthetic pairs in which one source is pure noise in a known region, and training of ReFusion on them.

A scene is a mosaic of blocks of three classes, each with its own grey value. In one half of the image, drawn per scene,
a source shows Gaussian noise around mid-grey instead. All images are synthetic and small enough for a CPU.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusekit.interfaces import (
    Batch,
    BuildContext,
    ClassTable,
    ComponentRef,
    Guidance,
    LossProposal,
    LossProposer,
    SegmentationNetwork,
    Sources,
)
from fusekit.model.assembly import Builder
from fusekit.model.system import FusionSystem
from fusekit.recipe.schema import TrainSection
from fusekit.training.trainer import Trainer
from fusekit_refusion.config import MetaConfig, NetworkConfig, ProposerConfig, ReconstructionConfig
from fusekit_refusion.meta import MetaLearning
from fusekit_refusion.network import FusionNetwork
from fusekit_refusion.proposer import LossProposalModule
from fusekit_refusion.reconstruction import ReconstructionModule

ROLES = ("a", "b")
CLASSES = ClassTable(("dark", "grey", "bright"), ((0, 0, 0), (1, 0, 0), (2, 0, 0)), 255, None)
SIZE, BLOCK, BATCH = 16, 4, 8
PLACE: dict[str, Any] = {"inner": "minimiser", "mixtures": "local", "order": "alternated"}
NETWORK = {"channels": 4, "heads": 2, "blocks": 1, "expansion": 1}


@dataclass(frozen=True)
class Setting:
    """Content of the pairs, and the objective that evaluates them.

    Args:
        objective: The outer loss.
        noisy: The source with the noise; ``either``: one half of a and the other half of b, drawn per scene.
        noise: Standard deviation of the noise.
        shared: Whether both sources show the same scene.
        warm_up: Steps with a frozen proposer.
        steps: Steps after that.
        place: Use the switches with which the proposer can learn a place: centred scores, `inner: minimiser`,
            `mixtures: local`, `order: alternated`.
    """

    objective: Literal["refusion.task", "refusion.sources"] = "refusion.task"
    noisy: Literal["a", "b", "either"] = "b"
    noise: float = 0.25
    shared: bool = True
    warm_up: int = 60
    steps: int = 120
    place: bool = False


def scenes(setting: Setting, count: int, seed: int) -> tuple[Batch, Tensor]:
    """Draws scenes.

    Returns:
        The batch, and a mask of the noise in each source, (B, 2, H, W).
    """
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.randint(3, (count, 2, SIZE // BLOCK, SIZE // BLOCK), generator=generator).float()
    if setting.shared:
        blocks[:, 1] = blocks[:, 0]
    classes = F.interpolate(blocks, scale_factor=BLOCK, mode="nearest")
    clean = 0.2 + 0.3 * classes + 0.02 * torch.randn(classes.shape, generator=generator)

    # One half of the image: upper or lower, left or right.
    first = torch.arange(SIZE) < SIZE // 2
    halves = torch.stack([first[:, None].expand(SIZE, SIZE), first.expand(SIZE, SIZE)])
    half = halves[torch.randint(2, (count,), generator=generator)]
    half = half ^ torch.randint(2, (count, 1, 1), generator=generator).bool()
    none = torch.zeros_like(half)
    where = torch.stack({"a": (half, none), "b": (none, half), "either": (half, ~half)}[setting.noisy], dim=1)

    noise = 0.5 + setting.noise * torch.randn(classes.shape, generator=generator)
    images = torch.where(where, noise, clean).clamp(0, 1)
    labels = classes[:, 0].long()
    if setting.noisy == "either":
        # Add each scene with its sources exchanged, so that both sources are equally good in every batch.
        images, where = torch.cat([images, images.flip(1)]), torch.cat([where, where.flip(1)])
        labels = torch.cat([labels, labels])
    return Batch((images[:, :1].contiguous(), images[:, 1:].contiguous()), labels, ()), where


class Scenes:
    """Training data of a setting: batches by stream, epoch and index."""

    batches_per_epoch = 8

    def __init__(self, setting: Setting, seed: int) -> None:
        self.setting, self.seed = setting, seed

    def batch(self, stream: str, epoch: int, index: int) -> Batch:
        """The batch at a position of a stream."""
        return scenes(self.setting, BATCH, zlib.crc32(f"{self.seed}/{stream}/{epoch}/{index}".encode()))[0]


class PixelSegmenter(SegmentationNetwork):
    """Segmenter of single pixels: it cannot reduce noise with neighbouring pixels. Twice differentiable."""

    second_order = True

    def __init__(self) -> None:
        super().__init__(None, BuildContext(roles=ROLES, classes=CLASSES))
        self.net = nn.Sequential(nn.Conv2d(1, 16, 1), nn.Tanh(), nn.Conv2d(16, len(CLASSES), 1))

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.net(4 * image - 2)
        return logits


class EqualWeights(LossProposer):
    """Proposer of constant equal weights. Its one parameter has no effect; the strategy requires a trainable one."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> LossProposal:
        half = torch.full_like(torch.cat(sources, dim=1), 0.5)
        return LossProposal(half + 0 * self.unused)


@dataclass(frozen=True)
class Measured:
    """Measurements of a trained system on held-out scenes.

    Args:
        outer: The objective's loss of the trained evaluator on the fused images.
        in_noise: Mean weight of the clean source where the other one is noise.
        elsewhere: Mean weight of the same source where both are clean; NaN if there are no such pixels.
        swing: Mean distance of a weight from one half.
        images: Sources, fused image and weight of source a of the first scene, each (H, W).
    """

    outer: float
    in_noise: float
    elsewhere: float
    swing: float
    images: tuple[Tensor, ...]


def measure(parts: FusionSystem, strategy: MetaLearning, setting: Setting) -> Measured:
    """Measures a system on 64 held-out scenes, the same for every seed."""
    batch, where = scenes(setting, 64, seed=99)
    evaluator = parts.task if setting.objective == "refusion.task" else parts.reconstruction
    assert evaluator is not None
    assert parts.proposer is not None
    parts.eval()
    with torch.no_grad():
        weights = parts.proposer(batch.sources).weights
        fused = parts.backbone(batch.sources).image
        outer = strategy.objective.loss(evaluator, fused, batch).total.item()
    clean = where.flip(1)  # the other source
    good = 1 if setting.noisy == "a" else 0
    return Measured(
        outer,
        weights[clean].mean().item(),
        weights[:, good][~where.any(dim=1)].mean().item(),
        (weights - 0.5).abs().mean().item(),
        (*(source[0, 0] for source in batch.sources), fused[0, 0], weights[0, 0]),
    )


def train(
    setting: Setting,
    seed: int,
    *,
    equal: bool = False,
    progress: Callable[[str, int, int, dict[str, float]], None] | None = None,
) -> tuple[Measured, Measured]:
    """Trains small networks with the real strategy and trainer.

    Args:
        setting: Scenes and evaluator.
        seed: Seed of initial weights and scenes.
        equal: Use fixed equal weights instead of the loss proposal module, with everything else the same.
        progress: Progress callback of the trainer.

    Returns:
        Measurements after the warm-up, and at the end.
    """
    context = Builder(ROLES, None).context
    proposer = ProposerConfig(**NETWORK, centred=setting.place)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        # The proposer comes last, so that the other networks start with the same weights in both cases.
        parts = FusionSystem(
            FusionNetwork(NetworkConfig(**NETWORK)),
            reconstruction=ReconstructionModule(ReconstructionConfig(**NETWORK), context),
            task=PixelSegmenter(),
            proposer=EqualWeights() if equal else LossProposalModule(proposer, context),
            roles=ROLES,
        )

    # No gradient term: it follows the strongest gradient of any source, here that of the noise, whatever the weights.
    config = MetaConfig(
        objective=ComponentRef(use=setting.objective),
        rounds=8,
        outer_rate=0.3,
        loss=[ComponentRef(use="losses.intensity")],
        **(PLACE if setting.place else {}),
    )
    data = Scenes(setting, seed)

    def phase(name: str, steps: int, options: dict[str, Any]) -> Measured:
        strategy = MetaLearning(config.model_copy(update=options), context)
        section = TrainSection.model_validate(
            {
                "strategy": {"use": "refusion.meta"},
                "epochs": steps,
                "max_steps": steps,
                "optimiser": {"lr": 5e-3},
                "clip": 1.0,
            }
        )
        Trainer(parts, strategy, data, section, phase=name, seed=seed, progress=progress).fit()
        return measure(parts, strategy, setting)

    # The proposer can only learn from a trained evaluator. Until then, an outer rate of almost 0 freezes it.
    before = phase("warm-up", setting.warm_up, {"rounds": 1, "outer_rate": 1e-9})
    return before, phase("train", setting.steps, {})
