"""Reading video: what a file is, and its frames one after another as upright 8-bit arrays.

How a file's numbers become arrays, decided once a file, so that nothing changes between two frames of it:

* **Grey or colour.** A file is grey if its pixel format is, or if the chroma of a look at frames spread over it is
  neutral (within `CHROMA_NOISE` levels): thermal cameras mostly record yuv420p that holds no colour. Grey files give
  (H, W) of their luma alone, all others (H, W, 3). Colour that turns up later in a file taken for grey is left out,
  with a warning: giving it for some frames alone would make the fused colour flicker.
* **Range.** As declared. Undeclared, YUV is limited (16 to 235) and grey or yuvj is full, as players take it.
* **Matrix.** As declared. Undeclared, it is BT.709 for HD (1280 wide or more, or above 576 high), else BT.601.
* **Depth.** More than 8 bits are scaled to 8, with a warning.
* **Orientation.** Rotation and mirroring that the file asks for are applied.

PyAV is imported when a file is opened, not before.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from fusekit.data.raster import check_size, upright, upright_size
from fusekit.errors import DataError, UsageError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

Pixels = npt.NDArray[np.uint8]
T = TypeVar("T")

VIDEO_EXTRA = "pip install 'image-fusekit[video]'"
CHROMA_NOISE = 2
"""Distance from neutral, in levels of 255, that encoders add to chroma which holds no colour."""

_PROBES = 9
_COVER_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC
_FULL, _LIMITED = 2, 1
_BT709, _BT601 = 1, 5
_CLOCK = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
# The H.273 number that a stream declares → the number of the coefficients in swscale.
_MATRICES = {1: _BT709, 4: 4, 5: _BT601, 6: _BT601, 7: 7, 9: 9, 10: 9}
# EXIF numbers (`fusekit.data.raster.upright`) of the display matrix's (a, b, c, d).
_ORIENTATIONS = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
_CLOCKWISE = {3: 180, 6: 90, 8: 270, 5: 90, 7: 270}


@dataclass(frozen=True)
class VideoInfo:
    """What a video file is.

    Attributes:
        path: The file.
        width: Of the upright picture, pixels.
        height: Of the upright picture, pixels.
        rate: Frames a second, on average.
        frames: Their number as the file tells it; None if it does not.
        seconds: Duration as the file tells it; None if it does not.
        own_duration: Whether `seconds` is of the video stream, and not of the longest stream in the file.
        codec: Of the video stream, such as ``h264``.
        audio: Codecs of its audio streams.
        pixel_format: As FFmpeg names it, such as ``yuv420p``.
        bits: Bits a sample.
        grey: Whether its frames are given as (H, W); see the module's text.
        rotation: Degrees clockwise that the file asks its frames to be turned by; already in width and height.
        orientation: The same with mirroring, as an EXIF number, 1 to 8.
        pixel_aspect: Width of a pixel over its height.
        interlaced: Whether its first frame is.
        transfer: Declared transfer characteristic, as H.273 numbers it; 2 is "not declared".
        primaries: Declared primaries, likewise.
        notes: What a user should know before the file is fused; a sentence each.
    """

    path: Path
    width: int
    height: int
    rate: Fraction
    frames: int | None
    seconds: float | None
    own_duration: bool
    codec: str
    audio: tuple[str, ...]
    pixel_format: str
    bits: int
    grey: bool
    rotation: int
    orientation: int
    pixel_aspect: Fraction
    interlaced: bool
    transfer: int
    primaries: int
    notes: tuple[str, ...]

    @property
    def expected_frames(self) -> int | None:
        """Number of frames, from the duration where the file does not tell it; None if neither is known."""
        if self.frames is not None or self.seconds is None:
            return self.frames
        return max(1, round(self.seconds * self.rate))


@dataclass(frozen=True)
class Picture:
    """A decoded frame: `pixels` (H, W) or (H, W, 3) uint8, upright, and its `time` in seconds of the file."""

    pixels: Pixels
    time: Fraction


def load_av() -> ModuleType:
    """PyAV.

    Raises:
        UsageError: It is not installed.
    """
    try:
        import av
        import av.error
    except ImportError as error:
        raise UsageError(
            "reading and writing video needs the PyAV package", hint=f"Install it: {VIDEO_EXTRA}"
        ) from error
    return av


def open_container(path: Path) -> InputContainer:
    """Opens a file for reading.

    Raises:
        DataError: It is missing, empty, or no container that FFmpeg knows.
        UsageError: PyAV is not installed.
    """
    av = load_av()
    if path.is_dir():
        raise DataError(f"{path}: is a folder, not a video file")
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    if not os.access(path, os.R_OK):
        raise DataError(f"{path}: may not be read by this user (permission denied)")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: is empty")
    try:
        # "file:" keeps a colon in the name from being taken for a protocol, and the whitelist keeps a playlist
        # that calls itself a video from fetching other things
        opened: InputContainer = av.open(f"file:{path}", options={"protocol_whitelist": "file"})
        return opened
    except av.error.FFmpegError as error:
        raise DataError(
            f"{path}: cannot be opened as a video ({_cause(error)})",
            hint="The file is damaged, cut short, or no video; a recording that was not ended lacks its index.",
        ) from error


def start_of(stream: VideoStream) -> Fraction:
    """Time of a video stream's first frame, from which all times are counted."""
    if stream.start_time is None or stream.time_base is None:
        return Fraction(0)
    return stream.start_time * stream.time_base


def inspect_video(path: str | Path) -> VideoInfo:
    """Reads what a video file is, from its header and a look at a few frames spread over it.

    Raises:
        DataError: The file is missing, damaged, holds no video stream or no frame, or frames below 16x16.
        UsageError: PyAV is not installed.
    """
    path = Path(path)
    with open_container(path) as container:
        stream = video_stream(path, container)
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate
        own = _own_seconds(stream)
        seconds = own if own is not None else container.duration / 1_000_000 if container.duration else None
        aspect = stream.sample_aspect_ratio or Fraction(1)
        audio = tuple(codec_name(s) for s in container.streams.audio)
        counted = stream.frames or None
        codec = codec_name(stream)
        looks = list(_look(container, stream, seconds))
    if not looks:
        raise DataError(f"{path}: no frame of it can be decoded", hint="The file is damaged or cut short.")
    if not rate:
        raise DataError(f"{path}: tells no frame rate", hint=_remux_hint(path, "-r 25"))
    first = looks[0]
    height, width = upright_size(first.height, first.width, first.orientation)
    check_size(path, height, width)
    return VideoInfo(
        path=path,
        width=width,
        height=height,
        rate=Fraction(rate),
        frames=counted,
        seconds=seconds,
        own_duration=own is not None,
        codec=codec,
        audio=audio,
        pixel_format=first.pixel_format,
        bits=first.bits,
        grey=all(look.chroma <= CHROMA_NOISE for look in looks),
        rotation=_CLOCKWISE.get(first.orientation, 0),
        orientation=first.orientation,
        pixel_aspect=aspect if first.orientation < 5 else 1 / aspect,
        interlaced=first.interlaced,
        transfer=first.transfer,
        primaries=first.primaries,
        notes=_notes(path, first, len(container.streams.video)),
    )


class VideoReader:
    """The frames of a file in order, decoded as they are asked for; memory does not grow with its length.

    Args:
        info: From `inspect_video`.

    Attributes:
        delivered: How many frames were given so far.
        warnings: What was found on the way.
    """

    def __init__(self, info: VideoInfo) -> None:
        self.info = info
        self.delivered = 0
        self.warnings: list[str] = []
        self._container = open_container(info.path)
        self._stream = video_stream(info.path, self._container)
        self._start = start_of(self._stream)
        # AVI holds no time stamps; FFmpeg guesses some, wrongly where frames are stored out of order
        self._timed = "avi" not in self._container.format.name.split(",")
        # Decoding frames in parallel would report a bad packet many frames late, and hold as many frames.
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

    def __iter__(self) -> Iterator[Picture]:
        """Decodes the file.

        Raises:
            DataError: A frame is damaged, changes size, or the file ends before its last frame; names the frame.
        """
        for packet in self._packets:
            for frame in self._decoded(packet):
                picture = self._picture(frame)
                self.delivered += 1
                yield picture
        self._check_end()

    def remaining(self) -> int:
        """Counts the frames that were not asked for, without decoding them."""
        with suppress(DataError):  # damage in what is not fused is no reason to throw away what was
            for _ in self._packets:
                pass
        return max(0, self._packets_read - self._discarded - self.delivered)

    def _check_end(self) -> None:
        told = self.info.frames
        if told is not None and self.delivered + self._discarded < told:
            if self._timed or self._last_dts + 1 < told:
                raise self._damaged(self.delivered, f"the file ends there, but tells of {told} frames")
            self.warnings.append(
                f"{self.info.path}: {told - self.delivered} of its {told} frames are empty, as recorders leave those "
                "that they drop; they are skipped, and the frames after them are shown earlier"
            )
        missing = (self.info.seconds or 0.0) - float(self._end)
        if told is None and missing > max(0.5, 3 / float(self.info.rate)):
            message = f"the file ends there, but tells of {self.info.seconds:.2f} s"
            if self.info.own_duration:
                raise self._damaged(self.delivered, message)
            self.warnings.append(f"{self.info.path}: has {self.delivered} frames: {message}, perhaps of another stream")

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

    def _picture(self, frame: VideoFrame) -> Picture:
        if frame.is_corrupt:
            raise self._damaged(self.delivered, "the decoder could only guess parts of it")
        size = upright_size(frame.height, frame.width, self.info.orientation)
        if size != (self.info.height, self.info.width):
            raise DataError(
                f"{self.info.path}: changes its size from {self.info.width}x{self.info.height} to {size[1]}x{size[0]} "
                f"at frame {self.delivered}",
                hint=_remux_hint(self.info.path, f"-vf scale={self.info.width}:{self.info.height}"),
            )
        if self.info.grey:
            pixels = _grey(frame)
            if not self._colour_seen and _chroma(frame) > CHROMA_NOISE:
                self._colour_seen = True
                self.warnings.append(
                    f"{self.info.path}: was taken for grey, but has colour from frame {self.delivered} on; "
                    "the colour is left out"
                )
        else:
            pixels = _rgb(frame)
        time = self._time(frame)
        self._end = time + 1 / self.info.rate
        turned = upright(pixels, self.info.orientation)
        return Picture(np.ascontiguousarray(turned, dtype=np.uint8), time)

    def _time(self, frame: VideoFrame) -> Fraction:
        if not self._timed or frame.pts is None or frame.time_base is None:
            return Fraction(self.delivered) / self.info.rate
        return frame.pts * frame.time_base - self._start

    def _number_of(self, packet: Packet[VideoStream]) -> int:
        """Number of the frame in a packet: from its time stamp, because packets are not stored in display order."""
        if packet.pts is None or packet.time_base is None:
            return max(0, self._packets_read - 1) if packet.size else self.delivered
        first = (self._stream.start_time or 0) * packet.time_base
        return max(0, round((packet.pts * packet.time_base - first) * self.info.rate))

    def _guarded(self, step: Callable[[], T], number: int) -> T:
        av = load_av()
        try:
            return step()
        except av.error.FFmpegError as error:
            raise self._damaged(number, _cause(error)) from error

    def _damaged(self, number: int, cause: str) -> DataError:
        seconds = float(number / self.info.rate)
        return DataError(
            f"{self.info.path}: frame {number} (at {seconds:.2f} s) cannot be decoded: {cause}",
            hint="Copy the file again. If this is all there is, re-encode it, which fills damaged frames with guesses: "
            + _remux_hint(self.info.path, "-c:v libx264 -crf 16"),
        )


@dataclass(frozen=True)
class _Look:
    """What one decoded frame tells about its file."""

    width: int
    height: int
    pixel_format: str
    bits: int
    alpha: bool
    chroma: int
    orientation: int
    interlaced: bool
    transfer: int
    primaries: int


def _look(container: InputContainer, stream: VideoStream, seconds: float | None) -> Iterator[_Look]:
    """Looks at up to `_PROBES` frames: the first, and others spread over the file where it can be sought in."""
    av = load_av()
    times = [None] + ([seconds * k / _PROBES for k in range(1, _PROBES)] if seconds else [None] * (_PROBES - 1))
    for time in times:
        try:
            if time is not None and stream.time_base is not None:
                container.seek((stream.start_time or 0) + int(time / stream.time_base), stream=stream)
            frame = next(container.decode(stream), None)
        except av.error.FFmpegError:  # the pass over all frames names what is wrong, and where
            continue
        if frame is None:
            continue
        yield _Look(
            frame.width,
            frame.height,
            frame.format.name,
            max(component.bits for component in frame.format.components),
            any(component.is_alpha for component in frame.format.components),
            _chroma(frame),
            _orientation(frame),
            bool(frame.interlaced_frame),
            int(stream.codec_context.color_trc),
            int(stream.codec_context.color_primaries),
        )


def _notes(path: Path, look: _Look, video_streams: int) -> tuple[str, ...]:
    notes = []
    if look.bits > 8:
        notes.append(
            f"{path}: has {look.bits} bits a sample ({look.pixel_format}); video is fused with 8, the lower "
            f"{look.bits - 8} are rounded away"
        )
    if look.alpha:
        notes.append(f"{path}: has an alpha channel, which is left out")
    if look.interlaced:
        notes.append(f"{path}: is interlaced; its frames are fused as stored, both fields in one picture")
    if video_streams > 1:
        notes.append(f"{path}: has {video_streams} video streams; the first is fused")
    return tuple(notes)


def video_stream(path: Path, container: InputContainer) -> VideoStream:
    """The first video stream of a file that is no cover picture.

    Raises:
        DataError: There is none.
    """
    for stream in container.streams.video:
        if not int(stream.disposition) & _COVER_PICTURE:
            return stream
    kinds = sorted({"cover picture" if stream.type == "video" else stream.type for stream in container.streams})
    raise DataError(f"{path}: holds no video stream (it holds: {', '.join(kinds) or 'nothing'})")


def codec_name(stream: Any) -> str:
    """Name of a stream's codec, such as ``aac``."""
    if stream.codec_context is None:
        return "an unknown codec"
    codec = stream.codec_context.codec
    return str(getattr(codec, "canonical_name", None) or codec.name)


def _own_seconds(stream: VideoStream) -> float | None:
    """Duration of a stream; Matroska keeps it in a tag, as ``00:01:02.5``."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    tag = _CLOCK.fullmatch(stream.metadata.get("DURATION", ""))
    return None if tag is None else int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])


def _orientation(frame: VideoFrame) -> int:
    """EXIF number of the frame's display matrix; 1 where it has none, or one that is no quarter turn."""
    matrix = next((bytes(data) for data in _side_data(frame) if "DISPLAYMATRIX" in str(data.type)), None)
    if matrix is None or len(matrix) < 36:
        return 1
    a, b, _, c, d, *_ = np.frombuffer(matrix, np.int32)
    return _ORIENTATIONS.get((int(np.sign(a)), int(np.sign(b)), int(np.sign(c)), int(np.sign(d))), 1)


def _side_data(frame: VideoFrame) -> Sequence[Any]:
    container: Any = frame.side_data
    return [container[index] for index in range(len(container))]


def _range(frame: VideoFrame) -> int:
    declared = int(frame.color_range)
    if declared in (_FULL, _LIMITED):
        return declared
    return _FULL if frame.format.name.startswith(("yuvj", "gray", "ya")) else _LIMITED


def matrix_of(height: int, width: int) -> int:
    """The matrix of pictures that declare none, as players take it."""
    return _BT709 if width >= 1280 or height > 576 else _BT601


def _rgb(frame: VideoFrame) -> Pixels:
    matrix = _MATRICES.get(int(frame.colorspace), matrix_of(frame.height, frame.width))
    converted = frame.reformat(
        format="rgb24",
        src_colorspace=matrix,
        # RGB has no matrix; but where both are given alike, and both ranges too, PyAV 15 takes BT.601 for granted
        dst_colorspace=_BT709 if matrix != _BT709 else _BT601,
        src_color_range=_range(frame),
        dst_color_range=_FULL,
    )
    return converted.to_ndarray().astype(np.uint8, copy=False)


def _grey(frame: VideoFrame) -> Pixels:
    """Luma alone, (H, W); exact, where RGB and back would round twice."""
    bits = frame.format.components[0].bits
    if not frame.format.name.startswith(("gray", "yuv", "nv1", "nv2")) or bits > 16:
        return _rgb(frame)[..., 1]
    levels = _luma_levels(bits, _range(frame) == _FULL)
    return levels[_plane(frame, 0, bits)]


@lru_cache(maxsize=8)
def _luma_levels(bits: int, full: bool) -> Pixels:
    """Level of 255 for each stored level of luma."""
    stored = np.arange(1 << bits, dtype=np.float64)
    unit = 1 << (bits - 8)
    share = stored / ((1 << bits) - 1) if full else (stored - 16 * unit) / (219 * unit)
    return np.rint(share.clip(0, 1) * 255).astype(np.uint8)


def _plane(frame: VideoFrame, index: int, bits: int) -> npt.NDArray[Any]:
    """A plane's samples without the padding at the end of its lines."""
    plane: Any = frame.planes[index]
    dtype = np.dtype(np.uint8 if bits <= 8 else ">u2" if frame.format.is_big_endian else "<u2")
    lines = np.frombuffer(plane, dtype=dtype).reshape(-1, plane.line_size // dtype.itemsize)
    return lines[: plane.height, : plane.width]


def _chroma(frame: VideoFrame) -> int:
    """Greatest distance of chroma from neutral, in levels of 255; 0 for grey pixel formats."""
    name = frame.format.name
    if name.startswith(("gray", "mono")):
        return 0
    if not (name.startswith("yuv") and frame.format.components[0].bits == 8):
        frame = frame.reformat(format="yuv420p")
    planes = [_plane(frame, index, 8) for index in (1, 2)]
    return max(max(abs(int(plane.max()) - 128), abs(int(plane.min()) - 128)) for plane in planes)


def _remux_hint(path: Path, options: str) -> str:
    return f"ffmpeg -i {path.name} {options} {path.stem}-fixed.mkv"


def _cause(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
