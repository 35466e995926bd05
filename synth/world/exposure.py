"""The camera: lens blur, vignette, exposure, white balance, grain; linear light -> the 8-bit picture."""

import numpy as np
from jaxtyping import Float32, UInt8

from synth.render.compiled import compiled
from synth.world.looks import Sensor


def expose(light: Float32[np.ndarray, "s s 3"], sensor: Sensor) -> UInt8[np.ndarray, "s s 3"]:
    """Take the picture of linear light."""
    size = len(light)
    sigma = sensor.blur * size / 256
    if sigma > 0.15:
        light = _blurred(light, np.exp(-(np.arange(3) ** 2) / (2 * sigma**2)).astype(np.float32))
    grain = np.random.default_rng(sensor.seed).standard_normal((size, size, 3), dtype=np.float32)
    gain = (sensor.exposure * sensor.white_balance).astype(np.float32)
    return _developed(light, grain, gain, np.float32(sensor.noise), np.float32(sensor.vignette))


@compiled
def _blurred(light, kernel):
    """Separable blur with the half kernel `kernel`, edges held."""
    size = len(light)
    total = kernel[0] + 2 * kernel[1] + 2 * kernel[2]
    rows = np.empty_like(light)
    for i in range(size):
        for j in range(size):
            for c in range(3):
                value = kernel[0] * light[i, j, c]
                for k in range(1, 3):
                    value += kernel[k] * (light[i, max(j - k, 0), c] + light[i, min(j + k, size - 1), c])
                rows[i, j, c] = value / total
    out = np.empty_like(light)
    for i in range(size):
        for j in range(size):
            for c in range(3):
                value = kernel[0] * rows[i, j, c]
                for k in range(1, 3):
                    value += kernel[k] * (rows[max(i - k, 0), j, c] + rows[min(i + k, size - 1), j, c])
                out[i, j, c] = value / total
    return out


@compiled
def _developed(light, grain, gain, noise, vignette):
    """Soft shoulder above 0.8, the sRGB curve, grain shared by the channels for the most part."""
    size = len(light)
    out = np.empty((size, size, 3), np.uint8)
    for i in range(size):
        for j in range(size):
            y, x = 2 * (i + 0.5) / size - 1, 2 * (j + 0.5) / size - 1
            falloff = 1 - 0.5 * vignette * (x * x + y * y)
            for c in range(3):
                value = max(light[i, j, c] * gain[c] * falloff, 0.0)
                if value > 0.8:
                    value = 0.8 + 0.2 * (1 - np.exp(-(value - 0.8) / 0.2))
                value = 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
                value = 255 * value + noise * (0.75 * grain[i, j, 0] + 0.6 * grain[i, j, c])
                out[i, j, c] = np.uint8(min(max(value + 0.5, 0.0), 255.0))
    return out
