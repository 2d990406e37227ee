"""Writing video: visually lossless H.264, and the audio track copied packet by packet.

| property | choice |
| --- | --- |
| codec | H.264 (libx264, constant quality, crf 10) |
| reason for crf 10 | at crf 16, which looks lossless, static noise flickers 2 to 3 times as much as the sources |
| without libx264 | a PyAV built without it writes MPEG-4 part 2 at its best quality, with a warning |
| pixel format | yuv420p, which all players support; yuv444p for an odd width or height, which 4:2:0 H.264 lacks |
| colour | limited range; BT.709 for HD, else BT.601; declared in the stream, so that no player has to guess |
| time stamps | as given; a constant frame rate is written exactly. AVI supports only a constant frame rate |
| audio | packets copied unchanged; a container that does not support their codec is refused before any frame is fused |
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from fusekit.errors import DataError, RunError, UsageError
from fusekit.video.opening import VIDEO_EXTRA, codec_name, load_av, open_container, start_of, video_stream
from fusekit.video.pixels import Pixels, matrix_of

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet

WRITTEN_SUFFIXES = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".avi": "avi"}
"""Suffix of each file type that can be written → FFmpeg's name of its container."""

_FULL, _LIMITED = 2, 1
_UNDECLARED = 2
_DECLARED_MATRIX = {1: 1, 5: 6}  # number in swscale → number in the stream (H.273)
_FINEST_TICK = 1_000_000
_FINEST_TICK_OF_MPEG4 = 65_535
_DISK_FAILURES = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


@dataclass(frozen=True)
class Encoding:
    """A codec: its `name`, its quality `options`, its `finest` tick, and a `note` to the user."""

    name: str
    options: dict[str, str]
    finest: int
    note: str | None = None


def choose_encoding() -> Encoding:
    """The best encoder that PyAV was built with.

    Raises:
        UsageError: PyAV has neither libx264 nor MPEG-4.
    """
    av = load_av()
    if "libx264" in av.codecs_available:
        return Encoding("libx264", {"crf": "10", "preset": "medium"}, _FINEST_TICK)
    if "mpeg4" in av.codecs_available:
        # equal bounds fix the quantiser at its best usual value, regardless of the bit rate
        return Encoding(
            "mpeg4",
            {"qmin": "2", "qmax": "2"},
            _FINEST_TICK_OF_MPEG4,
            "this PyAV was built without libx264, so the video is written as MPEG-4 part 2, in a larger file; "
            "PyAV's own wheels include libx264",
        )
    raise UsageError("this PyAV can encode neither H.264 nor MPEG-4", hint=f"Install its own wheel: {VIDEO_EXTRA}")


@dataclass(frozen=True)
class Target:
    """Format of the output: size and rate of the frames, and the colour properties declared by a source."""

    width: int
    height: int
    rate: Fraction
    pixel_aspect: Fraction = Fraction(1)
    transfer: int = _UNDECLARED
    primaries: int = _UNDECLARED


class VideoWriter:
    """Writer of a video file.

    Args:
        path: The file to write.
        shown: The file name used in messages.
        target: Format of the output.
        audio: File whose audio streams are copied, or None.

    Raises:
        UsageError: The container does not support the audio codec.
        RunError: The file cannot be written.

    Attributes:
        written: Number of frames written.
        warnings: Warnings raised while writing.
        end: Time at which the last frame ends, in seconds.
    """

    def __init__(self, path: Path, shown: Path, target: Target, audio: Path | None = None) -> None:
        self.written = 0
        self.warnings: list[str] = []
        self.end = Fraction(0)
        self._shown, self._target = shown, target
        self._format = WRITTEN_SUFFIXES[shown.suffix.lower()]
        self._constant = self._format == "avi"
        self._last_tick = -1
        self._times_lost = False
        self._audio: _AudioTrack | None = None
        av = load_av()
        encoding = choose_encoding()
        if encoding.note:
            self.warnings.append(encoding.note)
        with self._guarded():
            self._container: OutputContainer = av.open(f"file:{path}", "w", format=self._format)
        try:
            self._stream = self._video_stream(encoding)
            if audio is not None:
                self._audio = _AudioTrack(audio, self._container, shown, from_zero=self._constant)
            with self._guarded():
                self._stream.codec_context.open()
            self._begin(audio)
        except BaseException:
            self._abandon()
            raise

    def _video_stream(self, encoding: Encoding) -> Any:
        target = self._target
        stream: Any = self._container.add_stream(encoding.name, rate=target.rate, options=dict(encoding.options))
        odd = target.width % 2 or target.height % 2
        stream.width, stream.height = target.width, target.height
        stream.pix_fmt = "yuv444p" if odd and encoding.name == "libx264" else "yuv420p"
        context = stream.codec_context
        self._matrix = matrix_of(target.height, target.width)
        context.color_range, context.colorspace = _LIMITED, _DECLARED_MATRIX[self._matrix]
        context.color_primaries, context.color_trc = target.primaries, target.transfer
        context.sample_aspect_ratio = target.pixel_aspect
        if self._constant:
            context.max_b_frames = 0  # AVI has no time stamps from which the order of frames could be restored
        self._tick = 1 / target.rate if self._constant else _tick(target.rate, encoding.finest)
        context.time_base = self._tick
        return stream

    def _begin(self, audio: Path | None) -> None:
        """Write the header; a container refuses an unsupported codec here."""
        av = load_av()
        try:
            self._container.start_encoding()
        except (av.error.FFmpegError, OSError) as error:
            if self._audio is None or audio is None or error.errno in _DISK_FAILURES:
                raise self._refused(error) from error
            raise unsupported_audio(self._shown, audio, self._audio.codecs) from error

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._abandon()

    def write(self, pixels: Pixels, time: Fraction) -> None:
        """Encode a frame.

        Args:
            pixels: (H, W) or (H, W, 3) uint8 of the target's size.
            time: Presentation time in seconds.

        Raises:
            RunError: The frame cannot be written.
        """
        av = load_av()
        if self._audio is not None:
            self._mux(self._audio.until(time))
        colour = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(colour), format="rgb24").reformat(
            format=self._stream.pix_fmt,
            src_colorspace=self._matrix,
            dst_colorspace=self._matrix,
            src_color_range=_FULL,
            dst_color_range=_LIMITED,
        )
        tick = self._tick_of(time)
        frame.pts, frame.time_base = tick, self._tick
        with self._guarded():
            packets = self._stream.encode(frame)
        self._mux(packets)
        self._last_tick = tick
        self.written += 1
        self.end = max(self.end, time + 1 / self._target.rate)

    def close(self, *, cut_audio: bool) -> None:
        """Write the frames buffered by the encoder, the rest of the audio track and the file's index.

        Args:
            cut_audio: End the audio track with the last frame, instead of at its own end.

        Raises:
            RunError: The rest cannot be written.
        """
        with self._guarded():
            packets = self._stream.encode(None)
        self._mux(packets)
        if self._audio is not None:
            self._mux(self._audio.until(self.end if cut_audio else None))
            self._audio.close()
        with self._guarded():
            self._container.close()

    def _tick_of(self, time: Fraction) -> int:
        """Tick of a time, always increasing; snapped to the grid of the constant rate if the time is close to it."""
        on_grid = Fraction(self.written) / self._target.rate
        late = abs(time - on_grid)
        if self._constant:
            if late > 1 / self._target.rate and not self._times_lost:
                self._times_lost = True
                self.warnings.append(
                    f"{self._shown}: AVI supports only a constant frame rate, but the time stamps of the first source "
                    f"vary: from frame {self.written} on they are lost (.mkv and .mp4 keep them)"
                )
            return self.written
        # 1.5 ms: containers with millisecond time stamps store 33, 67, 100 for 30 frames per second
        tick = round((on_grid if late < Fraction(15, 10_000) else time) / self._tick)
        return max(tick, self._last_tick + 1)

    def _mux(self, packets: Iterator[Packet[Any]] | list[Packet[Any]]) -> None:
        for packet in packets:
            if packet.stream is self._stream and not packet.duration:
                packet.duration = round(1 / self._target.rate / packet.time_base)
            with self._guarded():
                self._container.mux_one(packet)

    def _abandon(self) -> None:
        """Close the files after an error."""
        av = load_av()
        if self._audio is not None:
            self._audio.close()
        # the file is discarded; errors while closing it must not hide the original one
        with suppress(av.error.FFmpegError, OSError, ValueError, RuntimeError):
            self._container.close()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        av = load_av()
        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> RunError:
        return RunError(
            f"{self._shown}: cannot be written ({getattr(error, 'strerror', None) or error}); "
            "no partial file was kept under that name",
            hint="Free disk space or choose a writable folder, then run again.",
        )


def _tick(rate: Fraction, finest: int) -> Fraction:
    """A fraction of a second that divides the frame duration, so that a constant rate is written exactly."""
    return Fraction(1, rate.numerator * (finest // rate.numerator) or finest)


class _AudioTrack:
    """The audio packets of a file, in order, with time stamps for the output file.

    Args:
        path: File that contains the audio track.
        container: Container that is written.
        shown: Name of the output file used in messages.
        from_zero: Drop packets that end before the first frame. Most encoders write one such packet, of silence that no
            player plays; in a container without negative time stamps it would delay all frames.
    """

    def __init__(self, path: Path, container: OutputContainer, shown: Path, *, from_zero: bool) -> None:
        self._path, self._from_zero = path, from_zero
        self._source = open_container(path)
        self._start = start_of(video_stream(path, self._source))
        self._next: Packet[Any] | None = None
        av = load_av()
        streams = list(self._source.streams.audio)
        self.codecs = ", ".join(sorted({codec_name(stream) for stream in streams}))
        try:
            self._copies = {stream.index: container.add_stream_from_template(stream) for stream in streams}
        except (av.error.FFmpegError, ValueError) as error:
            self._source.close()
            raise unsupported_audio(shown, path, self.codecs) from error
        self._packets = self._demuxed(streams)

    def until(self, time: Fraction | None) -> Iterator[Packet[Any]]:
        """The packets that start before `time`; all remaining ones if it is None."""
        while True:
            packet = self._next or next(self._packets, None)
            self._next = None
            if packet is None:
                return
            if time is not None and (packet.dts or 0) * packet.time_base >= time:
                self._next = packet
                return
            packet.stream = self._copies[packet.stream.index]
            yield packet

    def _demuxed(self, streams: list[Any]) -> Iterator[Packet[Any]]:
        av = load_av()
        try:
            for packet in self._source.demux(streams):
                if packet.dts is None:  # the empty packet at the end
                    continue
                shift = round(self._start / packet.time_base)
                packet.dts -= shift
                if packet.pts is not None:
                    packet.pts -= shift
                if self._from_zero and packet.dts < 0:
                    if packet.dts + (packet.duration or 0) <= 0:
                        continue
                    packet.dts = packet.pts = 0
                yield packet
        except av.error.FFmpegError as error:
            raise DataError(
                f"{self._path}: its audio track cannot be read ({error.strerror or error})",
                hint="Copy the file again, or copy no audio track (audio from 'none').",
            ) from error

    def close(self) -> None:
        """Close the file that contains the audio track."""
        self._source.close()


def unsupported_audio(shown: Path, path: Path, codecs: str) -> UsageError:
    """The error for a container that does not support the audio codec."""
    return UsageError(
        f"{shown}: a {shown.suffix} file does not support the audio track of {path} ({codecs}), and audio is never "
        "re-encoded",
        hint="Write an .mkv file, which supports any codec, or copy no audio track (audio from 'none').",
    )
