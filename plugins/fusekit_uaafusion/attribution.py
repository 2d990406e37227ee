"""UAAFusion's attribution, as the paper tells it: paths, regions, what the backbone hears, weights, the proposer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from fusekit.errors import UsageError
from fusekit.interfaces import (
    AttributionPath,
    BuildContext,
    Guidance,
    GuidanceMaker,
    LossProposal,
    LossProposer,
    Pathway,
    RegionAttribution,
    SegmentationNetwork,
    Sources,
    TaskNetwork,
    undisturbed,
)
from fusekit_uaafusion.config import (
    AttributionConfig,
    AttributionGuidanceConfig,
    StraightPathConfig,
    UnfoldingPathConfig,
)

EPSILON = 1e-8

# Paths --------------------------------------------------------------------------------------------------


class StraightPath(Pathway):
    """x_k = I · k / K for k = 1..K, each with the increment I / K.

    The right-hand Riemann sum of integrated gradients (Sundararajan et al., ICML 2017) with a black
    baseline; the path of UAAFusion's released code.
    """

    Config = StraightPathConfig
    config: StraightPathConfig

    def path(self, sources: Sources, index: int) -> AttributionPath:
        source = sources[index]
        steps = self.config.steps
        share = torch.arange(1, steps + 1, device=source.device, dtype=source.dtype) / steps
        points = source[None] * share[:, None, None, None, None]
        return AttributionPath(points, (source / steps).expand_as(points))


class UnfoldingPath(Pathway):
    """f_k = f_{k-1} + τ (I - f_{k-1}), from f_0, the mean of the sources, for k = 1..K.

    Our reading of UAAFusion's pathway function (arXiv 2502.01467): the baseline is not black but f_0, where
    the unfolding starts, and the path follows the gradient steps of the data term towards the source, whose
    minimiser is the source. The last step goes all the way, so that the increments sum to I - f_0 and the
    attributions to s(I) - s(f_0), up to the discretisation. The attribution along the actual iterates of a
    forward pass is the attention of the stage; weights are wanted before there are any.
    """

    Config = UnfoldingPathConfig
    config: UnfoldingPathConfig

    def path(self, sources: Sources, index: int) -> AttributionPath:
        start, source = torch.stack(sources).mean(dim=0), sources[index]
        left = [(1.0 - self.config.step_length) ** k for k in range(self.config.steps)] + [0.0]
        iterates = torch.stack([source + share * (start - source) for share in left])
        return AttributionPath(iterates[1:], iterates[1:] - iterates[:-1])


# Regions ------------------------------------------------------------------------------------------------


def region_attribution(
    task: TaskNetwork,
    paths: Sequence[AttributionPath],
    regions: Tensor,
    *,
    scope: Literal["image", "batch"] = "image",
    megapixels: float = 1.0,
) -> RegionAttribution:
    """Attributes the score of every class present to the region of that class, source by source.

    For the region R_c of class c: s_c is the mean over R_c of the network's output channel c; the
    contribution of R_c is the mean over its pixels of Σ_k ∂s_c/∂x(x_k) · Δ_k along the source's path, then
    relu (UAAFusion, arXiv 2502.01467, attribution of regions; Δ_k = I / K on the straight path).

    All sources, path points and images go through the network in one batch. The scores of different images
    and points depend on different inputs, so the gradient of their sum holds each one's gradient: one
    backward serves them all, and it may serve another class in every image. So there are as many backwards
    as the richest image has classes, however many the batch has.

    Args:
        task: Segmentation network in evaluation mode; output (B, K, H, W).
        paths: One path per source, points (P, B, C, H, W).
        regions: Class of every pixel, (B, H, W) int64; values outside 0..K-1 belong to no region.
        scope: ``"image"``: means over each image's own region; ``"batch"``: over the class's pixels in the
            whole batch, as the authors' code does, so that an image's weights depend on its neighbours.
        megapixels: Most pixels pushed through the network at once, in millions; bounds the memory.

    Returns:
        Scores (B, N, K) with the regions.
    """
    count, steps = len(paths), paths[0].points.shape[0]
    batch = regions.shape[0]
    # (N, P, B, C, H, W) → one long batch, cut into chunks that end between path points.
    points = torch.cat([path.points for path in paths])
    increments = torch.cat([path.increments for path in paths])
    per_chunk = max(1, int(megapixels * 1e6 / regions.numel()))
    contributions: list[Tensor] = []
    for x, dx in zip(points.split(per_chunk), increments.split(per_chunk), strict=True):
        contributions.append(_contributions(task, x, dx, regions, scope))
    by_point = torch.cat(contributions)  # (N·P, B, K)
    scores = by_point.view(count, steps, batch, -1).sum(dim=1).relu()
    return RegionAttribution(scores.permute(1, 0, 2).contiguous(), regions)


def _contributions(task: TaskNetwork, points: Tensor, increments: Tensor, regions: Tensor, scope: str) -> Tensor:
    """Signed contribution of every region at every path point, (P, B, K)."""
    steps, batch = points.shape[:2]
    images = torch.arange(batch, device=points.device)
    with torch.enable_grad():
        x = points.flatten(0, 1).detach().requires_grad_()
        output = task(x)
        output = output.view(steps, batch, *output.shape[1:])  # (P, B, K, H, W)
        count = output.shape[2]
        result = points.new_zeros(steps, batch, count)
        sizes = torch.stack([(regions == c).sum(dim=(1, 2)) for c in range(count)], dim=1)  # (B, K)
        rounds = _rounds(sizes)
        for number, classes in enumerate(rounds):
            # Class `classes[b]` of image b; an image whose classes are all done contributes nothing.
            region = ((regions == classes[:, None, None]) & (classes >= 0)[:, None, None]).to(points.dtype)
            share = region / _pixels(sizes, classes, scope)
            score = (output[:, images, classes.clamp_min(0)] * share).sum()
            (gradient,) = torch.autograd.grad(score, x, retain_graph=number + 1 < len(rounds))
            flow = (gradient.view_as(points) * increments).sum(dim=2)  # over channels → (P, B, H, W)
            contribution = (flow * share).sum(dim=(2, 3)).detach()  # (P, B)
            result.scatter_add_(2, classes.clamp_min(0).expand(steps, -1)[..., None], contribution[..., None])
    if scope == "batch":  # a class has one region in the whole batch: one value for all images that have it
        result = result.sum(dim=1, keepdim=True) * (sizes > 0)
    return result


def _rounds(sizes: Tensor) -> list[Tensor]:
    """In round r the r-th class that each image has, (B,); -1 where it has no more."""
    present = [row.nonzero()[:, 0].tolist() for row in sizes]
    most = max((len(classes) for classes in present), default=0)
    return [torch.tensor([c[r] if r < len(c) else -1 for c in present], device=sizes.device) for r in range(most)]


def _pixels(sizes: Tensor, classes: Tensor, scope: str) -> Tensor:
    """Pixels of each image's current region, (B, 1, 1): its own, or the class's in the whole batch."""
    counted = sizes if scope == "image" else sizes.sum(dim=0, keepdim=True).expand_as(sizes)
    return counted.gather(1, classes.clamp_min(0)[:, None]).clamp_min(1)[..., None]


# Guidance -----------------------------------------------------------------------------------------------


class TaskGuidance(Guidance):
    """What a segmentation network says about the sources of one batch.

    Args:
        task: The network; left as it is found.
        sources: N images, each (B, C, H, W) in [0, 1].
        labels: Label maps (B, H, W) int64, which then define the regions; None takes the network's own
            prediction on the mean of the sources.
        pathway: Along which images the sources are attributed; a straight line from zero when None.
        scope: Class means over each image, or over the whole batch as UAAFusion's released code does.
        megapixels: Most pixels pushed through the network at once for the attribution, in millions.
    """

    def __init__(
        self,
        task: SegmentationNetwork,
        sources: Sources,
        labels: Tensor | None = None,
        *,
        pathway: Pathway | None = None,
        scope: Literal["image", "batch"] = "image",
        megapixels: float = 1.0,
    ) -> None:
        self.task = task
        self.sources = tuple(source.detach() for source in sources)
        self.labels = labels
        self.pathway = pathway or StraightPath()
        self.scope = scope
        self.megapixels = megapixels
        self._start_output: Tensor | None = None
        self._attribution: RegionAttribution | None = None

    def attribution(self) -> RegionAttribution:
        """Region attribution of each source; computed on the first call."""
        if self._attribution is None:
            regions = self.labels if self.labels is not None else self._output_on_start().argmax(dim=1)
            with undisturbed(self.task):
                self._attribution = region_attribution(
                    self.task,
                    self.pathway.paths(self.sources),
                    regions,
                    scope=self.scope,
                    megapixels=self.megapixels,
                )
        return self._attribution

    def task_gradient(self, image: Tensor) -> Tensor:
        """∂ mean(mask · seg(f)) / ∂f, the mean taken per image (over the whole batch in scope ``batch``)."""
        mask = self._mask()
        with undisturbed(self.task), torch.enable_grad():
            f = image.detach().requires_grad_()
            weighted = mask * self.task(f)
            score = weighted.mean() if self.scope == "batch" else weighted.mean(dim=(1, 2, 3)).sum()
            (gradient,) = torch.autograd.grad(score, f)
        return gradient

    def _mask(self) -> Tensor:
        """One-hot label (B, K, H, W), or the network's own output on f_0."""
        if self.labels is None:
            return self._output_on_start()
        classes = torch.arange(len(self.task.classes), device=self.labels.device)
        return (self.labels[:, None] == classes[None, :, None, None]).to(self.sources[0].dtype)

    def _output_on_start(self) -> Tensor:
        """The network's output on f_0, the mean of the sources; computed once."""
        if self._start_output is None:
            with undisturbed(self.task), torch.no_grad():
                self._start_output = self.task(torch.stack(self.sources).mean(dim=0))
        return self._start_output


class AttributionGuidance(GuidanceMaker):
    """Region attributions along a path, and the gradient of the task's score, by a network that segments.

    Args:
        config: Its options.
        context: Builds the path that they name.
        pathway: The path itself, for a guidance that is made by hand.
    """

    Config = AttributionGuidanceConfig
    config: AttributionGuidanceConfig

    def __init__(
        self,
        config: AttributionGuidanceConfig | None = None,
        context: BuildContext | None = None,
        *,
        pathway: Pathway | None = None,
    ) -> None:
        super().__init__(config, context)
        self.pathway = pathway
        if pathway is None and self.config.pathway is not None:
            self.pathway = self.context.build("pathway", self.config.pathway)

    def of(self, task: TaskNetwork | None, sources: Sources, labels: Tensor | None = None) -> TaskGuidance:
        """What the network says about a batch.

        Raises:
            UsageError: There is no task network, or one that does not segment.
        """
        if not isinstance(task, SegmentationNetwork):
            found = f"a {type(task).__name__}" if task is not None else "none"
            raise UsageError(
                f"uaafusion.attribution_guidance attributes to the regions of a segmentation network; found {found}",
                hint="choose a task network that segments (a SegmentationNetwork), or another guidance",
            )
        scope, megapixels = self.config.scope, self.config.megapixels
        return TaskGuidance(task, sources, labels, pathway=self.pathway, scope=scope, megapixels=megapixels)


# Weights ------------------------------------------------------------------------------------------------


def attribution_weights(guidance: Guidance, epsilon: float = EPSILON) -> Tensor:
    """w_i = (A_i + ε) / Σ_k (A_k + ε), (B, N, H, W); equal where no region contributes."""
    attribution = guidance.attribution().total() + epsilon
    return attribution / attribution.sum(dim=1, keepdim=True)


class AttributionProposer(LossProposer):
    """Proposes w_i = (A_i + ε) / Σ_k (A_k + ε): a source counts where its regions help the task.

    Has no weights to learn; the task network behind the guidance decides.
    """

    Config = AttributionConfig
    config: AttributionConfig
    uses_guidance = True

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> LossProposal:
        """Weights (B, N, H, W) of a batch.

        Raises:
            UsageError: There is no guidance: the model has none.
        """
        if guidance is None:
            raise UsageError(
                "uaafusion.attribution proposes from what a guidance attributes to regions, and this model has none",
                hint="give the model a guidance, such as uaafusion.attribution_guidance, or a proposer that asks none",
            )
        return LossProposal(attribution_weights(guidance, self.config.epsilon))
