"""Weights in files of other programs: PyTorch's own format and NumPy's, without unpickling."""

from __future__ import annotations

import math
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy

from avbook.common.files import check_regular
from avbook.errors import AvbookError
from avbook.training.state_dicts import MOST, first_line

__all__ = ["read_torch", "NpzArrays"]

_ZIP = b"PK\x03\x04"  # first bytes of a zip archive
_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


# ------------------------------------------------------------------------------------------ PyTorch
def read_torch(
    path: str | os.PathLike,  # file of `torch.save`, in either of its formats
) -> Any:
    """The content of the file, on the CPU: tensors, numbers, strings and containers of these.

    Raises `AvbookError` for any other content, such as a whole network: reading it would run code
    from the file."""
    check_regular(path)
    try:
        _check_stored(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # many types, depending on the broken byte
        if found := re.search(r"GLOBAL ([\w.]+)", str(error)):
            told = f"it holds {found[1][:100]}"
        elif type(error).__name__ == "UnpicklingError":  # its text has many lines
            told = "a broken pickle, or one of another program"
        else:
            told = first_line(error)
        raise AvbookError(
            f"{path}: not weights only ({told}), and other content of a pickle is never read; in"
            " the program that wrote it save the network's state_dict, or as safetensors"
        ) from None


def _check_stored(path: str | os.PathLike) -> None:
    """Raises ValueError if parts of an archive are compressed. PyTorch never does that, and
    compressed data may expand to any size."""
    with open(path, "rb") as file:
        if file.read(len(_ZIP)) != _ZIP:
            return  # the format before 2020
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
        raise ValueError("a compressed archive")


# -------------------------------------------------------------------------------------------- NumPy
class NpzArrays(Mapping[str, np.ndarray]):
    """The arrays of a .npz file, each read on access; shapes and types are checked first.

    Raises `AvbookError` for another file format, for arrays of objects, for arrays larger than
    their part of the file, and if all together are larger than weights can be."""

    def __init__(
        self,
        archive: zipfile.ZipFile,
        where: str,  # start of messages, such as the file
    ):
        self.archive, self.where = archive, where
        self.parts: dict[str, zipfile.ZipInfo] = {}
        numbers = 0
        for part in archive.infolist():
            name = part.filename.removesuffix(".npy")
            if name in self.parts:
                raise self._refusal(f"two arrays named {name[:100]!r}")
            self.parts[name] = part
            numbers += self._read(part, lambda file, part=part: _numbers_in(file, part))
        if numbers > MOST:
            raise self._refusal(f"{numbers:,} numbers; expected at most {MOST:,}")

    @classmethod
    def of_path(cls, path: str | os.PathLike) -> NpzArrays:
        """The arrays of a file."""
        check_regular(path)
        try:
            archive = zipfile.ZipFile(path)
        except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
            raise AvbookError(
                f"{path}: not a whole .npz file ({first_line(error)}); write it again with"
                " numpy.savez"
            ) from None
        return cls(archive, str(path))

    def __getitem__(self, name: str) -> np.ndarray:
        return self._read(self.parts[name], lambda file: npy.read_array(file, allow_pickle=False))

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def _read(self, part: zipfile.ZipInfo, read):
        try:
            with self.archive.open(part) as file:
                return read(file)
        except Exception as error:  # many types, depending on the broken byte
            raise self._refusal(f"{part.filename[:100]!r}: {first_line(error)}") from None

    def _refusal(self, told: str) -> AvbookError:
        return AvbookError(
            f"{self.where}: not a .npz file of weights ({told}); write it again with numpy.savez,"
            " one array per name"
        )


def _numbers_in(file, part: zipfile.ZipInfo) -> int:
    """The number of values in an array, by its header; ValueError if that is not its size."""
    version = npy.read_magic(file)
    if version not in _READERS:
        raise ValueError(f"version {version} of NumPy's format")
    shape, _, dtype = _READERS[version](file)
    if dtype.hasobject:
        raise ValueError("an array of objects, which is a pickle")
    count = math.prod(shape)
    if file.tell() + count * dtype.itemsize != part.file_size:
        raise ValueError(f"{shape} {dtype} in {part.file_size:,} bytes")
    return count
