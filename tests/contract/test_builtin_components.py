"""Every built-in component keeps the contract of its kind."""

from __future__ import annotations

from typing import Any

from fusekit.plugin.registry import registry
from tests import contract_kit as kit

STAGE = {"use": "uaafusion.stage", "params": {"channels": 4}}


class TestUnfolding(kit.BackboneContract):
    name = "uaafusion.unfolding"
    params: dict[str, Any] = {"stages": 3, "channels": 4, "stage": STAGE}
    # The memory that the last stage leaves, and the recurrent input of the first, lead nowhere; so in the paper.
    untrained = ("stages.2.memory", "stages.0.memory.of_state")


class TestUnfoldingWithOneSharedStage(kit.BackboneContract):
    name = "uaafusion.unfolding"
    params: dict[str, Any] = {"stages": 3, "channels": 4, "stage": STAGE, "share_stages": True}


TRANSFORMER = {"channels": 4, "heads": 2, "blocks": 1}


class TestFusionNetwork(kit.BackboneContract):
    name = "refusion.network"


class TestFusionNetworkInTheReleasedOrder(kit.BackboneContract):
    name = "refusion.network"
    params: dict[str, Any] = {**TRANSFORMER, "arithmetic": "released"}


class TestLossProposalModule(kit.ProposerContract):
    name = "refusion.proposer"
    params: dict[str, Any] = TRANSFORMER


class TestReconstructionModule(kit.ReconstructionContract):
    name = "refusion.reconstruction"
    params: dict[str, Any] = TRANSFORMER


class TestCopy(kit.BackboneContract):
    name = "baselines.copy"
    params: dict[str, Any] = {"source": "visible"}


class TestMean(kit.BackboneContract):
    name = "baselines.mean"


class TestMaximum(kit.BackboneContract):
    name = "baselines.max"


class TestAttributionProposer(kit.ProposerContract):
    name = "uaafusion.attribution"


class TestEqualProposer(kit.ProposerContract):
    name = "baselines.equal"


class TestBrightestProposer(kit.ProposerContract):
    name = "baselines.brightest"


class TestSmpSegmenter(kit.TaskContract):
    name = "tasks.smp"


class TestSmpUnetOnTimm(kit.TaskContract):
    name = "tasks.smp"
    params: dict[str, Any] = {"architecture": "unet", "encoder": "tu-mobilenetv3_small_050", "channels": 3}


class TestStraightPath(kit.PathwayContract):
    name = "uaafusion.straight_path"


class TestUnfoldingPath(kit.PathwayContract):
    name = "uaafusion.unfolding_path"


def test_no_built_in_of_these_kinds_is_left_out() -> None:
    tested = {
        value.name
        for value in globals().values()
        if isinstance(value, type) and issubclass(value, kit.ComponentContract) and hasattr(value, "name")
    }
    kinds = ("backbone", "loss-proposer", "reconstruction", "task", "pathway")
    assert {spec.name for kind in kinds for spec in registry().specs(kind)} <= tested
