"""What may be wrong with arrays, at random: in HDF5, NumPy, safetensors and PyTorch files, and in
dicts of weights."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch
from mutations import json_text, odd_json
from torch import nn

MANY = 10**10


def odd_values(array: np.ndarray, rng: random.Random) -> tuple[np.ndarray, str]:
    """The array with one value, a row or all of them wrong; whole numbers stay whole."""
    array = np.array(array)
    values = [np.nan, np.inf, -np.inf, 7.0, -1.0, 0.5, 0.0, 1.0, 1e38, 65505.0, 1e-30]
    if array.dtype.kind in "iu":
        values = [0, 1, -1, 7, 23, 24, 2**31, 2**62]
    elif array.dtype.kind != "f":
        return array.astype(np.float32), "as float32"
    value = rng.choice(values)
    if array.dtype.kind == "u" and value < 0:
        value = 255
    if array.dtype.itemsize < 8 and array.dtype.kind in "iu":
        value = value % 128
    if not array.size:
        return array, "nothing to change"
    kind = rng.choice(["one", "one", "row", "all"])
    with np.errstate(over="ignore"):
        if kind == "all" or not array.ndim:
            array[...] = value
        else:
            row = rng.randrange(len(array))
            if kind == "row":
                array[row] = value
            else:
                array[row].reshape(-1)[rng.randrange(array[row].size)] = (
                    value if array.ndim > 1 else 0
                )
                if array.ndim == 1:
                    array[row] = value
    return array, f"{kind} value {value}"


def odd_shape(array: np.ndarray, rng: random.Random) -> tuple[np.ndarray, str]:
    """The array with rows or axes that are too few or too many."""
    kind = rng.choice(
        ["fewer", "more", "permuted", "flat", "axis", "none", "scalar", "turned", "cut"]
    )
    if not array.ndim or not array.size:
        return np.zeros((3, 3), np.float32), "3 by 3"
    if kind == "fewer":
        array = array[:-1]
    elif kind == "more":
        array = np.concatenate([array, array[:1]])
    elif kind == "permuted":
        array = array[::-1].copy()
    elif kind == "flat":
        array = array.reshape(-1)
    elif kind == "axis":
        array = array[None] if rng.random() < 0.5 else array[..., None]
    elif kind == "none":
        axis = rng.randrange(array.ndim)
        array = np.take(array, [], axis)
    elif kind == "scalar":
        array = array.reshape(-1)[0]
    elif kind == "turned":
        array = array.T.copy()
    else:
        array = array[..., :-1]
    return np.asarray(array), f"shape, {kind}"


def odd_type(array: np.ndarray, rng: random.Random) -> tuple[np.ndarray, str]:
    """The array in another type."""
    kind = rng.choice(["i1", "u1", "?", "c8", "S4", "<f2", ">f4", "<f8", "g", "i8", "f,i", "u8"])
    with np.errstate(all="ignore"):
        if kind == "f,i":
            return np.zeros(array.shape, "f4,i4"), "type, of two fields"
        if array.dtype.kind == "c" or array.dtype.names:
            return np.zeros(array.shape, kind), f"type {kind}"
        return array.astype(kind), f"type {kind}"


# --------------------------------------------------------------------------------------------- HDF5
def mutate_h5(path: Path, rng: random.Random) -> str:
    """Its dataset is a link, a group, empty, huge, of another type or shape, or its values are
    wrong."""
    try:
        with h5py.File(path, "r") as file:
            name = next(iter(file))
            array = file[name][()]
    except (OSError, KeyError, StopIteration, RuntimeError):
        name, array = "avadataset", np.zeros((4, 10, 8), np.float32)
    if rng.random() < 0.55:
        change = rng.choice([odd_values, odd_values, odd_shape, odd_type])
        array, said = change(np.asarray(array), rng)
        with h5py.File(path, "w") as file:
            if rng.random() < 0.15 and array.ndim and array.size:
                file.create_dataset(name, data=array, chunks=True, compression="gzip")
            else:
                file.create_dataset(name, data=array)
        return said
    kind = rng.choice(list(H5))
    with h5py.File(path, "w") as file:
        H5[kind](file, name, np.asarray(array))
    if kind == "broken chunk":
        data = bytearray(path.read_bytes())
        data[-40:] = bytes(40)
        path.write_bytes(data)
    return f"dataset, {kind}"


def _virtual(file: h5py.File, name: str, array: np.ndarray) -> None:
    layout = h5py.VirtualLayout(array.shape, array.dtype)
    layout[...] = h5py.VirtualSource("nowhere.h5", "x", shape=array.shape)
    file.create_virtual_dataset(name, layout, fillvalue=np.nan if array.dtype.kind == "f" else 0)


def _external_raw(file: h5py.File, name: str, array: np.ndarray) -> None:
    file.create_dataset(
        name, array.shape, array.dtype, external=[("nowhere.raw", 0, h5py.h5f.UNLIMITED)]
    )


def _huge(file: h5py.File, name: str, array: np.ndarray, at: int = 0) -> None:
    shape = list(array.shape) or [1]
    shape[at] = MANY
    file.create_dataset(name, shape, array.dtype, chunks=tuple(min(n, 8) for n in shape))


def _unwritten(file: h5py.File, name: str, array: np.ndarray, fill: float) -> None:
    file.create_dataset(name, array.shape, "f4", fillvalue=fill, chunks=array.ndim > 0 or None)


def _words(file: h5py.File, name: str, array: np.ndarray) -> None:
    file.create_dataset(name, array.shape[:1] or (1,), h5py.string_dtype())


def _references(file: h5py.File, name: str, array: np.ndarray) -> None:
    file.create_dataset(name, array.shape[:1] or (1,), h5py.ref_dtype)


def _ragged(file: h5py.File, name: str, array: np.ndarray) -> None:
    file.create_dataset(name, array.shape[:1] or (1,), h5py.vlen_dtype(np.float32))


def _choices(file: h5py.File, name: str, array: np.ndarray) -> None:
    file.create_dataset(name, array.shape, h5py.enum_dtype({"a": 0, "b": 1}))


def _external(file: h5py.File, name: str, array: np.ndarray) -> None:
    file[name] = h5py.ExternalLink("nowhere.h5", "/x")


def _external_itself(file: h5py.File, name: str, array: np.ndarray) -> None:
    file[name] = h5py.ExternalLink(Path(file.filename).name, f"/{name}")


def _external_device(file: h5py.File, name: str, array: np.ndarray) -> None:
    file[name] = h5py.ExternalLink("/dev/zero", "/x")


def _circle(file: h5py.File, name: str, array: np.ndarray) -> None:
    group = file.create_group(name)
    group["again"] = group


def _type(file: h5py.File, name: str, array: np.ndarray) -> None:
    file[name] = np.dtype("f8")


def _half_link(file: h5py.File, name: str, array: np.ndarray) -> None:
    """Found behind a link within the file: no fault."""
    file["data"] = array
    file[name] = h5py.SoftLink("/data")


H5: dict[str, Callable] = {
    "dangling link": lambda f, n, a: f.__setitem__(n, h5py.SoftLink("/nothing")),
    "looping link": lambda f, n, a: f.__setitem__(n, h5py.SoftLink(f"/{n}")),
    "link": _half_link,
    "external link to nothing": _external,
    "external link to itself": _external_itself,
    "external link to a device": _external_device,
    "group": lambda f, n, a: f.create_group(n),
    "circle of groups": _circle,
    "named type": _type,
    "empty": lambda f, n, a: f.create_dataset(n, data=h5py.Empty("f4")),
    "nothing": lambda f, n, a: None,
    "another name": lambda f, n, a: f.create_dataset("data", data=a),
    "more rows than fit": _huge,
    "wider than fits": lambda f, n, a: _huge(f, n, a, -1),
    "virtual of nothing": _virtual,
    "raw data of nothing": _external_raw,
    "never written": lambda f, n, a: _unwritten(f, n, a, 0),
    "never written, NaN": lambda f, n, a: _unwritten(f, n, a, np.nan),
    "words": _words,
    "references": _references,
    "ragged": _ragged,
    "choices": _choices,
    "broken chunk": lambda f, n, a: f.create_dataset(n, data=a, chunks=a.ndim > 0 or None),
    "byte order": lambda f, n, a: f.create_dataset(n, data=a.astype(a.dtype.newbyteorder(">"))),
}


# -------------------------------------------------------------------------------------------- NumPy
class Evil:
    """A pickle that leaves a mark where it is read."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


MARK = "unpickled"  # the name of the file that `Evil` makes, beside the one it lies in


def mutate_npy(path: Path, rng: random.Random) -> str:
    """Values, shape or type wrong, a pickle, or a header that lies."""
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError):
        array = np.zeros((10, 8), np.float32)
    if rng.random() < 0.6:
        array, said = rng.choice([odd_values, odd_shape, odd_type])(np.asarray(array), rng)
        np.save(path, array)
        return said
    kind = rng.choice(["pickle", "npz", "huge", "fortran", "negative", "words", "version", "long"])
    made = io.BytesIO()
    if kind == "pickle":
        np.save(made, np.array([Evil(path.parent / MARK)], object), allow_pickle=True)
    elif kind == "npz":
        np.savez(made, a=array)
    elif kind == "fortran":
        np.save(made, np.asfortranarray(array))
    elif kind == "words":
        np.save(made, np.array(["a", "b"]))
    else:
        np.save(made, array)
        data = made.getvalue()
        shape = str(array.shape).encode()
        other = {
            "huge": b"(%d, 8)" % MANY,
            "negative": b"(-1, 8)",
            "long": b"(" + b"9" * 60 + b",)",
        }
        if kind == "version":
            data = data[:6] + bytes([9, 9]) + data[8:]
        else:
            data = data.replace(shape, other[kind].ljust(len(shape)), 1)
        made = io.BytesIO(data)
    path.write_bytes(made.getvalue())
    return f"array, {kind}"


def mutate_npz(path: Path, rng: random.Random) -> str:
    """An array wrong, gone or too many, or an archive that lies."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile):
        arrays = {"a": np.zeros(3)}
    name = rng.choice(sorted(arrays)) if arrays else "a"
    kind = rng.choice(["values", "shape", "type", "gone", "more", "none", "pickle", "npy", "twice"])
    said = kind
    if kind in ("values", "shape", "type"):
        change = {"values": odd_values, "shape": odd_shape, "type": odd_type}[kind]
        if arrays[name].dtype.kind in "US":
            arrays[name] = np.array(["?"] * max(1, len(np.atleast_1d(arrays[name]))))
        else:
            arrays[name], said = change(arrays[name], rng)
    elif kind == "gone":
        del arrays[name]
    elif kind == "more":
        arrays["extra"] = np.full(3, np.nan)
    elif kind == "none":
        arrays = {}
    elif kind == "pickle":
        arrays[name] = np.array([Evil(path.parent / MARK)], object)
    with open(path, "wb") as file:
        np.savez(file, **arrays)
    if kind in ("npy", "twice"):
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("plain.txt" if kind == "npy" else "extra.npy", b"no array")
    return f"{name}: {said}"


# ------------------------------------------------------------------------------------- safetensors
def odd_tensor(tensor: torch.Tensor, rng: random.Random) -> tuple[torch.Tensor, str]:
    """The tensor with values, shape or type wrong."""
    kind = rng.choice(["nan", "inf", "type", "fewer", "flat", "none", "more", "zero", "large"])
    if kind in ("nan", "inf", "large") and tensor.is_floating_point() and tensor.numel():
        tensor = tensor.clone()
        value = {"nan": float("nan"), "inf": float("inf"), "large": 1e38}[kind]
        tensor.view(-1)[rng.randrange(tensor.numel())] = value
    elif kind == "type":
        kinds = [torch.int8, torch.int64, torch.bool, torch.float16, torch.bfloat16, torch.float64]
        tensor = tensor.to(rng.choice(kinds))
    elif kind == "fewer" and tensor.ndim and len(tensor):
        tensor = tensor[:-1].contiguous()
    elif kind == "flat":
        tensor = tensor.reshape(-1).contiguous()
    elif kind == "none":
        tensor = tensor.new_zeros((0, *tensor.shape[1:]))
    elif kind == "more":
        tensor = tensor[None].contiguous()
    else:
        tensor = torch.zeros_like(tensor)
    return tensor, kind


def mutate_safetensors(path: Path, rng: random.Random) -> str:
    """A tensor wrong, gone or too many; a header that lies; other JSON beside the tensors."""
    data = path.read_bytes()
    try:
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        body = data[8 + length :]
    except (ValueError, struct.error):
        header, body = {}, b""
    kind = rng.choice(["tensor", "tensor", "tensor", "meta", "meta", "meta", "header", "length"])
    if kind == "meta" and "avbook" in header.get("__metadata__", {}):
        value, said = odd_json(json.loads(header["__metadata__"]["avbook"]), rng)
        header["__metadata__"]["avbook"] = json_text(value)
        said = f"meta: {said}"
    elif kind == "tensor" and len(header) > 1:
        return _other_tensors(path, rng)
    elif kind == "length":
        length = rng.choice([0, 1, 2**63, 2**64 - 1, 10**9, len(data)])
        path.write_bytes(struct.pack("<Q", length) + data[8:])
        return f"header's length {length}"
    else:
        header, said = odd_json(header, rng)
        said = f"header: {said}"
    text = json_text(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return said


def _other_tensors(path: Path, rng: random.Random) -> str:
    from safetensors import safe_open
    from safetensors.torch import save

    with safe_open(path, framework="pt") as file:
        meta, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
    name = rng.choice(sorted(tensors))
    kind = rng.choice(["wrong", "wrong", "wrong", "gone", "more", "renamed", "none"])
    said = kind
    if kind == "wrong":
        tensors[name], said = odd_tensor(tensors[name], rng)
    elif kind == "gone":
        del tensors[name]
    elif kind == "more":
        tensors[rng.choice(["extra", "", name + ".x", "net.extra"])] = torch.full(
            (3,), float("nan")
        )
    elif kind == "renamed":
        tensors[rng.choice(["x", name + "x", "module." + name])] = tensors.pop(name)
    else:
        tensors = {}
    path.write_bytes(save(tensors, metadata=meta))
    return f"{name}: {said}"


ARRAYS = {
    ".h5": [mutate_h5],
    ".npy": [mutate_npy],
    ".npz": [mutate_npz],
    ".safetensors": [mutate_safetensors],
}


# ------------------------------------------------------------------------------------- state dicts
def mutate_weights(weights: dict, rng: random.Random, mark: Path) -> tuple[object, str]:
    """What somebody might hand over as weights in place of this dict of arrays."""
    weights = dict(weights)
    name = rng.choice(sorted(weights))
    array = np.asarray(weights[name])
    odd = {
        "a list": array.tolist(), "a word": "x", "a float": 0.5, "None": None, "a set": {1},
        "a dict": {"a": array}, "objects": np.array([object()]), "an Evil": Evil(mark),
        "int8": array.astype("i1"), "bool": array > 0,
        "complex": array.astype("c8"), "words": np.array(["a"]),
        "float64": array.astype("f8"), "empty": array[:0], "scalar": np.float32(1),
        "sparse": torch.eye(3).to_sparse(), "meta": torch.empty(array.shape, device="meta"),
        "bf16": torch.tensor(array).bfloat16(), "grad": torch.tensor(array, requires_grad=True),
        "masked": np.ma.array(array, mask=array > 0), "matrix": np.zeros((2, 2, 2)),
        "parameter": nn.Parameter(torch.tensor(array)), "quantised": torch.quantize_per_tensor(
            torch.tensor(array), 0.1, 0, torch.qint8), "datetime": np.zeros(array.shape, "M8[s]"),
        "fewer": array[:-1], "turned": array.T, "nothing of it": array[..., :0],
    }  # fmt: skip
    draw = rng.random()
    if draw < 0.45:
        kind = rng.choice(list(odd))
        weights[name] = odd[kind]
        return weights, f"{name}: {kind}"
    if draw < 0.65:
        weights[name], said = odd_values(array, rng)
        return weights, f"{name}: {said}"
    kind = rng.choice(
        ["key gone", "key more", "int key", "None key", "renamed", "nested", "model", "module.",
         "_orig_mod.", "net.", "sd/", "both", "list", "None", "module", "path", "word", "bytes",
         "array", "empty", "keys only", "ordered", "number", "all NaN", "all int8", "deep"]
    )  # fmt: skip
    if kind == "key gone":
        del weights[name]
        return weights, f"{name} gone"
    whole = {
        "key more": lambda: {**weights, "extra": array}, "int key": lambda: {**weights, 3: array},
        "None key": lambda: {**weights, None: array},
        "renamed": lambda: {(key + "x" if key == name else key): w for key, w in weights.items()},
        "nested": lambda: {"state_dict": weights, "epoch": 3},
        "model": lambda: {"model": weights, "optimizer": {"state": {}}},
        "both": lambda: {**weights, "module." + name: array},
        "list": lambda: list(weights.items()), "None": lambda: None, "bytes": lambda: b"x",
        "module": lambda: nn.Linear(2, 2), "path": lambda: mark.parent / "nowhere.pt",
        "word": lambda: "psp-full",
        "array": lambda: array, "empty": dict, "keys only": lambda: dict.fromkeys(weights),
        "ordered": lambda: nn.ParameterDict({k.replace(".", "_"): torch.tensor(np.asarray(w))
                                             for k, w in weights.items()}),
        "number": lambda: 7,
        "all NaN": lambda: {k: np.full_like(w, np.nan) for k, w in weights.items()},
        "all int8": lambda: {k: np.asarray(w).astype("i1") for k, w in weights.items()},
        "deep": lambda: {"state_dict": {"state_dict": {"model": weights}}},
    }  # fmt: skip
    if kind in whole:
        return whole[kind](), kind
    return {kind + key: w for key, w in weights.items()}, f"prefix {kind}"


def save_pt(path: Path, thing, rng: random.Random) -> str:
    """Written as PyTorch does, whole or spoilt."""
    torch.save(thing, path, _use_new_zipfile_serialization=rng.random() < 0.7)
    return ".pt"
