"""Does attribution help? A factorial of UAAFusion's parts, measured by a frozen segmentation network.

Trains a small unfolding network with every combination of

- weights in the fusion loss: attribution as in the paper; attribution with the brightest source in unlabelled pixels
  (ours); attribution with the sources exchanged at random in every region (the same weights in the wrong places);
  equal; brightest;
- task weight: 0 or 0.1 (the segmentation loss on the fused image);
- attention: on or off

on the same scenes with the same schedule, and measures the mean IoU of the segmentation of the fused test images. The
segmentation network is frozen: the one whose attributions are used, and for measuring another one if it is given. So
the attributions of whole training scenes are computed once, from their labels. Only the loss uses them: the gradient
step of the backbone has equal weights everywhere, so that the three factors are separate.

Every finished training is a line in the results file, so an interrupted benchmark resumes. Differences have 95 %
intervals of a paired bootstrap over test images; they contain the choice of test images, and the mean over seeds.

Run: python benchmarks/attribution_helps.py --segmenter FILE [--data FOLDER] [--evaluator FILE] [--results FILE]

FOLDER is MSRS with stem lists as in recipes/segmenter_msrs.yaml; without it, street scenes are rendered.
Results: docs/papers/attribution-helps.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fusekit.data import luminance
from fusekit.data.training_data import TrainingData
from fusekit.evaluation.confusion import Confusion
from fusekit.fusing.engine import Engine
from fusekit.fusing.scenes import TensorScene
from fusekit.interfaces import (
    Batch,
    Guidance,
    LossProposal,
    LossTerms,
    RegionAttribution,
    SegmentationNetwork,
    Sources,
    StepPlan,
    StepRecord,
    Strategy,
    TrainingContext,
)
from fusekit.interfaces.config import ComponentRef
from fusekit.interfaces.dataset import FusionDataset
from fusekit.model.assembly import Builder
from fusekit.model.model_file import load_system
from fusekit.model.parts import freeze
from fusekit.model.system import FusionSystem
from fusekit.recipe.fuse_options import FuseOptions
from fusekit.recipe.schema import TrainSection
from fusekit.training.fusion_loss import FusionLoss
from fusekit.training.trainer import Trainer
from fusekit_baselines.proposals import BrightestProposer, EqualProposer
from fusekit_datasets.config import MSRS_TABLE, MsrsConfig
from fusekit_datasets.datasets import MsrsDataset
from fusekit_scenes.config import StreetsConfig
from fusekit_scenes.streets import Streets
from fusekit_uaafusion.attribution import (
    AttributionGuidance,
    StraightPath,
    TaskGuidance,
    attribution_weights,
    with_brightest,
    with_floor,
)
from fusekit_uaafusion.config import StraightPathConfig, UnfoldingConfig
from fusekit_uaafusion.unfolding import UnfoldingBackbone

Split = Literal["train", "test"]
ROLES = ("infrared", "visible")
WEIGHTS = ("attribution", "attribution, brightest elsewhere", "shuffled", "equal", "brightest")
CHANNELS, STAGES, POINTS, FLOOR = 16, 2, 2, 0.001
TERMS = [ComponentRef(use="losses.intensity"), ComponentRef(use="losses.gradient")]  # the paper's


@dataclass(frozen=True)
class Cell:
    """One combination of the factorial, with a seed."""

    weights: str
    task: float
    attention: bool
    seed: int

    @property
    def name(self) -> str:
        """Name in the results file."""
        return f"{self.weights} | task {self.task:g} | attention {'on' if self.attention else 'off'} | {self.seed}"


class Known(Guidance):
    """A guidance whose attribution is known, for the weights that follow from it."""

    def __init__(self, attribution: RegionAttribution) -> None:
        self.known = attribution

    def attribution(self) -> RegionAttribution:
        return self.known

    def task_gradient(self, image: Tensor) -> Tensor:
        return torch.zeros_like(image)


class AttentionOnly(TaskGuidance):
    """A guidance with task gradients, for the attention, but without attributions: equal weights everywhere."""

    def attribution(self) -> RegionAttribution:
        image = self.sources[0]
        nothing = torch.zeros(len(image), len(self.sources), 1).to(image)
        return RegionAttribution(nothing, torch.zeros_like(image[:, 0], dtype=torch.int64))


class AttentionGuidance(AttributionGuidance):
    """Makes guidances for the attention only."""

    def of(self, task: object, sources: Sources, labels: Tensor | None = None) -> TaskGuidance:
        assert isinstance(task, SegmentationNetwork)
        return AttentionOnly(task, sources, labels)


def loss_weights(kind: str, scores: Tensor, sources: Sources, labels: Tensor) -> Tensor:
    """Weights in the fusion loss, (B, N, H, W).

    Args:
        kind: One of `WEIGHTS`.
        scores: Attributions of the whole scenes, (B, N, K).
        sources: Crops of the scenes.
        labels: Crops of their label maps, (B, H, W).
    """
    if kind in ("equal", "brightest"):
        return (EqualProposer() if kind == "equal" else BrightestProposer())(sources).weights
    if kind == "shuffled":
        scores = scores.gather(1, torch.rand_like(scores).argsort(dim=1))
    attribution = RegionAttribution(scores, labels)
    if kind == "attribution, brightest elsewhere":
        background = MSRS_TABLE.unlabelled
        known = scores.clone()
        known[:, :, background] = 0.0
        attribution = with_floor(RegionAttribution(known, labels), FLOOR)
        attribution = with_brightest(attribution, sources, labels == background, MSRS_TABLE.names)
    return attribution_weights(Known(attribution))


class Factorial(Strategy):
    """L_f with the weights of a cell, and the share of L_seg that depends on the fused image."""

    def __init__(self, cell: Cell, scores: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.cell, self.scores = cell, scores
        self.fusion_loss = FusionLoss(TERMS, Builder(ROLES, MSRS_TABLE).context)

    def setup(self, training: TrainingContext) -> None:
        self.training = training
        self.update = training.updater("fusion", training.backbone)

    def step(self, plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
        (batch,) = batches
        assert batch.labels is not None
        self.training.backbone.train()
        scores = torch.stack([self.scores[name] for name in batch.ids])
        weights = loss_weights(self.cell.weights, scores, batch.sources, batch.labels)
        fused = self.training.backbone(batch.sources, guidance=self.training.guidance(batch)).image
        loss = self.fusion_loss(fused, batch.sources, LossProposal(weights))
        total = loss.total
        if self.cell.task:
            task = self.training.task
            assert task is not None
            # The paper's L_seg is the mean over the fused image and both sources, which are constant here.
            total = total + self.cell.task * task.loss(task(fused), batch.labels) / (1 + len(batch.sources))
        self.update(LossTerms(total, loss.terms))
        return StepRecord({"total": total.item()})


def attributions(segmenter: SegmentationNetwork, scenes: FusionDataset, cache: Path) -> dict[str, Tensor]:
    """Attribution scores of every whole scene, each (N, K), by name of the scene; from the cache if it exists."""
    if cache.exists():
        return load_file(cache)
    pathway = StraightPath(StraightPathConfig(steps=POINTS))
    found = {}
    for index, name in enumerate(scenes.ids):
        sample = scenes[index]
        assert sample.label is not None
        sources = tuple(luminance(image)[None] for image in sample.images)
        guidance = TaskGuidance(segmenter, sources, sample.label[None], pathway=pathway)
        found[name] = guidance.attribution().scores[0].contiguous()
    save_file(found, cache)
    return found


def train(
    cell: Cell, segmenter: SegmentationNetwork, scenes: FusionDataset, scores: Mapping[str, Tensor], steps: int
) -> FusionSystem:
    """Trains the fusion network of a cell; backbones of the same seed start with the same weights."""
    section = TrainSection.model_validate(
        {
            "strategy": {"use": "uaafusion.joint"},
            "epochs": 10**6,
            "max_steps": steps,
            "batch": 4,
            "sampling": {"mode": "crop", "size": 96},
            "optimiser": {"lr": 2e-3},
            "schedule": {"name": "cosine", "warmup": 10},
            "clip": 1,
            "ema": 0.95,
        }
    )
    stage = {"use": "uaafusion.stage", "params": {"channels": CHANNELS, "attention": cell.attention}}
    config = UnfoldingConfig.model_validate({"stages": STAGES, "channels": CHANNELS, "stage": stage})
    with torch.random.fork_rng():
        torch.manual_seed(cell.seed)
        backbone = UnfoldingBackbone(config, Builder(ROLES, MSRS_TABLE).context)
    guidance = AttentionGuidance() if cell.attention else None
    system = FusionSystem(backbone, task=segmenter, guidance=guidance, classes=MSRS_TABLE)
    data = TrainingData(scenes, section.sampling, section.batch, seed=cell.seed)
    Trainer(system, Factorial(cell, scores), data, section, seed=cell.seed).fit()
    return system.eval()


def dataset(split: Split, root: Path | None) -> FusionDataset:
    """The scenes of a split: MSRS below a folder, or rendered streets."""
    if root is None:
        return Streets(StreetsConfig(train=48, val=1, test=24, height=240, width=320), None, split, seed=0)
    lists = {"train_list": "splits/labelled_train.txt", "test_list": "splits/labelled_val.txt"}
    folders = {"train_folder": "test", "test_folder": "test", "labels": "label_pseudo", "label_kind": "pseudo"}
    return MsrsDataset(MsrsConfig.model_validate({**lists, **folders}), root, split)


def counts(images: list[Tensor], scenes: FusionDataset, evaluator: SegmentationNetwork) -> list[list[list[int]]]:
    """Confusion matrix of every test image, each (K, K)."""
    found = []
    for image, index in zip(images, range(len(scenes)), strict=True):
        label = scenes[index].label
        assert label is not None
        confusion = Confusion(len(MSRS_TABLE), evaluator.ignored)
        with torch.no_grad():
            confusion.add(evaluator.predict(evaluator(image[None]))[0], label)
        found.append(confusion.counts.tolist())
    return found


def references(scenes: FusionDataset) -> dict[str, list[Tensor]]:
    """Images without training: each source, mean and maximum, (1, H, W) each."""
    pairs = [[luminance(image) for image in scenes[index].images] for index in range(len(scenes))]
    return {
        "infrared only": [pair[0] for pair in pairs],
        "visible only": [pair[1] for pair in pairs],
        "mean": [(pair[0] + pair[1]) / 2 for pair in pairs],
        "maximum": [torch.maximum(*pair) for pair in pairs],
    }


def fused(system: FusionSystem, scenes: FusionDataset) -> list[Tensor]:
    """Fused luminance of all test scenes, (1, H, W) each."""
    engine = Engine(system, FuseOptions())
    results = [engine.fuse(TensorScene(scenes[index].images), measure=True).measured for index in range(len(scenes))]
    return [image for image in results if image is not None]


# Results ----------------------------------------------------------------------------------------------------


def read(path: Path) -> dict[str, np.ndarray]:
    """Confusion matrices (images, K, K) of all finished cells, by name."""
    if not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {line["name"]: np.array(line["counts"]) for line in lines}


def append(path: Path, name: str, matrices: list[list[list[int]]], seconds: float) -> None:
    """Adds a cell to the results file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"name": name, "seconds": round(seconds, 1), "counts": matrices}) + "\n")


def mean_iou(matrices: np.ndarray) -> float:
    """Mean IoU over the classes that occur in the labels of these images; matrices (images, K, K)."""
    total = matrices.sum(axis=0)
    hits, present = total.diagonal(), total.sum(axis=1)
    union = present + total.sum(axis=0) - hits
    return float((hits[present > 0] / union[present > 0]).mean())


def seeds_of(results: dict[str, np.ndarray], cell: str) -> dict[str, np.ndarray]:
    """Results of a combination, by seed."""
    return {name.rpartition(" | ")[2]: matrices for name, matrices in results.items() if name.startswith(f"{cell} | ")}


def combinations() -> list[tuple[str, str]]:
    """Task weight and attention of the four combinations, as in the names of cells."""
    return list(itertools.product(("task 0", "task 0.1"), ("attention on", "attention off")))


def bootstrap(results: dict[str, np.ndarray], one: str, other: str, draws: int = 2000) -> tuple[float, float, float]:
    """Difference of the mean IoU of two kinds of weights, over the combinations and seeds that both have.

    Returns:
        The mean and its 95 % interval.
    """
    pairs = []
    for task, attention in combinations():
        ours, theirs = (seeds_of(results, f"{weights} | {task} | {attention}") for weights in (one, other))
        pairs += [(ours[seed], theirs[seed]) for seed in ours.keys() & theirs.keys()]
    if not pairs:
        return float("nan"), float("nan"), float("nan")
    random = np.random.default_rng(0)
    images = len(pairs[0][0])

    def difference(chosen: np.ndarray) -> float:
        return float(np.mean([mean_iou(a[chosen]) - mean_iou(b[chosen]) for a, b in pairs]))

    drawn = [difference(random.integers(images, size=images)) for _ in range(draws)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return difference(np.arange(images)), float(low), float(high)


def report(results: dict[str, np.ndarray]) -> None:
    """Prints the tables."""
    print("\n| image | mean IoU |\n| --- | ---: |")
    for name in ("infrared only", "visible only", "mean", "maximum"):
        if name in results:
            print(f"| {name} | {mean_iou(results[name]):.3f} |")
    titles = [f"{task}, {attention}" for task, attention in combinations()]
    print(f"\n| weights | {' | '.join(titles)} |\n| --- |{' ---: |' * len(titles)}")
    for weights in WEIGHTS:
        row = []
        for task, attention in combinations():
            values = [mean_iou(m) for m in seeds_of(results, f"{weights} | {task} | {attention}").values()]
            spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
            row.append(f"{np.mean(values):.3f}{spread} ({len(values)})" if values else "-")
        print(f"| {weights} | {' | '.join(row)} |")
    print("\n| difference | mean IoU | 95 % interval |\n| --- | ---: | --- |")
    for one in WEIGHTS[:2]:
        for other in WEIGHTS[2:]:
            mean, low, high = bootstrap(results, one, other)
            print(f"| {one} − {other} | {mean:+.4f} | {low:+.4f} to {high:+.4f} |")


def segmenter_of(path: Path) -> SegmentationNetwork:
    """The frozen task network of a model file or run folder."""
    system, _ = load_system(path / "model.safetensors" if path.is_dir() else path)
    assert isinstance(system.task, SegmentationNetwork)
    freeze(system.task)
    return system.task.eval()


def main() -> None:
    """Trains and measures the cells that are missing, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segmenter", type=Path, required=True, help="model file of the frozen segmentation network")
    parser.add_argument("--evaluator", type=Path, help="another one for measuring; default: the same")
    parser.add_argument("--data", type=Path, help="MSRS with stem lists; default: rendered streets")
    parser.add_argument("--results", type=Path, default=Path("attribution_helps.jsonl"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--report", action="store_true", help="only print the tables of the results file")
    options = parser.parse_args()
    results = read(options.results)
    if not options.report:
        segmenter = segmenter_of(options.segmenter)
        evaluator = segmenter_of(options.evaluator) if options.evaluator else segmenter
        scenes, tested = dataset("train", options.data), dataset("test", options.data)
        scores = attributions(segmenter, scenes, options.results.with_suffix(".attributions.safetensors"))
        for name, images in references(tested).items() if "maximum" not in results else ():
            append(options.results, name, counts(images, tested, evaluator), 0.0)
        grid = itertools.product(range(options.seeds), WEIGHTS, (0.0, 0.1), (True, False))
        for cell in (Cell(weights, task, attention, seed) for seed, weights, task, attention in grid):
            if cell.name in results:
                continue
            began = time.monotonic()
            system = train(cell, segmenter, scenes, scores, options.steps)
            append(
                options.results, cell.name, counts(fused(system, tested), tested, evaluator), time.monotonic() - began
            )
            results = read(options.results)
            print(f"{cell.name}: {mean_iou(results[cell.name]):.4f} ({time.monotonic() - began:.0f} s)", flush=True)
        results = read(options.results)
    report(results)


if __name__ == "__main__":
    main()
