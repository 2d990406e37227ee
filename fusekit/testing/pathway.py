"""Contract of pathways."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fusekit.testing.component import ComponentContract
from fusekit.testing.expect import expect, expect_finite, expect_same, expect_shape
from fusekit.testing.samples import images


class PathwayContract(ComponentContract):
    """Checks of a pathway."""

    kind = "pathway"

    def sources(self) -> tuple[Tensor, ...]:
        """The sources that it returns paths for."""
        return images(len(self.roles), 2, 16, 20)

    def use(self, made: Any) -> None:
        made.paths(self.sources())

    def test_there_is_a_path_for_every_source(self) -> None:
        """There is one path per source, for any number of sources."""
        for count in (1, 2, 3):
            found = self.make(roles=tuple("abc"[:count])).paths(images(count, 2, 16, 20))
            expect(len(found) == count, f"{count} sources: expected {count} paths, found {len(found)}")

    def test_points_and_increments_match(self) -> None:
        """Every point of a path has the shape of the sources, and there is one increment per point."""
        sources = self.sources()
        for index, path in enumerate(self.make().paths(sources)):
            count = len(path.points)
            expect(count >= 1, f"points of path {index}: expected at least one, found none")
            expect_shape(f"points of path {index}", path.points, (count, *sources[0].shape))
            expect_shape(f"increments of path {index}", path.increments, (count, *sources[0].shape))
            expect_finite(f"points of path {index}", path.points)
            expect_finite(f"increments of path {index}", path.increments)

    def test_path_ends_at_the_source(self) -> None:
        """The last point of a path is the attributed source."""
        sources = self.sources()
        for index, path in enumerate(self.make().paths(sources)):
            expect_same(f"last point of path {index}", path.points[-1], sources[index], rtol=1e-5, atol=1e-6)

    def test_increments_add_up(self) -> None:
        """The increments sum to the difference of the path's end and start, so that attributions sum to the score."""
        sources = self.sources()
        for index, path in enumerate(self.make().paths(sources)):
            start = path.points[0] - path.increments[0]
            wanted = path.points[-1] - start
            expect_same(f"sum of the increments of path {index}", path.increments.sum(dim=0), wanted, atol=1e-5)

    def test_sources_are_not_changed(self) -> None:
        """It does not change the sources."""
        sources = self.sources()
        before = [source.clone() for source in sources]
        self.make().paths(sources)
        for index, (source, was) in enumerate(zip(sources, before, strict=True)):
            expect_same(f"source {index} after the call", source, was)

    def test_images_of_a_batch_are_independent(self) -> None:
        """The path of an image does not depend on the rest of its batch."""
        pathway, sources = self.make(), self.sources()
        together = pathway.path(sources, 0).points[:, 1:2]
        alone = pathway.path(tuple(source[1:2].clone() for source in sources), 0).points
        expect_same("points of an image alone and among others", alone, together, atol=1e-6)

    def test_paths_are_reproducible(self) -> None:
        """Two builds of it return the same paths for the same sources."""
        sources = self.sources()
        first, second = (torch.cat([path.points for path in self.make().paths(sources)]) for _ in range(2))
        expect_same("points of a second build", second, first)
