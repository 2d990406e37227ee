"""Video: what goes in comes out, at the same times, with the same sound, in constant memory, without flicker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusekit.errors import DataError, FusekitError, RunError, UsageError
from fusekit.pipeline.inputs import kind_of
from fusekit.video import fuse_videos, inspect_video
from fusekit.video.reading import VideoReader
from tests.video.synthetic_video import (
    LOSSLESS,
    PLAIN,
    Recording,
    damage_packet,
    planes,
    scene,
    sound_packets,
    times,
    turn,
    write,
)

av: Any = pytest.importorskip("av", reason="video needs PyAV: pip install 'image-fusekit[video]'")
needs_h264 = pytest.mark.skipif("libx264" not in av.codecs_available, reason="this PyAV was built without libx264")
pytestmark = needs_h264

EXACT = Recording(options=tuple(LOSSLESS.items()))
REPOSITORY = Path(__file__).resolve().parents[2]


def mean(pictures: Any) -> Any:
    """The mean of the sources; grey only if all are."""
    colour = any(picture.ndim == 3 for picture in pictures)
    same = [np.dstack([p] * 3) if colour and p.ndim == 2 else p for p in pictures]
    return np.mean(same, axis=0).round().astype(np.uint8)


def pictures_of(path: Path) -> list[Any]:
    with VideoReader(inspect_video(path)) as reader:
        return [picture.pixels for picture in reader]


def psnr(got: Any, wanted: Any) -> float:
    error = np.mean((np.stack(got).astype(float) - np.stack(wanted).astype(float)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def pair(folder: Path, frames: int = 10, how: Recording = PLAIN, suffix: str = ".mp4") -> dict[str, Path]:
    """An infrared video without sound and a visible one."""
    return {
        "infrared": write(folder / f"ir{suffix}", scene(frames, colour=False), replace(how, sound=None)),
        "visible": write(folder / f"vi{suffix}", scene(frames, colour=True, seed=1), how),
    }


# -- what goes in comes out ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".avi"])
@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_two_equal_videos_fuse_to_themselves(tmp_path: Path, suffix: str, size: tuple[int, int]) -> None:
    frames = scene(12, colour=True, height=size[0], width=size[1])
    how = replace(EXACT, pixel_format="yuv444p")
    sources = {role: write(tmp_path / f"{role}.mkv", frames, how) for role in ("a", "b")}
    out = tmp_path / f"out{suffix}"
    seen: list[tuple[int, int, str]] = []
    result = fuse_videos(mean, sources, out, advance=lambda *step: seen.append(step))
    info = inspect_video(out)
    assert (result.frames, result.seconds, result.rate, result.audio) == (12, 0.48, 25, None)
    assert (info.height, info.width, info.rate) == (*size, 25)
    assert [step[:2] for step in seen] == [(n, 12) for n in range(1, 13)]
    got = pictures_of(out)
    # the sawn-off edge of the moving square loses some colour to 4:2:0; odd sizes are kept in 4:4:4
    assert psnr(got, frames) > (33 if size == (48, 64) else 38)
    assert psnr([p.mean(2) for p in got], [p.mean(2) for p in frames]) > 36
    assert not result.warnings


@pytest.mark.parametrize("rate", [Fraction(30), Fraction(30_000, 1001), Fraction(9), Fraction(25, 2)])
@pytest.mark.parametrize(("suffix", "tick"), [(".mp4", 0), (".mkv", Fraction(1, 1000)), (".avi", 0)])
def test_rate_and_time_stamps_are_kept(tmp_path: Path, rate: Fraction, suffix: str, tick: Any) -> None:
    sources = pair(tmp_path, 10, Recording(rate=rate))
    result = fuse_videos(mean, sources, tmp_path / f"out{suffix}")
    assert result.rate == rate
    assert result.seconds == pytest.approx(float(10 / rate))
    assert inspect_video(tmp_path / f"out{suffix}").rate == rate
    if suffix != ".avi":  # which has none
        got = times(tmp_path / f"out{suffix}")
        assert max(abs(t - n / rate) for n, t in enumerate(got)) <= tick


def test_varying_time_stamps_are_kept(tmp_path: Path) -> None:
    stamps = [0, 40, 80, 200, 210, 300, 1000, 1040]
    sources = pair(tmp_path, 8, Recording(stamps=stamps), ".mkv")
    result = fuse_videos(mean, sources, tmp_path / "out.mp4")
    assert [round(1000 * t) for t in times(tmp_path / "out.mp4")] == stamps
    assert not result.warnings
    lost = fuse_videos(mean, sources, tmp_path / "out.avi")
    assert "AVI supports only a constant frame rate" in " ".join(lost.warnings)


@pytest.mark.parametrize("shape", [(47, 63), (47, 64), (48, 63)])
def test_grey_videos_of_odd_size_stay_grey(tmp_path: Path, shape: tuple[int, int]) -> None:
    frames = scene(3, colour=False, height=shape[0], width=shape[1])
    sources = {role: write(tmp_path / f"{role}.mkv", frames, replace(EXACT, pixel_format="yuv444p")) for role in "ab"}
    fuse_videos(mean, sources, tmp_path / "out.mp4")
    got = pictures_of(tmp_path / "out.mp4")
    assert got[0].shape == shape
    assert psnr(got, frames) > 40


# -- levels and colours ----------------------------------------------------------------------------------------------

LEVELS = np.repeat(np.linspace(0, 255, 16).round(), 4)[None].repeat(32, 0)


@pytest.mark.parametrize(
    ("pixel_format", "codec", "full"),
    [
        ("yuv420p", "libx264", False),
        ("yuv420p", "libx264", True),
        ("yuvj420p", "mjpeg", True),
        ("gray", "ffv1", True),
        ("gray", "libx264", False),
        ("yuv420p10le", "libx264", False),
        ("gray16le", "ffv1", True),
    ],
)
def test_grey_levels_are_kept(tmp_path: Path, pixel_format: str, codec: str, full: bool) -> None:
    bits = 16 if "16" in pixel_format else 10 if "10" in pixel_format else 8
    unit = 1 << (bits - 8)
    stored = LEVELS / 255 * ((1 << bits) - 1) if full else 16 * unit + LEVELS / 255 * 219 * unit
    kind = np.uint8 if bits == 8 else np.uint16
    neutral = [np.full((16, 32), 128 * unit, kind)] * 2 if pixel_format.startswith("yuv") else []
    frame = planes(pixel_format, stored.round().astype(kind), *neutral)
    options = {"libx264": LOSSLESS, "mjpeg": {"qmin": "1", "qmax": "1"}}.get(codec, {})
    how = Recording(codec=codec, pixel_format=pixel_format, options=tuple(options.items()), full_range=full)
    path = write(tmp_path / "a.mkv", [frame] * 3, how)
    seen: list[Any] = []
    result = fuse_videos(lambda given: seen.append(given[0]) or given[0], {"a": path}, tmp_path / "out.mp4")
    assert seen[0].shape == (32, 64)
    assert np.abs(seen[0].astype(float) - LEVELS).max() <= (2 if codec == "mjpeg" else 1)
    for got in pictures_of(tmp_path / "out.mp4"):
        assert abs(float(got.mean()) - float(LEVELS.mean())) < 1.5
        assert np.abs(got.astype(float) - LEVELS)[:, 1::4].mean() < 2
    assert ("bits per sample" in " ".join(result.warnings)) == (bits > 8)


PATCHES = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 100, 50], [90, 90, 90], [255, 255, 255]], float)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("matrix", "red", "blue", "size"),
    [
        (6, 0.299, 0.114, (32, 96)),
        (1, 0.2126, 0.0722, (32, 96)),
        (2, 0.299, 0.114, (32, 96)),  # undeclared and small: BT.601
        (2, 0.2126, 0.0722, (32, 1280)),  # undeclared and HD: BT.709
    ],
)
def test_colours_are_kept(
    tmp_path: Path, matrix: int, red: float, blue: float, size: tuple[int, int], full: bool
) -> None:
    share = PATCHES / 255
    luma = share @ np.array([red, 1 - red - blue, blue])
    chroma = [(share[:, 2] - luma) / (2 * (1 - blue)), (share[:, 0] - luma) / (2 * (1 - red))]
    coded = [luma * 255 if full else 16 + 219 * luma, *(128 + (255 if full else 224) * c for c in chroma)]
    columns = np.arange(size[1]) * 6 // size[1]
    bands = [np.repeat(c.round().clip(0, 255)[columns][None], size[0], 0).astype(np.uint8) for c in coded]
    how = replace(EXACT, pixel_format="yuv444p", full_range=full, matrix=matrix)
    path = write(tmp_path / "a.mkv", [planes("yuv444p", *bands)] * 2, how)
    seen: list[Any] = []
    fuse_videos(lambda given: seen.append(given[0]) or given[0], {"a": path}, tmp_path / "out.mp4")
    middle = (np.arange(6) * size[1] + size[1] // 2) // 6
    assert np.abs(seen[0][16, middle].astype(float) - PATCHES).max() <= 3
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(container.streams.video[0]))
        declared = (int(frame.colorspace), int(frame.color_range))
    assert declared == (1 if size[1] >= 1280 else 6, 1)
    assert np.abs(pictures_of(tmp_path / "out.mp4")[0][16, middle].astype(float) - PATCHES).max() <= 6


# -- grey or colour, once a file -------------------------------------------------------------------------------------


def tinted(frame: Any, by: int) -> Any:
    """A grey frame in yuv420p with a spot whose chroma is off neutral."""
    height, width = frame.shape
    blue, red = np.full((2, height // 2, width // 2), 128, np.uint8)
    blue[4:8, 4:8] += by
    return planes("yuv420p", frame, blue, red)


def shapes_given(tmp_path: Path, frames: list[Any], how: Recording = EXACT) -> tuple[set[int], tuple[str, ...]]:
    path = write(tmp_path / "a.mkv", frames, how)
    seen: set[int] = set()
    result = fuse_videos(lambda given: seen.add(given[0].ndim) or given[0], {"a": path}, tmp_path / "out.mp4")
    return seen, result.warnings


def test_thermal_video_in_a_colour_format_is_grey(tmp_path: Path) -> None:
    grey = scene(6, colour=False)
    assert shapes_given(tmp_path, [tinted(f, n % 3) for n, f in enumerate(grey)]) == ({2}, ())


def test_colour_that_starts_after_the_first_frames_is_found(tmp_path: Path) -> None:
    grey = scene(60, colour=False)
    frames = [tinted(f, 40 if n >= 30 else 0) for n, f in enumerate(grey)]
    assert shapes_given(tmp_path, frames, replace(EXACT, options=(("qp", "0"), ("g", "6")))) == ({3}, ())


def test_colour_that_no_look_found_is_left_out_with_a_warning(tmp_path: Path) -> None:
    grey = scene(60, colour=False)
    frames = [tinted(f, 40 if n == 59 else 0) for n, f in enumerate(grey)]
    seen, warnings = shapes_given(tmp_path, frames)
    assert seen == {2}
    assert "has colour from frame 59 on" in warnings[0]


# -- sound -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "source", "suffix"),
    [
        ("aac", ".mp4", ".mp4"),
        ("aac", ".mp4", ".mkv"),
        ("aac", ".mov", ".mov"),
        ("libmp3lame", ".avi", ".mp4"),
        ("pcm_s16le", ".mkv", ".avi"),
    ],
)
def test_sound_is_copied_packet_by_packet(tmp_path: Path, codec: str, source: str, suffix: str) -> None:
    sources = pair(tmp_path, 30, Recording(sound=codec), source)
    result = fuse_videos(mean, sources, tmp_path / f"out{suffix}")
    before, after = sound_packets(sources["visible"]), sound_packets(tmp_path / f"out{suffix}")
    assert result.audio == "visible"
    assert [body for _, body in after] == [body for _, body in before]
    assert len(before) > 15
    # the time between sound and picture, which is what a viewer notices
    offset = after[0][0] - (times(tmp_path / f"out{suffix}")[0] if suffix != ".avi" else 0)
    wanted = before[0][0] - (times(sources["visible"])[0] if source != ".avi" else 0)
    assert abs(float(offset - wanted)) < 0.002


def test_sound_of_the_role_asked_for(tmp_path: Path) -> None:
    sources = pair(tmp_path, 10, Recording(sound="aac"))
    write(sources["infrared"], scene(10, colour=False), Recording(sound="libmp3lame"))
    assert fuse_videos(mean, sources, tmp_path / "1.mp4").audio == "infrared"
    assert fuse_videos(mean, sources, tmp_path / "2.mp4", audio_from="visible").audio == "visible"
    assert fuse_videos(mean, sources, tmp_path / "3.mp4", audio_from="none").audio is None
    assert [inspect_video(tmp_path / f"{n}.mp4").audio for n in (1, 2, 3)] == [("mp3",), ("aac",), ()]
    with pytest.raises(UsageError, match="no source 'thermal'"):
        fuse_videos(mean, sources, tmp_path / "4.mp4", audio_from="thermal")
    silent = pair(tmp_path)
    with pytest.raises(UsageError, match="has no audio track to copy"):
        fuse_videos(mean, silent, tmp_path / "4.mp4", audio_from="visible")


def test_sound_that_the_container_cannot_hold_is_refused_before_fusing(tmp_path: Path) -> None:
    sources = pair(tmp_path, 10, Recording(sound="libopus"), ".mkv") if "libopus" in av.codecs_available else None
    if sources is None:
        pytest.skip("this PyAV was built without libopus")

    def never(_: Any) -> Any:
        raise AssertionError("fused a frame")

    with pytest.raises(UsageError, match="does not support the audio track") as raised:
        fuse_videos(never, sources, tmp_path / "out.avi")
    assert ".mkv" in str(raised.value.hint)
    assert not list(tmp_path.glob("*out*"))
    assert fuse_videos(mean, sources, tmp_path / "out.mkv").audio == "visible"


# -- flicker ---------------------------------------------------------------------------------------------------------


def flicker(frames: list[Any]) -> float:
    """Mean change of the mean level from frame to frame on the region that nothing moves through."""
    levels = [float(frame[24:].mean()) for frame in frames]
    return float(np.abs(np.diff(levels)).mean())


def test_the_result_flickers_no_more_than_the_sources(tmp_path: Path) -> None:
    sources = pair(tmp_path, 40, Recording(rate=25))
    fuse_videos(mean, sources, tmp_path / "out.mp4")
    worst = max(flicker(pictures_of(path)) for path in sources.values())
    assert flicker(pictures_of(tmp_path / "out.mp4")) <= worst

    def stretched(given: Any) -> Any:
        grey = mean(given).astype(float)
        low, high = grey.min(), grey.max()
        return ((grey - low) / (high - low) * 255).round().astype(np.uint8)

    # the measure can see flicker: stretching each frame to its own noisy extremes makes it
    fuse_videos(stretched, sources, tmp_path / "bad.mp4")
    assert flicker(pictures_of(tmp_path / "bad.mp4")) > 2 * worst


# -- memory ----------------------------------------------------------------------------------------------------------

PEAK = """
import sys
from pathlib import Path
from fusekit.video import fuse_videos
folder = Path(sys.argv[1])
result = fuse_videos(lambda given: given[0], {"a": folder / "ir.mp4", "b": folder / "vi.mp4"}, folder / "out.mp4")
# not ru_maxrss, which a process inherits from the one that started it
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(result.frames, peak.split()[1])
"""


def run(script: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=REPOSITORY)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of resident memory as Linux counts it")
def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    peaks = []
    for seconds in (3, 20):
        folder = tmp_path / str(seconds)
        folder.mkdir()
        few = scene(25, colour=True, height=96, width=128)
        for name, sound in (("ir", None), ("vi", "aac")):
            how = Recording(sound=sound)
            write(folder / f"{name}.mp4", (few[n % 25] for n in range(25 * seconds)), how)
        done = run(PEAK, folder)
        assert done.returncode == 0, done.stderr
        frames, kilobytes = map(int, done.stdout.split())
        assert frames == 25 * seconds
        peaks.append(kilobytes)
    # 425 more frames of 96x128 are 31 MB decoded; what the encoder looks ahead at is full after 3 seconds
    assert peaks[1] - peaks[0] < 8_000, peaks


# -- what is refused, and what is warned of --------------------------------------------------------------------------


def cut(path: Path, share: float = 0.6) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def grey(count: int = 10, **options: Any) -> list[Any]:
    return scene(count, colour=False, **options)


def only_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def no_frames(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    return path


def text(path: Path, body: bytes) -> Path:
    path.write_bytes(body)
    return path


def changes_size(path: Path) -> Path:
    """Motion JPEG whose pictures become larger after the eighth."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        larger = av.CodecContext.create("mjpeg", "w")
        larger.width, larger.height, larger.pix_fmt, larger.time_base = 80, 64, "yuvj420p", Fraction(1, 25)
        for number in range(16):
            encoder, growth = (larger, 16) if number >= 8 else (stream, 0)
            frame = av.VideoFrame.from_ndarray(grey(1, height=48 + growth, width=64 + growth)[0], format="gray")
            frame = frame.reformat(format="yuvj420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            for packet in encoder.encode(frame):
                packet.stream = stream
                container.mux(packet)
    return path


DAMAGED = "The file is damaged, truncated, or not a video"
BAD: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "missing": (lambda folder: folder / "none.mp4", "no such file", ""),
    "a folder": (lambda folder: folder, "is a folder", ""),
    "empty": (lambda folder: text(folder / "b.mp4", b""), "is empty", ""),
    "text": (lambda folder: text(folder / "b.mp4", b"no video at all\n" * 99), "cannot be opened", DAMAGED),
    "a playlist": (
        lambda folder: text(folder / "b.mp4", b"#EXTM3U\n#EXTINF:1,\nhttp://localhost:9/a.ts\n"),
        "cannot be opened|none of its frames",
        DAMAGED,
    ),
    "mp4 cut before its index": (lambda folder: cut(write(folder / "b.mp4", grey())), "cannot be opened", "index"),
    "mp4 with its index first, cut": (
        lambda folder: cut(write(folder / "b.mov", grey(60), replace(EXACT, sound=None))) and folder / "b.mov",
        "cannot be (opened|decoded)",
        DAMAGED,
    ),
    "mkv cut": (lambda folder: cut(write(folder / "b.mkv", grey(60))), "the file ends there", "Copy the file again"),
    "avi cut": (lambda folder: cut(write(folder / "b.avi", grey(60))), "cannot be decoded", "Copy the file again"),
    "only sound": (lambda folder: only_sound(folder / "b.mp4"), "has no video stream.*audio", ""),
    "no frames": (
        lambda folder: no_frames(folder / "b.mkv"),
        "none of its frames|cannot be opened|no video stream",
        DAMAGED,
    ),
    "too small": (lambda folder: write(folder / "b.mp4", grey(height=12)), "at least 16x16", ""),
    "other size": (
        lambda folder: write(folder / "b.mp4", grey(height=64, width=80)),
        "differ in size: a 64x48, b 80x64",
        "scale=64:48",
    ),
    "other rate": (
        lambda folder: write(folder / "b.mp4", grey(), Recording(rate=30)),
        "differ in frame rate: a 25, b 30",
        "fps=25",
    ),
    "size that changes": (
        lambda folder: changes_size(folder / "b.mkv"),
        "the frame size changes.*at frame 8",
        "scale=64:48",
    ),
}


@pytest.mark.parametrize(("make", "cause", "advice"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused(tmp_path: Path, make: Callable[[Path], Path], cause: str, advice: str) -> None:
    good = write(tmp_path / "a.mp4", grey(60))
    out = tmp_path / "out.mp4"
    with pytest.raises(DataError, match=cause) as raised:
        fuse_videos(mean, {"a": good, "b": make(tmp_path)}, out)
    assert (advice in str(raised.value.hint)) if advice else (raised.value.hint is None)
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]


def test_rates_of_film_and_of_its_nominal_number_differ(tmp_path: Path) -> None:
    sources = {
        "a": write(tmp_path / "a.mp4", grey(), Recording(rate=30)),
        "b": write(tmp_path / "b.mp4", grey(), Recording(rate=Fraction(30_000, 1001))),
    }
    with pytest.raises(DataError, match=r"a 30, b 29\.97 ") as raised:
        fuse_videos(mean, sources, tmp_path / "out.mp4")
    assert "fps=30000/1001" in str(raised.value.hint)


@pytest.mark.parametrize(
    ("codec", "suffix", "options"),
    [
        ("libx264", ".mp4", {"crf": "8"}),
        ("libx264", ".mkv", {"crf": "8"}),
        ("mpeg4", ".avi", {"qmin": "2", "qmax": "2"}),
        ("mpeg4", ".mov", {"qmin": "2", "qmax": "2"}),
    ],
)
def test_a_damaged_packet_is_named_by_its_frame(
    tmp_path: Path, codec: str, suffix: str, options: dict[str, str]
) -> None:
    how = Recording(codec=codec, options=tuple(options.items()))
    sources = pair(tmp_path, 40, how, suffix)
    stamp = damage_packet(sources["visible"], 25)
    number = 25 if suffix == ".avi" else round(stamp * 25)
    with pytest.raises(DataError, match=rf"vi\{suffix}: frame {number} \(at {number / 25:.2f} s\)"):
        fuse_videos(mean, sources, tmp_path / "out.mp4")
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]


def test_lengths_that_differ_are_fused_up_to_the_shorter(tmp_path: Path) -> None:
    sources = pair(tmp_path, 40, Recording(sound="aac"))
    write(sources["infrared"], grey(28))
    result = fuse_videos(mean, sources, tmp_path / "out.mp4")
    assert result.frames == 28
    assert result.warnings == (
        "the videos differ in length (infrared 28, visible 40 frames): the first 28 frames were fused, "
        "the last 12 of visible were not",
    )
    assert len(times(tmp_path / "out.mp4")) == 28
    assert 1.0 < sound_packets(tmp_path / "out.mp4")[-1][0] < 28 / 25  # the sound ends with the picture
    turned = {"visible": sources["visible"], "infrared": sources["infrared"]}
    assert "the last 12 of visible" in fuse_videos(mean, turned, tmp_path / "2.mp4").warnings[0]


def test_a_camera_that_dropped_frames_is_warned_of(tmp_path: Path) -> None:
    even = [40 * n for n in range(20)]
    sources = {
        "a": write(tmp_path / "a.mkv", grey(19), Recording(stamps=even[:19])),
        "b": write(tmp_path / "b.mkv", grey(19), Recording(stamps=even[:7] + even[8:])),
    }
    result = fuse_videos(mean, sources, tmp_path / "out.mp4")
    assert result.frames == 19
    assert "from frame 7 on, the time stamps of a and b differ by 0.040 s" in " ".join(result.warnings)


@pytest.mark.parametrize(
    ("matrix", "degrees", "turned"),
    [
        ((0, 1, -1, 0), 90, lambda a: np.rot90(a, -1)),
        ((-1, 0, 0, -1), 180, lambda a: np.rot90(a, 2)),
        ((0, -1, 1, 0), 270, lambda a: np.rot90(a, 1)),
        ((-1, 0, 0, 1), 0, lambda a: a[:, ::-1]),
    ],
)
def test_rotation_is_honoured(tmp_path: Path, matrix: Any, degrees: int, turned: Callable[[Any], Any]) -> None:
    frames = grey(4)
    path = turn(write(tmp_path / "a.mp4", frames, EXACT), matrix)
    info = inspect_video(path)
    assert (info.height, info.width) == turned(frames[0]).shape
    assert info.rotation == degrees
    fuse_videos(mean, {"a": path}, tmp_path / "out.mp4")
    assert inspect_video(tmp_path / "out.mp4").rotation == 0
    assert psnr(pictures_of(tmp_path / "out.mp4"), [turned(frame) for frame in frames]) > 40


# -- the file that is written ----------------------------------------------------------------------------------------


def test_what_the_output_may_not_be(tmp_path: Path) -> None:
    sources = pair(tmp_path)
    there = tmp_path / "there.mp4"
    there.write_bytes(b"precious")
    for out, cause in [
        (there, "exists"),
        (tmp_path / "out.webm", "written as .avi, .mkv, .mov, .mp4"),
        (tmp_path / "out", "without suffix"),
        (sources["visible"], "is the visible video itself"),
    ]:
        with pytest.raises(UsageError, match=cause):
            fuse_videos(mean, sources, out)
    (tmp_path / "link.mp4").symlink_to(sources["infrared"])
    with pytest.raises(UsageError, match="is the infrared video itself"):
        fuse_videos(mean, sources, tmp_path / "link.mp4", overwrite=True)
    assert there.read_bytes() == b"precious"
    assert fuse_videos(mean, sources, there, overwrite=True).frames == 10
    with pytest.raises(UsageError, match="nothing to fuse"):
        fuse_videos(mean, {}, tmp_path / "out.mp4")


def test_an_error_keeps_what_was_there(tmp_path: Path) -> None:
    sources = pair(tmp_path)
    out = tmp_path / "out.mp4"
    out.write_bytes(b"precious")
    before = sorted(path.name for path in tmp_path.iterdir())
    calls: list[int] = []

    def fails_late(given: Any) -> Any:
        calls.append(1)
        if len(calls) == 6:
            raise ZeroDivisionError
        return mean(given)

    with pytest.raises(ZeroDivisionError):
        fuse_videos(fails_late, sources, out, overwrite=True)
    for wrong in (lambda given: given[0].astype(np.float32), lambda given: given[0][1:], lambda given: given[0][None]):
        with pytest.raises(UsageError, match="the fusing function returned"):
            fuse_videos(wrong, sources, out, overwrite=True)
    assert out.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == before


SLOW = """
import sys, time
from pathlib import Path
from fusekit.video import fuse_videos
folder = Path(sys.argv[1])
def slow(given):
    time.sleep(0.05)
    return given[0]
fuse_videos(slow, {"a": folder / "ir.mp4", "b": folder / "vi.mp4"}, folder / "out.mp4",
            advance=lambda done, total, note: print(done, flush=True))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_kill_leaves_no_half_file_and_does_not_confuse_the_next_run(tmp_path: Path) -> None:
    sources = pair(tmp_path, 60)
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    ) as process:
        assert process.stdout is not None
        assert any(line.strip() == "20" for line in process.stdout)
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "out.mp4").exists()
    assert [path for path in tmp_path.iterdir() if "out" in path.name], "the half file is there, under another name"
    assert fuse_videos(mean, sources, tmp_path / "out.mp4").frames == 60
    assert len(pictures_of(tmp_path / "out.mp4")) == 60


FULL = """
import resource, sys
from pathlib import Path
from fusekit.video import fuse_videos
folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
fuse_videos(lambda given: given[1], {"a": folder / "ir.mp4", "b": folder / "vi.mp4"}, folder / sys.argv[3])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on the size of files")
@pytest.mark.parametrize(("limit", "out"), [(100, "out.mkv"), (9_000, "out.mp4"), (9_000, "out.avi")])
def test_a_full_disk_is_a_run_error(tmp_path: Path, limit: int, out: str) -> None:
    pair(tmp_path, 40, Recording(sound="aac"))
    done = run(FULL, tmp_path, limit, out)
    assert "RunError" in done.stderr.splitlines()[-2], done.stderr
    assert "cannot be written" in done.stderr
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_a_run_error(tmp_path: Path) -> None:
    sources = pair(tmp_path)
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(RunError, match="cannot be written"):
        fuse_videos(mean, sources, tmp_path / "locked" / "out.mp4")


# -- what is installed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_without_libx264_the_video_is_mpeg4_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    frames = scene(10, colour=True, height=size[0], width=size[1])
    sources = {"a": write(tmp_path / "a.mkv", frames, replace(EXACT, pixel_format="yuv444p"))}
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    result = fuse_videos(mean, sources, tmp_path / "out.mp4")
    assert "without libx264" in " ".join(result.warnings)
    assert inspect_video(tmp_path / "out.mp4").codec == "mpeg4"
    assert psnr([p.mean(2) for p in pictures_of(tmp_path / "out.mp4")], [p.mean(2) for p in frames]) > 38
    monkeypatch.setattr(av, "codecs_available", set())
    assert times(tmp_path / "out.mp4") == [Fraction(n, 25) for n in range(10)]
    with pytest.raises(UsageError, match=r"neither H\.264 nor MPEG-4"):
        fuse_videos(mean, sources, tmp_path / "none.mp4")


def test_a_missing_pyav_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.mp4", grey(2))
    monkeypatch.setitem(sys.modules, "av", None)
    for call in (lambda: inspect_video(path), lambda: fuse_videos(mean, {"a": path}, tmp_path / "out.mp4")):
        with pytest.raises(FusekitError, match="PyAV") as raised:
            call()
        assert "image-fusekit[video]" in str(raised.value.hint)
        assert isinstance(raised.value, UsageError)


def test_importing_the_module_imports_neither_pyav_nor_torch() -> None:
    done = run("import sys, fusekit.video; print([n for n in ('av', 'torch') if n in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


def test_videos_are_told_by_their_suffix(tmp_path: Path) -> None:
    for name, kind in (("a.mp4", "videos"), ("b.MKV", "videos"), ("c.avi", "videos"), ("a.PNG", "images")):
        (tmp_path / name).touch()
        assert kind_of({"a": tmp_path / name}) == kind
    (tmp_path / "b.gif").touch()
    with pytest.raises(UsageError, match="neither that of an image nor of a video"):
        kind_of({"a": tmp_path / "b.gif"})
