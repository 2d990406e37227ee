"""The JSON Schema of recipes, judged by a validator that is not ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft7Validator  # type: ignore[import-untyped]

from fusekit.authoring.recipe_schema import recipe_schema
from fusekit.recipe.yaml_reader import parse_recipe
from tests.recipe.fakes import MINIMAL, fake_registry

SCHEMA, NOTES = recipe_schema(fake_registry())
VALIDATOR = Draft7Validator(SCHEMA)


def errors(text: str) -> list[tuple[str, str]]:
    plain: Any = parse_recipe(text, "r").plain()
    return sorted((".".join(map(str, e.absolute_path)), e.message) for e in VALIDATOR.iter_errors(plain))


def test_it_is_draft_seven_and_plain_json() -> None:
    Draft7Validator.check_schema(SCHEMA)
    text = json.dumps(SCHEMA, allow_nan=False)
    assert "x-fusekit" not in text
    for keyword in ("$defs", "prefixItems", "unevaluatedProperties", "dependentRequired"):
        assert f'"{keyword}"' not in text


def test_every_reference_resolves() -> None:
    used: set[str] = set()

    def walk(part: Any) -> None:
        if isinstance(part, dict):
            if "$ref" in part:
                used.add(part["$ref"].removeprefix("#/definitions/"))
            for inner in part.values():
                walk(inner)
        elif isinstance(part, list):
            for inner in part:
                walk(inner)

    walk(SCHEMA)
    assert len(used) > 10
    assert used <= set(SCHEMA["definitions"])


@pytest.mark.parametrize(
    "text",
    [
        MINIMAL,
        MINIMAL + "fuse: null\ntrain: null\nwhen_missing: {data: {use: fake.scenes}, train: {epochs: 2}}\n",
        MINIMAL + "train: {strategy: {use: fake.meta, params: {steps: 2, helper: {use: fake.segmenter}}}}\n",
        "schema: 1\nextends: base.yaml\n",
        "schema: 1\nextends: [a]\nmodel: {backbone: {params: {stages: 2}}, task: null}\ntrain: {epochs: 2}\n",
    ],
)
def test_right_recipes_pass(text: str) -> None:
    assert errors(text) == []


@pytest.mark.parametrize(
    ("tail", "path", "message"),
    [
        ("train: {strategy: {use: fake.joint}, epoch: 3}", "train", "'epoch' was unexpected"),
        ("train: {strategy: {use: fake.joint}, batch: '8'}", "train.batch", "'8' is not of type 'integer'"),
        ("train: {strategy: {use: fake.jont}}", "train.strategy.use", "'fake.jont' is not one of"),
        ("train: {epochs: 3}", "train", "'strategy' is a required property"),
        (
            "train: {strategy: {use: fake.meta, params: {steps: 0}}}",
            "train.strategy.params.steps",
            "0 is less than",
        ),
        ("evaluate: {metrics: [strict.eem]}", "evaluate.metrics.0", "'strict.eem' is not one of"),
        ("evaluate: {baselines: [{use: no.ne}]}", "evaluate.baselines.0.use", "'no.ne' is not one of"),
        ("fuse: {limit: many}", "fuse.limit", "'many' is not of type 'integer', 'null'"),
        (
            "pretrain: {a: {strategy: {use: fake.meta, params: {stepz: 1}}}}",
            "pretrain.a.strategy.params",
            "'stepz'",
        ),
        (
            "when_missing: {data: {use: fake.scenes, params: {cuont: 1}}}",
            "when_missing.data.params",
            "'cuont'",
        ),
        (
            "train: {strategy: {use: fake.meta, params: {helper: {use: fake.segmenter, params: {width: x}}}}}",
            "train.strategy.params.helper.params.width",
            "'x' is not of type 'integer'",
        ),
    ],
)
def test_errors_stay_at_their_field(tail: str, path: str, message: str) -> None:
    ((found, said),) = errors(MINIMAL + tail + "\n")
    assert found == path
    assert message in said


def test_dataset_parameters_and_partial_recipes() -> None:
    ((path, said),) = errors(MINIMAL.replace("fake.scenes", "fake.scenes, params: {count: 0}"))
    assert (path, said) == ("data.params.count", "0 is less than the minimum of 1")
    broken = "schema: 1\nextends: a\nmodel: {backbone: {use: fake.unfolding, params: {window: [1]}}}\n"
    assert errors(broken) == [("model.backbone.params.window", "[1] is too short")]
    assert errors("extends: a\n") == [("", "'schema' is a required property")]


def test_a_component_that_does_not_import_is_left_open() -> None:
    assert len(NOTES) == 1
    assert NOTES[0].startswith("backbone.fake.gone (")
    assert "backbone.fake.gone" in SCHEMA["$comment"]
    assert errors(MINIMAL.replace("fake.unfolding", "fake.gone, params: {any: thing}")) == []
