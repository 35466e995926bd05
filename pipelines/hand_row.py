"""The row of a generated data set (DESIGN section 8): its columns, and how they are filled from a painted hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Features, Image, List, Value
from jaxtyping import Float

from pipelines.output import TextToHandImageOutput
from pipelines.prompts import Sample
from pipelines.shards import png_bytes
from recon.data.record import floats
from recon.detection import HandDetection
from synth.captions import DIRECTION_WORDS, PALM_WORDS, describe_hand, finger_phrase

AGREEMENT = 0.1  # of the box's longer side: how near a found keypoint lies to its projected joint


FEATURES = Features(
    {
        "sample_id": Value("string"),
        "image": Image(),
        "control": Image(),
        "control_type": Value("string"),
        "prompt": Value("string"),
        "caption": Value("string"),
        "seed": Value("int64"),
        "is_right": Value("bool"),
        "betas": floats(10),
        "global_orient": floats(3),
        "hand_pose": floats(45),
        "cam_t": floats(3),
        "focal_length": Value("float32"),
        "keypoints_2d": floats(21, 3),
        "joints": floats(21, 3),
        "box": floats(4),
        "confidence": Value("float32"),
        "detection": {
            "found": Value("bool"),
            "score": Value("float32"),
            "is_right": Value("bool"),
            "box": List(Value("float32")),
            "keypoints_2d": List(List(Value("float32"))),
            "agreement": Value("float32"),
        },
        "attempts": Value("int32"),
        "pipeline": Value("string"),
    }
)

COLUMNS = {
    "sample_id": "index of the sample in its run, eight digits",
    "image": "the painted picture",
    "control": "the control picture that guided it; for mesh+pose, the skeleton over the mesh",
    "control_type": "`mesh`, `pose` or `mesh+pose`",
    "prompt": "the text it was asked with",
    "caption": "the prompt, and an exact description of side, fingers, palm and direction, measured on the mesh",
    "seed": "seed of the attempt that was kept",
    "is_right": "side of the hand",
    "betas": "MANO shape [10]",
    "global_orient": "rotation vector of the wrist in the camera frame [3], radians; a left hand's of the left model",
    "hand_pose": "rotation vectors of the 15 finger joints [45], MANO's order, flat mean; likewise",
    "cam_t": "the wrist in the camera frame [3], metres; OpenCV axes (x right, y down, z forward)",
    "focal_length": "pixels; the principal point is the picture's centre",
    "keypoints_2d": "projected joints [21][3]: x, y in pixels, 1 where seen, 0 where hidden or outside",
    "joints": "3D joints [21][3], camera frame, metres; wrist, thumb, index, middle, ring, little, base to tip",
    "box": "x0, y0, x1, y1 around the mesh, pixels",
    "confidence": "mean confidence of the pose tokens of the sampled mesh, 0 to 1",
    "detection": "what MediaPipe finds: found, score (handedness), is_right, box, keypoints_2d [21][3], and agreement, "
    f"the share of its keypoints within {AGREEMENT} of the box's longer side from the projected joints",
    "attempts": "pictures painted until one was kept",
    "pipeline": "fingerprint of the models that made it",
}


def labels(sample: Sample, output: TextToHandImageOutput, index: int) -> dict[str, Any]:
    """The columns that are known before anyone looks at the picture.

    Args:
        sample: what was asked for.
        output: of the batch it was painted in.
        index: its place there.
    """
    hands = output.hands
    is_right = bool(hands.is_right[index])
    orient = hands.params.global_orient_rotvec[index].cpu().numpy()
    pose = hands.params.hand_pose_rotvec[index].cpu().numpy()
    return {
        "sample_id": f"{sample.index:08d}",
        "control": png_bytes(output.controls[index]),
        "control_type": sample.control,
        "prompt": sample.prompt,
        "caption": f"{sample.prompt}: {geometric_caption(pose, orient, is_right, sample.seed())}",
        "is_right": is_right,
        "betas": hands.params.betas[index].cpu().numpy(),
        "global_orient": orient,
        "hand_pose": pose,
        "cam_t": hands.cam_t[index].cpu().numpy(),
        "focal_length": float(hands.focal_length[index]),
        "keypoints_2d": output.keypoints_2d[index],
        "joints": output.joints[index],
        "box": output.boxes[index],
        "confidence": float(hands.confidence[index]),
    }


def detection_cell(
    hands: Sequence[HandDetection], keypoints_2d: Float[np.ndarray, "21 3"], box: Float[np.ndarray, "4"]
) -> dict[str, Any]:
    """The detection column: of several hands, the one that agrees best with the projected joints."""
    nothing = {"score": None, "is_right": None, "box": None, "keypoints_2d": None, "agreement": None}
    if not hands:
        return {"found": False, **nothing}
    reach = AGREEMENT * float(max(box[2] - box[0], box[3] - box[1]))

    def agreement(hand: HandDetection) -> float:
        distances = np.linalg.norm(hand.keypoints_2d[:, :2] - keypoints_2d[:, :2], axis=-1)
        return float((distances <= reach).mean())

    best = max(hands, key=lambda hand: (agreement(hand), hand.score))
    return {
        "found": True,
        "score": best.score,
        "is_right": best.is_right,
        "box": best.box,
        "keypoints_2d": best.keypoints_2d,
        "agreement": agreement(best),
    }


def geometric_caption(
    hand_pose: Float[np.ndarray, "45"], global_orient: Float[np.ndarray, "3"], is_right: bool, seed: int
) -> str:
    """What the mesh shows, in words; the seed chooses among synonyms."""
    hand, rng = describe_hand(hand_pose, global_orient, is_right), np.random.default_rng(seed)
    palm, direction = (str(rng.choice(words)) for words in (PALM_WORDS[hand.palm], DIRECTION_WORDS[hand.direction]))
    return f"a {hand.side} hand with {finger_phrase(hand.fingers, rng)}, {palm}, {direction}"
