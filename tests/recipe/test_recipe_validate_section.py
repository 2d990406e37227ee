"""``validate`` of a phase: what is measured exists, and test scenes are never looked at without a word."""

from __future__ import annotations

from typing import Any

import pytest

from fusekit.recipe.problems import RecipeProblems
from fusekit.recipe.recipe import Recipe

MSRS = {"use": "data.msrs", "root": "nowhere", "params": {}}
STRATEGIES: dict[str, dict[str, Any]] = {
    "joint": {"use": "uaafusion.joint"},
    "meta": {"use": "refusion.meta"},
    "supervised": {"use": "tasks.supervised"},
}


def recipe(
    validate: Any, strategy: str = "joint", *, phase: str = "train", data: dict[str, Any] | None = None
) -> Recipe:
    section = {"strategy": STRATEGIES[strategy], "validate": validate}
    plain: dict[str, Any] = {
        "schema": 1,
        "name": "n",
        "data": data or {"use": "scenes.streets"},
        "model": {
            "backbone": {"use": "refusion.network"},
            "proposer": {"use": "refusion.proposer"},
            "reconstruction": {"use": "refusion.reconstruction"},
            "task": {"use": "tasks.smp"},
        },
        **({"train": section} if phase == "train" else {"pretrain": {phase: section}}),
    }
    return Recipe.from_dict(plain, check_data=False)


def refused(*args: Any, **options: Any) -> str:
    with pytest.raises(RecipeProblems) as caught:
        recipe(*args, **options)
    return caught.value.message


@pytest.mark.parametrize(
    ("validate", "strategy"),
    [
        ({"metric": "strict.qabf"}, "joint"),
        ({"metric": "strict.qabf", "every": 50, "limit": 8, "patience": 5, "weights": "last"}, "meta"),
        ({"loss": "task", "min_delta": 0.01, "patience": 3}, "supervised"),
        ({"loss": "evaluator", "holdout": 0.1}, "meta"),
        (None, "joint"),
    ],
)
@pytest.mark.parametrize("phase", ["train", "warm"])
def test_right_sections_pass_and_survive_being_written_out(validate: Any, strategy: str, phase: str) -> None:
    made = recipe(validate, strategy, phase=phase)
    again = Recipe.from_dict(made.plain, check_data=False)
    assert again.plain == made.plain
    section = made.model.train or made.model.pretrain["warm"]
    assert (section.validation is None) is (validate is None)


@pytest.mark.parametrize(
    ("validate", "strategy", "message"),
    [
        ({}, "joint", "train.validate: give either `metric` (of the fused images) or `loss`"),
        ({"metric": "strict.qabf", "loss": "total"}, "joint", "train.validate: give either `metric`"),
        (
            {"loss": "totl"},
            "joint",
            "train.validate.loss: strategy 'uaafusion.joint' does not report a loss 'totl'; it reports gradient, "
            "intensity, task, total; did you mean 'total'?",
        ),
        ({"loss": "reconstruction"}, "meta", "it reports evaluator, fusion, gradient, intensity"),
        ({"metric": "strict.qabff"}, "joint", "no metric named 'strict.qabff'; did you mean 'strict.qabf'?"),
        (
            {"metric": "strict.qabf"},
            "supervised",
            "train.validate.metric: strategy 'tasks.supervised' does not train the fusion backbone, so a metric "
            "of fused images does not measure its progress; give a loss: disagreement, task",
        ),
        ({"metric": "strict.qabf", "holdout": 1.0}, "joint", "must be less than 1"),
        ({"metric": "strict.qabf", "evry": 3}, "joint", "no such key; did you mean 'every'?"),
    ],
)
def test_wrong_sections_are_refused(validate: Any, strategy: str, message: str) -> None:
    assert message in refused(validate, strategy)


def test_a_strategy_that_tells_no_loss_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from fusekit_tasks.config import SupervisedConfig

    monkeypatch.setattr(SupervisedConfig, "losses", lambda self: frozenset())
    assert "cannot compute a loss without training on it; give a metric" in refused({"loss": "task"}, "supervised")


def params(**given: Any) -> dict[str, Any]:
    return {**MSRS, "params": given}


ONE_FOLDER = {"train_folder": "all", "test_folder": "all", "train_list": "train.txt", "test_list": "test.txt"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (params(), "MSRS has no validation split, so `val` is its test split; choose separate scenes with"),
        (params(val_folder="test"), "the validation split of MSRS is its test split; choose separate"),
        (params(val_folder="train"), "the validation split of MSRS is its training split; choose separate"),
        (
            params(val_list="val.txt"),
            "its test split, which is in the same folder; separate them with data.params.test",
        ),
        (
            params(val_folder="train", val_list="val.txt"),
            "its training split, which is in the same folder; separate them",
        ),
        (params(**ONE_FOLDER, val_folder="all"), "separate them with data.params.val_list"),
        (params(**ONE_FOLDER, val_list="test.txt"), "the validation split of MSRS is its test split"),
    ],
)
def test_test_scenes_are_not_validated_on(data: dict[str, Any], message: str) -> None:
    found = refused({"metric": "strict.qabf"}, data=data)
    assert found.startswith("train.validate: ")
    assert message in found
    assert "holdout: 0.1" in found
    recipe({"metric": "strict.qabf", "holdout": 0.1}, data=data)
    recipe(None, data=data)


@pytest.mark.parametrize(
    "data",
    [
        params(val_folder="val"),
        params(**ONE_FOLDER, val_list="val.txt"),
        params(val_list="val.txt", test_list="test.txt"),
        params(val_folder="train", val_list="val.txt", train_list="train.txt"),
        {"use": "scenes.streets"},
    ],
)
def test_a_split_of_its_own_is_validated_on(data: dict[str, Any]) -> None:
    recipe({"metric": "strict.qabf"}, data=data)
