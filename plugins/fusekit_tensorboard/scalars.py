"""Writing the scalars of a run to TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fusekit.errors import PluginError
from fusekit.interfaces import BuildContext, Observer
from fusekit.plugin import hookimpl
from fusekit_tensorboard.config import ScalarsConfig

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_SECONDS_BETWEEN_WRITES = 10


class Scalars(Observer):
    """Writes ``loss/NAME``, ``learning_rate`` and ``validation/MEASURE`` to event files in ``RUN/tensorboard/PHASE``.

    Steps are counted from 1 in every phase, so each phase has its own folder, which TensorBoard shows as a run. When a
    training is resumed from a checkpoint, points of later steps are purged, and TensorBoard ignores them.

    Raises:
        PluginError: The package ``tensorboard`` is not installed.
    """

    Config = ScalarsConfig
    config: ScalarsConfig

    def __init__(self, config: ScalarsConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise PluginError(
                f"the observer 'tensorboard.scalars' needs the package tensorboard, which cannot be imported: {error}",
                hint="pip install 'image-fusekit[track]'",
            ) from error
        self._open = SummaryWriter
        self._folder = Path()
        self._writer: SummaryWriter | None = None

    @hookimpl
    def fusekit_run_started(self, folder: Path) -> None:
        """Store the run folder; event files are created later, when there is something to write."""
        self._folder = folder / self.config.folder

    @hookimpl
    def fusekit_phase_started(self, phase: str, steps_done: int) -> None:
        """Open the event file of a phase and purge points after `steps_done`."""
        self._close()
        self._writer = self._open(
            str(self._folder / phase), purge_step=steps_done + 1, flush_secs=_SECONDS_BETWEEN_WRITES
        )

    @hookimpl
    def fusekit_step_finished(
        self, step: int, total_steps: int, losses: Mapping[str, float], learning_rate: float
    ) -> None:
        """Write a point of every loss and of the learning rate."""
        if self._writer is None or (step % self.config.every != 0 and step != total_steps):
            return
        for name, value in losses.items():
            self._writer.add_scalar(f"loss/{name}", value, step)
        self._writer.add_scalar("learning_rate", learning_rate, step)

    @hookimpl
    def fusekit_validated(self, step: int, measure: str, value: float | None) -> None:
        """Write the validation value, if it is finite."""
        if self._writer is not None and value is not None:
            self._writer.add_scalar(f"validation/{measure}", value, step)

    @hookimpl
    def fusekit_run_finished(self) -> None:
        """Close the event file."""
        self._close()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
