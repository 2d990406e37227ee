"""Ten steps of every training algorithm, on small networks in double precision, and what their losses were.

``loss_curves.json`` beside this file holds the losses as they were recorded. To record them anew::

    python -m tests.golden.curves

That is right only where training is *meant* to give other numbers: another loss, another order of updates, another
default. Say so in the commit. A change that should not touch the numbers and turns the test red has a fault.

Nothing here depends on random numbers of torch, whose streams may change with its version, or on the renderer of
scenes: images, labels and initial weights come from numpy's `RandomState`, whose streams are frozen. The one
exception is ``termsearch``, which draws its candidates with `torch.rand`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fusekit.interfaces import Batch, BuildContext, ComponentRef, Strategy
from fusekit.model.assembly import Builder
from fusekit.model.system import FusionSystem
from fusekit.recipe.schema import TrainSection
from fusekit.training.trainer import Trainer
from fusekit_refusion.config import MetaConfig, NetworkConfig, ProposerConfig, ReconstructionConfig
from fusekit_refusion.meta import MetaLearning
from fusekit_refusion.network import FusionNetwork
from fusekit_refusion.proposer import LossProposalModule
from fusekit_refusion.reconstruction import ReconstructionModule
from fusekit_tasks.config import SupervisedConfig
from fusekit_tasks.supervised import SupervisedTask
from fusekit_uaafusion.attribution import AttributionGuidance, AttributionProposer
from fusekit_uaafusion.config import JointConfig, StageConfig, UnfoldingConfig
from fusekit_uaafusion.joint import JointTraining
from fusekit_uaafusion.stage import AttributionStage
from fusekit_uaafusion.unfolding import UnfoldingBackbone
from tests.networks import ROLES, TinySegmenter, class_table
from tests.paths import REPOSITORY

FILE = Path(__file__).with_name("loss_curves.json")
DIAGNOSTIC = "one-hot share"  # logged beside the losses, but not one of them
STEPS, SIZE, CLASSES = 10, 16, 4

Curve = list[dict[str, float]]
"""The losses of each step."""


class NumberedBatches:
    """Batches of two scenes: smooth waves with a label map of blocks that the brightness follows, and noise."""

    batches_per_epoch = 3

    def batch(self, stream: str, epoch: int, index: int) -> Batch:
        random = np.random.RandomState(1000 * sum(map(ord, stream)) + 10 * epoch + index)
        labels = random.randint(0, CLASSES, (2, SIZE // 4, SIZE // 4)).repeat(4, axis=1).repeat(4, axis=2)
        y, x = np.mgrid[:SIZE, :SIZE] / SIZE
        waves = 0.5 + 0.3 * np.sin(2 * np.pi * (2 * x + y + random.rand(2, 1, 1)))
        shades = labels / (CLASSES - 1.0)
        noise = 0.1 * random.rand(2, 2, SIZE, SIZE)
        first, second = 0.6 * shades + 0.3 * waves + noise[0], 0.8 * waves * (1 - 0.5 * shades) + noise[1]
        sources = tuple(torch.from_numpy(source)[:, None] for source in (first, second))
        return Batch(sources, torch.from_numpy(labels.astype(np.int64)), (f"{stream}-{epoch}-{index}",) * 2)


def with_known_weights(system: FusionSystem) -> FusionSystem:
    """The system in double precision, each weight drawn by numpy around where its kind usually starts."""
    random = np.random.RandomState(5)
    for weight in system.double().parameters():
        draw = torch.from_numpy(random.uniform(-1.0, 1.0, tuple(weight.shape)))
        start = weight.detach().flatten()[0]
        with torch.no_grad():
            if (bool((weight == start).all()) and weight.numel() != 1) or weight.ndim == 0:
                weight.copy_(start * (1 + 0.2 * draw) + 0.05 * draw)  # ones of a norm, zeros of its bias
            else:
                fan = weight[0].numel() if weight.ndim > 1 else 25
                weight.copy_(draw / fan**0.5)
    return system


def joint(**options: Any) -> tuple[FusionSystem, Strategy]:
    context = BuildContext(
        roles=ROLES, classes=class_table(CLASSES), builder=lambda kind, ref: AttributionStage(StageConfig(channels=2))
    )
    system = FusionSystem(
        UnfoldingBackbone(UnfoldingConfig(stages=2, channels=2), context),
        proposer=AttributionProposer(),
        guidance=AttributionGuidance(),
        task=TinySegmenter(CLASSES),
        classes=class_table(CLASSES),
    )
    return system, JointTraining(JointConfig(**options), Builder(ROLES, None).context)


def meta(objective: str, **options: Any) -> tuple[FusionSystem, Strategy]:
    size = {"channels": 4, "heads": 2, "blocks": 1, "expansion": 1}
    context = Builder(ROLES, None).context
    system = FusionSystem(
        FusionNetwork(NetworkConfig(**size), context),
        proposer=LossProposalModule(ProposerConfig(**size), context),
        reconstruction=ReconstructionModule(ReconstructionConfig(**size), context),
        task=TinySegmenter(CLASSES),
        guidance=AttributionGuidance(),
        classes=class_table(CLASSES),
    )
    config = MetaConfig.model_validate({"objective": ComponentRef(use=objective), "rounds": 2, **options})
    return system, MetaLearning(config, context)


def refusion(**options: Any) -> tuple[FusionSystem, Strategy]:
    return meta("refusion.sources", **{"inner_steps": 2, **options})


def tdfusion(**options: Any) -> tuple[FusionSystem, Strategy]:
    terms = [{"use": "losses.intensity"}, {"use": "losses.gradient", "params": {"form": "signed"}}]
    switches = {"outer_rule": "normalised", "evaluator_batches": "own", "loss": terms}
    return meta("refusion.task", **{**switches, **options})


def supervised(**options: Any) -> tuple[FusionSystem, Strategy]:
    system, _ = meta("refusion.task")
    return system, SupervisedTask(SupervisedConfig(**options), BuildContext())


def termsearch(**options: Any) -> tuple[FusionSystem, Strategy]:
    """The example plugin; one generation, because what breeds later ones draws by platform."""
    example = str(REPOSITORY / "plugins" / "examples" / "fusekit-termsearch")
    if example not in sys.path:
        sys.path.append(example)
    from fusekit_termsearch.config import EvolutionConfig
    from fusekit_termsearch.evolution import Evolution
    from fusekit_termsearch.mixture import Mixture

    system, _ = meta("refusion.sources")
    system.proposer = Mixture()
    config = EvolutionConfig(**{"population": 6, "generations": 1, "trial_steps": 1, "trial_rate": 0.3, **options})
    return system, Evolution(config, Builder(ROLES, None).context)


CASES: dict[str, Callable[..., tuple[FusionSystem, Strategy]]] = {
    "uaafusion.joint": joint,
    "refusion.meta, sources": refusion,
    "refusion.meta, task": tdfusion,
    "tasks.supervised": supervised,
    "termsearch.evolution": termsearch,
}


def curve(case: str, settings: dict[str, Any] | None = None, **options: Any) -> Curve:
    """Losses of ten steps of a case.

    Args:
        case: Which of `CASES`.
        settings: Changes of the phase's settings.
        **options: Changes of the strategy's options.
    """
    losses: Curve = []
    system, strategy = CASES[case](**options)
    section = TrainSection.model_validate(
        {
            "strategy": {"use": case.partition(",")[0]},
            "epochs": STEPS,
            "max_steps": STEPS,
            "optimiser": {"lr": 1e-2},
            **(settings or {}),
        }
    )
    trainer = Trainer(
        with_known_weights(system),
        strategy,
        NumberedBatches(),
        section,
        seed=3,
        progress=lambda phase, done, total, named: losses.append({k: v for k, v in named.items() if k != DIAGNOSTIC}),
    )
    trainer.fit()
    return losses


def recorded() -> dict[str, Curve]:
    """The curves of the file."""
    found: dict[str, Curve] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def record() -> None:
    """Writes the file anew."""
    FILE.write_text(json.dumps({case: curve(case) for case in CASES}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record()
