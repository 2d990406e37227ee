"""Packing a finished run: what the file keeps, what it says, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import fusekit
from fusekit.errors import DataError, RunError, UsageError
from fusekit.recipe.model_card import read_card
from fusekit.weights.packing import kept_parts, pack
from fusekit.weights.release import require_release, scene_list
from fusekit.weights.run_facts import FinishedRun
from tests.pipeline.small import small_recipe
from tests.weights.runs import DESCRIPTION, FUSION, finished_run

pytestmark = pytest.mark.slow
Call = Callable[..., Any]


def test_a_file_in_16_bits_is_half_as_large_and_loads_in_32(tiny: Path) -> None:
    run_file = tiny.parent / "run" / "model.safetensors"
    before, after = load_file(run_file), load_file(tiny)
    assert before.keys() == after.keys()
    assert all(value.dtype == torch.float16 for value in after.values())
    system = fusekit.load(str(tiny)).system
    for name, value in system.state_dict().items():
        assert value.dtype == torch.float32
        assert bool((value == before[name].half().float()).all())


def test_the_facts(tiny: Path) -> None:
    card = read_card(tiny)
    facts = require_release(card, tiny)
    assert card.model == {"backbone": {"use": "refusion.network", "params": facts_params(facts.recipe)}}
    assert card.classes is None  # the labels of the data are not used
    assert (facts.summary, facts.task, facts.licence) == ("A tiny network", "infrared-visible", "Apache-2.0")
    assert (facts.kept, facts.dropped, facts.storage) == (["backbone"], [], "float16")
    assert (facts.training.steps, facts.training.seconds, facts.training.device) == ({"train": 2}, 61.0, "cpu")
    assert facts.training.versions["refusion"] == "image-fusekit 0.1.0"
    assert facts.data.splits["train"].scenes == 4
    assert facts.data.labels == "exact"
    assert facts.trained_for == ["strict.ssim"]
    assert facts.tables[0].methods[1].mean["strict.cc"] is None
    assert set(facts.verification.sources) == {"infrared", "visible"}
    assert "strict.vif" in facts.verification.metrics


def facts_params(recipe: str) -> dict[str, Any]:
    from fusekit.recipe.yaml_reader import parse_recipe

    plain: dict[str, Any] = parse_recipe(recipe, "facts").plain()
    return dict(plain["model"]["backbone"]["params"])


def test_the_duration_includes_steps_before_an_interruption(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run", training_seconds=5.0)
    assert FinishedRun.read(run).training().seconds == 5.0
    (run / "metrics.jsonl").write_text('{"step": 1, "seconds": 4.5}\n{"step": 2, "seconds": 3.25}\n{"step"')
    assert FinishedRun.read(run).training().seconds == 7.8


def test_the_hash_of_a_scene_list_depends_on_the_names_only() -> None:
    assert scene_list(["b", "a"]) == scene_list(["a", "b"])
    assert scene_list(["a", "b"]).sha256 == "7e18f737311b2dc3b2f269dd78396b0351f14fb66efa879f768cb23181883c78"


def test_paths_of_the_machine_are_not_in_the_file(tmp_path: Path) -> None:
    teacher = finished_run(tmp_path / "secret" / "teacher")
    part = {"from": str(teacher / "model.safetensors")}
    plain = {**FUSION, "model": {"backbone": part}}
    run = finished_run(tmp_path / "run", plain)
    out = pack(run, tmp_path / "out.safetensors", DESCRIPTION).out
    assert str(tmp_path) not in json.dumps(read_card(out).provenance)
    facts = require_release(read_card(out), out)
    assert "from: teacher/model.safetensors" in facts.recipe
    assert "Retraining needs the backbone of the model file teacher/model.safetensors" in facts.notes[0]


def test_the_order_of_roles_survives_in_the_recipe(tmp_path: Path) -> None:
    for name in ("near", "far"):
        for split in ("train", "test"):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            from PIL import Image

            Image.new("L", (96, 96)).save(folder / "1.png")
    pairs = {
        "use": "data.pairs",
        "root": str(tmp_path / "data"),
        "params": {"sources": {"near": "{split}/near", "far": "{split}/far"}},
    }
    run = finished_run(tmp_path / "run", {**FUSION, "data": pairs}, training_scenes=1)
    out = pack(run, tmp_path / "out.safetensors", DESCRIPTION).out
    facts = require_release(read_card(out), out)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(facts.recipe)
    again = fusekit.Recipe.load(recipe, [f"data.root={tmp_path / 'data'}"])
    assert again.data_config.roles() == ("near", "far")
    assert again.plain["model"] == fusekit.Recipe.from_dict({**FUSION, "data": pairs}).plain["model"]
    assert str(tmp_path) not in facts.recipe


def test_parts_that_guide_the_backbone_are_kept() -> None:
    system = fusekit.assemble(small_recipe())
    assert kept_parts(system) == ["backbone", "task", "guidance"]
    assert kept_parts(system, ["proposer"]) == ["backbone", "proposer", "task", "guidance"]
    with pytest.raises(UsageError, match="the model has no reconstruction to keep"):
        kept_parts(system, ["reconstruction"])


def test_a_proposer_and_a_reconstruction_are_left_out(tmp_path: Path) -> None:
    parts = {
        **FUSION["model"],  # type: ignore[dict-item]
        "proposer": {"use": "refusion.proposer"},
        "reconstruction": {"use": "refusion.reconstruction"},
    }
    run = finished_run(tmp_path / "run", {**FUSION, "model": parts})
    small = pack(run, tmp_path / "small.safetensors", DESCRIPTION)
    assert small.release.dropped == ["proposer", "reconstruction"]
    assert all(name.startswith("backbone.") for name in load_file(small.out))
    large = pack(run, tmp_path / "large.safetensors", DESCRIPTION, keep=["proposer"])
    assert large.release.dropped == ["reconstruction"]
    assert any(name.startswith("proposer.") for name in load_file(large.out))


def test_a_segmenter_is_kept_and_verified(tmp_path: Path) -> None:
    plain = {
        **FUSION,
        "model": {"backbone": {"use": "baselines.mean"}, "task": {"use": "tasks.smp"}},
        "train": None,
    }
    run = finished_run(tmp_path / "run", plain)
    done = pack(run, tmp_path / "segmenter.safetensors", DESCRIPTION, keep=["task"])
    assert done.verified.labels == 0.0
    assert read_card(done.out).classes is not None
    part = {"use": "baselines.mean"}, {"from": str(done.out), "freeze": True}
    again = fusekit.assemble(fusekit.Recipe.from_dict({**plain, "model": {"backbone": part[0], "task": part[1]}}))
    assert again.task is not None


def changed_run(folder: Path, change: Callable[[torch.Tensor], torch.Tensor]) -> Path:
    """A run whose every tensor is changed."""
    run = finished_run(folder)
    file = run / "model.safetensors"
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    save_file({name: change(value) for name, value in load_file(file).items()}, file, metadata)
    return run


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: value * 1e7, "has values beyond the range of 16 bits"),
        (lambda value: value * 4, "packing changes the results: the fused image by up to"),
        (lambda value: value * float("nan"), "values that are not finite"),
    ],
)
def test_16_bits_that_change_the_result_are_refused(
    tmp_path: Path, change: Callable[[torch.Tensor], torch.Tensor], message: str
) -> None:
    out = tmp_path / "out.safetensors"
    with pytest.raises((RunError, DataError), match=message):
        pack(changed_run(tmp_path / "run", change), out, DESCRIPTION, half=True)
    assert not out.exists()
    assert not list(tmp_path.glob(".*safetensors*"))


def test_what_is_refused(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run")
    taken = tmp_path / "taken.safetensors"
    taken.write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        pack(run, taken, DESCRIPTION)
    with pytest.raises(UsageError, match=r"must end in \.safetensors"):
        pack(run, tmp_path / "out.pth", DESCRIPTION)
    with pytest.raises(UsageError, match="is not the folder of a run with a finished training"):
        pack(tmp_path, tmp_path / "out.safetensors", DESCRIPTION)
    with pytest.raises(DataError, match="no evaluation"):
        pack(run, tmp_path / "out.safetensors", DESCRIPTION, evaluations=[tmp_path / "absent"])
    assert taken.read_text() == "mine"
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "training_scenes": 3}))
    with pytest.raises(DataError, match=r"the data has 4 training scenes, but the run .* was trained on 3"):
        pack(run, tmp_path / "out.safetensors", DESCRIPTION)


def test_the_command(fusekit: Call, tmp_path: Path) -> None:
    run, out = finished_run(tmp_path / "run"), tmp_path / "mine.safetensors"
    words = ["weights", "pack", run, "-o", out, "--task", "infrared-visible", "--summary", 'A "tiny" network']
    missing = fusekit(*words)
    assert missing.code == 2
    assert "--licence" in missing.err
    done = fusekit(*words, "--licence", "MIT", "--limit", "One.", "--limit", "Two.", "--half", "--trained-for", "en")
    assert done.code == 0, done.err
    assert done.out.startswith(f"{out}: ")
    assert 'weights("NAMESPACE.mine", file="files/mine.safetensors", task="infrared-visible"' in done.out
    facts = require_release(read_card(out), out)
    assert (facts.limits, facts.trained_for) == (["One.", "Two."], ["strict.ssim", "strict.en"])
    wrong = fusekit(*words, "--licence", "MIT", "--limit", "One.", "--overwrite", "--trained-for", "speed")
    assert wrong.code == 2
    assert "--trained-for speed: no evaluation has that metric" in " ".join(wrong.err.split())
