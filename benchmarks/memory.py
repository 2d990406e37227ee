"""Measures large images in tiles: peak memory, seams, and the difference from the image fused whole.

Each size runs in its own process. The process creates a pair of 8-bit images strip by strip, fuses it as `fusekit` does
with ``auto`` tiles into a third 8-bit image, and reports its peak memory: in total (``peak``), and without the three
images and the memory in use before it began, for interpreter, torch and model (``above``).

- ``seam``: mean absolute difference of neighbouring pixels across the edges of tiles, divided by the mean one pixel
  away on either side. This is divided by the same ratio at the same positions of the image fused whole or, where that
  does not fit, of the mean of the sources. 1 is invisible.
- ``largest`` and ``mean``: difference from the image fused whole, on a scale of 0 to 255; up to ``--whole`` megapixels,
  in a separate process.

Run: python benchmarks/memory.py [--models mean refusion uaafusion] [--megapixels 1 4 16 64] [--weights FILE]
     [--tile N] [--exact] [--whole MEGAPIXELS] [--threads N]
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import fusekit
from fusekit.fusing.engine import Engine
from fusekit.fusing.tiling.boxes import cut
from fusekit.fusing.tiling.tiles import SAMPLE, Box, fuse_in_tiles
from fusekit.interfaces import FusionBackbone
from fusekit.model.system import FusionSystem
from fusekit.recipe.fuse_options import FuseOptions

Picture = npt.NDArray[np.uint8]

STRIP = 64  # rows created at once
MEBI = 2**20


def mean() -> FusionBackbone:
    from fusekit_baselines.rules import Mean

    return Mean()


def refusion() -> FusionBackbone:
    from fusekit_refusion.network import FusionNetwork

    return FusionNetwork()


def uaafusion() -> FusionBackbone:
    from fusekit_uaafusion.unfolding import UnfoldingBackbone

    return UnfoldingBackbone()


MODELS: dict[str, Callable[[], FusionBackbone]] = {"mean": mean, "refusion": refusion, "uaafusion": uaafusion}


def system_of(name: str, weights: str | None) -> FusionSystem:
    """A model with the weights of a model file, or with random weights from a fixed seed."""
    if weights is not None:
        return fusekit.load(weights, device="cpu").system
    torch.manual_seed(0)
    return FusionSystem(MODELS[name]()).eval()


def pictures(height: int, width: int) -> tuple[Picture, Picture]:
    """A pair created strip by strip: waves of all lengths, some longer than a tile, and edges and noise."""
    chance = np.random.default_rng(0)
    pair = (np.empty((height, width), np.uint8), np.empty((height, width), np.uint8))
    x = np.linspace(0, 1, width, dtype=np.float32)
    waves = [(chance.uniform(0.5, 2.0 ** (k + 1), 2), chance.uniform(0, 6, 2), 2.0 ** (-k / 2)) for k in range(8)]
    for top in range(0, height, STRIP):
        y = np.linspace(0, 1, height, dtype=np.float32)[top : top + STRIP, None]
        for number, picture in enumerate(pair):
            light = np.zeros((len(y), width), np.float32)
            for (along, across), phases, strength in waves:
                light += strength * np.sin(6.283 * (along * y + across * x) + phases[number], dtype=np.float32)
            light = 0.5 + 0.12 * light + 0.2 * (light > 0.3 + number)
            light += chance.normal(0, 0.03, light.shape).astype(np.float32)
            picture[top : top + STRIP] = (light.clip(0, 1) * 255).round()
    return pair


def tile_side(system: FusionSystem, height: int, width: int, asked: int | None) -> int | None:
    """Side of the tiles for images of the given size; None if they are fused whole."""
    return Engine(system, FuseOptions(tile=asked or "auto")).tile(height, width)


def reader(pair: tuple[Picture, Picture]) -> Callable[[Box], list[Tensor]]:
    """Function that returns a box of the images as float values in [0, 1]."""

    def read(box: Box) -> list[Tensor]:
        parts = [picture[box.top : box.bottom, box.left : box.right] for picture in pair]
        return [torch.from_numpy(part.astype(np.float32) / 255)[None] for part in parts]

    return read


def fuse(system: FusionSystem, pair: tuple[Picture, Picture], fused: npt.NDArray[Any], options: Any) -> None:
    """Fuses the pair as the command line does, into an 8-bit image or an array of floats."""
    height, width = pair[0].shape

    def write(box: Box, pixels: Tensor) -> None:
        values = pixels[0].numpy()
        into = fused[box.top : box.bottom, box.left : box.right]
        into[:] = (values * 255).round() if fused.dtype == np.uint8 else values

    tile = tile_side(system, height, width, options.tile)
    if tile is None:
        with torch.no_grad():
            whole = system(tuple(source[None] for source in reader(pair)(Box(0, 0, height, width)))).image[0]
        write(Box(0, 0, height, width), whole.clamp(0, 1))
    else:
        sample = None if options.exact else SAMPLE
        fuse_in_tiles(system, (height, width), reader(pair), write, tile=tile, sample=sample)


def seam(image: npt.NDArray[Any], tile: int) -> float:
    """Mean difference of neighbouring pixels across the edges of tiles, relative to that one pixel away."""
    at, beside = [], []
    for picture in (image, image.T):
        for edge in cut(picture.shape[0], tile)[1:-1]:
            rows = picture[edge - 2 : edge + 2].astype(np.float64)
            before, across, after = np.abs(np.diff(rows, axis=0)).mean(axis=1)
            at.append(across)
            beside.append((before + after) / 2)
    return float(np.mean(at) / np.mean(beside))


def held() -> float:
    """Peak memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (MEBI if sys.platform == "darwin" else 1024)


def measure(options: Any) -> dict[str, float]:
    """Fuses one pair and measures memory, time and seam; runs in the child process."""
    torch.set_num_threads(options.threads)
    height, width = sides(options.megapixels[0])
    system = system_of(options.models[0], options.weights)
    before = held()
    pair, fused = pictures(height, width), np.empty((height, width), np.uint8)
    began = time.perf_counter()
    fuse(system, pair, fused, options)
    found = {"seconds": time.perf_counter() - began, "peak": held()}
    found["above"] = found["peak"] - before - 3 * height * width / MEBI
    tile = tile_side(system, height, width, options.tile)
    if tile is not None:
        sources = np.concatenate([((pair[0][r].astype(np.uint16) + pair[1][r]) // 2) for r in rows_of(height)])
        found["seam"] = seam(fused, tile) / seam(sources, tile)
    return found


def rows_of(height: int) -> Iterator[slice]:
    """Slices of the rows of an image, strip by strip."""
    return (slice(top, top + STRIP) for top in range(0, height, STRIP))


def difference(options: Any) -> dict[str, float]:
    """Fuses one pair in tiles and whole and compares the results; runs in the child process."""
    torch.set_num_threads(options.threads)
    height, width = sides(options.megapixels[0])
    system = system_of(options.models[0], options.weights)
    pair = pictures(height, width)
    # Tiles have the usual side; an image that would be fused whole is cut into tiles of 256.
    options.tile = options.tile or tile_side(system, height, width, None) or 256
    tiled, whole = (np.empty((height, width), np.float32) for _ in range(2))
    fuse(system, pair, tiled, options)
    with torch.no_grad():
        whole[:] = system(tuple(s[None] for s in reader(pair)(Box(0, 0, height, width)))).image[0, 0].clamp(0, 1)
    apart = np.abs(tiled - whole) * 255
    return {
        "largest": float(apart.max()),
        "mean": float(apart.mean()),
        "seam": seam(tiled, options.tile) / seam(whole, options.tile),
    }


def sides(megapixels: float) -> tuple[int, int]:
    """Height and width of a square image with the given number of megapixels, in units of 2²⁰."""
    side = round(math.sqrt(megapixels * MEBI))
    return side, side


def ask(what: Literal["memory", "difference"], model: str, size: float, options: Any) -> dict[str, float]:
    """Runs a measurement in a child process and returns its result."""
    command = [sys.executable, __file__, "--child", what, "--models", model, "--megapixels", str(size)]
    command += ["--threads", str(options.threads), *(["--exact"] if options.exact else [])]
    command += [*(["--tile", str(options.tile)] if options.tile else [])]
    command += [*(["--weights", options.weights] if options.weights else [])]
    answer: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return answer


def main() -> None:
    """Measures each row in a child process and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument(
        "--megapixels", nargs="+", type=float, default=[1, 4, 16, 64], help="sizes in units of 2^20 pixels"
    )
    parser.add_argument("--weights", help="model file to use instead of random weights, with one model")
    parser.add_argument("--tile", type=int, help="side of the tiles (default: as `auto`)")
    parser.add_argument("--exact", action="store_true", help="sums over all pixels instead of a sample")
    parser.add_argument(
        "--whole", type=float, default=1, help="largest size that is also fused whole, in units of 2^20"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--child", choices=["memory", "difference"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options) if options.child == "memory" else difference(options)))
        return
    print(f"torch {torch.__version__}, cpu, {options.threads} threads")
    print(f"{'model':<10} {'side':>6} {'peak':>10} {'above':>10} {'time':>9} {'seam':>7} {'largest':>8} {'mean':>7}")
    for model in options.models:
        for size in options.megapixels:
            found = ask("memory", model, size, options)
            found |= ask("difference", model, size, options) if size <= options.whole else {}
            row = f"{model:<10} {sides(size)[0]:6} {found['peak']:6.0f} MiB {found['above']:6.0f} MiB "
            row += f"{found['seconds']:7.1f} s"
            row += f" {found['seam']:7.3f}" if "seam" in found else f" {'':>7}"
            row += f" {found['largest']:8.4f} {found['mean']:7.4f}" if "mean" in found else ""
            print(row, flush=True)


if __name__ == "__main__":
    main()
