"""Subsets of a dataset: indices spread over it, and a subset as a dataset."""

from __future__ import annotations

from collections.abc import Sequence

from fusekit.interfaces.dataset import FusionDataset, Sample


def spread_over(total: int, count: int) -> list[int]:
    """Indices of `count` of `total` scenes, spread evenly: consecutive frames of a recording are nearly the same."""
    count = min(count, total)
    return sorted({round(i * (total - 1) / max(1, count - 1)) for i in range(count)})


class SceneSubset(FusionDataset):
    """The scenes of another dataset with the given indices, in this order; reads scenes only when they are accessed.

    Args:
        dataset: The full dataset.
        indices: Indices of the scenes in the subset.
    """

    def __init__(self, dataset: FusionDataset, indices: Sequence[int]) -> None:
        self._dataset = dataset
        self._indices = tuple(indices)
        all_ids = dataset.ids
        self._ids = tuple(all_ids[index] for index in self._indices)

    @property
    def ids(self) -> Sequence[str]:
        """Identifiers of the scenes, in order."""
        return self._ids

    def __getitem__(self, index: int) -> Sample:
        return self._dataset[self._indices[index]]
