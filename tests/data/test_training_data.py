"""Training batches: pure, paired, and the same for everybody who asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from fusekit.data.cache import ByteCache
from fusekit.data.colour import luminance
from fusekit.data.packing import pack
from fusekit.data.training_data import TrainingData, scene_cache
from fusekit.data.transforms import Window
from fusekit.errors import DataError
from fusekit.interfaces.dataset import FusionDataset, Sample
from fusekit.interfaces.types import Batch
from fusekit.recipe.schema import SamplingSection


class Scenes(FusionDataset):
    """Noise scenes; the label and both sources say the same, so that geometry can be compared."""

    def __init__(self, sizes: Sequence[tuple[int, int]], labelled: Sequence[bool] | None = None) -> None:
        self.sizes = sizes
        self.labelled = labelled or [True] * len(sizes)
        self.reads = 0

    @property
    def ids(self) -> Sequence[str]:
        return [f"scene{number}" for number in range(len(self.sizes))]

    def __getitem__(self, index: int) -> Sample:
        self.reads += 1
        random = np.random.default_rng(index)
        level = torch.from_numpy(random.integers(0, 256, self.sizes[index], dtype=np.uint8))
        grey = (level.float() / 255)[None]
        deep = torch.from_numpy(((level.numpy().astype(np.float32) * 257) / np.float32(65535))[None])
        colour = torch.cat([grey, grey, grey])
        return Sample(self.ids[index], (deep, colour), level.long() if self.labelled[index] else None)


def data(count: int = 7, batch: int = 2, *, seed: int = 0, **sampling: Any) -> TrainingData:
    options = {"mode": "crop", "size": 16, "flip": True, **sampling}
    return TrainingData(Scenes([(24, 30)] * count), SamplingSection.model_validate(options), batch, seed=seed)


def same(one: Batch, other: Batch) -> bool:
    pairs = zip(one.sources, other.sources, strict=True)
    labels = (one.labels is None) == (other.labels is None)
    if one.labels is not None and other.labels is not None:
        labels = torch.equal(one.labels, other.labels)
    return one.ids == other.ids and labels and all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "patches", "stride": 8},
        {"mode": "full"},
        {"resize": (20, 22)},
        {"size": 40},
        {"swap": True},
    ],
    ids=str,
)
def test_a_batch_depends_on_its_arguments_only(options: dict[str, Any]) -> None:
    first, second = data(**options), data(**options)
    asked = [(name, epoch, index) for name in ("inner", "outer") for epoch in (0, 1) for index in (0, 2, 5)]
    straight = {key: first.batch(*key) for key in asked}
    torch.manual_seed(99)
    np.random.seed(99)
    assert all(same(second.batch(*key), straight[key]) for key in reversed(asked))
    assert all(same(first.batch(*key), straight[key]) for key in asked)


def test_a_small_cache_changes_nothing_but_the_reading() -> None:
    scenes = Scenes([(24, 30)] * 4)
    sampling = SamplingSection(size=16)
    none = TrainingData(scenes, sampling, 4, seed=0, cache=scene_cache(0))
    ample = TrainingData(Scenes([(24, 30)] * 4), sampling, 4, seed=0)
    for epoch in range(3):
        assert same(none.batch("train", epoch, 0), ample.batch("train", epoch, 0))
    assert scenes.reads == 12
    assert ample._dataset.reads == 4  # type: ignore[attr-defined]


def test_nothing_global_is_touched() -> None:
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    data().batch("train", 0, 0)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # type: ignore[index]


@pytest.mark.parametrize(
    "options",
    [{}, {"mode": "patches", "stride": 8}, {"mode": "full"}, {"size": 40}, {"swap": True}],
    ids=str,
)
def test_sources_and_label_go_through_the_same_geometry(options: dict[str, Any]) -> None:
    batch = data(**options).batch("train", 1, 0)
    assert batch.labels is not None
    for source in batch.sources:
        assert source.dtype == torch.float32
        assert source.shape[1] == 1
        assert torch.equal((source[:, 0] * 255).round().long(), batch.labels)


def test_streams_epochs_seeds_and_turns_differ() -> None:
    first = data()
    asked = [("inner", 0, 0), ("outer", 0, 0), ("inner", 1, 0), ("inner", 0, 3), ("inner", 0, 6)]
    batches = [first.batch(*key) for key in asked] + [data(seed=1).batch("inner", 0, 0)]
    for k, one in enumerate(batches):
        assert not any(same(one, other) for other in batches[k + 1 :])


def test_order_and_augmentation_each_know_stream_epoch_and_turn() -> None:
    whole = data(12, 12, mode="full", flip=False)
    asked = [("inner", 0, 0), ("outer", 0, 0), ("inner", 1, 0), ("inner", 0, 1)]
    assert len({whole.batch(*key).ids for key in asked}) == len(asked)
    one_scene = data(1, 1, flip=False)  # nothing to shuffle: only the crop can differ
    crops = [one_scene.batch(*key).sources[0] for key in asked]
    assert not any(torch.equal(a, b) for k, a in enumerate(crops) for b in crops[k + 1 :])


def test_an_epoch_shows_every_sample_once_and_drops_the_ragged_rest() -> None:
    first = data(7, 2)
    assert len(first) == 7
    assert first.batches_per_epoch == 3
    for turn in (0, 1):
        ids = [i for index in range(3) for i in first.batch("train", 0, 3 * turn + index).ids]
        assert len(set(ids)) == 6
    few = data(3, 8)
    assert few.batches_per_epoch == 1
    assert sorted(few.batch("train", 0, 0).ids) == ["scene0", "scene1", "scene2"]


def test_augmentation_belongs_to_the_sample_not_to_its_place() -> None:
    narrow, wide = data(6, 1, size=16), data(6, 6, size=16)
    together = wide.batch("train", 2, 0)
    for index in range(6):
        alone = narrow.batch("train", 2, index)
        place = together.ids.index(alone.ids[0])
        assert torch.equal(together.sources[0][place], alone.sources[0][0])


def test_swap_appends_the_reversed_copy() -> None:
    class Unlike(Scenes):
        def __getitem__(self, index: int) -> Sample:
            sample = super().__getitem__(index)
            return Sample(sample.id, (sample.images[0], 1 - sample.images[1]), sample.label)

    scenes = Unlike([(24, 30)] * 4)
    plain = TrainingData(scenes, SamplingSection(size=16), 2, seed=0).batch("train", 0, 0)
    swapped = TrainingData(scenes, SamplingSection(size=16, swap=True), 2, seed=0).batch("train", 0, 0)
    assert swapped.ids == plain.ids * 2
    assert torch.equal(swapped.sources[0], torch.cat(plain.sources))
    assert torch.equal(swapped.sources[1], torch.cat(plain.sources[::-1]))
    assert plain.labels is not None
    assert swapped.labels is not None
    assert torch.equal(swapped.labels, torch.cat([plain.labels] * 2))


def test_patches_are_the_grid_without_flat_ones() -> None:
    class HalfBlack(Scenes):
        def __getitem__(self, index: int) -> Sample:
            sample = super().__getitem__(index)
            dark = sample.images[0].clone()
            dark[:, :, :16] = 0
            return Sample(sample.id, (dark, sample.images[1]), sample.label)

    seen: list[tuple[int, int]] = []
    sampling = {"mode": "patches", "size": 16}
    scenes = HalfBlack([(32, 32)] * 3)
    every = TrainingData(scenes, SamplingSection.model_validate(sampling), 1, seed=0)
    kept = TrainingData(
        scenes,
        SamplingSection.model_validate({**sampling, "min_contrast": 0.1}),
        1,
        seed=0,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert len(every) == 12
    assert len(kept) == 6
    assert seen == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(DataError, match="min_contrast"):
        TrainingData(scenes, SamplingSection.model_validate({**sampling, "min_contrast": 0.9999}), 1, seed=0)


def test_rgb_repeats_grey() -> None:
    class Coloured(Scenes):
        def __getitem__(self, index: int) -> Sample:
            sample = super().__getitem__(index)
            colour = torch.cat([sample.images[0], 1 - sample.images[0], sample.images[0]])
            return Sample(sample.id, (sample.images[0], colour), sample.label)

    scenes = Coloured([(24, 30)] * 2)
    sampling = SamplingSection(mode="full", swap=True)
    rgb = TrainingData(scenes, sampling, 2, seed=0, colour="rgb").batch("train", 0, 0)
    luma = TrainingData(scenes, sampling, 2, seed=0).batch("train", 0, 0)
    assert all(source.shape == (4, 3, 24, 30) for source in rgb.sources)
    for wide, narrow in zip(rgb.sources, luma.sources, strict=True):
        assert torch.equal(luminance(wide), narrow)


def test_labels_are_resized_with_their_images() -> None:
    batch = data(resize=(18, 22), mode="full", flip=False).batch("train", 0, 0)
    assert batch.labels is not None
    assert batch.sources[0].shape[-2:] == batch.labels.shape[-2:] == (18, 22)


def test_batches_that_cannot_be_are_refused_naming_scenes() -> None:
    full = SamplingSection(mode="full")
    with pytest.raises(DataError, match=r"differ in size: .*25x30"):
        TrainingData(Scenes([(24, 30), (25, 30)]), full, 2, seed=0).batch("train", 0, 0)
    with pytest.raises(DataError, match="has a label map, but 'scene1' has none"):
        TrainingData(Scenes([(24, 30)] * 2, [True, False]), full, 2, seed=0).batch("train", 0, 0)
    with pytest.raises(DataError, match="less than half"):
        data(size=64).batch("train", 0, 0)
    with pytest.raises(DataError, match="no scene"):
        TrainingData(Scenes([]), full, 2, seed=0)
    assert TrainingData(Scenes([(24, 30)], [False]), full, 2, seed=0).batch("train", 0, 0).labels is None


def test_a_dataset_that_breaks_its_contract_is_named() -> None:
    class Broken(Scenes):
        def __getitem__(self, index: int) -> Sample:
            return Sample("odd", (torch.zeros(1, 20, 20), torch.zeros(3, 20, 21)))

    with pytest.raises(DataError, match="'odd'"):
        TrainingData(Broken([(20, 20)]), SamplingSection(mode="full"), 1, seed=0).batch("train", 0, 0)


@pytest.mark.parametrize("peak", [255, 65535])
def test_packing_keeps_every_level_in_its_own_size(peak: int) -> None:
    values = np.arange(256 * 256, dtype=np.float32).reshape(1, 256, 256) % (peak + 1) / np.float32(peak)
    packed = pack(Sample("s", (torch.from_numpy(values),), torch.full((256, 256), 255)))
    assert packed.nbytes == values.size * (1 if peak == 255 else 2) + values.size
    whole = packed.unpack()
    assert np.array_equal(whole.images[0].numpy(), values)
    part = packed.unpack(Window(3, 5, 16, 17))
    assert torch.equal(part.images[0], whole.images[0][:, 3:19, 5:22])
    assert part.label is not None
    assert part.label.shape == (16, 17)
    assert part.label.dtype == torch.int64


def test_packing_keeps_what_is_no_level_as_it_is() -> None:
    values = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    label = torch.full((16, 16), -1)
    whole = pack(Sample("s", (values,), label)).unpack()
    assert torch.equal(whole.images[0], values)
    assert whole.label is not None
    assert torch.equal(whole.label, label)


def test_the_cache_forgets_what_was_used_longest_ago() -> None:
    made: list[str] = []

    def make(key: str) -> str:
        made.append(key)
        return key * 10

    cache: ByteCache[str, str] = ByteCache(20, len)
    for key in "ababcab":
        assert cache.get(key, lambda key=key: make(key)) == key * 10  # type: ignore[misc]
    assert made == ["a", "b", "c", "a", "b"]
    assert cache.get("z", lambda: "z" * 21) == "z" * 21
    assert cache.get("b", lambda: "new") == "b" * 10
