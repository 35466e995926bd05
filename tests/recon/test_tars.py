"""What the tar opener lets through, and that links, odd names, bombs and damage are one sentence."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from recon.files import FileError
from recon.tars import TarLimits, read_member, tar_members


def member(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, **fields: object) -> tuple:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def write(path: Path, *members: tuple, fmt: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=fmt) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return path


def listed(path: Path, limits: TarLimits | None = None) -> dict[str, bytes]:
    members = tar_members(path, limits) if limits else tar_members(path)
    return {entry.name: read_member(path, entry) for entry in members}


@pytest.mark.parametrize("fmt", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_members_come_back_whoever_wrote_the_tar(tmp_path: Path, fmt: int) -> None:
    long = "/".join(["folder" * 5] * 4) + "/name.jpg"
    files = {"a.jpg": b"x" * 1000, "sub/b.data.pyd": b"", long: b"y" * 512, "c": b"z"}
    members = [member(name, data, mtime=1.5 if fmt == tarfile.PAX_FORMAT else 1) for name, data in files.items()]
    path = write(tmp_path / "a.tar", member("sub", kind=tarfile.DIRTYPE), *members, fmt=fmt)
    assert listed(path) == files
    with tarfile.open(path) as archive:  # the same places as the standard library finds
        places = {m.name: (m.offset_data, m.size) for m in archive if m.isreg()}
    assert {m.name: (m.offset, m.size) for m in tar_members(path)} == places


def test_names_in_other_scripts_and_a_leading_dot(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", member("手.jpg", b"1"), member("./b.jpg", b"2"))
    assert listed(path) == {"手.jpg": b"1", "b.jpg": b"2"}


@pytest.mark.parametrize("kind, word", [
    (tarfile.SYMTYPE, "symbolic link"), (tarfile.LNKTYPE, "hard link"), (tarfile.CHRTYPE, "device"),
    (tarfile.BLKTYPE, "device"), (tarfile.FIFOTYPE, "pipe"), (tarfile.GNUTYPE_SPARSE, "of type 'S'"),
    (b"K", "of type 'K'"),
])  # fmt: skip
def test_only_files_are_allowed(tmp_path: Path, kind: bytes, word: str) -> None:
    path = write(tmp_path / "a.tar", member("good.jpg", b"1"), member("evil", kind=kind, linkname="good.jpg"))
    with pytest.raises(FileError, match=f"a.tar: evil is (a )?{word}"):
        listed(path)


@pytest.mark.parametrize("name", ["/etc/passwd", "../up.jpg", "a/../../up.jpg", "a\\..\\b", ".."])
@pytest.mark.parametrize("fmt", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
def test_names_stay_inside(tmp_path: Path, name: str, fmt: int) -> None:
    with pytest.raises(FileError, match="points out of the tar|not allowed"):
        listed(write(tmp_path / "a.tar", member(name, b"1"), fmt=fmt))


def test_a_name_hidden_in_an_extended_header_is_checked_too(tmp_path: Path) -> None:
    hidden = member("fine.jpg", b"1", pax_headers={"path": "../" * 40 + "x"})
    with pytest.raises(FileError, match="points out of the tar"):
        listed(write(tmp_path / "a.tar", hidden))
    with pytest.raises(FileError, match="sparse"):
        listed(write(tmp_path / "b.tar", member("f", b"1", pax_headers={"GNU.sparse.size": "9999999999"})))


def test_limits(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", member("a", b"x" * 600), member("b", b"x" * 600))
    assert len(listed(path, TarLimits(2, 600, 1200))) == 2
    for limits, words in (
        (TarLimits(members=1), "more than the 1 members"),
        (TarLimits(member_bytes=599), "a has 600 bytes; allowed are 599"),
        (TarLimits(total_bytes=1199), "more than the 1,199 bytes"),
    ):
        with pytest.raises(FileError, match=words):
            listed(path, limits)
    deep = write(tmp_path / "b.tar", member("a", b"1", pax_headers={"comment": "c" * 70_000}))
    with pytest.raises(FileError, match="extended header of 70,0"):
        listed(deep)


def test_sizes_are_not_believed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", member("a", b"1", pax_headers={"size": str(2**39)}))
    with pytest.raises(FileError, match="allowed are|ends within a"):
        listed(path)
    data = write(tmp_path / "b.tar", member("a", b"x" * 5000)).read_bytes()
    path.write_bytes(data[:3000])
    with pytest.raises(FileError, match="ends within a"):
        listed(path)
    path.write_bytes(data[:700])
    with pytest.raises(FileError, match="ends within a"):
        listed(path)
    info, _ = member("a")
    info.size = 2**62  # as GNU tar writes it, in binary
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(FileError, match="allowed are"):
        listed(path)


def test_compressed_damaged_and_missing_files(tmp_path: Path) -> None:
    good = write(tmp_path / "a.tar", member("a", b"1")).read_bytes()
    bad = tmp_path / "b.tar"
    for data, words in (
        (gzip.compress(good), "compressed with gzip"),
        (b"", "ends within a header"),
        (b"no tar at all" * 100, "not a tar file"),
        (good[:40] + b"!" + good[41:], "not a tar file, or a header in it is damaged"),
        (good[:300], "ends within a header"),
    ):
        bad.write_bytes(data)
        with pytest.raises(FileError, match=f"b.tar .*{words}"):
            listed(bad)
    with pytest.raises(FileError, match="does not exist"):
        listed(tmp_path / "none.tar")
    entry = next(tar_members(tmp_path / "a.tar"))
    (tmp_path / "a.tar").write_bytes(good[:100])
    with pytest.raises(FileError, match="ends within a"):
        read_member(tmp_path / "a.tar", entry)
