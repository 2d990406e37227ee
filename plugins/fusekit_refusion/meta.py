"""ReFusion's training: meta-learning of the fusion loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from fusekit.interfaces import (
    Batch,
    BuildContext,
    FusionOutput,
    LossTerms,
    Objective,
    StepPlan,
    StepRecord,
    Strategy,
    TrainingContext,
    UpdateRule,
)
from fusekit.training.differentiable import differentiable_step, weights_of
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
            self.update_evaluator = training.updater("evaluator", self.evaluator)
            self.step_evaluator = training.updater("evaluator in a round", self.evaluator, rule="plain")

    def plan(self, batches: int) -> Sequence[StepPlan]:
        evaluator = ("evaluator",) if self.config.evaluator_batches == "own" else ()
        one_round = StepPlan("round", ("meta_train", "meta_test", *evaluator))
        one_batch = StepPlan("fusion", ("fusion", *evaluator))
        return [one_round] * self.config.rounds + [one_batch] * batches

    def step(self, plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
        self.backbone.train()
        self.proposer.train()
        if plan.name == "round":
            meta_train, meta_test = batches[:2]
            return self.learn_loss(
                meta_train, meta_test, evaluator_batch=batches[2] if len(batches) > 2 else meta_train
            )
        return self.learn_fusion(batches[0], evaluator_batch=batches[-1])

    # Steps 1 and 2: a round of inner and outer update -----------------------------------------------------

    def learn_loss(self, meta_train: Batch, meta_test: Batch, evaluator_batch: Batch) -> StepRecord:
        """Run a round: the inner update of the fusion module, and the outer update of the loss proposal module."""
        rate = self.config.inner_rate or self.update_backbone.lr  # η
        with self.evaluator_restored():
            # Inner update: θ_F' = θ_F - η ∇ L_f(θ_F; w), which keeps its graph to θ_P through w.
            with self.training.autocast():
                proposal = self.proposer(meta_train.sources, guidance=self.training.guidance(meta_train))
            weights, images = weights_of(self.backbone), []
            for _ in range(self.config.inner_steps):
                with self.training.autocast():
                    images.append(self.fuse(meta_train, weights).image)
                    inner = self.fusion_loss(images[-1], meta_train.sources, proposal)
                weights = differentiable_step(weights, inner.total, rate)

            # The evaluator's own step: θ_J' = θ_J - η ∇ L_J, on images fused with θ_F.
            if self.evaluator_learns:
                seen = images[0].detach() if evaluator_batch is meta_train else self.fused_only(evaluator_batch)
                self.step_evaluator(self.evaluator_loss(seen, evaluator_batch))

            # Outer update: θ_P learns from the evaluator's loss on other images, fused with θ_F'.
            self.evaluator.eval()
            with self.training.autocast():
                outer = self.objective.loss(self.evaluator, self.fuse(meta_test, weights).image, meta_test)
            self.update_proposer(LossTerms(outer.total, {"inner": inner.total, **outer.terms}))
        return StepRecord({"inner": inner.total.item(), "outer": outer.total.item()})

    @contextmanager
    def evaluator_restored(self) -> Iterator[None]:
        """Restore the evaluator's parameters and statistics after the ``with`` block."""
        before = {name: value.clone() for name, value in self.evaluator.state_dict().items()}
        try:
            yield
        finally:
            if self.config.restore_evaluator:
                self.evaluator.load_state_dict(before)

    # Step 3: fusion and evaluator -----------------------------------------------------------------------------

    def learn_fusion(self, batch: Batch, evaluator_batch: Batch) -> StepRecord:
        """Train θ_F with the currently proposed loss, and θ_J on the fused image; θ_P is frozen."""
        fused, fusion = self.fused_with_loss(batch)
        self.update_backbone(fusion)
        losses = {"fusion": fusion.total, **fusion.terms}

        if self.evaluator_learns:
            seen = fused.detach() if evaluator_batch is batch else self.fused_only(evaluator_batch)
            own = self.evaluator_loss(seen, evaluator_batch)
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

    def evaluator_loss(self, fused: Tensor, batch: Batch) -> LossTerms:
        """The loss of the evaluator on given images, for its own training."""
        self.evaluator.train()
        with self.training.autocast():
            return self.objective.loss(self.evaluator, fused, batch)


def normalise(gradients: Sequence[Tensor]) -> None:
    """TDFusion's update rule: divide the gradient by its largest absolute entry, unless it is zero everywhere.

    The largest change of a parameter in a plain step is then the learning rate.
    """
    largest = torch.stack([gradient.abs().amax() for gradient in gradients]).amax()
    if bool(largest > 0):
        for gradient in gradients:
            gradient.div_(largest)
