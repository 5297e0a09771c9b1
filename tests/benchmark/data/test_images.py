"""Unusual and broken image files: each is decoded right, or its sample is unscored with a reason."""

import io
import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from eidolon.benchmark.data.images import FORMATS, MOST_PIXELS, decode, read
from tests.benchmark.conftest import Cli, read_lines, write_lines
from tests.fault_table import FaultRecorder

pytestmark = pytest.mark.faults

WIDTH, HEIGHT = 24, 16
TOP_LEFT = (200, 40, 30)
"""The colour of the top left quarter of the test image. A rotation, a lost channel or a wrong frame changes it."""


def scene() -> Image.Image:
    """Return noise with a top left quarter in one colour."""
    levels = np.random.default_rng(0).integers(90, 160, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    levels[: HEIGHT // 2, : WIDTH // 2] = TOP_LEFT
    return Image.fromarray(levels)


def encode(image: Image.Image, format: str, **options: Any) -> bytes:
    """Return the bytes of an image file."""
    content = io.BytesIO()
    image.save(content, format=format, **options)
    return content.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return one chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """Return a PNG file. `rows` are its uncompressed rows, each after its filter byte."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def rotated(format: str) -> bytes:
    """Return an image that is stored on its side, with the EXIF orientation that turns it upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(scene().transpose(Image.Transpose.ROTATE_90), format, exif=exif)


def animated(format: str) -> bytes:
    frames = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ("lime", "blue")]
    return encode(scene(), format, save_all=True, append_images=frames, duration=100)


def sixteen_bits(colour: int) -> bytes:
    """Return a 16-bit PNG in the top left colour: grey for 0, RGB for 2."""
    levels = TOP_LEFT if colour == 2 else TOP_LEFT[:1]
    pixel = b"".join(struct.pack(">H", level * 257) for level in levels)
    return png(WIDTH, HEIGHT, 16, colour, HEIGHT * (b"\0" + WIDTH * pixel))


def palette() -> bytes:
    """Return a palette PNG with a transparent colour 0, which is green below its transparency."""
    image = Image.new("P", (WIDTH, HEIGHT), 0)
    image.putpalette([0, 255, 0, *TOP_LEFT])
    image.paste(1, (0, 0, WIDTH // 2, HEIGHT // 2))
    return encode(image, "PNG", transparency=0)


def hidden() -> bytes:
    """Return an RGBA image that is transparent green outside its top left quarter."""
    image = Image.new("RGBA", (WIDTH, HEIGHT), (0, 255, 0, 0))
    image.paste((*TOP_LEFT, 255), (0, 0, WIDTH // 2, HEIGHT // 2))
    return encode(image, "PNG")


RED = TOP_LEFT
WHITE = (255, 255, 255)
GREY = (200, 200, 200)
Corners = tuple[tuple[int, int, int], tuple[int, int, int] | None]
READABLE: dict[str, tuple[Callable[[], bytes], Corners]] = {
    "CMYK JPEG": (lambda: encode(scene().convert("CMYK"), "JPEG", quality=100), (RED, None)),
    "CMYK TIFF": (lambda: encode(scene().convert("CMYK"), "TIFF"), (RED, None)),
    "16-bit grey PNG": (lambda: sixteen_bits(0), (GREY, GREY)),
    "16-bit RGB PNG": (lambda: sixteen_bits(2), (RED, RED)),
    "TIFF": (lambda: encode(scene(), "TIFF", compression="tiff_lzw"), (RED, None)),
    "animated GIF": (lambda: animated("GIF"), (RED, None)),
    "animated WebP": (lambda: animated("WEBP"), (RED, None)),
    "animated PNG": (lambda: animated("PNG"), (RED, None)),
    "TIFF of several pages": (lambda: animated("TIFF"), (RED, None)),
    "EXIF-rotated JPEG": (lambda: rotated("JPEG"), (RED, None)),
    "EXIF-rotated PNG": (lambda: rotated("PNG"), (RED, None)),
    "EXIF-rotated WebP": (lambda: rotated("WEBP"), (RED, None)),
    "palette with transparency": (palette, (RED, WHITE)),
    "transparent RGBA": (hidden, (RED, WHITE)),
    "grey with alpha": (lambda: encode(Image.new("LA", (WIDTH, HEIGHT), (0, 0)), "PNG"), (WHITE, WHITE)),
    "1-bit": (lambda: encode(Image.new("1", (WIDTH, HEIGHT), 1), "PNG"), (WHITE, WHITE)),
}


@pytest.mark.parametrize("kind", READABLE)
def test_readable_files_are_decoded_right(kind: str) -> None:
    content, (first, last) = READABLE[kind]
    image = decode(content())
    assert (image.mode, image.size) == ("RGB", (WIDTH, HEIGHT))
    # Lossy formats and conversions change the colours a little.
    assert image.getpixel((2, 2)) == pytest.approx(first, abs=40 if "WebP" in kind else 12)
    if last is not None:
        assert image.getpixel((WIDTH - 2, HEIGHT - 2)) == pytest.approx(last, abs=3)


def test_the_default_image_of_an_animated_png_comes_first() -> None:
    """Viewers without animation show it. It need not be a frame of the animation."""
    content = encode(
        scene(),
        "PNG",
        save_all=True,
        default_image=True,
        append_images=[Image.new("RGB", (WIDTH, HEIGHT), "lime")],
    )
    assert decode(content).getpixel((2, 2)) == TOP_LEFT


BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "0 bytes": (lambda: b"", "is empty"),
    "a text named .jpg": (lambda: b"It is no picture.\n" * 50, "is in none of the image formats"),
    "30,000 x 30,000 pixels": (
        lambda: png(30_000, 30_000, 8, 2, b"\0"),
        "exceeds limit|more than 89,478,485",
    ),
    "90 million pixels": (
        lambda: png(9_500, 9_500, 1, 0, 9_500 * (1 + 1188) * b"\0"),
        "more than 89,478,485",
    ),
    "EPS, which is a program": (lambda: encode(scene(), "EPS"), "is in none of the image formats"),
    "floating-point pixels": (
        lambda: encode(Image.new("F", (4, 4), 0.5), "TIFF"),
        "floating-point pixels have no known range",
    ),
    "truncated JPEG": (lambda: encode(scene(), "JPEG")[:-40], "truncated"),
    "JPEG cut in its scan lines": (lambda: encode(scene().resize((640, 480)), "JPEG")[:9000], "truncated"),
    "PNG cut in its scan lines": (lambda: encode(scene().resize((640, 480)), "PNG")[:9000], "truncated"),
    "PNG with a wrong checksum": (lambda: encode(scene(), "PNG").replace(b"IDAT", b"IDAX", 1), "."),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_unreadable_files_have_a_reason(kind: str) -> None:
    content, reason = BROKEN[kind]
    with pytest.raises(Exception, match=reason):
        decode(content())


@pytest.mark.parametrize(
    "format", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM", "TGA"]
)
def test_a_truncated_file_is_never_decoded_in_part(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A plug-in may set this.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    content = encode(noise, format)
    whole = decode(content)
    for length in range(0, len(content), max(1, len(content) // 60)):
        try:
            shown = decode(content[:length])
        except Exception:
            continue
        assert shown.tobytes() == whole.tobytes(), f"cut at {length} of {len(content)}"
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True, "left as it was"


@given(
    content=st.binary(max_size=200),
    start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0"]),
)
def test_garbage_is_an_exception_or_an_image(content: bytes, start: bytes) -> None:
    try:
        image = decode(start + content)
    except Exception:
        return
    assert image.mode == "RGB"


def test_a_bomb_takes_no_memory() -> None:
    """900 million pixels would take 2.7 GB. The process may grow by a fiftieth of that."""

    def peak_kb() -> int:
        line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1])

    Path("/proc/self/clear_refs").write_text("5")
    before = peak_kb()
    for kind in ("30,000 x 30,000 pixels", "90 million pixels"):
        with pytest.raises(Exception, match="pixels"):
            decode(BROKEN[kind][0]())
    assert peak_kb() - before < 54_000
    assert MOST_PIXELS < 9_500 * 9_500


def test_only_formats_that_are_data() -> None:
    Image.init()
    assert not {"EPS", "WMF", "HDF5", "GRIB", "BUFR"} & set(FORMATS)
    assert set(FORMATS) - {"HEIF"} <= set(Image.OPEN), "HEIF needs another package"


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(OSError, match="is a pipe"):
        read(str(tmp_path / "a.png"))


@pytest.fixture
def unusual(tmp_path: Path) -> tuple[Path, list[str]]:
    """A folder dataset with one image of each kind, and the names of the broken ones."""
    folder = tmp_path / "images"
    folder.mkdir()
    rows = []
    for kind, (content, _) in (READABLE | BROKEN).items():  # type: ignore[operator]
        name = f"{kind.replace(' ', '-')}.jpg"
        (folder / name).write_bytes(content())
        rows.append({"image_id": kind, "image": name, "objects": ["dog"]})
    write_lines(folder / "objects.jsonl", rows)
    return folder, [*BROKEN]


def test_a_run_over_all_of_them(
    unusual: tuple[Path, list[str]], cli: Cli, tmp_path: Path, faults: FaultRecorder
) -> None:
    """Every sample is in the run. The broken ones are unscored with a reason. A second run changes nothing."""
    folder, broken = unusual
    kinds = [row["image_id"] for row in read_lines(folder / "objects.jsonl")]
    answers = write_lines(tmp_path / "a.jsonl", [{"image_id": kind, "response": "A dog."} for kind in kinds])
    arguments = ("run", "--model", f"replay/{answers}", "--dataset", f"folder/{folder}", "--resamples", 10)
    result = cli(*arguments, "--out", tmp_path / "out")
    assert result.code == 3
    assert "unscored, more than --max-unscored" in result.err
    (run,) = [path.parent for path in (tmp_path / "out").glob("*/run.json")]
    judged = {row["sample_id"]: row["unscored"] for row in read_lines(run / "judgements.jsonl")}
    assert [kind for kind, reason in judged.items() if reason] == broken
    assert all(reason.startswith("the image cannot be read: ") for reason in judged.values() if reason)
    assert "0x" not in json.dumps(judged), "an address of an object would differ between runs"
    before = {name: (run / name).read_bytes() for name in ("responses.jsonl", "scores.json")}
    assert cli(*arguments, "--out", tmp_path / "out").code == 3
    assert {name: (run / name).read_bytes() for name in before} == before
    assert cli(*arguments, "--out", tmp_path / "out", "--max-unscored", 1).code == 0

    rows = {row["sample_id"]: row for row in read_lines(run / "responses.jsonl")}
    for kind in kinds:
        scored = int(rows[kind]["response"] is not None and judged[kind] is None)
        lines = [row["sample_id"] for row in read_lines(run / "responses.jsonl")]
        faults.record(
            f"image: {kind}",
            lost=int(kind not in rows or not (scored or judged[kind])),
            doubled=lines.count(kind) - 1,
            unscored=1 - scored,
            healed=scored,
        )
