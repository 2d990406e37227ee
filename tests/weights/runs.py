"""Folders of finished runs, made without any training, and packed files of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fusekit
from fusekit.weights.packing import Description, Packed, pack

FUSION = {
    "schema": 1,
    "name": "tiny",
    "seed": 1,
    "data": {"use": "scenes.streets", "params": {"train": 4, "val": 1, "test": 2, "height": 96, "width": 128}},
    "model": {"backbone": {"use": "refusion.network", "params": {"channels": 8, "heads": 2, "blocks": 1}}},
    "train": {
        "strategy": {
            "use": "baselines.fixed",
            "params": {"loss": [{"use": "losses.brightest"}, {"use": "losses.ssim", "params": {"weight": 0.3}}]},
        },
        "epochs": 1,
        "batch": 2,
        "sampling": {"mode": "crop", "size": 48},
        "max_steps": 2,
    },
}
DESCRIPTION = Description("A tiny network", "infrared-visible", "Apache-2.0", ["Trained for tests only."])


def metric(name: str, higher: bool = True) -> dict[str, Any]:
    return {"name": name, "dialect": "strict", "unit": "", "higher_is_better": higher, "explanation": ""}


def finished_run(folder: Path, plain: dict[str, Any] | None = None, **record: Any) -> Path:
    """What a run leaves in its folder: model, resolved recipe, record and evaluation; nothing is trained."""
    recipe = fusekit.Recipe.from_dict(plain or FUSION)
    folder.mkdir(parents=True)
    fusekit.save_model(
        folder / "model.safetensors",
        fusekit.assemble(recipe),
        {"recipe": recipe.model.name, "seed": 1, "data": recipe.data_config.provenance().name},
    )
    (folder / "recipe.resolved.yaml").write_text(recipe.dumps_resolved(), "utf-8")
    steps = {"steps": {"train": 2}, "training_seconds": 61.0, "training_scenes": 4, "held_out": [], "device": "cpu"}
    (folder / "run.json").write_text(json.dumps({**steps, **record}), "utf-8")
    evaluation = {
        "scenes": ["a", "b"],
        "subset": "synthetic scenes, split test, 2 scenes",
        "note": "Metrics score the fused luminance.",
        "metrics": {"strict.ssim": metric("SSIM"), "strict.en": metric("EN"), "strict.cc": metric("CC", False)},
        "methods": [
            {"name": "tiny", "is_model": True, "mean": {"strict.ssim": 1.25, "strict.en": 6.5, "strict.cc": 0.5}},
            {"name": "mean", "is_model": False, "mean": {"strict.ssim": 1.5, "strict.en": 5.5, "strict.cc": None}},
        ],
        "task": {"rows": [{"input": "tiny", "is_model": True, "mean_iou": 0.75}]},
    }
    (folder / "evaluation.json").write_text(json.dumps(evaluation), "utf-8")
    return folder


def packed(folder: Path, **options: Any) -> Packed:
    """A packed file ``tiny.safetensors`` in a folder."""
    return pack(finished_run(folder / "run"), folder / "tiny.safetensors", DESCRIPTION, **options)
