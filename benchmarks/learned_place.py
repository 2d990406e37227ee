"""Whether the learned loss chooses a place, and whether a network trained with it is better: real pairs.

Trains small ReFusion networks (12,028 parameters in the fusion module's case) on crops of infrared-visible pairs with
the learned loss of refusion_ivif_short.yaml, with equal weights and with the brightest source, on the same pairs with
the same number of fusion steps, and measures them on training pairs that were held out. Results:
docs/papers/learned-loss.md.

Run: python benchmarks/learned_place.py FOLDER [--seeds SEED …] [--steps N] [--out FOLDER] [--device NAME]

FOLDER contains msrs/ (test/ir, test/vi, splits/fusion_train.txt) and roadscene/ (train/ir, train/vi). A finished
training is kept in --out and not repeated.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from fusekit.data.colour import luminance
from fusekit.data.training_data import TrainingData, scene_cache
from fusekit.devices import choose_device
from fusekit.interfaces import ComponentRef, Metric
from fusekit.model.assembly import Builder, assemble, build_dataset, build_strategy
from fusekit.model.system import FusionSystem
from fusekit.pipeline.scene_subset import SceneSubset
from fusekit.recipe.recipe import Recipe
from fusekit.training.trainer import Trainer

METRICS = ("en", "sf", "ag", "mi", "scd", "vif", "qabf", "ssim")
PAPER_LOSS = [{"use": "losses.intensity"}, {"use": "losses.gradient"}]
SMALL = {"channels": 8, "heads": 4, "blocks": 1}
HELD_OUT = 12  # every twelfth training pair
WARM_UP = 60
METHODS = ("learned", "equal", "brightest")


def recipe(method: str, folder: Path, seed: int, steps: int) -> Recipe:
    """The recipe of a method; the learned loss has as many rounds as fusion steps."""
    common = {"batch": 4, "sampling": {"mode": "crop", "size": 64, "flip": True}, "clip": 1}
    optimiser = {"lr": 1e-3}
    model: dict[str, Any] = {"backbone": {"use": "refusion.network", "params": SMALL}}
    cosine = {"name": "cosine", "warmup": 10}
    pretrain: dict[str, Any] = {}
    if method == "learned":
        model["proposer"] = {"use": "refusion.proposer", "params": {**SMALL, "centred": True}}
        model["reconstruction"] = {"use": "refusion.reconstruction", "params": {**SMALL, "channels": 12}}
        params = {"inner": "minimiser", "mixtures": "local", "order": "alternated", "rounds": 63}
        strategy = {"use": "refusion.meta", "params": params}
        warm = {"use": "refusion.meta", "params": {**params, "rounds": 0}}
        pretrain["warm"] = {"strategy": warm, "max_steps": WARM_UP, "optimiser": optimiser, **common}
        optimiser = {**optimiser, "updaters": {"proposer": {"eps": 1e-10}}}
        total = 2 * steps
    else:
        model["proposer"] = {"use": f"baselines.{method}"}
        strategy = {"use": "baselines.fixed", "params": {"loss": PAPER_LOSS}}
        total = WARM_UP + steps
    train = {"strategy": strategy, "epochs": 1000, "max_steps": total, "optimiser": optimiser, "schedule": cosine}
    members = [
        {
            "folder": "msrs",
            "sources": {"infrared": "test/ir", "visible": "test/vi"},
            "train_list": "splits/fusion_train.txt",
            "test_list": "splits/fusion_test.txt",
        },
        {"folder": "roadscene"},
    ]
    data = {"use": "data.collection", "root": str(folder), "params": {"name": "MSRS and RoadScene", "members": members}}
    sections = {"data": data, "model": model, "pretrain": pretrain, "train": {**train, **common}}
    return Recipe.from_dict({"schema": 1, "name": f"{method}-{seed}", "seed": seed, **sections})


def pairs(scenes: Any, numbers: list[int]) -> list[tuple[Tensor, Tensor]]:
    """The luminance of scenes, each (1, 1, 240, 320) at most."""
    samples = [scenes[number] for number in numbers]
    grey = [[x if len(x) == 1 else luminance(x) for x in sample.images] for sample in samples]
    return [(a[None, :, :240, :320], b[None, :, :240, :320]) for a, b in grey]


@torch.no_grad()
def weights_of(system: FusionSystem, held_out: list[tuple[Tensor, Tensor]]) -> dict[str, Any]:
    """Mean weight of infrared: everywhere, where infrared is brighter by .1, and where visible is."""
    rows = []
    for infrared, visible in held_out:
        assert system.proposer is not None
        w, difference = system.proposer((infrared, visible)).weights[:, :1], infrared - visible
        bright = [
            w[place].mean() if bool(place.any()) else torch.tensor(torch.nan)
            for place in (difference > 0.1, difference < -0.1)
        ]
        together = torch.corrcoef(torch.stack([w.flatten(), difference.flatten()]))[0, 1]
        rows.append(torch.stack([w.mean(), *bright, together]))
    means = torch.stack(rows)
    everywhere, infrared, visible, correlation = means.nanmean(dim=0).tolist()
    return {
        "w": everywhere,
        "least": means[:, 0].min().item(),
        "most": means[:, 0].max().item(),
        "infrared": infrared,
        "visible": visible,
        "correlation": correlation,
    }


@torch.no_grad()
def scores_of(system: FusionSystem, held_out: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Means of the metrics of the dialect ``strict``."""
    build = Builder(("infrared", "visible"), None).context.build
    metrics: dict[str, Metric] = {name: build("metric", ComponentRef(use=f"strict.{name}")) for name in METRICS}
    values: dict[str, list[float]] = {name: [] for name in METRICS}
    for pair in held_out:
        images = [system.backbone(pair).image.clamp(0, 1), *pair]
        fused, *sources = [(image * 255).round().to(torch.uint8)[0, 0] for image in images]
        for name, metric in metrics.items():
            values[name].append(metric.measure(fused, sources).value)
    return {name: statistics.mean(column) for name, column in values.items()}


def train(method: str, folder: Path, seed: int, steps: int, out: Path, device: torch.device) -> dict[str, Any]:
    """Trains a method and measures it; reads the result if it exists."""
    file = out / f"{method}-{seed}-{steps}.json"
    if file.exists():
        kept: dict[str, Any] = json.loads(file.read_text())
        return kept
    made = recipe(method, folder, seed, steps)
    system, scenes, cache = assemble(made), build_dataset(made, "train"), scene_cache()
    held = list(range(5, len(scenes), HELD_OUT))
    kept_scenes = SceneSubset(scenes, [number for number in range(len(scenes)) if number not in held])
    assert made.model.train is not None
    for phase, section in {**made.model.pretrain, "train": made.model.train}.items():
        strategy = build_strategy(made, section, system)
        data = TrainingData(kept_scenes, section.sampling, section.batch, seed=seed, cache=cache)
        Trainer(system, strategy, data, section, phase=phase, seed=seed, device=device).fit()
    system.cpu().eval()
    held_out = pairs(scenes, held)
    result = {"scores": scores_of(system, held_out), "weights": weights_of(system, held_out)}
    if method == "learned":
        picture(system, held_out[:6], out / f"weights-{seed}.png")
    file.write_text(json.dumps(result, indent=1))
    return result


@torch.no_grad()
def picture(system: FusionSystem, shown: list[tuple[Tensor, Tensor]], path: Path) -> None:
    """One row per pair: infrared, visible, weight of infrared (white: 1), fused."""
    assert system.proposer is not None
    rows = []
    for pair in shown:
        tiles = [*pair, system.proposer(pair).weights[:, :1], system.backbone(pair).image.clamp(0, 1)]
        row = torch.cat([torch.nn.functional.pad(tile, (2, 2, 2, 2), value=1.0)[0, 0] for tile in tiles], dim=1)
        rows.append(torch.nn.functional.pad(row, (0, 4 * 324 - row.shape[1], 0, 0), value=1.0))
    Image.fromarray((torch.cat(rows) * 255).round().to(torch.uint8).numpy()).save(path, optimize=True)


def spread(values: list[float]) -> str:
    """Mean and standard deviation over the seeds."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.3f} ± {deviation:.3f}"


def main() -> None:
    """Trains, and prints two tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=400, help="fusion steps")
    parser.add_argument("--out", type=Path, default=Path("runs/learned-place"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = choose_device(options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, list[dict[str, Any]]] = {method: [] for method in METHODS}
    for seed in options.seeds:
        for method in METHODS:
            results[method].append(train(method, options.folder, seed, options.steps, options.out, device))
            print(f"seed {seed} {method}: {json.dumps(results[method][-1]['scores'])}", flush=True)
    print("\n| seed | mean w | per image | where infrared is brighter | where visible is | correlation |")
    print("| --- | --- | --- | --- | --- | --- |")
    for seed, result in zip(options.seeds, results["learned"], strict=True):
        w = result["weights"]
        print(
            f"| {seed} | {w['w']:.3f} | {w['least']:.3f}–{w['most']:.3f} | {w['infrared']:.3f} | {w['visible']:.3f} | "
            f"{w['correlation']:.2f} |"
        )
    print("\n| weights | " + " | ".join(name.upper() for name in METRICS) + " |")
    print("| --- " * (len(METRICS) + 1) + "|")
    for method, rows in results.items():
        print(f"| {method} | " + " | ".join(spread([row["scores"][name] for row in rows]) for name in METRICS) + " |")


if __name__ == "__main__":
    main()
