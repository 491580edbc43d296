"""Reading and writing the small GGUF files that hold goldens."""

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFReader, GGUFWriter, dequantize


class Writer:
    """Collects metadata and tensors in order, then writes one file."""

    def __init__(self, path, arch):
        self.path = path
        self.gguf = GGUFWriter(path, arch)

    def set(self, key, value):
        """Adds one metadata value; the GGUF type follows from the Python type."""
        if isinstance(value, bool):
            self.gguf.add_bool(key, value)
        elif isinstance(value, int):
            self.gguf.add_uint32(key, value)
        elif isinstance(value, float):
            self.gguf.add_float32(key, value)
        elif isinstance(value, str):
            self.gguf.add_string(key, value)
        else:
            self.gguf.add_array(key, value)

    def array(self, name, values):
        """Adds an F32, F16 or I32 tensor. numpy shape [a, b] is GGUF shape [b, a]."""
        self.gguf.add_tensor(name, np.ascontiguousarray(values))

    def blocks(self, name, raw, type):
        """Adds raw bytes [..., row bytes] as a tensor of a block type."""
        shape = raw.shape
        if type in (Type.F16, Type.BF16):  # the writer counts elements for these two
            shape = (*raw.shape[:-1], raw.shape[-1] // 2)
            raw = np.ascontiguousarray(raw).view(np.uint16).view(np.float16)
        self.gguf.add_tensor(name, np.ascontiguousarray(raw), raw_shape=shape, raw_dtype=type)

    def close(self):
        self.gguf.write_header_to_file()
        self.gguf.write_kv_data_to_file()
        self.gguf.write_tensors_to_file()
        self.gguf.close()


class File:
    """A GGUF file with its metadata as a dict and its tensors dequantised to F32 (or I32)."""

    def __init__(self, path):
        reader = GGUFReader(path)
        self.meta = {name: field.contents() for name, field in reader.fields.items()}
        self.tensors = {tensor.name: tensor for tensor in reader.tensors}

    def __contains__(self, name):
        return name in self.tensors

    def __getitem__(self, name):
        tensor = self.tensors[name]
        if tensor.tensor_type in (Type.F32, Type.I32):
            return np.array(tensor.data)
        shape = tuple(reversed(tensor.shape.tolist()))
        return dequantize(np.array(tensor.data), tensor.tensor_type).reshape(shape)
