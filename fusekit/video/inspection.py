"""What a video file is, decided once a file, so that nothing changes between two frames of it.

* **Grey or colour.** A file is grey if its pixel format is, or if the chroma of a look at frames spread over it is
  neutral (within `CHROMA_NOISE` levels): thermal cameras mostly record yuv420p that holds no colour.
* **Orientation.** Rotation and mirroring that the file asks for.
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
from fusekit.video.container import codec_name, load_av, open_container, remux_hint, video_stream
from fusekit.video.pixels import chroma_of

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

CHROMA_NOISE = 2
"""Distance from neutral, in levels of 255, that encoders add to chroma which holds no colour."""

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
        raise DataError(f"{path}: tells no frame rate", hint=remux_hint(path, "-r 25"))
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
            chroma_of(frame),
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
