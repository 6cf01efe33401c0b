"""Published weight files of the official networks: read safely, checked by names and hash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from avbook.common.files import check_regular, os_fault
from avbook.common.options import check_choice
from avbook.errors import AvbookError
from avbook.features.official_networks import VGG19, R2Plus1D18, ResNet152, VGGish
from avbook.training.state_dicts import check_arrays, first_line, listed
from avbook.training.weight_files import read_torch

__all__ = ["PublishedWeights", "LoadedWeights", "PUBLISHED", "load_published"]

TORCHVISION = (
    "torchvision, which stores downloads in ~/.cache/torch/hub/checkpoints: copy it from a"
    " machine that has used this network"
)
CHUNK = 2**20  # bytes hashed at a time


@dataclass(frozen=True)
class PublishedWeights:
    """A published set of weights: the network, the names and hashes of its files, their origin."""

    network: str  # name in messages
    build: Callable[[], nn.Module]  # the network without its last layers
    files: Mapping[str, str]  # name -> "md5:…" or "sha256:…", or the first digits of it
    origin: str  # the project that publishes them
    extra: tuple[str, ...] = ()  # prefixes of names in the file that the network does not have
    keras: bool = False  # Keras's HDF5 layout; otherwise PyTorch's

    @property
    def expected(self) -> str:
        """The part of an error message that says what to get."""
        names = []
        for name, known in self.files.items():
            function, _, digits = known.partition(":")
            begins = " begins" if function == "sha256" else ""
            names.append(f"{name} ({function}{begins} {digits})")
        return f"expected {' or '.join(names)} of {self.origin}"


@dataclass(frozen=True)
class LoadedWeights:
    """A network with a file's weights, in eval mode on the CPU, and the file's identification."""

    net: nn.Module
    file: str  # its name without the folder
    sha256: str  # 64 hexadecimal digits
    published: bool  # whether its hash is that of a published file


PUBLISHED = {
    "vgg19": PublishedWeights(
        "VGG-19",
        VGG19,
        {
            "vgg19_weights_tf_dim_ordering_tf_kernels.h5": "md5:cbe5617147190e668d6c5d5026f83318",
            "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5": (
                "md5:253f8cb515780f3b799900260a226db6"
            ),
        },
        "Keras (keras.applications.VGG19 stores downloads in ~/.keras/models; also in"
        " release v0.1 of fchollet/deep-learning-models on GitHub)",
        keras=True,
    ),
    "vggish": PublishedWeights(
        "VGGish",
        VGGish,
        {"vggish-10086976.pth": "sha256:10086976"},
        "release v0.1 of harritaylor/torchvggish on GitHub",
    ),
    "resnet152": PublishedWeights(
        "ResNet-152",
        ResNet152,
        {
            "resnet152-b121ed2d.pth": "sha256:b121ed2d",
            "resnet152-394f9c45.pth": "sha256:394f9c45",
        },
        TORCHVISION,
        extra=("fc.",),
    ),
    "r2plus1d_18": PublishedWeights(
        "R(2+1)D-18",
        R2Plus1D18,
        {"r2plus1d_18-91a641e6.pth": "sha256:91a641e6"},
        TORCHVISION,
        extra=("fc.",),
    ),
}


def load_published(
    kind: str,  # "vgg19", "vggish", "resnet152" or "r2plus1d_18"
    path: str | os.PathLike,  # of the weight file
    any_weights: bool = False,  # accept weights in the same layout with an unpublished hash
) -> LoadedWeights:
    """The network with the file's weights, and the file's SHA-256.

    Nothing in the file is executed (`weights_only=True`; h5py). Layers beyond the features, such as
    `fc`, are left out. Raises `AvbookError`, in one line with what to get instead, if the file is
    missing, truncated, of another format or network, if weights are not finite, and if the hash is
    not a published one, unless `any_weights`."""
    check_choice("kind", kind, tuple(PUBLISHED))
    spec = PUBLISHED[kind]
    try:
        check_regular(path)
        hashes = _hashes(path)
    except AvbookError as error:
        raise AvbookError(f"{error}; {spec.expected}") from None
    with torch.device("meta"):  # shapes only: nothing is initialised
        net = spec.build()
    wanted = net.state_dict()
    found = _read_keras(path, spec, wanted) if spec.keras else _read_torch(path, spec, wanted)
    published = any(_matches(hashes, known) for known in spec.files.values())
    if not published and not any_weights:
        told = ", ".join(f"{name} {digits}" for name, digits in hashes.items())
        raise AvbookError(
            f"{path}: found {told}, the layout of {spec.network} but not the published weights;"
            f" {spec.expected}; get that file again, or pass any_weights=True for weights of your"
            " own"
        )
    net.load_state_dict(found, assign=True)
    net.requires_grad_(False)
    return LoadedWeights(net.eval(), Path(path).name, hashes["sha256"], published)


# --------------------------------------------------------------------------------------------- hash
def _hashes(path: str | os.PathLike) -> dict[str, str]:
    """SHA-256 and MD5 of the file's bytes, in hexadecimal digits."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    try:
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK):
                sha256.update(chunk)
                md5.update(chunk)
    except OSError as error:
        raise os_fault(path, error) from None
    return {"sha256": sha256.hexdigest(), "md5": md5.hexdigest()}


def _matches(hashes: Mapping[str, str], known: str) -> bool:
    name, _, digits = known.partition(":")
    return hashes[name].startswith(digits)


# ------------------------------------------------------------------------------------------ PyTorch
def _read_torch(
    path: str | os.PathLike,
    spec: PublishedWeights,
    wanted: Mapping[str, torch.Tensor],  # the network's, for names, shapes and types
) -> dict[str, torch.Tensor]:
    try:
        state = read_torch(path)
    except AvbookError:
        raise _refusal(
            path, spec, "not a PyTorch file of weights only, or a truncated one: it cannot be read"
        ) from None
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise _refusal(path, spec, f"{type(state).__name__}, not a dict of names to tensors")
    found = {name: value for name, value in state.items() if not name.startswith(spec.extra)}
    for name, own in wanted.items():
        if name.endswith(".num_batches_tracked") and name not in found:  # in files before 2018
            found[name] = torch.zeros((), dtype=own.dtype)
    _check_names(path, spec, found, wanted)
    try:
        check_arrays(found, str(path), wanted)
    except AvbookError as error:
        told = str(error).removeprefix(f"{path}: ").partition("; expected")[0]
        raise _refusal(path, spec, told) from None
    return _finite(path, spec, found, wanted)


# -------------------------------------------------------------------------------------------- Keras
def _read_keras(
    path: str | os.PathLike,
    spec: PublishedWeights,
    wanted: Mapping[str, torch.Tensor],  # the network's, for names, shapes and types
) -> dict[str, torch.Tensor]:
    import h5py

    found: dict[str, Any] = {}
    try:
        with h5py.File(path, "r") as file:
            layers = file.get("model_weights", file)  # within a whole model
            for layer in layers:
                if "_conv" in layer:
                    found |= _convolution(layer, layers[layer])
    except AvbookError as error:
        raise _refusal(path, spec, str(error)) from None
    except (OSError, AttributeError, KeyError, RuntimeError, ValueError, TypeError) as error:
        told = f"not an HDF5 file of Keras, or a truncated one ({first_line(error)})"
        with open(path, "rb") as other:
            if other.read(2) in (b"PK", b"\x80\x02"):
                told = "a PyTorch file; torchvision's VGG-19 has other weights and preprocessing"
        raise _refusal(path, spec, told) from None
    _check_names(path, spec, found, wanted)
    return _finite(path, spec, found, wanted)


def _convolution(
    layer: str,  # name of the layer
    group: Any,  # of HDF5: a kernel (3, 3, in, out) and a bias (out,), at any depth
) -> dict[str, torch.Tensor]:
    """The layer's weight (out, in, 3, 3) and bias (out,). Reads the files of 2016 and those of a
    newer Keras, which differ in names and depth of the arrays."""
    import h5py

    arrays: dict[str, Any] = {}

    def visit(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            part = {4: "weight", 1: "bias"}.get(len(item.shape))
            if part is None or part in arrays or item.dtype.kind != "f" or item.size > 2**24:
                raise AvbookError(f"in {layer} an array {item.shape} {item.dtype}")
            arrays[part] = item

    group.visititems(visit)
    read = {part: torch.from_numpy(item[()].astype(np.float32)) for part, item in arrays.items()}
    if "weight" in read:
        read["weight"] = read["weight"].permute(3, 2, 0, 1)
    return {f"{layer}.{part}": array for part, array in read.items()}


# ------------------------------------------------------------------------------------------- checks
def _refusal(path: str | os.PathLike, spec: PublishedWeights, found: str) -> AvbookError:
    return AvbookError(f"{path}: found {found}; {spec.expected}; get that file again")


def _check_names(
    path: str | os.PathLike,
    spec: PublishedWeights,
    found: Mapping[str, Any],
    wanted: Mapping[str, torch.Tensor],
) -> None:
    """Raises `AvbookError` if names or shapes differ from the network's."""
    missing = [name for name in wanted if name not in found]
    more = [name for name in found if name not in wanted]
    faults = []
    if missing:
        faults.append(f"without {listed(missing, 3)}")
    if more:
        faults.append(f"with {listed(more, 3)}")
    if not faults:
        for name, own in wanted.items():
            shape = tuple(getattr(found[name], "shape", own.shape))
            if shape != tuple(own.shape):
                faults.append(f"with {name} {shape} instead of {tuple(own.shape)}")
                break
    if faults:
        told = f"weights of another network than {spec.network}, {' but '.join(faults)}"
        raise _refusal(path, spec, told)


def _finite(
    path: str | os.PathLike,
    spec: PublishedWeights,
    found: Mapping[str, torch.Tensor],
    wanted: Mapping[str, torch.Tensor],
) -> dict[str, torch.Tensor]:
    """The weights in the network's types, dense; raises `AvbookError` if one is not finite."""
    dense = {name: found[name].detach().to(own.dtype).contiguous() for name, own in wanted.items()}
    if bad := [name for name, value in dense.items() if not value.isfinite().all()]:
        raise _refusal(path, spec, f"NaN or Inf in {listed(bad, 3)}")
    return dense
