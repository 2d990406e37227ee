"""Facts about the data of a run: names, numbers of scenes, and hashes of the lists of scenes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from fusekit.errors import DataError
from fusekit.interfaces.dataset import Split
from fusekit.model.assembly import build_dataset
from fusekit.plugin.registry import Registry
from fusekit.recipe.recipe import Recipe
from fusekit.weights.release import DataFacts, scene_list
from fusekit.weights.run_facts import FinishedRun


def data_facts(
    run: FinishedRun, components: Registry, *, root: Path | None = None, labels: str | None = None
) -> DataFacts:
    """Facts about the data of a run; lists its scenes again, but reads no image.

    Args:
        run: The run.
        components: Registry that provides the dataset.
        root: Folder of the data; default: that of the recipe.
        labels: Nature of the labels in words; default: what the dataset declares.

    Raises:
        DataError: The data is missing, or its training scenes are not those that the run recorded.
    """
    section = {**run.recipe["data"], **({"root": str(root)} if root is not None else {})}
    recipe = Recipe.from_dict({**run.recipe, "data": section, "when_missing": {}}, registry=components)
    held_out = set(run.record.get("held_out", []))
    trained = [name for name in _scenes(recipe, "train") if name not in held_out]
    recorded = run.record.get("training_scenes")
    if recorded is not None and recorded not in (0, len(trained)):
        raise DataError(
            f"the data has {len(trained)} training scenes, but the run {run.folder} was trained on {recorded}",
            hint="give the folder of the data of that run with --data FOLDER",
        )
    scenes = run.card.provenance.get("scenes")
    if isinstance(scenes, dict) and scenes.get("sha256") != scene_list(trained).sha256:
        raise DataError(
            f"the data does not have the training scenes on which the run {run.folder} was trained",
            hint="give the folder of the data of that run with --data FOLDER",
        )
    provenance = recipe.data_config.provenance()
    split = recipe.model.fuse.split
    return DataFacts(
        name=provenance.name,
        synthetic=provenance.synthetic,
        labels=labels or provenance.labels,
        note=provenance.note,
        splits={"train": scene_list(trained), split: scene_list(_scenes(recipe, split))},
        members=_members(section, trained),
        held_out=len(held_out),
    )


def _scenes(recipe: Recipe, split: Split) -> list[str]:
    return [str(name) for name in build_dataset(recipe, split).ids]


def _members(section: dict[str, Any], scenes: list[str]) -> dict[str, int]:
    """Number of training scenes of each member of a collection, whose scenes are called ``MEMBER-STEM``."""
    members = section.get("params", {}).get("members") or []
    titles = [m["folder"] if m.get("name") in (None, "pairs") else m["name"] for m in members]
    longest_first = sorted(titles, key=len, reverse=True)
    owners = Counter(next((title for title in longest_first if scene.startswith(f"{title}-")), "") for scene in scenes)
    return {title: owners[title] for title in titles}
