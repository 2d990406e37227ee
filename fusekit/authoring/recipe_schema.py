"""JSON Schema of recipes (draft 7) for editors, built from the installed components.

The schema contains no unions, so that editors mark exactly the wrong field: the schema of a component's parameters is
selected by ``if`` (its name) and ``then`` (its parameters).
"""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from fusekit.errors import FusekitError
from fusekit.interfaces.config import ComponentRef
from fusekit.plugin.registry import Registry
from fusekit.recipe.fields import field_kind, fields_of, held_kind
from fusekit.recipe.schema import PartComponentRef, RecipeModel

Schema = dict[str, Any]

_KIND = "x-fusekit-kind"
_ROOT = "#/definitions/"
_NULLABLE = ["object", "null"]


def recipe_schema(registry: Registry) -> tuple[Schema, list[str]]:
    """Builds the schema.

    A recipe with ``extends``, like a ``when_missing`` block, may leave out anything that its parents define; for
    these the schema has a second set of definitions, in which no key is required.

    Args:
        registry: The components to describe. Those whose specs declare no ``config`` are imported.

    Returns:
        The schema, and a note for each component whose parameters could not be described.
    """
    builder = _Builder(registry)
    full, partial = builder.frame(partial=False), builder.frame(partial=True)
    builder.kinds()
    frame = builder.definitions[partial]
    frame["properties"]["when_missing"] = {
        "allOf": [{"$ref": _ROOT + partial}],
        "description": frame["properties"]["when_missing"]["description"],
    }
    builder.definitions[full]["properties"]["when_missing"] = frame["properties"]["when_missing"]
    extends = {
        "description": "parent recipes, files or shipped names; later ones override earlier ones",
        "type": ["string", "array", "null"],
        "items": {"type": "string"},
    }
    for name in (full, partial):
        builder.definitions[name]["properties"]["extends"] = extends
    schema: Schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "fusekit recipe",
        "type": "object",
        "required": ["schema"],
        "if": {"required": ["extends"]},
        "then": {"$ref": _ROOT + partial},
        "else": {"$ref": _ROOT + full},
        "definitions": dict(sorted(builder.definitions.items())),
    }
    if builder.notes:
        schema["$comment"] = "Left open: " + "; ".join(builder.notes)
    return schema, builder.notes


class _Generator(GenerateJsonSchema):
    """Pydantic's generator, which also annotates every field that takes a component with its kind."""

    def model_schema(self, schema: Any) -> Schema:
        made = super().model_schema(schema)
        fields = fields_of(schema["cls"])
        for name, info in fields.items():
            kind = held_kind(info)
            if kind is not None and name in made.get("properties", {}):
                made["properties"][name][_KIND] = kind
        use = fields.get("use")
        if use is not None and "params" in fields and field_kind(use) is not None:
            made[_KIND] = field_kind(use)
        return made


class _Builder:
    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.definitions: dict[str, Schema] = {}
        self.notes: list[str] = []
        self.wanted: set[tuple[str, bool, bool]] = set()  # kind, partial, whether it is a part of the model

    def frame(self, *, partial: bool) -> str:
        """Adds the definitions of a recipe's own sections; returns the name of the outermost."""
        outermost = self.model(RecipeModel, "recipe", partial=partial)
        for name in [n for n in self.definitions if n == outermost or n.startswith(f"{outermost}.")]:
            required = self.definitions[name].get("required", [])
            for key, schema in self.definitions[name].get("properties", {}).items():
                entries = schema.get("additionalProperties")
                if key not in required and schema.get("type") == "object":
                    schema["type"] = _NULLABLE  # null restores the default
                if isinstance(entries, dict):
                    entries["type"] = _NULLABLE
        return outermost

    def kinds(self) -> None:
        """Adds a definition for each kind that is referred to, also by parameters of other components."""
        done: set[tuple[str, bool, bool]] = set()
        own = self.value("properties", PartComponentRef.model_json_schema(by_alias=True)["properties"], False)
        while todo := sorted(self.wanted - done):
            kind, partial, part = todo[0]
            done.add(todo[0])
            definition: Schema = {
                "type": _NULLABLE,
                "additionalProperties": False,
                "required": [] if partial else ["use"],
                "properties": {"use": self.names(kind), "params": {"type": _NULLABLE}},
            }
            if part:
                definition["properties"] |= {key: own[key] for key in ("from", "freeze")}
                if not partial:
                    del definition["required"]
                    definition["anyOf"] = [{"required": ["use"]}, {"required": ["from"]}, {"type": "null"}]
            choices = self.choices(kind, partial=partial)
            if choices:  # draft 7 forbids an empty `allOf`, and some kinds may have no installed component
                definition["allOf"] = choices
            self.definitions[_kind_name(kind, partial, part)] = definition

    def names(self, kind: str) -> Schema:
        specs = self.registry.specs(kind)
        listed = "; ".join(f"{s.name}: {s.summary}" for s in specs)
        described = {"description": f"{kind} — {listed}" if listed else f"a {kind}; none is installed"}
        return {"type": "string", "enum": [s.name for s in specs], **described} if specs else described

    def choices(self, kind: str, *, partial: bool) -> list[Schema]:
        """One ``if``/``then`` schema per component: if ``use`` names it, ``params`` has its schema."""
        made = []
        for spec in self.registry.specs(kind):
            prefix = f"{kind}.{spec.name}"
            try:
                model = self.registry.config_class(kind, spec.name)
                name = self.model(model, prefix, partial=partial)
                params: Schema = {"$ref": _ROOT + name}
                required = [] if partial or not self.definitions[name].get("required") else ["params"]
            except Exception as error:  # an error in a plugin; the rest of the schema is still useful
                reason = (error.message if isinstance(error, FusekitError) else str(error)).splitlines()
                note = f"{prefix} ({reason[0] if reason else type(error).__name__})"
                if note not in self.notes:
                    self.notes.append(note)
                continue
            condition = {"properties": {"use": {"const": spec.name}}, "required": ["use"]}
            made.append({"if": condition, "then": {"properties": {"params": params}, "required": required}})
        return made

    def model(self, model: type[BaseModel], prefix: str, *, partial: bool) -> str:
        """Adds the definitions of a model and of all nested models, under a separate prefix."""
        prefix = f"partial.{prefix}" if partial else prefix
        if prefix in self.definitions:
            return prefix
        made = model.model_json_schema(
            by_alias=True,
            ref_template=f"{_ROOT}{prefix}.{{model}}",
            schema_generator=_Generator,
            mode="validation",
        )
        inner = made.pop("$defs", {})
        self.definitions[prefix] = self.adapted(made, partial)
        for name, definition in inner.items():
            if not name.endswith(ComponentRef.__name__):
                self.definitions[f"{prefix}.{name}"] = self.adapted(definition, partial)
        return prefix

    def adapted(self, schema: Schema, partial: bool) -> Schema:
        """Converts a schema of pydantic to draft 7, with references to components resolved."""
        made = {key: self.value(key, value, partial) for key, value in schema.items() if key != _KIND}
        made.pop("title", None)
        if isinstance(made.get("default"), float) and not math.isfinite(made["default"]):
            del made["default"]  # JSON has no infinity
        if "prefixItems" in made:
            made["items"] = made.pop("prefixItems")
        kind = schema.get(_KIND)
        if made.get("type") == "object" and "properties" in made:
            made["type"] = _NULLABLE
            if partial:
                made.pop("required", None)
            if kind is not None:
                made["properties"]["use"] = self.names(kind)
                choices = self.choices(kind, partial=partial)
                if choices:
                    made["allOf"] = choices
        elif kind is not None:
            made = self.component(made, kind, partial)
        return _flat(made)

    def value(self, key: str, value: Any, partial: bool) -> Any:
        if key in ("properties", "patternProperties"):
            return {name: self.adapted(inner, partial) for name, inner in value.items()}
        if key in ("anyOf", "oneOf", "allOf", "prefixItems"):
            return [self.adapted(inner, partial) for inner in value]
        if key in ("items", "additionalProperties") and isinstance(value, dict):
            return self.adapted(value, partial)
        return value

    def component(self, schema: Any, kind: str, partial: bool) -> Any:
        """Inserts the schema of a kind where a field takes a component, or its names where it takes a name."""
        if isinstance(schema, list):
            return [self.component(item, kind, partial) for item in schema]
        if not isinstance(schema, dict):
            return schema
        if str(schema.get("$ref", "")).endswith(ComponentRef.__name__):
            part = str(schema["$ref"]).endswith(PartComponentRef.__name__)
            self.wanted.add((kind, partial, part))
            return {**schema, "$ref": _ROOT + _kind_name(kind, partial, part)}
        if schema.get("type") == "string":
            return {**schema, **self.names(kind)}
        return {
            key: value if key in ("default", "examples") else self.component(value, kind, partial)
            for key, value in schema.items()
        }


def _kind_name(kind: str, partial: bool, part: bool) -> str:
    name = f"part.{kind}" if part else f"kind.{kind}"
    return f"partial.{name}" if partial else name


def _flat(schema: Schema) -> Schema:
    """Rewrites references and ``| null`` without unions, and so that draft 7 respects sibling keywords.

    Draft 7 ignores the siblings of ``$ref``. Definitions of mappings allow null; where null is not allowed,
    ``type`` next to the reference excludes it.
    """
    options = schema.get("anyOf", [])
    nullable = len(options) == 2 and {"type": "null"} in options
    if nullable:
        other = next(option for option in options if option != {"type": "null"})
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        if "allOf" in other and other.get("type") == "object":
            return {**rest, "allOf": other["allOf"]}
        if isinstance(other.get("type"), str) and "const" not in other:
            enum = {"enum": [*other["enum"], None]} if "enum" in other else {}
            return {**rest, **other, "type": [other["type"], "null"], **enum}
        return schema
    if "$ref" in schema:
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return {**rest, "type": "object", "allOf": [{"$ref": schema["$ref"]}]}
    return schema
