"""Training strategy: a genetic search of the loss once per epoch, then a pass with the best loss found."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from fusekit.interfaces import (
    Batch,
    BuildContext,
    ComponentRef,
    LossTerms,
    Metric,
    StepPlan,
    StepRecord,
    Strategy,
    TrainingContext,
)
from fusekit.training.fusion_loss import FusionLoss
from fusekit_termsearch.config import EvolutionConfig
from fusekit_termsearch.mixture import RULES, Mixture

LOWEST, HIGHEST, TOTAL = 1.0, 10.0, 10.0  # bounds of a gene, and the sum of the genes of a candidate


class Evolution(Strategy):
    """Genetic search of the shares of the proposer's rules and the weight of the gradient term, in a single process.

    The fitness of a candidate is a metric of images fused by a copy of the fusion network that took a few steps with
    the candidate's loss, on images that these steps did not use. Roulette selection, single-point crossover and random
    mutation follow DCEvo (arXiv 2503.17673), whose fitness is a formula of the losses instead of a metric.
    """

    Config = EvolutionConfig
    config: EvolutionConfig
    check_with = {  # for `fusekit plugins check`
        "params": {"population": 3, "generations": 2, "trial_steps": 1},
        "model": {"proposer": {"use": "termsearch.mixture"}},
        "changes": ("proposer",),
    }

    def __init__(self, config: EvolutionConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.metric: Metric = context.build("metric", config.metric)
        self.fusion_loss = FusionLoss(
            [ComponentRef(use=f"losses.{name}") for name in ("intensity", "gradient")], context
        )
        self.genes = torch.full((len(RULES) + 1,), TOTAL / (len(RULES) + 1))

    def setup(self, training: TrainingContext) -> None:
        if not isinstance(training.proposer, Mixture):
            raise ValueError("termsearch.evolution searches the shares of termsearch.mixture: use it as the proposer")
        self.training = training
        self.backbone, self.proposer = training.backbone, training.proposer
        self.update = training.updater("fusion", self.backbone)

    def plan(self, batches: int) -> Sequence[StepPlan]:
        return [StepPlan("search", ("trial", "evaluated")), *[StepPlan("fusion", ("fusion",))] * batches]

    def step(self, plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
        self.backbone.train()
        if plan.name == "search":
            trial, evaluated = batches
            fitness = self.search(trial, evaluated)
            shares = {f"gene {name}": float(gene) for name, gene in zip((*RULES, "gradient"), self.genes, strict=True)}
            return StepRecord({self.metric.name: fitness, **shares})
        fused = self.backbone(batches[0].sources, guidance=self.training.guidance(batches[0])).image
        loss = self.loss(fused, batches[0], self.genes)
        self.update(loss)
        return StepRecord({"fusion": loss.total.item(), **{n: t.item() for n, t in loss.terms.items()}})

    def search(self, trial: Batch, evaluated: Batch) -> float:
        """Replaces the genes by the best ones found and returns their fitness."""
        newcomers = [balanced(draw(len(self.genes))) for _ in range(self.config.population - 1)]
        population = [self.genes, *newcomers]
        fitness = [self.fitness(genes, trial, evaluated) for genes in population]
        for _ in range(self.config.generations - 1):
            best = max(range(len(population)), key=fitness.__getitem__)
            chances = torch.tensor(fitness).clamp_min(1e-6)
            children = [population[best]]  # the best candidate is always kept
            while len(children) < self.config.population:
                mother, father = (population[i] for i in torch.multinomial(chances, 2).tolist())
                children.append(balanced(self.mutated(crossed(mother, father))))
            fitness = [fitness[best], *(self.fitness(genes, trial, evaluated) for genes in children[1:])]
            population = children
        best = max(range(len(population)), key=fitness.__getitem__)
        self.genes = population[best]
        self.loss_of(self.genes)
        return fitness[best]

    def fitness(self, genes: Tensor, trial: Batch, evaluated: Batch) -> float:
        """Mean metric of images fused by a copy of the network that took its trial steps with these genes."""
        weights = {name: w for name, w in self.backbone.named_parameters() if w.requires_grad}
        for _ in range(self.config.trial_steps):
            loss = self.loss(self.fuse(weights, trial), trial, genes).total
            slopes = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
            weights = {
                name: weight if slope is None else (weight - self.config.trial_rate * slope).detach().requires_grad_()
                for (name, weight), slope in zip(weights.items(), slopes, strict=True)
            }
        with torch.no_grad():
            fused = levels(self.fuse(weights, evaluated))
        sources = [levels(source) for source in evaluated.sources]
        values = [self.metric(fused[i], [source[i] for source in sources]).value for i in range(len(fused))]
        value = sum(values) / len(values)
        return value if self.metric.higher_is_better else 1.0 / (1e-6 + value)

    def fuse(self, weights: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """Fused images of the backbone with the given weights instead of its own."""
        guidance = self.training.guidance(batch)
        image: Tensor = functional_call(self.backbone, dict(weights), (batch.sources,), {"guidance": guidance}).image
        return image

    def loss(self, fused: Tensor, batch: Batch, genes: Tensor) -> LossTerms:
        """Fusion loss defined by the genes."""
        gradient = self.loss_of(genes)
        proposal = self.proposer(batch.sources, guidance=self.training.guidance(batch))
        terms = self.fusion_loss(fused, batch.sources, proposal).terms
        return LossTerms(terms["intensity"] + gradient * terms["gradient"], terms)

    def loss_of(self, genes: Tensor) -> float:
        """Sets the shares of the proposer and returns the weight of the gradient term."""
        self.proposer.shares.copy_(genes[:-1])
        return float(genes[-1] / genes[:-1].sum())

    def mutated(self, genes: Tensor) -> Tensor:
        """Genes of which a random part is redrawn."""
        return torch.where(torch.rand(len(genes)) < self.config.mutation, draw(len(genes)), genes)

    def state_dict(self) -> dict[str, Any]:
        return {"genes": self.genes}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.genes = state["genes"]


def draw(count: int) -> Tensor:
    """Random genes."""
    return LOWEST + (HIGHEST - LOWEST) * torch.rand(count)


def crossed(mother: Tensor, father: Tensor) -> Tensor:
    """Single-point crossover: the mother's genes up to a random point, the father's from there."""
    point = int(torch.randint(1, len(mother), ()))
    return torch.cat([mother[:point], father[point:]])


def balanced(genes: Tensor) -> Tensor:
    """Genes clamped to their bounds, then scaled to sum to `TOTAL`."""
    genes = genes.clamp(LOWEST, HIGHEST)
    return genes * (TOTAL / genes.sum())


def levels(images: Tensor) -> Tensor:
    """Converts (B, 1, H, W) in [0, 1] to 8-bit levels (B, H, W), the input of metrics."""
    return (images[:, 0].detach().float().clamp(0, 1) * 255).round().to(torch.uint8).cpu()
