"""Contract of transforms."""

from __future__ import annotations

from typing import Any
from unittest import SkipTest

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fusekit.errors import UsageError
from fusekit.interfaces.config import SEVERITIES, Severity, TransformConfig
from fusekit.interfaces.dataset import Sample
from fusekit.plugin.imports import one_line
from fusekit.testing.component import ComponentContract
from fusekit.testing.expect import expect, expect_image, expect_same, expect_shape
from fusekit.testing.samples import SIZES, labels


class TransformContract(ComponentContract):
    """Checks of a transform, on scenes with structure of several sizes."""

    kind = "transform"

    def scene(self, height: int = 64, width: int = 64, channels: int = 3, seed: int = 0) -> Sample:
        """A scene with a label map and an ideal; all of its images have coarse and fine structure."""
        images = [
            _structure(channels if index % 2 else 1, height, width, 100 * seed + index)
            for index in range(len(self.roles) + 1)
        ]
        return Sample("scene", tuple(images[:-1]), labels(4, 1, height, width)[0], images[-1])

    def degraded(self, transform: Any, scene: Sample, severity: Severity = "medium", seed: int = 0) -> Sample:
        """A degraded scene; skips if the number of sources is another, which another check reports."""
        found: Sample = transform(scene, severity, np.random.default_rng(seed))
        if len(found.images) != len(scene.images):
            raise SkipTest("it returns another number of sources")
        return found

    def only(self, *roles: str) -> Any:
        """The component built with the given roles as its option `roles`."""
        other = type(self)()
        vars(other)["params"] = {**self.params, "roles": list(roles)}
        return other.make(roles=self.roles)

    def use(self, made: Any) -> None:
        made(self.scene(), "medium", np.random.default_rng(0))

    def test_options_are_those_of_a_transform(self) -> None:
        """Its Config is a TransformConfig, which has the roles that it changes."""
        found = self.config_class()
        expect(issubclass(found, TransformConfig), f"Config: expected a TransformConfig, found {found.__name__}")

    def test_declares_whether_it_moves_content(self) -> None:
        """It declares whether it moves image content, so that scores against labels and ideals can be omitted."""
        found = self.component().moves_content
        expect(isinstance(found, bool), f"moves_content: expected true or false, found {found!r}")

    def test_images_are_valid(self) -> None:
        """In every severity it returns images in [0, 1] of the same size, for grey and colour images of any size."""
        transform = self.make()
        for severity in SEVERITIES:
            for height, width in SIZES:
                for channels in (1, 3):
                    scene = self.scene(height, width, channels)
                    found = transform(scene, severity, np.random.default_rng(0))
                    count = len(scene.images)
                    expect(len(found.images) == count, f"expected {count} sources, found {len(found.images)}")
                    for role, image, was in zip(self.roles, found.images, scene.images, strict=True):
                        expect_shape(f"{severity}, {role}", image, was.shape)
                        expect_image(f"{severity}, {role}", image)

    def test_extremes_are_valid(self) -> None:
        """Black and white sources give images in [0, 1] too."""
        transform = self.make()
        scene = self.scene()
        for level in (0.0, 1.0):
            flat = Sample("flat", tuple(torch.full_like(image, level) for image in scene.images))
            for role, image in zip(self.roles, self.degraded(transform, flat, "heavy").images, strict=True):
                expect_image(f"{role} of {level:g}", image)

    def test_severities_increase(self) -> None:
        """A heavier severity is further from the original, as root mean square difference over the changed sources."""
        transform = self.make()
        distances = []
        for severity in SEVERITIES:
            scenes = [self.scene(seed=seed) for seed in range(3)]
            found = [self.degraded(transform, scene, severity, seed) for seed, scene in enumerate(scenes)]
            distances.append(sum(_distance(one, other) for one, other in zip(found, scenes, strict=True)) / 3)
        shown = ", ".join(f"{s} {d:.4g}" for s, d in zip(SEVERITIES, distances, strict=True))
        expect(0 < distances[0] < distances[1] < distances[2], f"expected increasing distances from 0, found {shown}")

    def test_seed_determines_the_result(self) -> None:
        """The same seed gives the same result bit for bit, in a second call and a second build."""
        transform = self.make()
        first = self.degraded(transform, self.scene())
        self.degraded(transform, self.scene(40, 72, seed=1), "heavy", 1)
        for what, other in (("a second call", transform), ("a second build", self.make())):
            again = self.degraded(other, self.scene())
            for role, image, was in zip(self.roles, again.images, first.images, strict=True):
                expect_same(f"{role} of {what}", image, was)

    def test_inputs_are_not_changed(self) -> None:
        """It does not modify the sources, which other transforms and methods use after it."""
        scene = self.scene()
        before = [image.clone() for image in scene.images]
        self.degraded(self.make(), scene, "heavy")
        for role, image, was in zip(self.roles, scene.images, before, strict=True):
            expect_same(f"{role} after the call", image, was)

    def test_only_its_roles_are_changed(self) -> None:
        """With one role in the option `roles`, the sources of other roles remain as they are."""
        scene = self.scene()
        for chosen in self.roles:
            found = self.degraded(self.only(chosen), scene, "heavy")
            for role, image, was in zip(self.roles, found.images, scene.images, strict=True):
                if role != chosen:
                    expect_same(f"{role}, with the roles [{chosen}]", image, was)

    def test_unknown_roles_are_refused(self) -> None:
        """A role that the scenes do not have is refused with an error message, so that a typing mistake is noticed."""
        if not issubclass(self.config_class(), TransformConfig):
            raise SkipTest("its Config has no option `roles`")
        try:
            self.only("no-such-role")
        except UsageError:
            return
        raise AssertionError("roles [no-such-role]: expected a UsageError, found that it can be built")

    def test_the_rest_of_the_scene_is_kept(self) -> None:
        """Identifier, label map and ideal remain: a result is compared with the undegraded truth."""
        scene = self.scene()
        try:
            found = self.degraded(self.make(), scene)
        except (TypeError, ValueError) as error:
            raise SkipTest(f"it cannot be used: {one_line(error)}") from error
        expect(found.id == scene.id, f"identifier: expected {scene.id!r}, found {found.id!r}")
        for what, kept, was in (("label map", found.label, scene.label), ("ideal", found.ideal, scene.ideal)):
            expect(isinstance(kept, Tensor), f"{what}: expected the one of the scene, found {kept!r}")
            assert kept is not None
            assert was is not None
            expect_same(what, kept, was)


def _structure(channels: int, height: int, width: int, seed: int) -> Tensor:
    """An image of random values at three scales, (channels, height, width) in [0.1, 0.9]."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(channels, height, width)
    for scale in (1, 4, 16):
        coarse = torch.rand(1, channels, -(-height // scale) + 1, -(-width // scale) + 1, generator=generator)
        total += F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)[0]
    low, high = total.min(), total.max()
    return 0.1 + 0.8 * (total - low) / (high - low)


def _distance(one: Sample, other: Sample) -> float:
    """Root mean square difference over all sources of two scenes."""
    squares = [(a - b).square().mean() for a, b in zip(one.images, other.images, strict=True)]
    return float(torch.stack(squares).mean().sqrt())
