"""ReFusion's training: meta-learning of the fusion loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from fusekit.interfaces import (
    Batch,
    BuildContext,
    FusionOutput,
    LossProposal,
    LossTerms,
    Objective,
    Sources,
    StepPlan,
    StepRecord,
    Strategy,
    TrainingContext,
    UpdateRule,
)
from fusekit.training.differentiable import Weights, differentiable_step, weights_of
from fusekit.training.fusion_loss import FusionLoss
from fusekit_refusion.config import MetaConfig


class MetaLearning(Strategy):
    """A loss proposal module learns the loss whose minimiser is best for the objective (arXiv 2312.07943, 2412.03240).

    Components: the fusion module θ_F, the loss proposal module θ_P, an objective, and the evaluator θ_J of the
    objective, which is the reconstruction module in ReFusion and the task network in TDFusion.

    An epoch consists of several rounds and one pass over the data. In each round the proposal module learns from the
    effect of a step with its loss on the fusion module. In the pass the fusion module is trained with the proposed
    loss.
    """

    Config = MetaConfig
    config: MetaConfig

    def __init__(self, config: MetaConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.objective: Objective = context.build("objective", config.objective)
        self.fusion_loss = FusionLoss(config.loss, context)

    def setup(self, training: TrainingContext) -> None:
        assert training.proposer is not None
        self.training = training
        self.backbone, self.proposer = training.backbone, training.proposer
        self.evaluator = self.objective.evaluator(training)
        self.update_backbone = training.updater("fusion", self.backbone)
        outer_rule: UpdateRule = normalise if self.config.outer_rule == "normalised" else "recipe"
        self.update_proposer = training.updater("proposer", (self.proposer, self.config.outer_rate), rule=outer_rule)
        self.evaluator_learns = any(weight.requires_grad for weight in self.evaluator.parameters())
        if self.evaluator_learns:
            self.update_evaluator = training.updater("evaluator", (self.evaluator, self.config.evaluator_rate))
            self.step_evaluator = training.updater("evaluator in a round", self.evaluator, rule="plain")

    def plan(self, batches: int) -> Sequence[StepPlan]:
        evaluator = ("evaluator",) if self.config.evaluator_batches == "own" else ()
        of_network = ("meta_test", *evaluator) if self.config.inner == "network" else ()
        one_round = StepPlan("round", ("meta_train", *of_network))
        one_batch = StepPlan("fusion", ("fusion", *evaluator))
        rounds, fusions = [one_round] * self.config.rounds, [one_batch] * batches
        return rounds + fusions if self.config.order == "block" else alternated(rounds, fusions)

    def step(self, plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
        self.backbone.train()
        self.proposer.train()
        shown = {
            stream: Shown.both_ways(batch) if self.config.exchange else Shown(batch, batch)
            for stream, batch in zip(plan.draws, batches, strict=True)
        }
        if plan.name == "round":
            meta_train = shown["meta_train"]
            return self.learn_loss(meta_train, shown.get("meta_test"), shown.get("evaluator", meta_train))
        return self.learn_fusion(shown["fusion"], shown.get("evaluator", shown["fusion"]))

    # Steps 1 and 2: a round of inner and outer update -----------------------------------------------------

    def learn_loss(self, meta_train: Shown, meta_test: Shown | None, for_evaluator: Shown) -> StepRecord:
        """Run a round: an inner update with the proposed loss, and the outer update of the loss proposal module."""
        with self.evaluator_restored():
            with self.training.autocast():
                proposal = self.proposer(meta_train.sources, guidance=self.training.guidance(meta_train.batch))
            if meta_test is not None:
                # Inner update: θ_F' = θ_F - η ∇ L_f(θ_F; w), which keeps its graph to θ_P through w.
                fused, inner, weights = self.step_of_network(meta_train, proposal)

                # The evaluator's own step: θ_J' = θ_J - η ∇ L_J, on images fused with θ_F.
                if self.evaluator_learns:
                    seen = fused if for_evaluator is meta_train else self.fused_only(for_evaluator.batch)
                    self.step_evaluator(self.evaluator_loss(seen, for_evaluator))
            else:
                # Inner update of ours: F' pixel by pixel instead of θ_F'; the evaluator makes no step.
                inner, improved = self.step_of_image(meta_train, proposal)

            # Outer update: θ_P learns from the evaluator's loss on other images, fused with θ_F'; or on F'.
            self.evaluator.eval()
            with self.training.autocast():
                if meta_test is not None:
                    improved = self.fuse(meta_test.batch, weights).image
                outer = self.objective.loss(self.evaluator, improved, (meta_test or meta_train).targets)
            self.update_proposer(LossTerms(outer.total, {"inner": inner, **outer.terms}))
        return StepRecord({"inner": inner.item(), "outer": outer.total.item()})

    def step_of_network(self, shown: Shown, proposal: LossProposal) -> tuple[Tensor, Tensor, Weights]:
        """The images before the step, the last step's loss, and the updated weights of the fusion module."""
        rate = self.config.inner_rate or self.update_backbone.lr  # η
        weights, images = weights_of(self.backbone), []
        for _ in range(self.config.inner_steps):
            with self.training.autocast():
                images.append(self.fuse(shown.batch, weights).image)
                loss = self.fusion_loss(images[-1], shown.sources, proposal).total
            weights = differentiable_step(weights, loss, rate)
        return images[0].detach(), loss, weights

    def step_of_image(self, shown: Shown, proposal: LossProposal) -> tuple[Tensor, Tensor]:
        """The intensity loss of the updated images, and these images F'.

        ``image``: ``F' = F - η ∂L/∂F`` with ``L = Σ_k (w_k (I_k - F))²``, summed over the pixels, so that a step does
        not depend on the size of the images. ``minimiser``: ``F' = argmin L = Σ_k w_k² I_k / Σ_k w_k²``, to which such
        steps converge.
        """
        sources, squares = torch.cat(shown.sources, dim=1), proposal.weights.square()  # (B, N, H, W)
        if self.config.inner == "minimiser":
            image = (squares * sources).sum(dim=1, keepdim=True) / squares.sum(dim=1, keepdim=True)
        else:
            image = self.fused_only(shown.batch)
            for _ in range(self.config.inner_steps):
                gradient = 2.0 * (squares * (image - sources)).sum(dim=1, keepdim=True)
                image = image - (self.config.inner_rate or 0.3) * gradient
        return (squares * (image - sources).square()).sum(dim=1).mean(), image

    @contextmanager
    def evaluator_restored(self) -> Iterator[None]:
        """Restore the evaluator's parameters and statistics after the ``with`` block, if it makes a step there."""
        if not self.config.restore_evaluator or self.config.inner != "network":
            yield
            return
        before = {name: value.clone() for name, value in self.evaluator.state_dict().items()}
        try:
            yield
        finally:
            self.evaluator.load_state_dict(before)

    # Step 3: fusion and evaluator -----------------------------------------------------------------------------

    def learn_fusion(self, shown: Shown, for_evaluator: Shown) -> StepRecord:
        """Train θ_F with the currently proposed loss, then θ_J on images fused anew; θ_P is frozen."""
        _, fusion = self.fused_with_loss(shown.batch)
        self.update_backbone(fusion)
        losses = {"fusion": fusion.total, **fusion.terms}

        if self.evaluator_learns:
            own = self.evaluator_loss(self.fused_only(for_evaluator.batch), for_evaluator)
            self.update_evaluator(own)
            losses |= own.terms
        return StepRecord({name: loss.item() for name, loss in losses.items()})

    def fused_with_loss(self, batch: Batch) -> tuple[Tensor, LossTerms]:
        """Fused images, and the currently proposed fusion loss."""
        with self.training.autocast():
            with torch.no_grad():
                proposal = self.proposer(batch.sources, guidance=self.training.guidance(batch))
            fused = self.fuse(batch).image
            return fused, self.fusion_loss(fused, batch.sources, proposal)

    # Validation -------------------------------------------------------------------------------------------

    def losses(self, batch: Batch) -> Mapping[str, float]:
        fused, fusion = self.fused_with_loss(batch)
        with self.training.autocast():
            evaluated = self.objective.loss(self.evaluator, fused, batch)
        losses = {"fusion": fusion.total, **fusion.terms, "evaluator": evaluated.total}
        return {name: loss.item() for name, loss in losses.items()}

    # Helpers ----------------------------------------------------------------------------------------------

    def fuse(self, batch: Batch, weights: Mapping[str, Tensor] | None = None) -> FusionOutput:
        """Fuse a batch, with the given weights instead of the module's own, if any."""
        guidance = self.training.guidance(batch) if self.backbone.uses_guidance else None
        with sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative; the math backend has
            output: FusionOutput = functional_call(
                self.backbone, dict(weights or {}), (batch.sources,), {"guidance": guidance}
            )
        return output

    def fused_only(self, batch: Batch) -> Tensor:
        """Fused images without a gradient graph."""
        with self.training.autocast(), torch.no_grad():
            return self.fuse(batch).image

    def evaluator_loss(self, fused: Tensor, shown: Shown) -> LossTerms:
        """The loss of the evaluator on given images, and on mixtures of their sources, for its own training."""
        self.evaluator.train()
        batch = shown.targets
        if self.config.mixtures != "none":
            mixed = mixture(batch.sources, self.config.mixtures)
            fused, batch = torch.cat([fused, mixed]), concatenated(batch, batch)
        with self.training.autocast():
            return self.objective.loss(self.evaluator, fused, batch)


@dataclass(frozen=True)
class Shown:
    """A batch as the networks see it.

    Attributes:
        batch: What is fused.
        targets: The same samples with the sources in the order of the roles, for the evaluator.
    """

    batch: Batch
    targets: Batch

    @property
    def sources(self) -> Sources:
        return self.batch.sources

    @classmethod
    def both_ways(cls, batch: Batch) -> Shown:
        """A batch followed by a copy with its sources in reverse order; the targets keep the order of the roles."""
        exchanged = replace(batch, sources=batch.sources[::-1])
        return cls(concatenated(batch, exchanged), concatenated(batch, batch))


def concatenated(first: Batch, second: Batch) -> Batch:
    """The samples of two batches."""
    sources = tuple(torch.cat(both) for both in zip(first.sources, second.sources, strict=True))
    labels = None
    if first.labels is not None and second.labels is not None:
        labels = torch.cat([first.labels, second.labels])
    return replace(first, sources=sources, labels=labels, ids=first.ids + second.ids)


def mixture(sources: Sources, kind: Literal["whole", "local"]) -> Tensor:
    """Σ_k λ_k I_k of every sample, (B, 1, H, W), with random shares λ that sum to 1.

    ``whole``: uniformly distributed over all such shares, the same all over the image. ``local``: a softmax of smooth
    random maps, most of which favour one source in places and the other elsewhere.
    """
    stacked = torch.stack(sources)
    if kind == "whole":
        shares = torch.empty(stacked.shape[:3], device=stacked.device).exponential_()[..., None, None]
        shares = shares / shares.sum(dim=0)
    else:
        side = int(torch.randint(2, 9, ()))  # places of a half to an eighth of the image
        maps = torch.randn(*stacked.shape[:3], side, side, device=stacked.device).flatten(0, 1)
        maps = F.interpolate(maps, size=stacked.shape[-2:], mode="bicubic", align_corners=False).view_as(stacked)
        shares = (4.0 * maps + torch.randn(*stacked.shape[:3], 1, 1, device=stacked.device)).softmax(dim=0)
    return (shares * stacked).sum(dim=0)


def alternated(rounds: Sequence[StepPlan], fusions: Sequence[StepPlan]) -> list[StepPlan]:
    """Both lists in one, each spread evenly."""
    places = [((i + 0.5) / len(steps), step) for steps in (rounds, fusions) for i, step in enumerate(steps)]
    return [step for _, step in sorted(places, key=lambda place: place[0])]


def normalise(gradients: Sequence[Tensor]) -> None:
    """TDFusion's update rule: divide the gradient by its largest absolute entry, unless it is zero everywhere.

    The largest change of a parameter in a plain step is then the learning rate.
    """
    largest = torch.stack([gradient.abs().amax() for gradient in gradients]).amax()
    if bool(largest > 0):
        for gradient in gradients:
            gradient.div_(largest)
