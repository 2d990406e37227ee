"""Reading the frames of a video in order, as 8-bit arrays with the orientation applied.

Grey files (`fusekit.video.inspection`) are decoded to luma, (H, W), all others to RGB, (H, W, 3). If a file detected as
grey contains colour in a later frame, the colour is ignored with a warning: returning it for some frames only would
make the fused colour flicker. More than 8 bits are scaled to 8, with a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fusekit.data.raster import upright, upright_size
from fusekit.errors import DataError
from fusekit.video.inspection import CHROMA_NOISE, VideoInfo
from fusekit.video.opening import cause_of, load_av, open_container, remux_hint, start_of, video_stream
from fusekit.video.pixels import Pixels, chroma_of, luma_of, rgb_of

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

T = TypeVar("T")


@dataclass(frozen=True)
class Frame:
    """A decoded frame: `pixels` (H, W) or (H, W, 3) uint8, orientation applied, and its `time` in seconds."""

    pixels: Pixels
    time: Fraction


class VideoReader:
    """Iterator over the frames of a file, decoded on demand; memory does not grow with the length of the file.

    Args:
        info: Properties of the file, from `inspect_video`.

    Attributes:
        delivered: Number of frames returned so far.
        warnings: Warnings raised while reading.
    """

    def __init__(self, info: VideoInfo) -> None:
        self.info = info
        self.delivered = 0
        self.warnings: list[str] = []
        self._container = open_container(info.path)
        self._stream = video_stream(info.path, self._container)
        self._start = start_of(self._stream)
        # AVI stores no time stamps; those that FFmpeg guesses are wrong if frames are stored out of order
        self._timed = "avi" not in self._container.format.name.split(",")
        # Decoding frames in parallel would report a bad packet many frames late, and keep as many frames in memory.
        stream: Any = self._stream
        stream.thread_type = "SLICE"
        self._packets = self._numbered_packets()
        self._packets_read = 0
        self._discarded = 0
        self._last_dts = 0
        self._end = Fraction(0)
        self._colour_seen = False

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        """Decode the file.

        Raises:
            DataError: A frame is damaged or has another size, or the file ends before its last frame. The message
                contains the number of the frame.
        """
        for packet in self._packets:
            for decoded in self._decoded(packet):
                frame = self._frame(decoded)
                self.delivered += 1
                yield frame
        self._check_end()

    def remaining(self) -> int:
        """Count the frames that were not requested, without decoding them."""
        with suppress(DataError):  # damage in frames that are not fused does not invalidate the fused ones
            for _ in self._packets:
                pass
        return max(0, self._packets_read - self._discarded - self.delivered)

    def _check_end(self) -> None:
        declared = self.info.frames
        if declared is not None and self.delivered + self._discarded < declared:
            if self._timed or self._last_dts + 1 < declared:
                raise self._damaged(self.delivered, f"the file ends there, but declares {declared} frames")
            self.warnings.append(
                f"{self.info.path}: {declared - self.delivered} of its {declared} frames are empty, as recorders write "
                "for dropped frames; they are skipped, and the frames after them are shown earlier"
            )
        missing = (self.info.seconds or 0.0) - float(self._end)
        if declared is None and missing > max(0.5, 3 / float(self.info.rate)):
            message = f"the file ends there, but declares a duration of {self.info.seconds:.2f} s"
            if self.info.own_duration:
                raise self._damaged(self.delivered, message)
            self.warnings.append(
                f"{self.info.path}: has {self.delivered} frames: {message}, perhaps that of another stream"
            )

    def _numbered_packets(self) -> Iterator[Packet[VideoStream]]:
        packets = self._container.demux(self._stream)
        while True:
            packet = self._guarded(lambda: next(packets, None), self._packets_read)
            if packet is None:
                return
            if packet.size:
                self._packets_read += 1
                self._discarded += packet.is_discard
                self._last_dts = max(self._last_dts, packet.dts or 0)
                if packet.is_corrupt:
                    raise self._damaged(self._number_of(packet), "its packet is marked as corrupt")
            yield packet

    def _decoded(self, packet: Packet[VideoStream]) -> Sequence[VideoFrame]:
        return self._guarded(packet.decode, self._number_of(packet))

    def _frame(self, frame: VideoFrame) -> Frame:
        if frame.is_corrupt:
            raise self._damaged(self.delivered, "the decoder could only guess parts of the frame")
        size = upright_size(frame.height, frame.width, self.info.orientation)
        if size != (self.info.height, self.info.width):
            raise DataError(
                f"{self.info.path}: the frame size changes from {self.info.width}x{self.info.height} to "
                f"{size[1]}x{size[0]} at frame {self.delivered}",
                hint=remux_hint(self.info.path, f"-vf scale={self.info.width}:{self.info.height}"),
            )
        if self.info.grey:
            pixels = luma_of(frame)
            if not self._colour_seen and chroma_of(frame) > CHROMA_NOISE:
                self._colour_seen = True
                self.warnings.append(
                    f"{self.info.path}: was detected as grey, but has colour from frame {self.delivered} on; "
                    "the colour is ignored"
                )
        else:
            pixels = rgb_of(frame)
        time = self._time(frame)
        self._end = time + 1 / self.info.rate
        turned = upright(pixels, self.info.orientation)
        return Frame(np.ascontiguousarray(turned, dtype=np.uint8), time)

    def _time(self, frame: VideoFrame) -> Fraction:
        if not self._timed or frame.pts is None or frame.time_base is None:
            return Fraction(self.delivered) / self.info.rate
        return frame.pts * frame.time_base - self._start

    def _number_of(self, packet: Packet[VideoStream]) -> int:
        """Number of the frame in a packet, from its time stamp, because packets are not stored in display order."""
        if packet.pts is None or packet.time_base is None:
            return max(0, self._packets_read - 1) if packet.size else self.delivered
        first = (self._stream.start_time or 0) * packet.time_base
        return max(0, round((packet.pts * packet.time_base - first) * self.info.rate))

    def _guarded(self, step: Callable[[], T], number: int) -> T:
        av = load_av()
        try:
            return step()
        except av.error.FFmpegError as error:
            raise self._damaged(number, cause_of(error)) from error

    def _damaged(self, number: int, cause: str) -> DataError:
        seconds = float(number / self.info.rate)
        return DataError(
            f"{self.info.path}: frame {number} (at {seconds:.2f} s) cannot be decoded: {cause}",
            hint="Copy the file again. If there is no intact copy, re-encode it; ffmpeg then fills damaged frames with "
            "guesses: " + remux_hint(self.info.path, "-c:v libx264 -crf 16"),
        )
