"""Contract of datasets."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, get_args
from unittest import SkipTest

import torch

from fusekit.interfaces.context import ClassTable
from fusekit.interfaces.dataset import FusionDataset, Sample, Split
from fusekit.interfaces.dataset_config import DatasetConfig, Provenance
from fusekit.plugin.imports import one_line
from fusekit.testing.component import ComponentContract
from fusekit.testing.expect import expect, expect_finite, expect_image, expect_same, expect_shape
from fusekit.testing.offline import offline


class DatasetContract(ComponentContract):
    """Checks of a dataset. A dataset of files needs `root` or `write_files`; otherwise only its Config is checked.

    Attributes:
        root: Folder of the data.
        splits: Splits of the dataset.
        samples: Largest number of scenes read from each split.
    """

    kind = "dataset"
    root: ClassVar[Path | None] = None
    splits: ClassVar[tuple[Split, ...]] = get_args(Split)
    samples: ClassVar[int] = 2

    def write_files(self, folder: Path) -> None:
        """Write a small example of the data into an empty folder, for datasets that read files."""

    def data_config(self) -> DatasetConfig:
        """Its validated parameters."""
        config = self.config()
        if not isinstance(config, DatasetConfig):
            raise SkipTest("its Config is not a DatasetConfig")
        return config

    def build(self, roles: tuple[str, ...], seed: int) -> Any:
        """The dataset, built from its root and first split; roles are ignored."""
        with self.data() as root:
            return self.component()(self.data_config(), root, self.splits[0], seed=seed)

    @contextmanager
    def data(self) -> Iterator[Path | None]:
        """The folder of the data; skips if the data is missing."""
        with tempfile.TemporaryDirectory() as folder:
            self.write_files(Path(folder))
            written = any(Path(folder).iterdir())
            root = Path(folder) if written else (Path(self.root) if self.root is not None else None)
            missing = self.data_config().missing(root)
            if missing is not None:
                raise SkipTest(f"its data is missing: {missing.splitlines()[0]}")
            yield root

    @contextmanager
    def opened(self, split: Split) -> Iterator[FusionDataset]:
        """A split of the dataset, as long as its files exist."""
        component = self.component()
        with self.data() as root:
            try:
                with offline():
                    dataset: FusionDataset = component(self.data_config(), root, split, seed=0)
            except Exception as error:
                raise SkipTest(f"it cannot be built: {one_line(error)}") from error
            yield dataset

    def read(self) -> Iterator[tuple[str, Sample]]:
        """The first scenes of every split, each with its split and index."""
        for split in self.splits:
            with self.opened(split) as dataset:
                for index in range(min(self.samples, len(dataset))):
                    yield f"{split}[{index}]", dataset[index]

    def use(self, made: Any) -> None:
        for _ in self.read():
            pass

    # The Config -------------------------------------------------------------------------------------------

    def test_config_declares_the_roles(self) -> None:
        """The Config returns the roles of the sources, each once, before any file is read."""
        roles = self.data_config().roles()
        good = isinstance(roles, tuple) and bool(roles) and all(isinstance(role, str) and role for role in roles)
        expect(good and len(set(roles)) == len(roles), f"roles(): expected a tuple of different names, found {roles!r}")

    def test_config_declares_the_provenance(self) -> None:
        """The Config returns the provenance of the data, which is shown with all results."""
        found = self.data_config().provenance()
        expect(isinstance(found, Provenance), f"provenance(): expected a Provenance, found {type(found).__name__}")
        expect(bool(found.name.strip()), "provenance(): expected a name, found none")

    def test_config_declares_the_classes(self) -> None:
        """The Config returns the class table of the labels, or None if there are no labels."""
        found = self.data_config().classes()
        expect(found is None or isinstance(found, ClassTable), f"classes(): expected a table or None, found {found!r}")
        if found is not None:
            void, count = found.ignore_index, len(found)
            expect(not 0 <= void < count, f"ignore_index: expected none of the {count} class indices, found {void}")

    def test_config_describes_missing_files(self) -> None:
        """The Config describes what is missing from an empty folder, or returns None if it needs no files."""
        with tempfile.TemporaryDirectory() as folder:
            for root in (None, Path(folder), Path(folder) / "absent"):
                try:
                    found = self.data_config().missing(root)
                except Exception as error:
                    raise AssertionError(f"missing(): expected a sentence or None, found {one_line(error)}") from error
                good = found is None or (isinstance(found, str) and bool(found.strip()))
                expect(good, f"missing(): expected a sentence or None, found {found!r}")

    # The data ---------------------------------------------------------------------------------------------

    def test_scene_ids_are_unique(self) -> None:
        """Every scene of a split has a unique identifier, which names its output files."""
        for split in self.splits:
            with self.opened(split) as dataset:
                ids = list(dataset.ids)
                expect(bool(ids), f"ids of {split}: expected some, found none")
                expect(len(dataset) == len(ids), f"length of {split}: expected {len(ids)}, found {len(dataset)}")
                expect(all(isinstance(i, str) and i for i in ids), f"ids of {split}: expected texts, found {ids[:3]}")
                repeated = sorted({name for name in ids if ids.count(name) > 1})
                shown = ", ".join(repeated[:3])
                expect(not repeated, f"ids of {split}: expected each once, found {shown} more than once")

    def test_order_is_reproducible(self) -> None:
        """A split that is opened again has the same scenes in the same order."""
        for split in self.splits:
            with self.opened(split) as first:
                before = list(first.ids)
            with self.opened(split) as second:
                expect(
                    list(second.ids) == before,
                    f"ids of {split}, opened again: expected the same order as before, found another order",
                )

    def test_scenes_match_their_ids(self) -> None:
        """The scene at an index has the identifier at that index."""
        for split in self.splits:
            with self.opened(split) as dataset:
                for index in range(min(self.samples, len(dataset))):
                    found, wanted = dataset[index].id, dataset.ids[index]
                    expect(found == wanted, f"id of {split}[{index}]: expected {wanted!r}, found {found!r}")

    def test_reading_is_reproducible(self) -> None:
        """A scene that is read again, in any order or from a newly opened split, is bitwise identical."""
        for split in self.splits:
            with self.opened(split) as dataset:
                indices = list(range(min(self.samples, len(dataset))))
                first = {index: dataset[index] for index in indices}
                again = {index: dataset[index] for index in reversed(indices)}
            with self.opened(split) as dataset:
                anew = {index: dataset[index] for index in reversed(indices)}
            for index in indices:
                for other, when in ((again, "read again"), (anew, "read from a newly opened split")):
                    for role, (image, was) in enumerate(zip(other[index].images, first[index].images, strict=True)):
                        expect_same(f"image {role} of {split}[{index}], {when}", image, was)
                    label, was_label = other[index].label, first[index].label
                    if label is not None and was_label is not None:
                        expect_same(f"label of {split}[{index}], {when}", label, was_label)

    def test_images_are_images(self) -> None:
        """There is one image per role, all of the same size, (1 or 3, H, W) float32 in [0, 1]."""
        roles = self.data_config().roles()
        for where, sample in self.read():
            count = len(sample.images)
            expect(count == len(roles), f"{where}: expected {len(roles)} images ({', '.join(roles)}), found {count}")
            height, width = sample.images[0].shape[-2:]
            for role, image in zip(roles, sample.images, strict=True):
                channels = image.shape[0] if image.ndim == 3 else 0
                expect(
                    channels in (1, 3), f"{role} of {where}: expected (1 or 3, H, W), found shape {tuple(image.shape)}"
                )
                expect_shape(f"{role} of {where}", image, (channels, height, width))
                expect_image(f"{role} of {where}", image)

    def test_labels_are_in_the_class_table(self) -> None:
        """Labels are label maps (H, W) int64 with indices of the class table or the ignore value, or None."""
        table = self.data_config().classes()
        for where, sample in self.read():
            if table is None:
                expect(sample.label is None, f"label of {where}: expected none without a class table, found one")
            if table is None or sample.label is None:
                continue
            expect_shape(f"label of {where}", sample.label, sample.images[0].shape[-2:])
            expect(sample.label.dtype == torch.int64, f"label of {where}: expected int64, found {sample.label.dtype}")
            values = set(sample.label.unique().tolist())
            unknown = sorted(values - set(range(len(table))) - {table.ignore_index})
            expect(not unknown, f"label of {where}: expected classes of the table, found {unknown[:5]}")

    def test_boxes_are_in_their_image(self) -> None:
        """If the Config declares boxes, every scene has them: inside the image, with classes of the table."""
        table, declared = self.data_config().classes(), "boxes" in self.data_config().annotations()
        expect(table is not None or not declared, "classes(): expected a class table of the boxes, found none")
        for where, sample in self.read():
            has = sample.boxes is not None
            expect(has == declared, f"{where}: expected {'boxes' if declared else 'no boxes'}, found the opposite")
            if sample.boxes is None or table is None:
                continue
            corners, classes, ignored = sample.boxes.corners, sample.boxes.classes, sample.boxes.ignored
            expect_shape(f"corners of {where}", corners, (len(classes), 4))
            expect_finite(f"corners of {where}", corners)
            kinds = (classes.dtype, ignored.dtype)
            expect(kinds == (torch.int64, torch.bool), f"boxes of {where}: expected int64 and bool, found {kinds}")
            expect_shape(f"ignored of {where}", ignored, classes.shape)
            height, width = sample.images[0].shape[-2:]
            full = (corners[:, :2] < corners[:, 2:]).all() and (corners >= 0).all()
            within = (corners[:, 2] <= width).all() and (corners[:, 3] <= height).all()
            expect(bool(full and within), f"boxes of {where}: expected boxes inside {height}x{width}, found others")
            known = (classes >= 0) & (classes < len(table)) | (classes == -1) & ignored
            expect(bool(known.all()), f"boxes of {where}: expected classes of the table, found {classes.tolist()[:5]}")

    def test_ideals_are_images(self) -> None:
        """The ideal fused image, if it is known, has the size of the sources and is in [0, 1]."""
        known = False
        for where, sample in self.read():
            if sample.ideal is not None:
                known = True
                expect(sample.ideal.ndim == 3, f"ideal of {where}: expected (1 or 3, H, W), found {sample.ideal.ndim}D")
                size = (sample.ideal.shape[0], *sample.images[0].shape[-2:])
                expect(size[0] in (1, 3), f"ideal of {where}: expected 1 or 3 channels, found {size[0]}")
                expect_shape(f"ideal of {where}", sample.ideal, size)
                expect_image(f"ideal of {where}", sample.ideal)
        if not known:
            raise SkipTest("no ideal is known")
