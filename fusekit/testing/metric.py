"""Contract of metrics."""

from __future__ import annotations

import math
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor

from fusekit.interfaces.metric import Metric, MetricValue, ReferenceMetric
from fusekit.plugin.imports import one_line
from fusekit.testing.component import ComponentContract
from fusekit.testing.expect import expect, expect_same


class MetricContract(ComponentContract):
    """Checks of a metric, including metrics that compare with the known ideal (`ReferenceMetric`)."""

    kind = "metric"

    def pictures(self, count: int, height: int = 48, width: int = 56, seed: int = 0) -> tuple[Tensor, ...]:
        """Images (height, width) uint8, or (3, height, width) if the metric takes colour, each a ramp with noise."""
        generator = torch.Generator().manual_seed(seed)
        slope = torch.linspace(0, 1, height)[:, None] + torch.linspace(0, 1, width)[None, :]
        channels = (3,) if getattr(self.component(), "colour", False) else ()
        noise = [torch.rand(*channels, height, width, generator=generator) for _ in range(count)]
        return tuple((60 * slope + 90 * grain + 20 * n).to(torch.uint8) for n, grain in enumerate(noise))

    def measure(self, metric: Any, fused: Tensor, sources: tuple[Tensor, ...]) -> MetricValue:
        """The value of the metric, with the first source as the ideal if the metric needs one."""
        if isinstance(metric, ReferenceMetric):
            return metric(fused, sources, sources[0])
        value: MetricValue = metric(fused, sources)
        return value

    def use(self, made: Any) -> None:
        fused, *sources = self.pictures(3)
        self.measure(made, fused, tuple(sources))

    def test_declares_what_it_is(self) -> None:
        """It declares its name, dialect, direction, unit and smallest image size, which are shown with its values."""
        metric = self.component()
        for attribute in ("name", "dialect"):
            text = getattr(metric, attribute, None)
            expect(isinstance(text, str) and bool(text.strip()), f"{attribute}: expected a text, found {text!r}")
        expect(isinstance(metric.colour, bool), f"colour: expected true or false, found {metric.colour!r}")
        better, unit, smallest = metric.higher_is_better, metric.unit, metric.minimum_size
        expect(isinstance(better, bool), f"higher_is_better: expected true or false, found {better!r}")
        expect(isinstance(unit, str), f"unit: expected a text, found {unit!r}")
        expect(isinstance(smallest, int) and smallest >= 1, f"minimum_size: expected pixels from 1, found {smallest!r}")

    def test_value_is_a_number(self) -> None:
        """For images with structure the value is finite with two and three sources; with a single one it may be NaN."""
        metric = self.make()
        for count in (1, 2, 3):
            fused, *sources = self.pictures(count + 1)
            found = self.measure(metric, fused, tuple(sources))
            what = f"value for {count} sources"
            expect(type(found.value) is float, f"{what}: expected a float, found {type(found.value).__name__}")
            undefined = count == 1 and math.isnan(found.value)
            expect(undefined or math.isfinite(found.value), f"{what}: expected a finite number, found {found.value}")
            several = len(found.per_source)
            expect(several in (0, count), f"per_source for {count} sources: expected {count} or none, found {several}")

    def test_extremes_are_numbers_or_undefined(self) -> None:
        """For equal and constant images the value is finite or NaN; an infinite value would dominate the mean."""
        metric = self.make()
        picture = self.pictures(1)[0]
        flat = torch.full_like(picture, 7)
        for what, fused, source in (
            ("equal images", picture, picture.clone()),
            ("a constant fused image", flat, picture),
            ("constant images", flat, flat.clone()),
        ):
            value = self.measure(metric, fused, (source, source.clone())).value
            expect(not math.isinf(value), f"value for {what}: expected a number or NaN, found {value}")

    def test_value_does_not_depend_on_earlier_calls(self) -> None:
        """It keeps no state, so that the order of the scenes does not matter."""
        metric = self.make()
        first, second = self.pictures(3), self.pictures(3, seed=1)
        before = self.measure(metric, first[0], first[1:])
        self.measure(metric, second[0], second[1:])
        after = self.measure(metric, first[0], first[1:])
        expect(after == before, f"the same images measured again: expected {before}, found {after}")

    def test_images_are_not_changed(self) -> None:
        """It does not change the images, which other metrics use after it."""
        pictures = self.pictures(3)
        before = [picture.clone() for picture in pictures]
        self.measure(self.make(), pictures[0], pictures[1:])
        for what, picture, was in zip(("fused", "source 0", "source 1"), pictures, before, strict=True):
            expect_same(f"{what} after measuring", picture, was)

    def test_works_at_its_smallest_size(self) -> None:
        """An image of its declared smallest size has a value; a smaller image has NaN."""
        metric = self.make()
        side = metric.minimum_size
        fused, *sources = self.pictures(3, side, side)
        try:
            value = self.measure(metric, fused, tuple(sources)).value
        except Exception as error:
            raise AssertionError(f"images of {side}x{side}: expected a value, found {one_line(error)}") from error
        expect(not math.isinf(value), f"value for images of {side}x{side}: expected a number or NaN, found {value}")
        if side > 1:
            fused, *sources = self.pictures(3, side - 1, side + 8)
            value = self.measure(metric, fused, tuple(sources)).value
            expect(math.isnan(value), f"value for images of {side - 1}x{side + 8}: expected NaN, found {value}")

    def test_wrong_images_are_refused(self) -> None:
        """Images of another type or size are refused, because their values would not be comparable."""
        metric = self.make()
        fused, source = self.pictures(2)
        for what, wrong, sources in (
            ("float images", fused.float(), (source.float(),)),
            ("a source of another size", fused, (source[..., 1:, :],)),
            ("no source", fused, ()),
        ):
            try:
                found = metric(wrong, sources)
            except ValueError:
                continue
            raise AssertionError(f"{what}: expected a ValueError, found the value {found.value}")

    def test_map_is_of_the_image(self) -> None:
        """Its map per pixel, if it has one, has the size of the image and values in [0, 1]."""
        metric = self.make()
        fused, *sources = self.pictures(3)
        found = metric.map(fused, sources)
        if found is None:
            raise SkipTest("it has no map")
        expect(found.shape == fused.shape[-2:], f"map: expected {tuple(fused.shape[-2:])}, found {tuple(found.shape)}")
        inside = bool(torch.isfinite(found).all()) and 0.0 <= float(found.min()) <= float(found.max()) <= 1.0
        expect(inside, "map: expected values in [0, 1]")

    def test_direction_is_the_declared_one(self) -> None:
        """With a known ideal, the ideal itself scores better than a degraded copy."""
        metric = self.make()
        if not isinstance(metric, ReferenceMetric):
            raise SkipTest("without a known ideal it is not defined which image is better")
        ideal, noise = self.pictures(2)
        worse = (ideal // 2 + noise // 2).to(torch.uint8)
        best, other = (metric(image, (noise,), ideal).value for image in (ideal, worse))
        better = best > other if metric.higher_is_better else best < other
        direction = "higher" if metric.higher_is_better else "lower"
        expect(better, f"the ideal itself: expected a {direction} value than {other}, found {best}")

    def test_undefined_without_the_ideal(self) -> None:
        """If it needs an ideal and none is known, the value is NaN."""
        metric = self.make()
        if not isinstance(metric, ReferenceMetric):
            raise SkipTest("it needs no ideal")
        fused, *sources = self.pictures(3)
        value = metric(fused, sources).value
        expect(isinstance(metric, Metric) and math.isnan(value), f"value without an ideal: expected NaN, found {value}")
