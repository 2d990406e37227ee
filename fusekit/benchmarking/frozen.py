"""The frozen protocol of a benchmark: one network, trained elsewhere, recognises on the images of every method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fusekit.benchmarking.identity import CORE, SCORING, code_digest, digest, image_digest
from fusekit.benchmarking.methods import failure
from fusekit.benchmarking.statistics import plain
from fusekit.benchmarking.workbench import SceneResult, Workbench
from fusekit.errors import FusekitError, UsageError
from fusekit.evaluation.confusion import Confusion
from fusekit.evaluation.detection import AveragePrecision, detect
from fusekit.files import file_digest
from fusekit.interfaces.dataset import Sample
from fusekit.interfaces.task import DetectionNetwork, SegmentationNetwork
from fusekit.interfaces.types import Detections
from fusekit.model.model_file import load_system
from fusekit.recipe.model_location import locate_model

FROZEN = (
    "Frozen: the network was trained before, and is applied to the fused luminance of every method. A method without "
    "an image of some scene has no value."
)


class Recognition(ABC):
    """How a kind of task network is scored."""

    task: str
    measure: str
    explanation: str

    @abstractmethod
    def annotated(self, sample: Sample) -> bool:
        """Whether a scene has what the scores need."""

    @abstractmethod
    def recognise(self, image: Tensor, sample: Sample) -> Any:
        """What is stored of one image, (H, W) uint8, as plain data."""

    @abstractmethod
    def columns(self) -> list[str]:
        """Names of the columns, one for each class that is scored."""

    @abstractmethod
    def total(self, found: Sequence[Any], samples: Sequence[Sample]) -> tuple[float, list[float]]:
        """The value of a method and its columns, from what was stored of all scenes."""


class Segmentation(Recognition):
    """Intersection over union, from one confusion matrix over all scenes."""

    task = "segmentation"
    measure = "mean IoU"
    explanation = (
        "One confusion matrix is computed over all scenes; the mean leaves out classes that occur neither in the "
        "labels nor in the predictions."
    )

    def __init__(self, network: SegmentationNetwork, device: torch.device) -> None:
        self.network = network
        self.device = device
        self.shown = [i for i, _ in enumerate(network.classes.names) if i not in network.ignored]

    def annotated(self, sample: Sample) -> bool:
        return sample.label is not None

    def recognise(self, image: Tensor, sample: Sample) -> list[list[int]]:
        assert sample.label is not None
        confusion = Confusion(len(self.network.classes), self.network.ignored)
        with torch.no_grad():
            logits = self.network(image[None, None].to(self.device).float() / 255.0)
            confusion.add(self.network.predict(logits)[0].cpu(), sample.label)
        counts: list[list[int]] = confusion.counts.tolist()
        return counts

    def columns(self) -> list[str]:
        return [self.network.classes.names[i] for i in self.shown]

    def total(self, found: Sequence[Any], samples: Sequence[Sample]) -> tuple[float, list[float]]:
        confusion = Confusion(len(self.network.classes), self.network.ignored)
        for counts in found:
            confusion.counts += torch.tensor(counts)
        iou = confusion.iou().tolist()
        return confusion.mean_iou(), [iou[i] for i in self.shown]


class Detection(Recognition):
    """Average precision over all scenes."""

    task = "detection"
    measure = "AP50"
    explanation = (
        "AP50 is the average precision at an IoU of 0.5 as COCO defines it, over all scenes; the mean leaves out "
        "classes without any object."
    )

    def __init__(self, network: DetectionNetwork, device: torch.device) -> None:
        self.network = network
        self.device = device

    def annotated(self, sample: Sample) -> bool:
        return sample.boxes is not None

    def recognise(self, image: Tensor, sample: Sample) -> dict[str, Any]:
        found = detect(self.network, image, self.device)
        return {name: getattr(found, name).tolist() for name in ("corners", "classes", "scores")}

    def columns(self) -> list[str]:
        return list(self.network.classes.names)

    def total(self, found: Sequence[Any], samples: Sequence[Sample]) -> tuple[float, list[float]]:
        precision = AveragePrecision(len(self.network.classes))
        for each, sample in zip(found, samples, strict=True):
            assert sample.boxes is not None
            corners = torch.tensor(each["corners"], dtype=torch.float32).reshape(-1, 4)
            classes = torch.tensor(each["classes"], dtype=torch.int64)
            precision.add(Detections(corners, classes, torch.tensor(each["scores"])), sample.boxes)
        return precision.mean(0.5), precision.per_class(0.5)


class FrozenNetwork:
    """A task network from a model file, and what it recognises in the images of all methods.

    Args:
        bench: The workbench.
        number: Number of the entry in the ``downstream`` section of the file.

    Raises:
        UsageError: The model has neither a segmentation network nor a detector, or the data has other classes.
        DataError: The model file cannot be read.
    """

    def __init__(self, bench: Workbench, number: int) -> None:
        self.bench = bench
        self.section = bench.file.model.downstream[number]
        given = self.section.network or ""
        path = locate_model(given, bench.file.registry)
        network, classes = (
            load_system(path, device=bench.device, components=bench.file.registry)[0].task,
            bench.entry(self.section.dataset).config.classes(),
        )
        self.how: Recognition
        if isinstance(network, SegmentationNetwork):
            self.how = Segmentation(network, bench.device)
        elif isinstance(network, DetectionNetwork):
            self.how = Detection(network, bench.device)
        else:
            raise UsageError(
                f"{given} has neither a segmentation network nor a detector",
                hint="choose a model file with model.task",
            )
        if classes is None or classes.names != network.classes.names:
            raise UsageError(
                f"{given} knows the classes {', '.join(network.classes.names)}; "
                f"{self.section.dataset} has {'none' if classes is None else ', '.join(classes.names)}"
            )
        code = code_digest([*CORE, *SCORING, type(network).__module__, __name__])
        self.code = digest(file_digest(path), code, bench.device.type)

    def scene(self, index: int) -> SceneResult:
        """What the network finds in one scene, from the store where possible."""
        name = self.section.dataset
        try:
            sample = self.bench.read(name, index)
        except FusekitError as error:
            return SceneResult(self.bench.dataset(name).ids[index], unscored=failure(error))
        result = SceneResult(sample.id)
        if not self.how.annotated(sample):
            result.unscored = "it is not annotated"
            return result
        seen = image_digest([*sample.images, sample.label])
        for method in self.bench.methods(name).values():
            try:
                key = digest("frozen", self.code, method.identity(sample.id), seen)
                found = self.bench.store.values(key).get("found")
                if found is None:
                    found = self.how.recognise(self.bench.fuse(method, sample).measured, sample)
                    self.bench.store.add_values(key, {"found": found})
                result.found[method.name] = found
            except Exception as error:  # also an error of a plugin: the other methods are scored all the same
                result.failed[method.name] = failure(error)
        return result

    def table(self, results: Mapping[int, SceneResult]) -> Mapping[str, Any]:
        """The table of all scenes as plain data.

        Args:
            results: Index of a scene → its result.
        """
        bench, section = self.bench, self.section
        scored = {index: result for index, result in results.items() if result.unscored is None}
        samples = [bench.read(section.dataset, index) for index in scored]
        columns = self.how.columns()
        rows: list[dict[str, Any]] = []
        for name in bench.methods(section.dataset):
            row: dict[str, Any] = {"method": name, "value": None, "spread": None, "columns": [None for _ in columns]}
            if scored and all(name in result.found for result in scored.values()):
                value, each = self.how.total([result.found[name] for result in scored.values()], samples)
                row |= {"value": plain(value), "columns": [plain(v) for v in each]}
            rows.append(row)
        provenance = bench.entry(section.dataset).config.provenance()
        return {
            "dataset": section.dataset,
            "protocol": "frozen",
            "task": self.how.task,
            "network": section.network,
            "explanation": f"{FROZEN} {self.how.explanation} {len(scored)} scenes.",
            "labels": provenance.labels,
            "measure": self.how.measure,
            "columns": columns,
            "rows": rows,
        }


def network(bench: Workbench, number: int) -> FrozenNetwork:
    """The network of an entry of the ``downstream`` section, loaded once per workbench.

    Raises:
        UsageError, DataError: As `FrozenNetwork`.
    """
    if number not in bench.networks:
        bench.networks[number] = FrozenNetwork(bench, number)
    found: FrozenNetwork = bench.networks[number]
    return found
