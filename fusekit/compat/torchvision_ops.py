"""Makes torchvision importable with a torch build without CUDA.

With a CPU build of torch, package indexes may install the CUDA build of torchvision. Its compiled library does not
load, and its import fails with "operator torchvision::nms does not exist"; timm and segmentation-models-pytorch then
fail to import too. If the missing operator schemas are defined first, the import succeeds. The compiled operators
remain unavailable, but fusekit does not need them.
"""

from __future__ import annotations

import importlib
import re
import sys
from types import ModuleType

_SCHEMAS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_MISSING = re.compile(r"operator torchvision::(\w+) does not exist")


def import_torchvision() -> ModuleType:
    """Imports torchvision; defines the missing operator schemas if exactly that error occurs.

    Raises:
        ImportError: torchvision is not installed.
        RuntimeError: The import fails for another reason.
    """
    import torch

    for _ in range(len(_SCHEMAS) + 1):
        try:
            return importlib.import_module("torchvision")
        except RuntimeError as error:
            match = _MISSING.search(str(error))
            if match is None or match.group(1) not in _SCHEMAS:
                raise
            name = match.group(1)
            torch.library.define(f"torchvision::{name}", _SCHEMAS[name])
            for module in [m for m in sys.modules if m == "torchvision" or m.startswith("torchvision.")]:
                del sys.modules[module]
    raise RuntimeError("torchvision cannot be imported although its operator schemas are defined")
