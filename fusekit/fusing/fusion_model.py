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

from fusekit.data.decoding import read_raster
from fusekit.data.image_writing import check_suffix, write_raster
from fusekit.data.raster import Raster
from fusekit.devices import choose_device
from fusekit.errors import DataError, UsageError
from fusekit.fusing.engine import Engine, Fused
from fusekit.fusing.scenes import RasterScene, TensorScene
from fusekit.fusing.stream import FusionStream
from fusekit.interfaces.backbone import FusionBackbone
from fusekit.interfaces.task import TaskNetwork
from fusekit.model.model_file import load_system
from fusekit.model.rules import rule_system, rules
from fusekit.model.system import FusionSystem
from fusekit.plugin.registry import registry
from fusekit.plugin.shipped import find_weights
from fusekit.progress import Advance
from fusekit.recipe.fuse_options import FuseOptions, fuse_options
from fusekit.recipe.model_card import ModelCard
from fusekit.recipe.model_location import locate_model

Image = str | Path | np.ndarray[Any, Any] | Tensor


class FusionModel:
    """A system that is ready to fuse; several threads can use it at once.

    Args:
        system: The parts; set to evaluation mode.
        card: Description from the model file; None for a system built in code, and for a rule.
        device: Device on which to fuse.
    """

    def __init__(self, system: FusionSystem, card: ModelCard | None = None, device: torch.device | str = "cpu") -> None:
        self.system = system.to(device).eval()
        self.card = card
        self.device = torch.device(device)
        # Guidance switches gradients of the task network off and on again, which is not thread-safe.
        self._lock: threading.Lock | nullcontext[None] = threading.Lock() if system.guided else nullcontext()

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
        """Roles of the sources, in the order in which `fuse` takes them; empty if the model takes any number."""
        return self.system.roles

    def fuse(self, *images: Image, out: str | Path | None = None, **options: Any) -> Any:
        """Fuses one scene, or a batch of tensors.

        Args:
            *images: One per role, in order, all of one kind: paths; numpy arrays (H, W) or (H, W, 1 or 3),
                uint8, uint16 or float in [0, 1]; or tensors (C, H, W) or (B, C, H, W), float in [0, 1].
            out: PNG or TIFF file to which the result is also written; for paths and arrays.
            **options: Fields of `FuseOptions`: ``range``, ``limits``, ``colour``, ``bit_depth`` (not for tensors),
                ``tile``.

        Returns:
            An array or tensor of the kind given, with the highest bit depth among the sources; for paths an array.
            Grey (H, W) if no source is in colour, else (H, W, 3); tensors keep their (…, C, H, W) layout. Alpha is
            written to the file only.

        Raises:
            DataError: Sizes differ, values are out of range, or a file cannot be read.
            UsageError: An option is not valid.
            RunError: `out` cannot be written.
        """
        checked = fuse_options(**options)
        if out is not None:
            check_suffix(Path(out))
        if not images:
            raise DataError(f"nothing to fuse: give one image for each of {', '.join(self.roles) or 'the sources'}")
        tensors = [image for image in images if isinstance(image, Tensor)]
        if len(tensors) == len(images) and out is None:
            return self._fuse_tensors(tensors, checked)
        arrays = [image for image in images if isinstance(image, np.ndarray)]
        paths = [Path(image) for image in images if isinstance(image, (str, Path))]
        if len(arrays) == len(images):
            rasters = [raster_of(array) for array in arrays]
        elif len(paths) == len(images):
            rasters = [read_raster(path) for path in paths]
        else:
            raise DataError("the sources must all be paths, all arrays, or all tensors (without `out`)")
        fused = self.fuse_rasters(rasters, checked)
        if out is not None:
            write_raster(Path(out), fused)
        if arrays and checked.bit_depth == "keep" and fused.pixels.dtype.kind == "f":
            return fused.pixels.astype(np.result_type(*[a.dtype for a in arrays if a.dtype.kind == "f"]))
        return fused.pixels

    def fuse_rasters(
        self, rasters: Sequence[Raster], options: FuseOptions | None = None, *, advance: Advance | None = None
    ) -> Raster:
        """Fuses rasters: images in the dtype of their files.

        Args:
            rasters: One per role, in order.
            options: Fusion options.
            advance: Progress callback, called for each tile.

        Raises:
            DataError: As `fuse`.
            UsageError: As `fuse`.
        """
        options = options or FuseOptions()
        with self._lock:
            engine = Engine(self.system, options, device=self.device)
            return engine.fuse(RasterScene(rasters, options.bit_depth), advance=advance).image

    def fuse_scene(self, images: Sequence[Tensor], **options: Any) -> Fused[Tensor]:
        """Fuses one scene and returns the image, the fused luminance and the full output of the backbone.

        Args:
            images: One per role, (1 or 3, H, W) in [0, 1].
            **options: As for `fuse`.

        Raises:
            DataError: As `fuse`.
            UsageError: As `fuse`.
        """
        with self._lock:
            engine = Engine(self.system, fuse_options(**options), device=self.device)
            return engine.fuse(TensorScene(images), measure=True)

    @contextmanager
    def stream(self, **options: Any) -> Iterator[FusionStream]:
        """A stream for camera frames: choices are made at the first frame, and buffers are reused.

        Args:
            **options: As for `fuse`, except the range ``stretch``, which would make frames flicker. A source with
                three channels counts as colour, whatever its first frame shows.

        Raises:
            UsageError: An option is not valid.

        Example:
            >>> with model.stream() as stream:
            ...     for thermal, visible in frames:
            ...         show(stream.fuse(thermal, visible))
        """
        stream = FusionStream(Engine(self.system, fuse_options(**options), device=self.device), self._lock)
        try:
            yield stream
        finally:
            stream.close()

    def _fuse_tensors(self, images: list[Tensor], options: FuseOptions) -> Tensor:
        for image in images:
            if (
                image.ndim not in (3, 4)
                or image.shape[-3] not in (1, 3)
                or not image.is_floating_point()
                or not image.numel()
            ):
                raise DataError(
                    f"tensors must be float (C, H, W) or (B, C, H, W) with 1 or 3 channels, "
                    f"got {tuple(image.shape)} {image.dtype}"
                )
            _check_range(float(image.min()), float(image.max()))
        if len({image.shape[:-3] for image in images}) > 1:
            raise DataError(f"batches differ: {', '.join(str(tuple(image.shape)) for image in images)}")
        engine, scene = Engine(self.system, options, device=self.device), TensorScene(images)
        colouring = engine.colouring(scene.coloured())  # one for the whole batch
        # One scene at a time if scenes are fused in tiles, or if guidance depends on each scene's regions.
        one_by_one = engine.tile(*scene.sizes[0]) is not None or self.system.guided
        parts = []
        for part in scene.split(1 if one_by_one else scene.batch):
            with self._lock:
                parts.append(engine.fuse(part, colouring=colouring).image)
        fused = torch.cat(parts)
        return (fused if images[0].ndim == 4 else fused[0]).to(images[0])


def load(name_or_file: str | Path, *, device: str = "auto") -> FusionModel:
    """Loads a model.

    Args:
        name_or_file: A model file, such as ``runs/uaafusion-msrs/model.safetensors``; a run folder, which contains
            one; the name of shipped weights (``fusekit weights list``); an address such as ``hf://ORG/NAME@REVISION``;
            or a method that needs no training: ``mean``, ``max``, ``laplacian``.
        device: ``auto``, ``cpu``, ``cuda``, …

    Raises:
        DataError: The file does not exist or is not a model file.
        UsageError: No weights and no method have that name, or it is ambiguous.
        PluginError: A component that the model needs is not installed.
    """
    name, path, where = str(name_or_file), locate_model(name_or_file), choose_device(device)
    if path.exists():
        if find_weights(name, registry()) is not None and name in rules():
            raise UsageError(
                f"{name!r} is the name of weights and of a method", hint="use the full name of one of them"
            )
    # A folder of that name without a model file may hold results of the method.
    elif name in rules() or not (Path(name).exists() or path.suffix == ".safetensors" or len(path.parts) > 1):
        return FusionModel(rule_system(name), None, where)
    system, card = load_system(path, device=where)
    return FusionModel(system, card, where)


def raster_of(array: np.ndarray[Any, Any]) -> Raster:
    """An array as a raster; integer dtypes are kept.

    Args:
        array: (H, W) or (H, W, 1 or 3) of uint8, uint16, or float in [0, 1].

    Raises:
        DataError: The shape, dtype or range is not one of these.
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
        raise DataError(f"values of float images must be in [0, 1], found [{low:.4g}, {high:.4g}]")
