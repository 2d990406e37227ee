"""Small synthetic videos with known contents, written and read back with PyAV."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

SAMPLE_RATE = 16_000
LOSSLESS = {"qp": "0"}


def scene(frames: int, *, colour: bool, height: int = 48, width: int = 64, seed: int = 0) -> list[Any]:
    """A still ramp, a square that moves to the right, and sensor noise: (H, W) or (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    columns = np.linspace(30, 200, width)[None].repeat(height, 0)
    made = []
    for index in range(frames):
        grey = columns + rng.normal(0, 2, (height, width))
        left = 2 * index % (width - 10)
        grey[10:20, left : left + 10] = 230
        levels = np.stack([grey, grey * 0.7, grey * 0.4], axis=2) if colour else grey
        made.append(levels.round().clip(0, 255).astype(np.uint8))
    return made


@dataclass(frozen=True)
class Recording:
    """How a video is written; `stamps` are time stamps in ticks of 1/1000 s instead of a constant rate."""

    rate: Fraction | int = 25
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    options: tuple[tuple[str, str], ...] = (("crf", "8"), ("preset", "ultrafast"))
    sound: str | None = None
    full_range: bool = False
    matrix: int = 2
    stamps: Sequence[int] | None = None


PLAIN = Recording()


def write(path: Path, frames: Iterable[Any], how: Recording = PLAIN) -> Path:
    """Writes (H, W) or (H, W, 3) uint8 frames, or frames of PyAV, and a tone of 440 Hz for as long."""
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(how.codec, rate=Fraction(how.rate), options=dict(how.options))
        stream.pix_fmt = how.pixel_format
        stream.codec_context.color_range = 2 if how.full_range else 1
        stream.codec_context.colorspace = how.matrix
        if how.stamps is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        tone = container.add_stream(how.sound, rate=SAMPLE_RATE, layout="mono") if how.sound else None
        count = 0
        for given in frames:
            frame = given
            if isinstance(given, np.ndarray):
                frame = av.VideoFrame.from_ndarray(given, format="gray" if given.ndim == 2 else "rgb24")
                if how.pixel_format.startswith("yuv") and frame.format.name != how.pixel_format:
                    # PyAV hands "gray" on as full range; this is what a camera's own encoder would store
                    frame = frame.reformat(format="rgb24").reformat(
                        format=how.pixel_format,
                        src_colorspace=1 if how.matrix == 1 else 5,
                        dst_colorspace=1 if how.matrix == 1 else 5,
                        src_color_range=2,
                        dst_color_range=2 if how.full_range else 1,
                    )
            if count == 0:
                stream.width, stream.height = frame.width, frame.height
            frame.pts, frame.time_base = count, 1 / Fraction(how.rate)
            if how.stamps is not None:
                frame.pts, frame.time_base = how.stamps[count], Fraction(1, 1000)
            container.mux(stream.encode(frame))
            count += 1
        container.mux(stream.encode(None))
        if tone is not None:
            _write_tone(container, tone, count / float(how.rate))
    return path


def _write_tone(container: Any, stream: Any, seconds: float) -> None:
    import av

    wave = 8000 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE)
    whole = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
    whole.sample_rate, whole.pts = SAMPLE_RATE, 0
    fifo = av.AudioFifo()
    for part in av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=SAMPLE_RATE).resample(whole):
        fifo.write(part)
    while (piece := fifo.read(stream.codec_context.frame_size or 1024, partial=True)) is not None:
        container.mux(stream.encode(piece))
    container.mux(stream.encode(None))


def planes(pixel_format: str, *levels: Any) -> Any:
    """A frame whose planes hold what is given, each a 2-D array of the plane's own type and size."""
    import av

    height, width = levels[0].shape
    frame = av.VideoFrame(width, height, pixel_format)
    for plane, values in zip(frame.planes, levels, strict=True):
        padded = np.zeros((plane.height, plane.line_size // values.itemsize), values.dtype)
        padded[:, : plane.width] = values
        plane.update(padded.tobytes())
    return frame


def times(path: Path) -> list[Fraction]:
    """When each frame is shown."""
    import av

    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(container.streams.video[0])]


def sound_packets(path: Path) -> list[tuple[Fraction, bytes]]:
    """Time and contents of each audio packet."""
    import av

    with av.open(str(path)) as container:
        packets = container.demux(container.streams.audio[0])
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in packets if packet.size]


def damage_packet(path: Path, number: int) -> Fraction:
    """Overwrites most of a packet with noise; returns the time stamp of the frame in it."""
    import av

    with av.open(str(path)) as container:
        stored = [packet for packet in container.demux(container.streams.video[0]) if packet.size]
        position, size = stored[number].pos, stored[number].size
        time = stored[number].pts * stored[number].time_base
    body = bytearray(path.read_bytes())
    noise = np.random.default_rng(1).integers(0, 256, size // 2, dtype=np.uint8).tobytes()
    body[position + size // 3 : position + size // 3 + len(noise)] = noise
    path.write_bytes(body)
    return time


def turn(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Writes a display matrix (a, b, c, d) into the track header of an MP4 file, as phones do."""
    body = bytearray(path.read_bytes())
    start = body.find(b"tkhd") + 4 + 4 + 20 + 8 + 8
    assert struct.unpack(">9i", body[start : start + 36])[0] == 0x10000, "not a version 0 header"
    a, b, c, d = (value << 16 for value in matrix)
    body[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(body)
    return path
