#!/usr/bin/env python3
"""Writes tests/data/gguf/: small files made by the reference writer, PyPI `gguf` (0.19.0 here).

sample.gguf has a pair of every type and tensors of several; split-*.gguf is one model in parts.
tests/unit/gguf_test.cc knows the values.
"""

import pathlib

import gguf
import numpy as np

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "gguf"


def tensors():
    """name -> array; element i of tensor t is t + i / 8, exact in every type used."""
    ramp = [np.arange(n, dtype=np.float32) / 8 for n in (6, 24, 64, 8)]
    return {
        "scale": ramp[0].reshape(6),
        "grid": (ramp[1] + 1).reshape(2, 3, 4),
        "rows": (ramp[2] + 2).reshape(2, 32).astype(np.float16),
        "tail": (ramp[3] + 3).reshape(8),
    }


def sample():
    writer = gguf.GGUFWriter(OUT / "sample.gguf", "sample")
    writer.add_custom_alignment(64)
    writer.add_uint8("t.u8", 250)
    writer.add_int8("t.i8", -8)
    writer.add_uint16("t.u16", 65000)
    writer.add_int16("t.i16", -16000)
    writer.add_uint32("t.u32", 4000000000)
    writer.add_int32("t.i32", -2000000000)
    writer.add_float32("t.f32", 0.15625)
    writer.add_bool("t.bool", True)
    writer.add_string("t.string", "grüße, 世界")
    writer.add_uint64("t.u64", 2**63 + 5)
    writer.add_int64("t.i64", -(2**62))
    writer.add_float64("t.f64", 1e-300)
    writer.add_array("t.ints", [3, -1, 7])
    writer.add_array("t.floats", [0.5, -2.25])
    writer.add_array("t.bools", [True, False, True])
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["<s>", "a", "Ġb", ""])
    writer.add_token_types([3, 1, 1, 6])
    for name, data in tensors().items():
        writer.add_tensor(name, data)
    packed = gguf.quants.quantize(
        np.arange(-32, 32, dtype=np.float32).reshape(2, 32), gguf.GGMLQuantizationType.Q8_0
    )
    writer.add_tensor("packed", packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    finish(writer)


def split():
    writer = gguf.GGUFWriter(OUT / "split.gguf", "sample", split_max_tensors=2)
    for name, data in tensors().items():
        writer.add_tensor(name, data)
    finish(writer)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


OUT.mkdir(parents=True, exist_ok=True)
sample()
split()
