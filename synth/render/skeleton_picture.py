"""The 2D hand skeleton as a picture: antialiased capsules and dots, drawn by their distance to each pixel centre.

Colours follow the usual OpenPose hand figure (one hue per finger), the second control of paper 000.
"""

import numpy as np
from jaxtyping import Float64

from synth.render.compiled import compiled

HUES = np.array(
    [[255, 70, 70], [255, 190, 20], [60, 225, 70], [40, 170, 255], [205, 90, 255]], dtype=np.float64
)  # thumb to little
WRIST = 235.0  # gray of the wrist's dot
BASE = 0.62  # brightness of a finger's first bone, where 1 is its last
DIM = 0.38  # brightness of what is hidden
LINE, DOT = 1.15 / 128, 2.3 / 128  # half width and radius, in sides of the picture


def joint_colors() -> Float64[np.ndarray, "21 3"]:
    """RGB 0..255 of the 21 joints; a bone has the colour of its outer joint."""
    rows = [HUES[finger] * (BASE + (1 - BASE) * part / 3) for finger in range(5) for part in range(4)]
    return np.concatenate([np.full((1, 3), WRIST), np.stack(rows)])


_COLORS = joint_colors()


def draw_skeleton(points, occluded, height, width):
    """The picture [h,w,3] uint8 of joints (points [21,2] float64 in pixels, occluded [21] bool)."""
    return _draw(points, occluded, _COLORS, height, width, LINE * min(height, width), DOT * min(height, width))


@compiled
def _stroke(canvas, ax, ay, bx, by, radius, hollow, color_a, color_b):
    """Blends a capsule from a to b over the canvas, or only the rim of it; the colour runs from a to b."""
    reach = radius + 1
    left, right = max(0, int(np.floor(min(ax, bx) - reach))), min(canvas.shape[1], int(np.ceil(max(ax, bx) + reach)))
    top, bottom = max(0, int(np.floor(min(ay, by) - reach))), min(canvas.shape[0], int(np.ceil(max(ay, by) + reach)))
    dx, dy = bx - ax, by - ay
    squared = dx * dx + dy * dy
    for row in range(top, bottom):
        y = row + 0.5 - ay
        for column in range(left, right):
            x = column + 0.5 - ax
            t = min(max((x * dx + y * dy) / squared, 0.0), 1.0) if squared > 0 else 0.0
            distance = np.sqrt((x - t * dx) ** 2 + (y - t * dy) ** 2)
            cover = min(max(radius - distance + 0.5, 0.0), 1.0)
            if cover == 0:
                continue
            inside = min(max(radius - hollow - distance + 0.5, 0.0), 1.0) if hollow > 0 else 0.0
            for channel in range(3):
                ink = color_a[channel] + t * (color_b[channel] - color_a[channel])
                canvas[row, column, channel] += cover * (ink * (1 - inside) - canvas[row, column, channel])


@compiled
def _draw(points, occluded, colors, height, width, line, dot):
    """Hidden bones and joints first, then those that are seen."""
    canvas = np.zeros((height, width, 3))
    limit = 4.0 * (height + width)
    drawable = np.zeros(21, np.bool_)
    for joint in range(21):
        # Comparisons with NaN are false, and far strokes would only cost time.
        drawable[joint] = abs(points[joint, 0]) < limit and abs(points[joint, 1]) < limit
    for seen in (False, True):
        for joint in range(1, 21):
            parent = 0 if joint % 4 == 1 else joint - 1
            hidden = occluded[joint] or occluded[parent]
            if hidden == seen or not (drawable[joint] and drawable[parent]):
                continue
            outer = colors[joint] * (DIM if occluded[joint] else 1.0)
            inner = colors[joint] * (DIM if occluded[parent] else 1.0)
            _stroke(
                canvas, points[parent, 0], points[parent, 1], points[joint, 0], points[joint, 1],
                line, 0.0, inner, outer,
            )  # fmt: skip
        for joint in range(21):
            if occluded[joint] == seen or not drawable[joint]:
                continue
            x, y = points[joint, 0], points[joint, 1]
            _stroke(canvas, x, y, x, y, dot, 0.0 if seen else 0.5 * dot, colors[joint], colors[joint])
    picture = np.empty((height, width, 3), np.uint8)
    for row in range(height):
        for column in range(width):
            for channel in range(3):
                picture[row, column, channel] = np.uint8(min(max(canvas[row, column, channel] + 0.5, 0.0), 255.0))
    return picture
