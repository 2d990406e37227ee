"""Parents, overrides and `null`: what the merged recipe holds, and where errors point."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusekit.errors import RecipeError
from fusekit.recipe import library
from fusekit.recipe.compose import as_written, read_with_parents
from fusekit.recipe.overrides import apply_overrides, merge
from fusekit.recipe.problems import RecipeProblems
from fusekit.recipe.recipe import Recipe
from fusekit.recipe.tree import Mark, node_from_plain
from tests.recipe.fakes import MINIMAL, fake_registry, write

REGISTRY = fake_registry()


def load(folder: Path, text: str, *overrides: str) -> Recipe:
    return Recipe.load(write(folder, text), overrides, REGISTRY)


def refused(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load(folder, text, *overrides)
    return str(caught.value).replace(f"{folder}/", "")


def test_child_lies_over_parents_in_order(tmp_path: Path) -> None:
    write(
        tmp_path,
        "schema: 1\nname: base\nseed: 1\ndata: {use: fake.scenes, params: {size: 32, count: 2}}",
        "a.yaml",
    )
    write(tmp_path, "seed: 2\nmodel: {backbone: {use: fake.unfolding, params: {window: [5, 5]}}}", "sub/b.yaml")
    recipe = load(
        tmp_path,
        """
        extends: [a.yaml, sub/b.yaml]
        name: child
        data: {params: {count: 3}}
        model: {backbone: {params: {window: [1, 2]}}}
        """,
    )
    assert (recipe.model.name, recipe.model.seed) == ("child", 2)
    assert recipe.plain["data"]["params"] == {"size": 32, "count": 3}
    assert recipe.plain["model"]["backbone"]["params"]["window"] == [1, 2]
    assert "extends" not in recipe.plain


def test_other_component_drops_inherited_params(tmp_path: Path) -> None:
    write(tmp_path, MINIMAL.replace("fake.unfolding}", "fake.unfolding, params: {stages: 2}}"), "a.yaml")
    other = "extends: a.yaml\nmodel: {backbone: {use: %s, params: {depth: 1}}}"
    assert load(tmp_path, other % "fake.strict").plain["model"]["backbone"]["params"]["depth"] == 1
    same = "extends: a.yaml\nmodel: {backbone: {use: fake.unfolding, params: {channels: 8}}}"
    assert load(tmp_path, same).plain["model"]["backbone"]["params"]["stages"] == 2
    assert load(tmp_path, "extends: a.yaml\nname: n", "model.backbone.use=fake.plain").model.name == "n"


def test_naming_a_component_drops_the_parents_bare_params(tmp_path: Path) -> None:
    parent = MINIMAL + "when_missing: {model: {backbone: {params: {stages: 2}}}}\n"
    write(tmp_path, parent.replace("fake.scenes", "fake.folders"), "a.yaml")
    child = """
    extends: a.yaml
    model: {backbone: {use: fake.plain}}
    when_missing: {data: {use: fake.scenes}, model: {backbone: {use: fake.plain}}}
    """
    assert load(tmp_path, child).plain["model"]["backbone"] == {"use": "fake.plain", "params": {}}


@pytest.mark.parametrize("over", [{"use": "fake.plain"}, {"use": "fake.plain", "params": {"depth": 1}}])
def test_another_component_does_not_inherit_a_model_file(over: dict[str, object]) -> None:
    mark = Mark("a.yaml", 1, 1)
    base = node_from_plain({"use": "fake.strict", "from": "a.safetensors", "freeze": True, "params": {"x": 1}}, mark)
    assert merge(base, node_from_plain(over, mark)).plain() == over
    changed = apply_overrides(node_from_plain({"model": {"task": base.plain()}}, mark), ["model.task.use=fake.plain"])
    assert changed.plain() == {"model": {"task": {"use": "fake.plain"}}}
    same = merge(base, node_from_plain({"use": "fake.strict", "params": {"y": 2}}, mark)).plain()
    assert same == {"use": "fake.strict", "from": "a.safetensors", "freeze": True, "params": {"x": 1, "y": 2}}


def test_error_points_into_the_parent(tmp_path: Path) -> None:
    write(tmp_path, MINIMAL + "fuse:\n  limit: many\n", "base/a.yaml")
    assert refused(tmp_path, "extends: base/a.yaml\nname: child\n") == (
        "base/a.yaml:7:10 fuse.limit: must be a whole number, not the text 'many'"
    )
    write(tmp_path, MINIMAL.replace("unfolding}", "unfolding, params: {stage: 3}}"), "base/a.yaml")
    assert refused(tmp_path, "extends: base/a.yaml\n").startswith("base/a.yaml:5:")


def test_null_drops_what_a_parent_set(tmp_path: Path) -> None:
    parent = MINIMAL + "  proposer: {use: fake.proposer}\ntrain: {strategy: {use: fake.joint}}\nfuse: {limit: 3}\n"
    write(tmp_path, parent + "pretrain: {warm: {strategy: {use: fake.joint}}}\n", "a.yaml")
    child = "extends: a.yaml\ntrain: null\nfuse:\nmodel: {proposer: null}\npretrain: {warm: null}\n"
    recipe = load(tmp_path, child)
    assert recipe.model.train is None
    assert recipe.model.fuse.limit is None
    assert recipe.model.model.proposer is None
    assert recipe.model.pretrain == {}


def test_null_is_a_value_below_params_and_no_scalar(tmp_path: Path) -> None:
    recipe = load(tmp_path, MINIMAL.replace("unfolding}", "unfolding, params: {weights: null}}"))
    assert recipe.plain["model"]["backbone"]["params"]["weights"] is None
    assert "seed: must be a whole number, not nothing" in refused(tmp_path, MINIMAL + "seed:\n")
    assert "model.backbone: must be a mapping, not nothing" in refused(
        tmp_path, MINIMAL.replace("{use: fake.unfolding}", "")
    )


def test_circles_depth_and_absent_parents(tmp_path: Path) -> None:
    write(tmp_path, "extends: recipe.yaml\n", "a.yaml")
    assert refused(tmp_path, "extends: a.yaml\n") == (
        "a.yaml:1:10 extends: circular parents: recipe.yaml extends a.yaml extends recipe.yaml"
    )
    assert "circular" in refused(tmp_path, "extends: recipe.yaml\n")
    assert refused(tmp_path, MINIMAL + "extends: [aa.yaml]\n") == (
        "recipe.yaml:6:11 extends: no recipe 'aa.yaml' next to this file, and no shipped recipe of that name; "
        "did you mean 'a.yaml'?"
    )
    assert "not the number 3" in refused(tmp_path, "extends: [3]\n")
    for i in range(9):
        write(tmp_path, f"extends: p{i + 1}.yaml\n", f"p{i}.yaml")
    write(tmp_path, MINIMAL, "p9.yaml")
    assert "more than 8 levels of parents" in refused(tmp_path, "extends: p0.yaml\n")
    assert load(tmp_path, "extends: p3.yaml\n").model.name == "small"


def test_one_parent_by_two_ways_is_no_circle(tmp_path: Path) -> None:
    write(tmp_path, MINIMAL, "root.yaml")
    write(tmp_path, "extends: root.yaml\nseed: 4\n", "left.yaml")
    write(tmp_path, "extends: root.yaml\nname: right\n", "right.yaml")
    recipe = load(tmp_path, "extends: [left.yaml, right.yaml]\n")
    assert (recipe.model.seed, recipe.model.name) == (4, "right")


def test_shipped_parents_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "recipes_folder", lambda: tmp_path / "shipped")
    write(tmp_path, MINIMAL, "shipped/quick.yaml")
    write(tmp_path, "seed: 9\n", "shipped/base/common.yaml")
    recipe = load(tmp_path, "extends: [quick, base/common.yaml]\n")
    assert recipe.model.seed == 9
    assert "did you mean 'quick'?" in refused(tmp_path, "extends: quik\n")


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("seed=7", ("seed",), 7),
        ("name=no", ("name",), "no"),
        ("description=a: b # c", ("description",), "a: b # c"),
        ("description='7'", ("description",), "7"),
        ("data.root=", ("data", "root"), None),
        ("model.backbone.params.rate=1e-4", ("model", "backbone", "params", "rate"), 1e-4),
        ("model.backbone.params.window=[5, 7]", ("model", "backbone", "params", "window"), [5, 7]),
        ("model.backbone.params.weights=null", ("model", "backbone", "params", "weights"), None),
        ("model.backbone={params: {stages: 2}}", ("model", "backbone", "params", "stages"), 2),
        (
            "model.backbone.params.stage.params.depth=5",
            ("model", "backbone", "params", "stage", "params", "depth"),
            5,
        ),
        ("pretrain.segmenter.epochs=3", ("pretrain", "segmenter", "epochs"), 3),
        ("train.clip=1", ("train", "clip"), 1.0),
        ("train.schedule.warmup=4", ("train", "schedule", "warmup"), 4),
        ("evaluate.baselines.0.use=fake.plain", ("evaluate", "baselines", 0, "use"), "fake.plain"),
        ("fuse.limit=2", ("fuse", "limit"), 2),
        ("when_missing.seed=2", ("when_missing", "seed"), 2),
        ("train=null", ("train",), None),
    ],
)
def test_overrides(tmp_path: Path, override: str, path: tuple[str | int, ...], value: object) -> None:
    text = MINIMAL + (
        "    params: {stage: {use: fake.stage}}\n"
        "pretrain: {segmenter: {strategy: {use: fake.joint}}}\n"
        "train: {strategy: {use: fake.joint}}\n"
        "evaluate: {metrics: [], baselines: [{use: baselines.max}]}\n"
    )
    text = text.replace("{use: fake.unfolding}\n    params", "\n    use: fake.unfolding\n    params")
    found = load(tmp_path, text, override).plain
    for key in path:
        found = found[key]  # type: ignore[index]
    assert found == value


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=1", "-o #1 (train.epoch=1) train.epoch: no such key; did you mean 'train.epochs'?"),
        ("modle.backbone=1", "-o #1 (modle.backbone=1) modle: no such key; did you mean 'model'?"),
        ("seed=x", "-o #1 (seed=x) seed: must be a whole number, not the text 'x'"),
        (
            "seed='7'",
            "-o #1 (seed='7') seed: must be a whole number, not the text '7'; write it without quotes",
        ),
        ("seed.deep=1", "seed is a single value and has no keys"),
        ("pretrain.segmentor.epochs=1", "no such entry; did you mean 'pretrain.segmenter'?"),
        ("evaluate.baselines.3.use=fake.plain", "'3' is not a valid index of this list: 0 to 0"),
        ("evaluate.metrics.0=strict.en", "evaluate.metrics: leaves"),
        ("novalue", "-o #1 (novalue): an override has the form path.to.key=value"),
        ("a..b=1", "an override has the form path.to.key=value"),
        ("=1", "an override has the form path.to.key=value"),
        ("seed=[1", "-o #1 (seed=[1) seed: not valid YAML"),
        (
            "model.backbone.params.chanels=3",
            "-o #1 (model.backbone.params.chanels=3) model.backbone.params.chanels: "
            "backbone 'fake.unfolding' has no such parameter; did you mean 'channels'?",
        ),
        (
            "model.backbone.params.stages=99",
            "-o #1 (model.backbone.params.stages=99) model.backbone.params.stages: must be at most 16, not 99",
        ),
        ("train.clip=1", "train.strategy: missing (the training algorithm)"),
    ],
)
def test_wrong_overrides(tmp_path: Path, override: str, message: str) -> None:
    text = (
        MINIMAL + "pretrain: {segmenter: {strategy: {use: fake.joint}}}\nevaluate: {baselines: [{use: fake.plain}]}\n"
    )
    if message == "evaluate.metrics: leaves":
        message = "the recipe leaves evaluate.metrics at its default; give the whole list"
    assert message in refused(tmp_path, text, override)


def test_every_wrong_override_is_told_in_order(tmp_path: Path) -> None:
    lines = refused(tmp_path, MINIMAL, "sed=1", "name=ok", "model.backbon.use=x").splitlines()
    assert [line[:5] for line in lines] == ["-o #1", "-o #3"]


def test_use_comes_before_the_params_typed_with_it(tmp_path: Path) -> None:
    recipe = load(tmp_path, MINIMAL, "model.backbone.params.depth=3", "model.backbone.use=fake.strict")
    assert recipe.plain["model"]["backbone"]["params"]["depth"] == 3


def test_problems_are_structured(tmp_path: Path) -> None:
    with pytest.raises(RecipeProblems) as caught:
        load(tmp_path, MINIMAL, "trian.epochs=1")
    (problem,) = caught.value.problems
    assert (problem.path, problem.suggestion) == ("trian", "train")
    assert problem.where == "-o #1 (trian.epochs=1)"


def test_trees_are_not_changed_in_place(tmp_path: Path) -> None:
    _, tree = read_with_parents(write(tmp_path, MINIMAL))
    before = tree.plain()
    as_written(tree, ["model.backbone.params.stages=2", "train.epochs=2"])
    assert tree.plain() == before
