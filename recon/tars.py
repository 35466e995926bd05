"""The guarded opener of tar files: members are found in one pass over the headers and read by their place.

Nothing is ever extracted and nothing is unpacked: a compressed tar is refused, so no byte read is more than a byte on
the disk. Only plain headers of POSIX ustar and pax and of GNU long names are understood; links, devices, sparse files,
absolute names and names with `..` are errors, and every size is checked before it is believed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from recon.files import FileError

BLOCK = 512
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
REGULAR, FOLDER, PAX, PAX_FOR_ALL, LONG_NAME = (b"0", b"\0", b"7"), b"5", b"x", b"g", b"L"
FORBIDDEN = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a pipe"}


@dataclass(frozen=True)
class TarLimits:
    """What a tar may hold at most."""

    members: int = 10_000_000
    member_bytes: int = 256 << 20
    total_bytes: int = 1 << 40
    header_bytes: int = 64 << 10
    """Of a long name or of pax records."""


@dataclass(frozen=True)
class TarMember:
    """A regular file in a tar."""

    name: str
    offset: int
    """Where its bytes begin in the tar."""
    size: int


@dataclass
class _Told:
    """What extended headers say of the member that follows."""

    name: str | None = None
    size: int | None = None
    headers: int = field(default=0)


DEFAULT_LIMITS = TarLimits()


def tar_members(path: str | Path, limits: TarLimits = DEFAULT_LIMITS) -> Iterator[TarMember]:
    """The regular files of an uncompressed tar in its order; folders are passed over.

    Only headers are read.

    Raises:
        FileError: missing, compressed, damaged, cut, above a limit, or with a member that is not allowed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileError(f"{path} does not exist or is not a regular file.")
    try:
        length = path.stat().st_size
        with path.open("rb") as file:
            yield from _walk(file, length, str(path), limits)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}.") from error


def read_member(path: str | Path, member: TarMember) -> bytes:
    """The bytes of a member.

    Raises:
        FileError: the tar is gone or shorter than it was.
    """
    try:
        with Path(path).open("rb") as file:
            file.seek(member.offset)
            data = file.read(member.size)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(data) != member.size:
        raise FileError(f"{path} ends within {member.name}.")
    return data


def _walk(file: BinaryIO, length: int, name: str, limits: TarLimits) -> Iterator[TarMember]:
    position = count = total = 0
    told = _Told()
    while True:
        file.seek(position)
        header = file.read(BLOCK)
        if position == 0:
            _refuse_compressed(header, name)
        if len(header) < BLOCK:
            if header or position == 0 or told.headers:
                raise FileError(f"{name} ends within a header.")
            return  # without the two empty blocks: some writers leave them out
        if header == bytes(BLOCK):
            if told.headers:
                raise FileError(f"{name} ends within a header.")
            return
        kind = header[156:157]
        size = _checked_size(header, name)
        start = position + BLOCK
        if kind in (PAX, PAX_FOR_ALL, LONG_NAME):
            told.headers += 1
            if size > limits.header_bytes or told.headers > 4:
                raise FileError(f"{name} has an extended header of {size:,} bytes, which is more than allowed.")
            _listen(file.read(size), size, kind, told, name)
        elif kind in REGULAR or kind == FOLDER:
            member_name = _checked_name(told.name or _plain_name(header, name), name)
            size = told.size if told.size is not None else size
            told = _Told()
            count, total = count + 1, total + size
            if count > limits.members:
                raise FileError(f"{name} has more than the {limits.members:,} members allowed.")
            if size > limits.member_bytes:
                raise FileError(f"{name}: {member_name} has {size:,} bytes; allowed are {limits.member_bytes:,}.")
            if total > limits.total_bytes:
                raise FileError(f"{name} holds more than the {limits.total_bytes:,} bytes allowed.")
            if start + size > length:
                raise FileError(f"{name} ends within {member_name}.")
            if kind != FOLDER and not (kind == b"\0" and member_name.endswith("/")):
                yield TarMember(member_name, start, size)
        else:
            what = FORBIDDEN.get(kind, f"of type {kind.decode('latin1')!r}")
            raise FileError(f"{name}: {told.name or _plain_name(header, name)} is {what}; only files are allowed.")
        position = start + -(-size // BLOCK) * BLOCK


def _refuse_compressed(header: bytes, name: str) -> None:
    for magic, kind in COMPRESSED.items():
        if header.startswith(magic):
            raise FileError(f"{name} is compressed with {kind}; unpack it to a plain tar first.")


def _checked_size(header: bytes, name: str) -> int:
    """The size field, after the header's checksum."""
    checksum = _octal(header[148:156])
    if checksum != sum(header) - sum(header[148:156]) + 8 * 32:
        raise FileError(f"{name} is not a tar file, or a header in it is damaged.")
    raw = header[124:136]
    size = int.from_bytes(raw[1:]) if raw[0] == 0x80 else _octal(raw)  # GNU writes large sizes in binary
    if size is None:
        raise FileError(f"{name} has a header with a size that is no number.")
    return size


def _octal(raw: bytes) -> int | None:
    digits = raw.split(b"\0", 1)[0].strip()
    return int(digits, 8) if digits and not digits.strip(b"01234567") else None


def _text(raw: bytes, name: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise FileError(f"{name} has a member whose name is not UTF-8.") from error


def _plain_name(header: bytes, name: str) -> str:
    prefix = header[345:500].split(b"\0", 1)[0] if header[257:263] == b"ustar\0" else b""
    base = header[:100].split(b"\0", 1)[0]
    return _text(prefix + b"/" + base if prefix else base, name)


def _checked_name(member: str, name: str) -> str:
    shown = member if len(member) < 100 else member[:100] + "..."
    if not member or "\0" in member or "\\" in member:
        raise FileError(f"{name} has a member with the name {shown!r}, which is not allowed.")
    if member.startswith("/") or ".." in member.split("/"):
        raise FileError(f"{name} has a member {shown!r} that points out of the tar.")
    return member.removeprefix("./")


def _listen(data: bytes, size: int, kind: bytes, told: _Told, name: str) -> None:
    """Take note of an extended header: a GNU long name, or pax records `LENGTH KEY=VALUE`."""
    if len(data) < size:
        raise FileError(f"{name} ends within a header.")
    if kind == LONG_NAME:
        told.name = _text(data.rstrip(b"\0"), name)
        return
    while data:
        digits, _, rest = data.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 6 else 0
        key, equals, value = data[len(digits) + 1 : length - 1].partition(b"=")
        if not rest or not equals or length > len(data) or data[length - 1 : length] != b"\n":
            raise FileError(f"{name} has a damaged extended header.")
        data = data[length:]
        if key.startswith(b"GNU.sparse"):
            raise FileError(f"{name} holds a sparse file; only plain files are allowed.")
        if key in (b"path", b"size") and kind == PAX_FOR_ALL:
            raise FileError(f"{name} gives all of its members one {key.decode()}, which is not allowed.")
        if key == b"path":
            told.name = _text(value, name)
        elif key == b"size":
            if not value.isdigit() or len(value) > 15:
                raise FileError(f"{name} has a header with a size that is no number.")
            told.size = int(value)
