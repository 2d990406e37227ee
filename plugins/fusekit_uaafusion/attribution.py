"""UAAFusion's attribution, in the order of the paper: paths, regions, guidance of the backbone, weights, proposer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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

    Our interpretation of UAAFusion's pathway function (arXiv 2502.01467): the baseline is not black but f_0, the start
    of the unfolding, and the path follows the gradient steps of the data term, whose minimiser is the source. The last
    step reaches the source, so that the increments sum to I - f_0 and the attributions to s(I) - s(f_0), up to the
    discretisation. The attribution along the actual iterates of a forward pass is the attention of the stage; the loss
    weights are needed before these iterates exist.
    """

    Config = UnfoldingPathConfig
    config: UnfoldingPathConfig

    def path(self, sources: Sources, index: int) -> AttributionPath:
        start, source = torch.stack(sources).mean(dim=0), sources[index]
        remaining = [(1.0 - self.config.step_length) ** k for k in range(self.config.steps)] + [0.0]
        iterates = torch.stack([source + share * (start - source) for share in remaining])
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
    """Attribute the score of every class in the image to the region of that class, for each source.

    For the region R_c of class c: s_c is the mean over R_c of the network's output channel c; the
    contribution of R_c is the mean over its pixels of Σ_k ∂s_c/∂x(x_k) · Δ_k along the source's path, then
    relu (UAAFusion, arXiv 2502.01467, attribution of regions; Δ_k = I / K on the straight path).

    All sources, path points and images are processed by the network in one batch. The scores of different images and
    points depend on different inputs, so the gradient of their sum contains the gradient of each: one backward pass
    is enough for all of them, with a different class in every image. The number of backward passes is therefore the
    largest number of classes in one image, regardless of the number of classes in the batch.

    Args:
        task: Segmentation network in evaluation mode; output (B, K, H, W).
        paths: One path per source, points (P, B, C, H, W).
        regions: Class of every pixel, (B, H, W) int64; values outside 0..K-1 belong to no region.
        scope: ``"image"``: means over the region in each image; ``"batch"``: means over the pixels of the class in the
            whole batch, as in the authors' code, so that the weights of an image depend on the rest of the batch.
        megapixels: Largest number of pixels processed by the network at once, in millions; limits the memory.

    Returns:
        Scores (B, N, K) with the regions.
    """
    count, steps = len(paths), paths[0].points.shape[0]
    batch = regions.shape[0]
    # (N, P, B, C, H, W) → one large batch, split into chunks between path points.
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
            # Class `classes[b]` of image b; an image without remaining classes contributes nothing.
            region = ((regions == classes[:, None, None]) & (classes >= 0)[:, None, None]).to(points.dtype)
            share = region / _pixels(sizes, classes, scope)
            score = (output[:, images, classes.clamp_min(0)] * share).sum()
            (gradient,) = torch.autograd.grad(score, x, retain_graph=number + 1 < len(rounds))
            flow = (gradient.view_as(points) * increments).sum(dim=2)  # over channels → (P, B, H, W)
            contribution = (flow * share).sum(dim=(2, 3)).detach()  # (P, B)
            result.scatter_add_(2, classes.clamp_min(0).expand(steps, -1)[..., None], contribution[..., None])
    if scope == "batch":  # a class has one region in the whole batch, so all images that contain it have one value
        result = result.sum(dim=1, keepdim=True) * (sizes > 0)
    return result


def _rounds(sizes: Tensor) -> list[Tensor]:
    """Classes of each round, (B,): in round r the r-th class of each image, or -1 if it has no more classes."""
    present = [row.nonzero()[:, 0].tolist() for row in sizes]
    most = max((len(classes) for classes in present), default=0)
    return [torch.tensor([c[r] if r < len(c) else -1 for c in present], device=sizes.device) for r in range(most)]


def _pixels(sizes: Tensor, classes: Tensor, scope: str) -> Tensor:
    """Number of pixels of each image's current region, (B, 1, 1), in the image or in the whole batch."""
    counted = sizes if scope == "image" else sizes.sum(dim=0, keepdim=True).expand_as(sizes)
    return counted.gather(1, classes.clamp_min(0)[:, None]).clamp_min(1)[..., None]


def with_floor(attribution: RegionAttribution, share: float) -> RegionAttribution:
    """The attribution with a share of the largest score of each image added to all scores of that image.

    The weights (A_i + ε) / Σ_k (A_k + ε) then have an ε relative to the scale of the scores: regions with much smaller
    scores have nearly equal weights. This is not part of the paper, whose ε is constant.
    """
    largest = attribution.scores.amax(dim=(1, 2), keepdim=True)
    return replace(attribution, scores=attribution.scores + share * largest)


def with_brightest(
    attribution: RegionAttribution, sources: Sources, where: Tensor, names: Sequence[str]
) -> RegionAttribution:
    """The attribution with one more region per source: the pixels of a mask at which this source is the brightest.

    In its region the source has a score of 1 and the others 0. This is not part of the paper.

    Args:
        attribution: Scores (B, N, K) of the other regions.
        sources: N images, each (B, C, H, W).
        where: Pixels that are divided among the sources, (B, H, W) bool.
        names: Names of the K regions.
    """
    brightness = torch.stack([source.mean(dim=1) for source in sources])  # (N, B, H, W)
    count, classes = len(sources), attribution.scores.shape[2]
    regions = torch.where(where, classes + brightness.argmax(dim=0), attribution.regions)
    own = torch.eye(count).to(attribution.scores).expand(attribution.scores.shape[0], -1, -1)
    scores = torch.cat([attribution.scores, own], dim=2)
    return RegionAttribution(scores, regions, (*names, *(f"source {k + 1} is the brightest" for k in range(count))))


# Guidance -----------------------------------------------------------------------------------------------


class TaskGuidance(Guidance):
    """Guidance by a segmentation network for the sources of one batch.

    Args:
        task: The network; it is not changed.
        sources: N images, each (B, C, H, W) in [0, 1].
        labels: Label maps (B, H, W) int64, which define the regions; if None, the regions are the network's prediction
            on the mean of the sources.
        pathway: Path along which the sources are attributed; a straight line from zero if None.
        scope: ``"image"``: class means over each image; ``"batch"``: over the whole batch as in UAAFusion's released
            code.
        megapixels: Largest number of pixels processed by the network at once for the attribution, in millions.
        unlabelled: What pixels of the unlabelled class are: a region as in the paper, no region, or regions in which
            the brightest source has the largest score.
        floor: Share of the largest score of each image that is added to all scores.
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
        unlabelled: Literal["region", "equal", "brightest"] = "region",
        floor: float = 0.0,
    ) -> None:
        self.task = task
        self.sources = tuple(source.detach() for source in sources)
        self.labels = labels
        self.pathway = pathway or StraightPath()
        self.scope = scope
        self.megapixels = megapixels
        self.unlabelled = unlabelled
        self.floor = floor
        self._start_output: Tensor | None = None
        self._attribution: RegionAttribution | None = None

    def attribution(self) -> RegionAttribution:
        """Region attribution of each source; computed on the first call."""
        if self._attribution is None:
            regions = self.labels if self.labels is not None else self._output_on_start().argmax(dim=1)
            background = None if self.unlabelled == "region" else self.task.classes.unlabelled
            attributed = regions if background is None else regions.masked_fill(regions == background, -1)
            with undisturbed(self.task):
                attribution = region_attribution(
                    self.task,
                    self.pathway.paths(self.sources),
                    attributed,
                    scope=self.scope,
                    megapixels=self.megapixels,
                )
            if self.floor:
                attribution = with_floor(attribution, self.floor)
            if self.unlabelled == "brightest" and background is not None:
                attribution = with_brightest(attribution, self.sources, regions == background, self.task.classes.names)
            self._attribution = attribution
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
    """Region attributions along a path, and gradients of the task's score, by a segmentation network.

    Args:
        config: Options of the guidance.
        context: Builds the pathway named in the options.
        pathway: The pathway itself, for a guidance that is built without a recipe.
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
        """Guidance by the task network for a batch.

        Raises:
            UsageError: There is no task network, or it is not a segmentation network.
        """
        if not isinstance(task, SegmentationNetwork):
            found = f"a {type(task).__name__}" if task is not None else "none"
            raise UsageError(
                f"uaafusion.attribution_guidance needs a segmentation network as the task network, found {found}",
                hint="choose a segmentation network (a SegmentationNetwork) as the task network, or another guidance",
            )
        options = self.config
        return TaskGuidance(
            task,
            sources,
            labels,
            pathway=self.pathway,
            scope=options.scope,
            megapixels=options.megapixels,
            unlabelled=options.unlabelled,
            floor=options.floor,
        )


# Weights ------------------------------------------------------------------------------------------------


def attribution_weights(guidance: Guidance, epsilon: float = EPSILON) -> Tensor:
    """w_i = (A_i + ε) / Σ_k (A_k + ε), (B, N, H, W); equal weights where no region contributes."""
    attribution = guidance.attribution().total() + epsilon
    return attribution / attribution.sum(dim=1, keepdim=True)


def one_hot_share(weights: Tensor, margin: float = 0.01) -> float:
    """Share of the pixels at which one source has all the weight, up to a margin.

    A large share means that the relu of the attribution, or noise above ε, decides between sources.

    Args:
        weights: (B, N, H, W), with sum 1 over N.
        margin: Largest sum of the other sources' weights.
    """
    return float((weights.amax(dim=1) >= 1.0 - margin).float().mean())


class AttributionProposer(LossProposer):
    """Proposes w_i = (A_i + ε) / Σ_k (A_k + ε): a source has a large weight where its regions help the task.

    It has no trainable parameters; the weights follow from the task network of the guidance.
    """

    Config = AttributionConfig
    config: AttributionConfig
    uses_guidance = True

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> LossProposal:
        """Loss weights (B, N, H, W) of a batch.

        Raises:
            UsageError: The model has no guidance.
        """
        if guidance is None:
            raise UsageError(
                "uaafusion.attribution needs a guidance with region attributions, and this model has no guidance",
                hint="add a guidance to the model, such as uaafusion.attribution_guidance, or choose a proposer that "
                "needs none",
            )
        return LossProposal(attribution_weights(guidance, self.config.epsilon))
