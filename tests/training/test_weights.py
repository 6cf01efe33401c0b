"""Weights in every form that people give them, and in every form that is refused: one line each,
and the network is then as it was."""

import json
import math
import os
import struct
import warnings
import zipfile

import numpy as np
import pytest
import torch
from tiny import Net
from torch import nn

from avbook.errors import AvbookError
from avbook.training.state_dicts import MOST
from avbook.training.weight_files import read_torch
from avbook.training.weights import load_weights, read_tensors, save_weights, write_tensors

MUTANTS = 200  # of each kind of file


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.second = nn.Linear(4, 2)


class Nested(nn.Module):
    """All its names begin with what looks like a prefix."""

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(3, 4)


def weights(net=None) -> dict:
    return {name: tensor.clone() for name, tensor in (net or Small()).state_dict().items()}


def holds(net, given) -> bool:
    own = net.state_dict()
    return own.keys() == given.keys() and all(torch.equal(own[n], given[n]) for n in own)


def refused(source, *words, net=None) -> str:
    """The one line in which a source is refused; the network is then as it was."""
    net = net or Small()
    before = weights(net)
    with pytest.raises(AvbookError) as error:
        load_weights(net, source)
    text = str(error.value)
    assert len(text.splitlines()) == 1 and len(text) < 2000, text
    assert holds(net, before), "half-loaded"
    for word in words:
        assert word in text, text
    return text


# ------------------------------------------------------------------------------------ what is taken
def prefixed(*prefixes):
    return lambda sd: {"".join(prefixes) + name: tensor for name, tensor in sd.items()}


def network(sd):
    net = Small()
    net.load_state_dict(sd)
    return net


FORMS = {
    "state dict": lambda sd: sd,
    "parameters": lambda sd: {name: nn.Parameter(tensor) for name, tensor in sd.items()},
    "arrays": lambda sd: {name: tensor.numpy() for name, tensor in sd.items()},
    "doubles": lambda sd: {name: tensor.double() for name, tensor in sd.items()},
    "other byte order": lambda sd: {n: tensor.numpy().astype(">f8") for n, tensor in sd.items()},
    "views": lambda sd: {n: tensor.numpy()[::-1].copy()[::-1] for n, tensor in sd.items()},
    "network": network,
    "module.": prefixed("module."),
    "_orig_mod.": prefixed("_orig_mod."),
    "model.": prefixed("model."),
    "repeated": prefixed("module.", "_orig_mod.", "module.", "net."),
    "sd/": lambda sd: prefixed("sd/")(sd) | {"in/audio": np.zeros(3, int), "note": "text"},
    "state_dict": lambda sd: {"state_dict": sd, "epoch": 3, "optimizer": {"state": {}}},
    "optimiser": lambda sd: {"model": sd, "optimizer": {"state": {0: {"exp": torch.ones(2)}}}},
    "model_state_dict": lambda sd: {"model_state_dict": sd, "loss": 0.5},
    "wrapped twice": lambda sd: {"state_dict": {"model": prefixed("module.")(sd)}},
    "wrapped network": lambda sd: {"net": network(sd), "epoch": 1},
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_in_memory(form):
    given, net = weights(), Small()
    assert load_weights(net, FORMS[form](given)) == {} and holds(net, given)


def write_pt(path, given):
    torch.save(given, path)


def write_old_pt(path, given):
    torch.save(given, path, _use_new_zipfile_serialization=False)


def write_npz(path, given):
    np.savez(path, **{name: tensor.numpy() for name, tensor in given.items()})


def write_small_npz(path, given):
    np.savez_compressed(path, **{name: tensor.numpy() for name, tensor in given.items()})


FILES = {
    "w.safetensors": lambda path, given: write_tensors(path, given, {"class": "Small"}),
    "w.pt": write_pt,
    "W.PTH": write_pt,
    "old.pt": write_old_pt,
    "w.npz": write_npz,
    "small.npz": write_small_npz,
}


@pytest.mark.parametrize("name", FILES)
def test_files(tmp_path, name):
    given, path = weights(), tmp_path / name
    FILES[name](path, prefixed("module.")(given))
    for source in (path, str(path)):
        net = Small()
        meta = load_weights(net, source)
        assert holds(net, given) and meta == ({"class": "Small"} if "safe" in name else {})


def test_a_wrapped_state_dict_in_a_file(tmp_path):
    given, net = weights(), Small()
    torch.save({"state_dict": prefixed("module.")(given), "epoch": 3}, tmp_path / "w.pth.tar")
    load_weights(net, tmp_path / "w.pth.tar")
    assert holds(net, given)


def test_an_open_npz_file(tmp_path):
    given, net = weights(), Small()
    write_npz(tmp_path / "w.npz", given)
    with np.load(tmp_path / "w.npz") as file:
        load_weights(net, file)
    assert holds(net, given)
    refused(file, "closed; pass its path")


def test_names_of_the_network_s_own_are_no_prefixes(tmp_path):
    net, other = Nested(), Nested()
    load_weights(other, save_weights(net, tmp_path / "w.safetensors"))
    assert holds(other, weights(net))
    other = Nested()
    load_weights(other, prefixed("module.")(weights(net)))
    assert holds(other, weights(net))


def test_counters_and_halves():
    """The network's own whole numbers come back, and its own type of floats decides."""
    net, given = Net(), weights(Net())
    given["calls"] += 7
    load_weights(net, given)
    assert holds(net, given) and net.calls == 7
    refused(given | {"calls": torch.tensor(7.5)}, "float32 instead of int64: calls", net=Net())
    half = Small().half()
    load_weights(half, weights())
    assert half.first.weight.dtype == torch.float16
    too_large = weights() | {"first.bias": torch.full((4,), 1e6)}
    refused(too_large, "not finite: first.bias", net=Small().half())


def test_the_network_keeps_no_part_of_the_source(tmp_path):
    """A file written over later does not change the network, nor does the dict it came from."""
    given, path = weights(), tmp_path / "w.safetensors"
    write_tensors(path, given, {})
    tensors, _ = read_tensors(path)
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.write(bytes(size))
    assert all(torch.equal(tensors[name], given[name]) for name in given)


# ---------------------------------------------------------------------------------- what is refused
class NoKeys(dict):
    def keys(self):
        raise RuntimeError("first line\nsecond line")


class NoValues(dict):
    def __getitem__(self, name):
        raise OSError("gone")


class Lazy(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.LazyLinear(4)

    def state_dict(self, *args, **kwargs):
        raise RuntimeError("no\nstate")


def changed(name, value):
    return lambda: weights() | {name: value}


def itself():
    loop = {}
    loop["state_dict"] = loop
    return loop


def quantised():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch will have no more of these
        return torch.quantize_per_tensor(torch.ones(4, 3), 1.0, 0, torch.qint8)


MATRIX = "first.weight"
REFUSED = {
    "None": (lambda: None, "found NoneType"),
    "a number": (lambda: 3, "found int"),
    "bytes": (lambda: b"w.pt", "found bytes"),
    "contents": (lambda: "1 2\n3 4", r"found '1 2\n3 4'; expected a path"),
    "long contents": (lambda: "1 2 " * 5000, "found '1 2 1 2"),
    "a zero byte": (lambda: "w\0.pt", "cannot be accessed"),
    "a list": (lambda: list(weights().items()), "found list"),
    "a class": (lambda: Small, "found the class Small"),
    "a tensor": (lambda: torch.ones(3), "found Tensor"),
    "an array": (lambda: np.ones(3), "found ndarray"),
    "nothing": (dict, "first.weight only in the network"),
    "no keys": (lambda: NoKeys(weights()), "RuntimeError: first line"),
    "no values": (lambda: NoValues(weights()), "OSError: gone"),
    "no state": (Lazy, "state_dict of Lazy cannot be read (RuntimeError: no)"),
    "list": (changed(MATRIX, [1.0]), "not an array (list): first.weight"),
    "string": (changed(MATRIX, "x"), "not an array (str): first.weight"),
    "float": (changed(MATRIX, 1.0), "not an array (float): first.weight"),
    "null": (changed(MATRIX, None), "not an array (NoneType): first.weight"),
    "masked": (changed(MATRIX, np.ma.ones((4, 3))), "not an array (MaskedArray)"),
    "a dict within": (changed(MATRIX, {"a": torch.ones(2)}), "not an array (dict)"),
    "int keys": (lambda: dict(enumerate(weights().values())), "4 of 4 names are not strings"),
    "a key of None": (lambda: {None: torch.ones(1)}, "1 of 1 names are not strings, such as None"),
    "int8": (
        changed(MATRIX, torch.ones(4, 3, dtype=torch.int8)),
        "not floating-point numbers (int8)",
    ),
    "numpy ints": (changed(MATRIX, np.ones((4, 3), int)), "not floating-point numbers (int64)"),
    "bool": (changed(MATRIX, torch.ones(4, 3) > 0), "not floating-point numbers (bool)"),
    "complex": (changed(MATRIX, torch.ones(4, 3) * 1j), "not floating-point numbers (complex64)"),
    "objects": (changed(MATRIX, np.array([[None]])), "not floating-point numbers (object)"),
    "words": (changed(MATRIX, np.array(["a"])), "not floating-point numbers (<U1)"),
    "records": (changed(MATRIX, np.zeros(2, "f4,f4")), "not floating-point numbers"),
    "no size": (changed(MATRIX, torch.ones(0, 3)), "empty: first.weight"),
    "NaN": (changed(MATRIX, torch.full((4, 3), math.nan)), "not finite: first.weight"),
    "infinite": (changed(MATRIX, np.full((4, 3), -np.inf)), "not finite: first.weight"),
    "too large": (changed(MATRIX, np.full((4, 3), 1e300)), "not finite: first.weight"),
    "too long": (changed(MATRIX, np.full((4, 3), 1e300, np.longdouble)), "not finite"),
    "meta": (changed(MATRIX, torch.ones(4, 3, device="meta")), "without values"),
    "sparse": (changed(MATRIX, torch.eye(4).to_sparse()), "sparse or nested: first.weight"),
    "quantised": (lambda: changed(MATRIX, quantised())(), "quantised: first.weight"),
    "huge": (changed(MATRIX, torch.ones(1).expand(10**10)), "10,000,000,"),
    "huge matrix": (changed(MATRIX, np.broadcast_to(np.float32(1), (10**6, 10**6))), "at most"),
    "other shape": (changed(MATRIX, torch.ones(3, 4)), "[4, 3], given [3, 4]"),
    "half prefixed": (
        lambda: weights() | {"module.first.weight": torch.ones(4, 3)},
        "module. stands before 1 of 5 names, first.weight both with and without it",
    ),
    "nested": (
        lambda: {"encoder": weights(), "decoder": weights()},
        "looks nested (encoder, decoder); pass one part, such as x['encoder']",
    ),
    "two wrappings": (
        lambda: {"state_dict": weights(), "model": weights()},
        "state_dict, model hold weights each; pass one of them, such as x['state_dict']",
    ),
    "a dict in itself": (itself, ""),
    "a long name": (changed("x" * 10**6, torch.ones(1)), "xxx…"),
    "two lines in a name": (changed("two\nlines", torch.ones(1)), ""),
    "very many names": (
        lambda: {f"n{i}": None for i in range(10**4)},
        "n4 and 9995 more; expected tensors",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_memory(case):
    make, word = REFUSED[case]
    refused(make(), word)


@pytest.mark.parametrize("name", FILES)
def test_values_refused_from_every_kind_of_file(tmp_path, name):
    path = tmp_path / name
    for value, word in (
        (torch.full((4, 3), math.nan), "not finite: first.weight"),
        (torch.ones(4, 3, dtype=torch.int8), "not floating-point numbers (int8): first.weight"),
        (torch.ones(0, 3), "empty: first.weight"),
    ):
        FILES[name](path, weights() | {"first.weight": value})
        assert refused(path, word).startswith(str(path))


# ------------------------------------------------------------------------------ files that are none
class Runs:
    """What a pickle that runs code looks like."""

    def __reduce__(self):
        return os.mkdir, ("this folder shall never be",)


def test_a_pickled_network_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path, thing, word in (
        (tmp_path / "net.pt", nn.Linear(2, 2), "it holds torch.nn.modules.linear.Linear"),
        (tmp_path / "net.pkl", Runs(), "it holds posix.mkdir"),
    ):
        for write in (write_pt, write_old_pt):
            write(path, {"state_dict": thing})
            refused(path, word, "save the network's state_dict, or as safetensors")
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    refused(tmp_path / "net.pkl", "it holds posix.mkdir")
    np.savez(tmp_path / "o.npz", **{"first.weight": np.array([Runs()], object)})
    refused(tmp_path / "o.npz", "an array of objects, which is a pickle")
    with np.load(tmp_path / "o.npz", allow_pickle=True) as file:
        refused(file, "an array of objects")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.pkl", "net.pt", "o.npz"]


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".npz", ".txt"])
def test_what_is_no_regular_file(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    refused(path, f"{path}: no such file")
    path.mkdir()
    refused(path, f"{path}: is a folder")
    path.rmdir()
    os.mkfifo(path)
    refused(path, f"{path}: is a pipe")
    path.unlink()
    path.symlink_to("/dev/zero")
    refused(path, f"{path}: is a device")
    path.unlink()
    path.write_bytes(b"")
    refused(path, f"{path}: not ")


def test_files_of_other_kinds(tmp_path):
    (tmp_path / "w.txt").write_text("1 2 3")
    refused(tmp_path / "w.txt", "expected .safetensors, .npz or .pt")
    write_pt(tmp_path / "w.pt", [torch.ones(1)])
    refused(tmp_path / "w.pt", "found list")
    write_pt(tmp_path / "w.pt", weights())
    with (
        zipfile.ZipFile(tmp_path / "w.pt") as plain,
        zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for part in plain.infolist():
            packed.writestr(part.filename, plain.read(part))
    refused(tmp_path / "packed.pt", "a compressed archive")


def test_sizes_that_cannot_be_held_are_read_from_the_header(tmp_path):
    write_pt(tmp_path / "w.pt", changed("first.weight", torch.ones(1).expand(10**10))())
    refused(tmp_path / "w.pt", "10,000,000,", f"at most {MOST:,}")
    shape, path = (10**6, 10**4), tmp_path / "w.npz"
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("first.weight.npy", array)
    refused(path, "(1000000, 10000) float32 in 128 bytes")
    path = tmp_path / "w.safetensors"
    about = {"first.weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * 10**10]}}
    header = json.dumps(about).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + 4 * 10**10)  # takes no room on the disk
    with pytest.raises(
        AvbookError, match="10,000,000,000 numbers; expected at most|unable to mmap"
    ):
        read_tensors(path, MOST)  # some machines do not even map so much
    refused(path, "not a whole safetensors file")


def write_meta(path, text: bytes):
    """A safetensors file without tensors, whose metadata has these bytes as a JSON string."""
    header = b'{"__metadata__":{"avbook":' + text + b"}}"
    path.write_bytes(struct.pack("<Q", len(header)) + header)


@pytest.mark.parametrize(
    "text",
    [
        b'"[1, 2]"',
        b'"null"',
        b'"{"',
        b'""',
        b'"{\\"a\\": Infinity}"',
        b'"{\\"a\\": 1e999}"',
        b'"{\\"a\\": ' + b"9" * 5000 + b'}"',
        b'"' + b"[" * 100_000 + b'"',
        b'"\xff\xfe"',
        b"3",
        b"null",
        b'{"a": "b"}',
    ],
    ids=lambda text: text[:16].decode("latin-1"),
)
def test_metadata_that_is_not_ours(tmp_path, text):
    path = tmp_path / "w.safetensors"
    write_meta(path, text)
    with pytest.raises(AvbookError, match="not a whole safetensors file") as error:
        read_tensors(path)
    assert len(str(error.value).splitlines()) == 1 and len(str(error.value)) < 500


def test_metadata_of_ours_and_of_others(tmp_path):
    path = tmp_path / "w.safetensors"
    write_tensors(path, {}, {"val": {"accuracy": math.nan}})
    assert math.isnan(read_tensors(path)[1]["val"]["accuracy"]), "a score with nothing to count"
    write_meta(path, b'"{}", "format": "pt"')
    assert read_tensors(path) == ({}, {})


def test_a_header_longer_than_the_file(tmp_path):
    path = tmp_path / "w.safetensors"
    for length in (0, 1, 10**6, 2**40, 2**64 - 1):
        path.write_bytes(struct.pack("<Q", length) + b"{}" * 20)
        refused(path, "not a whole safetensors file")


# ------------------------------------------------------------------------------- files with mutants
def mutated(rng, whole: bytes) -> bytes:
    """One to three bytes or pieces changed, most of them near the beginning."""
    data = bytearray(whole)
    for _ in range(rng.integers(1, 4)):
        end = min(len(data), 400) if rng.random() < 0.8 else len(data)
        at, other = (int(rng.integers(0, n)) for n in (end, len(data)))
        piece = [b"9", b"-1", b"NaN", b'"', b"{", b"\xff", b"\0", b"1e999", b"\x7f\xff\xff\xff"]
        match rng.integers(0, 6):
            case 0:
                data[at] = int(rng.integers(0, 256))
            case 1:
                del data[at : at + int(rng.integers(1, 20))]
            case 2:
                data[at:at] = rng.bytes(int(rng.integers(1, 20)))
            case 3:
                data = data[: at + 1]
            case 4:
                data[at : at + 8] = data[other : other + 8]
            case _:
                data[at : at + 1] = piece[rng.integers(len(piece))]
    return bytes(data)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("name", [name for name in FILES if name.islower()])
def test_mutated_files(tmp_path, name):
    """Nothing but `AvbookError`, nothing half-loaded, and no weight that is not finite."""
    path, rng = tmp_path / name, np.random.default_rng(0)
    FILES[name](path, weights())
    whole, lines = path.read_bytes(), 0
    for _ in range(MUTANTS):
        path.write_bytes(mutated(rng, whole))
        net = Small()
        before = weights(net)
        try:
            load_weights(net, path)
        except AvbookError as error:
            lines += 1
            assert len(str(error).splitlines()) == 1 and holds(net, before), error
        assert all(tensor.isfinite().all() for tensor in net.state_dict().values())
    assert lines > MUTANTS / 2


def test_weights_of_every_exponent(tmp_path):
    """Random bytes as weights: what is not finite is never taken."""
    path, rng = tmp_path / "w.safetensors", np.random.default_rng(0)
    write_tensors(path, weights(), {})
    whole = path.read_bytes()
    begin = 8 + struct.unpack("<Q", whole[:8])[0]
    for _ in range(MUTANTS):
        data = whole[:begin] + rng.bytes(len(whole) - begin)
        path.write_bytes(data)
        finite = np.isfinite(np.frombuffer(data[begin:], "<f4")).all()
        if finite:
            load_weights(Small(), path)
        else:
            refused(path, "not finite")


@pytest.mark.parametrize("write", [write_pt, write_old_pt])
def test_a_tensor_that_claims_more_than_the_file_has(tmp_path, write):
    path = tmp_path / "w.pt"
    write(path, {"first.weight": torch.ones(4, 3)})
    whole = path.read_bytes()
    assert whole.count(b"K\x04K\x03\x86") == 1  # the shape
    path.write_bytes(whole.replace(b"K\x04K\x03\x86", b"K\x40K\x40\x86"))
    with pytest.raises(AvbookError, match="not weights only"):
        read_torch(path)
