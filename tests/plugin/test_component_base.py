"""The constructor that components share."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from fusekit.interfaces import BuildContext, ComponentConfig, Field, FusionBackbone, FusionOutput, Observer, Pathway
from fusekit.interfaces.config import ComponentRef
from fusekit.model.assembly import Builder


class Sized(ComponentConfig):
    width: int = Field(3, description="channels")


class Addressed(ComponentConfig):
    url: str = Field(description="where to")


class Network(FusionBackbone):
    Config = Sized
    config: Sized

    def __init__(self, config: Sized | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        self.layer = nn.Conv2d(1, self.config.width, 1)

    def forward(self, sources, *, guidance=None):
        return FusionOutput(sources[0])


class OldNetwork(FusionBackbone):
    """Written before the base kept anything: passes nothing on, and sets what it likes."""

    Config = Addressed

    def __init__(self, config=None, context=None):
        super().__init__()
        self.url = config.url
        self.config = {"of": "its own"}
        self.layer = nn.Conv2d(1, len(context.roles), 1)

    forward = Network.forward


class OldPathway(Pathway):
    Config = Addressed

    def __init__(self, config=None, context=None):
        self.url = config.url  # no call of the base

    def path(self, sources, index): ...


def test_config_and_context_are_kept() -> None:
    context = BuildContext(roles=("infrared", "visible"))
    network = Network(Sized(width=5), context)
    assert network.config == Sized(width=5)
    assert network.context is context
    assert network.layer.weight.shape == (5, 1, 1, 1)


def test_without_them_the_defaults_hold() -> None:
    network = Network()
    assert (network.config, network.context) == (Sized(), BuildContext())
    assert network.config is network.config
    assert Observer().config == ComponentConfig()


def test_constructors_of_the_old_style_work() -> None:
    network = OldNetwork(Addressed(url="here"), BuildContext())
    assert (network.url, network.config) == ("here", {"of": "its own"})
    assert len(list(network.parameters())) == 2
    assert OldPathway(Addressed(url="here")).url == "here"


def test_required_options_are_missed_when_they_are_read() -> None:
    class Logger(Observer):
        Config = Addressed

    with pytest.raises(ValidationError, match="url"):
        print(Logger().config)


def test_copies_and_pickles_leave_the_builder_behind() -> None:
    network = Network(Sized(), Builder(("a", "b", "c"), None).context)
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert twin.context == network.context
        assert twin.config == network.config
        assert torch.equal(twin.layer.weight, network.layer.weight)
        with pytest.raises(RuntimeError, match="cannot build"):
            twin.context.build("stage", ComponentRef(use="uaafusion.stage"))
