"""Scenes are the same for any number of workers; hands stand where they are placed; tiny models train and sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from pipelines import cli
from pipelines.text_to_mesh import TextToHandMeshPipeline
from pipelines.train import train
from recon.files import FileError
from recon.hand.camera import project
from recon.hand.model import HandMismatchError, HandModel
from recon.mmhmr.tokenizer import VQMano
from synth.handclip.model import HandClip, HandClipConfig
from synth.handclip.tokenizer import END, clip_tokenizer, tokenize
from synth.text_to_mesh.placement import place, placement_of
from synth.text_to_mesh.scenes import SceneTable, SceneTexts, make_scenes
from synth.text_to_mesh.task import TextToMeshTask, hand_losses
from synth.text_to_mesh.text import encode_texts, text_states
from synth.world.world import World


@pytest.fixture(scope="module")
def scenes() -> SceneTexts:
    return SceneTexts(24)


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> Path:
    """A tiny HandCLIP that knows the world's words, and a tiny VQ-MANO, both random."""
    folder = tmp_path_factory.mktemp("parts")
    torch.manual_seed(0)
    clip = HandClip(HandClipConfig(embed_dim=16, text_width=16, text_layers=1, text_heads=2, image_width=8))
    clip.forget(torch.unique(tokenize(["a left right hand showing fist open palm the letter A"])))
    clip.save_pretrained(folder / "handclip")
    hand = HandModel.default()
    VQMano(width=16, codebook_size=32, num_tokens=32, hand_fingerprint=hand.fingerprint).save_half(folder / "vq_mano")
    return folder


def tiny_task(scenes: SceneTexts, parts: Path, **changes) -> TextToMeshTask:
    torch.manual_seed(0)
    options = {"dim": 16, "layers": 1, "graph_blocks": 1, "heads": 2, "validation_hands": 20, "mesh_every": 2}
    options |= changes
    return TextToMeshTask(scenes, scenes, handclip=str(parts / "handclip"), tokenizer=str(parts / "vq_mano"), **options)


@pytest.fixture(scope="module")
def saved(scenes, parts, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline")
    task = tiny_task(scenes, parts)
    pipe = TextToHandMeshPipeline(task.model, task.vq_mano, task.text_encoder, task.text_tokenizer, task.hand)
    pipe.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pipe(saved) -> TextToHandMeshPipeline:
    return TextToHandMeshPipeline.from_pretrained(saved)


def test_tables_do_not_depend_on_the_workers_and_are_made_once(tmp_path, monkeypatch):
    monkeypatch.setattr("synth.text_to_mesh.scenes.CHUNK", 4)
    one, two = SceneTable(10, processes=1, cache=tmp_path / "t.npz"), SceneTable(10, processes=2)
    assert all(np.array_equal(one.arrays[name], two.arrays[name]) for name in one.arrays)
    monkeypatch.setattr(SceneTable, "_make", lambda self, processes: pytest.fail("made twice"))
    again = SceneTable(10, cache=tmp_path / "t.npz")
    assert all(np.array_equal(one.arrays[name], again.arrays[name]) for name in one.arrays)
    with pytest.raises(pytest.fail.Exception, match="made twice"):
        SceneTable(10, seed=1, cache=tmp_path / "t.npz")


def test_a_placement_puts_the_hand_back_where_the_scene_had_it():
    world, arrays = World(0), make_scenes(0, "train", 0, 12)
    found = SceneTexts(12)
    items = default_collate([found[10 * i] for i in range(12)])
    hand = HandModel.default()
    from recon.hand.model import HandParams

    joints = hand(HandParams.from_rotvec(items["betas"], items["global_orient"], items["hand_pose"])).joints
    cam_t, focal_length = place(joints, torch.from_numpy(arrays["placement"]))
    for i in range(12):
        scene = world.scene(i)
        assert focal_length[i] * scene.size == pytest.approx(scene.focal_length, rel=1e-4)
        expected = scene.cam_t * np.array([1.0 if scene.is_right else -1.0, 1, 1])
        assert np.abs(cam_t[i].numpy() - expected).max() < 1e-3
    assert torch.allclose(placement_of(joints, cam_t, focal_length), torch.from_numpy(arrays["placement"]), atol=1e-3)


def test_hidden_states_are_those_of_handclip_up_to_the_end(parts):
    clip = HandClip.from_pretrained(parts / "handclip")
    texts = ["a fist", "a left hand showing the letter A"]
    states = encode_texts(clip.clip_text_model(), clip_tokenizer(), texts)
    hidden = clip.encode_text(texts).hidden[:, : states.hidden.shape[1]]
    assert torch.allclose(states.hidden[~states.absent], hidden[~states.absent], atol=1e-4)
    assert (~states.absent).sum(-1).tolist() == [int((row != END).sum()) + 1 for row in tokenize(texts)]
    assert not states.blank.any()
    inside = clip_tokenizer()(texts[1], return_tensors="pt").input_ids[0, 1:-1]
    assert torch.allclose(states.words[1], clip.clip.text.token_embedding.weight[inside].mean(0), atol=1e-5)
    longer = text_states(clip.clip_text_model(), tokenize([texts[0]]), END)
    assert torch.allclose(longer.hidden[0], states.hidden[0, : longer.hidden.shape[1]], atol=1e-5)


def test_texts_that_say_nothing_and_texts_that_never_end(parts, caplog):
    clip = HandClip.from_pretrained(parts / "handclip")
    states = encode_texts(clip.clip_text_model(), clip_tokenizer(), ["", "xylophone zeppelin", "a fist " * 2000])
    assert states.blank.tolist() == [True, True, False]
    assert "reads the first 64" in caplog.text and states.hidden.shape[1] == 64
    assert states.hidden.isfinite().all()


def test_training_reaches_every_trained_weight_and_no_frozen_one(scenes, parts):
    task = tiny_task(scenes, parts, train_text=False).train()
    assert not task.vq_mano.training and task.model.training
    batch = default_collate([scenes[i] for i in range(16)])
    loss, logs = task.training_step(batch)
    loss.backward()
    assert loss.isfinite() and set(logs) == {"mask", "theta", "joints_mm", "coarse", "side", "shape"}
    silent = {name for name, parameter in task.model.named_parameters() if parameter.grad is None}
    assert not silent
    frozen = [*task.vq_mano.parameters(), *task.text_encoder.parameters(), *task.hand.parameters()]
    assert not any(parameter.requires_grad for parameter in frozen)
    joint = tiny_task(scenes, parts)
    joint.training_step(batch)[0].backward()
    words = joint.text_encoder.get_input_embeddings().weight
    assert words.grad.abs().sum() > 0
    assert not words.grad[joint.unknown].any(), "the unknown word must stay without meaning"


def test_reading_comes_first_and_a_new_encoder_knows_the_captions_words(scenes, parts):
    task = tiny_task(scenes, parts, new_text=True, read_first=1).train()
    batch = default_collate([scenes[i] for i in range(8)])
    assert "mask" not in task.training_step(batch)[1]
    assert "mask" in task.training_step(batch)[1]
    known = task.text_encoder.get_input_embeddings().weight.abs().sum(-1) > 0
    assert known.sum() == len(np.unique(scenes.text)) and not known[task.unknown]


def test_an_earlier_model_lends_its_synthesizer(scenes, parts, saved):
    first, second = tiny_task(scenes, parts), tiny_task(scenes, parts, start=str(saved))
    torch.manual_seed(9)
    other = tiny_task(scenes, parts, start=str(saved))
    for name, value in first.model.synthesizer.state_dict().items():
        assert torch.allclose(value, other.model.synthesizer.state_dict()[name], atol=1e-2), name
    assert second.model.config == first.model.config


def test_the_text_is_read_and_dropping_it_forgets_it(scenes, parts):
    task = tiny_task(scenes, parts).eval()
    model = task.model
    states = encode_texts(task.text_encoder, task.text_tokenizer, ["a fist", "the letter A"])
    tokens = torch.full((2, 32), model.synthesizer.mask_id)
    right = torch.ones(2, dtype=torch.bool)
    with torch.no_grad():
        read = model(tokens, model.read(states), right)
        dropped = model(tokens, model.read(states, right), right)
        left = model(tokens, model.read(states), ~right)
    assert (read[0] - read[1]).abs().max() > 1e-5
    assert torch.allclose(dropped[0], dropped[1], atol=1e-5)
    assert (left - read).abs().max() > 1e-5


def test_a_few_steps_lower_the_loss_of_a_few_hands(scenes, parts):
    task = tiny_task(scenes, parts, dim=32, drop_text=0.0, drop_words=0.0).train()
    optimizer = torch.optim.Adam([p for p in task.parameters() if p.requires_grad], 3e-3)
    batch = default_collate([scenes[10 * i] for i in range(8)])
    losses = []
    for _ in range(40):
        loss, logs = task.training_step(batch)
        losses.append(float(logs["mask"].detach()))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_head_losses_are_least_at_the_truth(scenes, parts):
    from synth.text_to_mesh.model import HandDistributions

    batch = default_collate([scenes[i] for i in range(8)])
    truth = torch.cat((batch["betas"], batch["placement"]), -1)
    side = torch.where(batch["is_right"], 3.0, -3.0)
    narrow = torch.full_like(truth, -1.0)
    good = hand_losses(HandDistributions(side, truth, narrow), batch)
    bad = hand_losses(HandDistributions(-side, truth + 1, narrow), batch)
    assert good[0] < bad[0] and good[1] < bad[1]


def test_a_seed_is_a_hand_and_left_hands_are_the_left_models(pipe):
    texts = ["a fist", "", "the letter A"]
    hands = pipe(texts, num_samples=2, seeds=range(6), num_inference_steps=3)
    assert hands.prompts == [text for text in texts for _ in range(2)]
    again = pipe(texts, num_samples=2, seeds=range(6), num_inference_steps=3, batch_size=6)
    assert torch.equal(hands.meshes.vertices, again.meshes.vertices)
    assert not torch.allclose(hands.params.hand_pose[0], hands.params.hand_pose[1])
    left, right = (pipe("a fist", seeds=[5], is_right=side, size=100) for side in (False, True))
    assert not left.is_right[0] and right.is_right[0]
    mirrored = left.params.mirrored()
    mesh = pipe.hand_model(mirrored).mirrored()
    assert torch.allclose(mesh.vertices, left.meshes.vertices, atol=1e-5)
    for found in (hands, left, right):
        size = 100 if found is not hands else 256
        middle = torch.full((len(found.prompts), 2), size / 2)
        pixels = project(found.meshes.joints + found.cam_t[:, None], found.focal_length, middle)
        assert (found.cam_t[:, 2] > 0).all() and pixels.min() > 0 and pixels.max() < size


def test_generators_callbacks_and_other_outputs(pipe):
    seen = []
    watch = lambda pipeline, step, found: seen.append((step, found["tokens"].shape))  # noqa: E731
    one = pipe("a fist", generator=torch.Generator().manual_seed(1), num_inference_steps=4, callback_on_step_end=watch)
    two = pipe("a fist", generator=torch.Generator().manual_seed(1), num_inference_steps=4)
    assert torch.equal(one.params.hand_pose, two.params.hand_pose)
    assert seen == [(step, (1, 32)) for step in range(4)]
    meshes = pipe(["a fist"] * 2, seeds=[1, 2], output_type="trimesh")
    assert [len(mesh.vertices) for mesh in meshes] == [778, 778]
    for side in (True, False):
        (mesh,) = pipe("a fist", seeds=[1], is_right=side, output_type="trimesh")
        mesh.vertices -= mesh.vertices.mean(0)
        assert mesh.volume > 0, "faces must be turned outward on both sides"
    for wrong in ({"prompt": []}, {"prompt": "a", "num_samples": 0}, {"prompt": "a", "seeds": [1, 2]}):
        with pytest.raises(ValueError, match="give"):
            pipe(**wrong)


def test_parts_that_do_not_belong_together_are_refused(pipe, saved, parts, tmp_path):
    torch.manual_seed(1)
    other = VQMano(width=16, codebook_size=32, num_tokens=32, hand_fingerprint=pipe.hand_model.fingerprint)
    with pytest.raises(ValueError, match="speaks the tokens of VQ-MANO"):
        TextToHandMeshPipeline(pipe.text_to_mesh, other, pipe.text_encoder, pipe.tokenizer)
    hand = HandModel.default()
    hand.fingerprint = "another hand"
    with pytest.raises(HandMismatchError, match="another hand"):
        TextToHandMeshPipeline.from_pretrained(saved, hand_model=hand)
    with pytest.raises(FileError, match="holds no text-to-mesh model"):
        TextToHandMeshPipeline.from_pretrained(tmp_path)


def test_pose_command_writes_meshes_records_and_a_sheet(saved, tmp_path):
    import json

    import trimesh

    out = tmp_path / "fists"
    assert cli.run(["pose", "A fist!", "--num-samples", "2", "--pipeline", str(saved), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "a_fist_000.json", "a_fist_000.obj", "a_fist_001.json", "a_fist_001.obj", "sheet.png",
    ]  # fmt: skip
    mesh = trimesh.load(out / "a_fist_000.obj", process=False)
    assert mesh.vertices.shape == (778, 3) and mesh.faces.shape == (1538, 3)
    record = json.loads((out / "a_fist_000.json").read_text())
    assert record["prompt"] == "A fist!" and len(record["hand_pose"]) == 45 and len(record["joints"]) == 21
    assert cli.run(["pose", "a fist", "--num-samples", "0", "--pipeline", str(saved), "--out", str(out)]) == 2


def test_smoke_configs_train_by_the_command(parts, tmp_path, repository):
    vq = ["--training.out", str(tmp_path / "vq"), "--training.progress", "false"]
    assert cli.call(train, "handloom train", [str(repository / "configs/recon/vq_mano_smoke.yaml"), *vq]) == 0
    options = {
        "--training.out": tmp_path / "t2m",
        "--training.progress": "false",
        "--task.init_args.tokenizer": tmp_path / "vq" / "final",
        "--task.init_args.handclip": parts / "handclip",
    }
    flags = [str(word) for pair in options.items() for word in pair]
    assert cli.call(train, "handloom train", [str(repository / "configs/synth/text_to_mesh_smoke.yaml"), *flags]) == 0
    found = sorted(path.name for path in (tmp_path / "t2m" / "final").iterdir())
    assert found == ["text_encoder", "text_to_mesh", "tokenizer"]


@pytest.mark.parametrize(
    "name", ["recon/vq_mano", "recon/vq_mano_smoke", "synth/text_to_mesh", "synth/text_to_mesh_smoke"]
)
def test_configs_load(name, repository):
    parser = cli.build_parser(train, "handloom train")
    settings = parser.parse_args(["--config", str(repository / f"configs/{name}.yaml")])
    assert settings.training.steps > 0
