"""The frozen protocol of a benchmark: one network, trained elsewhere, recognises on the images of every method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from fusekit.benchmarking.identity import CORE, code_digest, digest, image_digest
from fusekit.benchmarking.methods import failure
from fusekit.benchmarking.statistics import plain
from fusekit.benchmarking.workbench import SceneResult, Workbench
from fusekit.errors import FusekitError, UsageError
from fusekit.evaluation.confusion import Confusion
from fusekit.files import file_digest
from fusekit.interfaces.dataset import Sample
from fusekit.interfaces.task import SegmentationNetwork
from fusekit.model.model_file import load_system
from fusekit.recipe.model_location import locate_model

EXPLANATION = (
    "Frozen: the network was trained before, and is applied to the fused luminance of every method. "
    "One confusion matrix is computed over all scenes; the mean leaves out classes that occur neither in the labels "
    "nor in the predictions. A method without an image of some scene has no value."
)


def network(bench: Workbench, number: int) -> FrozenNetwork:
    """The network of an entry of the ``downstream`` section, loaded once per workbench.

    Raises:
        UsageError, DataError: As `FrozenNetwork`.
    """
    if number not in bench.networks:
        bench.networks[number] = FrozenNetwork(bench, number)
    found: FrozenNetwork = bench.networks[number]
    return found


class FrozenNetwork:
    """A task network from a model file, and the confusion matrices of its predictions.

    Args:
        bench: The workbench.
        number: Number of the entry in the ``downstream`` section of the file.

    Raises:
        UsageError: The model has no segmentation network, or the data has other classes.
        DataError: The model file cannot be read.
    """

    def __init__(self, bench: Workbench, number: int) -> None:
        self.bench = bench
        self.section = bench.file.model.downstream[number]
        given = self.section.network or ""
        path = locate_model(given, bench.file.registry)
        system, _ = load_system(path, device=bench.device, components=bench.file.registry)
        task, classes = system.task, bench.entry(self.section.dataset).config.classes()
        if not isinstance(task, SegmentationNetwork):
            raise UsageError(
                f"{self.section.network} has no segmentation network", hint="choose a model file with model.task"
            )
        if classes is None or classes.names != task.classes.names:
            raise UsageError(
                f"{self.section.network} knows the classes {', '.join(task.classes.names)}; "
                f"{self.section.dataset} has {'none' if classes is None else ', '.join(classes.names)}"
            )
        self.task = task
        self.code = digest(file_digest(path), code_digest([*CORE, type(task).__module__]), bench.device.type)

    def scene(self, index: int) -> SceneResult:
        """Confusion matrices of one scene, from the store where possible."""
        name = self.section.dataset
        try:
            sample = self.bench.read(name, index)
        except FusekitError as error:
            return SceneResult(self.bench.dataset(name).ids[index], unscored=failure(error))
        result = SceneResult(sample.id)
        if sample.label is None:
            result.unscored = "it has no label map"
            return result
        seen = image_digest([*sample.images, sample.label])
        for method in self.bench.methods(name).values():
            try:
                key = digest("frozen", self.code, method.identity(sample.id), seen)
                counts = self.bench.store.values(key).get("counts")
                if counts is None:
                    counts = self._counts(self.bench.fuse(method, sample).measured, sample)
                    self.bench.store.add_values(key, {"counts": counts})
                result.counts[method.name] = counts
            except Exception as error:  # also an error of a plugin: the other methods are scored all the same
                result.failed[method.name] = failure(error)
        return result

    def _counts(self, measured: torch.Tensor, sample: Sample) -> list[list[int]]:
        assert sample.label is not None
        confusion = Confusion(len(self.task.classes), self.task.ignored)
        with torch.no_grad():
            image = measured[None, None].to(self.bench.device).float() / 255.0
            confusion.add(self.task.predict(self.task(image))[0].cpu(), sample.label)
        counts: list[list[int]] = confusion.counts.tolist()
        return counts

    def table(self, results: Sequence[SceneResult]) -> Mapping[str, Any]:
        """The table of all scenes as plain data."""
        bench, section = self.bench, self.section
        scored = [result for result in results if result.unscored is None]
        shown = [i for i, _ in enumerate(self.task.classes.names) if i not in self.task.ignored]
        rows: list[dict[str, Any]] = []
        for name in bench.methods(section.dataset):
            if not scored or any(name not in result.counts for result in scored):
                rows.append({"method": name, "value": None, "spread": None, "columns": [None for _ in shown]})
                continue
            confusion = Confusion(len(self.task.classes), self.task.ignored)
            for result in scored:
                confusion.counts += torch.tensor(result.counts[name])
            iou = confusion.iou().tolist()
            columns = [plain(iou[i]) for i in shown]
            rows.append({"method": name, "value": plain(confusion.mean_iou()), "spread": None, "columns": columns})
        return {
            "dataset": section.dataset,
            "protocol": "frozen",
            "task": "segmentation",
            "network": section.network,
            "explanation": f"{EXPLANATION} {len(scored)} scenes.",
            "labels": bench.entry(section.dataset).config.provenance().labels,
            "measure": "mean IoU",
            "columns": [self.task.classes.names[i] for i in shown],
            "rows": rows,
        }
