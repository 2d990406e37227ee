"""Opening video files with PyAV, which is imported only when a file is opened."""

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
    """Import PyAV.

    Raises:
        UsageError: PyAV is not installed.
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
    """Open a file for reading.

    Raises:
        DataError: The file is missing, empty, or not a container that FFmpeg supports.
        UsageError: PyAV is not installed.
    """
    av = load_av()
    if path.is_dir():
        raise DataError(f"{path}: is a folder, not a video file")
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    if not os.access(path, os.R_OK):
        raise DataError(f"{path}: cannot be read by this user (permission denied)")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: is empty")
    try:
        # "file:" prevents FFmpeg from reading a colon in the name as a protocol, and the whitelist prevents a
        # playlist disguised as a video from fetching other resources
        opened: InputContainer = av.open(f"file:{path}", options={"protocol_whitelist": "file"})
        return opened
    except av.error.FFmpegError as error:
        raise DataError(
            f"{path}: cannot be opened as a video ({cause_of(error)})",
            hint="The file is damaged, truncated, or not a video; a recording that was not finalised lacks its index.",
        ) from error


def video_stream(path: Path, container: InputContainer) -> VideoStream:
    """The first video stream of a file that is not a cover picture.

    Raises:
        DataError: The file has no such stream.
    """
    for stream in container.streams.video:
        if not int(stream.disposition) & _COVER_PICTURE:
            return stream
    kinds = sorted({"cover picture" if stream.type == "video" else stream.type for stream in container.streams})
    raise DataError(f"{path}: has no video stream (its streams: {', '.join(kinds) or 'none'})")


def start_of(stream: VideoStream) -> Fraction:
    """Time of a video stream's first frame, which is the origin of all times."""
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
    """An ffmpeg command that rewrites a file with the given options."""
    return f"ffmpeg -i {path.name} {options} {path.stem}-fixed.mkv"


def cause_of(error: Exception) -> str:
    """FFmpeg's description of an error, without its error code."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
