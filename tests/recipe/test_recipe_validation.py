"""The three phases of validation, and what each says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fusekit.errors import PluginError, RecipeError
from fusekit.interfaces.config import ComponentRef
from fusekit.recipe.recipe import Recipe
from tests.paths import REPOSITORY
from tests.recipe import fakes
from tests.recipe.fakes import MINIMAL, fake_registry, write

REGISTRY = fake_registry()
TRAIN = "train: {strategy: {use: %s}}\n"


def refused(folder: Path, text: str, kind: type[Exception] = RecipeError) -> list[str]:
    with pytest.raises(kind) as caught:
        Recipe.load(write(folder, text), (), REGISTRY)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def backbone(use: str, params: str = "") -> str:
    return MINIMAL.replace("fake.unfolding", use + (f", params: {params}" if params else ""))


def test_shape_errors_all_at_once_in_order(tmp_path: Path) -> None:
    text = MINIMAL + (
        "train:\n  strategy: {use: fake.joint}\n  lr: 1e-4\n  epoch: 3\n  batch: '8'\n  precision: fp16\n"
        "  clip: -1\n  sampling: {resize: [64]}\nfuse: 3\nevaluate: {metrics: [3]}\n"
    )
    assert refused(tmp_path, text) == [
        "recipe.yaml:8:3 train.lr: no such key; did you mean 'train.optimiser.lr'?",
        "recipe.yaml:9:3 train.epoch: no such key; did you mean 'epochs'?",
        "recipe.yaml:10:10 train.batch: must be a whole number, not the text '8'; write it without quotes",
        "recipe.yaml:11:14 train.precision: must be one of 'fp32' or 'bf16', not the text 'fp16'",
        "recipe.yaml:12:9 train.clip: must be more than 0, not -1",
        "recipe.yaml:13:14 train.sampling.resize.1: missing",
        "recipe.yaml:14:7 fuse: must be a mapping, not the number 3",
        "recipe.yaml:15:22 evaluate.metrics.0: must be text, not the number 3; put it in quotes",
    ]


def test_missing_sections_say_what_they_are_for(tmp_path: Path) -> None:
    assert refused(tmp_path, "schema: 1\nname: n\nmodel:\n  guidance: {}\n") == [
        "recipe.yaml:1:1 data: missing (the dataset)",
        "recipe.yaml:3:1 model.backbone: missing (fusion backbone: fuses the sources)",
        "recipe.yaml:4:3 model.guidance.use: missing (name of the component, `namespace.component`)",
    ]
    assert "recipe.yaml:1:9 schema: must be 1, not the number 2" in refused(tmp_path, "schema: 2\n")
    assert "does not have the form" in refused(tmp_path, MINIMAL.replace("small", "a/b"))[0]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("{stages: 20}", "stages: must be at most 16, not 20"),
        ("{stages: '8'}", "stages: must be a whole number, not the text '8'; write it without quotes"),
        ("{stages: 8.5}", "stages: must be a whole number, not the number 8.5"),
        ("{stages: true}", "stages: must be a whole number, not true"),
        ("{rate: '1e-4'}", "rate: must be a number, not the text '1e-4'; write it without quotes"),
        ("{share: 1}", "share: must be true or false, not the number 1"),
        ("{weights: 3}", "weights: must be text, not the number 3; put it in quotes"),
        ("{window: 3}", "window: must be a list, not the number 3"),
        ("{window: [1, 2, 3]}", "window: may have at most 2 items"),
        (
            "{chanels: 3}",
            "chanels: backbone 'fake.unfolding' has no such parameter; did you mean 'channels'?",
        ),
        ("{zzz: 3}", "zzz: backbone 'fake.unfolding' has no such parameter; choose from stages, channels, "),
        ("{stage: {use: fake.stge}}", "stage.use: no stage named 'fake.stge'; did you mean 'fake.stage'?"),
        (
            "{stage: {use: fake.stage, params: {depht: 1}}}",
            "stage.params.depht: stage 'fake.stage' has no such",
        ),
        ("{extra: {use: fake.stage, params: {depth: 0}}}", "extra.params.depth: must be at least 1, not 0"),
        (
            "{priors: [{use: fake.line, params: {a: 1}}]}",
            "priors.0.params.a: pathway 'fake.line' has no such",
        ),
    ],
)
def test_wrong_parameters(tmp_path: Path, params: str, message: str) -> None:
    (line,) = refused(tmp_path, backbone("fake.unfolding", params))
    assert line.startswith("recipe.yaml:5:")
    assert f"model.backbone.params.{message}" in line


def test_integer_and_list_fit_where_a_number_and_a_tuple_are_wanted(tmp_path: Path) -> None:
    path = write(tmp_path, backbone("fake.unfolding", "{rate: 1, window: [5, 5], limit: .inf}"))
    params = Recipe.load(path, (), REGISTRY).config("backbone", ComponentRef(use="fake.unfolding")).model_dump()
    assert params["rate"] == 1e-3
    config = Recipe.load(path, (), REGISTRY).components[1].config
    assert isinstance(config, fakes.UnfoldingConfig)
    assert (config.rate, config.window, config.limit) == (1.0, (5, 5), float("inf"))


def test_unions_validators_and_required_parameters(tmp_path: Path) -> None:
    assert refused(tmp_path, backbone("fake.strict", "{sizes: x, even: 3}")) == [
        "recipe.yaml:5:32 model.backbone.params.depth: missing (required)",
        "recipe.yaml:5:48 model.backbone.params.sizes: must be a whole number, not the text 'x'; "
        "or: must be a list, not the text 'x'",
        "recipe.yaml:5:57 model.backbone.params.even: 3 is odd; only even sizes can be halved",
    ]


def test_unknown_components(tmp_path: Path) -> None:
    assert refused(tmp_path, backbone("fake.unfoldng") + "evaluate: {metrics: [strict.ssmi]}\n") == [
        "recipe.yaml:5:19 model.backbone.use: no backbone named 'fake.unfoldng'; did you mean 'fake.unfolding'?",
        "recipe.yaml:6:22 evaluate.metrics.0: no metric named 'strict.ssmi'; did you mean 'strict.ssim'?",
    ]
    assert "'fake.segmenter' is of kind task, not backbone" in refused(tmp_path, backbone("fake.segmenter"))[0]
    assert "no plugin 'absent' is installed" in refused(tmp_path, backbone("absent.network"))[0]


def test_broken_plugins_keep_their_exit_code(tmp_path: Path) -> None:
    with pytest.raises(PluginError) as caught:
        Recipe.load(write(tmp_path, backbone("ruin.network")), (), REGISTRY)
    assert caught.value.exit_code == 3
    assert "recipe.yaml:5:19 model.backbone.use: no backbone 'ruin.network': plugin 'ruin' of fusekit-ruin is" in str(
        caught.value
    )
    for use, message in [
        ("fake.gone", "cannot be used: ImportError: module tests.recipe.fakes does not define Missing"),
        ("fake.raising", "needs() of its Config raised KeyError: 'lost'"),
        ("fake.strict, params: {even: 13, depth: 1}", "checking its parameters raised RuntimeError: unlucky"),
    ]:
        line = refused(tmp_path, backbone(use), PluginError)[0]
        assert line.startswith("recipe.yaml:5:19 model.backbone.use: ")
        assert message in line
    assert "not a DatasetConfig" in refused(tmp_path, MINIMAL.replace("fake.scenes", "fake.wrong"), PluginError)[0]
    assert "which is not a part of a recipe" in refused(tmp_path, MINIMAL + TRAIN % "fake.odd", PluginError)[0]


def test_a_component_that_nests_itself_by_default_ends(tmp_path: Path) -> None:
    assert "its parameters contain itself" in refused(tmp_path, backbone("fake.loop"), PluginError)[0]
    path = write(tmp_path, backbone("fake.loop", "{inner: {use: fake.plain}}"))
    assert Recipe.load(path, (), REGISTRY).plain["model"]["backbone"]["params"]["inner"]["use"] == "fake.plain"


def test_a_misspelt_name_is_told_before_a_broken_plugin(tmp_path: Path) -> None:
    lines = refused(tmp_path, backbone("fake.unfoldng") + "  task: {use: ruin.task}\n")
    assert "did you mean" in lines[0]
    assert "broken" in lines[1]


def test_missing_parts(tmp_path: Path) -> None:
    assert refused(tmp_path, MINIMAL + TRAIN % "fake.meta") == [
        "recipe.yaml:6:25 train.strategy.use: strategy 'fake.meta' needs a loss proposer; "
        "the recipe has none: add model.proposer",
        "recipe.yaml:6:25 train.strategy.use: strategy 'fake.meta' needs a reconstruction head; "
        "the recipe has none: add model.reconstruction {use: fake.head}",
    ]
    parts = "  proposer: {use: fake.proposer}\n  reconstruction: {use: fake.head}\n"
    Recipe.load(write(tmp_path, MINIMAL + parts + TRAIN % "fake.meta"), (), REGISTRY)
    nested = backbone("fake.unfolding", "{stage: {use: fake.stage, params: {attention: true}}}")
    assert "stage 'fake.stage' needs a task network" in refused(tmp_path, nested)[0]
    pretrain = MINIMAL + "pretrain: {warm: {strategy: {use: fake.meta}}}\n"
    assert "pretrain.warm.strategy.use" in refused(tmp_path, pretrain)[0]


def test_what_hears_guidance_wants_some(tmp_path: Path) -> None:
    hearing = MINIMAL + "  proposer: {use: fake.hearing}\n  task: {use: fake.segmenter}\n"
    assert refused(tmp_path, hearing) == [
        "recipe.yaml:6:19 model.proposer.use: loss-proposer 'fake.hearing' needs guidance; the recipe has none: "
        "add model.guidance {use: fake.guidance}"
    ]
    Recipe.load(write(tmp_path, hearing + "  guidance: {use: fake.guidance}\n"), (), REGISTRY)


def test_guidance_as_it_was_written_once_says_how_it_is_now(tmp_path: Path) -> None:
    for written in ("pathway: {use: fake.line}, scope: batch", "megapixels: 2"):
        (line,) = refused(tmp_path, MINIMAL + f"  guidance: {{{written}}}\n")
        assert line.startswith("recipe.yaml:6:13 model.guidance: guidance is a component; write {use: ")
        assert "pathway, scope in params" in line or "megapixels in params" in line


def test_what_asks_for_regions_wants_a_task_network_that_segments(tmp_path: Path) -> None:
    regions = MINIMAL + "  proposer: {use: fake.regions}\n"
    needs = "recipe.yaml:6:19 model.proposer.use: loss-proposer 'fake.regions' needs a task network for segmentation; "
    classifier = "  task: {use: fake.classifier}\n"
    assert refused(tmp_path, regions) == [needs + "the recipe has none: add model.task"]
    assert refused(tmp_path, regions + classifier) == [
        needs + "task 'fake.classifier' solves classification: choose another"
    ]
    guidance = "  guidance: {use: fake.guidance, params: {pathway: {use: fake.line}}}\n"
    (line,) = refused(tmp_path, MINIMAL + classifier + guidance)
    assert "guidance 'fake.guidance' needs a task network for segmentation; task 'fake.classifier' solves" in line
    Recipe.load(write(tmp_path, regions + "  task: {use: fake.segmenter}\n"), (), REGISTRY)
    # By itself it needs neither regions nor label maps.
    Recipe.load(write(tmp_path, MINIMAL.replace("scenes", "unlabelled") + classifier), (), REGISTRY)


def test_the_labels_of_a_detector_are_boxes(tmp_path: Path) -> None:
    train = "train: {strategy: {use: fake.labelled}}\n"
    detector, segmenter = "  task: {use: fake.detector}\n", "  task: {use: fake.segmenter}\n"
    boxed = MINIMAL.replace("fake.scenes", "fake.boxed")
    Recipe.load(write(tmp_path, boxed + detector + train), (), REGISTRY)
    task, strategy = refused(tmp_path, MINIMAL + detector + train)
    assert "task 'fake.detector' needs boxes; dataset 'fake.scenes' has none: choose data with boxes" in task
    assert "strategy 'fake.labelled' needs boxes; dataset 'fake.scenes' has none" in strategy
    task, strategy = refused(tmp_path, boxed + segmenter + train)
    assert "task 'fake.segmenter' needs labels; dataset 'fake.boxed' has none" in task
    assert "strategy 'fake.labelled' needs labels" in strategy


def test_a_role_is_no_path(tmp_path: Path) -> None:
    (line,) = refused(tmp_path, MINIMAL.replace("fake.scenes", "fake.astray"))
    assert line.startswith("recipe.yaml:3:13 data.use: dataset 'fake.astray' has the role '../up', which cannot be")


def test_a_strategy_is_refused_parts_that_cannot_learn(tmp_path: Path) -> None:
    parts = "  proposer: {use: fake.fixed}\n  reconstruction: {use: fake.head}\n"
    assert refused(tmp_path, MINIMAL.replace("fake.unfolding", "fake.rule") + parts + TRAIN % "fake.meta") == [
        "recipe.yaml:8:25 train.strategy.use: strategy 'fake.meta' trains a fusion backbone; backbone 'fake.rule' has "
        "no trainable parameters: choose another",
        "recipe.yaml:8:25 train.strategy.use: strategy 'fake.meta' trains a loss proposer; loss-proposer 'fake.fixed' "
        "has no trainable parameters: choose another",
    ]


def test_streams_are_those_of_the_strategy(tmp_path: Path) -> None:
    parts = "  proposer: {use: fake.proposer}\n  reconstruction: {use: fake.head}\n"
    phase = "train:\n  strategy: {use: fake.meta}\n  streams:\n    inner: {size: 64}\n    outr: {mode: full}\n"
    assert refused(tmp_path, MINIMAL + parts + phase) == [
        "recipe.yaml:12:5 train.streams.outr: strategy 'fake.meta' does not draw from a stream 'outr'; "
        "its streams: inner, outer; did you mean 'outer'?"
    ]
    pretrain = MINIMAL + "pretrain: {warm: {strategy: {use: fake.joint}, streams: {inner: {size: 64}}}}\n"
    assert "pretrain.warm.streams.inner" in refused(tmp_path, pretrain)[0]


def test_labels_and_class_counts(tmp_path: Path) -> None:
    unlabelled = MINIMAL.replace("scenes", "unlabelled") + "  task: {use: fake.segmenter}\n"
    assert refused(tmp_path, unlabelled) == [
        "recipe.yaml:6:15 model.task.use: task 'fake.segmenter' needs labels; "
        "dataset 'fake.unlabelled' has none: choose data with a class table"
    ]
    (line,) = refused(tmp_path, MINIMAL + "  task: {use: fake.segmenter, params: {classes: 19}}\n")
    assert line.startswith("recipe.yaml:6:49 model.task.params.classes: task 'fake.segmenter' is made for 19 classes, ")
    assert "but dataset 'fake.scenes' has 9" in line
    (line,) = refused(tmp_path, MINIMAL + "  task: {use: fake.counted, params: {table: nineteen}}\n")
    assert line.startswith("recipe.yaml:6:15 model.task.use: task 'fake.counted' is made for 19 classes")
    for task in (
        "{use: fake.segmenter, params: {classes: 9}}",
        "{use: fake.counted, params: {table: other}}",
    ):
        Recipe.load(write(tmp_path, MINIMAL + f"  task: {task}\n"), (), REGISTRY)


def test_requirements(tmp_path: Path) -> None:
    text = MINIMAL + "requires: [fusekit-nothing>=0.1, pydantic<1, image-fusekit>=0.0.1, 'x; python_version<\"3\"']\n"
    lines = refused(tmp_path, text, PluginError)
    assert lines[0] == ("recipe.yaml:6:12 requires.0: this recipe requires fusekit-nothing>=0.1; it is not installed")
    assert lines[1].startswith("recipe.yaml:6:34 requires.1: this recipe requires pydantic<1; version 2.")
    assert lines[2] == "pip install 'fusekit-nothing>=0.1' 'pydantic<1'"
    assert "'>>' is not a valid requirement" in refused(tmp_path, MINIMAL + "requires: ['>>']\n")[0]


def test_a_recipe_may_only_fuse(tmp_path: Path) -> None:
    recipe = Recipe.load(write(tmp_path, MINIMAL), (), REGISTRY)
    assert recipe.model.train is None
    assert recipe.model.evaluate.baselines[0].use == "baselines.copy"


def test_from_dict_has_no_positions() -> None:
    plain = {
        "schema": 1,
        "name": "n",
        "data": {"use": "fake.scenes"},
        "model": {"backbone": {"use": "fake.plain"}},
    }
    recipe = Recipe.from_dict(plain, ["seed=3"], REGISTRY)
    assert (recipe.model.seed, recipe.source) == (3, None)
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict({**plain, "seed": "x"}, (), REGISTRY)
    assert str(caught.value) == "seed: must be a whole number, not the text 'x'"
    with pytest.raises(RecipeError, match="a recipe must be a mapping"):
        Recipe.from_dict([], (), REGISTRY)  # type: ignore[arg-type]


def test_config_of_any_reference(tmp_path: Path) -> None:
    recipe = Recipe.load(write(tmp_path, MINIMAL), (), REGISTRY)
    config = recipe.config("stage", ComponentRef(use="fake.stage", params={"depth": 3}))
    assert isinstance(config, fakes.StageConfig)
    assert config.depth == 3
    with pytest.raises(RecipeError, match=r"^params.depht: stage 'fake.stage' has no such parameter; did you mean"):
        recipe.config("stage", ComponentRef(use="fake.stage", params={"depht": 3}))
    with pytest.raises(PluginError, match=r"did you mean 'fake\.stage'"):
        recipe.config("stage", ComponentRef(use="fake.stag"))
    assert isinstance(recipe.data_config, fakes.SceneConfig)


def test_resolved_recipe_loads_back_equal(tmp_path: Path) -> None:
    text = backbone("fake.unfolding", "{weights: null, rate: 1e-5, priors: [{use: fake.line}]}") + (
        "  task: {use: fake.segmenter}\ntrain: {strategy: {use: fake.joint}, sampling: {resize: [64, 96]}}\n"
        "when_missing: {data: {use: fake.scenes}, train: null}\n"
    )
    recipe = Recipe.load(write(tmp_path, text), ("data.params.count=3",), REGISTRY)
    resolved = recipe.dumps_resolved()
    again = Recipe.load(write(tmp_path, resolved, "resolved.yaml"), (), REGISTRY)
    assert again == recipe
    assert again.dumps_resolved().splitlines()[2:] == resolved.splitlines()[2:]
    assert "# fake: fusekit-fake 1.2\n" in resolved
    assert "ruin" not in resolved
    params = recipe.plain["model"]["backbone"]["params"]
    assert params["stage"]["params"] == {"depth": 2, "attention": False}
    assert recipe.plain["train"]["optimiser"]["betas"] == [0.9, 0.999]
    assert recipe.text == text
    assert not [line for line in resolved.splitlines() if line != line.rstrip()]


def test_validation_imports_no_torch(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL + "  task: {use: fake.segmenter}\n")
    script = (
        "import sys\n"
        "from tests.recipe.fakes import fake_registry\n"
        "from fusekit.recipe.recipe import Recipe\n"
        "from fusekit.authoring.recipe_schema import recipe_schema\n"
        "import fusekit.cli.recipes\n"
        f"Recipe.load({str(path)!r}, (), fake_registry()).dumps_resolved()\n"
        "recipe_schema(fake_registry())\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
