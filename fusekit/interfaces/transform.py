"""The transform: a degradation of the sources of a scene, in three named severities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import ClassVar

import numpy as np
from torch import Tensor

from fusekit import seeds
from fusekit.interfaces.component import Component
from fusekit.interfaces.config import Severity, TransformConfig
from fusekit.interfaces.context import BuildContext
from fusekit.interfaces.dataset import Sample


class Transform(Component, ABC):
    """Degrades sources as a sensor, a lens or the weather does. Stateless: the same seed gives the same result.

    The numbers of each severity are options (`fusekit.interfaces.config.PerSeverity`). The generator determines a
    random pattern, and the severity its strength: an implementation draws the same numbers for every severity, so that
    severities of the same scene can be compared.

    Attributes:
        moves_content: Whether it moves image content, as a shift does. The label map, the ideal and the other sources
            then still fit the original geometry, but not the changed source.
        roles: Roles of the sources that it changes.

    Args:
        config: Its options.
        context: What the wiring knows; its roles are those of the scenes.

    Raises:
        UsageError: The options name a role that the scenes do not have, or it suits none of their roles.
    """

    Config: ClassVar[type[TransformConfig]] = TransformConfig
    config: TransformConfig
    moves_content: ClassVar[bool] = False

    def __init__(self, config: TransformConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        self.roles = self.config.changed_roles(self.context.roles)

    @abstractmethod
    def change(self, source: Tensor, role: str, severity: Severity, random: np.random.Generator) -> Tensor:
        """Degrades one source.

        Args:
            source: (1 or 3, H, W) float32 in [0, 1]; must not be modified.
            role: Its role.
            severity: Severity of the degradation.
            random: Generator for this source.

        Returns:
            An image of the same shape, float32 in [0, 1].
        """

    def __call__(self, sample: Sample, severity: Severity, random: np.random.Generator) -> Sample:
        """Degrades the sources of one scene.

        Args:
            sample: The scene: registered sources in the order of `context.roles`, each (1 or 3, H, W) float32 in
                [0, 1].
            severity: Severity of the degradation.
            random: Seeded generator. Each source gets a generator derived from it, which does not depend on the
                roles that are changed.

        Returns:
            The scene with degraded sources; sources of other roles, identifier, label map and ideal are the same.
        """
        parts = zip(sample.images, self.context.roles, random.spawn(len(sample.images)), strict=True)
        changed = (self.change(s, role, severity, own) if role in self.roles else s for s, role, own in parts)
        return replace(sample, images=tuple(changed))


def degrade(sample: Sample, transform: Transform, severity: Severity, *, name: str, seed: int) -> Sample:
    """A scene degraded for an evaluation: every method gets the same one.

    The random generator depends on the seed, the name and the identifier of the scene. It does not depend on the
    severity, so that the severities of a scene have the same random pattern.

    Args:
        sample: The scene.
        transform: The degradation, built for the roles of the scene.
        severity: Severity of the degradation.
        name: Name of the transform component, such as ``"degradations.noise"``.
        seed: Root seed of the evaluation.
    """
    return transform(sample, severity, seeds.stream(seed, "degrade", name, sample.id))
