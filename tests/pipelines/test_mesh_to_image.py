"""Painting on control pictures: the small base and one of Stable Diffusion 1.5's shape, all modes and input forms."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import default_collate

from pipelines.mesh_to_image import HandControlNetPipeline, to_tensor
from recon.files import FileError
from synth.controlnet.networks import make_autoencoder, make_denoiser, make_scheduler, save_base
from synth.controlnet.pretrained_task import PretrainedControlNetTask
from synth.handclip.model import HandClip
from tests.pipelines.sd15_shaped import write_base
from tests.synth.controlnet.hand_set import write_hands
from tests.synth.controlnet.test_networks import TINY, TINY_CLIP

FAST = {"num_inference_steps": 2, "output_type": "np"}


def quiet(pipe: HandControlNetPipeline) -> HandControlNetPipeline:
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("small")
    unet, controlnet = make_denoiser(TINY)
    save_base(folder / "base", make_autoencoder(8), unet, HandClip(TINY_CLIP), make_scheduler())
    controlnet.half().save_pretrained(folder / "controlnet")
    return folder


@pytest.fixture(scope="module")
def pipe(small: Path) -> HandControlNetPipeline:
    return quiet(HandControlNetPipeline.from_pretrained(small))


@pytest.fixture(scope="module")
def sd15(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("sd15"))


@pytest.fixture
def control() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 32, 32, 6), dtype=np.uint8)


def seeds(*numbers: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(number) for number in numbers]


def test_a_missing_control_is_zeros(pipe: HandControlNetPipeline, control: np.ndarray) -> None:
    assert pipe.image_size == 32
    mesh, pose = control[..., :3], control[..., 3:]
    padded = {
        "mesh": np.concatenate([mesh, np.zeros_like(mesh)], -1),
        "pose": np.concatenate([np.zeros_like(pose), pose], -1),
    }
    for name, picture in (("mesh", mesh), ("pose", pose)):
        alone = pipe(["a fist"] * 2, picture, name, generator=seeds(0, 1), **FAST).images
        joined = pipe(["a fist"] * 2, padded[name], "mesh+pose", generator=seeds(0, 1), **FAST).images
        np.testing.assert_array_equal(alone, joined)
        assert alone.shape == (2, 32, 32, 3) and alone.min() >= 0 and alone.max() <= 1


def test_a_picture_does_not_depend_on_its_batch(pipe: HandControlNetPipeline, control: np.ndarray) -> None:
    both = pipe(["a fist", "an open palm"], control, "mesh+pose", generator=seeds(0, 1), **FAST).images
    one = pipe("an open palm", control[1:], "mesh+pose", generator=seeds(1), **FAST).images
    np.testing.assert_allclose(both[1:], one, atol=1e-4)


def test_pillow_arrays_tensors_and_pairs_are_the_same(pipe: HandControlNetPipeline, control: np.ndarray) -> None:
    mesh, pose = control[..., :3], control[..., 3:]
    expected = to_tensor(mesh)
    forms = (
        [Image.fromarray(one) for one in mesh],
        list(mesh),
        mesh.astype(np.float32) / 255,
        torch.from_numpy(mesh).permute(0, 3, 1, 2) / 255,
    )
    for form in forms:
        torch.testing.assert_close(to_tensor(form), expected)
    pair = pipe.check_control((forms[0], pose), "mesh+pose")
    torch.testing.assert_close(pair, to_tensor(control))


def test_text_control_and_steps_are_used(pipe: HandControlNetPipeline, control: np.ndarray) -> None:
    first = pipe("a fist", control[:1], "mesh+pose", generator=seeds(0), **FAST).images
    other_text = pipe("a dark open palm", control[:1], "mesh+pose", generator=seeds(0), **FAST).images
    other_control = pipe("a fist", control[1:], "mesh+pose", generator=seeds(0), **FAST).images
    assert not np.array_equal(first, other_text) and not np.array_equal(first, other_control)


def test_a_long_prompt_is_cut_where_the_text_encoder_ends(pipe: HandControlNetPipeline, control: np.ndarray) -> None:
    long = "a right hand with brown skin, the thumb out, 手 " * 400
    assert pipe.cut("A right fist!") == "A right fist!"
    ids = [pipe.tokenizer(text, truncation=True).input_ids for text in (long, pipe.cut(long))]
    read = len(ids[1]) - 1
    assert len(ids[0]) - 3 <= read < len(ids[0])
    assert ids[0][:read] == ids[1][:read]
    assert pipe(long, control[:1], "mesh+pose", generator=seeds(0), **FAST).images.shape == (1, 32, 32, 3)


def test_output_types_and_callback(pipe: HandControlNetPipeline, control: np.ndarray) -> None:
    steps = []

    def callback(pipeline: object, step: int, timestep: object, tensors: dict) -> dict:
        steps.append((step, tuple(tensors["latents"].shape)))
        return tensors

    settings = {"num_inference_steps": 3, "callback_on_step_end": callback}
    picture = pipe("a fist", control[:1, ..., :3], **settings).images[0]
    assert isinstance(picture, Image.Image) and picture.size == (32, 32)
    assert steps == [(0, (1, 4, 8, 8)), (1, (1, 4, 8, 8)), (2, (1, 4, 8, 8))]
    tensor = pipe("a fist", control[:1, ..., :3], num_inference_steps=2, output_type="pt").images
    assert tensor.shape == (1, 3, 32, 32)
    assert isinstance(pipe("a fist", control[:1, ..., :3], return_dict=False, **FAST), tuple)


def test_saving_the_whole_pipeline(pipe: HandControlNetPipeline, control: np.ndarray, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    again = quiet(HandControlNetPipeline.from_pretrained(tmp_path))
    pictures = [p("a fist", control[:1, ..., :3], generator=seeds(0), **FAST).images for p in (pipe, again)]
    np.testing.assert_array_equal(*pictures)


def test_a_base_of_stable_diffusions_shape(sd15: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    pipe = quiet(HandControlNetPipeline.from_pretrained(sd15 / "base", controlnet=sd15 / "mesh"))
    for control in ("mesh", "pose"):
        assert pipe("a fist", picture, control, guidance_scale=7.5, **FAST).images.shape == (1, 64, 64, 3)
    with pytest.raises(ValueError, match="takes 3 channels and so one control"):
        pipe("a fist", np.repeat(picture, 2, -1), "mesh+pose", **FAST)
    two = quiet(HandControlNetPipeline.from_pretrained(sd15 / "base", controlnet=[sd15 / "mesh", sd15 / "pose"]))
    pair = (picture, picture)
    assert two("a fist", pair, "mesh+pose", **FAST).images.shape == (1, 64, 64, 3)
    with pytest.raises(ValueError, match="as a pair, not mesh"):
        two("a fist", picture, "mesh", **FAST)


def test_training_a_controlnet_on_a_pretrained_base(sd15: Path, tmp_path: Path) -> None:
    hands = [write_hands(tmp_path / "hands", size=64)]
    task = PretrainedControlNetTask(hands, hands, tmp_path / "cache", str(sd15 / "base"), size=64, steps=2)
    dataset = task.train().dataset()
    batch = default_collate([dataset[i] for i in range(4)])
    torch.manual_seed(0)
    optimizer = torch.optim.Adam([value for value in task.parameters() if value.requires_grad], lr=1e-3)
    frozen = {name: value.clone() for name, value in task.unet.state_dict().items()}
    for _ in range(2):
        loss, _ = task.training_step(batch)
        loss.backward()
        optimizer.step()
    assert torch.isfinite(loss)
    assert all(torch.equal(value, frozen[name]) for name, value in task.unet.state_dict().items())
    assert task.controlnet.controlnet_mid_block.weight.abs().sum() > 0  # it left zero
    assert task.eval().validate().pictures["painted"].shape == (4 * 64, 4 * 64, 3)
    task.save_pretrained(tmp_path / "final")
    pipe = quiet(HandControlNetPipeline.from_pretrained(sd15 / "base", controlnet=tmp_path / "final" / "controlnet"))
    control = np.zeros((1, 64, 64, 6), np.uint8)
    assert pipe("a fist", control, "mesh+pose", **FAST).images.shape == (1, 64, 64, 3)


@pytest.mark.parametrize(
    ("control", "pictures", "message"),
    [
        ("mesh", np.zeros((1, 32, 32, 6), np.uint8), "have 6 channels; mesh takes 3"),
        ("mesh", np.zeros((1, 30, 32, 3), np.uint8), "must be multiples of 8"),
        ("mesh", np.full((1, 32, 32, 3), 7.0, np.float32), "must be in 0..1"),
        ("mesh", np.full((1, 32, 32, 3), np.nan, np.float32), "must be in 0..1"),
        ("mesh", [], "no control picture"),
        ("mesh", np.zeros((32, 32), np.uint8), "have the shape"),
        ("depth", np.zeros((1, 32, 32, 3), np.uint8), "must be mesh, pose or mesh"),
    ],
)
def test_wrong_controls_are_one_sentence(pipe: HandControlNetPipeline, control: str, pictures, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pipe.check_control(pictures, control)


def test_wrong_models_are_one_sentence(small: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no ControlNet of its own"):
        HandControlNetPipeline.from_pretrained(small / "base")
    with pytest.raises(FileError, match="neither a ControlNet folder nor a hub id"):
        HandControlNetPipeline.from_pretrained(small / "base", controlnet=tmp_path / "nothing")
    with pytest.raises(FileError, match="neither a Diffusers folder nor a hub id"):
        HandControlNetPipeline.from_pretrained(tmp_path / "nothing", controlnet=small / "controlnet")


def test_guidance_is_from_a_picture_without_control_where_the_controlnet_knows_such(
    pipe: HandControlNetPipeline, sd15: Path, control: np.ndarray
) -> None:
    def paint(**settings: object) -> np.ndarray:
        made = pipe("a hand", control, "mesh+pose", generator=seeds(1, 2), **FAST, **settings)
        return np.asarray(made.images)

    by_both, by_text = paint(guidance_scale=3.0), paint(guidance_scale=3.0, control_guides=False)
    assert np.array_equal(by_both, paint(guidance_scale=3.0, control_guides=True))
    assert not np.array_equal(by_both, by_text)  # by little: the weights are random
    unguided = [paint(guidance_scale=1.0, control_guides=value) for value in (True, False)]
    assert np.array_equal(*unguided)
    larger = quiet(HandControlNetPipeline.from_pretrained(sd15 / "base", controlnet=sd15 / "mesh"))
    image = control[..., :3].repeat(2, 1).repeat(2, 2)
    own, off = (
        larger("a hand", image, generator=seeds(1, 2), guidance_scale=3.0, control_guides=value, **FAST).images
        for value in (None, False)
    )
    assert np.array_equal(np.asarray(own), np.asarray(off))
