"""Scores of a `pred.json` against a data set whose annotations are released: what its server would say, here.

FreiHAND (Zimmermann et al., ICCV 2019) and HO-3D (Hampali et al., CVPR 2020): errors before and after alignment, AUC,
F-scores. A file of zeros scores the mean distance of the hands from the camera, which tells axes and units apart.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from eval.reconstruction import MILLIMETRES, point_distances, reconstruction_scores
from recon.data.pred_json import Predictions, form_of, read_predictions
from recon.data.reader import Reader, reader_class
from recon.files import FileError


def score_predictions(pred: Path, reader: str, root: Path, split: str) -> dict[str, float]:
    """All 3D scores of a file of predictions.

    Args:
        pred: the file, in the data set's own axes and order of joints.
        reader: name of the data set, "freihand", "ho3d-v2" or "ho3d-v3".
        root: the data set's folder.
        split: the split that was predicted; each of its pictures has a row in the file.

    Returns:
        `mpjpe_mm` and `mpvpe_mm` without any alignment, and the figures of `ReconstructionScores`.

    Raises:
        FileError: a file is missing or damaged, the numbers of hands differ, or the split's joints or meshes are not
            released.
    """
    form = form_of(reader)
    pictures = reader_class(reader)(root, split)
    predictions = read_predictions(pred, form)
    if len(predictions.joints) != len(pictures):
        raise FileError(
            f"{pred} holds {len(predictions.joints):,} hands, but {reader} {split} {len(pictures):,} pictures."
        )
    if not len(pictures):
        raise FileError(f"{reader} {split} in {root} has no picture to score.")
    truth = released_hands(pictures)
    scores = reconstruction_scores(predictions.joints, truth.joints, predictions.vertices, truth.vertices)
    joint_errors = point_distances(predictions.joints, truth.joints)
    vertex_errors = point_distances(predictions.vertices, truth.vertices)
    unaligned = {
        "mpjpe_mm": float(joint_errors.mean() * MILLIMETRES),
        "mpvpe_mm": float(vertex_errors.mean() * MILLIMETRES),
    }
    return unaligned | asdict(scores)


def released_hands(reader: Reader) -> Predictions:
    """Joints and meshes of a split with one hand in every picture, as a perfect prediction.

    Raises:
        FileError: a picture has no hand, several, or one without joints or mesh.
    """
    joints, vertices = np.empty((len(reader), 21, 3)), np.empty((len(reader), 778, 3))
    for index in range(len(reader)):
        hands = reader.read(index).hands
        if len(hands) != 1 or hands[0].joints is None or hands[0].vertices is None:
            raise FileError(
                f"{reader.file(index)} has no released joints and mesh of one hand, so that {reader.name} "
                f"{reader.split} cannot be scored here."
            )
        joints[index], vertices[index] = hands[0].joints, hands[0].vertices
    return Predictions(joints=joints, vertices=vertices)
