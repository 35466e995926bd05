"""Skin detail as a function of the place on the hand at rest: nails, finger creases, knuckles, palm lines, blotches."""

import numpy as np
from jaxtyping import Float32

from synth.render.compiled import compiled

NOISE_SIZE = 32

PALM_LINES: Float32[np.ndarray, "18 4"] = np.array(
    [
        # x0, z0, x1, z1 in metres on the palm at rest: heart line, head line, life line, then the wrist
        (-0.082, -0.050, -0.088, -0.034), (-0.088, -0.034, -0.091, -0.018), (-0.091, -0.018, -0.094, -0.004),
        (-0.094, -0.004, -0.100, 0.008), (-0.100, 0.008, -0.109, 0.014),
        (-0.090, 0.034, -0.086, 0.018), (-0.086, 0.018, -0.079, 0.002), (-0.079, 0.002, -0.069, -0.016),
        (-0.069, -0.016, -0.058, -0.034),
        (-0.091, 0.035, -0.083, 0.021), (-0.083, 0.021, -0.070, 0.010), (-0.070, 0.010, -0.053, 0.003),
        (-0.053, 0.003, -0.035, 0.002), (-0.035, 0.002, -0.018, 0.006),
        (-0.002, -0.024, -0.004, 0.0), (-0.004, 0.0, -0.002, 0.022),
        (0.003, -0.022, 0.002, 0.0), (0.002, 0.0, 0.004, 0.020),
    ],
    np.float32,
)  # fmt: skip
"""Segments of the lines of the palm."""


def noise_volume() -> Float32[np.ndarray, "n n n"]:
    """Values in [-1, 1] on a periodic lattice; always the same."""
    return np.random.default_rng(20).uniform(-1, 1, (NOISE_SIZE,) * 3).astype(np.float32)


@compiled
def smooth_noise(volume, x, y, z):
    """Periodic trilinear noise; one unit is one lattice step."""
    size = len(volume)
    fx, fy, fz = np.floor(x), np.floor(y), np.floor(z)
    tx, ty, tz = x - fx, y - fy, z - fz
    tx, ty, tz = tx * tx * (3 - 2 * tx), ty * ty * (3 - 2 * ty), tz * tz * (3 - 2 * tz)
    x0, y0, z0 = int(fx) % size, int(fy) % size, int(fz) % size
    x1, y1, z1 = (x0 + 1) % size, (y0 + 1) % size, (z0 + 1) % size
    a = (volume[x0, y0, z0] * (1 - tx) + volume[x1, y0, z0] * tx) * (1 - ty)
    a += (volume[x0, y1, z0] * (1 - tx) + volume[x1, y1, z0] * tx) * ty
    b = (volume[x0, y0, z1] * (1 - tx) + volume[x1, y0, z1] * tx) * (1 - ty)
    b += (volume[x0, y1, z1] * (1 - tx) + volume[x1, y1, z1] * tx) * ty
    return a * (1 - tz) + b * tz


@compiled
def palm_lines(segments, x, z):
    """Depth of the palm's lines at a place, 0..1."""
    deepest = 0.0
    for k in range(len(segments)):
        ax, az, bx, bz = segments[k, 0], segments[k, 1], segments[k, 2], segments[k, 3]
        dx, dz = bx - ax, bz - az
        t = min(1.0, max(0.0, ((x - ax) * dx + (z - az) * dz) / (dx * dx + dz * dz)))
        ex, ez = x - ax - t * dx, z - az - t * dz
        squared = ex * ex + ez * ez
        if squared < 4e-6:
            deepest = max(deepest, np.exp(-squared / (2 * 0.0007**2)))
    return deepest


@compiled
def finger_detail(joints, nails, part, x, y, z, palmar, wobble):
    """Creases and nail of a finger bone at a place of the hand at rest.

    Args:
        joints: [21,3] at rest, OpenPose order.
        nails: [5,5,3] thumb to little: centre, axes across, along and out of the nail, half sizes.
        part: MANO joint 1..15.
        x: place at rest, metres.
        y: likewise.
        z: likewise.
        palmar: 1 on the palm's side, -1 on the back.
        wobble: noise in [-1, 1] that makes lines irregular.

    Returns:
        (crease depth 0..1, redness of a knuckle 0..1, nail 0..1, nail edge 0..1).
    """
    chain, bone = (part - 1) // 3, (part - 1) % 3
    finger = 1 + chain if chain < 2 else (4 if chain == 2 else (3 if chain == 3 else 0))
    base = 1 + 4 * finger + bone
    dx, dy, dz = (
        joints[base + 1, 0] - joints[base, 0],
        joints[base + 1, 1] - joints[base, 1],
        joints[base + 1, 2] - joints[base, 2],
    )
    length = np.sqrt(dx * dx + dy * dy + dz * dz)
    dx, dy, dz = dx / length, dy / length, dz / length
    px, py, pz = x - joints[base, 0], y - joints[base, 1], z - joints[base, 2]
    u = px * dx + py * dy + pz * dz + 0.0006 * wobble
    crease, red, nail, edge = 0.0, 0.0, 0.0, 0.0
    if palmar > 0.05:
        weight = min(1.0, (palmar - 0.05) * 3)
        if bone > 0:
            crease += np.exp(-(u**2) / (2 * 0.0007**2)) + 0.6 * np.exp(-((u - 0.0028) ** 2) / (2 * 0.0006**2))
        if bone < 2:
            v = u - length
            crease += np.exp(-(v**2) / (2 * 0.0007**2)) + 0.5 * np.exp(-((v + 0.0026) ** 2) / (2 * 0.0006**2))
        if bone == 0 and finger > 0:
            crease += 0.8 * np.exp(-((u - 0.019) ** 2) / (2 * 0.0008**2))
        crease *= weight
    else:
        weight = min(1.0, (0.05 - palmar) * 2)
        near = u if bone > 0 and abs(u) < abs(u - length) else (u - length if bone < 2 else 1.0)
        if bone == 2:
            near = u
        wide = 0.0052 if (bone == 0 or (bone == 1 and near == u)) else 0.0034
        envelope = np.exp(-(near**2) / (2 * (0.6 * wide) ** 2))
        ripple = 0.5 + 0.5 * np.cos(near * 2 * np.pi / 0.0023 + 1.5 * wobble)
        crease = 0.75 * envelope * ripple * ripple * weight
        red = envelope * weight
        if bone == 0 and finger > 0:
            red = max(red, 0.9 * np.exp(-(u**2) / (2 * 0.007**2)) * weight)
    if bone == 2 and palmar < 0.3:
        qx, qy, qz = x - nails[finger, 0, 0], y - nails[finger, 0, 1], z - nails[finger, 0, 2]
        across = (nails[finger, 1, 0] * qx + nails[finger, 1, 1] * qy + nails[finger, 1, 2] * qz) / nails[finger, 4, 0]
        along = (nails[finger, 2, 0] * qx + nails[finger, 2, 1] * qy + nails[finger, 2, 2] * qz) / nails[finger, 4, 1]
        above = (nails[finger, 3, 0] * qx + nails[finger, 3, 1] * qy + nails[finger, 3, 2] * qz) / nails[finger, 4, 2]
        if above > -1:
            distance = abs(across) ** 3 + abs(along) ** 3
            nail = min(1.0, max(0.0, (1.0 - distance) * 3))
            edge = np.exp(-((distance - 1.05) ** 2) / (2 * 0.25**2)) * (1 - nail)
            if along > 0.72 and nail > 0:
                edge = -nail
    return min(crease, 1.0), red, nail, edge
