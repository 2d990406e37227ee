"""Makes torchvision importable beside a torch without CUDA.

Beside a CPU torch, package indexes serve the CUDA build of torchvision; its compiled library does not load,
and its import then dies with "operator torchvision::nms does not exist", taking timm and
segmentation-models-pytorch along. Defining the missing operator schemas first lets it import; the compiled
operators themselves stay unavailable, and fusekit needs none of them.
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
    """Imports torchvision, defining missing operator schemas where exactly that error occurs.

    Raises:
        ImportError: torchvision is not installed.
        RuntimeError: It fails for another reason.
    """
    import torch

    for _ in range(len(_SCHEMAS) + 1):
        try:
            return importlib.import_module("torchvision")
        except RuntimeError as error:
            found = _MISSING.search(str(error))
            if found is None or found.group(1) not in _SCHEMAS:
                raise
            name = found.group(1)
            torch.library.define(f"torchvision::{name}", _SCHEMAS[name])
            for module in [m for m in sys.modules if m == "torchvision" or m.startswith("torchvision.")]:
                del sys.modules[module]
    raise RuntimeError("torchvision does not import although its operator schemas are defined")
