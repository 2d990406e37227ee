"""Model files of strangers: what is read, and what is refused before memory, network or files are touched."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import fusekit as package
from fusekit.errors import DataError
from fusekit.model.assembly import build_system, model_section
from fusekit.model.bounded_build import Limit
from fusekit.model.model_file import load_system, save_model
from fusekit.plugin.registry import Registry, registry
from tests.data.files import levels, save
from tests.networks import class_table

pytestmark = pytest.mark.slow

Call = Callable[..., Any]
CARD: dict[str, Any] = {
    "model": {"backbone": {"use": "baselines.mean"}},
    "roles": ["a", "b"],
    "classes": None,
    "provenance": {},
    "version": "0",
}
CLASSES = {"names": ["x", "y"], "palette": [[0, 0, 0], [1, 1, 1]], "ignore_index": 255, "unlabelled": None}


def write(path: Path, metadata: str | dict[str, Any], tensors: dict[str, Tensor] | None = None) -> Path:
    text = metadata if isinstance(metadata, str) else json.dumps({**CARD, **metadata})
    save_file(tensors or {}, path, {"format": "fusekit-model-1", "fusekit": text})
    return path


def with_backbone(use: str, **params: Any) -> dict[str, Any]:
    return {"model": {"backbone": {"use": use, "params": params}}}


def with_task(**params: Any) -> dict[str, Any]:
    return {"model": {**CARD["model"], "task": {"use": "tasks.smp", "params": params}}, "classes": CLASSES}


BAD: dict[str, tuple[str | dict[str, Any], str]] = {
    "model null": ({"model": None}, "damaged metadata: model: "),
    "model text": ({"model": "x"}, "damaged metadata: model: "),
    "model number": ({"model": 5}, "damaged metadata: model: "),
    "model without backbone": ({"model": {}}, "its model section is not valid: backbone: "),
    "classes text": ({"classes": "x"}, "damaged metadata: classes: "),
    "classes list": ({"classes": [1]}, "damaged metadata: classes: "),
    "classes empty": ({"classes": {}}, "damaged metadata: classes.names: "),
    "names a number": ({"classes": {**CLASSES, "names": 5}}, "damaged metadata: classes.names: "),
    "palette of two": (
        {"classes": {**CLASSES, "palette": [[0, 0], [1, 1]]}},
        "damaged metadata: classes.palette.0.2: ",
    ),
    "palette short": ({"classes": {**CLASSES, "palette": [[0, 0, 0]]}}, "2 class names but 1 colours"),
    "roles text": ({"roles": "ab"}, "damaged metadata: roles: "),
    "a role that is a path": ({"roles": ["../../a", "b"]}, "damaged metadata: roles.0: "),
    "no JSON": ("{", "damaged metadata: Invalid JSON"),
    "a list": ("[]", "damaged metadata: "),
    "deep": ("[" * 3000 + "]" * 3000, "damaged metadata: Invalid JSON: recursion limit"),
    "deep parameters": (
        json.dumps({**CARD, **with_backbone("baselines.mean")}).replace('"params": {}', '"params": {"a": %s}')
        % ("[" * 150 + "]" * 150),
        "model.backbone.params.a: backbone 'baselines.mean' has no such parameter",
    ),
    "a hub": (with_task(encoder="tu-hf-hub:evil/model"), "model.task.params.encoder: 'tu-hf-hub:evil/model' is not a"),
    "a folder": (with_task(encoder="tu-local-dir:/tmp"), "model.task.params.encoder: "),
    "a file": (
        with_task(options={"checkpoint_path": "/etc/hostname"}),
        "model.task.params.options: 'checkpoint_path' is",
    ),
    "stages": (with_backbone("uaafusion.unfolding", stages=10**9), "stages: must be at most 1000, not 1000000000"),
    "channels": (with_backbone("refusion.network", channels=2**40), "channels: must be at most 4096"),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two pictures, to type in."""
    monkeypatch.chdir(tmp_path)
    for index, name in enumerate(("a.png", "b.png")):
        save(tmp_path / name, levels((20, 24), np.uint8, index))
    return tmp_path


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_says_the_wrong_things_is_refused_before_any_import(
    fusekit: Call, here: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    def imported(self: Registry, kind: str, name: str) -> type:
        raise AssertionError(f"{kind} {name} was imported")

    monkeypatch.setattr(Registry, "component_class", imported)
    metadata, says = BAD[case]
    write(here / "m.safetensors", metadata)
    done = fusekit("fuse", "a.png", "b.png", "-o", "x.png", "-m", "m.safetensors")
    assert done.code == 4, done.err
    assert says in " ".join(done.err.split())
    assert "m.safetensors" in done.err
    assert not (here / "x.png").exists()


def test_options_that_no_architecture_has_are_refused(fusekit: Call, here: Path) -> None:
    write(here / "m.safetensors", with_task(encoder="tu-resnet18", options={"drop_rate": 0.1}))
    done = fusekit("fuse", "a.png", "b.png", "-o", "x.png", "-m", "m.safetensors")
    assert done.code == 4
    assert "m.safetensors describes a model that is not valid: tasks.smp" in " ".join(done.err.split())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("model.task.params.encoder=tu-hf-hub:evil/model", "is not a valid encoder name"),
        ("model.task.params.options={checkpoint_path: /etc/hostname}", "it loads weights"),
        ("model.backbone.params.stages=1000000000", "must be at most 1000"),
    ],
)
def test_a_recipe_with_them_is_refused_by_validate(fusekit: Call, here: Path, change: str, says: str) -> None:
    done = fusekit("validate", "uaafusion_msrs", "-o", change)
    assert done.code == 2
    assert says in " ".join(done.err.split())


# Networks of plugins, which may have no bounds ----------------------------------------------------------------------

LOCAL = '''
"""Backbones whose options have no bounds."""
import torch
from torch import nn
from fusekit.interfaces import ComponentConfig, Field, FusionBackbone, FusionOutput
from fusekit.plugin import component, hookimpl


class Size(ComponentConfig):
    depth: int = Field(1, description="number of layers")
    width: int = Field(3, description="channels of a layer")


class Deep(FusionBackbone):
    """Layers without end, and values that no file holds; others look at values while they are made."""
    Config = Size
    looks = 0

    def __init__(self, config=None, context=None):
        super().__init__(config, context)
        if self.looks:
            self.rates = torch.linspace(0, 1, self.looks).tolist()
        self.layers = nn.ModuleList(nn.Conv2d(1, config.width, 3, padding=1) for _ in range(config.depth))
        self.register_buffer("kernel", torch.linspace(1, 2, 3), persistent=False)
        self.scale = torch.tensor(0.5)

    def forward(self, sources, *, guidance=None):
        mean = torch.stack(sources).mean(dim=0)
        found = sum(layer(mean).mean(dim=1, keepdim=True) for layer in self.layers)
        return FusionOutput(torch.sigmoid(found * self.kernel.sum() * self.scale))


class Looking(Deep):
    looks = 3


class Staring(Deep):
    looks = 70_000


class Idle(Deep):
    """Modules without weights, without end."""
    def __init__(self, config=None, context=None):
        super().__init__(Size(), context)
        self.idle = nn.ModuleList(nn.Identity() for _ in range(config.depth))


@hookimpl
def fusekit_components():
    made = [("deep", "Deep"), ("looking", "Looking"), ("staring", "Staring"), ("idle", "Idle")]
    return [component("backbone", f"local.{n}", target=f"{__name__}:{c}", summary="Deep") for n, c in made]
'''


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "boundless.py"
    file.write_text(LOCAL)
    registry.cache_clear()
    registry().add_local(file)
    yield tmp_path
    registry.cache_clear()


@pytest.mark.parametrize(
    ("use", "params"),
    [
        ("local.deep", {"depth": 10**9}),
        ("local.looking", {"depth": 10**9}),
        ("local.idle", {"depth": 10**9}),
        ("local.deep", {"width": 10**11}),
        ("local.looking", {"width": 10**11}),
        ("local.staring", {"depth": 10**9, "width": 10**4}),
    ],
)
def test_a_network_is_ended_where_it_outgrows_its_file(local: Path, use: str, params: dict[str, int]) -> None:
    resource = pytest.importorskip("resource")
    file = write(local / "m.safetensors", with_backbone(use, **params))
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(DataError, match=r"m\.safetensors does not fit the model"):
        load_system(file)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1.5 * 2**20, "KiB: the byte limit and some"
    assert time.process_time() - start < 20


@pytest.mark.parametrize("use", ["local.deep", "local.looking", "local.staring"])
def test_values_that_no_file_holds_are_there_after_loading(local: Path, use: str) -> None:
    section = model_section({"backbone": {"use": use, "params": {"depth": 2}}})
    system = build_system(section, roles=("a", "b"), classes=None, seed=5).eval()
    save_model(local / "m.safetensors", system)
    loaded, _ = load_system(local / "m.safetensors")
    images = (torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16))
    with torch.no_grad():
        assert torch.equal(loaded(images).image, system(images).image)
    assert all(value.device.type == "cpu" for value in [*loaded.parameters(), *loaded.buffers()])


def test_the_limit_is_of_one_thread_and_ends_with_its_block() -> None:
    with Limit(0, 0) as limit:
        left = limit.entries
        other = threading.Thread(target=lambda: nn.Linear(2, 2))
        other.start()
        other.join()
        assert limit.entries == left
        nn.Linear(2, 2)
        assert limit.entries == left - 2
    nn.Linear(2, 2)
    assert limit.entries == left - 2
    assert not limit.exceeded


# Weights ------------------------------------------------------------------------------------------------------------


def test_pretrained_weights_are_not_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file from a training that began with pretrained weights loads where those are not, and there is no network."""
    monkeypatch.delenv("FUSEKIT_ALLOW_DOWNLOAD", raising=False)
    params = {"architecture": "unet", "encoder": "resnet18", "weights": "imagenet"}
    section = model_section({**CARD["model"], "task": {"use": "tasks.smp", "params": params}})
    system = build_system(section, roles=("a", "b"), classes=class_table(2), pretrained=False)
    save_model(tmp_path / "m.safetensors", system)
    loaded = package.load(tmp_path / "m.safetensors", device="cpu")
    for name, value in system.state_dict().items():
        assert torch.equal(loaded.system.state_dict()[name], value), name


def test_numbers_may_have_another_precision_but_not_another_kind(local: Path) -> None:
    section = model_section({"backbone": {"use": "local.deep"}})
    system = build_system(section, roles=("a", "b"), classes=None)
    file = local / "m.safetensors"
    save_model(file, system)
    state = load_file(file)
    write(file, with_backbone("local.deep"), {name: value.half() for name, value in state.items()})
    loaded, _ = load_system(file)
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32}
    write(file, with_backbone("local.deep"), {name: value.to(torch.int32) for name, value in state.items()})
    with pytest.raises(DataError, match=r"layers\.0\.bias is int32, the model has float32"):
        load_system(file)
