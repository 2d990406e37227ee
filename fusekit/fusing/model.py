"""A loaded model: `fuse` for paths, arrays and tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusekit.data.image_io import read_image
from fusekit.devices import choose_device
from fusekit.errors import DataError
from fusekit.fusing.fuse import FusedScene, Range, fuse_scene
from fusekit.interfaces.backbone import FusionBackbone
from fusekit.interfaces.task import TaskNetwork
from fusekit.recipe.model_file import ModelCard, load_system
from fusekit.recipe.system import FusionSystem

Image = str | Path | np.ndarray[Any, Any] | Tensor


class FusionModel:
    """A trained system, ready to fuse.

    Args:
        system: The parts; put into evaluation mode.
        card: What the model file says about itself; None for a system made by hand.
        device: Where to fuse.
    """

    def __init__(self, system: FusionSystem, card: ModelCard | None = None, device: torch.device | str = "cpu") -> None:
        self.system = system.to(device).eval()
        self.card = card
        self.device = torch.device(device)

    @property
    def backbone(self) -> FusionBackbone:
        """The fusion backbone."""
        return self.system.backbone

    @property
    def task(self) -> TaskNetwork | None:
        """The task network, or None."""
        return self.system.task

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles of the sources, in the order that `fuse` takes them."""
        return self.system.roles

    def fuse(self, *images: Image, output_range: Range = "clip") -> Any:
        """Fuses one scene.

        Args:
            *images: One per role, in order, all of one kind: paths; numpy arrays (H, W) or (H, W, 1 or 3),
                uint8, uint16 or float in [0, 1]; or tensors (C, H, W) or (B, C, H, W), float in [0, 1].
            output_range: ``clip``, or ``stretch`` to each image's own minimum and maximum.

        Returns:
            An array or tensor of the kind and depth given; for paths a uint8 array. Grey (H, W) where all
            sources are grey, else colour (H, W, 3); tensors keep their (…, C, H, W) layout.

        Raises:
            DataError: Sizes differ, values are out of range, a file cannot be read.
        """
        if not images:
            raise DataError(f"nothing to fuse: give one image for each of {', '.join(self.roles)}")
        tensors = [image for image in images if isinstance(image, Tensor)]
        arrays = [image for image in images if isinstance(image, np.ndarray)]
        paths = [Path(image) for image in images if isinstance(image, (str, Path))]
        if len(tensors) == len(images):
            return self._fuse_tensors(tensors, output_range)
        if len(arrays) == len(images):
            fused = self.fuse_scene([_from_array(array) for array in arrays], output_range).image
            return _to_array(fused, arrays[0].dtype)
        if len(paths) == len(images):
            fused = self.fuse_scene([read_image(path) for path in paths], output_range).image
            return _to_array(fused, np.dtype(np.uint8))
        raise DataError("the sources must all be paths, all arrays, or all tensors")

    def fuse_scene(self, images: list[Tensor], output_range: Range = "clip") -> FusedScene:
        """Fuses images (1 or 3, H, W) in [0, 1] and returns everything about it."""
        return fuse_scene(self.system, images, output_range=output_range, device=self.device)

    def _fuse_tensors(self, images: list[Tensor], output_range: Range) -> Tensor:
        if images[0].ndim == 4:
            scenes = zip(*images, strict=True)
            return torch.stack([self._fuse_tensors(list(scene), output_range) for scene in scenes])
        for image in images:
            if image.ndim != 3 or not image.is_floating_point():
                raise DataError(
                    f"tensors must be float (C, H, W) or (B, C, H, W), got {tuple(image.shape)} {image.dtype}"
                )
            _check_range(float(image.min()), float(image.max()))
        fused = self.fuse_scene([image.float() for image in images], output_range).image
        return fused.to(images[0])


def load(name_or_file: str | Path, *, device: str = "auto") -> FusionModel:
    """Loads a model file, such as ``runs/uaafusion-msrs/model.safetensors``, or a run folder that holds one.

    Args:
        name_or_file: The file, or the folder of a run.
        device: ``auto``, ``cpu``, ``cuda``, …

    Raises:
        DataError: There is no such file, or it is no model file.
        PluginError: A component that the model needs is not installed.
    """
    path = Path(name_or_file)
    if path.is_dir():
        path = path / "model.safetensors"
    where = choose_device(device)
    system, card = load_system(path, device=where)
    return FusionModel(system, card, where)


def _from_array(array: np.ndarray[Any, Any]) -> Tensor:
    """(H, W) or (H, W, 1 or 3) of uint8, uint16 or float to (1 or 3, H, W) float32 in [0, 1]."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3)):
        raise DataError(f"arrays must be (H, W) or (H, W, 1 or 3), got {array.shape}")
    if array.dtype == np.uint8 or array.dtype == np.uint16:
        values = array.astype(np.float32) / np.iinfo(array.dtype).max
    elif np.issubdtype(array.dtype, np.floating):
        values = array.astype(np.float32)
        _check_range(float(values.min()), float(values.max()))
    else:
        raise DataError(f"arrays must be uint8, uint16 or float, got {array.dtype}")
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    return tensor[None] if tensor.ndim == 2 else tensor.permute(2, 0, 1).contiguous()


def _to_array(image: Tensor, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    values = image[0].numpy() if image.shape[0] == 1 else image.permute(1, 2, 0).numpy()
    if np.issubdtype(dtype, np.floating):
        return values.astype(dtype)
    return np.rint(values.astype(np.float64) * np.iinfo(dtype).max).astype(dtype)


def _check_range(low: float, high: float) -> None:
    if not (low >= 0.0 and high <= 1.0):  # written so that NaN fails too
        raise DataError(f"float images must lie in [0, 1], found [{low:.4g}, {high:.4g}]")
