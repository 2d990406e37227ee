"""Fusing videos of one scene, frame by frame, in memory that does not grow with their length.

Frame `i` of the result is made from frame `i` of each source and shown when frame `i` of the first is. Pictures reach
the fusing function as 8 bits in their full, fixed range, and its result is written in that range: nothing is
normalised to a frame's own contents, so what stands still in the sources does not flicker in the result.
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
from fusekit.video.reading import Picture, VideoReader
from fusekit.video.writing import WRITTEN_SUFFIXES, Target, VideoWriter

VIDEO_SUFFIXES = frozenset({*WRITTEN_SUFFIXES, ".m4v", ".webm", ".mpg", ".mpeg", ".ts", ".wmv"})
"""Lower-case suffixes of files that are taken for videos; `WRITTEN_SUFFIXES` are those that can be written."""

NO_SOUND = "none"
"""The `audio_from` that leaves the sound out."""

_SAME_RATE = Fraction(1, 5000)
"""Rates this near each other, relatively, are one: rates measured from time stamps differ that much. 29.97 and 30
differ five times as much, and are a frame apart after 33 seconds."""

Fuse = Callable[[Sequence[Pixels]], Pixels]


@dataclass(frozen=True)
class VideoResult:
    """A fused video.

    Attributes:
        frames: Number of frames.
        seconds: Duration.
        rate: Frames a second.
        audio: Role whose sound was copied, or None.
        warnings: What a user should know, a sentence each.
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
    """Fuses videos frame by frame.

    Args:
        fuse: Gets one uint8 array a source, in order, (H, W) for grey files and (H, W, 3) RGB for others (decided once
            a file: see `fusekit.video.inspection`), and gives uint8 (H, W) or (H, W, 3) of the same size.
        sources: Role → file, in the order that `fuse` wants. Rate and time stamps are the first one's.
        out: Where to: ``.mp4``, ``.mov``, ``.mkv`` or ``.avi``. Written beside it and renamed when complete.
        overwrite: Replace `out` if it exists.
        audio_from: Role whose sound is copied, or ``none``; None is the first source that has sound.
        advance: Called after each frame with their number so far, the number expected (0 if no file tells it), and a
            note.

    Raises:
        DataError: A source is missing, damaged, or has no frames; sizes or rates differ.
        UsageError: PyAV is missing; `out` exists, is a source or has another suffix; `audio_from` is no role or has no
            sound; the container cannot hold the sound; `fuse` gave something else than the above.
        RunError: The result cannot be written.
    """
    if not sources:
        raise UsageError("nothing to fuse: give at least one video")
    sources, out = {role: Path(path) for role, path in sources.items()}, Path(out)
    _check_out(out, sources, overwrite)
    infos = {role: inspect_video(path) for role, path in sources.items()}
    _check_alike(infos)
    voice = _sound_role(infos, audio_from)
    warnings = [note for info in infos.values() for note in info.notes]
    finished: list[VideoResult] = []

    def fill(temporary: Path) -> None:
        finished.append(_stream(fuse, infos, temporary, out, voice, warnings, advance))

    write_atomically(out, fill)
    return finished[0]


def _stream(
    fuse: Fuse,
    infos: Mapping[str, VideoInfo],
    temporary: Path,
    out: Path,
    voice: str | None,
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
    apart = _TimeStamps(list(infos), first.rate)
    with ExitStack() as stack:
        readers = {role: stack.enter_context(VideoReader(info)) for role, info in infos.items()}
        writer = stack.enter_context(
            VideoWriter(temporary, out, target, infos[voice].path if voice is not None else None)
        )
        cut = False
        for pictures in zip_longest(*readers.values()):
            present = [picture for picture in pictures if picture is not None]
            if len(present) < len(pictures):
                warnings.append(_lengths(readers, writer.written))
                cut = True
                break
            fused = fuse([picture.pixels for picture in present])
            writer.write(_checked(fused, first), present[0].time)
            apart.compare(present)
            if advance is not None:
                advance(writer.written, max(expected, writer.written) if expected else 0, "frames")
        writer.close(cut_sound=cut)
        for said in (apart.warnings, *(reader.warnings for reader in readers.values()), writer.warnings):
            warnings.extend(said)
        return VideoResult(writer.written, float(writer.end), first.rate, voice, tuple(warnings))


class _TimeStamps:
    """Says when frames of the same number stop being of the same moment, as where one camera dropped a frame."""

    def __init__(self, roles: Sequence[str], rate: Fraction) -> None:
        self.warnings: list[str] = []
        self._roles = roles
        self._tolerated = Fraction(3, 4) / rate
        self._starts: list[Fraction] = []
        self._compared = 0

    def compare(self, pictures: Sequence[Picture]) -> None:
        times = [picture.time for picture in pictures]
        self._starts = self._starts or times
        since = [time - start for time, start in zip(times, self._starts, strict=True)]
        for role, passed in zip(self._roles[1:], since[1:], strict=True):
            if abs(passed - since[0]) > self._tolerated and not self.warnings:
                self.warnings.append(
                    f"from frame {self._compared} on, the time stamps of {self._roles[0]} and {role} differ by "
                    f"{float(abs(passed - since[0])):.3f} s: one camera may have dropped frames, or its rate varies; "
                    f"frames were paired by number (ffmpeg -i IN -vf fps={_plain(1 / self._tolerated * 3 / 4)} OUT "
                    "makes a rate constant)"
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
            raise UsageError(f"{out}: is the {role} video itself", hint="Give the fused video another name.")
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
                f"the videos differ in frame rate: {shown} frames a second, so frames of the same number do not show "
                "the same moment",
                hint=f"Bring them to one rate first: ffmpeg -i {faster.path.name} -vf fps={_exact(slower.rate)} "
                f"{faster.path.stem}-{_plain(slower.rate)}fps.mkv",
            )


def _sound_role(infos: Mapping[str, VideoInfo], asked: str | None) -> str | None:
    if asked is None:
        return next((role for role, info in infos.items() if info.audio), None)
    if asked in infos:
        if not infos[asked].audio:
            raise UsageError(f"{infos[asked].path}: has no sound to copy", hint=f"Those that have: {_speaking(infos)}")
        return asked
    if asked == NO_SOUND:
        return None
    raise UsageError(f"no source {asked!r} to copy sound from", hint=f"Sources: {', '.join(infos)}, or {NO_SOUND}.")


def _speaking(infos: Mapping[str, VideoInfo]) -> str:
    return ", ".join(role for role, info in infos.items() if info.audio) or "none"


def _checked(fused: Pixels, info: VideoInfo) -> Pixels:
    shape = (info.height, info.width)
    if fused.dtype != np.uint8 or fused.shape not in (shape, (*shape, 3)):
        raise UsageError(
            f"the fusing function gave {fused.dtype} {fused.shape}; a frame is uint8 {shape} or {(*shape, 3)}"
        )
    return fused


def _lengths(readers: Mapping[str, VideoReader], fused: int) -> str:
    """Says how the lengths differ, once the shortest has ended."""
    totals = {role: reader.delivered + reader.remaining() for role, reader in readers.items()}
    shown = ", ".join(f"{role} {total}" for role, total in totals.items())
    longest = max(totals, key=lambda role: totals[role])
    return (
        f"the videos differ in length ({shown} frames): the first {fused} were fused, "
        f"the last {totals[longest] - fused} of {longest} are left out"
    )


def _plain(rate: Fraction) -> str:
    return f"{float(rate):.3f}".rstrip("0").rstrip(".")


def _exact(rate: Fraction) -> str:
    return str(rate.numerator) if rate.denominator == 1 else f"{rate.numerator}/{rate.denominator}"
