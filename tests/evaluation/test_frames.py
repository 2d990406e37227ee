"""Metrics of video: known answers with a known flow, and OpenCV's flow on a moving scene."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from torch import Tensor

from fusekit.errors import UsageError
from fusekit.evaluation.frames import (
    CHANGE_AGREEMENT,
    WARP_ERROR,
    change_agreement,
    dis_flow,
    flow_warp_error,
    score_frames,
)
from tests.metrics.test_metrics import scene

WIDE = scene(1, 48, 80)
BEFORE, AFTER = WIDE[:, 3:67], WIDE[:, :64]  # everything moves 3 pixels to the right


def to_the_right(pixels: float) -> Tensor:
    return torch.tensor([pixels, 0.0], dtype=torch.float64)[:, None, None].expand(2, 48, 64)


def known_flow(first: Tensor, second: Tensor) -> Tensor:
    if torch.equal(first, second):
        return to_the_right(0.0)
    return to_the_right(3.0 if torch.equal(first, BEFORE) else -3.0)


class TestFlowWarpError:
    def test_a_video_that_moves_with_its_source_has_none(self) -> None:
        assert flow_warp_error(BEFORE, AFTER, BEFORE, AFTER, known_flow) == pytest.approx(0.0, abs=1e-20)

    def test_flicker_is_its_squared_size(self) -> None:
        low, high = (torch.full((48, 64), level, dtype=torch.uint8) for level in (100, 151))
        assert flow_warp_error(low, high, BEFORE, AFTER, known_flow) == pytest.approx((51 / 255) ** 2)

    def test_occluded_pixels_are_not_counted(self) -> None:
        # The way back of the right half does not lead to where it came from, so only the left half counts.
        def flow(first: Tensor, second: Tensor) -> Tensor:
            back = torch.zeros(2, 48, 64, dtype=torch.float64)
            back[0, :, 32:] = 0.0 if torch.equal(first, BEFORE) else 9.0
            return back

        after = BEFORE.clone()
        after[:, 32:] = 255 - after[:, 32:]
        assert flow_warp_error(BEFORE, after, BEFORE, AFTER, flow) == pytest.approx(0.0, abs=1e-20)

    def test_nothing_is_left(self) -> None:
        assert math.isnan(flow_warp_error(BEFORE, AFTER, BEFORE, AFTER, lambda a, b: to_the_right(99.0)))

    def test_flow_of_opencv(self) -> None:
        pytest.importorskip("cv2")
        flow = dis_flow(BEFORE, AFTER)
        assert flow[:, 8:-8, 8:-8].flatten(1).median(dim=1).values.tolist() == pytest.approx([3.0, 0.0], abs=0.3)
        still = flow_warp_error(BEFORE, BEFORE, BEFORE, AFTER, dis_flow)  # the fused video does not move
        assert flow_warp_error(BEFORE, AFTER, BEFORE, AFTER, dis_flow) < still / 4

    def test_opencv_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "cv2", None)
        with pytest.raises(UsageError, match="OpenCV") as caught:
            dis_flow(BEFORE, AFTER)
        assert "image-fusekit[align]" in str(caught.value.hint)


class TestChangeAgreement:
    def test_of_the_sources_is_one(self) -> None:
        changed = BEFORE.clone()
        changed[10:20, 10:20] //= 2
        assert change_agreement(BEFORE, changed, [BEFORE, AFTER], [changed, AFTER]) == pytest.approx(1.0)

    def test_elsewhere_is_negative(self) -> None:
        first, second = BEFORE.clone(), BEFORE.clone()
        first[:24] ^= 31
        second[24:] ^= 31
        assert change_agreement(BEFORE, first, [BEFORE], [second]) < -0.5

    def test_nothing_changes(self) -> None:
        assert math.isnan(change_agreement(BEFORE, BEFORE, [AFTER], [AFTER]))


class TestScoreFrames:
    def test_one_value_per_transition(self) -> None:
        still = torch.zeros(48, 64, dtype=torch.uint8)
        frames = [(image, [image, still]) for image in (BEFORE, AFTER, BEFORE)]
        found = list(score_frames(iter(frames), known_flow))
        assert len(found) == 2
        for values in found:
            error = values[WARP_ERROR]
            assert error.per_source[0] == pytest.approx(0.0, abs=1e-20)
            # The second source does not move, so the motion of the fused video is an error with respect to it.
            expected = float(((BEFORE.double() - AFTER.double()) / 255).square().mean())
            assert error.per_source[1] == pytest.approx(expected)
            assert error.value == pytest.approx(expected / 2)
            assert values[CHANGE_AGREEMENT].value == pytest.approx(1.0)

    def test_sizes_differ(self) -> None:
        with pytest.raises(ValueError, match="size"):
            list(score_frames([(BEFORE, [BEFORE]), (WIDE, [WIDE])], known_flow))
