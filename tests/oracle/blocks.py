"""Random raw blocks of every block type, without going through a quantiser."""

import numpy as np
from gguf import GGML_QUANT_SIZES
from gguf import GGMLQuantizationType as Type

# Byte offsets of the F16 scales in one block: (scale, minimum or None).
HALF_SCALES = {
    Type.Q4_0: (0, None), Type.Q4_1: (0, 2), Type.Q5_0: (0, None), Type.Q5_1: (0, 2),
    Type.Q8_0: (0, None), Type.Q2_K: (80, 82), Type.Q3_K: (108, None), Type.Q4_K: (0, 2),
    Type.Q5_K: (0, 2), Type.Q6_K: (208, None), Type.IQ4_NL: (0, None), Type.IQ4_XS: (0, None),
}


def put_half(raw, offset, values):
    """Stores F16 `values` [...] at byte `offset` of blocks [..., bytes]."""
    raw[..., offset:offset + 2] = np.asarray(values, np.float16)[..., None].view(np.uint8)


def random_codes(rng, type, rows, width):
    """Uniformly random bytes as [rows, blocks, block bytes]."""
    block, size = GGML_QUANT_SIZES[type]
    assert width % block == 0, f"width {width}, block {block}"
    return rng.integers(0, 256, (rows, width // block, size), dtype=np.uint8)


def pack_scale_min(scale, minimum):
    """Packs eight 6-bit scales and minima [..., 8] into the 12 bytes of Q4_K and Q5_K."""
    low = scale[..., :4] | (scale[..., 4:] >> 4) << 6
    mid = minimum[..., :4] | (minimum[..., 4:] >> 4) << 6
    high = (scale[..., 4:] & 15) | (minimum[..., 4:] & 15) << 4
    return np.concatenate([low, mid, high], axis=-1).astype(np.uint8)


def pack_q3_scales(scale):
    """Packs sixteen 6-bit scales [..., 16] into the 12 bytes of Q3_K."""
    low = (scale[..., :8] & 15) | (scale[..., 8:] & 15) << 4
    high = sum((scale[..., 4 * i:4 * i + 4] >> 4) << (2 * i) for i in range(4))
    return np.concatenate([low, high], axis=-1).astype(np.uint8)


def random_weights(rng, type, rows, width, sigma):
    """Rows [rows, row bytes] of a super-block type with about zero mean and deviation `sigma`."""
    raw = random_codes(rng, type, rows, width)
    lead = raw.shape[:2]
    # Standard deviation of (scale * code - minimum) for a block scale of one.
    if type == Type.Q2_K:
        scale = rng.integers(6, 16, (*lead, 16))
        raw[..., :16] = scale | np.clip(scale + rng.integers(-1, 2, scale.shape), 0, 15) << 4
        unit, bias = scale.mean() * np.sqrt((4**2 - 1) / 12), 1.5
    elif type == Type.Q3_K:
        scale = rng.integers(12, 24, (*lead, 16)) * rng.choice([-1, 1], (*lead, 16)) + 32
        raw[..., 96:108] = pack_q3_scales(scale)
        unit, bias = 18 * np.sqrt((8**2 - 1) / 12), None
    elif type in (Type.Q4_K, Type.Q5_K):
        levels = 16 if type == Type.Q4_K else 32
        scale = rng.integers(24, 63, (*lead, 8))
        raw[..., 4:16] = pack_scale_min(scale, scale + rng.integers(-1, 2, scale.shape))
        unit, bias = scale.mean() * np.sqrt((levels**2 - 1) / 12), (levels - 1) / 2
    elif type == Type.Q6_K:
        scale = (rng.integers(40, 100, (*lead, 16)) * rng.choice([-1, 1], (*lead, 16)))
        raw[..., 192:208] = scale.astype(np.int8).view(np.uint8)
        unit, bias = 70 * np.sqrt((64**2 - 1) / 12), None
    elif type == Type.IQ4_XS:
        scale = rng.integers(8, 24, (*lead, 8)) * rng.choice([-1, 1], (*lead, 8)) + 32
        high = sum((scale[..., i] >> 4) << (2 * i) for i in range(8)).astype(np.uint16)
        raw[..., 2:4] = high[..., None].view(np.uint8)
        raw[..., 4:8] = (scale[..., 0::2] & 15) | (scale[..., 1::2] & 15) << 4
        unit, bias = 16 * 70.0, None
    elif type == Type.IQ4_NL:
        unit, bias = 70.0, None
    else:
        raise ValueError(f"{type.name} has a quantiser, use it")
    scale_at, min_at = HALF_SCALES[type]
    scale = sigma / unit * rng.uniform(0.7, 1.3, lead)
    put_half(raw, scale_at, scale)
    if min_at is not None:
        put_half(raw, min_at, scale * bias)
    return raw.reshape(rows, -1)
