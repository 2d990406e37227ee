"""The report of a run: collects the results of the stages and renders them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import torch

from fusekit._version import __version__
from fusekit.data.image_io import read_image
from fusekit.evaluation.benchmark import restored
from fusekit.model.model_file import load_system
from fusekit.model.system import FusionSystem
from fusekit.pipeline.display import Display
from fusekit.pipeline.fuse_stage import chosen_scenes
from fusekit.pipeline.run_folder import RunFolder
from fusekit.pipeline.scene_pictures import scene_pictures
from fusekit.pipeline.scene_subset import spread_over
from fusekit.recipe.recipe import Recipe
from fusekit.report.data import (
    Curve,
    MethodRow,
    MetricColumn,
    MetricTable,
    ReportData,
    SceneRow,
    Stamp,
    TaskRow,
    TaskTable,
)
from fusekit.report.render import write_report
from fusekit.training.log import TrainingLog


def report_stage(recipe: Recipe, folder: RunFolder, device: torch.device, display: Display) -> None:
    """Writes ``report.html`` from the stages that are finished; does nothing if there is no model yet."""
    if not folder.is_done("train", recipe):
        return
    system, _ = load_system(folder.model, device=device, components=recipe.registry)
    evaluation = None
    if folder.is_done("evaluate", recipe):
        evaluation = json.loads(folder.evaluation.read_text(encoding="utf-8"))
    data = ReportData(
        title=recipe.model.name,
        summary=recipe.model.description or _summary(recipe),
        stamps=stamps(recipe),
        facts=_facts(recipe, folder, system),
        scenes=_scenes(recipe, folder, system, device) if folder.is_done("fuse", recipe) else (),
        metrics=metric_table(evaluation, system.roles) if evaluation else None,
        task=_task_table(evaluation["task"]) if evaluation and evaluation["task"] else None,
        curves=training_curves(TrainingLog(folder.log)),
        recipe=recipe.dumps_resolved(),
        created=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    )
    write_report(data, folder.report)


def stamps(recipe: Recipe) -> tuple[Stamp, ...]:
    """Notices that must accompany every number of this run."""
    provenance = recipe.data_config.provenance()
    notices = []
    if provenance.synthetic:
        missing = recipe.synthetic_fallback  # its first clause names the missing data; the rest, where to put it
        reason = f" {missing.splitlines()[0].split(';')[0]}." if missing else ""
        notices.append(
            Stamp(
                "Synthetic data",
                "Images and labels were rendered by a program; the numbers say nothing about a real dataset." + reason,
            )
        )
    if provenance.labels == "pseudo":
        notices.append(
            Stamp(
                "Pseudo-labels",
                "The labels were predicted by networks. IoU is agreement with those networks, not accuracy.",
            )
        )
    if provenance.note and not provenance.synthetic:
        notices.append(Stamp("About the data", provenance.note))
    unfit = recipe.data_config.unfit_for_validation() if recipe.model.fuse.split == "val" else None
    if unfit is not None:
        notices.append(Stamp("Validation split", f"{unfit[:1].upper()}{unfit[1:].partition(';')[0]}."))
    return tuple(notices)


def _summary(recipe: Recipe) -> str:
    return f"{recipe.model.model.backbone.use} on {recipe.data_config.provenance().name}"


def _facts(recipe: Recipe, folder: RunFolder, system: FusionSystem) -> tuple[tuple[str, str], ...]:
    record, model = folder.record(), recipe.model.model
    facts = [
        (
            "Data",
            f"{recipe.data_config.provenance().name}, {record.get('training_scenes', 0)} training scenes",
        ),
        ("Backbone", _described(model.backbone.use, system.backbone)),
    ]
    if model.proposer is not None:
        facts.append(("Loss proposer", _described(model.proposer.use, system.proposer)))
    if model.reconstruction is not None:
        facts.append(("Reconstruction head", _described(model.reconstruction.use, system.reconstruction)))
    if model.task is not None and system.task is not None:
        facts.append(("Task network", _described(model.task.use, system.task)))
    steps = record.get("steps", {})
    if steps:
        facts.append(("Training steps", ", ".join(f"{phase} {count}" for phase, count in steps.items())))
        facts.append(("Training time", f"{record.get('training_seconds', 0):.0f} s on {record.get('device', '?')}"))
    chosen = [
        f"{phase} {outcome['measure']} {outcome['best']:.4g} after step {outcome['best_step']}, "
        f"{outcome['weights']} weights used"
        for phase, outcome in record.get("validation", {}).items()
        if outcome["best_step"] is not None
    ]
    if chosen:
        facts.append(("Best by validation", "; ".join(chosen)))
    facts.append(("Output range", recipe.model.fuse.range))
    facts.append(("Seed", str(recipe.model.seed)))
    facts.append(("fusekit", __version__))
    return tuple(facts)


def _described(name: str, part: torch.nn.Module | None) -> str:
    """The name of a part's component, and its number of parameters if it has any."""
    parameters = sum(parameter.numel() for parameter in part.parameters()) if part is not None else 0
    return f"{name}, {parameters:,} parameters" if parameters else name


def _scenes(recipe: Recipe, folder: RunFolder, system: FusionSystem, device: torch.device) -> tuple[SceneRow, ...]:
    dataset, scenes = chosen_scenes(recipe)
    chosen = spread_over(len(scenes), recipe.model.evaluate.pictures)
    rows = []
    for index in chosen:
        sample = dataset[index]
        pictures = scene_pictures(
            system,
            sample.images,
            sample.label,
            fused=read_image(folder.scene_file(folder.fused, sample.id)),
            measured=read_image(folder.scene_file(folder.measured, sample.id)),
            own_range=recipe.model.fuse.range == "clip",
            device=device,
            ideal=sample.ideal,
            boxes=sample.boxes,
        )
        rows.append(SceneRow(sample.id, pictures))
    return tuple(rows)


def metric_table(evaluation: Mapping[str, Any], roles: tuple[str, ...]) -> MetricTable:
    """The table of an evaluation.

    Args:
        evaluation: Content of ``evaluation.json``.
        roles: Roles of the sources.
    """
    columns = tuple(
        MetricColumn(m["name"], m["dialect"], m["unit"], m["higher_is_better"], m["explanation"])
        for m in evaluation["metrics"].values()
    )
    names = {key: m["name"] for key, m in evaluation["metrics"].items()}
    shared = {n for n in names.values() if list(names.values()).count(n) > 1}
    by_key = {
        key: column.key if names[key] in shared else column.name
        for (key, _), column in zip(names.items(), columns, strict=True)
    }
    rows = tuple(
        MethodRow(
            method["name"],
            method["is_model"],
            {by_key[key]: restored(value) for key, value in method["mean"].items()},
            {by_key[key]: tuple(restored(value) for value in values) for key, values in method["per_source"].items()},
            {by_key[key]: count for key, count in method["undefined"].items()},
            method.get("images"),
        )
        for method in evaluation["methods"]
    )
    return MetricTable(columns, rows, len(evaluation["scenes"]), evaluation["subset"], roles, evaluation["note"])


def _task_table(task: Mapping[str, Any]) -> TaskTable:
    if task.get("kind") == "detection":
        return _detection_table(task)
    names, palette = task["classes"]["names"], task["classes"]["palette"]
    ignored = [names[value] for value in task["ignored"] if value < len(names)]
    note = f"Left out of the scores: {', '.join(ignored)}." if ignored else ""
    rows = tuple(
        TaskRow(
            row["input"],
            row["is_model"],
            restored(row["mean_iou"]),
            tuple(restored(value) for value in row["iou"]),
        )
        for row in task["rows"]
    )
    return TaskTable(task["protocol"], tuple(names), tuple(tuple(c) for c in palette), rows, note)


def _detection_table(task: Mapping[str, Any]) -> TaskTable:
    names, palette = task["classes"]["names"], task["classes"]["palette"]
    shown = [index for index, count in enumerate(task["objects"]) if count]
    rows = tuple(
        TaskRow(
            row["input"],
            row["is_model"],
            restored(row["ap50"]),
            tuple(restored(row["ap50_per_class"][index]) for index in shown),
            (restored(row["ap"]),),
        )
        for row in task["rows"]
    )
    counts = ", ".join(f"{task['objects'][index]} {names[index]}" for index in shown)
    return TaskTable(
        task["protocol"],
        tuple(names[index] for index in shown),
        tuple(tuple(palette[index]) for index in shown),
        rows,
        note=f"Columns of classes are AP50. {task['images']} images; annotated objects: {counts}.",
        title="Detection",
        measure="Average precision (AP)",
        scores=("AP50", "AP"),
        absent="there are no objects of the class",
    )


def training_curves(log: TrainingLog) -> tuple[Curve, ...]:
    """A curve for each phase and loss, with the steps that logged that loss: not every step has every loss.

    Validations have separate curves; a metric has a separate chart, because its units are not those of the losses.
    """
    lines: dict[tuple[str, str], list[tuple[int, float]]] = {}
    best: dict[tuple[str, str], int] = {}
    metrics: set[tuple[str, str]] = set()
    for record in log.read():
        for name, value in record["losses"].items():
            key = (record["phase"], name)
            lines.setdefault(key, []).append((record["step"], restored(value)))
            validation = record.get("validation", {})
            if validation.get("metric"):
                metrics.add(key)
            if validation.get("best"):
                best[key] = record["step"]
    return tuple(
        Curve(
            phase,
            name,
            tuple(s for s, _ in points),
            tuple(v for _, v in points),
            best=best.get((phase, name)),
            own_chart=(phase, name) in metrics,
        )
        for (phase, name), points in lines.items()
    )
