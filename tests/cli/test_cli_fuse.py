"""``fusekit fuse`` as a user types it: what works gives the known picture, what cannot be says why."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from fusekit.data.decoding import read_raster
from fusekit.data.image_writing import to_levels, write_raster
from fusekit.data.raster import Raster
from fusekit_scenes.config import StreetsConfig
from fusekit_scenes.streets import Streets
from tests.data.files import levels, png16_rgb, png_bytes, save
from tests.data.test_image_io import BAD

pytestmark = pytest.mark.slow

Call = Callable[..., Any]
GREY, RGB = levels((20, 24), np.uint8, 1), levels((20, 24, 3), np.uint8, 2)
GREY16, RGB16 = levels((20, 24), np.uint16, 3), levels((20, 24, 3), np.uint16, 4)
PYRAMID = ["-m", "laplacian"]
"""The method that returns an image fused with itself unchanged, whatever weights are installed."""
FLOAT = np.linspace(0, 1, GREY.size, dtype=np.float32).reshape(GREY.shape)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to type in, with two good pictures."""
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.png", GREY)
    save(tmp_path / "b.png", GREY[::-1].copy())
    return tmp_path


@dataclass(frozen=True)
class Case:
    """What stands in the folder, what is typed, and what comes of it.

    Attributes:
        words: After ``fusekit fuse``.
        code: Exit code.
        says: Parts of what is said on stderr.
        files: Files by name: bytes, or a function that makes them.
        gives: The picture in ``out.png`` (or the file named) where it works.
        result: The file that holds it.
        within: Largest difference from it: rounding of what lies between two levels.
    """

    words: list[str]
    code: int
    says: tuple[str, ...] = ()
    files: dict[str, bytes | Callable[[Path], Any]] = field(default_factory=dict)
    gives: Any = None
    result: str = "out.png"
    within: float = 0


def same(name: str, make: bytes | Callable[[Path], Any], gives: Any) -> Case:
    """A picture that is fused with itself, and must come back as it is."""
    return Case([name, name, "-o", "out.png", *PYRAMID], 0, ("given twice",), {name: make}, gives)


def wrong(*words: str, code: int = 2, says: tuple[str, ...] = (), **files: bytes | Callable[[Path], Any]) -> Case:
    named = {name.replace("__", "/").replace("_", "."): make for name, make in files.items()}
    return Case(list(words), code, says, named)


def picture(pixels: Any, **options: Any) -> Callable[[Path], Any]:
    return lambda path: Image.fromarray(pixels).save(path, **options)


def tiff(pixels: Any, **options: Any) -> Callable[[Path], Any]:
    return lambda path: tifffile.imwrite(path, pixels, **{"photometric": "minisblack", **options})


def palette(path: Path) -> None:
    Image.fromarray(RGB).quantize(256).save(path)


def turned(path: Path) -> None:
    """Stored lying on its side, with the EXIF entry that sets it upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(GREY).copy()).save(path, exif=exif)


AB = ["a.png", "b.png"]
MIXED = np.rint((GREY.astype(float) + GREY[::-1]) / 2 + 1e-9).astype(np.uint8)
WORKS: dict[str, Case] = {
    "mean of two": Case([*AB, "-o", "out.png", "-m", "mean"], 0, (), {}, MIXED, within=1),
    "max of two": Case([*AB, "-o", "out.png", "-m", "max"], 0, (), {}, np.maximum(GREY, GREY[::-1])),
    "by component name": Case([*AB, "-o", "out.png", "-m", "baselines.max"], 0, (), {}, np.maximum(GREY, GREY[::-1])),
    "by role": Case(
        ["--source", "x=a.png", "--source", "y=b.png", "-o", "out.png", "-m", "mean"], 0, (), {}, MIXED, within=1
    ),
    "three": Case([*AB, "--source", "c=a.png", "-o", "out.png", "-m", "max"], 0, (), {}, np.maximum(GREY, GREY[::-1])),
    "into a folder": Case([*AB, "-o", "new/", "-m", "mean"], 0, (), {}, MIXED, "new/a.png", 1),
    "as tiff": Case([*AB, "-o", "out.tif", "-m", "mean"], 0, (), {}, MIXED, "out.tif", 1),
    "in tiles": Case([*AB, "-o", "out.png", "-m", "max", "--tile", "64"], 0, (), {}, np.maximum(GREY, GREY[::-1])),
    "overwrite": Case(
        [*AB, "-o", "out.png", "-m", "mean", "--overwrite"], 0, (), {"out.png": picture(GREY)}, MIXED, within=1
    ),
    "over a link": Case(
        [*AB, "-o", "out.png", "-m", "mean", "--overwrite"],
        0,
        (),
        {"out.png": lambda path: path.symlink_to("elsewhere.png"), "elsewhere.png": picture(GREY)},
        MIXED,
        within=1,
    ),
    "fixed range": Case(
        [*AB, "-o", "out.png", "-m", "mean", "--range", "fixed", "--limits", "0,0.5"],
        0,
        (),
        {},
        np.rint(np.minimum((GREY.astype(float) + GREY[::-1]), 255)).astype(np.uint8),
    ),
    "grey 8": same("x.png", picture(GREY), GREY),
    "grey 16": same("x.png", picture(GREY16), GREY16),
    "grey 16 tiff": same("x.tiff", tiff(GREY16), GREY16),
    "float tiff into png": replace(same("x.tif", tiff(FLOAT), np.rint(FLOAT * 65535.0).astype(np.uint16)), within=1),
    "float tiff into tiff": Case(
        ["x.tif", "x.tif", "-o", "o.tif", *PYRAMID], 0, (), {"x.tif": tiff(FLOAT)}, FLOAT, "o.tif", 1e-6
    ),
    "one bit": same("x.png", lambda p: Image.fromarray(GREY > 99).save(p), (GREY > 99).astype(np.uint8) * 255),
    "bmp": same("x.bmp", picture(GREY), GREY),
    "wrong extension": same("x.bmp", lambda p: Image.fromarray(GREY).save(p, format="PNG"), GREY),
    "capital extension": same("X.PNG", picture(GREY), GREY),
    "exif": same("x.png", turned, GREY),
    "trailing bytes": same("x.png", lambda p: p.write_bytes((p.parent / "a.png").read_bytes() + b"tail"), GREY),
    "spaces": same("two words.png", picture(GREY), GREY),
    "quotes": same('it\'s "x".png', picture(GREY), GREY),
    "letters": same("Wärmebild 夜.png", picture(GREY), GREY),
    "markup": same("[red]x[/].png", picture(GREY), GREY),
    "line break": same("x\ny.png", picture(GREY), GREY),
    "link": same("x.png", lambda p: p.symlink_to(p.parent / "a.png"), GREY),
    "smallest": same("x.png", picture(GREY[:16, :16].copy()), GREY[:16, :16]),
    "bit depth 16": Case(
        ["a.png", "a.png", "-o", "out.png", "--bit-depth", "16", *PYRAMID], 0, (), {}, GREY.astype(np.uint16) * 257
    ),
    "bit depth 8": Case(
        ["x.png", "x.png", "-o", "out.png", "--bit-depth", "8", *PYRAMID],
        0,
        (),
        {"x.png": picture(GREY.astype(np.uint16) * 257)},
        GREY,
    ),
    "thermal 16, visible 8": Case(
        ["x.png", "a.png", "-o", "out.png", "-m", "max"],
        0,
        (),
        {"x.png": picture(GREY.astype(np.uint16) * 257)},
        GREY.astype(np.uint16) * 257,
    ),
}


@pytest.mark.parametrize("name", WORKS)
def test_what_works(fusekit: Call, here: Path, name: str) -> None:
    case = WORKS[name]
    lay(here, case)
    before = {path: path.read_bytes() for path in here.iterdir() if path.is_file() and not path.is_symlink()}
    done = fusekit("fuse", *case.words)
    assert (done.code, "Traceback" in done.err) == (0, False), done.err
    for part in case.says:
        assert part in done.err
    assert done.out == f"{case.result}\n"
    made = read_raster(here / case.result).pixels
    assert made.dtype == case.gives.dtype
    np.testing.assert_allclose(made.astype(float), case.gives.astype(float), rtol=0, atol=case.within)
    assert not (here / case.result).is_symlink()
    for path, content in before.items():
        if path != here / case.result:
            assert path.read_bytes() == content


TO = ["-o", "out.png"]
SMALL = picture(GREY[:, :20].copy())
FOLDERS: dict[str, bytes | Callable[[Path], Any]] = {
    "ir/1.png": picture(GREY),
    "ir/2.tif": tiff(GREY16),
    "vi/1.bmp": picture(RGB),
    "vi/2.png": picture(GREY),
}
FAILS: dict[str, Case] = {
    "nothing": wrong(*TO, says=("two or more sources, got 0",)),
    "one source": wrong("a.png", *TO, says=("two or more sources, got 1",)),
    "no output": wrong(*AB, says=("Missing option",)),
    "absent": wrong("a.png", "z.png", *TO, code=4, says=("z.png: the file or folder does not exist (b)",)),
    "dangling link": wrong(
        "a.png", "z.png", *TO, code=4, says=("does not exist",), z_png=lambda p: p.symlink_to("gone")
    ),
    "circular link": wrong(
        "a.png", "z.png", *TO, code=4, says=("does not exist",), z_png=lambda p: p.symlink_to("z.png")
    ),
    "pipe": wrong("a.png", "z.png", *TO, code=4, says=("is not a regular file",), z_png=lambda p: os.mkfifo(p)),
    "gif": wrong("a.png", "z.gif", *TO, says=("neither that of an image nor of a video",), z_gif=picture(GREY)),
    "webp": wrong("a.png", "z.webp", *TO, says=("neither that of an image nor of a video",), z_webp=picture(RGB)),
    "gif called png": wrong(
        "a.png", "z.png", *TO, code=4, says=("not an image",), z_png=lambda p: Image.fromarray(GREY).save(p, "GIF")
    ),
    "no extension": wrong("a.png", "z", *TO, says=("neither that of an image nor of a video",), z=b"x"),
    "1x1": wrong("z.png", "z.png", *TO, code=4, says=("is 1x1", "16x16"), z_png=picture(GREY[:1, :1].copy())),
    "1x5000": wrong("z.png", "z.png", *TO, code=4, says=("1x5000",), z_png=picture(np.zeros((1, 5000), np.uint8))),
    "15 rows": wrong("z.png", "z.png", *TO, code=4, says=("15x24",), z_png=picture(GREY[:15].copy())),
    "sizes": wrong("a.png", "z.png", *TO, code=4, says=("24x20, 20x20", "registered"), z_png=SMALL),
    "infinite": wrong(
        "a.png", "z.tif", *TO, code=4, says=("NaN or infinite",), z_tif=tiff(np.where(FLOAT > 0.9, np.inf, FLOAT))
    ),
    "deep bomb": wrong(
        "z.png", "a.png", *TO, code=4, says=("declares more pixels than",), z_png=png_bytes(60000, 60000, 16, 0, b"")
    ),
    "rgb16, cut": wrong("z.png", "a.png", *TO, code=4, says=("decoded",), z_png=png16_rgb(RGB16)[:-200]),
    "out is a source": wrong(*AB, "-o", "a.png", says=("a.png is one of the sources",)),
    "out is a source, insisting": wrong(*AB, "-o", "a.png", "--overwrite", says=("one of the sources",)),
    "out exists": wrong(*AB, *TO, says=("out.png exists", "--overwrite"), out_png=picture(GREY)),
    "out as jpeg": wrong(*AB, "-o", "out.jpg", says=("PNG or TIFF", ".jpg")),
    "out as gif": wrong(*AB, "-o", "out.gif", says=("PNG or TIFF",)),
    "out below a file": wrong(*AB, "-o", "a.png/out.png", code=1, says=("cannot be written",)),
    "file and folder": wrong("a.png", "ir", *TO, says=("several kinds",), ir__1_png=picture(GREY)),
    "empty folder": wrong(
        "ir",
        "vi",
        "-o",
        "o",
        code=4,
        says=("vi: the folder contains no images (b)",),
        ir__1_png=picture(GREY),
        vi=Path.mkdir,
    ),
    "words in a folder": wrong(
        "ir",
        "vi",
        "-o",
        "o",
        code=4,
        says=("the folder contains no images",),
        ir__1_png=picture(GREY),
        vi__1_txt=b"words",
    ),
    "folders in a folder": wrong(
        "ir", "vi", "-o", "o", code=4, says=("subfolders",), ir__1_png=picture(GREY), vi__x__1_png=picture(GREY)
    ),
    "folder into itself": wrong(
        "ir", "ir", "-o", "ir", says=("is the folder of the a source",), ir__1_png=picture(GREY)
    ),
    "folder into a file": wrong("ir", "ir", "-o", "a.png", says=("is a file",), ir__1_png=picture(GREY)),
    "no stem in common": wrong(
        "ir",
        "vi",
        "-o",
        "o",
        code=1,
        says=("1: no image with this stem in vi", "2 of 2 scenes failed"),
        ir__1_png=picture(GREY),
        vi__2_png=picture(GREY),
    ),
    "role without path": wrong(*AB, "--source", "c", *TO, says=("ROLE=PATH",)),
    "role twice": wrong("--source", "a=a.png", "--source", "a=b.png", *TO, says=("given twice",)),
    "range unknown": wrong(*AB, *TO, "--range", "wide", says=("wide",)),
    "fixed without limits": wrong(*AB, *TO, "--range", "fixed", says=("needs limits",)),
    "limits without fixed": wrong(*AB, *TO, "--limits", "0,1", says=("takes no limits",)),
    "limits turned round": wrong(*AB, *TO, "--range", "fixed", "--limits", "0.8,0.1", says=("lower must be below",)),
    "limits beyond": wrong(*AB, *TO, "--range", "fixed", "--limits", "0,2", says=("both within 0 and 1",)),
    "limits nan": wrong(*AB, *TO, "--range", "fixed", "--limits", "nan,1", says=("both within 0 and 1",)),
    "limits in words": wrong(*AB, *TO, "--range", "fixed", "--limits", "low,high", says=("LOW,HIGH",)),
    "three limits": wrong(*AB, *TO, "--range", "fixed", "--limits", "0,1,2", says=("LOW,HIGH",)),
    "tile too small": wrong(*AB, *TO, "--tile", "3", says=("must be at least 64",)),
    "tile in words": wrong(*AB, *TO, "--tile", "big", says=("not the text 'big'; or: must be a whole number",)),
    "depth unknown": wrong(*AB, *TO, "--bit-depth", "12", says=("12",)),
    "colour unknown": wrong(*AB, *TO, "--colour", "sepia", says=("neither a choice nor a role", "auto, luma")),
    "no jobs": wrong(*AB, *TO, "--jobs", "0", says=("--jobs",)),
    "model unknown": wrong(*AB, *TO, "-m", "laplacan", says=("did you mean 'laplacian'", "mean")),
    "model absent": wrong(*AB, *TO, "-m", "gone.safetensors", code=4, says=("no model file gone.safetensors",)),
    "model garbage": wrong(*AB, *TO, "-m", "m.safetensors", code=4, says=("not a readable",), m_safetensors=b"garbage"),
    "model pickled": wrong(*AB, *TO, "-m", "m.pth", code=4, says=("weights import",), m_pth=b"\x80\x04garbage"),
    "empty run folder": wrong(*AB, *TO, "-m", "runs", code=4, says=("no model file runs",), runs=Path.mkdir),
    "device unknown": wrong(*AB, *TO, "--device", "abacus", says=("device 'abacus' cannot be used",)),
    "option unknown": wrong(*AB, *TO, "--colours", "luma", says=("No such option",)),
    "stretch in tiles": wrong(
        "z.png",
        "z.png",
        *TO,
        "--tile",
        "64",
        "--range",
        "stretch",
        says=("'stretch' cannot be combined with tiles",),
        z_png=picture(np.zeros((80, 80), np.uint8)),
    ),
    "video that is none": wrong(
        "z.mp4", "z.mp4", "-o", "o.mp4", code=4, says=("z.mp4: cannot be opened as a video",), z_mp4=b"no video at all"
    ),
    "video with 16 bits": wrong("z.mp4", "z.mp4", "-o", "o.mp4", "--bit-depth", "16", says=("8 bits",), z_mp4=b"x"),
    "video aligned": wrong(
        "z.mp4",
        "z.mp4",
        "-o",
        "o.mp4",
        "--align",
        "shift",
        says=("--align cannot be combined with videos",),
        z_mp4=b"x",
    ),
    "video stretched": wrong("z.mp4", "z.mp4", "-o", "o.mp4", "--range", "stretch", says=("flicker",), z_mp4=b"x"),
}
SUFFIXES = {"empty": "png", "text": "jpg", "gif": "png", "png": "png", "jpeg": "jpg", "bmp": "bmp", "tiff": "tif"}
for what, (content, _) in BAD.items():
    file = f"z.{SUFFIXES[what.replace(',', ' ').split()[0]]}"
    FAILS[f"file: {what}"] = Case([file, "a.png", *TO], 4, (f"error: {file}",), {file: content})


def lay(folder: Path, case: Case) -> None:
    for name, make in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(make, bytes):
            path.write_bytes(make)
        else:
            make(path)


def names_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize("name", FAILS)
def test_what_fails_says_why_and_leaves_nothing(fusekit: Call, here: Path, name: str) -> None:
    case = FAILS[name]
    lay(here, case)
    before = names_below(here)
    done = fusekit("fuse", *case.words, *([] if "-m" in case.words else PYRAMID))
    assert done.code == case.code, done.err
    assert "Traceback" not in done.err
    assert "internal error" not in done.err
    assert "error" in done.err.lower()
    for part in case.says:
        assert part in " ".join(done.err.split()), done.err
    after = names_below(here)
    # Of a folder none of whose scenes could be fused, the manifest stays.
    assert after - before == ({"o", "o/manifest.jsonl"} if name == "no stem in common" else set())
    assert before <= after


def test_there_are_many_of_them() -> None:
    assert len(FAILS) + sum(bool(case.says) for case in WORKS.values()) >= 60


def test_alpha_is_kept_the_smallest_of_the_sources(fusekit: Call, here: Path) -> None:
    alpha = levels((20, 24), np.uint8, 5)
    Image.fromarray(np.dstack([RGB, alpha])).save("x.png")
    Image.fromarray(np.dstack([GREY, alpha[::-1]])).save("y.png")
    assert fusekit("fuse", "x.png", "a.png", "-o", "one.png", "-m", "mean").code == 0
    np.testing.assert_array_equal(np.asarray(Image.open("one.png"))[..., 3], alpha)
    assert fusekit("fuse", "x.png", "y.png", "-o", "two.png", "-m", "mean").code == 0
    np.testing.assert_array_equal(np.asarray(Image.open("two.png"))[..., 3], np.minimum(alpha, alpha[::-1]))


def test_palette_with_transparency(fusekit: Call, here: Path) -> None:
    pixels = (GREY // 64).astype(np.uint8)
    indexed = Image.fromarray(pixels)
    indexed.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    indexed.save("x.png", transparency=2)
    assert fusekit("fuse", "x.png", "x.png", "-o", "out.png", *PYRAMID).code == 0
    made = np.asarray(Image.open("out.png"))
    np.testing.assert_array_equal(made[..., 3] == 0, pixels == 2)
    assert np.abs(made[..., :3].astype(int) - (10 * (3 * pixels[..., None].astype(int) + [1, 2, 3]))).max() <= 1


def test_folders_bad_scenes_are_told_and_the_rest_is_done(fusekit: Call, here: Path) -> None:
    lay(here, Case([], 0, (), {**FOLDERS, "ir/3.png": b"", "vi/3.png": picture(GREY), "ir/4.png": picture(GREY)}))
    done = fusekit("fuse", "ir", "vi", "-o", "o", "-m", "mean", "--contact-sheet")
    assert done.code == 1
    said = " ".join(done.err.split())
    for part in ("3: ir/3.png: is empty", "4: no image with this stem in vi", "2 of 4 scenes failed", "2 fused in"):
        assert part in said
    assert sorted(path.name for path in Path("o").iterdir()) == [
        "1.png",
        "2.png",
        "contact-sheet.png",
        "manifest.jsonl",
    ]
    again = fusekit("fuse", "ir", "vi", "-o", "o", "-m", "mean")
    assert "0 fused in" in again.err
    assert "2 already finished" in again.err


def test_results_of_other_settings_are_replaced_only_when_asked(fusekit: Call, here: Path) -> None:
    lay(here, Case([], 0, (), FOLDERS))
    assert fusekit("fuse", "ir", "vi", "-o", "o", "-m", "mean").code == 0
    kept = Path("o/1.png").read_bytes()
    other = fusekit("fuse", "ir", "vi", "-o", "o", "-m", "max")
    assert other.code == 1
    assert "o/1.png exists and was made with another model or other settings. --overwrite" in " ".join(
        other.err.split()
    )
    assert Path("o/1.png").read_bytes() == kept
    assert fusekit("fuse", "ir", "vi", "-o", "o", "-m", "mean").code == 0, "the first job is still known as done"
    assert fusekit("fuse", "ir", "vi", "-o", "o", "-m", "max", "--overwrite").code == 0
    assert Path("o/1.png").read_bytes() != kept
    strangers = Path("p")
    strangers.mkdir()
    save(strangers / "1.png", GREY)
    refused = fusekit("fuse", "ir", "vi", "-o", "p", "-m", "max")
    assert "p/1.png exists and is not a result of fusekit" in " ".join(refused.err.split())
    assert (refused.code, (strangers / "2.png").is_file()) == (1, True)


def test_alignment_from_the_command_line(fusekit: Call, here: Path) -> None:
    pytest.importorskip("cv2")
    scene = Streets(StreetsConfig(height=240, width=320, night="day"), None, "test", seed=1)[0]
    infrared, visible = (to_levels(image, np.dtype(np.uint16)) for image in scene.images)
    visible = np.roll(visible, (-4, 9), axis=(0, 1))
    for folder, picture in (("ir", infrared), ("vi", visible)):
        write_raster(here / folder / "x.tif", Raster(picture, 65535.0))
    warned = fusekit("fuse", "ir", "vi", "-o", "plain", "-m", "mean", "--format", "tif")
    assert "x: b looks shifted against a: " in warned.err
    done = fusekit("fuse", "ir", "vi", "-o", "aligned", "-m", "mean", "--format", "tif", "--align", "shift")
    assert done.code == 0
    assert "x: b was registered to a: shift 9.0 px right, 4." in done.err
    assert '"align": "shift"' in Path("aligned/manifest.jsonl").read_text()
    assert "was registered to a" in Path("aligned/manifest.jsonl").read_text()
    assert not np.array_equal(read_raster(Path("plain/x.tif")).pixels, read_raster(Path("aligned/x.tif")).pixels)
    write_raster(here / "small.tif", Raster(np.ascontiguousarray(infrared[::2, ::2]), 65535.0))
    refused = fusekit("fuse", "small.tif", "vi/x.tif", "-o", "out.tif", *PYRAMID)
    assert refused.code == 4
    assert "--align" in refused.err


def test_a_folder_of_results_does_not_hide_the_method_of_its_name(fusekit: Call, here: Path) -> None:
    lay(here, Case([], 0, (), FOLDERS))
    assert fusekit("fuse", "ir", "vi", "-o", "mean", "-m", "mean").code == 0
    again = fusekit("fuse", "ir", "vi", "-o", "mean", "-m", "mean")
    assert (again.code, "2 already finished" in again.err) == (0, True)
