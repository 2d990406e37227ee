"""Every built-in component keeps the contract of its kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from torch import Tensor

import fusekit.testing as kit
from fusekit.interfaces import Sample
from fusekit.interfaces.kinds import KINDS
from fusekit.plugin.loader import PluginPolicy, load_plugins
from fusekit_refusion.network import FusionNetwork
from tests.cli.test_cli_weights import released as released_by_uaafusion
from tests.data.files import levels, save
from tests.refusion.test_released_weights import released

pytestmark = pytest.mark.slow

STAGE = {"use": "uaafusion.stage", "params": {"channels": 4}}
TRANSFORMER = {"channels": 4, "heads": 2, "blocks": 1, "expansion": 1}


class TestUnfolding(kit.BackboneContract):
    name = "uaafusion.unfolding"
    params = {"stages": 3, "channels": 4, "stage": STAGE}
    # The memory that the last stage leaves, and the recurrent input of the first, lead nowhere; so in the paper.
    untrained = ("stages.2.memory", "stages.0.memory.of_state")


class TestUnfoldingWithOneSharedStage(kit.BackboneContract):
    name = "uaafusion.unfolding"
    params = {"stages": 3, "channels": 4, "stage": STAGE, "share_stages": True}


class TestFusionNetwork(kit.BackboneContract):
    name = "refusion.network"
    params = TRANSFORMER


class TestFusionNetworkInTheReleasedOrder(kit.BackboneContract):
    name = "refusion.network"
    params = {**TRANSFORMER, "arithmetic": "released"}


class TestCopy(kit.BackboneContract):
    name = "baselines.copy"


class TestMean(kit.BackboneContract):
    name = "baselines.mean"


class TestMaximum(kit.BackboneContract):
    name = "baselines.max"


class TestLaplacianPyramid(kit.BackboneContract):
    name = "baselines.laplacian"


class TestLossProposalModule(kit.LossProposerContract):
    name = "refusion.proposer"
    params = TRANSFORMER


class TestAttributionProposer(kit.LossProposerContract):
    name = "uaafusion.attribution"


class TestEqualProposer(kit.LossProposerContract):
    name = "baselines.equal"


class TestBrightestProposer(kit.LossProposerContract):
    name = "baselines.brightest"


class TestSharpestProposer(kit.LossProposerContract):
    name = "baselines.sharpest"


class TestWellExposedProposer(kit.LossProposerContract):
    name = "baselines.well_exposed"


class TestReconstructionModule(kit.ReconstructionContract):
    name = "refusion.reconstruction"
    params = TRANSFORMER


class TestSmpSegmenter(kit.TaskContract):
    name = "tasks.smp"


class TestSmpUnetOnTimm(kit.TaskContract):
    name = "tasks.smp"
    params = {"architecture": "unet", "encoder": "tu-mobilenetv3_small_050", "channels": 3}


class TestCenterNet(kit.TaskContract):
    name = "tasks.centernet"
    params = {"encoder": "mobilenetv3_small_050", "width": 8, "channels": 3}


class TestAttributionStage(kit.StageContract):
    name = "uaafusion.stage"
    params = {"channels": 4}


class TestAttributionGuidance(kit.GuidanceContract):
    name = "uaafusion.attribution_guidance"
    params = {"pathway": {"use": "uaafusion.straight_path", "params": {"steps": 2}}}


class TestAttributionGuidanceOfABatch(kit.GuidanceContract):
    name = "uaafusion.attribution_guidance"
    params = {"scope": "batch"}
    known_gaps = {"test_images_of_a_batch_are_independent": "the scope of the release is the whole batch"}


class TestStraightPath(kit.PathwayContract):
    name = "uaafusion.straight_path"


class TestUnfoldingPath(kit.PathwayContract):
    name = "uaafusion.unfolding_path"


class TestJointTraining(kit.StrategyContract):
    name = "uaafusion.joint"
    model = {"proposer": {"use": "uaafusion.attribution"}, "guidance": {"use": "uaafusion.attribution_guidance"}}


class TestJointTrainingWithALearnedProposer(kit.StrategyContract):
    name = "uaafusion.joint"


class TestSupervisedTask(kit.StrategyContract):
    name = "tasks.supervised"
    params = {"inputs": ["sources", "mean", "mixture"]}


class TestMetaLearning(kit.StrategyContract):
    name = "refusion.meta"


class TestMetaLearningByTheTask(kit.StrategyContract):
    name = "refusion.meta"
    params = {"objective": {"use": "refusion.task"}, "outer_rule": "normalised", "evaluator_batches": "own"}


class TestFixedLoss(kit.StrategyContract):
    name = "baselines.fixed"
    params = {"loss": [{"use": "losses.intensity"}, {"use": "losses.ssim", "params": {"weight": 0.5}}]}


class TestFixedLossWithAFixedProposer(kit.StrategyContract):
    name = "baselines.fixed"
    model = {"proposer": {"use": "baselines.equal"}}


class TestSourcesObjective(kit.ObjectiveContract):
    name = "refusion.sources"


class TestTaskObjective(kit.ObjectiveContract):
    name = "refusion.task"


class TestProposedIntensity(kit.LossTermContract):
    name = "losses.intensity"


class TestProposedIntensityByAbsoluteDifference(kit.LossTermContract):
    name = "losses.intensity"
    params = {"norm": "l1"}


class TestBrightestIntensity(kit.LossTermContract):
    name = "losses.brightest"


class TestStrongestGradient(kit.LossTermContract):
    name = "losses.gradient"


class TestStrongestSignedGradient(kit.LossTermContract):
    name = "losses.gradient"
    params = {"form": "signed", "norm": "l2", "gain": 1.05}


class TestEdgeTransfer(kit.LossTermContract):
    name = "losses.edges"


class TestDissimilarity(kit.LossTermContract):
    name = "losses.ssim"


class TestLostInformation(kit.LossTermContract):
    name = "losses.vif"


class TestLostDifferences(kit.LossTermContract):
    name = "losses.scd"


class TestImporterOfUaaFusion(kit.ImporterContract):
    name = "uaafusion.release"

    def released(self) -> dict[str, Tensor]:
        return released_by_uaafusion()


class TestScalarsOfTensorBoard(kit.ObserverContract):
    name = "tensorboard.scalars"


class TestImporterOfReFusion(kit.ImporterContract):
    name = "refusion.release"

    def released(self) -> dict[str, Tensor]:
        return released(FusionNetwork())


def write_scenes(folder: Path, infrared: str, visible: str, labels: str) -> None:
    """Three scenes in each split: an 8-bit and a 16-bit source, and a label map with unlabelled pixels."""
    for split in ("train", "test"):
        for number in range(3):
            seed = number + (10 if split == "test" else 0)
            save(folder / split / infrared / f"{number}.png", levels((24, 20), np.uint16, seed))
            save(folder / split / visible / f"{number}.png", levels((24, 20, 3), np.uint8, seed))
            classes = levels((24, 20), np.uint8, seed) % 3
            classes[0] = 255
            save(folder / split / labels / f"{number}.png", classes)


class TestMsrs(kit.DatasetContract):
    name = "data.msrs"

    def write_files(self, folder: Path) -> None:
        write_scenes(folder, "ir", "vi", "Segmentation_labels")


class TestPairs(kit.DatasetContract):
    name = "data.pairs"
    params = {"labels": "{split}/classes", "class_names": ["sky", "road", "car"]}

    def write_files(self, folder: Path) -> None:
        write_scenes(folder, "ir", "vi", "classes")


class TestCollection(kit.DatasetContract):
    name = "data.collection"
    params = {
        "members": [
            {"folder": folder, "labels": "{split}/classes", "class_names": ["sky", "road", "car"]}
            for folder in ("first", "second")
        ]
    }

    def write_files(self, folder: Path) -> None:
        for member in ("first", "second"):
            write_scenes(folder / member, "ir", "vi", "classes")


class RenderedOnce(kit.DatasetContract):
    """Checks that only look at scenes share those that were read first; rendering takes longer than the checks."""

    _read: ClassVar[dict[type, list[tuple[str, Sample]]]] = {}

    def read(self) -> Iterator[tuple[str, Sample]]:
        if type(self) not in self._read:
            self._read[type(self)] = list(super().read())
        yield from self._read[type(self)]

    def use(self, made: Any) -> None:
        for _ in super().read():  # what reading does to the process, only reading shows
            pass


class TestSynthetic(RenderedOnce):
    name = "scenes.streets"
    params = {"train": 2, "val": 2, "test": 2, "height": 32, "width": 40}
    samples = 1


class TestSyntheticPairs(RenderedOnce):
    name = "scenes.ideal_pairs"
    params = {"train": 2, "val": 2, "test": 2, "height": 32, "width": 32}
    samples = 1


class TestSyntheticScans(RenderedOnce):
    name = "scenes.ideal_pairs"
    params = {"task": "medical", "train": 2, "val": 2, "test": 2, "height": 32, "width": 32}
    samples = 1


class TestEntropy(kit.MetricContract):
    name = "strict.en"


class TestStandardDeviation(kit.MetricContract):
    name = "strict.sd"


class TestSpatialFrequency(kit.MetricContract):
    name = "strict.sf"


class TestAverageGradient(kit.MetricContract):
    name = "strict.ag"


class TestMutualInformation(kit.MetricContract):
    name = "strict.mi"


class TestCorrelation(kit.MetricContract):
    name = "strict.cc"


class TestCorrelationsOfDifferences(kit.MetricContract):
    name = "strict.scd"


class TestInformationFidelity(kit.MetricContract):
    name = "strict.vif"


class TestColourDifference(kit.MetricContract):
    name = "strict.ciede2000"


class TestChromaDifference(kit.MetricContract):
    name = "strict.chroma"


class TestEdgesKept(kit.MetricContract):
    name = "strict.qabf"


class TestSimilarity(kit.MetricContract):
    name = "strict.ssim"


class TestIdealSignalToNoise(kit.MetricContract):
    name = "ideal.psnr"


class TestIdealSimilarity(kit.MetricContract):
    name = "ideal.ssim"


class TestMultiScaleSimilarity(kit.MetricContract):
    name = "strict.ms-ssim"

    def pictures(self, count: int, height: int = 176, width: int = 180, seed: int = 0) -> tuple[Tensor, ...]:
        return super().pictures(count, height, width, seed)


DIALECTS = {
    "strict": "ei nmi ce mse psnr mef-ssim viff nabf fmi-pixel fmi-gradient qcb qcv qy",
    "cddfuse": "en sd sf ag mi mse cc psnr scd vif qabf ssim",
    "tang": "en sd sf ag mi mse psnr cc scd vif qabf ssim mef-ssim nabf",
    "tang-2022": "en sd sf ag mi mse psnr cc scd vif qabf",
    "vifb": "en sd sf ag ei mi ce rmse psnr qabf ssim qcb qcv",
    "tdfusion": "en sf scd vif qabf ssim",
    "zoo": "en sd sf ag mi mse psnr cc scd vif qabf nabf",
}

# The metrics of a dialect have the same contract, so their classes are made from their names.
for _dialect, _names in DIALECTS.items():
    for _metric in _names.split():
        _class = f"Test{_dialect.title().replace('-', '')}{_metric.title().replace('-', '')}"
        globals()[_class] = type(
            _class, (kit.MetricContract,), {"name": f"{_dialect}.{_metric}", "__module__": __name__}
        )

DEGRADATIONS = "noise stripes blur motion_blur haze rain low_light over_exposure contrast shift lost_source"

for _transform in DEGRADATIONS.split():
    _class = f"TestDegradation{_transform.title().replace('_', '')}"
    globals()[_class] = type(
        _class, (kit.TransformContract,), {"name": f"degradations.{_transform}", "__module__": __name__}
    )


def contracts() -> list[type[Any]]:
    return [
        value
        for value in globals().values()
        if isinstance(value, type) and issubclass(value, kit.ComponentContract) and hasattr(value, "name")
    ]


def test_no_built_in_is_left_out() -> None:
    reports = load_plugins(PluginPolicy(third_party=False))
    built_in = {(spec.kind, spec.name) for report in reports for spec in report.components}
    assert {(contract.kind, contract.name) for contract in contracts()} == built_in
    assert {kind for kind, _ in built_in} == set(KINDS)
