"""Training batches, as a pure function of seed, stream, epoch and index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fusekit import seeds as streams
from fusekit.data.cache import ByteCache
from fusekit.data.colour import luminance
from fusekit.data.packing import PackedSample, pack
from fusekit.data.patches import grid, is_flat
from fusekit.data.transforms import (
    Window,
    crop,
    random_flip,
    random_window,
    reflect_pad,
    resize,
    sample_size,
    swap_sources,
)
from fusekit.errors import DataError, UsageError
from fusekit.interfaces.dataset import FusionDataset, Sample
from fusekit.interfaces.transform import Transform
from fusekit.interfaces.types import Batch
from fusekit.recipe.schema import SamplingSection

SceneCache = ByteCache[int, PackedSample]


def scene_cache(limit: int = 2 << 30) -> SceneCache:
    """Scene cache keyed by index.

    Args:
        limit: Maximum number of bytes kept.
    """
    return ByteCache(limit, lambda scene: scene.nbytes)


@dataclass(frozen=True)
class _Place:
    """Origin of a training sample: a scene, and in patch mode a window of it."""

    scene: int
    window: Window | None = None


class TrainingData:
    """Training samples of a dataset, in batches.

    `batch` depends only on the seed, the stream, the epoch and the index, never on earlier calls. Therefore a resumed
    run equals an uninterrupted one bit for bit. Each stream is shuffled anew every epoch. The augmentation of a sample
    depends on the sample, not on its position in the order. Transforms are applied to the cut sample before it is
    converted and flipped, with random streams of their own, so that they do not change crops and flips.

    Scenes stay in memory up to the limit of the cache, as the 8-bit or 16-bit levels of their files; images that are
    not exactly such levels stay float32 (`fusekit.data.packing`). The cache affects only speed.

    An image smaller than a patch or crop gets reflection padding, if it has at least half the size.

    If several processes train together, each takes its share of every batch and reads only that.

    Args:
        dataset: The scenes.
        sampling: How samples are cut from scenes. In patch mode, every scene is read once by the constructor to
            place the grid and to measure contrast.
        batch: Batch size, over all processes together.
        seed: Root seed of the run.
        colour: ``"luma"`` gives (B, 1, H, W) luminance, ``"rgb"`` (B, 3, H, W) with grey repeated.
        on_progress: Callback with (done, total) scenes while patches are placed.
        cache: Scene cache, shared with other samplings of the same dataset (default: a new one of up to 2 GiB).
        share: Rank of this process, from 0, and the number of processes that share a batch.
        transforms: The transforms of the sampling, built for the roles of the dataset.

    Raises:
        DataError: The dataset has no scenes, no patch passes the contrast filter, or a scene cannot be read.
        UsageError: A batch cannot be divided equally.
    """

    def __init__(
        self,
        dataset: FusionDataset,
        sampling: SamplingSection,
        batch: int,
        *,
        seed: int,
        colour: Literal["luma", "rgb"] = "luma",
        on_progress: Callable[[int, int], None] | None = None,
        cache: SceneCache | None = None,
        share: tuple[int, int] = (0, 1),
        transforms: Sequence[Transform] = (),
    ) -> None:
        if len(dataset) == 0:
            raise DataError("the training split has no scenes")
        check_divisible(batch, share[1])
        self._dataset = dataset
        self._sampling = sampling
        self._batch = batch
        self._seed = seed
        self._colour = colour
        self._share = share
        self._cache = cache or scene_cache()
        self._transforms = list(zip(sampling.transforms, transforms, strict=True))
        self._places: Sequence[_Place]
        if sampling.mode == "patches":
            self._places = self._place_patches(on_progress)
        else:
            self._places = [_Place(scene) for scene in range(len(dataset))]
        check_divisible(batch, share[1], len(self._places))

    def __len__(self) -> int:
        """Number of samples in one pass."""
        return len(self._places)

    @property
    def batches_per_epoch(self) -> int:
        """Number of complete batches in one pass; a dataset smaller than a batch gives one smaller batch."""
        return max(1, len(self._places) // self._batch)

    def batch(self, stream: str, epoch: int, index: int) -> Batch:
        """One batch, or this process's share of it.

        Args:
            stream: Name of the stream; streams differ in order and augmentation.
            epoch: Number of the epoch, from 0.
            index: Number of the batch in the epoch, from 0. From `batches_per_epoch` on, further passes follow, each
                shuffled anew, for strategies that draw more batches in an epoch than a pass has.

        Raises:
            DataError: A scene cannot be read, samples of a batch differ in size, or only some have labels.
        """
        if epoch < 0 or index < 0:
            raise ValueError(f"epoch {epoch} and index {index} must not be negative")
        turn, position = divmod(index, self.batches_per_epoch)
        order = self._order(stream, epoch, turn)
        rank, world = self._share
        chosen = order[position * self._batch : (position + 1) * self._batch][rank::world]
        return self._collate([self._sample(stream, epoch, turn, int(number)) for number in chosen])

    def _order(self, name: str, epoch: int, turn: int) -> npt.NDArray[np.int64]:
        return streams.stream(self._seed, "shuffle", name, epoch, turn).permutation(len(self._places))

    def _sample(self, name: str, epoch: int, turn: int, number: int) -> Sample:
        random = streams.stream(self._seed, "augment", name, epoch, turn, number)
        sampling, place = self._sampling, self._places[number]
        packed = self._scene(place.scene)
        height, width = sampling.resize or packed.size
        window = place.window
        if sampling.mode == "crop":
            size = sampling.size
            window = random_window(max(height, size), max(width, size), size, random)
        if window is None or sampling.resize is not None or min(height, width) < sampling.size:
            sample = self._prepare(packed.unpack())
            sample = crop(sample, window) if window is not None else sample
        else:
            sample = self._coloured(packed.unpack(window))  # the common case unpacks only the window
        sample = self._degraded(sample, name, epoch, turn, number) if self._transforms else sample
        return random_flip(sample, random) if sampling.flip else sample

    def _scene(self, number: int) -> PackedSample:
        return self._cache.get(number, lambda: pack(self._dataset[number]))

    def _prepare(self, sample: Sample) -> Sample:
        """A whole scene, converted, resized and padded, ready to be cut."""
        sample = self._coloured(sample)
        if self._sampling.resize is not None:
            sample = resize(sample, self._sampling.resize)
        return sample if self._sampling.mode == "full" else reflect_pad(sample, self._sampling.size)

    def _degraded(self, sample: Sample, *which: str | int) -> Sample:
        for index, (section, transform) in enumerate(self._transforms):
            random = streams.stream(self._seed, "transform", index, *which)
            chance, choice = random.random(), random.integers(len(section.severity))
            if chance < section.probability:
                sample = transform(sample, section.severity[choice], random)
        return self._converted(sample)

    def _coloured(self, sample: Sample) -> Sample:
        # A sensor degrades colours, not their luminance, so the transforms come before the conversion.
        return sample if self._transforms else self._converted(sample)

    def _converted(self, sample: Sample) -> Sample:
        convert = luminance if self._colour == "luma" else _rgb
        return replace(sample, images=tuple(convert(image) for image in sample.images))

    def _place_patches(self, on_progress: Callable[[int, int], None] | None) -> list[_Place]:
        sampling, total = self._sampling, len(self._dataset)
        places: list[_Place] = []
        for number in range(total):
            sample = self._prepare(self._scene(number).unpack())
            planes = [luminance(image)[0].numpy() for image in sample.images]
            for window in grid(*sample_size(sample), sampling.size, sampling.stride or sampling.size):
                rows = slice(window.top, window.top + window.height)
                columns = slice(window.left, window.left + window.width)
                if not is_flat((plane[rows, columns] for plane in planes), sampling.min_contrast):
                    places.append(_Place(number, window))
            if on_progress is not None:
                on_progress(number + 1, total)
        if not places:
            raise DataError(
                f"none of the patches of {total} scenes has a contrast of {sampling.min_contrast:g} in every source",
                hint="Lower train.sampling.min_contrast.",
            )
        return places

    def _collate(self, samples: Sequence[Sample]) -> Batch:
        ids = tuple(sample.id for sample in samples)
        _check_alike(samples)
        if self._sampling.swap:
            samples = [*samples, *(swap_sources(sample) for sample in samples)]
            ids += ids
        labels = [sample.label for sample in samples if sample.label is not None]
        sources = tuple(torch.stack([sample.images[k] for sample in samples]) for k in range(len(samples[0].images)))
        boxes = tuple(sample.boxes for sample in samples if sample.boxes is not None)
        return Batch(sources, torch.stack(labels) if labels else None, ids, boxes or None)


def check_divisible(batch: int, processes: int, samples: int | None = None) -> None:
    """Refuses a batch that cannot be divided equally: the mean over processes would not be the mean over samples.

    Args:
        batch: Batch size.
        processes: Number of processes that share a batch.
        samples: Number of samples in a pass, if known: fewer than a batch make one smaller batch.

    Raises:
        UsageError: One process would have more samples than another.
    """
    if batch % processes:
        raise UsageError(
            f"a batch of {batch} samples cannot be divided equally among {processes} processes",
            hint=f"make train.batch a multiple of {processes} (of a pre-training phase: pretrain.PHASE.batch), "
            "or start another number of processes (--nproc-per-node)",
        )
    if samples is not None and samples < batch and samples % processes:
        raise UsageError(
            f"the {samples} samples of the training split make one batch, smaller than {batch}, which cannot be "
            f"divided equally among {processes} processes",
            hint="start another number of processes (--nproc-per-node), or lower train.batch to a multiple of the "
            "number of processes that the data can fill",
        )


def _rgb(image: Tensor) -> Tensor:
    return image if image.shape[0] == 3 else image.expand(3, -1, -1)


def _check_alike(samples: Sequence[Sample]) -> None:
    first = samples[0]
    for other in samples[1:]:
        if sample_size(other) != sample_size(first):
            (h, w), (p, q) = sample_size(first), sample_size(other)
            raise DataError(
                f"scenes of a batch differ in size: {first.id!r} is {h}x{w}, {other.id!r} is {p}x{q}",
                hint="Set train.sampling.resize, or train on crops or patches.",
            )
        if len(other.images) != len(first.images):
            raise DataError(f"scene {first.id!r} has {len(first.images)} sources, but {other.id!r} {len(other.images)}")
        for kind, noun in (("label", "a label map"), ("boxes", "boxes")):
            if (getattr(other, kind) is None) != (getattr(first, kind) is None):
                has, lacks = (first.id, other.id) if getattr(other, kind) is None else (other.id, first.id)
                raise DataError(
                    f"scene {has!r} has {noun}, but {lacks!r} has none",
                    hint=f"A dataset must return {noun} for every scene (with the ignore value, or an ignored box, "
                    "where the class is unknown) or for none.",
                )
