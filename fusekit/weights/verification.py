"""Verification: whether weights still give the results that are stored in their model file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fusekit.errors import DataError
from fusekit.evaluation.benchmark import Benchmark, Method
from fusekit.evaluation.grey import grey8
from fusekit.fusing.engine import Engine
from fusekit.fusing.scenes import TensorScene
from fusekit.interfaces.config import ComponentRef
from fusekit.interfaces.metric import Metric
from fusekit.interfaces.task import SegmentationNetwork
from fusekit.model.assembly import Builder
from fusekit.model.model_file import load_system
from fusekit.model.system import FusionSystem
from fusekit.plugin.registry import Registry, registry
from fusekit.weights.png_text import decode_png, encode_png
from fusekit.weights.release import Verification, require_release

LEVELS = 2.0
"""Largest accepted difference of a pixel of the fused image, in levels of 8 bits."""
RELATIVE, ABSOLUTE = 0.01, 0.002
"""Accepted difference of a metric: relative to its stored value, and absolute near zero."""
LABELS = 0.005
"""Largest accepted share of pixels whose predicted class differs."""


@dataclass(frozen=True)
class Results:
    """Results of a model for one pair.

    Attributes:
        fused: Fused luminance, (1 or 3, H, W) in [0, 1].
        metrics: Component name of each metric → its value.
        labels: Label map (H, W) that a segmentation network of the model predicts for the fused image, or None.
    """

    fused: Tensor
    metrics: dict[str, float]
    labels: Tensor | None


def results_of(
    system: FusionSystem, sources: Mapping[str, Tensor], metrics: list[str], components: Registry
) -> Results:
    """Fuses a pair on the CPU and measures the result.

    Args:
        system: The model.
        sources: Sources by role, each (1 or 3, H, W) in [0, 1].
        metrics: Component names of the metrics.
        components: Registry that provides the metrics.

    Raises:
        DataError: The fused image has values that are not finite.
        PluginError: A metric is not installed.
    """
    system = system.to("cpu").eval()
    images = [sources[role] for role in system.roles]
    fused = Engine(system).fuse(TensorScene(images), measure=True).measured
    assert fused is not None
    if not bool(torch.isfinite(fused).all()):
        raise DataError("the model gives values that are not finite for the pair on which weights are verified")
    builder = Builder(system.roles, system.classes, components)
    built: dict[str, Metric] = {name: builder.build("metric", ComponentRef(use=name)) for name in metrics}
    benchmark = Benchmark([Method("weights", is_model=True)], built)
    benchmark.add_scene("pair", images, None, [fused])
    values = {name: found[0] for name, found in benchmark.scores[0].values.items()}
    return Results(fused.cpu(), values, _labels(system, fused))


def _labels(system: FusionSystem, fused: Tensor) -> Tensor | None:
    task = system.task
    if not isinstance(task, SegmentationNetwork):
        return None
    with torch.no_grad():
        return task.predict(task(grey8(fused)[None, None].float() / 255.0))[0]


def record(
    system: FusionSystem, sources: Mapping[str, Tensor], metrics: list[str], components: Registry
) -> Verification:
    """The verification values of a model, for its model file; metrics that are undefined for the pair are left out."""
    found = results_of(system, sources, metrics, components)
    return Verification(
        sources={role: encode_png(image) for role, image in sources.items()},
        fused=encode_png(found.fused),
        metrics={name: value for name, value in found.metrics.items() if math.isfinite(value)},
        labels=encode_png(found.labels) if found.labels is not None else None,
    )


@dataclass(frozen=True)
class Verified:
    """Outcome of a verification.

    Attributes:
        metrics: Component name of each metric → its stored and its recomputed value.
        levels: Largest difference of a pixel of the fused image, in levels of 8 bits.
        labels: Share of pixels whose predicted class differs; None without a segmentation network.
        problems: One sentence for each result outside of its tolerance.
    """

    metrics: Mapping[str, tuple[float, float]]
    levels: float
    labels: float | None
    problems: tuple[str, ...]


def verify_file(path: Path, components: Registry | None = None) -> Verified:
    """Loads a model file and compares its results with the stored ones.

    Raises:
        DataError: The file is not a model file with verification values, or it is damaged.
        PluginError: A component or a metric is not installed.
    """
    known = components or registry()
    system, card = load_system(path, components=known)
    stored = require_release(card, path).verification
    sources = {role: decode_png(text, f"{path}, source {role}") for role, text in stored.sources.items()}
    if set(sources) != set(system.roles) or len({image.shape[1:] for image in sources.values()}) != 1:
        raise DataError(f"{path}: the stored sources are not one image of the same size for each role")
    found = results_of(system, sources, list(stored.metrics), known)
    return _compared(stored, found, path)


def _compared(stored: Verification, found: Results, path: Path) -> Verified:
    problems = []
    for name, value in stored.metrics.items():
        if not math.isclose(value, found.metrics[name], rel_tol=RELATIVE, abs_tol=ABSOLUTE):
            problems.append(f"{name} is {found.metrics[name]:.5g}, stored is {value:.5g}")
    expected = decode_png(stored.fused, f"{path}, fused image")
    if expected.shape != found.fused.shape:
        raise DataError(f"{path}: the stored fused image does not have the size of its sources")
    levels = float((expected - found.fused.clamp(0, 1)).abs().max()) * 255.0
    if not levels <= LEVELS:
        problems.append(f"the fused image differs by up to {levels:.1f} levels")
    labels = None
    if stored.labels is not None:
        predicted = (decode_png(stored.labels, f"{path}, label map")[0] * 255.0).round().long()
        if found.labels is None or found.labels.shape != predicted.shape:
            raise DataError(f"{path}: the stored label map does not fit the model")
        labels = float((predicted != found.labels).float().mean())
        if labels > LABELS:
            problems.append(f"the predicted class differs at {labels:.1%} of the pixels")
    pairs = {name: (value, found.metrics[name]) for name, value in stored.metrics.items()}
    return Verified(pairs, levels, labels, tuple(problems))
