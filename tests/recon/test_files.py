"""What the guarded openers let through, and that everything else is one sentence and no harm."""

import codecs
import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from recon.files import (
    FileError,
    open_image,
    open_json,
    open_npz,
    open_photo,
    staged,
    unpickle,
    write_atomic,
    write_json_atomic,
)


def encoded(image: Image.Image, image_format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


@pytest.fixture
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8))


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
def test_allowed_formats_open_as_rgb(picture: Image.Image, image_format: str, tmp_path: Path) -> None:
    path = tmp_path / "any-name"
    path.write_bytes(encoded(picture, image_format))
    opened = open_image(path)
    assert opened.mode == "RGB" and opened.size == (7, 5)


def test_png_survives_unchanged(picture: Image.Image) -> None:
    assert np.array_equal(np.asarray(open_image(encoded(picture))), np.asarray(picture))


@pytest.mark.parametrize("options", [{"image_format": "PNG"}, {"image_format": "WEBP", "lossless": True}])
def test_exif_orientation_is_applied(picture: Image.Image, options: dict[str, Any]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate 90 degrees clockwise to view
    opened = open_image(encoded(picture, exif=exif, **options))
    assert opened.size == (5, 7)
    assert np.array_equal(np.asarray(opened), np.rot90(np.asarray(picture), -1))


def slopes(width: int, height: int) -> Image.Image:
    """A picture that rises along x in red and along y in green."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack((255 * x / width, 255 * y / height, 0 * x + 90), -1).astype(np.uint8))


@pytest.mark.parametrize("reduce", [2, 4, 8])
@pytest.mark.parametrize("size", [(160, 96), (163, 97)])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_decoded_coarser_are_those_averaged(size: tuple[int, int], reduce: int, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(slopes(*size), "JPEG", quality=95, exif=exif)
    whole, photo = open_image(data), open_photo(data, reduce=reduce)
    exact = orientation == 1 or size == (160, 96)  # else half a pixel would lie at the corner
    assert photo.size == whole.size and photo.reduce == (reduce if exact else 1)
    assert photo.image.size == tuple(-(-side // photo.reduce) for side in whole.size)
    rows, columns = (side // photo.reduce for side in reversed(whole.size))
    part = np.asarray(whole, np.float64)[: rows * photo.reduce, : columns * photo.reduce]
    means = part.reshape(rows, photo.reduce, columns, photo.reduce, 3).mean((1, 3))
    assert np.abs(np.asarray(photo.image)[:rows, :columns] - means).max() < 4


def test_what_no_codec_averages_comes_whole(picture: Image.Image) -> None:
    for data in (encoded(picture), encoded(picture, "WEBP"), encoded(picture, "JPEG")):
        photo = open_photo(data, reduce=8)  # the picture is 7 x 5
        assert photo.image.size == photo.size == (7, 5) and photo.reduce == 1
    with pytest.raises(ValueError, match="reduce is 3; allowed are 1, 2, 4, 8"):
        open_photo(encoded(picture), reduce=3)


def test_transparent_pixels_are_white_and_16_bit_grey_keeps_its_range() -> None:
    assert open_image(encoded(Image.new("RGBA", (2, 2), (255, 0, 0, 0)))).getpixel((0, 0)) == (255, 255, 255)
    deep = Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16))
    assert np.asarray(open_image(encoded(deep)))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("image_format", ["GIF", "BMP", "TIFF"])
def test_other_formats_are_refused(picture: Image.Image, image_format: str) -> None:
    with pytest.raises(FileError, match="PNG, JPEG, WEBP"):
        open_image(encoded(picture, image_format))


def test_pixel_cap_is_checked_before_decoding() -> None:
    data = bytearray(encoded(Image.new("L", (16, 16))))
    header = bytearray(data[12:29])
    header[4:12] = (50_000).to_bytes(4, "big") * 2  # a few bytes that claim 2.5 gigapixels
    import zlib

    data[12:33] = header + zlib.crc32(header).to_bytes(4, "big")
    with pytest.raises(FileError, match="pixels"):
        open_image(bytes(data))
    with pytest.raises(FileError, match="16 x 16 pixels; allowed are 255"):
        open_image(encoded(Image.new("L", (16, 16))), max_pixels=255)


def test_damaged_images_say_so_in_one_sentence(picture: Image.Image, tmp_path: Path) -> None:
    whole = encoded(Image.new("RGB", (200, 200), "red"), "JPEG")
    for name, data in {"cut.jpg": whole[: len(whole) // 2], "empty.jpg": b"", "text.jpg": b"hello" * 50}.items():
        (tmp_path / name).write_bytes(data)
        for reduce in (1, 4):
            with pytest.raises(FileError, match=name) as caught:
                open_photo(tmp_path / name, reduce=reduce)
            assert "\n" not in str(caught.value)
    with pytest.raises(FileError, match="does not exist"):
        open_image(tmp_path / "nowhere.png")
    with pytest.raises(FileError, match="not a regular file"):
        open_image(tmp_path)


def test_npz_round_trip_and_missing_key(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3), "names": np.array(["x", "yz"]), "scalar": np.array(3)}
    np.savez_compressed(tmp_path / "f.npz", **arrays)
    opened = open_npz(tmp_path / "f.npz", ["a", "names", "scalar"])
    assert all(np.array_equal(opened[key], arrays[key]) for key in arrays)
    with pytest.raises(FileError, match="no array 'b'; it holds a, names, scalar"):
        open_npz(tmp_path / "f.npz", ["b"])


def test_npz_with_objects_or_false_sizes_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", a=np.array([{}], dtype=object))
    with pytest.raises(FileError, match="Python objects"):
        open_npz(tmp_path / "objects.npz", ["a"])
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    with zipfile.ZipFile(tmp_path / "liar.npz", "w") as archive:
        archive.writestr("a.npy", header.getvalue() + b"\0" * 64)
    with pytest.raises(FileError, match="promises"):
        open_npz(tmp_path / "liar.npz", ["a"])
    np.savez_compressed(tmp_path / "large.npz", a=np.zeros(100_000))
    with pytest.raises(FileError, match="unpacks to"):
        open_npz(tmp_path / "large.npz", ["a"], max_bytes=1000)
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(FileError, match="not a readable npz"):
        open_npz(tmp_path / "text.npz", ["a"])


def test_json_round_trip_and_errors(tmp_path: Path) -> None:
    write_json_atomic(tmp_path / "f.json", {"größe": [1, 2.5, None]})
    assert open_json(tmp_path / "f.json") == {"größe": [1, 2.5, None]}
    (tmp_path / "bad.json").write_text('{"a": 1,\n ]')
    with pytest.raises(FileError, match="line 2, column 2"):
        open_json(tmp_path / "bad.json")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "latin.json").write_bytes(b'"\xe9"')
    for name in ("deep.json", "latin.json"):
        with pytest.raises(FileError, match=name):
            open_json(tmp_path / name)
    with pytest.raises(FileError, match="cannot be written as JSON"):
        write_json_atomic(tmp_path / "f.json", {"a": float("nan")})
    assert json.loads((tmp_path / "f.json").read_text()) == {"größe": [1, 2.5, None]}


class Shell:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


def test_pickle_runs_nothing_that_is_not_allowed(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with pytest.raises(FileError, match="system, which is not allowed"):
        unpickle(pickle.dumps({"a": [Shell(f"touch {trace}")]}), {}, name="hand.pkl")
    assert not trace.exists()
    assert unpickle(pickle.dumps({"a": [1, "b"]}, protocol=2), {}) == {"a": [1, "b"]}


class Stub:
    colour = "blue"


def test_pickle_cannot_rewrite_an_allowed_class() -> None:
    attack = b"cm\nStub\n(N}S'colour'\nS'red'\nstb."
    with pytest.raises(FileError, match="tries to change 'Stub'"):
        unpickle(attack, {("m", "Stub"): Stub})
    assert Stub.colour == "blue"


def test_pickled_arrays_pass_and_forged_data_types_do_not() -> None:
    """An object type whose flags deny it would make numpy take the raw bytes after it for pointers."""
    core = np.zeros(0).__reduce__()[0]
    allowed = {(core.__module__, "_reconstruct"): core, ("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}
    allowed["_codecs", "encode"] = codecs.encode
    for array in (np.arange(6.0).reshape(2, 3), np.arange(3, dtype=">u4"), np.array(["ab", "c"]), np.array([None, 1])):
        for protocol in (2, 4):
            loaded = unpickle(pickle.dumps(array, protocol), allowed)
            assert type(loaded) is np.ndarray and np.array_equal(loaded, array)
    forged = b"cnumpy\ndtype\n(S'O8'\nI00\nI01\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntb."
    with pytest.raises(FileError, match="data type"):
        unpickle(forged, allowed)
    for call in (b"R", b"\x81"):
        with pytest.raises(FileError, match="over a buffer"):
            unpickle(b"cnumpy\nndarray\n((I1\ntS'O'\nS'12345678'\nt" + call + b".", allowed)


@pytest.mark.parametrize("data", [b"\x80\x02}q", b"not a pickle", b"(", b"0.", b"\x80\x02r\xff\xff\xff\x7f."])
def test_damaged_pickles_raise_one_error(data: bytes) -> None:
    with pytest.raises(FileError, match="not a readable pickle"):
        unpickle(data, {})


def test_failed_write_leaves_the_old_content_and_no_litter(tmp_path: Path) -> None:
    write_atomic(tmp_path / "sub" / "f", b"old")
    with pytest.raises(RuntimeError), staged(tmp_path / "sub" / "f") as temporary:
        temporary.write_bytes(b"half of the n")
        raise RuntimeError
    assert (tmp_path / "sub" / "f").read_bytes() == b"old"
    assert [entry.name for entry in (tmp_path / "sub").iterdir()] == ["f"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(FileError, match="No space left on device"),
        staged(tmp_path / "f"),
        open("/dev/full", "wb", 0) as f,
    ):
        f.write(b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for name in ("file/below", "file/far/below"):
        with pytest.raises(FileError, match=f"{name} cannot be written: (Not a directory|File exists)"):
            write_atomic(tmp_path / name, b"new")
