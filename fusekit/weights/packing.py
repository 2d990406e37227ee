"""Packs a finished run as a model file that can be shipped: small, described and verified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from fusekit.errors import RunError, UsageError
from fusekit.files import write_atomically
from fusekit.model.model_file import load_system, save_state
from fusekit.model.system import FusionSystem
from fusekit.plugin.registry import Registry, registry
from fusekit.recipe.model_card import ModelCard
from fusekit.weights.data_facts import data_facts
from fusekit.weights.release import KEY, Release, Table, plain
from fusekit.weights.run_facts import FinishedRun, kept_section, read_table
from fusekit.weights.synthetic_pair import synthetic_pair
from fusekit.weights.verification import Results, Verified, record, results_of, verify_file

HALF_LEVELS = 0.5
"""Largest difference of a pixel of the fused image, in levels of 8 bits, that storage in 16 bits may cause."""
HALF_LABELS = 0.005
"""Largest share of pixels whose predicted class may differ because of storage in 16 bits."""


@dataclass(frozen=True)
class Description:
    """What the author of weights states about them.

    Attributes:
        summary: One sentence.
        task: Task of the weights, such as ``infrared-visible``.
        licence: Licence of the weights.
        limits: One sentence for each limit of their use.
        device: Device of the training in words; default: what the run recorded.
        labels: Nature of the labels in words; default: what the dataset declares.
        trained_for: Metrics that the training optimised, besides those that a loss term of the same name shows.
        notes: Further sentences for the model card.
    """

    summary: str
    task: str
    licence: str
    limits: Sequence[str]
    device: str | None = None
    labels: str | None = None
    trained_for: Sequence[str] = ()
    notes: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class Packed:
    """A packed model file.

    Attributes:
        out: The file.
        release: The facts that it holds.
        verified: Outcome of its verification after it was written.
    """

    out: Path
    release: Release
    verified: Verified


def pack(
    folder: Path,
    out: Path,
    description: Description,
    *,
    keep: Sequence[str] = (),
    half: bool = False,
    evaluations: Sequence[Path] = (),
    data: Path | None = None,
    overwrite: bool = False,
    components: Registry | None = None,
) -> Packed:
    """Writes the weights of a finished run as a model file with all facts about them, and verifies the file.

    Parts that fusing does not need are left out: the loss proposer and the reconstruction head always, the task network
    unless the backbone uses its guidance.

    Args:
        folder: Folder of the run.
        out: File to write, ``.safetensors``.
        description: What the author states.
        keep: Further parts to keep, such as ``task``.
        half: Store all numbers in 16 bits; they are loaded as 32 bits again. Without it, only those tensors that this
            does not change.
        evaluations: Further evaluations, as folders of runs or ``evaluation.json`` files.
        data: Folder of the data, if it is not where the recipe says.
        overwrite: Replace `out` if it exists.
        components: Registry that provides the components.

    Raises:
        UsageError: The folder is not that of a finished run, `out` exists, or a part does not exist.
        DataError: The data or an evaluation is missing, or differs from what the run recorded.
        RunError: Storage in 16 bits changes the results, or the file cannot be written.
    """
    if out.suffix != ".safetensors":
        raise UsageError(f"{out}: the name of a model file must end in .safetensors")
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists", hint="--overwrite replaces it")
    known = components or registry()
    run = FinishedRun.read(folder)
    system, _ = load_system(run.model_file, components=known)
    kept = kept_parts(system, keep)
    section = kept_section(run, kept)
    stored = [
        read_table(path) for path in ([folder] if (folder / "evaluation.json").is_file() else []) + [*evaluations]
    ]
    recipe, notes = run.retraining_recipe()
    trained_for = [
        *run.metrics_trained_for(stored),
        *_metric_keys(description.trained_for, stored),
    ]
    pair = synthetic_pair(description.task, system.roles, known)
    metrics = [spec.name for spec in known.for_tables("metric")]
    state = _state(run.model_file, kept, half)
    facts: dict[str, Any] = {
        "summary": description.summary,
        "task": description.task,
        "licence": description.licence,
        "limits": list(description.limits),
        "data": data_facts(run, known, root=data, labels=description.labels),
        "training": run.training(description.device),
        "tables": stored,
        "trained_for": list(dict.fromkeys(trained_for)),
        "recipe": recipe,
        "kept": kept,
        "dropped": [name for name in system.parts() if name not in kept],
        "storage": "float16" if half else "float32",
        "notes": [*description.notes, *notes],
    }
    classes = run.card.classes if "task" in kept else None
    made: list[tuple[Release, Verified]] = []

    def write(temporary: Path) -> None:
        provenance = run.provenance()
        save_state(temporary, state, ModelCard(section, system.roles, classes, provenance, run.card.version))
        packed, _ = load_system(temporary, components=known)
        _check_same(results_of(system, pair, [], known), results_of(packed, pair, [], known), half)
        release = Release(**facts, verification=record(packed, pair, metrics, known))
        provenance[KEY] = plain(release)
        save_state(temporary, state, ModelCard(section, system.roles, classes, provenance, run.card.version))
        verified = verify_file(temporary, known)
        if verified.problems:
            raise RunError(f"the packed file does not give the same results again: {'; '.join(verified.problems)}")
        made.append((release, verified))

    write_atomically(out, write)
    return Packed(out, *made[-1])


def kept_parts(system: FusionSystem, keep: Sequence[str] = ()) -> list[str]:
    """Names of the parts that a packed file keeps, in the order of the ``model`` section.

    Raises:
        UsageError: A part does not exist.
    """
    parts = system.parts()
    unknown = [name for name in keep if name not in parts]
    if unknown:
        raise UsageError(f"the model has no {unknown[0]} to keep", hint=f"its parts are {', '.join(parts)}")
    needed = {"backbone", *keep, *(("task",) if system.guided else ())}
    guided = system.guidance_maker is not None and "task" in needed and (system.guided or "proposer" in needed)
    return [name for name in parts if name in needed] + (["guidance"] if guided else [])


def _state(file: Path, kept: Sequence[str], half: bool) -> dict[str, Tensor]:
    prefixes = tuple("guidance_maker." if name == "guidance" else f"{name}." for name in kept)
    state = {name: value for name, value in load_file(file).items() if name.startswith(prefixes)}
    if not half:
        # What 16 bits represent exactly is loaded as it was, such as a part that comes from other shipped weights.
        return {name: value.half() if _fits_half(value) else value for name, value in state.items()}
    for name, value in state.items():
        if value.dtype == torch.float32 and value.numel() and float(value.abs().max()) > torch.finfo(torch.float16).max:
            raise RunError(f"{name} has values beyond the range of 16 bits", hint="leave out --half")
    return {name: value.half() if value.dtype == torch.float32 else value for name, value in state.items()}


def _fits_half(value: Tensor) -> bool:
    return value.dtype == torch.float32 and torch.equal(value.half().float(), value)


def _metric_keys(names: Sequence[str], tables: Sequence[Table]) -> list[str]:
    keys = list(dict.fromkeys(column.key for table in tables for column in table.metrics))
    found = []
    for name in names:
        matching = [key for key in keys if name in (key, key.partition(".")[2])]
        if not matching:
            raise UsageError(f"--trained-for {name}: no evaluation has that metric", hint=f"metrics: {', '.join(keys)}")
        found += matching
    return found


def _check_same(before: Results, after: Results, half: bool) -> None:
    """Checks that packing has not changed the results.

    Raises:
        RunError: They differ by more than the tolerance.
    """
    levels = float((before.fused - after.fused).abs().max()) * 255.0
    wrong = 0.0
    if before.labels is not None and after.labels is not None:
        wrong = float((before.labels != after.labels).float().mean())
    if levels <= HALF_LEVELS and wrong <= HALF_LABELS:
        return
    classes = f", the predicted class of {wrong:.2%} of the pixels ({HALF_LABELS:.1%} accepted)" if wrong else ""
    raise RunError(
        f"packing changes the results: the fused image by up to {levels:.2f} levels of 8 bits ({HALF_LEVELS} accepted)"
        f"{classes}",
        hint="leave out --half" if half else "the model needs a part that was left out; name it with --keep",
    )
