"""Opening video files with PyAV, which is imported when a file is opened and not before."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fusekit.errors import DataError, UsageError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

VIDEO_EXTRA = "pip install 'image-fusekit[video]'"

_COVER_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC


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
            f"{path}: cannot be opened as a video ({cause_of(error)})",
            hint="The file is damaged, cut short, or no video; a recording that was not ended lacks its index.",
        ) from error


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


def start_of(stream: VideoStream) -> Fraction:
    """Time of a video stream's first frame, from which all times are counted."""
    if stream.start_time is None or stream.time_base is None:
        return Fraction(0)
    return stream.start_time * stream.time_base


def codec_name(stream: Any) -> str:
    """Name of a stream's codec, such as ``aac``."""
    if stream.codec_context is None:
        return "an unknown codec"
    codec = stream.codec_context.codec
    return str(getattr(codec, "canonical_name", None) or codec.name)


def remux_hint(path: Path, options: str) -> str:
    """A command that writes a file anew, with some options."""
    return f"ffmpeg -i {path.name} {options} {path.stem}-fixed.mkv"


def cause_of(error: Exception) -> str:
    """What FFmpeg says of an error, without its numbers."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
