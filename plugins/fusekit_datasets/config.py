"""Options of the datasets of files, and the properties of their data. Imports no torch."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Literal

from pydantic import AfterValidator, model_validator

from fusekit.interfaces.config import Field
from fusekit.interfaces.context import ClassTable
from fusekit.interfaces.dataset_config import DatasetConfig, Provenance

SplitName = Literal["train", "val", "test"]

MSRS_TABLE = ClassTable(
    names=(
        "unlabelled",
        "car",
        "person",
        "bike",
        "curve",
        "car_stop",
        "guardrail",
        "color_cone",
        "bump",
    ),
    palette=(
        (0, 0, 0),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
        (0, 0, 192),
        (128, 128, 0),
        (64, 64, 128),
        (192, 128, 128),
        (192, 64, 0),
    ),
    ignore_index=255,
    unlabelled=0,
)
"""Classes and colours of MSRS, in the order of its label files."""


def _below_root(value: str) -> str:
    """Refuse paths outside of the data root given by the user, which a third-party recipe must not access."""
    inside = value and not PurePosixPath(value).is_absolute() and not PureWindowsPath(value).drive
    if not inside or ".." in re.split(r"[/\\]", value):
        raise ValueError(f"{value!r} must be a path below the data root, without '..'")
    return value


def _pattern(value: str) -> str:
    if re.search(r"[{}]", value.replace("{split}", "")):
        raise ValueError(f"{value!r}: the only supported placeholder is {{split}}")
    return _below_root(value)


BelowRoot = Annotated[str, AfterValidator(_below_root)]
Pattern = Annotated[str, AfterValidator(_pattern)]


class FolderConfig(DatasetConfig):
    """Common options of datasets of folders, in which the files of a scene have the same stem.

    A split is a folder name, which replaces ``{split}`` in the patterns, and can be restricted by a list of stems.
    Without a validation folder or list, the validation split is the test split, and training is not validated on it.
    """

    train_folder: BelowRoot | None = Field(
        "train", description="name of the training split's folder; null if there is no training split"
    )
    val_folder: BelowRoot | None = Field(
        None, description="name of the validation split's folder; default: the test split"
    )
    test_folder: BelowRoot = Field("test", description="name of the test split's folder")
    train_list: BelowRoot | None = Field(
        None, description="text file below the root with the scenes of the training split, one stem per line"
    )
    val_list: BelowRoot | None = Field(
        None, description="as `train_list`, for validation; in the test folder unless `val_folder` is given"
    )
    test_list: BelowRoot | None = Field(None, description="as `train_list`, for the test split")
    labelled: Literal["required", "optional", "off"] = Field(
        "required",
        description="`required`: every scene must have a label map; `optional`: a missing label map is replaced by one "
        "that contains only the ignore value; `off`: label maps are not read. The same applies to boxes; a scene "
        "without optional boxes counts as not annotated, not as empty",
    )
    label_kind: Literal["human", "pseudo"] = Field(
        "human",
        description="origin of the label maps: annotated by people (`human`) or predicted by networks (`pseudo`)",
    )
    box_names: list[str] = Field(
        default_factory=list,
        max_length=256,
        description="names of the classes of the boxes: in the order of their numbers in YOLO files, or as the "
        "categories of a COCO file are named",
    )
    box_kind: Literal["human", "pseudo"] = Field("human", description="as `label_kind`, for the boxes")
    skip_unpaired: bool = Field(False, description="skip scenes that lack a source, instead of refusing the folder")

    @model_validator(mode="after")
    def _splits_differ(self) -> FolderConfig:
        if self.train_folder == self.test_folder and not (self.train_list and self.test_list):
            raise ValueError(
                f"the training and the test split would both be the whole folder {self.test_folder!r}; set train_list "
                "and test_list"
            )
        return self

    @model_validator(mode="after")
    def _boxes_have_classes(self) -> FolderConfig:
        if self.box_pattern() is None:
            return self
        names, table = self.box_classes(), self.classes()
        if not names or len(set(names)) != len(names):
            raise ValueError("boxes need the names of their classes, each once: set box_names")
        unknown = [name for name in names if table is not None and name not in table.names]
        if table is not None and unknown:
            raise ValueError(
                f"box_names contains {unknown[0]!r}, which is not a class of the label maps "
                f"({', '.join(table.names)}); use their names, or do not read label maps (labels: null)"
            )
        return self

    def source_patterns(self) -> Mapping[str, str]:
        """Folder of each role's files below the root, with ``{split}``; ordered by role."""
        raise NotImplementedError(f"{type(self).__name__} does not implement source_patterns()")

    def label_pattern(self) -> str | None:
        """Folder of the label maps below the root, with ``{split}``; None if they are not read."""
        raise NotImplementedError(f"{type(self).__name__} does not implement label_pattern()")

    def box_pattern(self) -> str | None:
        """Folder of YOLO files, or COCO file, below the root, with ``{split}``; None if boxes are not read."""
        return None

    def box_classes(self) -> tuple[str, ...]:
        """Classes of the boxes in the order of their numbers in the files, as the class table names them."""
        return tuple(self.box_names)

    def annotations(self) -> frozenset[str]:
        """Label maps and boxes, as far as they are read."""
        patterns = {"labels": self.label_pattern(), "boxes": self.box_pattern()}
        return frozenset(kind for kind, pattern in patterns.items() if pattern is not None)

    def title(self) -> str:
        """Name of the dataset in messages."""
        raise NotImplementedError(f"{type(self).__name__} does not implement title()")

    def roles(self) -> tuple[str, ...]:
        """The roles of `source_patterns`, in the same order."""
        return tuple(self.source_patterns())

    def split_folder(self, split: SplitName) -> str | None:
        """Folder name that replaces ``{split}``; None if there is no such split."""
        if split == "train":
            return self.train_folder
        return (self.val_folder or self.test_folder) if split == "val" else self.test_folder

    def split_list(self, split: SplitName) -> str | None:
        """The list that restricts a split; None means all files of its folder."""
        if split == "train":
            return self.train_list
        if split == "test" or self._validates_on_test():
            return self.test_list
        return self.val_list

    def _validates_on_test(self) -> bool:
        return self.val_folder is None and self.val_list is None

    def same_place(self, one: SplitName, other: SplitName) -> bool:
        """Whether two splits have the same source folders, so that only lists can separate them."""
        folders = self.split_folder(one), self.split_folder(other)
        if None in folders:
            return False
        of_one, of_other = ([p.replace("{split}", str(f)) for p in self.source_patterns().values()] for f in folders)
        return of_one == of_other

    def unfit_for_validation(self) -> str | None:
        """Why the split cannot be used for validation: it equals or overlaps another split; None if it does not."""
        remedy = "choose separate scenes with data.params.val_folder or val_list"
        if self._validates_on_test():
            return f"{self.title()} has no validation split, so `val` is its test split; {remedy}"
        names: dict[SplitName, str] = {"test": "test", "train": "training"}
        for other, name in names.items():
            if not self.same_place("val", other):
                continue
            mine, theirs = self.split_list("val"), self.split_list(other)
            if mine == theirs:
                return f"the validation split of {self.title()} is its {name} split; {remedy}"
            if mine is None or theirs is None:
                lacking = "val_list" if mine is None else f"{other}_list"
                return (
                    f"the validation split of {self.title()} shares scenes with its {name} split, which is in the same "
                    f"folder; separate them with data.params.{lacking}"
                )
        return None

    def provenance(self) -> Provenance:
        """Name of the data, and the origin of its labels; of label maps and boxes, the less reliable one."""
        origins = {"labels": self.label_kind, "boxes": self.box_kind}
        kinds = {origins[kind] for kind in self.annotations()}
        if len(kinds) < 2:
            return Provenance(self.title(), labels=next(iter(kinds), None))
        people = "boxes" if self.box_kind == "human" else "label maps"
        return Provenance(self.title(), labels="pseudo", note=f"Only the {people} were annotated by people.")

    def missing(self, root: Path | None) -> str | None:
        """All missing folders and lists below `root`, and the expected folder tree; None if none is missing."""
        expected = self._expected()
        tree = "\n".join(f"  {root or '<data.root>'}/{path}" for path in expected.values())
        if root is None:
            return f"{self.title()}: no data root is given; set data.root to a folder that contains\n{tree}"
        if not root.is_dir():
            return f"{self.title()}: the data root {root} does not exist; it must contain\n{tree}"
        absent = [path for path in expected if not (root / path).exists()]
        if not absent:
            return None
        sentence = f"{self.title()}: below {root} there is no {', no '.join(absent)}; it must contain\n{tree}"
        inner = next((d for d in sorted(root.iterdir()) if all((d / path).exists() for path in expected)), None)
        return sentence if inner is None else f"{sentence}\n{inner} contains all of them: is that the data root?"

    def _expected(self) -> dict[str, str]:
        """Expected path below the root → its text in the folder tree."""
        expected: dict[str, str] = {}
        patterns = [*self.source_patterns().values()]
        optional = (self.label_pattern(), self.box_pattern()) if self.labelled != "optional" else ()
        patterns += [pattern for pattern in optional if pattern is not None]
        for split in ("train", "val", "test"):
            folder = self.split_folder(split)
            if folder is None:
                continue
            for pattern in patterns:
                path = pattern.replace("{split}", folder)
                file = "txt" if pattern == self.box_pattern() else "png"
                expected[path] = path if path.endswith(".json") else f"{path}/NAME.{file}"
            if (stems := self.split_list(split)) is not None:
                expected[stems] = stems
        return expected


class MsrsConfig(FolderConfig):
    """MSRS in its published layout, ``{train,test}/{vi,ir,Segmentation_labels}/NAME.png``.

    The folder names can be changed for other layouts. MSRS has no validation split: see `FolderConfig`.
    """

    infrared: BelowRoot = Field("ir", description="folder of the infrared images inside a split's folder")
    visible: BelowRoot = Field("vi", description="folder of the visible images inside a split's folder")
    labels: BelowRoot | None = Field(
        "Segmentation_labels",
        description="folder of the label maps inside a split's folder; null if there are no label maps",
    )
    boxes: BelowRoot | None = Field(
        None,
        description="boxes inside a split's folder: a folder of YOLO files (STEM.txt) or a COCO file (.json); default: "
        "boxes are not read. Their classes are person, bicycle and car, unless `box_names` names others",
    )

    def source_patterns(self) -> Mapping[str, str]:
        """Patterns of infrared and visible images, in this order."""
        return {"infrared": f"{{split}}/{self.infrared}", "visible": f"{{split}}/{self.visible}"}

    def label_pattern(self) -> str | None:
        """Folder of the label maps."""
        return None if self.labels is None or self.labelled == "off" else f"{{split}}/{self.labels}"

    def box_pattern(self) -> str | None:
        """The boxes."""
        return None if self.boxes is None or self.labelled == "off" else f"{{split}}/{self.boxes}"

    def box_classes(self) -> tuple[str, ...]:
        """Person, bicycle and car by default; the label maps call a bicycle bike."""
        if self.box_names:
            return tuple(self.box_names)
        return ("person", "bicycle" if self.label_pattern() is None else "bike", "car")

    def title(self) -> str:
        """The dataset's published name."""
        return "MSRS"

    def classes(self) -> ClassTable | None:
        """The nine classes of MSRS if label maps are read, else those of the boxes, if these are."""
        if self.label_pattern() is not None:
            return MSRS_TABLE
        return None if self.box_pattern() is None else box_table(self.box_classes())


class PairsConfig(FolderConfig):
    """Any folders whose files are paired by stem; extensions may differ between folders."""

    name: str = Field("pairs", min_length=1, description="name of the data, shown with all results")
    sources: dict[str, Pattern] = Field(
        default_factory=lambda: {"infrared": "{split}/ir", "visible": "{split}/vi"},
        min_length=1,
        description="role → folder below the root, in order; `{split}` is the split's folder",
    )
    labels: Pattern | None = Field(None, description="folder of the label maps, as in `sources`; default: no labels")
    boxes: Pattern | None = Field(
        None,
        description="boxes, as in `sources`: a folder of YOLO files (STEM.txt) or a COCO file (.json); default: none. "
        "Their classes are `box_names`, or `class_names` without it",
    )
    class_names: list[str] = Field(
        default_factory=list, max_length=256, description="names of the classes in the order of their index"
    )
    ignore_index: int = Field(255, ge=0, le=65535, description="value of pixels without a label")
    unlabelled: int | None = Field(
        None, ge=0, description="index of the class for pixels of no interest (background), if there is one"
    )

    @model_validator(mode="after")
    def _consistent(self) -> PairsConfig:
        for role in self.sources:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", role):
                raise ValueError(
                    f"role {role!r} must consist of lower-case letters, digits and '_', and start with a letter"
                )
        patterns = [*self.sources.values(), *filter(None, (self.labels, self.boxes))]
        if len(set(patterns)) != len(patterns):
            raise ValueError("two entries of sources, labels and boxes are the same folder")
        count = len(self.class_names)
        if self.labels is not None and count == 0:
            raise ValueError("labels needs class_names, the names of the classes in the label maps")
        if len(set(self.class_names)) != count:
            raise ValueError("class_names contains a name twice")
        if self.ignore_index < count:
            raise ValueError(f"ignore_index {self.ignore_index} is the index of a class; choose one ≥ {count}")
        if self.unlabelled is not None and self.unlabelled >= count:
            raise ValueError(f"unlabelled {self.unlabelled} is not the index of a class (0 to {count - 1})")
        whole = all("{split}" not in pattern for pattern in self.sources.values())
        if whole and self.train_folder is not None and not (self.train_list and self.test_list):
            raise ValueError(
                "no source has {split} in its folder, so the training and the test split would be the same files; "
                "set train_list and test_list, or train_folder: null"
            )
        return self

    def source_patterns(self) -> Mapping[str, str]:
        """The `sources` option."""
        return self.sources

    def label_pattern(self) -> str | None:
        """The `labels` option, unless `labelled` is off."""
        return None if self.labelled == "off" else self.labels

    def box_pattern(self) -> str | None:
        """The `boxes` option, unless `labelled` is off."""
        return None if self.labelled == "off" else self.boxes

    def box_classes(self) -> tuple[str, ...]:
        """The `box_names` option, or `class_names` without it."""
        return tuple(self.box_names or self.class_names)

    def title(self) -> str:
        """The `name` option."""
        return self.name

    def classes(self) -> ClassTable | None:
        """The named classes with generated colours, if label maps or boxes are read."""
        if self.label_pattern() is None:
            return None if self.box_pattern() is None else box_table(self.box_classes())
        return ClassTable(
            names=tuple(self.class_names),
            palette=make_palette(len(self.class_names), self.unlabelled),
            ignore_index=self.ignore_index,
            unlabelled=self.unlabelled,
        )


class MemberConfig(PairsConfig):
    """A member of a collection: the options of `data.pairs`, and the folder below the data root that they apply to."""

    folder: BelowRoot = Field(description="folder of this member below the data root")

    def title(self) -> str:
        """The folder, or the `name` option where one is given."""
        return self.folder if self.name == "pairs" else self.name


class CollectionConfig(DatasetConfig):
    """Several sets of image pairs as one dataset: training draws from all of them.

    A member without training scenes of its own (``train_folder: null``) is a part of the other splits only. Scenes are
    named ``MEMBER-STEM``.
    """

    name: str = Field("collection", min_length=1, description="name of the data, shown beside every number")
    members: list[MemberConfig] = Field(min_length=1, description="the sets of image pairs, in order")

    @model_validator(mode="after")
    def _members_agree(self) -> CollectionConfig:
        first = self.members[0]
        titles = [member.title() for member in self.members]
        if len(set(titles)) != len(titles):
            raise ValueError("two members have the same name; give each a name of its own")
        for member in self.members[1:]:
            if member.roles() != first.roles():
                raise ValueError(
                    f"member {member.title()!r} has the roles {', '.join(member.roles())}, "
                    f"member {first.title()!r} has {', '.join(first.roles())}; the roles and their order must agree"
                )
            if member.classes() != first.classes():
                raise ValueError(
                    f"members {first.title()!r} and {member.title()!r} have different classes; "
                    "give both the same class_names, or read label maps of neither (labelled: off)"
                )
            if member.annotations() != first.annotations():
                raise ValueError(
                    f"members {first.title()!r} and {member.title()!r} do not have the same annotations; give both "
                    "label maps or boxes (labelled: optional allows scenes without them), or neither"
                )
        return self

    def roles(self) -> tuple[str, ...]:
        """The roles of every member."""
        return self.members[0].roles()

    def classes(self) -> ClassTable | None:
        """The classes of every member."""
        return self.members[0].classes()

    def annotations(self) -> frozenset[str]:
        """The annotations of every member."""
        return self.members[0].annotations()

    def provenance(self) -> Provenance:
        """Name of the data; its labels are pseudo-labels as soon as those of one member are."""
        kinds = {member.provenance().labels for member in self.members}
        return Provenance(self.name, labels="pseudo" if "pseudo" in kinds else self.members[0].provenance().labels)

    def unfit_for_validation(self) -> str | None:
        """The first member that is not fit for it says why."""
        return next((reason for member in self.members if (reason := member.unfit_for_validation())), None)

    def missing(self, root: Path | None) -> str | None:
        """What every member misses."""
        found = [member.missing(root / member.folder if root is not None else None) for member in self.members]
        return "\n".join(reason for reason in found if reason is not None) or None


def box_table(names: tuple[str, ...]) -> ClassTable:
    """Class table of boxes without label maps."""
    return ClassTable(names, make_palette(len(names)))


def make_palette(count: int, unlabelled: int | None = None) -> tuple[tuple[int, int, int], ...]:
    """Colours that distinguish consecutive classes; the unlabelled class is black."""
    colours = []
    for index in range(count):
        hue = (index * 0.618033988749895) % 1.0  # the golden ratio spreads any number of hues evenly
        rgb = colorsys.hsv_to_rgb(hue, 0.65 + 0.35 * (index % 2), 0.95 - 0.25 * (index // 2 % 2))
        colours.append((round(255 * rgb[0]), round(255 * rgb[1]), round(255 * rgb[2])))
    if unlabelled is not None:
        colours[unlabelled] = (0, 0, 0)
    return tuple(colours)
