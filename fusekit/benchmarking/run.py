"""Runs a benchmark: scores every method on every dataset, and writes the tables and the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist

from fusekit._version import __version__
from fusekit.benchmarking import cost
from fusekit.benchmarking.file import BenchmarkFile, DatasetEntry
from fusekit.benchmarking.frozen import network
from fusekit.benchmarking.jobs import Setting, Task, default_jobs, perform, results, threads_of
from fusekit.benchmarking.pictures import chosen_scenes, write_pictures
from fusekit.benchmarking.retrained import retrained
from fusekit.benchmarking.statistics import Column, fewest_images, plain, table_rows
from fusekit.benchmarking.workbench import SceneResult, Workbench
from fusekit.devices import choose_device
from fusekit.errors import DataError, UsageError
from fusekit.interfaces.config import SEVERITIES
from fusekit.interfaces.metric import Metric
from fusekit.launch import launch
from fusekit.pipeline.display import Display
from fusekit.pipeline.evaluate_stage import IDEAL, MEASURED
from fusekit.plugin.loader import LOCAL_NAMESPACE
from fusekit.plugin.registry import current_policy
from fusekit.progress import Advance
from fusekit.report.benchmark_data import images
from fusekit.report.benchmark_saving import save_benchmark
from fusekit.report.text_tables import one_line
from fusekit.training.distributed import process_group

RESULT = "benchmark.json"
PAGE = "index.html"
GRID = ("none", *SEVERITIES)
"""Severities of the degradations, from the sources as they are."""


@dataclass(frozen=True)
class BenchmarkResult:
    """The result of a benchmark.

    Attributes:
        plain: All numbers as plain data, as in ``benchmark.json``.
        folder: Folder of the files.
        page: The page.
    """

    plain: Mapping[str, Any]
    folder: Path
    page: Path

    @property
    def problems(self) -> list[str]:
        """One sentence for each dataset and method with images that could not be scored."""
        found = []
        for data in self.plain["datasets"]:
            if data["unscored"]:
                found.append(f"{data['name']}: {images(len(data['unscored']))} could not be scored for any method")
            for row in data["rows"]:
                if row["failed"]:
                    reason = next(iter(row["failed"].values()))
                    found.append(f"{data['name']}, {row['method']}: {images(len(row['failed']))} failed ({reason})")
        return [one_line(text) for text in found]


def benchmark(
    file: str | Path | BenchmarkFile | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    jobs: int | None = None,
    device: str = "auto",
    skip_missing: bool = False,
    advance: Advance | None = None,
    display: Display | None = None,
) -> BenchmarkResult | None:
    """Scores methods on datasets, and writes tables and a page.

    Values and fused images are stored below the output folder by the hash of what they were computed from. A
    benchmark that was killed resumes, and one that was changed computes only what is new.

    Args:
        file: A benchmark file, its content as plain data, or a validated benchmark.
        out: Output folder; default ``results/NAME``.
        jobs: Number of processes; default: one per core on a CPU.
        device: Device on which models fuse: ``auto``, ``cpu``, ``cuda``, …
        skip_missing: Leave out datasets whose data is missing.
        advance: Progress callback.
        display: Output of the trainings of the retrained protocol; quiet if None.

    Returns:
        The result; None in processes other than the first, if ``torchrun`` started several.

    Raises:
        RecipeError: The file is not valid.
        DataError: The data of a dataset is missing, or no scene could be scored.
        UsageError: A method, dialect or metric does not exist, or the output folder holds other files.
        RunError: A file cannot be written, or a process was killed.
    """
    if not isinstance(file, BenchmarkFile):
        file = BenchmarkFile.from_dict(file) if isinstance(file, Mapping) else BenchmarkFile.load(file)
    folder = Path(out) if out is not None else Path("results") / file.model.name
    check_folder(folder)
    where = launch()
    if where.world > 1 and any(part.protocol == "retrained" for part in file.model.downstream):
        raise UsageError("the retrained protocol cannot be started by torchrun", hint="start one process")
    with process_group(choose_device(device)) as place:
        jobs = 1 if where.world > 1 else jobs or default_jobs(place)
        setting = Setting(
            file.model.model_dump(mode="json", by_alias=True),
            tuple(Path(r.distribution) for r in file.registry.reports if r.namespace == LOCAL_NAMESPACE),
            current_policy(),
            folder / "cache",
            str(place),
            threads_of(jobs),
        )
        bench = setting.workbench()
        bench.check_data(skip_missing=skip_missing)
        tasks = list(_tasks(bench))
        done = _perform(bench, setting, tasks[where.rank :: where.world], jobs, advance)
        if where.world > 1:
            dist.barrier()  # the results of the other processes are in the store
            if where.rank > 0:
                return None
            done = {task: done.get(task) or perform(bench, task) for task in tasks}
    display = display or Display(quiet=True)
    display.info("all scenes are scored; tables and pictures follow")
    found = _plain(bench, setting, done, folder, display)
    if not any(data["scenes"] for data in found["datasets"]):
        reasons = [f"{s}: {reason}" for data in found["datasets"] for s, reason in data["unscored"].items()]
        raise DataError(f"no image could be scored: {'; '.join(reasons[:5])}")
    for name in ("results.csv", "results.md", "results.tex", PAGE, RESULT):
        save_benchmark(found, folder / name)
    return BenchmarkResult(found, folder, folder / PAGE)


def check_folder(folder: Path) -> None:
    """Refuses an output folder that holds files of something else.

    Raises:
        UsageError: The folder is a file, or it is not empty and no benchmark has written to it.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, but a folder is to be written")
    if folder.is_dir() and any(folder.iterdir()) and not ((folder / "cache").is_dir() or (folder / RESULT).is_file()):
        raise UsageError(f"{folder} holds other files", hint="choose another folder with --out")


def _tasks(bench: Workbench) -> Iterator[Task]:
    """Everything that is to be computed; builds datasets, methods and metrics, so that mistakes are found first."""
    model = bench.file.model
    present = {entry.name for entry in bench.present}
    for entry in bench.present:
        bench.methods(entry.name)
        bench.metrics(ideal=bench.has_ideal(entry.name))
        yield from (Task(entry.name, index) for index in bench.scenes(entry.name))
    for number, frozen in enumerate(model.downstream):
        if frozen.dataset in present and frozen.protocol == "frozen":
            network(bench, number)
            yield from (Task(frozen.dataset, index, "downstream", number) for index in bench.scenes(frozen.dataset))
    for number, grid in enumerate(model.robustness):
        if grid.dataset in present:
            for transform in grid.transforms:
                bench.transform(transform, grid.dataset)
                for severity in GRID:
                    for index in bench.spread(grid.dataset, grid.limit):
                        yield Task(grid.dataset, index, "robustness", number, transform, severity)


def _perform(
    bench: Workbench, setting: Setting, tasks: Sequence[Task], jobs: int, advance: Advance | None
) -> dict[Task, SceneResult]:
    done: dict[Task, SceneResult] = {}
    for task, result in results(setting, tasks, jobs, bench):
        done[task] = result
        if advance is not None:
            advance(len(done), len(tasks), one_line(f"{task.dataset} {result.scene}"))
    return done


def _plain(
    bench: Workbench, setting: Setting, done: Mapping[Task, SceneResult], folder: Path, display: Display
) -> dict[str, Any]:
    """All numbers, in the structure of ``benchmark.json``; writes the pictures."""
    model, present = bench.file.model, bench.present
    scored = {entry.name: [done[Task(entry.name, index)] for index in bench.scenes(entry.name)] for entry in present}
    metrics: dict[str, Metric] = {}
    for entry in present:
        metrics.update(bench.metrics(ideal=bench.has_ideal(entry.name)))
    for section in model.robustness:
        metrics.update(bench.named_metrics(section.metrics or []))
    datasets = [_dataset(bench, entry, scored[entry.name], folder) for entry in present]
    methods = {name: method for entry in present for name, method in bench.methods(entry.name).items()}
    measured = [name for name, method in methods.items() if method.system is not None]
    costs = None
    if model.cost is not None:
        where = {name: e.name for e in reversed(present) for name in bench.methods(e.name)}
        by_dataset = [(where[name], name) for name in measured]
        costs = cost.measure(setting, by_dataset, model.cost.size, model.cost.repeats)
    skipped = [f"{name} is left out: {reason}" for name, reason in bench.missing.items()]
    nowhere = [
        f"{section.printed} is in no table: {reasons}"
        for section in model.methods
        if (reasons := _in_no_table(bench, section.printed)) is not None
    ]
    return {
        "schema": 1,
        "name": model.name,
        "title": model.title or model.name,
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "fusekit": __version__,
        "conditions": _conditions(bench),
        "notes": [*([model.description] if model.description else []), *skipped, *nowhere, *bench.metric_notes],
        "metrics": {name: _metric(bench, name, metric) for name, metric in metrics.items()},
        "methods": [
            {
                "name": name,
                "kind": method.kind,
                "source": method.source,
                "trained_for": [key for key in method.trained_for if key in metrics],
                "note": "",
            }
            for name, method in methods.items()
        ],
        "datasets": datasets,
        "cost": costs,
        "downstream": [
            network(bench, number).table(
                {t.index: r for t, r in done.items() if (t.part, t.number) == ("downstream", number)}
            )
            if section.protocol == "frozen"
            else retrained(bench, section, folder / "retrained", display)
            for number, section in enumerate(model.downstream)
            if section.dataset in scored
        ],
        "robustness": list(_robustness(bench, done)),
    }


def _in_no_table(bench: Workbench, method: str) -> str | None:
    """Why a method applies to none of the datasets; None if it applies to one."""
    reasons = {entry.name: bench.left_out(entry.name).get(method) for entry in bench.present}
    if None in reasons.values():
        return None
    return "; ".join(f"{name}: {reason}" for name, reason in reasons.items())


def _of(done: Mapping[Task, SceneResult], part: str, number: int, **wanted: str) -> list[SceneResult]:
    return [
        result
        for task, result in done.items()
        if (task.part, task.number) == (part, number) and all(getattr(task, k) == v for k, v in wanted.items())
    ]


def _dataset(bench: Workbench, entry: DatasetEntry, found: Sequence[SceneResult], folder: Path) -> dict[str, Any]:
    """A dataset with its rows, in the structure of ``benchmark.json``."""
    methods = bench.methods(entry.name)
    metrics = bench.metrics(ideal=bench.has_ideal(entry.name))
    scenes = [result for result in found if result.unscored is None]
    values = {
        name: {key: np.array([_value(result, name, key) for result in scenes]) for key in metrics} for name in methods
    }
    baselines = [name for name, method in methods.items() if method.kind == "baseline" and not method.copies]
    columns = [Column(key, metric.higher_is_better) for key, metric in metrics.items()]
    compared = [name for name, method in methods.items() if method.kind != "baseline"]
    rows = table_rows(values, compared, baselines, columns, bench.file.model.bootstrap, entry.name)
    provenance = entry.config.provenance()
    shown = chosen_scenes(values, compared, baselines, columns, bench.file.model.pictures)
    indices = [index for index, result in zip(bench.scenes(entry.name), found, strict=True) if result.unscored is None]
    return {
        "name": entry.name,
        "roles": list(entry.roles),
        "scenes": [result.scene for result in scenes],
        "subset": f"{provenance.name}, split {entry.section.split}, {len(found)} scenes",
        "provenance": {
            "name": provenance.name,
            "synthetic": provenance.synthetic,
            "labels": provenance.labels,
            "note": provenance.note,
        },
        "unscored": {result.scene: result.unscored for result in found if result.unscored is not None},
        "rows": [
            {
                "method": name,
                "failed": {result.scene: result.failed[name] for result in scenes if name in result.failed},
                "values": {key: [plain(v) for v in values[name][key].tolist()] for key in metrics},
                "per_source": _per_source(scenes, name, list(metrics)),
                "undefined": _undefined(scenes, name, list(metrics)),
                **rows[name],
            }
            for name in methods
        ],
        "pictures": write_pictures(bench, entry.name, [indices[position] for position in shown], folder),
    }


def _value(result: SceneResult, method: str, metric: str) -> float:
    found = result.values.get(method, {}).get(metric)
    return math.nan if found is None else found.value


def _undefined(scenes: Sequence[SceneResult], method: str, metrics: Sequence[str]) -> dict[str, int]:
    """Number of scored images on which a metric is undefined."""
    counts = {
        key: sum(method in result.values and math.isnan(_value(result, method, key)) for result in scenes)
        for key in metrics
    }
    return {key: count for key, count in counts.items() if count}


def _per_source(scenes: Sequence[SceneResult], method: str, metrics: Sequence[str]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for key in metrics:
        values = [result.values.get(method, {}).get(key) for result in scenes]
        if any(value is not None and value.per_source for value in values):
            found[key] = [None if v is None or not v.per_source else [plain(x) for x in v.per_source] for v in values]
    return found


def _robustness(bench: Workbench, done: Mapping[Task, SceneResult]) -> Iterator[dict[str, Any]]:
    present = {entry.name for entry in bench.present}
    for number, section in enumerate(bench.file.model.robustness):
        if section.dataset not in present:
            continue
        keys = section.metrics or list(bench.metrics(ideal=bench.has_ideal(section.dataset)))
        methods = [name for name, m in bench.methods(section.dataset).items() if m.system is not None]
        for transform in section.transforms:
            grid = [_of(done, "robustness", number, transform=transform, severity=severity) for severity in GRID]
            yield {
                "dataset": section.dataset,
                "transform": transform,
                "title": transform.partition(".")[2].replace("_", " "),
                "severities": list(GRID),
                "scenes": len(grid[0]),
                "metrics": {
                    key: {name: [_mean(results, name, key) for results in grid] for name in methods} for key in keys
                },
            }


def _mean(results: Sequence[SceneResult], method: str, metric: str) -> float | None:
    """Mean over all scenes; None if it is undefined, or the method failed, on one of them."""
    values = [_value(result, method, metric) for result in results]
    return plain(math.fsum(values) / len(values)) if values else None


def _metric(bench: Workbench, name: str, metric: Metric) -> dict[str, Any]:
    report = next(r for r in bench.file.registry.reports for spec in r.components if spec.name == name)
    return {
        "name": metric.name,
        "dialect": metric.dialect,
        "unit": metric.unit,
        "higher_is_better": metric.higher_is_better,
        "explanation": (type(metric).__doc__ or "").strip().split("\n\n")[0].replace("\n", " "),
        "version": report.version,
    }


def _conditions(bench: Workbench) -> list[list[str]]:
    model = bench.file.model
    bootstrap = model.bootstrap
    methods = {name: method for entry in bench.present for name, method in bench.methods(entry.name).items()}
    others = [f"{name}: {m.range}" for name, m in methods.items() if m.range not in (None, model.fuse.range)]
    measured = [MEASURED]
    if any(section.images is not None for section in model.methods):
        measured.append("Images of other programs are converted to 8-bit grey (BT.601).")
    if any(bench.has_ideal(entry.name) for entry in bench.present):
        measured.append(IDEAL)
    return [
        ["Measured", " ".join(measured)],
        ["Range", "; ".join([model.fuse.range, *others])],
        ["Colour", "metrics score luminance; the pictures show the fused colours"],
        [
            "Interval",
            f"{100 * bootstrap.confidence:g} % interval of the mean difference from the best baseline of the "
            f"column that fuses; copies of a source are ranked, but not compared with. Paired by image, "
            f"{bootstrap.resamples:,} resamples, seed {bootstrap.seed}. Images of one drive or patient are not "
            "independent, so the true interval is wider. "
            f"Fewer than {fewest_images(bootstrap.confidence)} images have none.",
        ],
        ["Device", str(bench.device.type)],
    ]
