"""Components without torch, as a registry of plugins would hold them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from pydantic import field_validator

from fusekit.interfaces.config import (
    BackboneRef,
    ComponentConfig,
    ComponentRef,
    Field,
    PathwayRef,
    StageRef,
    TaskRef,
)
from fusekit.interfaces.context import ClassTable
from fusekit.interfaces.dataset_config import DatasetConfig, Provenance
from fusekit.plugin.loader import PluginReport
from fusekit.plugin.registry import Registry
from fusekit.plugin.specs import ComponentSpec, component

NINE = ClassTable(tuple(f"class{i}" for i in range(9)), tuple((i, i, i) for i in range(9)))


class Empty(ComponentConfig):
    """No parameters."""


class UnfoldingConfig(ComponentConfig):
    stages: int = Field(4, ge=1, le=16, description="number of stages")
    channels: int = Field(32, ge=4, description="channels of a stage")
    rate: float = Field(1e-3, gt=0, description="step size")
    window: tuple[int, int] = Field((3, 3), description="window of the prior")
    share: bool = Field(False, description="share the weights of all stages")
    limit: float = Field(float("inf"), description="largest value")
    weights: str | None = Field("imagenet", description="what the weights start from")
    stage: StageRef = Field(ComponentRef(use="fake.stage"), description="one iteration")
    priors: list[PathwayRef] = Field(default_factory=list, description="paths of the priors")
    extra: StageRef | None = Field(None, description="a last iteration")


class StageConfig(ComponentConfig):
    depth: int = Field(2, ge=1, description="layers")
    attention: bool = Field(False, description="needs a task network")

    def needs(self) -> frozenset[str]:
        return frozenset({"task"} if self.attention else ())


class SegmenterConfig(ComponentConfig):
    width: int = Field(16, ge=4, description="channels of the first layer")
    classes: int | None = Field(None, description="classes of the weights")

    def class_count(self) -> int | None:
        return self.classes


class CountedConfig(ComponentConfig):
    table: str = Field("nine", description="name of a class table")

    def class_count(self) -> int | None:
        return {"nine": 9, "nineteen": 19}.get(self.table)


class ClassifierConfig(ComponentConfig):
    def solves(self) -> frozenset[str]:
        return frozenset({"classification"})


class DetectorConfig(ComponentConfig):
    def needs(self) -> frozenset[str]:
        return frozenset({"boxes"})

    def solves(self) -> frozenset[str]:
        return frozenset({"detection"})


class LabelledConfig(ComponentConfig):
    def needs(self) -> frozenset[str]:
        return frozenset({"task", "labels"})


class PathsConfig(ComponentConfig):
    pathway: PathwayRef | None = Field(None, description="the path")

    def needs(self) -> frozenset[str]:
        return frozenset({"task:segmentation"})


class HearingConfig(ComponentConfig):
    def needs(self) -> frozenset[str]:
        return frozenset({"guidance"})


class RegionsConfig(ComponentConfig):
    def needs(self) -> frozenset[str]:
        return frozenset({"task:segmentation"})


class StrictConfig(ComponentConfig):
    sizes: int | list[int] = Field(1, description="one size, or several")
    even: int = Field(2, description="an even number")
    depth: int = Field(description="required")

    @field_validator("even")
    @classmethod
    def _even(cls, value: int) -> int:
        if value == 13:
            raise RuntimeError("unlucky")
        if value % 2:
            raise ValueError(f"{value} is odd; only even sizes can be halved")
        return value


class MetaConfig(ComponentConfig):
    steps: int = Field(1, ge=1, description="inner steps")
    helper: TaskRef | None = Field(None, description="a second task network")

    def needs(self) -> frozenset[str]:
        return frozenset({"backbone", "loss-proposer", "reconstruction"})

    def trains(self) -> frozenset[str]:
        return frozenset({"backbone", "loss-proposer"})

    def streams(self) -> frozenset[str]:
        return frozenset({"inner", "outer"})


class RuleConfig(ComponentConfig):
    def has_weights(self) -> bool:
        return False


class OddConfig(ComponentConfig):
    def needs(self) -> frozenset[str]:
        return frozenset({"moon"})


class RaisingConfig(ComponentConfig):
    def needs(self) -> frozenset[str]:
        raise KeyError("lost")


class FoldersConfig(DatasetConfig):
    size: int = Field(64, description="side of an image")

    def roles(self) -> tuple[str, ...]:
        return ("infrared", "visible")

    def classes(self) -> ClassTable | None:
        return NINE

    def provenance(self) -> Provenance:
        return Provenance("folders", labels="human")

    def missing(self, root: Path | None) -> str | None:
        if root is not None and (root / "ir").is_dir():
            return None
        return f"put the infrared images into {root}/ir" if root else "data.root is not set"


class UnlabelledConfig(FoldersConfig):
    def classes(self) -> ClassTable | None:
        return None

    def missing(self, root: Path | None) -> str | None:
        return None


class SceneConfig(UnlabelledConfig):
    count: int = Field(8, ge=1, description="scenes")

    def classes(self) -> ClassTable | None:
        return NINE


class BoxedConfig(SceneConfig):
    def annotations(self) -> frozenset[str]:
        return frozenset({"boxes"})


class AstrayConfig(SceneConfig):
    def roles(self) -> tuple[str, ...]:
        return ("赤外線", "../up")


class LoopConfig(ComponentConfig):
    inner: BackboneRef = Field(ComponentRef(use="fake.loop"), description="wraps itself by default")


class NotADataset(ComponentConfig):
    pass


_KINDS = [
    ("backbone", "fake.unfolding", "UnfoldingConfig"),
    ("backbone", "fake.plain", "Empty"),
    ("backbone", "fake.rule", "RuleConfig"),
    ("backbone", "fake.strict", "StrictConfig"),
    ("backbone", "fake.raising", "RaisingConfig"),
    ("backbone", "fake.gone", "Missing"),
    ("backbone", "fake.loop", "LoopConfig"),
    ("stage", "fake.stage", "StageConfig"),
    ("pathway", "fake.line", "Empty"),
    ("guidance", "fake.guidance", "PathsConfig"),
    ("loss-proposer", "fake.hearing", "HearingConfig"),
    ("loss-proposer", "fake.proposer", "Empty"),
    ("loss-proposer", "fake.fixed", "RuleConfig"),
    ("reconstruction", "fake.head", "Empty"),
    ("task", "fake.segmenter", "SegmenterConfig"),
    ("task", "fake.counted", "CountedConfig"),
    ("task", "fake.classifier", "ClassifierConfig"),
    ("task", "fake.detector", "DetectorConfig"),
    ("strategy", "fake.labelled", "LabelledConfig"),
    ("dataset", "fake.boxed", "BoxedConfig"),
    ("loss-proposer", "fake.regions", "RegionsConfig"),
    ("strategy", "fake.joint", "Empty"),
    ("strategy", "fake.meta", "MetaConfig"),
    ("strategy", "fake.odd", "OddConfig"),
    ("dataset", "fake.folders", "FoldersConfig"),
    ("dataset", "fake.unlabelled", "UnlabelledConfig"),
    ("dataset", "fake.scenes", "SceneConfig"),
    ("dataset", "fake.astray", "AstrayConfig"),
    ("dataset", "fake.wrong", "NotADataset"),
]


def specs() -> list[ComponentSpec]:
    """The fake components."""
    made = [
        component(kind, name, target=f"{__name__}:Nothing", summary=f"a {kind}", config=f"{__name__}:{config}")
        for kind, name, config in _KINDS
    ]
    metrics = [
        component("metric", f"strict.{n}", target=f"{__name__}:Nothing", summary=n, in_tables=True) for n in METRICS
    ]
    lines = [
        component(
            "backbone", f"baselines.{n}", target=f"{__name__}:N", summary=n, config=f"{__name__}:Empty", in_tables=True
        )
        for n in ("copy", "mean", "max", "laplacian")
    ]
    return made + metrics + lines


METRICS = ("en", "sd", "sf", "ag", "mi", "cc", "scd", "vif", "qabf", "ssim")


def fake_registry() -> Registry:
    """Two plugins that load, and one that is broken."""
    own = specs()
    return Registry(
        [
            PluginReport(ns, dist, "1.2", ns, components=tuple(s for s in own if s.namespace == ns))
            for ns, dist in (
                ("fake", "fusekit-fake"),
                ("strict", "image-fusekit"),
                ("baselines", "image-fusekit"),
            )
        ]
        + [
            PluginReport(
                "ruin",
                "fusekit-ruin",
                "0.3",
                "ruin",
                "broken",
                "ImportError: no module named brick",
                "mend it",
            )
        ]
    )


MINIMAL = """\
schema: 1
name: small
data: {use: fake.scenes}
model:
  backbone: {use: fake.unfolding}
"""


def write(folder: Path, text: str, name: str = "recipe.yaml") -> Path:
    """Writes a recipe file; indentation common to all lines is taken off."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text), "utf-8")
    return path
