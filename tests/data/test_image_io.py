"""Images from files and back: bits, refusals, atomic writing."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import torch
from PIL import Image

from fusekit.data.image_io import read_image, read_label, write_image
from fusekit.errors import DataError, RunError, UsageError
from fusekit_datasets.config import MSRS_TABLE
from tests.data.files import levels, png16_rgb, png_bytes, save

GREY8, RGB8 = levels((20, 24), np.uint8), levels((20, 24, 3), np.uint8)
GREY16, RGB16 = levels((20, 24), np.uint16), levels((20, 24, 3), np.uint16)
ALPHA8 = np.zeros((20, 24, 1), np.uint8)


def expected(pixels: npt.NDArray[Any]) -> torch.Tensor:
    """What reading these levels must give."""
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return torch.from_numpy(planes.astype(np.float64) / np.iinfo(pixels.dtype).max).to(torch.float32)


def pillow(name: str, **options: Any) -> Callable[[Path, Any], Any]:
    return lambda path, pixels: Image.fromarray(pixels).save(path, format=name, **options)


def tiff(**options: Any) -> Callable[[Path, Any], Any]:
    return lambda path, pixels: tifffile.imwrite(path, pixels, **options)


def codecs_png(path: Path, pixels: Any) -> None:
    path.write_bytes(pytest.importorskip("imagecodecs").png_encode(pixels))


RGB, GREY = {"photometric": "rgb"}, {"photometric": "minisblack"}
EXACT: dict[str, tuple[Callable[[Path, Any], Any], Any, Any]] = {
    "png grey 8": (pillow("PNG"), GREY8, GREY8),
    "png rgb 8": (pillow("PNG"), RGB8, RGB8),
    "png grey 16": (pillow("PNG"), GREY16, GREY16),
    "png rgb 16": (codecs_png, RGB16, RGB16),
    "png grey and alpha 8": (pillow("PNG"), np.dstack([GREY8, ALPHA8]), GREY8),
    "png rgb and alpha 8": (pillow("PNG"), np.dstack([RGB8, ALPHA8]), RGB8),
    "png grey and alpha 16": (codecs_png, np.dstack([GREY16, ALPHA8.astype(np.uint16)]), GREY16),
    "png rgb and alpha 16": (codecs_png, np.dstack([RGB16, ALPHA8.astype(np.uint16)]), RGB16),
    "bmp grey": (pillow("BMP"), GREY8, GREY8),
    "bmp rgb": (pillow("BMP"), RGB8, RGB8),
    "tiff grey 8": (tiff(**GREY), GREY8, GREY8),
    "tiff rgb 8": (tiff(**RGB), RGB8, RGB8),
    "tiff rgb 8, lzw": (pillow("TIFF", compression="tiff_lzw"), RGB8, RGB8),
    "tiff rgb and alpha 8": (tiff(**RGB, extrasamples=["unassalpha"]), np.dstack([RGB8, ALPHA8]), RGB8),
    "tiff grey 16": (tiff(**GREY), GREY16, GREY16),
    "tiff grey 16, big-endian": (tiff(**GREY, byteorder=">"), GREY16, GREY16),
    "tiff grey 16, zlib": (tiff(**GREY, compression="zlib"), GREY16, GREY16),
    "tiff grey 16, white is zero": (tiff(photometric="miniswhite"), 65535 - GREY16, GREY16),
    "tiff rgb 16": (tiff(**RGB), RGB16, RGB16),
    "tiff rgb 16, planes apart": (
        tiff(**RGB, planarconfig="separate"),
        np.ascontiguousarray(RGB16.transpose(2, 0, 1)),
        RGB16,
    ),
    "tiff rgb and alpha 16": (
        tiff(**RGB, extrasamples=["unassalpha"]),
        np.dstack([RGB16, ALPHA8.astype(np.uint16)]),
        RGB16,
    ),
}


@pytest.mark.parametrize(("write", "stored", "meant"), EXACT.values(), ids=EXACT.keys())
def test_every_bit_is_kept(
    tmp_path: Path, write: Callable[[Path, Any], None], stored: Any, meant: npt.NDArray[Any]
) -> None:
    path = tmp_path / "image"
    write(path, stored)
    image = read_image(path)
    assert image.dtype == torch.float32
    assert image.is_contiguous()
    assert torch.equal(image, expected(meant))
    peak = np.iinfo(meant.dtype).max
    planes = meant[None] if meant.ndim == 2 else meant.transpose(2, 0, 1)
    assert np.array_equal((image.numpy() * np.float32(peak)).round().astype(meant.dtype), planes)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("shape", [(20, 24), (20, 24, 3)])
def test_float_tiff_is_read_as_it_is(tmp_path: Path, dtype: Any, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).random(shape).astype(dtype)
    tifffile.imwrite(tmp_path / "f.tif", values, photometric="rgb" if len(shape) == 3 else "minisblack")
    read = read_image(tmp_path / "f.tif").numpy()
    assert np.array_equal(read[0] if len(shape) == 2 else read.transpose(1, 2, 0), values.astype(np.float32))


def test_jpeg_is_read_as_pillow_decodes_it(tmp_path: Path) -> None:
    Image.fromarray(RGB8).save(tmp_path / "a.jpg", quality=95)
    assert torch.equal(read_image(tmp_path / "a.jpg"), expected(np.asarray(Image.open(tmp_path / "a.jpg"))))
    Image.fromarray(GREY8).save(tmp_path / "b.jpg", quality=95)
    assert read_image(tmp_path / "b.jpg").shape == (1, 20, 24)


def test_three_equal_channels_stay_three(tmp_path: Path) -> None:
    assert read_image(save(tmp_path / "a.png", np.dstack([GREY8] * 3))).shape == (3, 20, 24)


def test_palette_and_one_bit_are_converted(tmp_path: Path) -> None:
    flat = Image.fromarray((GREY8 % 4).astype(np.uint8), mode="P")
    flat.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 10, 20, 30])
    flat.save(tmp_path / "p.png", transparency=bytes([0, 0, 0, 0]))
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [10, 20, 30]], np.uint8)
    assert torch.equal(read_image(tmp_path / "p.png"), expected(colours[GREY8 % 4]))
    Image.fromarray(GREY8 > 127).save(tmp_path / "1.png")
    assert torch.equal(read_image(tmp_path / "1.png")[0], torch.from_numpy((GREY8 > 127).astype(np.float32)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "PNG16", "TIFF16"])
def test_orientation_is_honoured(tmp_path: Path, orientation: int, kind: str) -> None:
    turns: dict[int, Callable[[Any], Any]] = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: np.rot90(a, 2),
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: lambda a: np.rot90(a, 1),
    }
    path, exif = tmp_path / "a", Image.Exif()
    exif[0x0112] = orientation
    if kind == "PNG16":
        pytest.importorskip("imagecodecs")
        path.write_bytes(png16_rgb(RGB16, after=((b"eXIf", exif.tobytes()[6:]),)))
    elif kind == "TIFF16":
        extra = [(274, "H", 1, orientation, True)]
        tifffile.imwrite(path, GREY16, photometric="minisblack", extratags=extra)
    elif kind == "TIFF":
        Image.fromarray(RGB8).save(path, format=kind, tiffinfo={274: orientation})
    else:
        Image.fromarray(RGB8).save(path, format=kind, exif=exif)
    stored = {"PNG16": RGB16, "TIFF16": GREY16, "JPEG": np.asarray(Image.open(path))}.get(kind, RGB8)
    image = read_image(path)
    assert torch.equal(image, expected(np.ascontiguousarray(turns[orientation](stored))))


def _cut(body: bytes, share: float = 0.5) -> bytes:
    return body[: int(len(body) * share)]


def _encoded(pixels: Any, name: str, **options: Any) -> bytes:
    body = io.BytesIO()
    Image.fromarray(pixels).save(body, format=name, **options)
    return body.getvalue()


def _converted(mode: str, name: str) -> bytes:
    body = io.BytesIO()
    Image.fromarray(RGB8).convert(mode).save(body, format=name)
    return body.getvalue()


def _tiff(pixels: Any, **options: Any) -> bytes:
    body = io.BytesIO()
    tifffile.imwrite(body, pixels, **options)
    return body.getvalue()


def _damaged(body: bytes) -> bytes:
    return body[: len(body) // 2] + bytes([body[len(body) // 2] ^ 255]) + body[len(body) // 2 + 1 :]


FLOAT = GREY8.astype(np.float32) / 255
ANIMATION = io.BytesIO()
Image.fromarray(RGB8).save(ANIMATION, "PNG", save_all=True, append_images=[Image.fromarray(255 - RGB8)])

BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "text": (b"no image at all, just words\n" * 9, "is not an image"),
    "gif": (_encoded(GREY8, "GIF"), "is not an image"),
    "png, truncated": (_cut(_encoded(RGB8, "PNG")), "cannot be decoded"),
    "png, header cut": (_encoded(RGB8, "PNG")[:20], "truncated within its header"),
    "png, flipped bit": (_damaged(_encoded(RGB8, "PNG")), "cannot be decoded"),
    "png 16 bit, truncated": (_cut(png16_rgb(RGB16)), "cannot be decoded|keep only 8"),
    "png, bomb": (png_bytes(40000, 40000, 8, 2, b""), "declares more pixels"),
    "png 16 bit, bomb": (png_bytes(40000, 40000, 16, 2, b""), "declares more pixels"),
    "png, animated": (ANIMATION.getvalue(), "animation"),
    "png, too small": (_encoded(RGB8[:15], "PNG"), "at least 16x16"),
    "png 16 bit, too small": (png16_rgb(RGB16[:, :15]), "at least 16x16"),
    "jpeg, truncated": (_cut(_encoded(RGB8, "JPEG")), "cannot be decoded"),
    "jpeg, only a start": (_encoded(RGB8, "JPEG")[:12], "is not an image|cannot be decoded"),
    "jpeg, cmyk": (_converted("CMYK", "JPEG"), "CMYK"),
    "bmp, truncated": (_cut(_encoded(RGB8, "BMP")), "cannot be decoded"),
    "tiff, truncated": (_cut(_tiff(RGB8, **RGB)), "cannot be decoded"),
    "tiff 16 bit, truncated": (_cut(_tiff(RGB16, **RGB), 0.9), "cannot be decoded"),
    "tiff 16 bit, zlib truncated": (_cut(_tiff(RGB16, **RGB, compression="zlib"), 0.9), "cannot be decoded"),
    "tiff, cmyk": (_converted("CMYK", "TIFF"), "CMYK"),
    "tiff, cmyk 16": (_tiff(np.dstack([RGB16, GREY16]), photometric="separated"), "SEPARATED"),
    "tiff, two pages": (_tiff(np.stack([GREY8, GREY8]), **GREY), "2 pages"),
    "tiff, signed": (_tiff(GREY16.astype(np.int16), **GREY), "int16"),
    "tiff, 32-bit integers": (_tiff(GREY16.astype(np.uint32), **GREY), "uint32"),
    "tiff, undeclared channels": (_tiff(RGB16, photometric="minisblack", planarconfig="contig"), "samples"),
    "tiff, float above 1": (_tiff(FLOAT * 255, **GREY), r"are in \[0, 255\]"),
    "tiff, float below 0": (_tiff(FLOAT - 0.5, **GREY), r"are in \[-0.5, 0.5\]"),
    "tiff, float nan": (_tiff(np.where(FLOAT > 0.99, np.nan, FLOAT), **GREY), "NaN"),
    "tiff, only a start": (_tiff(RGB16, **RGB)[:10], "cannot be decoded|pages"),
}


@pytest.mark.parametrize(("body", "cause"), BAD.values(), ids=BAD.keys())
def test_bad_files_are_refused_with_path_and_cause(tmp_path: Path, body: bytes, cause: str) -> None:
    path = tmp_path / "bad.bin"
    path.write_bytes(body)
    with pytest.raises(DataError, match=cause) as raised:
        read_image(path)
    assert str(path) in raised.value.message


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(DataError, match="is a folder"):
        read_image(tmp_path)


def test_deep_colour_without_decoder_is_refused_naming_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(png16_rgb(RGB16))
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(DataError, match=r"image-fusekit\[io\]"):
        read_image(tmp_path / "a.png")
    with pytest.raises(UsageError, match=r"image-fusekit\[io\]"):
        write_image(tmp_path / "b.png", expected(RGB16), bit_depth=16)


def test_compression_without_decoder_is_refused_naming_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(GREY16).save(tmp_path / "a.tif", compression="tiff_lzw")

    def lacking(_: tifffile.TiffPage) -> None:
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", lacking)
    with pytest.raises(DataError, match=r"compressed with LZW.*\n.*image-fusekit\[io\]"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff"])
def test_no_cut_file_passes_for_a_whole_one(tmp_path: Path, kind: str) -> None:
    body = _tiff(RGB16, **RGB, compression="zlib") if kind == "tiff" else _encoded(RGB8, kind)
    path = tmp_path / "a"
    path.write_bytes(body)
    whole, refused = read_image(path), 0
    for length in range(0, len(body), 37):
        path.write_bytes(body[:length])
        try:  # only marks behind the last pixel may be lacking
            assert torch.equal(read_image(path), whole)
        except DataError:
            refused += 1
    assert refused >= len(body) // 37 - 1


LABEL = (GREY8 % 9).astype(np.uint8)


def _label_files() -> dict[str, bytes]:
    palette = Image.fromarray(LABEL, mode="P")
    palette.putpalette([channel for colour in MSRS_TABLE.palette for channel in colour])
    body = io.BytesIO()
    palette.save(body, "PNG")
    nibbles = b"".join(b"\0" + (row[::2] << 4 | row[1::2]).tobytes() for row in LABEL)
    return {
        "grey": _encoded(LABEL, "PNG"),
        "palette": body.getvalue(),
        "grey of 4 bits": png_bytes(24, 20, 4, 0, nibbles),
        "grey of 16 bits": _encoded(LABEL.astype(np.uint16), "PNG"),
        "tiff": _tiff(LABEL, **GREY),
    }


@pytest.mark.parametrize(("body"), _label_files().values(), ids=_label_files().keys())
def test_labels_are_read_as_indices(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "l.png").write_bytes(body)
    label = read_label(tmp_path / "l.png", MSRS_TABLE)
    assert label.dtype == torch.int64
    assert np.array_equal(label.numpy(), LABEL)


def test_labels_of_one_bit_and_with_ignored_pixels(tmp_path: Path) -> None:
    Image.fromarray(GREY8 > 127).save(tmp_path / "1.png")
    assert np.array_equal(read_label(tmp_path / "1.png", MSRS_TABLE).numpy(), GREY8 > 127)
    masked = LABEL.copy()
    masked[3] = 255
    assert np.array_equal(read_label(save(tmp_path / "i.png", masked), MSRS_TABLE).numpy(), masked)


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (_encoded((GREY8 % 12).astype(np.uint8), "PNG"), "not classes: 9, 10, 11 "),
        (_encoded(RGB8, "PNG"), "three channels"),
        (_encoded(LABEL, "JPEG"), "neither PNG nor TIFF"),
        (_tiff(FLOAT, **GREY), "floating point"),
        (_cut(_encoded(LABEL, "PNG")), "cannot be decoded"),
    ],
)
def test_bad_labels_are_refused(tmp_path: Path, body: bytes, cause: str) -> None:
    (tmp_path / "l.png").write_bytes(body)
    with pytest.raises(DataError, match=cause):
        read_label(tmp_path / "l.png", MSRS_TABLE)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
@pytest.mark.parametrize("pixels", [GREY8, RGB8, GREY16, RGB16], ids=["grey8", "rgb8", "grey16", "rgb16"])
def test_written_images_come_back_bit_for_bit(tmp_path: Path, pixels: Any, suffix: str) -> None:
    if pixels is RGB16 and suffix == ".png":
        pytest.importorskip("imagecodecs")
    path = tmp_path / "new" / f"a{suffix}"
    write_image(path, expected(pixels), bit_depth=8 if pixels.dtype == np.uint8 else 16)
    assert torch.equal(read_image(path), expected(pixels))
    assert os.listdir(path.parent) == [path.name]


def test_writing_clips_and_rounds_to_the_nearest(tmp_path: Path) -> None:
    image = torch.full((16, 16), 100.4 / 255)
    image[0, 0], image[0, 1], image[0, 2] = -3.0, 7.0, 100.6 / 255
    write_image(tmp_path / "a.png", image)
    assert np.asarray(Image.open(tmp_path / "a.png"))[0, :4].tolist() == [0, 255, 101, 100]


def test_writing_refuses_what_it_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="PNG or TIFF"):
        write_image(tmp_path / "a.jpg", torch.zeros(1, 16, 16))
    with pytest.raises(UsageError, match=r"\(2, 16, 16\)"):
        write_image(tmp_path / "a.png", torch.zeros(2, 16, 16))
    with pytest.raises(RunError, match="NaN"):
        write_image(tmp_path / "a.png", torch.full((16, 16), float("nan")))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_keeps_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write_image(path, expected(GREY8))
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"No space left on device\); the earlier file of that name is untouched"):
        write_image(path, expected(RGB8))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.png"]


def test_an_unwritable_place_is_an_error_with_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RunError, match="nothing was written"):
        write_image(tmp_path / "file" / "a.png", expected(GREY8))
