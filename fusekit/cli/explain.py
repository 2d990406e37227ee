"""``fusekit explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fusekit.cli.options import Device, With, add_local_files


def explain(
    model: Annotated[str, typer.Argument(metavar="RUN_OR_MODEL", help="A run folder or a model file.")],
    images: Annotated[list[Path], typer.Argument(help="One image per source, in the order of the roles.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the pictures.")],
    label: Annotated[Path | None, typer.Option("--label", help="Label map that defines the regions.")] = None,
    with_: With = None,
    device: Device = "auto",
) -> None:
    """Show how a pair is fused: pictures of each source's attribution, the weights and the segmentation.

    Example: fusekit explain runs/uaafusion-msrs infrared.png visible.png -o explained
    """
    add_local_files(with_)
    from fusekit.fusing.fusion_model import load
    from fusekit.pipeline.explain import explain_scene

    written = explain_scene(load(model, device=device), images, out, label=label)
    for path in written:
        typer.echo(str(path))
