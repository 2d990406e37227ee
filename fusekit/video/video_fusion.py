"""Fusing videos of one scene frame by frame; memory does not grow with their length.

Frame `i` of the result is fused from frame `i` of each source and has the time stamp of frame `i` of the first source.
The fusing function receives 8-bit frames in their full, fixed range, and its result is written in that range. Nothing
is normalised per frame, so static content does not flicker in the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

import numpy as np

from fusekit.errors import DataError, UsageError
from fusekit.files import same_file, write_atomically
from fusekit.progress import Advance
from fusekit.video.inspection import VideoInfo, inspect_video
from fusekit.video.pixels import Pixels
from fusekit.video.reading import Frame, VideoReader
from fusekit.video.writing import WRITTEN_SUFFIXES, Target, VideoWriter

VIDEO_SUFFIXES = frozenset({*WRITTEN_SUFFIXES, ".m4v", ".webm", ".mpg", ".mpeg", ".ts", ".wmv"})
"""Lower-case suffixes of files that are read as videos; `WRITTEN_SUFFIXES` are those that can be written."""

NO_SOUND = "none"
"""Value of `audio_from` that copies no audio track."""

_SAME_RATE = Fraction(1, 5000)
"""Largest relative difference of two frame rates that are considered equal: rates measured from time stamps differ by
that much. 29.97 and 30 differ by five times as much, and drift apart by one frame in 33 seconds."""

Fuse = Callable[[Sequence[Pixels]], Pixels]


@dataclass(frozen=True)
class VideoResult:
    """A fused video.

    Attributes:
        frames: Number of frames.
        seconds: Duration.
        rate: Frames per second.
        audio: Role of the source whose audio track was copied, or None.
        warnings: Warnings for the user, one sentence each.
    """

    frames: int
    seconds: float
    rate: Fraction
    audio: str | None
    warnings: tuple[str, ...]


def fuse_videos(
    fuse: Fuse,
    sources: Mapping[str, Path],
    out: Path,
    *,
    overwrite: bool = False,
    audio_from: str | None = None,
    advance: Advance | None = None,
) -> VideoResult:
    """Fuse videos frame by frame.

    Args:
        fuse: Receives one uint8 array per source, in order, (H, W) for grey files and (H, W, 3) RGB for others
            (determined once per file: see `fusekit.video.inspection`), and returns uint8 (H, W) or (H, W, 3) of the
            same size.
        sources: Role → file, in the order that `fuse` expects. Frame rate and time stamps are those of the first one.
        out: Output file, ``.mp4``, ``.mov``, ``.mkv`` or ``.avi``. It is written to a temporary file beside it, which
            is renamed when complete.
        overwrite: Replace `out` if it exists.
        audio_from: Role of the source whose audio track is copied, or ``none``; None is the first source that has one.
        advance: Progress callback, called after each frame with the number of frames so far, the expected number (0 if
            no file declares it), and a note.

    Raises:
        DataError: A source is missing, damaged, or has no frames; sizes or frame rates differ.
        UsageError: PyAV is missing; `out` exists, is a source or has another suffix; `audio_from` is not a role or has
            no audio track; the container does not support the audio codec; `fuse` returned anything else than the
            above.
        RunError: The result cannot be written.
    """
    if not sources:
        raise UsageError("nothing to fuse: give at least one video")
    sources, out = {role: Path(path) for role, path in sources.items()}, Path(out)
    _check_out(out, sources, overwrite)
    infos = {role: inspect_video(path) for role, path in sources.items()}
    _check_alike(infos)
    audio = _audio_role(infos, audio_from)
    warnings = [note for info in infos.values() for note in info.notes]
    finished: list[VideoResult] = []

    def fill(temporary: Path) -> None:
        finished.append(_stream(fuse, infos, temporary, out, audio, warnings, advance))

    write_atomically(out, fill)
    return finished[0]


def _stream(
    fuse: Fuse,
    infos: Mapping[str, VideoInfo],
    temporary: Path,
    out: Path,
    audio: str | None,
    warnings: list[str],
    advance: Advance | None,
) -> VideoResult:
    first = next(iter(infos.values()))
    expected = min((info.expected_frames or 0 for info in infos.values()), default=0)
    colours = next((info for info in infos.values() if not info.grey), first)
    target = Target(
        first.width,
        first.height,
        first.rate,
        first.pixel_aspect,
        transfer=colours.transfer,
        primaries=colours.primaries,
    )
    drift = _TimeStamps(list(infos), first.rate)
    with ExitStack() as stack:
        readers = {role: stack.enter_context(VideoReader(info)) for role, info in infos.items()}
        writer = stack.enter_context(
            VideoWriter(temporary, out, target, infos[audio].path if audio is not None else None)
        )
        cut = False
        for frames in zip_longest(*readers.values()):
            present = [frame for frame in frames if frame is not None]
            if len(present) < len(frames):
                warnings.append(_lengths(readers, writer.written))
                cut = True
                break
            fused = fuse([frame.pixels for frame in present])
            writer.write(_checked(fused, first), present[0].time)
            drift.compare(present)
            if advance is not None:
                advance(writer.written, max(expected, writer.written) if expected else 0, "frames")
        writer.close(cut_audio=cut)
        for collected in (drift.warnings, *(reader.warnings for reader in readers.values()), writer.warnings):
            warnings.extend(collected)
        return VideoResult(writer.written, float(writer.end), first.rate, audio, tuple(warnings))


class _TimeStamps:
    """Warns if the time stamps of frames with the same number drift apart, for example after a dropped frame."""

    def __init__(self, roles: Sequence[str], rate: Fraction) -> None:
        self.warnings: list[str] = []
        self._roles = roles
        self._tolerated = Fraction(3, 4) / rate
        self._starts: list[Fraction] = []
        self._compared = 0

    def compare(self, frames: Sequence[Frame]) -> None:
        times = [frame.time for frame in frames]
        self._starts = self._starts or times
        since = [time - start for time, start in zip(times, self._starts, strict=True)]
        for role, passed in zip(self._roles[1:], since[1:], strict=True):
            if abs(passed - since[0]) > self._tolerated and not self.warnings:
                self.warnings.append(
                    f"from frame {self._compared} on, the time stamps of {self._roles[0]} and {role} differ by "
                    f"{float(abs(passed - since[0])):.3f} s: one camera may have dropped frames, or its frame rate "
                    "varies; frames were paired by number (to make the frame rate constant: ffmpeg -i IN -vf "
                    f"fps={_plain(1 / self._tolerated * 3 / 4)} OUT)"
                )
        self._compared += 1


def _check_out(out: Path, sources: Mapping[str, Path], overwrite: bool) -> None:
    if out.suffix.lower() not in WRITTEN_SUFFIXES:
        raise UsageError(
            f"{out}: videos are written as {', '.join(sorted(WRITTEN_SUFFIXES))}, "
            f"not as {out.suffix or 'a file without suffix'!r}"
        )
    if out.is_dir():
        raise UsageError(f"{out}: is a folder; name the video to write")
    for role, path in sources.items():
        if out == path or same_file(out, path):
            raise UsageError(f"{out}: is the {role} video itself", hint="Choose another name for the fused video.")
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists", hint="--overwrite replaces it")


def _check_alike(infos: Mapping[str, VideoInfo]) -> None:
    first, *others = infos.values()
    for other in others:
        if (other.width, other.height) != (first.width, first.height):
            shown = ", ".join(f"{role} {info.width}x{info.height}" for role, info in infos.items())
            raise DataError(
                f"the videos differ in size: {shown}",
                hint="Sources must be registered to each other. If they show the same field of view: ffmpeg -i "
                f"{other.path.name} -vf scale={first.width}:{first.height} {other.path.stem}-scaled.mkv",
            )
        if abs(other.rate - first.rate) > first.rate * _SAME_RATE:
            shown = ", ".join(f"{role} {_plain(info.rate)}" for role, info in infos.items())
            slower, faster = sorted((first, other), key=lambda info: info.rate)
            raise DataError(
                f"the videos differ in frame rate: {shown} frames per second, so frames with the same number do not "
                "show the same moment",
                hint=f"Convert them to one frame rate first: ffmpeg -i {faster.path.name} -vf "
                f"fps={_exact(slower.rate)} {faster.path.stem}-{_plain(slower.rate)}fps.mkv",
            )


def _audio_role(infos: Mapping[str, VideoInfo], audio_from: str | None) -> str | None:
    if audio_from is None:
        return next((role for role, info in infos.items() if info.audio), None)
    if audio_from in infos:
        if not infos[audio_from].audio:
            raise UsageError(
                f"{infos[audio_from].path}: has no audio track to copy",
                hint=f"Sources with an audio track: {_roles_with_audio(infos)}",
            )
        return audio_from
    if audio_from == NO_SOUND:
        return None
    raise UsageError(
        f"there is no source {audio_from!r} to copy an audio track from",
        hint=f"Sources: {', '.join(infos)}, or {NO_SOUND}.",
    )


def _roles_with_audio(infos: Mapping[str, VideoInfo]) -> str:
    return ", ".join(role for role, info in infos.items() if info.audio) or "none"


def _checked(fused: Pixels, info: VideoInfo) -> Pixels:
    shape = (info.height, info.width)
    if fused.dtype != np.uint8 or fused.shape not in (shape, (*shape, 3)):
        raise UsageError(
            f"the fusing function returned {fused.dtype} {fused.shape}; a frame must be uint8 {shape} or {(*shape, 3)}"
        )
    return fused


def _lengths(readers: Mapping[str, VideoReader], fused: int) -> str:
    """The warning about different lengths, once the shortest video has ended."""
    totals = {role: reader.delivered + reader.remaining() for role, reader in readers.items()}
    shown = ", ".join(f"{role} {total}" for role, total in totals.items())
    longest = max(totals, key=lambda role: totals[role])
    return (
        f"the videos differ in length ({shown} frames): the first {fused} frames were fused, "
        f"the last {totals[longest] - fused} of {longest} were not"
    )


def _plain(rate: Fraction) -> str:
    return f"{float(rate):.3f}".rstrip("0").rstrip(".")


def _exact(rate: Fraction) -> str:
    return str(rate.numerator) if rate.denominator == 1 else f"{rate.numerator}/{rate.denominator}"
