"""The model card of a model file, as a page in Markdown. Imports no torch."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from fusekit.recipe.model_card import ModelCard
from fusekit.weights.release import DataFacts, MetricColumn, Release, Table, TrainingFacts, Verification

_LABELS = {
    None: "The data has no labels.",
    "human": "The labels were annotated by people.",
    "exact": "The labels are exact, because the scenes were rendered.",
    "pseudo": "The labels are pseudo-labels: they were predicted by networks, so scores against them are agreement "
    "with these networks, not accuracy.",
}


def card_page(
    name: str,
    card: ModelCard,
    release: Release,
    *,
    title: str,
    size: int,
    parameters: int,
    picture: str | None = None,
) -> str:
    """The model card as Markdown.

    Args:
        name: How a user names the weights: the name of shipped weights, or the name of the file.
        card: Metadata of the model file.
        release: The facts that it holds.
        title: Title of the page.
        size: Size of the file in bytes.
        parameters: Number of parameters.
        picture: File name of a picture of the verification pair, relative to the page; None without a picture.
    """
    return "\n".join(_lines(name, card, release, title, size, parameters, picture)).rstrip() + "\n"


def _lines(
    name: str, card: ModelCard, release: Release, title: str, size: int, parameters: int, picture: str | None
) -> Iterator[str]:
    storage = "16" if release.storage == "float16" else "32"
    yield f"# {text(title)}\n\n{text(release.summary)}\n"
    if picture is not None:
        yield f"![Sources and fused image of the verification pair]({quote(picture)})\n"
        yield "*The rendered pair on which the weights are verified: the sources and the fused image.*\n"
    yield "## What it is\n"
    yield from _list(
        ("Task", text(release.task)),
        ("Sources, in this order", text(", ".join(card.roles))),
        *((_part(name), code(str(card.model[name].get("use")))) for name in release.kept if name in card.model),
        ("Parts that were trained and are not in this file", ", ".join(map(_part, release.dropped)) or "none"),
        ("Size", f"{size / 1e6:.2f} MB, {parameters:,} parameters, stored in {storage} bits"),
        ("Licence", text(release.licence)),
    )
    yield f'```python\nimport fusekit\n\nmodel = fusekit.load("{name}")\n```\n' if _plain_name(name) else ""
    yield "## Data\n"
    yield from _data(release.data)
    yield "## Training\n"
    yield from _training(release.training)
    if _plain_name(name):
        yield "The recipe is stored in the model file. These commands train again:\n"
        root = " -o data.root=FOLDER" if not release.data.synthetic else ""
        yield f"```console\n$ fusekit weights recipe {name} -o recipe.yaml\n$ fusekit run recipe.yaml{root}\n```\n"
    if release.tables:
        yield "## Results\n"
        yield from _results(release.tables, release.trained_for)
    yield "## Limits\n"
    yield from (f"- {text(limit)}" for limit in release.limits)
    yield from (f"- {text(note)}" for note in release.notes)
    yield "\n## Verification\n"
    yield from _verification(name, release.verification)


def _data(data: DataFacts) -> Iterator[str]:
    yield from _list(
        ("Data", text(data.name) + (" (rendered by a program)" if data.synthetic else "")),
        ("Labels", _LABELS[data.labels] if data.labels in _LABELS else text(str(data.labels))),
        *([("Training scenes by member", _pairs(data.members))] if data.members else []),
        *([("Held out for validation", f"{data.held_out} scenes")] if data.held_out else []),
        *([("Note", text(data.note))] if data.note else []),
    )
    yield "| split | scenes | SHA-256 of the sorted scene names, one per line |\n| --- | --- | --- |"
    yield from (f"| {text(name)} | {split.scenes} | `{text(split.sha256)}` |" for name, split in data.splits.items())
    yield ""


def _training(training: TrainingFacts) -> Iterator[str]:
    yield from _list(
        ("Seed", str(training.seed)),
        ("Steps", _pairs(training.steps) or "not recorded"),
        ("Time", _duration(training.seconds)),
        ("Device", text(training.device or "not recorded")),
        *([("Processes", str(training.processes))] if training.processes > 1 else []),
        *([("Selected by validation", _pairs(training.selected_by))] if training.selected_by else []),
        ("Versions", _pairs(training.versions)),
    )


def _results(tables: Sequence[Table], trained_for: Sequence[str]) -> Iterator[str]:
    yield (
        "Means over the scenes. The best value of a column is bold; ↑ higher is better, ↓ lower is better. A column "
        "marked † was optimised by the training, so it does not compare methods fairly.\n"
    )
    for table in tables:
        yield f"### {text(table.subset)}\n"
        heads = [
            f"{text(column.name)} ({text(column.dialect)}) {'↑' if column.higher_is_better else '↓'}"
            + (" †" if column.key in trained_for else "")
            for column in table.metrics
        ]
        yield f"| method | {' | '.join(heads)} |\n| --- |{' --- |' * len(heads)}"
        best = {column.key: _best(table, column) for column in table.metrics}
        for method in table.methods:
            cells = [_value(method.mean.get(key), top) for key, top in best.items()]
            shown = f"**{text(method.name)}**" if method.is_model else text(method.name)
            yield f"| {shown} | {' | '.join(cells)} |"
        yield f"\n{text(table.note)}\n" if table.note else ""
        if table.task:
            yield "| images | mean IoU of the task network |\n| --- | --- |"
            top = max((row.mean_iou for row in table.task if row.mean_iou is not None), default=None)
            for row in table.task:
                shown = f"**{text(row.input)}**" if row.is_model else text(row.input)
                yield f"| {shown} | {_value(row.mean_iou, top)} |"
            yield ""


def _verification(name: str, verification: Verification) -> Iterator[str]:
    command = f"`fusekit weights verify {name}`" if _plain_name(name) else "`fusekit weights verify`"
    yield (
        f"The file holds a rendered pair and the results of the weights for it. {command} computes them again: the "
        "fused image may differ by at most 2 levels of 8 bits, each metric by 1 %"
        + (", and the predicted class at 0.5 % of the pixels." if verification.labels is not None else ".")
        + "\n"
    )
    yield "| metric | stored value |\n| --- | --- |"
    yield from (f"| {text(key)} | {value:.5g} |" for key, value in verification.metrics.items())


def _best(table: Table, column: MetricColumn) -> float | None:
    values = [value for method in table.methods if (value := method.mean.get(column.key)) is not None]
    if not values:
        return None
    return max(values) if column.higher_is_better else min(values)


def _part(name: str) -> str:
    names = {"proposer": "loss proposer", "reconstruction": "reconstruction head", "task": "task network"}
    return names.get(name, text(name))


def _value(value: float | None, best: float | None) -> str:
    if value is None:
        return ""
    return f"**{value:.4g}**" if value == best else f"{value:.4g}"


def _list(*entries: tuple[str, str]) -> Iterator[str]:
    yield from (f"- {head[:1].upper()}{head[1:]}: {content}" for head, content in entries)
    yield ""


def _pairs(facts: dict[str, int] | dict[str, str]) -> str:
    return ", ".join(f"{text(name)} {text(str(value))}" for name, value in facts.items())


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "not recorded"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def text(given: str) -> str:
    """Text of a model file, on one line and without effect as Markdown or HTML."""
    line = " ".join("".join(character for character in given if character.isprintable() or character.isspace()).split())
    line = re.sub(r"([\\`*_\[\]|~#])", r"\\\1", html.escape(line, quote=False))
    return re.sub(r"^(\d*)([-+=]|[.)](?=\s))", r"\1\\\2", line)


def code(given: str) -> str:
    """Text of a model file as code."""
    return f"`{re.sub(r'[`|<>]', '', ' '.join(given.split()))}`"


def _plain_name(name: str) -> bool:
    """Whether a name can be part of a command or of a program without quoting."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) is not None


def picture_name(page: Path) -> str:
    """File name of the picture of a card."""
    return f"{page.stem}.png"
