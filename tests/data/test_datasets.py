"""Datasets: layouts, pairing, labels, and what is said about missing or wrong data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from fusekit.data.image_io import read_image
from fusekit.errors import DataError
from fusekit_datasets import fusekit_components
from fusekit_datasets.config import MSRS_TABLE, CollectionConfig, MsrsConfig, PairsConfig, make_palette
from fusekit_datasets.datasets import Collection, MsrsDataset, PairsDataset
from fusekit_datasets.folders import natural_key
from fusekit_scenes.config import StreetsConfig
from fusekit_scenes.streets import Streets
from tests.data.files import levels, save
from tests.paths import shared_data

pytestmark = pytest.mark.slow

STEMS = ("00004N", "00010D", "00123N")


@pytest.fixture
def msrs(tmp_path: Path) -> Path:
    """The official layout, tiny."""
    for number, split in enumerate(("train", "test")):
        for stem in STEMS:
            save(tmp_path / split / "vi" / f"{stem}.png", levels((18, 20, 3), np.uint8, number))
            save(tmp_path / split / "ir" / f"{stem}.png", levels((18, 20), np.uint8, number + 7))
            label = (levels((18, 20), np.uint8, number) % 9).astype(np.uint8)
            save(tmp_path / split / "Segmentation_labels" / f"{stem}.png", label)
    return tmp_path


@pytest.mark.parametrize("split", ["train", "test", "val"])
def test_msrs_official_layout(msrs: Path, split: str) -> None:
    config = MsrsConfig()
    assert config.missing(msrs) is None
    assert config.roles() == ("infrared", "visible")
    assert config.classes() == MSRS_TABLE
    data = MsrsDataset(config, msrs, split)  # type: ignore[arg-type]
    assert tuple(data.ids) == STEMS
    sample = data[1]
    folder = msrs / ("test" if split == "val" else split)
    assert sample.id == "00010D"
    assert [tuple(image.shape) for image in sample.images] == [(1, 18, 20), (3, 18, 20)]
    assert torch.equal(sample.images[1], read_image(folder / "vi" / "00010D.png"))
    assert sample.label is not None
    assert sample.label.shape == (18, 20)
    assert int(sample.label.max()) <= 8


def test_provenance_says_who_made_the_labels() -> None:
    assert MsrsConfig().provenance().labels == "human"
    assert MsrsConfig(label_kind="pseudo").provenance().labels == "pseudo"
    assert MsrsConfig(labelled="off").provenance().labels is None
    assert MsrsConfig(labelled="off").classes() is None


def test_missing_says_what_to_put_where(tmp_path: Path, msrs: Path) -> None:
    absent = tmp_path / "absent"
    for root in (None, absent):
        said = MsrsConfig().missing(root)
        assert said is not None
        assert "train/ir/NAME.png" in said
        assert "test/Segmentation_labels/NAME.png" in said
    said = MsrsConfig(labels="Labels", test_list="test.txt").missing(msrs)
    assert said is not None
    assert "no train/Labels, no test/Labels, no test.txt" in said
    outer = tmp_path / "outer"
    outer.mkdir()
    (outer / "MSRS").symlink_to(msrs)
    said = MsrsConfig().missing(outer)
    assert said is not None
    assert "is that the data root?" in said
    with pytest.raises(DataError, match=r"NAME\.png"):
        MsrsDataset(MsrsConfig(), None, "train")
    with pytest.raises(DataError, match=r"NAME\.png"):
        MsrsDataset(MsrsConfig(), absent, "train")


def test_a_missing_label_is_an_error_or_unknown_everywhere(msrs: Path) -> None:
    (msrs / "train" / "Segmentation_labels" / "00010D.png").unlink()
    with pytest.raises(DataError, match="1 of 3 scenes have no label map: 00010D"):
        MsrsDataset(MsrsConfig(), msrs, "train")
    label = MsrsDataset(MsrsConfig(labelled="optional"), msrs, "train")[1].label
    assert label is not None
    assert (label == 255).all()
    assert MsrsDataset(MsrsConfig(labelled="off"), msrs, "train")[1].label is None


def test_a_wrong_label_value_names_file_and_value(msrs: Path) -> None:
    save(msrs / "train" / "Segmentation_labels" / "00010D.png", np.full((18, 20), 9, np.uint8))
    with pytest.raises(DataError, match=r"00010D.png: contains values that are not classes: 9"):
        MsrsDataset(MsrsConfig(), msrs, "train")[1]


@pytest.mark.parametrize("folder", ["vi", "Segmentation_labels"])
def test_sizes_within_a_scene_must_agree(msrs: Path, folder: str) -> None:
    save(msrs / "train" / folder / "00010D.png", np.zeros((18, 21), np.uint8))
    with pytest.raises(DataError, match="18x21") as raised:
        MsrsDataset(MsrsConfig(), msrs, "train")[1]
    assert "18x20" in raised.value.message


def test_validation_shares_no_scene_with_training_and_test(msrs: Path) -> None:
    (msrs / "train.txt").write_text("00123N\n")
    (msrs / "test.txt").write_text("00010D\n")
    config = MsrsConfig(train_folder="test", train_list="train.txt", test_list="test.txt", val_list="val.txt")
    (msrs / "val.txt").write_text("00004N\n")
    assert tuple(MsrsDataset(config, msrs, "val").ids) == ("00004N",)
    for text, other in (("00004N\n00010D\n", "test split: 00010D"), ("00123N\n", "training split: 00123N")):
        (msrs / "val.txt").write_text(text)
        with pytest.raises(DataError, match=f"1 scenes are in both the validation and the {other}"):
            MsrsDataset(config, msrs, "val")


def test_lists_narrow_a_split_and_keep_their_order(msrs: Path) -> None:
    (msrs / "train.txt").write_text("# scenes\n00123N.png\n\n00004N\n")
    (msrs / "test.txt").write_text("00010D\n")
    config = MsrsConfig(train_folder="test", train_list="train.txt", test_list="test.txt")
    assert config.missing(msrs) is None
    assert tuple(MsrsDataset(config, msrs, "train").ids) == ("00123N", "00004N")
    assert tuple(MsrsDataset(config, msrs, "val").ids) == ("00010D",)
    for text, cause in [
        ("00004N\n00005N\n", "1 listed scenes have no infrared image: 00005N"),
        ("00004N\n00004N\n", "00004N more than once"),
        ("\n", "the list of scenes is empty"),
        ("00004N\n00010D\n", "both the training and the test split: 00010D"),
    ]:
        (msrs / "train.txt").write_text(text)
        with pytest.raises(DataError, match=cause):
            MsrsDataset(config, msrs, "train")


def test_pairs_match_stems_whatever_the_extension(tmp_path: Path) -> None:
    for stem in ("scene10", "scene2"):
        save(tmp_path / "near" / f"{stem}.PNG", levels((18, 20, 3), np.uint8))
        save(tmp_path / "far" / f"{stem}.jpg", levels((18, 20, 3), np.uint8))
        save(tmp_path / "mid" / f"{stem}.tif", levels((18, 20), np.uint8))
    save(tmp_path / "far" / ".scene7.jpg", levels((18, 20, 3), np.uint8))
    (tmp_path / "far" / "notes.txt").write_text("not an image")
    config = PairsConfig(sources={"near": "near", "mid": "mid", "far": "far"}, train_folder=None, name="three planes")
    assert config.roles() == ("near", "mid", "far")
    assert config.classes() is None
    assert config.provenance().name == "three planes"
    data = PairsDataset(config, tmp_path, "test")
    assert tuple(data.ids) == ("scene2", "scene10")
    assert [image.shape[0] for image in data[0].images] == [3, 1, 3]
    assert data[0].label is None
    with pytest.raises(DataError, match="the recipe has no train split"):
        PairsDataset(config, tmp_path, "train")


def test_pairs_with_labels_of_their_own(tmp_path: Path) -> None:
    for folder in ("ir", "vi", "mask"):
        save(tmp_path / "test" / folder / "a.png", (levels((18, 20), np.uint8) % 2).astype(np.uint8))
    config = PairsConfig(labels="{split}/mask", class_names=["ground", "target"], unlabelled=0, train_folder=None)
    table = config.classes()
    assert table is not None
    assert table.names == ("ground", "target")
    assert table.palette[0] == (0, 0, 0)
    label = PairsDataset(config, tmp_path, "test")[0].label
    assert label is not None
    assert set(label.unique().tolist()) == {0, 1}


def test_unpaired_files_are_listed_or_left_out(tmp_path: Path) -> None:
    for folder, stems in {"ir": "abc", "vi": "bcd"}.items():
        for stem in stems:
            save(tmp_path / "train" / folder / f"{stem}.png", levels((18, 20), np.uint8))
    with pytest.raises(DataError, match="1 have no infrared image: d; 1 have no visible image: a"):
        PairsDataset(PairsConfig(), tmp_path, "train")
    assert tuple(PairsDataset(PairsConfig(skip_unpaired=True), tmp_path, "train").ids) == ("b", "c")
    save(tmp_path / "train" / "vi" / "b.bmp", levels((18, 20), np.uint8))
    with pytest.raises(DataError, match=r"b\.bmp and b\.png have the same stem"):
        PairsDataset(PairsConfig(skip_unpaired=True), tmp_path, "train")


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    for folder in ("ir", "vi"):
        (tmp_path / "train" / folder).mkdir(parents=True)
    with pytest.raises(DataError, match="no scene was found"):
        PairsDataset(PairsConfig(), tmp_path, "train")


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"sources": {"infrared": "../ir", "visible": "vi"}}, "without '..'"),
        ({"sources": {"infrared": "/ir", "visible": "vi"}}, "below the data root"),
        ({"sources": {"infrared": "{part}/ir"}}, "only supported placeholder"),
        ({"sources": {"Infra red": "{split}/ir"}}, "lower-case"),
        ({"sources": {}}, "at least 1"),
        ({"sources": {"a": "{split}/x", "b": "{split}/x"}}, "same folder"),
        ({"sources": {"a": "x", "b": "y"}}, "same files"),
        ({"labels": "{split}/l"}, "class_names"),
        ({"class_names": ["a", "a"]}, "twice"),
        ({"class_names": ["a", "b"], "ignore_index": 1}, "index of a class"),
        ({"class_names": ["a", "b"], "unlabelled": 2}, "not the index"),
        ({"train_folder": "test"}, "train_list and test_list"),
        ({"widht": 3}, "Extra inputs"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], cause: str) -> None:
    with pytest.raises(ValidationError, match=cause):
        PairsConfig.model_validate(options)


def test_shared_layout_through_options() -> None:
    if (root := shared_data()) is None:
        pytest.skip("no folder of real image pairs (FUSEKIT_TEST_DATA)")
    config = MsrsConfig(
        train_folder="test",
        labels="label_pseudo",
        label_kind="pseudo",
        train_list="splits/labelled_train.txt",
        test_list="splits/labelled_val.txt",
    )
    root = root / "msrs"
    assert config.missing(root) is None
    assert len(MsrsDataset(config, root, "train")) == 59
    data = MsrsDataset(config, root, "test")
    assert len(data) == 16
    sample = data[0]
    assert [tuple(image.shape) for image in sample.images] == [(1, 480, 640), (3, 480, 640)]
    assert sample.label is not None
    unlabelled = config.model_copy(
        update={"train_list": "splits/fusion_train.txt", "test_list": "splits/fusion_test.txt"}
    )
    with pytest.raises(DataError, match="have no label map"):
        MsrsDataset(unlabelled, root, "train")
    optional = unlabelled.model_copy(update={"labelled": "optional"})
    assert len(MsrsDataset(optional, root, "train")) == 115


def test_real_pairs_of_other_datasets() -> None:
    if (root := shared_data()) is None:
        pytest.skip("no folder of real image pairs (FUSEKIT_TEST_DATA)")
    assert len(PairsDataset(PairsConfig(name="RoadScene"), root / "roadscene", "train")) == 158
    medical = PairsConfig(sources={"mri": "{split}/mri_pet/mri", "pet": "{split}/mri_pet/pet"})
    mri, pet = PairsDataset(medical, root / "medical", "test")[0].images
    assert (mri.shape[0], pet.shape[0]) == (1, 3)


def test_synthetic_scenes_are_seeded_and_splits_differ() -> None:
    config = StreetsConfig(train=2, val=1, test=1, height=48, width=64)
    assert config.missing(None) is None
    assert config.provenance().synthetic
    assert config.provenance().labels == "exact"
    train = Streets(config, None, "train", seed=3)
    assert tuple(train.ids) == ("train_00000", "train_00001")
    sample = train[0]
    assert [tuple(image.shape) for image in sample.images] == [(1, 48, 64), (3, 48, 64)]
    assert sample.label is not None
    assert sample.label.dtype == torch.int64
    assert int(sample.label.max()) < len(MSRS_TABLE)
    again = Streets(config.model_copy(update={"train": 1}), None, "train", seed=3)[0]
    assert torch.equal(again.images[1], sample.images[1])
    assert torch.equal(train[0].images[1], sample.images[1])
    for other in (Streets(config, None, "test", seed=3)[0], train[1], train[-1]):
        assert not torch.equal(other.images[1], sample.images[1])
    assert not torch.equal(Streets(config, None, "train", seed=4)[0].images[1], sample.images[1])
    with pytest.raises(IndexError):
        train[2]


def test_the_renderer_has_the_classes_of_the_table() -> None:
    from fusekit_scenes.render import MSRS_CLASSES

    assert [name.replace(" ", "_") for name in MSRS_CLASSES] == list(MSRS_TABLE.names)


def test_natural_order() -> None:
    names = ["b10", "b9", "a", "10", "9", "B1", "b01", "b1"]
    assert sorted(names, key=natural_key) == ["9", "10", "a", "B1", "b01", "b1", "b9", "b10"]


def test_palettes_tell_classes_apart() -> None:
    colours = make_palette(20, unlabelled=0)
    assert len(set(colours)) == 20


def test_components_resolve_and_options_need_no_torch() -> None:
    specs = fusekit_components()
    assert [spec.name for spec in specs] == ["data.msrs", "data.pairs", "data.collection"]
    script = (
        "import importlib, sys\n"
        "from fusekit_datasets import fusekit_components\n"
        "for spec in fusekit_components():\n"
        "    module, _, name = spec.config.partition(':')\n"
        "    config = getattr(importlib.import_module(module), name)\n"
        "    made = config(**({'members': [{'folder': 'one'}]} if 'members' in config.model_fields else {}))\n"
        "    assert config.model_validate_json(made.model_dump_json()) == made\n"
        "    assert all(field.description for field in config.model_fields.values())\n"
        "assert 'torch' not in sys.modules\n"
        "for spec in fusekit_components():\n"
        "    module, _, name = spec.target.partition(':')\n"
        "    cls = getattr(importlib.import_module(module), name)\n"
        "    assert cls.Config.__name__ == spec.config.partition(':')[2]\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])


def test_a_collection_is_its_members_one_after_the_other(tmp_path: Path) -> None:
    for folder, stems in (("first", ("a", "b")), ("second", ("a",))):
        for split in ("train", "test"):
            for role in ("ir", "vi"):
                (tmp_path / folder / split / role).mkdir(parents=True)
                for stem in stems:
                    value = len(stems) * 40 + (role == "vi") * 5 + (split == "test")
                    Image.new("L", (20, 16), value).save(tmp_path / folder / split / role / f"{stem}.png")
    config = CollectionConfig.model_validate({"members": [{"folder": "first"}, {"folder": "second", "name": "night"}]})
    assert config.missing(tmp_path) is None
    data = Collection(config, tmp_path, "train")
    assert list(data.ids) == ["first-a", "first-b", "night-a"]
    assert [sample.id for sample in (data[0], data[2])] == ["first-a", "night-a"]
    assert data[2].images[1].mean().item() == pytest.approx(45 / 255)
    alone = CollectionConfig.model_validate(
        {"members": [{"folder": "first"}, {"folder": "second", "train_folder": None}]}
    )
    assert list(Collection(alone, tmp_path, "train").ids) == ["first-a", "first-b"]
    assert len(Collection(alone, tmp_path, "test")) == 3
    assert alone.unfit_for_validation() is not None


@pytest.mark.parametrize(
    ("members", "cause"),
    [
        ([{"folder": "a"}, {"folder": "a"}], "the same name"),
        ([{"folder": "a"}, {"folder": "b", "sources": {"near": "{split}/n", "far": "{split}/f"}}], "roles"),
        ([{"folder": "a"}, {"folder": "b", "labels": "{split}/l", "class_names": ["x"]}], "different classes"),
        ([{"folder": "../a"}], "below the data root"),
    ],
)
def test_members_of_a_collection_must_agree(members: list[dict[str, object]], cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        CollectionConfig.model_validate({"members": members})


def test_a_collection_says_what_each_member_misses(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    config = CollectionConfig.model_validate({"members": [{"folder": "here"}, {"folder": "gone"}]})
    sentence = config.missing(tmp_path)
    assert sentence is not None
    assert "here: below" in sentence
    assert f"the data root {tmp_path / 'gone'} does not exist" in sentence
    assert "no data root is given" in str(config.missing(None))
