"""`handloom evaluate reconstruction|generation|text-to-mesh`: scores of arrays in npz files (DESIGN sections 7 and 9).

The files hold the arrays of the reference sets of the metrics, the results carry the names of their figures.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from eval.generation import fid, kid, kid_subsets
from eval.reconstruction import hamer_pa_mpjpe_mm, hypothesis_scores, pa_errors_mm, pck, reconstruction_scores
from eval.text_to_mesh import text_to_mesh_scores
from recon.files import FileError, open_npz, write_json_atomic
from recon.hand.model import HandModel

logger = logging.getLogger(__name__)

Shape = tuple[str | int, ...]

JOINTS: Shape = ("n", 21, 3)
RECONSTRUCTION_ARRAYS: Mapping[str, Shape] = {
    "gt_vertices": ("n", "v", 3),
    "pred_vertices": ("n", "v", 3),
    "gt_joints": JOINTS,
    "pred_joints": JOINTS,
    "hypotheses_joints": ("n", "h", 21, 3),
    "gt_keypoints_2d": ("n", 21, 2),
    "pred_keypoints_2d": ("n", 21, 2),
    "keypoint_confidence": ("n", 21),
    "box_size": ("n",),
}
GENERATION_ARRAYS: Mapping[str, Shape] = {"features_a": ("n", "d"), "features_b": ("m", "d")}
TEXT_TO_MESH_ARRAYS: Mapping[str, Shape] = {"vertices": ("t", "n", "v", 3), "target_vertices": ("t", "v", 3)}

MIRROR = np.array([-1.0, 1.0, 1.0])
CONFIDENT = 0.5  # a keypoint counts above this (HaMeR)


def read_arrays(path: str | Path, shapes: Mapping[str, Shape]) -> dict[str, np.ndarray]:
    """Numeric arrays of an npz file as float64, checked against their shapes.

    Args:
        path: the file.
        shapes: array name -> its sizes; a letter stands for one size that is the same wherever it occurs.

    Raises:
        FileError: one sentence when the file, an array, a shape or a number is wrong.
    """
    arrays, sizes = open_npz(path, list(shapes)), dict[str | int, int]()
    for name, shape in shapes.items():
        array = arrays[name]
        if array.dtype.kind not in "fiub":
            raise FileError(f"{path}: the array {name} holds {array.dtype}; allowed are numbers.")
        wanted = tuple(sizes.get(size, size) for size in shape)
        fits = array.ndim == len(wanted) and all(
            isinstance(want, str) or want == got for want, got in zip(wanted, array.shape, strict=True)
        )
        if not fits or not array.size:
            text = ", ".join(map(str, wanted)) + ("," if len(wanted) == 1 else "")
            raise FileError(f"{path}: the array {name} has the shape {array.shape}; allowed is ({text}), not empty.")
        sizes.update({size: got for size, got in zip(shape, array.shape, strict=True) if isinstance(size, str)})
        arrays[name] = array.astype(np.float64)
        bad = int(array.size - np.isfinite(arrays[name]).sum())
        if bad:
            raise FileError(f"{path}: the array {name} holds {bad:,} values that are not finite; allowed are none.")
    return arrays


def _or_null(value: float | int) -> float | int | None:
    """A figure for JSON, which has no NaN: null where nothing could be counted."""
    return None if math.isnan(value) else value


def reconstruction(*, arrays: Path, out: Path) -> None:
    """Scores of reconstructed hands against the truth, from arrays.

    Writes PA-MPJPE and PA-MPVPE (mm), AUC, F-scores, scale-translation error, PCK, best-of-N and average hypothesis,
    and the PA-MPJPE of the mirrored predictions by both alignments: `pa_*` and `*_reflection_allowed` are the official
    figures (a mirrored hand costs nothing), `hamer_pa_mpjpe_mm` and `*_proper_rotation` allow rotations only.

    Args:
        arrays: npz file with gt_vertices, pred_vertices [n,v,3], gt_joints, pred_joints [n,21,3],
            hypotheses_joints [n,h,21,3] (metres), gt_keypoints_2d, pred_keypoints_2d [n,21,2] (pixels),
            keypoint_confidence [n,21] and box_size [n].
        out: JSON file to write.
    """
    data = read_arrays(arrays, RECONSTRUCTION_ARRAYS)
    if (data["box_size"] <= 0).any():
        raise FileError(f"{arrays}: box_size holds {data['box_size'].min():g}; allowed are sizes above 0 pixels.")
    joints, target = data["pred_joints"], data["gt_joints"]
    scores = reconstruction_scores(joints, target, data["pred_vertices"], data["gt_vertices"])
    many = hypothesis_scores(data["hypotheses_joints"], target)
    counted = data["keypoint_confidence"] > CONFIDENT
    shares = pck(data["pred_keypoints_2d"], data["gt_keypoints_2d"], data["box_size"], counted)
    figures = {
        "pa_mpjpe_mm": scores.pa_mpjpe_mm,
        "pa_mpvpe_mm": scores.pa_mpvpe_mm,
        "auc_j": scores.auc_j,
        "auc_v": scores.auc_v,
        "f_at_5mm": scores.f_at_5mm,
        "f_at_15mm": scores.f_at_15mm,
        "sc_tr_mpjpe_mm": scores.sc_tr_mpjpe_mm,
        "hamer_pa_mpjpe_mm": hamer_pa_mpjpe_mm(joints, target),
        "pck": {f"{threshold:g}": _or_null(share) for threshold, share in shares.items()},
        "best_of_n_pa_mpjpe_mm": many.best_of_n_pa_mpjpe_mm,
        "average_hypothesis_pa_mpjpe_mm": many.average_hypothesis_pa_mpjpe_mm,
        "mirrored_pa_mpjpe_mm_reflection_allowed": float(pa_errors_mm(joints * MIRROR, target, "official").mean()),
        "mirrored_pa_mpjpe_mm_proper_rotation": hamer_pa_mpjpe_mm(joints * MIRROR, target),
    }
    write_json_atomic(out, figures)
    logger.info("%d hands: PA-MPJPE %.3f mm, PA-MPVPE %.3f mm", scores.n, scores.pa_mpjpe_mm, scores.pa_mpvpe_mm)


def generation(*, features: Path, out: Path) -> None:
    """FID and KID of two sets of image features, from arrays.

    Writes the Frechet distance, KID over 100 subsets of 100 as clean-fid draws them with numpy's seed 0, and the full
    unbiased KID, which depends on no subsets.

    Args:
        features: npz file with features_a [n,d] and features_b [m,d], made by one extractor.
        out: JSON file to write.
    """
    data = read_arrays(features, GENERATION_ARRAYS)
    a, b = data["features_a"], data["features_b"]
    if min(len(a), len(b)) < 2:
        raise FileError(f"{features}: the sets hold {len(a)} and {len(b)} vectors; allowed are at least 2 each.")
    figures = {
        "fid_cleanfid": fid(a, b),
        "kid_cleanfid_100x100_np_random_seed_0": kid_subsets(a, b, num_subsets=100, max_subset_size=100, seed=0),
        "kid_full_unbiased": kid(a, b, resamples=0).value,
    }
    write_json_atomic(out, figures)
    logger.info("%d and %d vectors: FID %.4f", len(a), len(b), figures["fid_cleanfid"])


def text_to_mesh(
    *,
    out: Path,
    arrays: Path | None = None,
    pipeline: str | None = None,
    num_samples: int = 20,
    seed: int = 0,
) -> None:
    """Scores of meshes sampled from texts: of the text-to-mesh model, or from arrays.

    With --arrays: Chamfer distance (square metres), Hausdorff distance (metres), PA-MPVPE (mm), each as mean and
    deviation over the samples of a text, averaged over texts; and the diversity of the samples of one text (mm).
    Without: the model is asked for every letter and gesture of the pose library, and how often the nearest class is
    the asked one stands beside those figures.

    Args:
        out: JSON file to write.
        arrays: npz file with vertices [t,n,v,3] (n samples for each of t texts, metres) and target_vertices [t,v,3].
        pipeline: folder or hub id of the text-to-mesh model; by default the one that ships.
        num_samples: meshes for each class, its wordings in turn.
        seed: of the first mesh; the others follow.
    """
    if arrays is not None:
        data = read_arrays(arrays, TEXT_TO_MESH_ARRAYS)
        scores = text_to_mesh_scores(data["vertices"], data["target_vertices"])
        write_json_atomic(out, asdict(scores))
        logger.info("%d texts of %d: PA-MPVPE %.3f mm", scores.texts, scores.samples, scores.pa_mpvpe_mm_mean)
        return
    if num_samples < 1:
        raise FileError(f"--num-samples is {num_samples}; allowed are whole numbers from 1.")
    # Only this way needs the models.
    from pipelines.pose_classes import asked_classes, pose_class_scores, prompts_of
    from pipelines.text_to_mesh import TextToHandMeshPipeline

    pipe = TextToHandMeshPipeline.from_pretrained(pipeline)
    names = asked_classes()
    prompts = [prompt for name in names for prompt in prompts_of(name, num_samples)]
    hands = pipe(prompts, seeds=list(range(seed, seed + len(prompts))))
    assert not isinstance(hands, list)  # meshes for drawing come only when asked for
    found = pose_class_scores(
        HandModel.default(), hands.params, hands.is_right, [name for name in names for _ in range(num_samples)]
    )
    write_json_atomic(out, asdict(found))
    least = found.rate_of_class[found.least]
    logger.info("%.1f %% show the asked pose, at least %.0f %% (%s)", 100 * found.rate, 100 * least, found.least)


def predictions(pred: Path, *, dataset: str, root: Path, out: Path, split: str = "evaluation") -> None:
    """Scores of a pred.json, the form that the servers of FreiHAND and HO-3D take, where annotations are released.

    Args:
        pred: the file, in the data set's own axes and order of joints.
        dataset: freihand, ho3d-v2 or ho3d-v3.
        root: the data set's folder.
        out: JSON file to write.
        split: the split that was predicted; every picture has a row.
    """
    from pipelines.score_predictions import score_predictions

    scores = score_predictions(pred, dataset, root, split)
    write_json_atomic(out, {name: _or_null(score) for name, score in scores.items()})
    aligned, unaligned = scores["pa_mpjpe_mm"], scores["mpjpe_mm"]
    logger.info("PA-MPJPE %.3f mm, unaligned %.1f mm; all scores are in %s", aligned, unaligned, out)
