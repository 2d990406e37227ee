"""Properties of a video file, determined once per file, so that they are the same for all its frames.

* **Grey or colour.** A file is grey if its pixel format is, or if the chroma of sampled frames spread over the file
  is neutral (within `CHROMA_NOISE` levels): most thermal cameras record yuv420p without any colour.
* **Orientation.** The rotation and mirroring that the file declares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusekit.data.raster import check_size, upright_size
from fusekit.errors import DataError
from fusekit.video.opening import codec_name, load_av, open_container, remux_hint, video_stream
from fusekit.video.pixels import chroma_of

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

CHROMA_NOISE = 2
"""Deviation from neutral, in levels of 255, that encoders add to chroma without colour."""

_PROBES = 9
_CLOCK = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
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
    """Properties of a video file.

    Attributes:
        path: The file.
        width: Width of a frame in pixels, after orientation.
        height: Height of a frame in pixels, after orientation.
        rate: Average frame rate in frames per second.
        frames: Number of frames declared by the file; None if it declares none.
        seconds: Duration declared by the file; None if it declares none.
        own_duration: Whether `seconds` belongs to the video stream, and not to the longest stream in the file.
        codec: Codec of the video stream, such as ``h264``.
        audio: Codecs of the audio streams.
        pixel_format: FFmpeg's name of the pixel format, such as ``yuv420p``.
        bits: Bits per sample.
        grey: Whether frames are decoded to (H, W); see the module docstring.
        rotation: Declared clockwise rotation of the frames in degrees; already applied to width and height.
        orientation: The rotation together with mirroring, as an EXIF number, 1 to 8.
        pixel_aspect: Pixel aspect ratio, width over height.
        interlaced: Whether the first frame is interlaced.
        transfer: Declared transfer characteristic, as an H.273 number; 2 means "not declared".
        primaries: Declared colour primaries, as an H.273 number.
        notes: Notes for the user before the file is fused, one sentence each.
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
        """Number of frames, computed from the duration if the file declares none; None if neither is known."""
        if self.frames is not None or self.seconds is None:
            return self.frames
        return max(1, round(self.seconds * self.rate))


def inspect_video(path: str | Path) -> VideoInfo:
    """Read the properties of a video file from its header and from a few frames spread over it.

    Raises:
        DataError: The file is missing, damaged, has no video stream or no frame, or its frames are below 16x16.
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
        probes = list(_probe(container, stream, seconds))
    if not probes:
        raise DataError(f"{path}: none of its frames can be decoded", hint="The file is damaged or truncated.")
    if not rate:
        raise DataError(f"{path}: declares no frame rate", hint=remux_hint(path, "-r 25"))
    first = probes[0]
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
        grey=all(probe.chroma <= CHROMA_NOISE for probe in probes),
        rotation=_CLOCKWISE.get(first.orientation, 0),
        orientation=first.orientation,
        pixel_aspect=aspect if first.orientation < 5 else 1 / aspect,
        interlaced=first.interlaced,
        transfer=first.transfer,
        primaries=first.primaries,
        notes=_notes(path, first, len(container.streams.video)),
    )


@dataclass(frozen=True)
class _Probe:
    """Properties of one decoded frame."""

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


def _probe(container: InputContainer, stream: VideoStream, seconds: float | None) -> Iterator[_Probe]:
    """Decode up to `_PROBES` frames: the first one, and others spread over the file if it is seekable."""
    av = load_av()
    times = [None] + ([seconds * k / _PROBES for k in range(1, _PROBES)] if seconds else [None] * (_PROBES - 1))
    for time in times:
        try:
            if time is not None and stream.time_base is not None:
                container.seek((stream.start_time or 0) + int(time / stream.time_base), stream=stream)
            frame = next(container.decode(stream), None)
        except av.error.FFmpegError:  # decoding all frames later reports the error and its position
            continue
        if frame is None:
            continue
        yield _Probe(
            frame.width,
            frame.height,
            frame.format.name,
            max(component.bits for component in frame.format.components),
            any(component.is_alpha for component in frame.format.components),
            chroma_of(frame),
            _orientation(frame),
            bool(frame.interlaced_frame),
            int(stream.codec_context.color_trc),
            int(stream.codec_context.color_primaries),
        )


def _notes(path: Path, probe: _Probe, video_streams: int) -> tuple[str, ...]:
    notes = []
    if probe.bits > 8:
        notes.append(
            f"{path}: has {probe.bits} bits per sample ({probe.pixel_format}); video is fused at 8 bits, so the lower "
            f"{probe.bits - 8} bits are rounded away"
        )
    if probe.alpha:
        notes.append(f"{path}: has an alpha channel, which is ignored")
    if probe.interlaced:
        notes.append(f"{path}: is interlaced; its frames are fused as stored, with both fields in one image")
    if video_streams > 1:
        notes.append(f"{path}: has {video_streams} video streams; the first is fused")
    return tuple(notes)


def _own_seconds(stream: VideoStream) -> float | None:
    """Duration of a stream; Matroska stores it in a tag, as ``00:01:02.5``."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    tag = _CLOCK.fullmatch(stream.metadata.get("DURATION", ""))
    return None if tag is None else int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])


def _orientation(frame: VideoFrame) -> int:
    """EXIF number of the frame's display matrix; 1 if it has none or one that is not a multiple of 90 degrees."""
    matrix = next((bytes(data) for data in _side_data(frame) if "DISPLAYMATRIX" in str(data.type)), None)
    if matrix is None or len(matrix) < 36:
        return 1
    a, b, _, c, d, *_ = np.frombuffer(matrix, np.int32)
    return _ORIENTATIONS.get((int(np.sign(a)), int(np.sign(b)), int(np.sign(c)), int(np.sign(d))), 1)


def _side_data(frame: VideoFrame) -> Sequence[Any]:
    container: Any = frame.side_data
    return [container[index] for index in range(len(container))]
