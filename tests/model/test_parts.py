"""Parts of a model that come from a model file, and frozen parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import fusekit
from fusekit.errors import DataError, RunError
from fusekit.model.assembly import assemble
from fusekit.model.model_file import load_system, save_model
from fusekit.recipe.problems import RecipeProblems
from fusekit.recipe.recipe import Recipe

SCENES = {"use": "scenes.streets", "params": {"train": 2, "val": 1, "test": 1, "height": 64, "width": 64}}
PLAIN: dict[str, Any] = {
    "schema": 1,
    "name": "parts",
    "data": SCENES,
    "model": {"backbone": {"use": "refusion.network", "params": {"channels": 8}}, "task": {"use": "tasks.smp"}},
}


def recipe(model: dict[str, Any], **sections: Any) -> Recipe:
    return Recipe.from_dict({**PLAIN, **sections, "model": model})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file whose weights are not those that another recipe starts with."""
    system = assemble(Recipe.from_dict({**PLAIN, "seed": 5}))
    path = tmp_path_factory.mktemp("trained") / "model.safetensors"
    save_model(path, system, {"recipe": "parts"})
    return path


def test_a_part_has_component_parameters_and_weights_of_the_file(trained: Path) -> None:
    whole, _ = load_system(trained)
    for given in (trained, trained.parent):  # a file, and the folder of a run
        made = assemble(recipe({"backbone": {"from": str(given)}, "task": {"use": "tasks.smp"}}))
        assert made.description is not None
        assert made.description["backbone"] == {"use": "refusion.network", "params": {"channels": 8}}
        for name, weight in made.backbone.state_dict().items():
            assert torch.equal(weight, whole.backbone.state_dict()[name])
        assert made.task is not None
        assert whole.task is not None
        pairs = zip(made.task.parameters(), whole.task.parameters(), strict=True)
        assert any(not torch.equal(one, other) for one, other in pairs), "the other part is untrained"


def test_a_resolved_recipe_names_the_file_and_loads_back(trained: Path, tmp_path: Path) -> None:
    first = recipe({"backbone": {"from": str(trained), "freeze": True}})
    part = first.plain["model"]["backbone"]
    assert (part["use"], part["from"], part["freeze"]) == ("refusion.network", str(trained), True)
    assert part["params"]["channels"] == 8
    (tmp_path / "resolved.yaml").write_text(first.dumps_resolved())
    assert Recipe.load(tmp_path / "resolved.yaml").plain == first.plain


def test_a_frozen_part_never_changes(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its weights nor its statistics, though the strategy sets it to training mode; nor is it needed again."""
    monkeypatch.chdir(tmp_path)
    frozen = {
        "backbone": {"use": "uaafusion.unfolding", "params": {"stages": 1, "channels": 4, "stage": STAGE}},
        "proposer": {"use": "uaafusion.attribution"},
        "guidance": {"use": "uaafusion.attribution_guidance"},
        "task": {"from": str(trained), "freeze": True},
    }
    train = {
        "strategy": {"use": "uaafusion.joint", "params": {"task_rate": 0}},
        "max_steps": 2,
        "batch": 2,
        "sampling": {"size": 64},
    }
    done = fusekit.run(recipe(frozen, train=train, fuse={"limit": 1}, evaluate={"pictures": 0}), device="cpu")
    whole, _ = load_system(trained)
    system, card = load_system(done.folder.model)
    assert system.task is not None
    assert whole.task is not None
    for name, value in whole.task.state_dict().items():
        assert torch.equal(value, system.task.state_dict()[name]), name
    assert "from" not in card.model["task"], "the model file does not depend on the other"
    assert card.provenance["parts"]["task"]["from"] == str(trained)


STAGE = {"use": "uaafusion.stage", "params": {"channels": 4}}


def test_a_strategy_that_trains_a_frozen_part_is_refused(trained: Path) -> None:
    model = {"backbone": {"use": "refusion.network"}, "task": {"from": str(trained), "freeze": True}}
    train = {"strategy": {"use": "tasks.supervised"}}
    with pytest.raises(RecipeProblems, match=r"trains a task network, but model\.task is frozen"):
        recipe(model, train=train)


@pytest.mark.parametrize(
    ("part", "cause"),
    [
        ({"from": "nothing.safetensors"}, "no model file nothing.safetensors"),
        ({"from": "FILE", "use": "baselines.mean"}, "is 'refusion.network', not 'baselines.mean'"),
        ({"from": "FILE", "params": {"channels": 8}}, "params cannot be set without use"),
        ({"from": __file__}, "not a readable safetensors file"),
    ],
)
def test_what_does_not_fit_is_refused_by_validation(trained: Path, part: dict[str, Any], cause: str) -> None:
    part = {key: str(trained) if value == "FILE" else value for key, value in part.items()}
    with pytest.raises(RecipeProblems, match=cause) as caught:
        recipe({"backbone": part})
    assert "model.backbone.from" in caught.value.message


def test_a_part_that_the_file_does_not_have(trained: Path) -> None:
    model = {"backbone": {"use": "refusion.network"}, "proposer": {"from": str(trained)}}
    with pytest.raises(RecipeProblems, match="has no proposer; it has backbone, task"):
        recipe(model)


def test_other_parameters_other_roles_and_other_classes_are_refused(trained: Path) -> None:
    other = {"use": "refusion.network", "params": {"channels": 16}, "from": str(trained)}
    with pytest.raises(DataError, match="does not fit the model"):
        assemble(recipe({"backbone": other}))
    pairs = {"use": "scenes.ideal_pairs", "params": {**SCENES["params"], "task": "multifocus"}}  # type: ignore[dict-item]
    with pytest.raises(DataError, match="was trained for the sources infrared, visible"):
        assemble(recipe({"backbone": {"from": str(trained)}}, data=pairs))


def test_data_without_labels_takes_the_classes_of_the_file(trained: Path) -> None:
    pairs = {"use": "scenes.ideal_pairs", "params": {**SCENES["params"], "task": "multifocus"}}  # type: ignore[dict-item]
    made = assemble(recipe({"backbone": {"use": "refusion.network"}, "task": {"from": str(trained)}}, data=pairs))
    assert made.classes is not None
    assert made.classes.names[1] == "car"


def test_a_model_file_cannot_name_other_files(trained: Path, tmp_path: Path) -> None:
    system, _ = load_system(trained)
    assert system.description is not None
    system.description["backbone"]["from"] = "/etc/hostname"
    save_model(tmp_path / "hostile.safetensors", system)
    with pytest.raises((DataError, RunError), match="cannot take parts from other files"):
        load_system(tmp_path / "hostile.safetensors")
