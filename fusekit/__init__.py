"""fusekit: a plugin framework for image fusion.

The public API. Names are imported on first use, so that ``import fusekit`` stays fast::

    import fusekit

    recipe = fusekit.Recipe.load("recipes/uaafusion_msrs.yaml")
    system = fusekit.assemble(recipe)        # the parts, untrained
    run = fusekit.run(recipe)                # train, fuse, evaluate, report

    model = fusekit.load("runs/uaafusion-msrs/model.safetensors")
    fused = model.fuse("thermal.png", "visible.png")                # an array
    fusekit.fuse(["thermal/", "visible/"], "fused/", model=model)   # files, folders, videos
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fusekit._version import API_VERSION, __version__

if TYPE_CHECKING:
    from fusekit.errors import FusekitError as FusekitError
    from fusekit.fusing.model import FusionModel as FusionModel
    from fusekit.fusing.model import load as load
    from fusekit.memory import keep_memory as keep_memory
    from fusekit.model.assembly import assemble as assemble
    from fusekit.model.model_file import save_model as save_model
    from fusekit.model.system import FusionSystem as FusionSystem
    from fusekit.pipeline.fuse_files import fuse as fuse
    from fusekit.pipeline.run import run as run
    from fusekit.recipe.recipe import Recipe as Recipe
    from fusekit.training.trainer import Trainer as Trainer

_HOME = {
    "FusekitError": "fusekit.errors",
    "FusionModel": "fusekit.fusing.model",
    "FusionSystem": "fusekit.model.system",
    "Recipe": "fusekit.recipe.recipe",
    "Trainer": "fusekit.training.trainer",
    "assemble": "fusekit.model.assembly",
    "fuse": "fusekit.pipeline.fuse_files",
    "keep_memory": "fusekit.memory",
    "load": "fusekit.fusing.model",
    "run": "fusekit.pipeline.run",
    "save_model": "fusekit.model.model_file",
}

__all__ = ["API_VERSION", "__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
