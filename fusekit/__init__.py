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

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
