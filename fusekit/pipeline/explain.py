"""Pictures that explain how one scene is fused: the task network's attribution of each source."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from fusekit.data.image_io import read_image, read_label, write_image
from fusekit.errors import UsageError
from fusekit.files import write_atomically, write_text
from fusekit.fusing.fusion_model import FusionModel
from fusekit.interfaces.guidance import RegionAttribution
from fusekit.interfaces.task import SegmentationNetwork
from fusekit.pipeline.scene_pictures import SceneAnalysis, segment
from fusekit.report.data import Picture
from fusekit.report.picture_grid import picture_grid
from fusekit.report.pictures import colour_labels, heat, to_uint8


def explain_scene(model: FusionModel, images: Sequence[Path], out: Path, *, label: Path | None = None) -> list[Path]:
    """Writes the pictures of a scene's attribution.

    The files are ``fused.png``; for each source ``attribution-ROLE.png`` (how much each region helps its class, on one
    scale for all sources) and ``weight-ROLE.png``; ``segmentation.png`` with the regions; ``explained.png``, a contact
    sheet of all pictures; and ``attribution.json``, the scores by region and source.

    Args:
        model: A model with guidance and a segmentation network.
        images: One file per role, in order.
        out: Folder to write to.
        label: Label map that defines the regions; the network's own prediction when None.

    Raises:
        UsageError: The model has no guidance or no segmentation network, or the number of images is wrong.
        DataError: A file cannot be read.
    """
    system, task = model.system, model.task
    if not isinstance(task, SegmentationNetwork):
        raise UsageError("this model has no segmentation network, so there is no attribution to show")
    if system.guidance_maker is None:
        raise UsageError(
            "this model has no guidance, so there is no attribution to show",
            hint="set model.guidance in the recipe and train the model with it",
        )
    if len(images) != len(model.roles):
        raise UsageError(f"give {len(model.roles)} images, in this order: {', '.join(model.roles)}")
    read = [read_image(path) for path in images]
    scene = model.fuse_scene(read, tile="off")
    assert scene.sources is not None
    assert scene.measured is not None
    labels = read_label(label, task.classes)[None].to(model.device) if label is not None else None
    guidance = system.guidance(scene.sources, labels)
    assert guidance is not None
    attribution = guidance.attribution()
    regions = attribution.regions[0].cpu()
    total = attribution.total()[0].float().cpu()
    weights = SceneAnalysis(system, scene.sources, scene.guidance, scene.output).weights()
    pictures = [Picture(role, to_uint8(image)) for role, image in zip(model.roles, read, strict=True)]
    pictures.append(Picture("fused", to_uint8(scene.image)))
    scale = float(total.max()) or 1.0
    for role, values in zip(model.roles, total, strict=True):
        pictures.append(Picture(f"attribution-{role}", heat((values / scale).numpy())))
    if weights is not None:
        for role, values in zip(model.roles, weights, strict=True):
            pictures.append(Picture(f"weight-{role}", heat(values.numpy(), neutral=1 / len(model.roles))))
    table = task.classes
    predicted = segment(task, scene.measured, model.device)
    shown = [("regions", regions)] if attribution.names is None else []  # the palette has colours for classes only
    for title, classes in (*shown, ("segmentation", predicted)):
        pictures.append(Picture(title, colour_labels(classes.numpy(), table.palette, table.ignore_index)))
    return _write(pictures, _scores(model.roles, attribution, attribution.names or table.names), out)


def _scores(roles: Sequence[str], attribution: RegionAttribution, names: Sequence[str]) -> str:
    """Attribution by region and source, and the size of each region, as JSON."""
    scores, regions = attribution.scores[0].cpu(), attribution.regions[0].cpu()
    present = [c for c in regions.unique().tolist() if 0 <= c < len(names)]
    plain = {
        names[c]: {
            "pixels": int((regions == c).sum()),
            **{role: float(scores[i, c]) for i, role in enumerate(roles)},
        }
        for c in present
    }
    return json.dumps(plain, indent=2) + "\n"


def _write(pictures: Sequence[Picture], scores: str, out: Path) -> list[Path]:
    written = []
    for picture in pictures:
        array = torch.from_numpy(picture.image).float() / 255.0
        path = out / f"{picture.title}.png"
        write_image(path, array[None] if array.ndim == 2 else array.permute(2, 0, 1))
        written.append(path)
    sheet: Image.Image = picture_grid([(p.title, p.image) for p in pictures], columns=3)
    write_atomically(out / "explained.png", lambda temporary: sheet.save(temporary, format="PNG"))
    write_text(out / "attribution.json", scores)
    return [*written, out / "explained.png", out / "attribution.json"]
