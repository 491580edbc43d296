"""junto.h as ctypes, declared from junto.json, which is generated from it."""
import ctypes
import ctypes.util
import enum
import json
import os
import pathlib

API = json.loads((pathlib.Path(__file__).parent / "junto.json").read_text(encoding="utf-8"))

_SCALARS = {"void": None, "char": ctypes.c_char, "int32_t": ctypes.c_int32,
            "uint32_t": ctypes.c_uint32, "uint64_t": ctypes.c_uint64, "size_t": ctypes.c_size_t,
            "float": ctypes.c_float, "junto_token": ctypes.c_int32}

constants = {constant["name"]: constant["value"] for constant in API["constants"]}
enums = {}
types = dict(_SCALARS)


def _type(text):
    """The ctypes type of a C type. Text is a pointer to char, never c_char_p: it has no NUL."""
    text = text.replace("const ", "").strip()
    if not text.endswith("*"):
        return types[text]
    target = _type(text[:-1])
    return ctypes.c_void_p if target is None else ctypes.POINTER(target)


def _function(declaration):
    parameters = [_type(parameter["type"]) for parameter in declaration["parameters"]]
    return ctypes.CFUNCTYPE(_type(declaration["returns"]), *parameters)


def _declare():
    for declaration in API["enums"]:
        prefix = os.path.commonprefix([m["name"] for m in declaration["members"][:-1]])
        members = {m["name"][len(prefix):]: m["value"] for m in declaration["members"][:-1]}
        enums[declaration["name"]] = enum.IntEnum(declaration["name"], members)
        types[declaration["name"]] = ctypes.c_int32
    for name in API["handles"]:
        types[name] = type(name, (ctypes.Structure,), {})
    names = [declaration["name"] for declaration in API["structs"]]
    for name in names:
        types[name] = type(name, (ctypes.Structure,), {})
    for declaration in API["callbacks"]:
        types[declaration["name"]] = _function(declaration)
    for declaration in API["structs"]:
        fields = []
        for field in declaration["fields"]:
            kind = _function(field) if "parameters" in field else _type(field["type"])
            fields.append((field["name"], kind * field["count"] if "count" in field else kind))
        types[declaration["name"]]._fields_ = fields


_declare()


def new(name, **fields):
    """A struct of junto.h, zero but for struct_size and what is given."""
    struct = types[name](struct_size=ctypes.sizeof(types[name]))
    for field, value in fields.items():
        if not hasattr(struct, field):
            raise TypeError("%s has no field %r" % (name, field))
        setattr(struct, field, value)
    return struct


def load(path=None):
    """The library: at path, at $JUNTO_LIBRARY, or where the system looks. Functions that an older
    library lacks are missing from it."""
    path = path or os.environ.get("JUNTO_LIBRARY") or ctypes.util.find_library("junto")
    library = ctypes.CDLL(path or "libjunto.so.1")
    for declaration in API["functions"]:
        function = getattr(library, declaration["name"], None)
        if function is not None:
            function.restype = _type(declaration["returns"])
            function.argtypes = [_type(p["type"]) for p in declaration["parameters"]]
    return library
