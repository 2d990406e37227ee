"""The methods of a benchmark: models, runs, fusion rules, and images that another program fused."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from fusekit.benchmarking.file import DatasetEntry, MethodSection
from fusekit.benchmarking.identity import CORE, code_digest, digest
from fusekit.data.colour import is_grey
from fusekit.data.image_io import read_image
from fusekit.errors import DataError, FusekitError, UsageError
from fusekit.evaluation.grey import grey8
from fusekit.files import file_digest
from fusekit.fusing.engine import Engine
from fusekit.fusing.fusion_model import FusionModel, load
from fusekit.fusing.scenes import TensorScene
from fusekit.interfaces.config import ComponentRef
from fusekit.interfaces.dataset import Sample
from fusekit.model.assembly import Builder
from fusekit.model.system import FusionSystem
from fusekit.pipeline.evaluate_stage import baseline_systems
from fusekit.pipeline.pairs import pair_folders
from fusekit.pipeline.run_folder import RunFolder
from fusekit.plugin.registry import Registry
from fusekit.recipe.fuse_options import FuseOptions
from fusekit.recipe.model_location import locate_model
from fusekit.recipe.recipe import Recipe
from fusekit.weights.release import release_of

Kind = Literal["model", "baseline", "run", "images"]


@dataclass(frozen=True)
class Fusion:
    """The result of a method for one scene.

    Attributes:
        measured: What metrics score: the fused luminance before chroma is added, or the grey image of a file,
            (H, W) uint8.
        image: The fused image, (1 or 3, H, W) in [0, 1], rounded to 8 bits.
    """

    measured: Tensor
    image: Tensor


class Method(ABC):
    """A row of the tables.

    Args:
        name: Printed name.
        kind: Kind of method.
        source: What it is, in words.
    """

    trained_for: tuple[str, ...] = ()
    """Metric components that its training optimised."""

    stored: bool = True
    """Whether its images are worth storing, because computing them again is slow."""

    copies: bool = False
    """Whether it copies a source instead of fusing."""

    system: FusionSystem | None = None
    """Its parts, for measurements of cost; None if it is only images."""

    range: str | None = None
    """How the range of its images was fused; None if it is not known."""

    def __init__(self, name: str, kind: Kind, source: str) -> None:
        self.name = name
        self.kind: Kind = kind
        self.source = source

    @abstractmethod
    def identity(self, scene: str) -> str:
        """Hash of everything but the sources on which the fused image of a scene depends.

        Raises:
            DataError: The method has no image of this scene.
        """

    @abstractmethod
    def fuse(self, sample: Sample) -> Fusion:
        """The fused image of a scene.

        Raises:
            FusekitError: The scene cannot be fused, or the method has no image of it.
        """


class SystemMethod(Method):
    """A model or a fusion rule, which fuses the sources.

    Args:
        name: Printed name.
        kind: Kind of method.
        source: What it is, in words.
        system: Its parts, on `device`.
        options: Fusion options.
        device: Device on which to fuse.
        origin: Plain data that identifies its weights or parameters.
        trained_for: Metric components that its training optimised.
    """

    system: FusionSystem

    def __init__(
        self,
        name: str,
        kind: Kind,
        source: str,
        system: FusionSystem,
        options: FuseOptions,
        device: torch.device,
        origin: Any,
        trained_for: Sequence[str] = (),
    ) -> None:
        super().__init__(name, kind, source)
        self.system = system
        self.options = options
        self.range = options.range
        self.device = device
        self.origin = origin
        self.trained_for = tuple(trained_for)
        self.stored = any(True for _ in system.parameters())

    @cached_property
    def _identity(self) -> str:
        parts = [*self.system.parts().values(), self.system.guidance_maker]
        code = code_digest([*CORE, *(type(part).__module__ for part in parts if part is not None)])
        return digest(self.origin, self.options.model_dump(mode="json"), code, self.device.type)

    def identity(self, scene: str) -> str:
        return self._identity

    def fuse(self, sample: Sample) -> Fusion:
        engine = Engine(self.system, self.options, device=self.device)
        fused = engine.fuse(TensorScene(sample.images), measure=True)
        assert fused.measured is not None
        return Fusion(grey8(fused.measured.cpu()), _rounded(fused.image.cpu()))


class ImagesMethod(Method):
    """Images in a folder, paired with the scenes by file stem.

    Args:
        name: Printed name.
        kind: Kind of method.
        source: What it is, in words.
        folder: The folder.
        measured: Folder of the images that metrics score, if these are not the images of `folder`.

    Raises:
        DataError: A folder is missing or has no images.
    """

    stored = False

    def __init__(self, name: str, kind: Kind, source: str, folder: Path, measured: Path | None = None) -> None:
        super().__init__(name, kind, source)
        self.folder = folder
        self._images, self._repeated = _by_stem(name, folder)
        self._measured = self._images if measured is None else _by_stem(name, measured)[0]

    def file(self, scene: str, images: Mapping[str, Path] | None = None) -> Path:
        """The image of a scene.

        Raises:
            DataError: There is none, or there are several.
        """
        path = (self._images if images is None else images).get(scene)
        if path is None:
            raise DataError(self._repeated.get(scene, f"no image with this stem in {self.folder}"))
        return path

    def identity(self, scene: str) -> str:
        return digest(file_digest(self.file(scene)), file_digest(self.file(scene, self._measured)))

    def fuse(self, sample: Sample) -> Fusion:
        image = read_image(self.file(sample.id))
        size = tuple(sample.images[0].shape[-2:])
        if tuple(image.shape[-2:]) != size:
            raise DataError(
                f"the fused image is {image.shape[-2]}x{image.shape[-1]} (height x width), "
                f"but its sources are {size[0]}x{size[1]}"
            )
        measured = image if self._measured is self._images else read_image(self.file(sample.id, self._measured))
        return Fusion(grey8(measured), _rounded(image[:1] if is_grey(image) else image))


def _by_stem(name: str, folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    found, repeated = pair_folders({f"fused images {name}": folder})
    return {scene.id: next(iter(scene.files.values())) for scene in found}, repeated


def _rounded(image: Tensor) -> Tensor:
    """Values in [0, 1] at the nearest of 256 levels, so that an image from the store equals a new one."""
    return (image.clamp(0, 1) * 255).round() / 255


class MethodLoader:
    """Loads the methods of a benchmark; models are loaded once for all datasets.

    Args:
        registry: Registry of the components.
        options: Fusion options of the benchmark.
        device: Device on which to fuse.
    """

    def __init__(self, registry: Registry, options: FuseOptions, device: torch.device) -> None:
        self.registry = registry
        self.options = options
        self.device = device
        self._models: dict[str, FusionModel] = {}

    def of(self, section: MethodSection, entry: DatasetEntry) -> list[Method] | str:
        """The rows of a section on a dataset, or a sentence that states why it does not apply to this dataset.

        Raises:
            FusekitError: The model, run or folder cannot be used.
        """
        if section.datasets is not None and entry.name not in section.datasets:
            return "the benchmark file does not name this dataset for it"
        options = section.fuse or self.options
        if section.images is not None:
            return self._images(section, entry)
        if section.backbone is not None:
            return self.rules([section.backbone], entry, "model", options, section.name)
        if section.run is not None and (made := self._run_images(section, entry)) is not None:
            return [made]
        return self._model(section, entry, options)

    def rules(
        self,
        refs: Sequence[ComponentRef],
        entry: DatasetEntry,
        kind: Kind,
        options: FuseOptions,
        name: str | None = None,
    ) -> list[Method]:
        """Fusion rules as rows; a rule that copies a source has a row for each source."""
        builder = Builder(entry.roles, None, self.registry)
        made: list[Method] = []
        for ref in refs:
            systems = baseline_systems([ref], builder)
            for shown, system in systems:
                printed = shown if name is None else name if len(systems) == 1 else f"{name} {shown}"
                origin = [type(system.backbone).__qualname__, system.backbone.config.model_dump(mode="json")]
                source = "fusion rule without training"
                rule = SystemMethod(printed, kind, source, system.to(self.device), options, self.device, origin)
                rule.copies = self.registry.find("backbone", ref.use).per_source
                made.append(rule)
        return made

    def _images(self, section: MethodSection, entry: DatasetEntry) -> list[Method] | str:
        assert section.images is not None
        folder = Path(section.images.replace("{dataset}", entry.name)).expanduser()
        if section.datasets is None and "{dataset}" in section.images and not folder.is_dir():
            return f"{folder} does not exist"
        return [ImagesMethod(section.printed, "images", f"images of another program in {folder}", folder)]

    def _run_images(self, section: MethodSection, entry: DatasetEntry) -> Method | None:
        """The fused images of a run, if this dataset is the data that the run fused."""
        folder = RunFolder(Path(section.run or "").expanduser())
        if section.fuse is not None or not folder.recipe_resolved.is_file() or not folder.measured.is_dir():
            return None
        recipe = Recipe.load(folder.recipe_resolved, registry=self.registry, check_data=False)
        same = (
            recipe.data_config == entry.config
            and (recipe.data_root and recipe.data_root.resolve()) == (entry.root and entry.root.resolve())
            and (recipe.model.seed == entry.section.seed or not entry.config.provenance().synthetic)
            and recipe.model.fuse.split == entry.section.split
            and (recipe.model.fuse.limit or math.inf) >= (entry.section.limit or math.inf)
        )
        if not same:
            return None
        source = f"fused images of the run {folder.path}"
        made = ImagesMethod(section.printed, "run", source, folder.fused, folder.measured)
        made.range = recipe.model.fuse.range
        return made

    def _model(self, section: MethodSection, entry: DatasetEntry, options: FuseOptions) -> list[Method] | str:
        given = section.model or section.run or ""
        if given not in self._models:
            self._models[given] = load(given, device=str(self.device))
        model = self._models[given]
        kind: Kind = "run" if section.run is not None else "model"
        if model.card is None:
            source = f"fusion rule {given}"
            return [SystemMethod(section.printed, kind, source, model.system, options, self.device, given)]
        if model.roles != entry.roles:
            if section.datasets is None:
                return f"it was trained for {', '.join(model.roles)}, this dataset has {', '.join(entry.roles)}"
            if len(model.roles) != len(entry.roles):
                raise UsageError(
                    f"{section.printed} takes {len(model.roles)} sources, but {entry.name} has {len(entry.roles)}",
                    hint=f"remove {entry.name} from the datasets of this method",
                )
        path = locate_model(given, self.registry)
        release = release_of(model.card, path)
        trained_for = release.trained_for if release is not None else ()
        origin, source = file_digest(path), f"model {given}"
        return [SystemMethod(section.printed, kind, source, model.system, options, self.device, origin, trained_for)]


def failure(error: Exception) -> str:
    """An error as one line, for tables."""
    if isinstance(error, FusekitError):
        return ". ".join(filter(None, [error.message, error.hint])).replace("\n", " ")
    return f"{type(error).__name__}: {error}".replace("\n", " ")
