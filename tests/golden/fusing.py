"""What fusing gave when it was recorded: arrays, tensors, tiles and a run, through the public API.

``python -m tests.golden.fusing`` records anew. That is right only where a change of the results is intended; the
commit then says why. Inputs are made by integer arithmetic and networks from seeds, so nothing here depends on the
renderer, on data, or on files of others.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

import fusekit
from fusekit.interfaces import BuildContext, FusionBackbone, FusionOutput
from fusekit_refusion.config import NetworkConfig
from fusekit_refusion.network import FusionNetwork
from tests.networks import TinySegmenter

ARRAYS = Path(__file__).with_name("fusing.npz")
NUMBERS = Path(__file__).with_name("fusing.json")
HEIGHT, WIDTH = 48, 72


def grey(number: int, levels: int = 256, size: tuple[int, int] = (HEIGHT, WIDTH)) -> npt.NDArray[np.int64]:
    """A smooth ramp with blocks and fine texture, different for every number."""
    y, x = np.mgrid[: size[0], : size[1]]
    ramp = (3 * x + (5 + number) * y) * levels // (8 * (size[0] + size[1]))
    blocks = ((x // (11 + number)) ^ (y // (7 + number))) % 5 * levels // 12
    texture = (x * x * (number + 3) + y * y * 7 + x * y) % 31 * levels // 256
    image: npt.NDArray[np.int64] = (ramp + blocks + texture) % levels
    return image


def colour(number: int, levels: int = 256, size: tuple[int, int] = (HEIGHT, WIDTH)) -> npt.NDArray[np.int64]:
    """Three such images as channels."""
    return np.stack([grey(number + channel, levels, size) for channel in range(3)], axis=-1)


def network() -> fusekit.FusionModel:
    """ReFusion's network, small."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        backbone = FusionNetwork(NetworkConfig(channels=8, heads=4, blocks=1), BuildContext(roles=("a", "b")))
    return fusekit.FusionModel(fusekit.FusionSystem(backbone, roles=("a", "b")))


def guided() -> fusekit.FusionModel:
    """UAAFusion's network, small, with a segmenter."""
    section = {
        "use": "uaafusion.unfolding",
        "params": {"stages": 2, "channels": 4, "stage": {"use": "uaafusion.stage", "params": {"channels": 4}}},
    }
    recipe = fusekit.Recipe.from_dict(
        {"schema": 1, "name": "guided", "seed": 4, "data": {"use": "scenes.streets"}, "model": {"backbone": section}}
    )
    system = fusekit.FusionSystem(fusekit.assemble(recipe).backbone, task=TinySegmenter(seed=2), roles=("a", "b"))
    return fusekit.FusionModel(system)


class Mixed(FusionBackbone):
    """A backbone that fuses colour itself."""

    colour = "rgb"
    reach = 0

    def forward(self, sources, *, guidance=None):  # type: ignore[no-untyped-def]
        return FusionOutput(0.25 * sources[0] + 0.75 * sources[1])


def rgb() -> fusekit.FusionModel:
    """That backbone as a model."""
    return fusekit.FusionModel(fusekit.FusionSystem(Mixed(), roles=("a", "b")))


def arrays() -> dict[str, npt.NDArray[Any]]:
    """Every result by name."""
    found: dict[str, npt.NDArray[Any]] = {}
    a, b = grey(0).astype(np.uint8), colour(1).astype(np.uint8)
    c = colour(3).astype(np.uint8)
    deep = grey(2, 65536).astype(np.uint16)
    values = (grey(4, 4096) / 4095.0).astype(np.float32)
    models = {
        "mean": fusekit.load("mean", device="cpu"),
        "laplacian": fusekit.load("laplacian", device="cpu"),
        "network": network(),
        "guided": guided(),
        "rgb": rgb(),
    }
    for name, model in models.items():
        found[f"{name} grey colour"] = model.fuse(a, b)
        found[f"{name} 16 bits"] = model.fuse(deep, b)
        found[f"{name} tiles"] = model.fuse(a, b, tile=64)
        tensors = [torch.from_numpy(x.astype(np.float32) / 255) for x in (a[None], b.transpose(2, 0, 1))]
        found[f"{name} tensors"] = model.fuse(*tensors).numpy()
    model = models["network"]
    found["stretch"] = model.fuse(a, b, **{RANGE: "stretch"})
    found["fixed"] = model.fuse(a, b, **{RANGE: "fixed"}, limits=(0.2, 0.7))
    found["luma"] = model.fuse(a, b, colour="luma")
    found["channels"] = model.fuse(a, b, colour="channels")
    found["channels in tiles"] = model.fuse(a, b, colour="channels", tile=64)
    found["channels stretched"] = model.fuse(a, b, colour="channels", **{RANGE: "stretch"})
    found["role"] = model.fuse(c, b, colour="b")
    found["two colours"] = model.fuse(c, b)
    found["two colours in tiles"] = model.fuse(c, b, tile=64)
    found["depth 16"] = model.fuse(a, b, bit_depth=16)
    found["depth 8"] = model.fuse(deep, deep[::-1], bit_depth=8)
    found["float"] = model.fuse(values, a.astype(np.float32) / 255)
    batch = torch.from_numpy(np.stack([grey(n) for n in range(3)]).astype(np.float32) / 255)[:, None]
    found["batch"] = models["guided"].fuse(batch, batch.flip(0)).numpy()
    found["batch in tiles"] = models["network"].fuse(batch, batch.flip(0), tile=64).numpy()
    with model.stream() as stream:
        found["stream"] = np.stack([stream.fuse(grey(n).astype(np.uint8), b).copy() for n in range(2)])
    return found


RANGE = "range"


def of_run(backbone: dict[str, Any], folder: Path, **fuse: Any) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Fused and measured images of a run over two scenes of 8 bits, and its evaluation."""
    for split in ("train", "test"):
        for role, make in (("ir", grey), ("vi", colour)):
            place = folder / "data" / split / role
            place.mkdir(parents=True)
            for number in range(2):
                image = make(number if role == "ir" else 3 - number).astype(np.uint8)
                Image.fromarray(image).save(place / f"scene{number}.png")
    plain = {
        "schema": 1,
        "name": "golden",
        "seed": 6,
        "data": {"use": "data.pairs", "root": str(folder / "data")},
        "model": {"backbone": backbone},
        "fuse": fuse,
        "evaluate": {"pictures": 1},
    }
    done = fusekit.run(fusekit.Recipe.from_dict(plain), runs=folder / "runs", device="cpu")
    images = {
        f"{kind} {number}": np.asarray(Image.open(done.folder.path / kind / f"scene{number}.png"))
        for kind in ("fused", "measured")
        for number in range(2)
    }
    methods = json.loads(done.folder.evaluation.read_text())["methods"]
    return images, {row["name"]: row["per_image"] for row in methods}


RUNS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "run network": (
        {"use": "refusion.network", "params": {"channels": 8, "heads": 4, "blocks": 1}},
        {},
    ),
    "run stretched": ({"use": "baselines.laplacian"}, {"range": "stretch"}),
}


def everything() -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """All arrays, and the values that metrics gave."""
    found, numbers = arrays(), {}
    for name, (backbone, fuse) in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            images, numbers[name] = of_run(backbone, Path(folder), **fuse)
        found |= {f"{name} {which}": image for which, image in images.items()}
    return found, numbers


def levels(found: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """An array as it is kept: integers as they are, values in [0, 1] as 16-bit levels."""
    return found if found.dtype.kind == "u" else np.rint(found.astype(np.float64) * 65535).astype(np.uint16)


if __name__ == "__main__":
    recorded, values = everything()
    np.savez_compressed(ARRAYS, **{name: levels(found) for name, found in recorded.items()})  # type: ignore[arg-type]
    NUMBERS.write_text(json.dumps(values, indent=1) + "\n")
    print(f"{len(recorded)} arrays: {ARRAYS} ({ARRAYS.stat().st_size} bytes)")
