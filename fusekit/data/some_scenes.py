"""Some scenes of a dataset, as a dataset."""

from __future__ import annotations

from collections.abc import Sequence

from fusekit.interfaces.dataset import FusionDataset, Sample


class SomeScenes(FusionDataset):
    """The scenes of another dataset with these numbers, in this order; reads nothing before it is asked.

    Args:
        dataset: All scenes.
        numbers: Which of them.
    """

    def __init__(self, dataset: FusionDataset, numbers: Sequence[int]) -> None:
        self._dataset = dataset
        self._numbers = tuple(numbers)
        every = dataset.ids
        self._ids = tuple(every[number] for number in self._numbers)

    @property
    def ids(self) -> Sequence[str]:
        """Identifiers of the scenes, in order."""
        return self._ids

    def __getitem__(self, index: int) -> Sample:
        return self._dataset[self._numbers[index]]
