"""The guarded openers: every image, archive, JSON and pickle from outside comes in through here.

Sizes are checked before anything is decoded, nothing from a file is ever executed, and what is
written appears under its final name whole or not at all.
"""

import contextlib
import io
import json
import math
import os
import pickle
import secrets
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP")
REDUCTIONS = (1, 2, 4, 8)
MAX_PIXELS = 64_000_000
MAX_IMAGE_BYTES = 256 << 20
MAX_JSON_BYTES = 256 << 20
MAX_PICKLE_BYTES = 256 << 20
MAX_ARRAY_BYTES = 4 << 30


class FileError(ValueError):
    """A file that is missing, damaged, too large or not allowed; the message is one sentence for the user."""


def _read(source: str | Path | bytes, name: str | None, max_bytes: int) -> tuple[bytes, str]:
    """The bytes of a path (or the bytes given) and the name to use in messages, refusing more than `max_bytes`."""
    if isinstance(source, bytes):
        data, name = source, name or f"data of {len(source)} bytes"
    else:
        path, name = Path(source), name or str(source)
        if not path.exists():
            raise FileError(f"{name} does not exist.")
        if not path.is_file():
            raise FileError(f"{name} is not a regular file.")
        try:
            with path.open("rb") as file:
                data = file.read(max_bytes + 1)
        except OSError as error:
            raise FileError(f"{name} cannot be read: {error.strerror or error}.") from error
    if not data:
        raise FileError(f"{name} is empty.")
    if len(data) > max_bytes:
        raise FileError(f"{name} is larger than the {max_bytes:,} bytes allowed.")
    return data, name


@dataclass(frozen=True)
class Photo:
    """A picture as a viewer shows it, perhaps coarser than its file holds it."""

    image: Image.Image
    """RGB, size / reduce rounded up."""
    size: tuple[int, int]
    """Width and height that the file holds."""
    reduce: int = 1
    """Pixels of the file along a pixel of `image`: coordinates divide by it."""


def open_image(source: str | Path | bytes, *, max_pixels: int = MAX_PIXELS, name: str | None = None) -> Image.Image:
    """An image as a viewer shows it: RGB, EXIF orientation applied, transparency over white.

    Args:
        source: path, or the encoded bytes; PNG, JPEG or WEBP (the first frame of an animation).
        max_pixels: largest width x height, checked on the header before any pixel is decoded.
        name: what to call the source in messages; the path by default.

    Raises:
        FileError: missing, empty, damaged, of another format, or too large.
    """
    return open_photo(source, max_pixels=max_pixels, name=name).image


def open_photo(
    source: str | Path | bytes, *, reduce: int = 1, max_pixels: int = MAX_PIXELS, name: str | None = None
) -> Photo:
    """An image as `open_image` opens it, or at 1 / `reduce` of its size where its codec averages as it decodes.

    Only JPEG's does, several times faster than decoding and averaging. Other formats come whole, and so does what is
    less than one such pixel wide or high, or what EXIF turns so that its pixels would not begin at the corner.

    Args:
        source: as of `open_image`.
        reduce: 1, 2, 4 or 8.
        max_pixels: as of `open_image`; of the file.
        name: as of `open_image`.

    Raises:
        FileError: as of `open_image`.
    """
    if reduce not in REDUCTIONS:
        raise ValueError(f"reduce is {reduce}; allowed are {', '.join(map(str, REDUCTIONS))}.")
    data, name = _read(source, name, MAX_IMAGE_BYTES)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=IMAGE_FORMATS)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise FileError(f"{name} has more than the {max_pixels:,} pixels allowed.") from error
    except Exception as error:
        raise FileError(f"{name} is not a readable image; allowed are {', '.join(IMAGE_FORMATS)}.") from error
    width, height = image.size
    if width * height > max_pixels:
        raise FileError(f"{name} has {width} x {height} pixels; allowed are {max_pixels:,} in all.")
    try:
        reduced = reduce > 1 and _draft(image, reduce)
        size = (height, width) if _orientation(image) in (5, 6, 7, 8) else (width, height)
        ImageOps.exif_transpose(image, in_place=True)
        return Photo(_to_rgb(image), size, reduce if reduced else 1)
    except Exception as error:  # decoders fail in as many ways as files can be damaged
        raise FileError(f"{name} is a damaged {image.format or 'image'} file: {_first_line(error)}.") from error


def _draft(image: Image.Image, reduce: int) -> bool:
    """Have an unloaded picture decoded at 1 / `reduce` of its size; whether its codec does that."""
    width, height = image.size
    if not isinstance(image, JpegImageFile) or min(width, height) < reduce:
        return False
    if _orientation(image) != 1 and (width % reduce or height % reduce):
        return False
    # Pillow takes the largest of 1, 2, 4 and 8 that leaves no less than this.
    return image.draft(None, (width // reduce, height // reduce)) is not None


def _orientation(image: Image.Image) -> Any:
    """EXIF's flag: 1 for a picture that is shown as it is stored, 5 to 8 for those that lie on their side."""
    return image.getexif().get(ExifTags.Base.Orientation, 1)


def _to_rgb(image: Image.Image) -> Image.Image:
    """RGB with 8 bits a channel; Pillow alone would clip 16-bit grey and show the colours under transparency."""
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64)
        return Image.fromarray((grey >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _first_line(error: BaseException) -> str:
    """The first line of an exception's message without its full stop, or the exception's name."""
    return (str(error).splitlines() or [""])[0].rstrip(". ") or type(error).__name__


def open_npz(path: str | Path, keys: Sequence[str], *, max_bytes: int = MAX_ARRAY_BYTES) -> dict[str, np.ndarray]:
    """The named arrays of an npz file; plain numbers and strings only, never pickled objects.

    The zip directory and each array's header are checked before memory is taken, so that a small file
    cannot ask for a large array.

    Args:
        path: the file.
        keys: the arrays to read; every one must be there, others in the file are left alone.
        max_bytes: largest total size of the arrays read.

    Raises:
        FileError: missing, damaged, a key missing, object arrays inside, or too large.
    """
    path = Path(path)
    if not path.is_file():
        raise FileError(f"{path} does not exist or is not a regular file.")
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            missing = [key for key in keys if key not in members]
            if missing:
                raise FileError(f"{path} has no array {missing[0]!r}; it holds {', '.join(sorted(members)) or 'none'}.")
            total = sum(members[key].file_size for key in keys)
            if total > max_bytes:
                raise FileError(f"{path} unpacks to {total:,} bytes; allowed are {max_bytes:,}.")
            return {key: _read_member(archive, members[key], f"{path}[{key!r}]") for key in keys}
    except FileError:
        raise
    except Exception as error:
        raise FileError(f"{path} is not a readable npz file: {_first_line(error)}.") from error


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> np.ndarray:
    """One array of an npz archive, after its header has been held against the member's size."""
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(member)
        promised = math.prod(shape) * dtype.itemsize
        if dtype.hasobject:
            raise FileError(f"{name} holds Python objects; allowed are plain numbers and strings.")
        if promised > info.file_size:
            raise FileError(f"{name} promises {promised:,} bytes but holds {info.file_size:,}.")
    with archive.open(info) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def open_json(path: str | Path, *, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """The content of a JSON file in UTF-8.

    Raises:
        FileError: missing, too large, not UTF-8, or not JSON (the message says where).
    """
    data, name = _read(Path(path), None, max_bytes)
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise FileError(f"{name} is not UTF-8 text (byte {error.start}).") from error
    except json.JSONDecodeError as error:
        raise FileError(f"{name} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from error
    except (RecursionError, ValueError) as error:
        raise FileError(f"{name} is not usable JSON: {_first_line(error)}.") from error


_reconstruct: Any = np.zeros(0).__reduce__()[0]  # what numpy's pickles call; its home moved with numpy 2


class _ArrayType:
    """Stands in for `numpy.ndarray`, which builds object arrays over any buffer, so that bytes become pointers."""

    def __new__(cls, *_args: object, **_kwargs: object) -> "_ArrayType":
        raise FileError("A pickle builds an array over a buffer, which is not allowed.")


def _empty_array(*_: object) -> np.ndarray:
    """Stands in for numpy's `_reconstruct`; the state that follows in the pickle fills the array."""
    return _reconstruct(np.ndarray, (0,), "b")


_STAND_INS = ((np.ndarray, _ArrayType), (_reconstruct, _empty_array))
_PythonUnpickler: Any = pickle._Unpickler  # type: ignore[attr-defined]


class _RestrictedUnpickler(_PythonUnpickler):
    """Python's own unpickler in Python, which knows no global but the allowed ones.

    The C one would let a BUILD opcode rewrite the attributes of an allowed class, and a memo index of a few
    bytes take gigabytes.
    """

    dispatch = dict(_PythonUnpickler.dispatch)

    def __init__(self, file: io.BytesIO, allowed: Mapping[tuple[str, str], object], name: str) -> None:
        super().__init__(file, encoding="latin1")
        self.allowed = allowed
        self.name = name

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in self.allowed:
            raise FileError(f"{self.name} asks for {module}.{name}, which is not allowed in such a file.")
        value = self.allowed[module, name]
        return next((ours for theirs, ours in _STAND_INS if value is theirs), value)

    def load_build(self) -> None:
        target, state = self.stack[-2:] if len(self.stack) > 1 else (None, None)
        if isinstance(target, np.dtype) and not _is_plain_dtype_state(target, state):
            raise FileError(f"{self.name} holds a data type that is not one of plain numbers, strings or objects.")
        if isinstance(target, type) or callable(target):
            target_name = getattr(target, "__name__", target)
            raise FileError(f"{self.name} tries to change {target_name!r}, which is not allowed.")
        super().load_build()

    dispatch[pickle.BUILD[0]] = load_build


def _is_plain_dtype_state(dtype: np.dtype, state: Any) -> bool:
    """Whether a pickled dtype's state is what numpy itself writes for plain types.

    Numpy believes the flags in the state: object arrays that deny being such would turn raw bytes into pointers.
    """
    if not (isinstance(state, tuple) and len(state) == 8 and dtype.kind in "biufcSUO"):
        return False
    _, order, subarray, names, fields, size, alignment, flags = state
    sizes_fit = size == -1 or (dtype.kind in "SU" and size == dtype.itemsize)
    plain = (subarray, names, fields) == (None, None, None) and order in ("<", ">", "|", "=")
    return plain and sizes_fit and alignment in (-1, 1, 4) and flags == dtype.flags


def unpickle(
    source: str | Path | bytes,
    allowed: Mapping[tuple[str, str], object],
    *,
    name: str | None = None,
    max_bytes: int = MAX_PICKLE_BYTES,
) -> Any:
    """The object in a pickle that may name no class or function but the allowed ones.

    Args:
        source: path or bytes; Python 2 strings are read as latin-1.
        allowed: (module, name) as written in the pickle -> what stands in for it.
        name: what to call the source in messages; the path by default.
        max_bytes: largest file.

    Raises:
        FileError: missing, damaged, too large, or asking for anything else (raised before that runs).
    """
    data, name = _read(source, name, max_bytes)
    try:
        return _RestrictedUnpickler(io.BytesIO(data), allowed, name).load()
    except FileError:
        raise
    except Exception as error:  # a damaged pickle fails with whatever the last opcode ran into
        raise FileError(f"{name} is not a readable pickle: {_first_line(error)}.") from error


@contextlib.contextmanager
def staged(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; on success it is fsynced and renamed, else removed.

    Raises:
        FileError: the folder cannot be written or the disk is full; `path` is then as it was before.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _fsync(temporary)
        temporary.replace(path)
        _fsync(path.parent)
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(NotADirectoryError):  # where the folder is a file, there is nothing to remove
            temporary.unlink(missing_ok=True)


def _fsync(path: Path) -> None:
    """Bring a file or a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: str | Path, data: bytes) -> None:
    """Write bytes so that `path` holds either the old content or all of the new.

    Raises:
        FileError: the folder cannot be written or the disk is full; `path` is then as it was before.
    """
    with staged(path) as temporary:
        temporary.write_bytes(data)


def write_json_atomic(path: str | Path, obj: Any) -> None:
    """Write an object as indented JSON in UTF-8, whole or not at all.

    Raises:
        FileError: not writable, or the object holds something JSON has no word for (NaN, arrays).
    """
    try:
        text = json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise FileError(f"{path} cannot be written as JSON: {_first_line(error)}.") from error
    write_atomic(path, (text + "\n").encode())
