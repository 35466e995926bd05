"""Deferred shading of a scene: fragments at twice the size -> linear light, averaged into pixels (DESIGN section 5).

Wrapped diffuse light whose terminator turns red as under skin, a soft specular lobe, hemispheric ambience times the
surface's openness, and a shadow map of the key light.
"""

from functools import cache

import numpy as np
from jaxtyping import Float32

from synth.render.compiled import compiled
from synth.render.rasterizer import rasterize
from synth.world.looks import Light
from synth.world.scene import Scene
from synth.world.skin_texture import PALM_LINES, finger_detail, noise_volume, palm_lines, smooth_noise
from synth.world.surface import Surface, rest_hand

SUPERSAMPLING = 2
_SHADOW_SIZE = 160
_SHADOW_DISTANCE = 4.0


def shade(
    scene: Scene, surface: Surface, background: Float32[np.ndarray, "s s 3"]
) -> tuple[Float32[np.ndarray, "s s 3"], Float32[np.ndarray, "s s"]]:
    """Draw the solid part of a scene over its background.

    Args:
        scene: what is to be seen.
        surface: its mesh.
        background: linear light.

    Returns:
        Linear light, and the share of every pixel that the mesh covers.
    """
    big = scene.size * SUPERSAMPLING
    fragments = rasterize(surface.vertices, surface.faces, scene.focal_length * SUPERSAMPLING, size=big)
    shadow, axes = _shadow_map(surface, scene.light)
    skin = scene.skin
    colors = np.stack(
        [_linear(skin.tone), _linear(skin.palm), _linear(skin.nail), _linear(scene.forearm.color), _bar_color(scene)]
    ).astype(np.float32)
    light = np.stack(
        [
            scene.light.key_direction,
            scene.light.key,
            scene.light.fill_direction,
            scene.light.fill,
            scene.light.sky,
            scene.light.ground,
        ]
    ).astype(np.float32)
    looks = np.array([skin.roughness, skin.mottle, skin.creases, *skin.texture_offset], np.float32)
    return _shade(
        fragments.face_ids, fragments.barycentric, surface.vertices, surface.normals, surface.faces, surface.materials,
        surface.parts, surface.rest, surface.palmar, surface.openness, rest_hand().joints, rest_hand().nails, colors,
        light, looks, shadow, axes,
        _noise(), PALM_LINES, background, np.float32(scene.focal_length),
    )  # fmt: skip


def _bar_color(scene: Scene) -> np.ndarray:
    return _linear(scene.occluder.color) if scene.occluder is not None else np.zeros(3)


def _linear(srgb: np.ndarray) -> np.ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


@cache
def _noise() -> np.ndarray:
    return noise_volume()


def _shadow_map(surface: Surface, light: Light) -> tuple[np.ndarray, np.ndarray]:
    """Depth from the key light; rows of `axes`: the light's right, down, forward, the centre, (focal, distance, 0)."""
    forward = -np.asarray(light.key_direction, np.float64)
    right = np.cross(forward, [0.0, 1.0, 0.2])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    hand = surface.vertices[:778].astype(np.float64)
    centre = (hand.max(0) + hand.min(0)) / 2
    turned = (surface.vertices - centre) @ np.stack([right, down, forward]).T
    turned[:, 2] += _SHADOW_DISTANCE
    turned[:, 2] = np.maximum(turned[:, 2], 0.5)
    reach = np.abs(turned[:778, :2]).max() * 1.05
    focal = _SHADOW_SIZE / 2 / reach * _SHADOW_DISTANCE
    depth = rasterize(turned.astype(np.float32), surface.faces, float(focal), size=_SHADOW_SIZE).depth
    axes = np.stack([right, down, forward, centre, [focal, _SHADOW_DISTANCE, 0.0]]).astype(np.float32)
    return depth, axes


@compiled
def _lit(shadow, axes, x, y, z, bias):
    """Share of the key light that reaches a place: nine bilinear-spaced taps of the shadow map."""
    dx, dy, dz = x - axes[3, 0], y - axes[3, 1], z - axes[3, 2]
    u = axes[0, 0] * dx + axes[0, 1] * dy + axes[0, 2] * dz
    v = axes[1, 0] * dx + axes[1, 1] * dy + axes[1, 2] * dz
    w = axes[2, 0] * dx + axes[2, 1] * dy + axes[2, 2] * dz + axes[4, 1]
    size = len(shadow)
    column, row = axes[4, 0] * u / w + size / 2 - 0.5, axes[4, 0] * v / w + size / 2 - 0.5
    total = 0.0
    for i in range(-1, 2):
        for j in range(-1, 2):
            r, c = int(np.floor(row + 1.2 * i + 0.5)), int(np.floor(column + 1.2 * j + 0.5))
            if r < 0 or c < 0 or r >= size or c >= size or shadow[r, c] == 0:
                total += 1.0
            else:
                total += min(1.0, max(0.0, 1 - (w - bias - shadow[r, c]) / 0.004))
    return total / 9


@compiled
def _shade(
    face_ids, weights, vertices, normals, faces, materials, parts, rest, palmar, openness, joints, nails, colors, light,
    looks, shadow, axes, volume, lines, background, focal,
):  # fmt: skip
    big = face_ids.shape[0]
    size = big // 2
    image = np.zeros((size, size, 3), np.float32)
    cover = np.zeros((size, size), np.float32)
    roughness, mottle, crease_strength = looks[0], looks[1], looks[2]
    albedo = np.zeros(3)
    exponent = 2.0 / (roughness**4 + 1e-3) * 0.5 + 2.0
    for row in range(big):
        for column in range(big):
            face = face_ids[row, column]
            out_row, out_column = row // 2, column // 2
            if face < 0:
                for c in range(3):
                    image[out_row, out_column, c] += 0.25 * background[out_row, out_column, c]
                continue
            cover[out_row, out_column] += 0.25
            a, b, d = faces[face, 0], faces[face, 1], faces[face, 2]
            wa, wb, wd = weights[row, column, 0], weights[row, column, 1], weights[row, column, 2]
            x = wa * vertices[a, 0] + wb * vertices[b, 0] + wd * vertices[d, 0]
            y = wa * vertices[a, 1] + wb * vertices[b, 1] + wd * vertices[d, 1]
            z = wa * vertices[a, 2] + wb * vertices[b, 2] + wd * vertices[d, 2]
            nx = wa * normals[a, 0] + wb * normals[b, 0] + wd * normals[d, 0]
            ny = wa * normals[a, 1] + wb * normals[b, 1] + wd * normals[d, 1]
            nz = wa * normals[a, 2] + wb * normals[b, 2] + wd * normals[d, 2]
            rx = wa * rest[a, 0] + wb * rest[b, 0] + wd * rest[d, 0]
            ry = wa * rest[a, 1] + wb * rest[b, 1] + wd * rest[d, 1]
            rz = wa * rest[a, 2] + wb * rest[b, 2] + wd * rest[d, 2]
            side = wa * palmar[a] + wb * palmar[b] + wd * palmar[d]
            opening = wa * openness[a] + wb * openness[b] + wd * openness[d]
            material = materials[face]
            shine, is_skin = 1.0, material <= 1
            if is_skin:
                ox, oy, oz = rx + looks[3], ry + looks[4], rz + looks[5]
                coarse = smooth_noise(volume, ox * 70, oy * 70, oz * 70)
                fine = smooth_noise(volume, ox * 420, oy * 420, oz * 420)
                tint = min(1.0, max(0.0, (side + 0.15) / 0.55))
                tint = tint * tint * (3 - 2 * tint)
                if material == 1:
                    tint = 0.0
                else:
                    tint *= min(1.0, max(0.0, (0.004 - rx) / 0.03))
                crease, red, nail, edge = 0.0, 0.0, 0.0, 0.0
                part = parts[face]
                if part > 0:
                    crease, red, nail, edge = finger_detail(joints, nails, part, rx, ry, rz, side, fine)
                if material == 0 and (part == 0 or part == 13) and side > 0.2:
                    crease = max(crease, 0.8 * palm_lines(lines, rx + 0.0006 * coarse, rz + 0.0008 * fine))
                shade_of = 1 + mottle * (0.9 * coarse + 0.6 * fine)
                shade_of *= 1 - 0.42 * crease_strength * crease
                for c in range(3):
                    base = colors[0, c] + (colors[1, c] - colors[0, c]) * tint
                    albedo[c] = base * shade_of
                blush = (
                    0.10 * red
                    + 0.05 * tint * max(0.0, coarse)
                    + (0.06 * tint if part > 0 and (part - 1) % 3 == 2 else 0.0)
                )
                albedo[0] *= 1 + 0.25 * blush
                albedo[1] *= 1 - 1.1 * blush
                albedo[2] *= 1 - 0.9 * blush
                if nail > 0:
                    pale = 0.25 if edge < 0 else 0.0
                    for c in range(3):
                        tone = colors[2, c] + (0.85 - colors[2, c]) * pale
                        albedo[c] += nail * (tone - albedo[c])
                    shine = 1 + 2.2 * nail
                elif edge > 0:
                    for c in range(3):
                        albedo[c] *= 1 - 0.3 * edge
            else:
                weave = smooth_noise(volume, rx * 900, ry * 900, rz * 900)
                folds = smooth_noise(volume, rx * 60, ry * 25, rz * 25)
                level = 1 + (0.05 * weave + 0.12 * folds if material == 2 else 0.0)
                for c in range(3):
                    albedo[c] = colors[material + 1, c] * level
                shine = 0.15 if material == 2 else 1.0
            length = 1 / np.sqrt(nx * nx + ny * ny + nz * nz + 1e-12)
            nx, ny, nz = nx * length, ny * length, nz * length
            away = 1 / np.sqrt(x * x + y * y + z * z)
            vx, vy, vz = -x * away, -y * away, -z * away
            facing = max(nx * vx + ny * vy + nz * vz, 0.02)
            cosine = nx * light[0, 0] + ny * light[0, 1] + nz * light[0, 2]
            lit = _lit(shadow, axes, x + 0.002 * nx, y + 0.002 * ny, z + 0.002 * nz, 0.003) if cosine > -0.4 else 0.0
            fill = max(0.0, 0.3 + 0.7 * (nx * light[2, 0] + ny * light[2, 1] + nz * light[2, 2]))
            sky = 0.5 - 0.5 * ny
            hx, hy, hz = vx + light[0, 0], vy + light[0, 1], vz + light[0, 2]
            halfway = max(0.0, (nx * hx + ny * hy + nz * hz) / np.sqrt(hx * hx + hy * hy + hz * hz + 1e-9))
            fresnel = 0.03 + 0.5 * (1 - facing) ** 5
            gloss = shine * fresnel * (exponent + 2) / 8 * halfway**exponent * max(0.0, cosine) * lit
            for c in range(3):
                wrap = 0.0 if not is_skin else (0.34 if c == 0 else (0.18 if c == 1 else 0.13))
                diffuse = max(0.0, (cosine + wrap) / (1 + wrap))
                softened = lit if not is_skin else (lit ** (0.65 if c == 0 else 0.9))
                # light that bounces between near surfaces keeps the skin's colour
                open_sky = opening / (1 - 0.75 * albedo[c] * (1 - opening))
                ambient = (light[5, c] + (light[4, c] - light[5, c]) * sky) * open_sky + light[3, c] * fill * open_sky
                glow = albedo[c] * (light[1, c] * diffuse * softened + ambient)
                image[out_row, out_column, c] += 0.25 * (glow + gloss * light[1, c])
    return image, cover
