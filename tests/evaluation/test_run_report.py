"""What a run hands to its report: reconstructions, the parts with their weights, and losses of alternating steps."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fusekit.evaluation.grey import grey8
from fusekit.fusing.engine import Engine
from fusekit.fusing.scenes import TensorScene
from fusekit.interfaces import ComponentRef, FusionOutput, Guidance, Sources
from fusekit.model.assembly import Builder
from fusekit.model.system import FusionSystem
from fusekit.pipeline.report_stage import training_curves
from fusekit.pipeline.scene_pictures import scene_pictures
from fusekit.recipe.fuse_options import fuse_options
from fusekit.report.curves import charts
from fusekit.report.data import Picture
from fusekit.training.log import TrainingLog
from fusekit_baselines.rules import Mean
from tests.evaluation.toy import ROLES, Head, sources, toy_run


def mean_system(head: Head | None = None) -> FusionSystem:
    backbone = Builder(ROLES, None).build("backbone", ComponentRef(use="baselines.mean"))
    return FusionSystem(backbone, reconstruction=head, roles=ROLES).eval()


class Halved(Mean):
    """A mean that counts how often it is asked, and leaves its range to be stretched."""

    asked = 0

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> FusionOutput:
        type(self).asked += 1
        return super().forward(sources)


def shown(
    system: FusionSystem, number: int = 0, *, own_range: bool = True, ideal: Tensor | None = None
) -> list[Picture]:
    """Pictures of a scene that the engine has fused and files hold."""
    images = sources(0)
    options = fuse_options(range="clip" if own_range else "stretch")
    fused = Engine(system, options).fuse(TensorScene(images), measure=True)
    assert fused.measured is not None
    kept = grey8(fused.measured)[None] / 255.0
    made = scene_pictures(
        system, images, None, fused=fused.image, measured=kept, own_range=own_range, device="cpu", ideal=ideal
    )
    return list(made)


class TestReconstruction:
    @pytest.mark.parametrize("own_range", [True, False])
    def test_is_made_from_what_the_backbone_gave(self, own_range: bool) -> None:
        images, made = sources(0), shown(mean_system(Head()), own_range=own_range)
        by_title = {picture.title: picture for picture in made}
        assert list(by_title)[:3] == [*ROLES, "fused"]
        assert list(by_title)[-2:] == ["reconstructed infrared", "reconstructed visible"]
        assert {by_title[f"reconstructed {role}"].kind for role in ROLES} == {"reconstruction"}
        fused = torch.stack([images[0][0], images[1][0]]).mean(dim=0).numpy()
        first, second = (by_title[f"reconstructed {role}"].image for role in ROLES)
        assert np.abs(first - fused * 255.0).max() <= 0.51
        assert np.abs(second - fused * 127.5).max() <= 0.51

    @pytest.mark.parametrize(("own_range", "asked"), [(True, 1), (False, 2)])
    def test_the_backbone_is_asked_again_only_for_what_no_file_holds(self, own_range: bool, asked: int) -> None:
        Halved.asked = 0
        proposer = Builder(ROLES, None).build("loss-proposer", ComponentRef(use="baselines.equal"))
        shown(FusionSystem(Halved(), proposer=proposer, reconstruction=Head(), roles=ROLES).eval(), own_range=own_range)
        assert Halved.asked == asked

    def test_follows_ideal_and_weights(self) -> None:
        made = shown(mean_system(Head()), ideal=sources(0)[0])
        kinds = [picture.kind for picture in made]
        assert kinds[:4] == ["photo", "photo", "fused", "ideal"]
        assert kinds == sorted(kinds, key=["photo", "fused", "ideal", "weights", "reconstruction"].index)
        assert np.array_equal(made[3].image, made[0].image)

    def test_is_absent_without_a_head(self) -> None:
        assert "reconstruction" not in [picture.kind for picture in shown(mean_system())]

    def test_a_large_scene_is_shown_reduced(self) -> None:
        large = torch.linspace(0, 1, 1400).expand(1, 1400, 1400)
        made = scene_pictures(
            mean_system(Head()),
            [large, large],
            torch.zeros(1400, 1400, dtype=torch.int64),
            fused=large,
            measured=large,
            own_range=True,
            device="cpu",
        )
        assert {picture.image.shape for picture in made} == {(1024, 1024)}


def test_report_names_parts_with_their_weights_and_shows_reconstructions(tmp_path: Path) -> None:
    parts = {
        "backbone": {"use": "baselines.mean"},
        "proposer": {"use": "baselines.equal"},
        "reconstruction": {"use": "toy.head"},
    }
    page = toy_run(tmp_path, ideals=2, model=parts).folder.report.read_text()
    facts = dict(re.findall(r"<div><dt>(.*?)</dt><dd>(.*?)</dd></div>", page.replace("<wbr>", "")))
    assert facts["Reconstruction head"] == "toy.head, 6 parameters"
    assert facts["Loss proposer"] == "baselines.equal"
    assert facts["Backbone"] == "baselines.mean"
    assert page.count('<figure class="reconstruction">') == 4
    assert "<b>reconstructed visible</b>" in page


class TestAlternatingSteps:
    LOSSES = (("inner", "outer"), ("fusion", "reconstruction"))

    def logged(self, tmp_path: Path, count: int) -> TrainingLog:
        log = TrainingLog(tmp_path / "metrics.jsonl")
        for step in range(1, count + 1):
            names = self.LOSSES[(step - 1) % 2]
            log.append({"phase": "train", "step": step, "losses": dict.fromkeys(names, 1.0 + 1.0 / step)})
        return log

    def test_a_curve_has_the_steps_that_logged_it(self, tmp_path: Path) -> None:
        curves = {curve.name: curve for curve in training_curves(self.logged(tmp_path, 7))}
        assert list(curves) == ["inner", "outer", "fusion", "reconstruction"]
        assert curves["inner"].steps == curves["outer"].steps == (1, 3, 5, 7)
        assert curves["fusion"].steps == curves["reconstruction"].steps == (2, 4, 6)
        assert curves["fusion"].values == (1.0 + 1 / 2, 1.0 + 1 / 4, 1.0 + 1 / 6)

    @pytest.mark.parametrize("count", [7, 200])
    def test_each_is_drawn_over_its_own_steps(self, tmp_path: Path, count: int) -> None:
        (chart,) = charts(training_curves(self.logged(tmp_path, count)))
        assert [entry.name for entry in chart.legend] == ["inner", "outer", "fusion", "reconstruction"]
        assert [entry.gaps for entry in chart.legend] == [0, 0, 0, 0]
        assert "<circle" not in chart.svg  # no point stands alone: what another step logs is no gap
        lines = [
            [float(x) for x in re.findall(r"[ML]([\d.]+) ", path)]
            for path in re.findall(r'<path class="line [^"]*" d="([^"]+)"', chart.svg)
        ]
        assert len(lines) == 4
        axis = np.linspace(min(lines[0]), max(map(max, lines)), count)
        for number, xs in enumerate(lines):
            assert xs == pytest.approx(axis[number // 2 :: 2].tolist(), abs=0.06)


class TestValidationCurves:
    def logged(self, tmp_path: Path) -> TrainingLog:
        log = TrainingLog(tmp_path / "metrics.jsonl")
        for step in range(1, 121):
            log.append({"phase": "train", "step": step, "losses": {"total": 50.0 + step}})
            if step % 40 == 0:
                value = {40: 0.5, 80: 0.7, 120: None}[step]
                validation = {"metric": True, "best": step != 120}
                log.append(
                    {
                        "phase": "train",
                        "step": step,
                        "losses": {"validation strict.qabf": value},
                        "validation": validation,
                    }
                )
        return log

    def test_a_metric_has_its_own_chart_with_the_best_step(self, tmp_path: Path) -> None:
        losses, metric = charts(training_curves(self.logged(tmp_path)))
        assert (losses.phase, metric.phase) == ("train", "train: validation strict.qabf")
        assert [entry.name for entry in losses.legend] == ["total"]
        (entry,) = metric.legend
        assert (entry.first, entry.last, entry.best, entry.gaps) == ("0.5", "0.7", "0.7 at step 80", 1)
        assert "best 0.7 at step 80" in metric.svg
        ring = re.search(r'<circle class="best c0 d0" cx="([\d.]+)" cy="([\d.]+)"', metric.svg)
        line = re.search(r'<path class="line c0 d0" d="M[\d. ]+L([\d.]+) ([\d.]+)"/>', metric.svg)
        assert ring is not None
        assert line is not None
        assert ring.groups() == line.groups()
        assert "best" not in losses.svg

    def test_a_loss_stands_with_the_losses_of_its_phase(self, tmp_path: Path) -> None:
        log = TrainingLog(tmp_path / "metrics.jsonl")
        for step in (1, 2, 3):
            log.append({"phase": "train", "step": step, "losses": {"total": 1.0 / step}})
            validation = {"metric": False, "best": step == 2}
            log.append({"phase": "train", "step": step, "losses": {"validation total": 0.5}, "validation": validation})
        (chart,) = charts(training_curves(log))
        assert [(entry.name, entry.best) for entry in chart.legend] == [
            ("total", ""),
            ("validation total", "0.5 at step 2"),
        ]
        assert chart.svg.count('<circle class="best ') == 1
