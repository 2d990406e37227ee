"""Generates the files of a plugin distribution from a name and a kind. Imports no torch."""

from __future__ import annotations

import keyword
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from string import Template

from fusekit.errors import UsageError
from fusekit.interfaces.kinds import KINDS
from fusekit.plugin.discovery import DISTRIBUTION, discover
from fusekit.plugin.loader import LOCAL_NAMESPACE
from fusekit.words import did_you_mean

_TEMPLATES = Path(__file__).parent / "templates"
_SUFFIX = ".tmpl"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST_NAME = 40  # keeps the lines of the written files within 120 columns


@dataclass(frozen=True)
class _Start:
    """Initial content of a plugin of one kind; its code is in the template folder of that kind.

    Attributes:
        component: Name of the component, after the dot.
        code: Name of its module, and of the template.
        class_name: Name of its class; the options are ``{class_name}Config``.
        contract: Class that its test inherits.
        params: Small parameter values for its tests, as Python code.
        summary: One sentence, as shown in lists.
        place: Key of a recipe that names it.
    """

    component: str
    code: str
    class_name: str
    contract: str
    params: str
    summary: str
    place: str


_STARTS: dict[str, _Start] = {
    "backbone": _Start(
        "network",
        "network",
        "Network",
        "BackboneContract",
        '{"width": 4}',
        "Weighted sum of the sources, weights from three convolutions",
        "model.backbone",
    ),
    "loss-proposer": _Start(
        "contrast",
        "contrast",
        "Contrast",
        "LossProposerContract",
        '{"radius": 2}',
        "Weights from the local contrast of each source, raised to a learned power",
        "model.proposer",
    ),
    "reconstruction": _Start(
        "heads",
        "heads",
        "Heads",
        "ReconstructionContract",
        '{"width": 4}',
        "A head of three convolutions per source",
        "model.reconstruction",
    ),
    "task": _Start(
        "segmenter",
        "segmenter",
        "Segmenter",
        "TaskContract",
        '{"width": 8, "depth": 2}',
        "A small segmentation network of dilated convolutions",
        "model.task",
    ),
    "stage": _Start(
        "stage",
        "stage",
        "ResidualStage",
        "StageContract",
        '{"width": 4}',
        "A gradient step, then a residual of two convolutions",
        "model.backbone.params.stage",
    ),
    "metric": _Start(
        "gradient_gap",
        "metric",
        "GradientGap",
        "MetricContract",
        '{"border": 2}',
        "Difference between the gradients of the fused image and the strongest of the sources",
        "evaluate.metrics",
    ),
    "dataset": _Start(
        "blobs",
        "blobs",
        "Blobs",
        "DatasetContract",
        '{"count": 3, "size": 32}',
        "Generated pairs: bright blobs in one source, stripes in the other",
        "data",
    ),
    "strategy": _Start(
        "training",
        "training",
        "Training",
        "StrategyContract",
        '{"loss": [{"use": "losses.intensity"}, {"use": "losses.gradient", "params": {"weight": 2.0}}]}',
        "Minimises the fusion loss with proposed, not learned, weights",
        "train.strategy",
    ),
    "guidance": _Start(
        "saliency",
        "saliency",
        "Saliency",
        "GuidanceContract",
        '{"radius": 1}',
        "Gradient saliency of a segmentation network, averaged over the regions of its classes",
        "model.guidance",
    ),
    "pathway": _Start(
        "from_mean",
        "pathway",
        "FromMean",
        "PathwayContract",
        '{"steps": 3}',
        "Straight line from the mean of the sources to the source",
        "model.guidance.params.pathway",
    ),
    "objective": _Start(
        "coarse",
        "objective",
        "Coarse",
        "ObjectiveContract",
        '{"radius": 1}',
        "How well the blurred sources are recovered from the fused image",
        "train.strategy.params.objective",
    ),
    "loss-term": _Start(
        "charbonnier",
        "charbonnier",
        "Charbonnier",
        "LossTermContract",
        '{"epsilon": 0.01}',
        "Charbonnier distance to the mean of the sources, an L1 distance that is smooth at zero",
        "train.strategy.params.loss",
    ),
    "transform": _Start(
        "dead_pixels",
        "dead_pixels",
        "DeadPixels",
        "TransformContract",
        '{"share": {"light": 0.01, "medium": 0.05, "heavy": 0.2}}',
        "Dead pixels of a sensor: black, at random places",
        "train.sampling.transforms",
    ),
    "observer": _Start(
        "lines",
        "lines",
        "Lines",
        "ObserverContract",
        '{"every": 2}',
        "Losses and validation values as lines of JSON in the folder of the run",
        "observe",
    ),
}

KINDS_TO_START = tuple(kind for kind in KINDS if kind in _STARTS)
"""Kinds of component that `write_plugin` supports; not importers, which depend on the released file."""


def component_name(name: str, kind: str) -> str:
    """Name of the initial component of a plugin of this name and kind."""
    return f"{name}.{_STARTS[kind].component}"


def write_plugin(name: str, kind: str, folder: Path) -> list[Path]:
    """Writes a distribution ``fusekit-NAME`` with one working component, its test, recipe and README.

    Args:
        name: Name of the plugin: its entry point, and the namespace of its components.
        kind: Kind of the component, one of `KINDS_TO_START`.
        folder: Folder of the new distribution; may exist if it is empty.

    Returns:
        The files, in reading order.

    Raises:
        UsageError: The name or kind is not valid, or the folder is not empty or not writable. Nothing is written in
            these cases.
    """
    _check_kind(kind)
    _check_name(name)
    _check_folder(folder)
    texts = _render(name, kind)
    try:
        _place(texts, folder)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written: {error.strerror or error}; everything written so far was removed",
            hint="choose another folder with --out",
        ) from error
    return [folder / path for path in texts]


def _check_kind(kind: str) -> None:
    if kind in _STARTS:
        return
    if kind in KINDS:
        raise UsageError(
            f"there is no template for the kind {kind!r}: its code depends on the released file that it reads",
            hint=f"choose another kind ({', '.join(KINDS_TO_START)}), or copy one of fusekit's own importers",
        )
    raise UsageError(
        f"there is no kind {kind!r}{did_you_mean(kind, KINDS_TO_START)}", hint=f"kinds: {', '.join(KINDS_TO_START)}"
    )


def _check_name(name: str) -> None:
    def refuse(why: str, hint: str) -> UsageError:
        return UsageError(f"a plugin cannot be called {name!r}: {why}", hint=hint)

    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-0123456789")
    bare = re.sub(r"^fusekit-?", "", plain)
    if name.startswith("fusekit"):
        hint = f"leave fusekit out{f': {bare}' if _NAME.fullmatch(bare) else ''}"
        raise refuse("its distribution is called fusekit-NAME already", hint)
    if not _NAME.fullmatch(name):
        hint = f"for example {bare}" if _NAME.fullmatch(bare) else "for example depth-prior"
        raise refuse("names consist of lower-case letters and digits, separated by single hyphens", hint)
    if len(name) > _LONGEST_NAME:
        raise refuse(f"it is longer than {_LONGEST_NAME} characters", "choose a shorter one: users type it in recipes")
    if keyword.iskeyword(name):
        raise refuse("it is a keyword of Python", f"for example my-{name}")
    if name == LOCAL_NAMESPACE:
        raise refuse("the namespace is reserved for --with FILE.py", f"for example my-{name}")
    if any(own.namespace == name for own in discover() if own.distribution == DISTRIBUTION):
        raise refuse("fusekit itself has a plugin of that name", f"for example my-{name}")


def _check_folder(folder: Path) -> None:
    try:
        if not folder.is_dir() and (folder.exists() or folder.is_symlink()):
            raise UsageError(f"{folder} exists and is not a folder", hint="choose another folder with --out")
        if folder.is_dir() and any(folder.iterdir()):
            raise UsageError(
                f"{folder} is not empty; existing files are not overwritten", hint="choose another folder with --out"
            )
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be read: {error.strerror or error}", hint="choose another folder with --out"
        ) from error


def _render(name: str, kind: str) -> dict[Path, str]:
    """Texts of the files, by path in the distribution."""
    start, module = _STARTS[kind], f"fusekit_{name.replace('-', '_')}"
    values = {
        "name": name,
        "module": module,
        "kind": kind,
        "component": component_name(name, kind),
        "code": start.code,
        "class_name": start.class_name,
        "contract": start.contract,
        "params": start.params,
        "summary": start.summary,
        "place": start.place,
    }
    sources = {
        "pyproject.toml": "common/pyproject.toml",
        "README.md": "common/README.md",
        f"{module}/__init__.py": "common/init.py",
        f"{module}/config.py": f"{kind}/config.py",
        f"{module}/{start.code}.py": f"{kind}/{start.code}.py",
        "recipe.yaml": f"{kind}/recipe.yaml",
        "tests/test_conformance.py": "common/test_conformance.py",
        ".github/workflows/test.yml": "common/workflow.yml",
    }
    return {
        Path(path): Template((_TEMPLATES / f"{source}{_SUFFIX}").read_text("utf-8")).substitute(values)
        for path, source in sources.items()
    }


def _place(texts: dict[Path, str], folder: Path) -> None:
    """Writes everything into a temporary folder, then moves it into place.

    Raises:
        OSError: Something cannot be written; everything written so far is removed.
    """
    # An existing empty folder is kept, not replaced: it may be the working directory of a shell.
    existed = folder.is_dir()
    made = [] if existed else [parent for parent in folder.parents if not parent.exists()]
    temporary = (folder if existed else folder.parent) / f".fusekit-new-{os.getpid()}.part"
    moved: list[Path] = []
    try:
        for path, text in texts.items():
            (temporary / path).parent.mkdir(parents=True, exist_ok=True)
            (temporary / path).write_text(text, "utf-8", newline="\n")
        if existed:
            for entry in sorted(temporary.iterdir()):
                moved.append(entry.rename(folder / entry.name))
        else:
            temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        for entry in moved:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        for parent in made:  # innermost first
            if parent.is_dir():
                parent.rmdir()
        raise
    if existed:
        temporary.rmdir()
