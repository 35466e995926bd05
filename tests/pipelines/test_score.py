"""Scoring folders of hand pictures: real photos, a small run with labels, saved references, wrong inputs."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Features, Image, List, Value

from eval.generation import fid, kid
from pipelines.cli import run
from pipelines.crops import clean_resize, square_crop
from pipelines.extractors import ExtractorError, HandClipExtractor, InceptionExtractor
from pipelines.generation_scores import ReferenceMismatchError, compare
from pipelines.hand_pictures import HandPicture, find_pictures, read_pictures
from pipelines.image_set import load_image_set, save_image_set
from pipelines.run_folder import RunFolder, RunPlan
from pipelines.set_meter import SetMeter, measure
from recon.assets import AssetError, asset_path
from recon.detection import HandDetector
from recon.files import FileError
from recon.hand.camera import project
from recon.hand.model import HandModel, HandParams
from synth.handclip.model import HandClip, HandClipConfig
from synth.render.rasterizer import control_maps

NUMBERS = {"betas": 10, "global_orient": 3, "hand_pose": 45, "cam_t": 3, "box": 4}
FEATURES = Features(
    sample_id=Value("string"),
    image=Image(),
    is_right=Value("bool"),
    focal_length=Value("float32"),
    keypoints_2d=List(List(Value("float32"))),
    **{name: List(Value("float32"), length=length) for name, length in NUMBERS.items()},
)
SIZE = 96


@pytest.fixture(scope="module")
def extractor(tmp_path_factory) -> HandClipExtractor:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("handclip")
    HandClip(HandClipConfig(embed_dim=16, image_size=32, image_width=8)).save_pretrained(folder)
    return HandClipExtractor(folder)


@pytest.fixture(scope="module")
def detector() -> HandDetector:
    try:
        asset_path("hand-landmarker")
    except AssetError as error:
        pytest.skip(str(error))
    return HandDetector()


def labelled_row(i: int) -> tuple[dict, np.ndarray]:
    """A grey hand on noise, drawn from its row's own parameters, and its mask."""
    generator = torch.Generator().manual_seed(i)
    hand, is_right = HandModel.default(), i % 2 == 0
    right = HandParams.from_rotvec(
        torch.randn(1, 10, generator=generator) * 0.5,
        torch.tensor([[1.5, 0.2 * i, -1.5]]),
        torch.randn(1, 45, generator=generator) * 0.1,
    )
    mesh = hand(right) if is_right else hand(right).mirrored()
    own = right if is_right else right.mirrored()
    cam_t = torch.tensor([[0.0, 0.05, 0.6]])
    mesh = mesh.translated(cam_t)
    maps = control_maps(mesh.vertices[0].numpy(), hand.faces.numpy(), hand.part_of_vertex.numpy(), 220.0, size=SIZE)
    image = np.random.default_rng(i).integers(0, 80, (SIZE, SIZE, 3), dtype=np.uint8)
    image[maps.mask] = 128 + maps.normals[maps.mask] * 100
    keypoints = project(mesh.joints, torch.tensor([220.0]), torch.tensor([[SIZE / 2, SIZE / 2]]))[0].numpy()
    rows, columns = np.nonzero(maps.mask)
    row = {
        "sample_id": f"{i:04d}",
        "image": image,
        "is_right": is_right,
        "focal_length": 220.0,
        "keypoints_2d": np.concatenate([keypoints, np.ones((21, 1))], axis=1),
        "betas": own.betas[0].numpy(),
        "global_orient": own.global_orient_rotvec[0].numpy(),
        "hand_pose": own.hand_pose_rotvec[0].numpy(),
        "cam_t": cam_t[0].numpy(),
        "box": np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]),
    }
    return row, maps.mask


def write_run(folder: Path, fmt: str, count: int = 5) -> Path:
    plan = RunPlan({"what": "test"}, num_samples=count, shard_size=3, format=fmt, features=FEATURES)
    store = RunFolder(folder, plan)
    for shard in store.claim():
        store.write(shard, [labelled_row(i)[0] for i in range(shard.start, shard.stop)])
    return folder


@pytest.fixture(scope="module")
def parquet_run(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "parquet", "parquet")


@pytest.mark.parametrize("fmt", ["parquet", "webdataset", "imagefolder"])
def test_a_run_gives_its_pictures_and_labels(fmt, tmp_path):
    found = find_pictures(write_run(tmp_path / "run", fmt, count=4))
    pictures = list(read_pictures(found))
    assert found.count == len(pictures) == 4
    for i, picture in enumerate(pictures):
        row, mask = labelled_row(i)
        np.testing.assert_array_equal(picture.image, row["image"])
        np.testing.assert_allclose(picture.box, row["box"])
        np.testing.assert_allclose(picture.keypoints_2d, row["keypoints_2d"][:, :2], atol=1e-4)
        assert (picture.mask != mask).mean() < 0.002  # the left and the right hand alike


def test_an_image_folder_has_pictures_only(real_hands):
    found = find_pictures(real_hands / "gestures")
    pictures = list(read_pictures(replace(found, files=found.files[:3])))
    assert len(found.files) == found.count == 20
    assert [p.name for p in pictures] == ["call_1.jpg", "call_2.jpg", "call_3.jpg"]
    assert all(p.box is None and p.keypoints_2d is None and p.mask is None for p in pictures)


def test_measured_features_are_those_of_the_crops(parquet_run, extractor):
    pictures = list(read_pictures(find_pictures(parquet_run)))
    crops = np.stack([clean_resize(square_crop(p.image, p.box), extractor.size) for p in pictures])
    images = measure(pictures, extractor, None, "run", batch_size=2)
    np.testing.assert_array_equal(images.features, extractor(crops))
    assert (images.figures.n, images.figures.crops_by_label, images.figures.side) == (5, 5, SIZE)
    assert images.figures.detection is None and images.figures.pck is None
    assert images.figures.n_sharpness == 5 and images.figures.sharpness > 0
    assert images.statistics.n == 5


def test_the_kept_features_are_a_bounded_sample(parquet_run, extractor, monkeypatch):
    monkeypatch.setattr("pipelines.set_meter.KEPT_FEATURES", 3)
    pictures = list(read_pictures(find_pictures(parquet_run)))
    images = measure(pictures, extractor, None, "run")
    assert images.features.shape == (3, 16) and images.statistics.n == 5


def test_the_detector_crops_what_has_no_label(real_hands, extractor, detector):
    found = find_pictures(real_hands / "gestures")
    names = ["call_1.jpg", "four_1.jpg", "rock_4.jpg"]
    chosen = [p for p in read_pictures(found) if p.name in names]
    blank = HandPicture("blank", np.full((64, 64, 3), 90, np.uint8))
    figures = measure([*chosen, blank], extractor, detector, "photos").figures
    assert (figures.n, figures.detection.found, figures.crops_by_detector) == (4, 3, 3)
    assert figures.detection.mean_score_missed_as_zero == pytest.approx(figures.detection.mean_score_found * 0.75)
    assert figures.detector["mediapipe"]


def test_agreement_with_the_projected_joints(real_hands, extractor, detector):
    photo = next(p for p in read_pictures(find_pictures(real_hands / "gestures")) if p.name == "four_1.jpg")
    found = detector.detect(photo.image)[0].keypoints_2d[:, :2]
    far = found + 0.12 * (found.max(0) - found.min(0)).max() / 2**0.5
    for joints, expected in ((found, {"0.05": 1.0, "0.1": 1.0, "0.15": 1.0}), (far, {"0.05": 0, "0.1": 0, "0.15": 1})):
        figures = measure([replace(photo, keypoints_2d=joints)], extractor, detector, "photo").figures
        assert figures.pck == expected and figures.n_pck == 1


def test_saved_statistics_come_back(parquet_run, extractor, tmp_path):
    images = measure(read_pictures(find_pictures(parquet_run)), extractor, None, "run")
    save_image_set(tmp_path / "stats.npz", images)
    back = load_image_set(tmp_path / "stats.npz")
    assert back.figures == images.figures
    assert (back.extractor, back.fingerprint) == ("handclip", extractor.fingerprint)
    np.testing.assert_array_equal(back.features, images.features)
    np.testing.assert_array_equal(back.statistics.covariance, images.statistics.covariance)


def test_comparison_is_the_pure_scores_and_says_what_it_is(parquet_run, extractor):
    pictures = list(read_pictures(find_pictures(parquet_run)))
    images, other = (measure(part, extractor, None, name) for part, name in ((pictures[:3], "a"), (pictures[1:], "b")))
    scores = compare(images, other)
    a, b = (x.features.astype(np.float64) for x in (images, other))
    assert scores.fid_h == pytest.approx(fid(a, b), abs=1e-6)
    assert scores.kid_h == kid(a, b)
    record = json.loads(json.dumps(scores.as_dict(), allow_nan=False))
    assert list(record)[:3] == ["leads_with", "kid_h", "fid_h"] and record["leads_with"] == "kid_h"
    for figure in ("kid_h", "fid_h"):
        assert (record[figure]["extractor"], record[figure]["n"], record[figure]["n_reference"]) == ("handclip", 3, 4)
    assert "biased below 1,000" in record["notes"][0]
    text = scores.markdown()
    assert text.index("KID-H") < text.index("FID-H (") and "(handclip, n = 3 against 4)" in text


def test_enough_images_lead_with_fid(parquet_run, extractor):
    images = measure(read_pictures(find_pictures(parquet_run)), extractor, None, "run")
    many = replace(images, statistics=replace(images.statistics, n=1000))
    scores = compare(many, many)
    assert scores.leads_with == "fid_h" and not scores.notes
    assert scores.markdown().index("FID-H") < scores.markdown().index("KID-H")
    assert next(iter(list(scores.as_dict())[1:])) == "fid_h"


def test_one_crop_has_no_distance(parquet_run, extractor):
    pictures = list(read_pictures(find_pictures(parquet_run)))
    few, reference = measure(pictures[:1], extractor, None, "one"), measure(pictures, extractor, None, "all")
    scores = compare(few, reference)
    assert scores.fid_h is None and scores.kid_h is None and "at least 2" in scores.notes[0]
    assert scores.as_dict()["fid_h"] is None and "none" in scores.markdown()
    with pytest.raises(ValueError, match="fewer than 2"):
        save_image_set("nowhere.npz", few)


def test_another_extractor_is_refused(parquet_run, extractor):
    images = measure(read_pictures(find_pictures(parquet_run)), extractor, None, "run")
    with pytest.raises(ReferenceMismatchError, match="handclip .* inception"):
        compare(images, replace(images, extractor="inception"))
    with pytest.raises(ReferenceMismatchError):
        compare(images, replace(images, fingerprint="0" * 16))


def test_an_empty_set_is_an_error(extractor):
    with pytest.raises(ValueError, match="no picture"):
        SetMeter(extractor, None).image_set("nothing")


def test_inception_runs_nothing_that_is_not_the_pinned_file(tmp_path):
    (tmp_path / "inception.pt").write_bytes(b"PK\x03\x04 not it")
    with pytest.raises(ExtractorError, match="sha256"):
        InceptionExtractor(tmp_path / "inception.pt")
    with pytest.raises(ExtractorError, match="does not exist"):
        InceptionExtractor(tmp_path / "absent.pt")


def test_command(parquet_run, detector, tmp_path):
    weights = tmp_path / "handclip"
    torch.manual_seed(0)
    HandClip(HandClipConfig(embed_dim=16, image_size=32, image_width=8)).save_pretrained(weights)
    folder, stats = tmp_path / "run", tmp_path / "stats.npz"
    shutil.copytree(parquet_run, folder)
    flags = ["--extractor-file", str(weights)]
    assert run(["score", str(folder), "--save-stats", str(stats), *flags]) == 0
    assert not (folder / "scores.json").exists()
    assert run(["score", str(folder), "--reference", str(stats), *flags]) == 0
    record = json.loads((folder / "scores.json").read_text())
    assert record["fid_h"]["value"] == pytest.approx(0.0, abs=1e-6)
    assert record["images"] == record["reference"] and record["sharpness_ratio"] == 1.0
    assert (folder / "scores.md").read_text().startswith("# Scores of run")


def test_wrong_folders_are_one_sentence(tmp_path, parquet_run):
    with pytest.raises(FileError, match="not a folder"):
        find_pictures(tmp_path / "absent")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(FileError, match="no pictures"):
        find_pictures(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG cut")
    with pytest.raises(FileError, match=r"broken\.png"):
        list(read_pictures(find_pictures(tmp_path)))
    damaged = tmp_path / "run"
    shutil.copytree(parquet_run, damaged)
    shard = next(damaged.glob("data/*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-200])
    with pytest.raises(FileError, match="parquet"):
        list(read_pictures(find_pictures(damaged)))
    (damaged / "manifest.json").write_text(json.dumps({"format": "parquet", "shards": [{"file": "../x", "rows": 1}]}))
    with pytest.raises(FileError, match="manifest"):
        find_pictures(damaged)


@pytest.mark.parametrize("change", ["missing", "width", "nan", "format", "json"])
def test_wrong_statistics_are_one_sentence(change, parquet_run, extractor, tmp_path):
    save_image_set(tmp_path / "s.npz", measure(read_pictures(find_pictures(parquet_run)), extractor, None, "run"))
    with np.load(tmp_path / "s.npz") as archive:
        arrays = dict(archive)
    if change == "missing":
        arrays.pop("mean")
    elif change == "width":
        arrays["features"] = arrays["features"][:, :5]
    elif change == "nan":
        arrays["covariance"][0, 0] = np.nan
    else:
        about = json.loads(str(arrays["about"])) | {"format": 99}
        arrays["about"] = np.array("no json" if change == "json" else json.dumps(about))
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(FileError, match=r"s\.npz"):
        load_image_set(tmp_path / "s.npz")
