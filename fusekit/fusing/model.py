"""A loaded model: `fuse` for paths, arrays and tensors; `stream` for the frames of a camera."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusekit.data.colour import is_grey
from fusekit.data.decoding import read_raster
from fusekit.data.image_writing import check_suffix, write_raster
from fusekit.data.raster import Raster
from fusekit.devices import choose_device
from fusekit.errors import DataError
from fusekit.fusing.colouring import Colouring
from fusekit.fusing.fuse import FusedScene, Range, check_images, fuse_scene, role_names
from fusekit.fusing.options import BitDepth, FuseOptions, OutputRange, TileChoice
from fusekit.fusing.picture import fuse_pictures, fuse_values
from fusekit.fusing.rules import rule_system, rules
from fusekit.fusing.stream import FusionStream
from fusekit.fusing.tiling import tile_size
from fusekit.interfaces.backbone import FusionBackbone
from fusekit.interfaces.task import TaskNetwork
from fusekit.progress import Advance
from fusekit.recipe.model_file import MODEL_FILE, ModelCard, load_system
from fusekit.recipe.system import FusionSystem

Image = str | Path | np.ndarray[Any, Any] | Tensor


class FusionModel:
    """A system, ready to fuse; may be used by several threads at once.

    Args:
        system: The parts; put into evaluation mode.
        card: What the model file says about itself; None for a system made by hand, and for a rule.
        device: Where to fuse.
    """

    def __init__(self, system: FusionSystem, card: ModelCard | None = None, device: torch.device | str = "cpu") -> None:
        self.system = system.to(device).eval()
        self.card = card
        self.device = torch.device(device)
        # Guidance switches gradients of the task network off and on again, which two threads cannot do at once.
        guided = self.backbone.uses_guidance and self.task is not None
        self._turn: threading.Lock | nullcontext[None] = threading.Lock() if guided else nullcontext()

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
        """Roles of the sources, in the order that `fuse` takes them; empty where any number is taken."""
        return self.system.roles

    def fuse(
        self,
        *images: Image,
        out: str | Path | None = None,
        output_range: OutputRange = "clip",
        limits: tuple[float, float] | None = None,
        colour: str = "auto",
        bit_depth: BitDepth = "keep",
        tile: TileChoice = "auto",
    ) -> Any:
        """Fuses one scene, or a batch of tensors.

        Args:
            *images: One per role, in order, all of one kind: paths; numpy arrays (H, W) or (H, W, 1 or 3),
                uint8, uint16 or float in [0, 1]; or tensors (C, H, W) or (B, C, H, W), float in [0, 1].
            out: File to write the result to as well, PNG or TIFF; for paths and arrays.
            output_range: ``clip``, ``fixed`` with `limits`, or ``stretch`` to each image's minimum and maximum.
            limits: Lower and upper limit of the range ``fixed``.
            colour: ``auto``, ``luma``, ``channels``, or the role whose colours the result gets.
            bit_depth: ``keep``: that of the deepest source; 8 or 16. Not for tensors.
            tile: ``auto``, ``off``, or the side of tiles in pixels.

        Returns:
            An array or tensor of the kind and depth given; for paths an array. Grey (H, W) where no source is in
            colour, else (H, W, 3); tensors keep their (…, C, H, W) layout. Alpha is in the file only.

        Raises:
            DataError: Sizes differ, values are out of range, a file cannot be read.
            UsageError: An option that cannot be.
            RunError: `out` cannot be written.
        """
        options = FuseOptions(output_range, limits, colour, bit_depth, tile)
        if out is not None:
            check_suffix(Path(out))
        if not images:
            raise DataError(f"nothing to fuse: give one image for each of {', '.join(self.roles) or 'the sources'}")
        tensors = [image for image in images if isinstance(image, Tensor)]
        if len(tensors) == len(images) and out is None:
            return self._fuse_tensors(tensors, options)
        arrays = [image for image in images if isinstance(image, np.ndarray)]
        paths = [Path(image) for image in images if isinstance(image, (str, Path))]
        if len(arrays) == len(images):
            pictures = [picture_of(array) for array in arrays]
        elif len(paths) == len(images):
            pictures = [read_raster(path) for path in paths]
        else:
            raise DataError("the sources must all be paths, all arrays, or all tensors (without `out`)")
        fused = self.fuse_pictures(pictures, options)
        if out is not None:
            write_raster(Path(out), fused)
        if arrays and options.bit_depth == "keep" and fused.pixels.dtype.kind == "f":
            return fused.pixels.astype(np.result_type(*[a.dtype for a in arrays if a.dtype.kind == "f"]))
        return fused.pixels

    def fuse_pictures(
        self, pictures: Sequence[Raster], options: FuseOptions | None = None, *, advance: Advance | None = None
    ) -> Raster:
        """Fuses pictures as files hold them; see `fusekit.fusing.picture.fuse_pictures`."""
        with self._turn:
            return fuse_pictures(self.system, pictures, options or FuseOptions(), device=self.device, advance=advance)

    def fuse_scene(self, images: list[Tensor], output_range: Range = "clip") -> FusedScene:
        """Fuses images (1 or 3, H, W) in [0, 1] and returns everything about it."""
        with self._turn:
            return fuse_scene(self.system, images, output_range=output_range, device=self.device)

    @contextmanager
    def stream(
        self,
        *,
        output_range: OutputRange = "clip",
        limits: tuple[float, float] | None = None,
        colour: str = "auto",
        tile: TileChoice = "auto",
    ) -> Iterator[FusionStream]:
        """For the frames of cameras: decisions are made at the first frame, and memory is used again.

        Args:
            output_range: ``clip`` or ``fixed``; each frame by itself would flicker.
            limits: As for `fuse`.
            colour: As for `fuse`; a source of three channels counts as colour, whatever its first frame shows.
            tile: As for `fuse`.

        Raises:
            UsageError: An option that cannot be.

        Example:
            >>> with model.stream() as stream:
            ...     for thermal, visible in frames:
            ...         show(stream.fuse(thermal, visible))
        """
        options = FuseOptions(output_range, limits, colour, "keep", tile)
        stream = FusionStream(self.system, options, self.device, self._turn)
        try:
            yield stream
        finally:
            stream.close()

    def _fuse_tensors(self, images: list[Tensor], options: FuseOptions) -> Tensor:
        for image in images:
            if image.ndim not in (3, 4) or image.shape[-3] not in (1, 3) or not image.is_floating_point():
                raise DataError(
                    f"tensors must be float (C, H, W) or (B, C, H, W) with 1 or 3 channels, "
                    f"got {tuple(image.shape)} {image.dtype}"
                )
            _check_range(float(image.min()), float(image.max()))
        if len({image.shape[:-3] for image in images}) > 1:
            raise DataError(f"batches differ: {', '.join(str(tuple(image.shape)) for image in images)}")
        check_images(self.system, images)
        batches = [image.detach().float() if image.ndim == 4 else image.detach().float()[None] for image in images]
        colouring = Colouring.choose(
            options.colour,
            [not is_grey(batch) for batch in batches],
            role_names(self.system, len(images)),
            self.backbone.colour,
        )
        height, width = images[0].shape[-2:]
        tiled = tile_size(self.system, height, width, options.tile) is not None
        # One scene at a time where it is large, and where a task network is asked about each scene's regions.
        step = 1 if tiled or (self.backbone.uses_guidance and self.task is not None) else len(batches[0])
        parts = []
        for start in range(0, len(batches[0]), step):
            part = [batch[start : start + step] for batch in batches]
            parts.append(self._large(part, options, colouring) if tiled else self._batch(part, options, colouring))
        fused = torch.cat(parts)
        return (fused if images[0].ndim == 4 else fused[0]).to(images[0])

    def _batch(self, images: Sequence[Tensor], options: FuseOptions, colouring: Colouring) -> Tensor:
        with self._turn:
            return fuse_values(self.system, images, options, colouring, self.device)

    def _large(self, images: Sequence[Tensor], options: FuseOptions, colouring: Colouring) -> Tensor:
        """One scene, (1, C, H, W) each, by way of pictures that share the tensors' memory."""
        pictures = [Raster(image[0].cpu().permute(1, 2, 0).squeeze(-1).numpy(), 1.0) for image in images]
        with self._turn:
            fused = fuse_pictures(self.system, pictures, options, device=self.device, colouring=colouring)
        pixels = torch.from_numpy(fused.pixels)
        return (pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1))[None]


def load(name_or_file: str | Path, *, device: str = "auto") -> FusionModel:
    """Loads a model.

    Args:
        name_or_file: A model file, such as ``runs/uaafusion-msrs/model.safetensors``; the folder of a run, which
            holds one; or a method that needs no training: ``mean``, ``max``, ``laplacian``.
        device: ``auto``, ``cpu``, ``cuda``, …

    Raises:
        DataError: There is no such file, or it is no model file.
        UsageError: There is no method of that name.
        PluginError: A component that the model needs is not installed.
    """
    path, where = Path(name_or_file), choose_device(device)
    if path.is_dir() and not (path / MODEL_FILE).exists() and str(name_or_file) in rules():
        return FusionModel(rule_system(str(name_or_file)), None, where)  # a folder of results of that name, perhaps
    if not path.exists() and path.suffix != ".safetensors" and len(path.parts) == 1:
        return FusionModel(rule_system(str(name_or_file)), None, where)
    if path.is_dir():
        path = path / MODEL_FILE
    system, card = load_system(path, device=where)
    return FusionModel(system, card, where)


def picture_of(array: np.ndarray[Any, Any]) -> Raster:
    """An array as a picture; integers stay as they are.

    Args:
        array: (H, W) or (H, W, 1 or 3) of uint8, uint16, or float in [0, 1].

    Raises:
        DataError: Another shape, dtype or range.
    """
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3)):
        raise DataError(f"arrays must be (H, W) or (H, W, 1 or 3), got {array.shape}")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.dtype in (np.uint8, np.uint16):
        return Raster(array, float(np.iinfo(array.dtype).max))
    if not np.issubdtype(array.dtype, np.floating):
        raise DataError(f"arrays must be uint8, uint16 or float, got {array.dtype}")
    if array.size:
        _check_range(float(array.min()), float(array.max()))
    return Raster(array.astype(np.float32), 1.0)


def _check_range(low: float, high: float) -> None:
    if not (low >= 0.0 and high <= 1.0):  # written so that NaN fails too
        raise DataError(f"float images must lie in [0, 1], found [{low:.4g}, {high:.4g}]")
