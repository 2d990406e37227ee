"""Compares a learned loss with equal weights: ReFusion on synthetic pairs with noise in a known region.

Trains small networks with the loss proposal module and with fixed equal weights (a proposer with one parameter that
has no effect), on the same scenes with the same schedule, and compares the outer loss on held-out scenes.
All images are synthetic; see noisy_scenes.py. Results: docs/papers/learned-loss.md.

Run: python benchmarks/learned_loss.py [--seeds N] [--only NAME ...] [--figure PATH]
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from noisy_scenes import Measured, Setting, train
from PIL import Image, ImageDraw
from torch import Tensor

SETTINGS = {
    "task, b": Setting(),
    "task, a": Setting(noisy="a"),
    "task, either": Setting(noisy="either", warm_up=120),
    "task, either, place": Setting(noisy="either", warm_up=120, place=True),
    "sources, weak": Setting("refusion.sources", noise=0.05, shared=False, warm_up=120),
    "sources, strong": Setting("refusion.sources", noise=0.25, shared=False, warm_up=120),
}
MEANING = {
    "task, b": "task objective, noise of 0.25 in source b",
    "task, a": "task objective, noise of 0.25 in source a",
    "task, either": "task objective, noise of 0.25 in either source",
    "task, either, place": "the same, with switches that learn a place",
    "sources, weak": "reconstruction, noise of 0.05 in source b",
    "sources, strong": "reconstruction, noise of 0.25 in source b",
}


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean and standard deviation over the seeds."""
    if any(math.isnan(value) for value in values):
        return "-"
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.{digits}f} ± {deviation:.{digits}f}"


def verdict(learned: Sequence[float], equal: Sequence[float]) -> str:
    """States which weights end with the lower outer loss, and in how many seeds."""
    below = sum(a < b for a, b in zip(learned, equal, strict=True))
    mean = statistics.mean(learned) - statistics.mean(equal)
    return f"{'learned' if mean < 0 else 'equal'} is lower on average; learned is in {below} of {len(learned)} seeds"


def tile(image: Tensor, scale: int = 6) -> Image.Image:
    """A grey tile of an image in [0, 1]."""
    array = (image.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return Image.fromarray(array).resize((image.shape[1] * scale, image.shape[0] * scale), Image.Resampling.NEAREST)


def figure(results: dict[str, tuple[list[Measured], list[Measured]]], path: Path) -> None:
    """Draws one row per setting for the first seed: sources, both fused images, and the learned weight of source a."""
    heads = ("source a", "source b", "equal weights", "learned weights", "weight of a")
    edge, gap, top = 96, 10, 20
    row_height = top + edge + gap
    sheet = Image.new("L", (5 * (edge + gap) + gap, 20 + len(results) * row_height), 255)
    pen = ImageDraw.Draw(sheet)
    for column, head in enumerate(heads):
        pen.text((gap + column * (edge + gap), 4), head, fill=0)
    for row, (name, (learned, equal)) in enumerate(results.items()):
        a, b, fused, weight = learned[0].images
        y = 20 + row * row_height
        pen.text((gap, y + 4), MEANING[name], fill=0)
        for column, image in enumerate((a, b, equal[0].images[2], fused, weight)):
            x = gap + column * (edge + gap)
            pen.rectangle((x - 1, y + top - 1, x + edge, y + top + edge), outline=128)
            sheet.paste(tile(image), (x, y + top))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


def main() -> None:
    """Trains the networks, prints the table and draws the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(SETTINGS), default=list(SETTINGS), help="settings to train")
    parser.add_argument("--figure", type=Path, default=Path("learned_loss.png"))
    options = parser.parse_args()

    torch.set_num_threads(1)  # such small networks gain nothing from more
    began = time.perf_counter()
    results: dict[str, tuple[list[Measured], list[Measured]]] = {}
    for name in options.only:
        results[name] = ([], [])
        for seed in range(options.seeds):
            for kept, equal in zip(results[name], (False, True), strict=True):
                before, after = train(SETTINGS[name], seed, equal=equal)
                kept.append(after)
                weights = "equal" if equal else "learned"
                print(
                    f"{time.perf_counter() - began:4.0f} s  {name:<15} seed {seed} {weights:<7}  "
                    f"weight of the clean source {before.in_noise:.2f} -> {after.in_noise:.2f}, "
                    f"outer loss {before.outer:.3f} -> {after.outer:.3f}",
                    flush=True,
                )

    print(f"\nSynthetic held-out scenes, mean ± standard deviation over {options.seeds} seeds")
    print(f"{'':<48}{'weight of the clean source':<34}{'distance':<10}{'outer loss':<34}")
    heads = ("inside noise", "elsewhere", "from 1/2", "learned", "equal", "verdict")
    print(f"{'setting':<48}" + "".join(f"{head:<{w}}" for head, w in zip(heads, (17, 17, 10, 17, 17, 0), strict=True)))
    for name, (learned, equal) in results.items():
        outer = [m.outer for m in learned], [m.outer for m in equal]
        print(
            f"{MEANING[name]:<48}{spread([m.in_noise for m in learned], 2):<17}"
            f"{spread([m.elsewhere for m in learned], 2):<17}"
            f"{statistics.mean(m.swing for m in learned):<10.2f}"
            f"{spread(outer[0]):<17}{spread(outer[1]):<17}{verdict(*outer)}"
        )
    figure(results, options.figure)
    print(f"\nfigure: {options.figure}")


if __name__ == "__main__":
    main()
