"""Verification notices changed weights, changed values and damaged images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from fusekit.errors import DataError
from fusekit.weights.png_text import decode_png, encode_png
from fusekit.weights.synthetic_pair import synthetic_pair
from fusekit.weights.verification import verify_file

Call = Callable[..., Any]
Change = Callable[[dict[str, Any]], None]


def changed(
    tiny: Path, out: Path, facts: Change | None = None, state: Callable[[Tensor], Tensor] | None = None
) -> Path:
    """A copy of the packed file with other facts or other weights."""
    with safe_open(tiny, framework="pt") as file:
        metadata = dict(file.metadata())
    content = json.loads(metadata["fusekit"])
    if facts is not None:
        facts(content["provenance"]["release"])
    tensors = load_file(tiny)
    if state is not None:
        name = max(tensors, key=lambda key: tensors[key].numel())
        tensors[name] = state(tensors[name])
    save_file(tensors, out, {**metadata, "fusekit": json.dumps(content)})
    return out


def test_an_unchanged_file_is_verified(tiny: Path, fusekit: Call) -> None:
    assert verify_file(tiny).problems == ()
    done = fusekit("weights", "verify", tiny)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{tiny}: verified (")


def test_changed_weights_are_noticed(tiny: Path, tmp_path: Path, fusekit: Call) -> None:
    file = changed(tiny, tmp_path / "x.safetensors", state=lambda value: value * 1.5)
    found = verify_file(file)
    assert any("the fused image differs by up to" in problem for problem in found.problems)
    done = fusekit("weights", "verify", file)
    assert done.code == 4
    assert "1 of 1 weights do not give the stored results" in done.err
    assert "Traceback" not in done.err


def test_one_bad_file_does_not_hide_the_others(tiny: Path, tmp_path: Path, fusekit: Call) -> None:
    done = fusekit("weights", "verify", tmp_path / "absent.safetensors", tiny)
    assert done.code == 4
    first, second = done.out.splitlines()
    assert "no model file" in first
    assert second.startswith(f"{tiny}: verified (")
    assert "1 of 2 weights" in done.err
    alone = fusekit("weights", "verify", tmp_path / "absent.safetensors")
    assert (alone.code, alone.out) == (4, "")
    assert "no model file" in alone.err


def test_a_changed_metric_is_noticed(tiny: Path, tmp_path: Path) -> None:
    def change(factor: float) -> Change:
        return lambda facts: facts["verification"]["metrics"].update(
            {"strict.en": facts["verification"]["metrics"]["strict.en"] * factor}
        )

    assert verify_file(changed(tiny, tmp_path / "a.safetensors", change(1.005))).problems == ()
    problems = verify_file(changed(tiny, tmp_path / "b.safetensors", change(1.02))).problems
    assert len(problems) == 1
    assert problems[0].startswith("strict.en is ")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no base64!", "a stored image is damaged"),
        ("AAAA", "a stored image is damaged"),
        (encode_png(torch.zeros(1, 4, 4)), "not one image of the same size for each role"),
        (encode_png(torch.zeros(1, 1025, 1025)), "is not accepted"),
    ],
)
def test_damaged_images_are_refused(tiny: Path, tmp_path: Path, value: str, message: str) -> None:
    file = changed(
        tiny, tmp_path / "x.safetensors", lambda facts: facts["verification"]["sources"].update(visible=value)
    )
    with pytest.raises(DataError, match=message):
        verify_file(file)


def test_damaged_facts_are_refused(tiny: Path, tmp_path: Path, fusekit: Call) -> None:
    file = changed(tiny, tmp_path / "x.safetensors", lambda facts: facts.update(limits="none"))
    for command in ("verify", "card", "recipe"):
        done = fusekit("weights", command, file)
        assert done.code == 4
        assert "the facts about the weights are damaged: limits" in " ".join((done.err + done.out).split())


def test_a_file_without_facts(tiny: Path, fusekit: Call) -> None:
    run = tiny.parent / "run" / "model.safetensors"
    for command in ("verify", "card", "recipe"):
        done = fusekit("weights", command, run)
        assert done.code == 4
        assert "does not hold the facts of released weights" in " ".join((done.err + done.out).split())


def test_images_survive_as_text() -> None:
    for shape in ((1, 5, 7), (3, 5, 7)):
        image = torch.rand(shape).mul(255).round() / 255
        assert torch.equal(decode_png(encode_png(image), "x"), image)


@pytest.mark.parametrize(
    ("task", "roles"),
    [
        ("infrared-visible", ("infrared", "visible")),
        ("medical", ("mri", "pet")),
        ("multi-focus", ("near", "far")),
        ("multi-exposure", ("under", "over")),
    ],
)
def test_every_task_has_a_pair(task: str, roles: tuple[str, str]) -> None:
    from fusekit.plugin.registry import registry

    pair = synthetic_pair(task, roles, registry())
    assert list(pair) == list(roles)
    first, second = pair.values()
    assert first.shape[1:] == second.shape[1:] == (96, 128)
    assert torch.equal((first * 255).round() / 255, first)
    again = synthetic_pair(task, roles, registry())
    assert all(torch.equal(pair[role], again[role]) for role in roles)
