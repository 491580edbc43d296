"""Makes tests/data/quant/blocks.gguf: raw blocks of each type and what they decode to.

For each TYPE the file holds two tensors of equal shape: "TYPE" in that type and "TYPE.f32".
The expected values are gguf's; no fused multiply-add was used, products are rounded to F32 once
per step (scale * sub-scale, then * code, then - minimum).
"""

import sys

import numpy as np
from gguf import dequantize
from gguf import GGMLQuantizationType as Type

import blocks
from gguf_file import Writer

ROWS = 24
TYPES = {
    Type.F16: 75, Type.BF16: 75, Type.Q4_0: 96, Type.Q4_1: 96, Type.Q5_0: 96, Type.Q5_1: 96,
    Type.Q8_0: 96, Type.IQ4_NL: 96, Type.MXFP4: 96, Type.Q2_K: 512, Type.Q3_K: 512,
    Type.Q4_K: 512, Type.Q5_K: 512, Type.Q6_K: 512, Type.IQ4_XS: 512,
}
# F16 scales worth meeting: +-0, smallest and largest denormal, smallest normal, largest, -0.1.
SPECIAL = np.array([0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x7BFF, 0xFBFF, 0xAE66], np.uint16)


def half_scales(rng, shape):
    """Finite F16 values: the special ones in the first rows, then any sign, 2^-14 to 1."""
    scale = rng.choice([-1, 1], shape) * np.exp2(rng.uniform(-14, 0, shape))
    scale = scale.astype(np.float16)
    for row, bits in enumerate(SPECIAL):
        scale[row] = bits.view(np.float16)
    return scale


def floats(rng, width, exponent_bits):
    """Random finite F16 or BF16 rows as bytes; row 0 is zeros of both signs, row 1 denormals."""
    bits = rng.integers(0, 1 << 16, (ROWS, width), dtype=np.uint16)
    exponent = np.uint16(((1 << exponent_bits) - 1) << (15 - exponent_bits))
    bits[0] &= 0x8000
    bits[1] &= ~exponent
    bits[2] = (bits[2] & 0x8000) | (exponent - 1)  # largest finite values
    infinite = (bits & exponent) == exponent
    bits[infinite] &= 0x8FFF
    return bits.view(np.uint8)


def random_blocks(rng, type, width):
    if type in (Type.F16, Type.BF16):
        return floats(rng, width, 5 if type == Type.F16 else 8)
    raw = blocks.random_codes(rng, type, ROWS, width)
    raw[8], raw[9] = 0x00, 0xFF  # extreme codes and sub-scales
    if type == Type.MXFP4:  # 252 is the largest exponent at which 6 * 2^e is still finite
        raw[..., 0] = rng.integers(100, 150, raw.shape[:2])
        raw[:8, :, 0] = np.array([0, 1, 2, 3, 127, 128, 251, 252])[:, None]
    else:
        for at in blocks.HALF_SCALES[type]:
            if at is not None:
                blocks.put_half(raw, at, half_scales(rng, raw.shape[:2]))
    return raw.reshape(ROWS, -1)


def main(path):
    rng = np.random.default_rng(3)
    out = Writer(path, "junto-test")
    for type, width in TYPES.items():
        raw = random_blocks(rng, type, width)
        values = dequantize(raw, type).astype(np.float32)
        assert values.shape == (ROWS, width) and np.isfinite(values).all(), type.name
        out.blocks(type.name, raw, type)
        out.array(type.name + ".f32", values)
    out.close()


main(sys.argv[1])
