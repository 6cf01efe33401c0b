"""Packs at a URL: their small files are copied to the cache, their features are read remotely.

Any protocol of fsspec works: https://, s3://, gs://, sftp://, memory://, … Only the requested rows
of the features are read, all rows of a batch in one call."""

from __future__ import annotations

import hashlib
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from avbook.common.files import checksum, write_bytes, write_text
from avbook.common.messages import one_line
from avbook.common.schema import Schema, read_json
from avbook.common.system import cache_folder, lock
from avbook.data.description import PACK_FILE, read_manifest
from avbook.data.npy_files import NpyHeader, parse_header
from avbook.data.stores import ArrayStore, row_numbers
from avbook.errors import AvbookError

__all__ = ["is_remote", "local_folder", "remote_array", "RemoteStore"]

REMOTE_FILE = "remote.json"  # in a cache folder: URL of the features
HEADER_BYTES = 4096  # more than the header of a .npy file has


class _Remote(Schema):
    url: str


def is_remote(
    where,  # a folder, or a URL
) -> bool:
    """Whether it is a URL."""
    return isinstance(where, str) and "://" in where


def local_folder(
    where,  # a folder, or the URL of a pack
) -> Path:
    """The folder itself; for a pack at a URL a cache folder with its small files, from which
    `remote_array` finds the features. The files are compared with their checksums.

    Raises `AvbookError` if there is no pack, or the protocol's package is not installed."""
    if not is_remote(where):
        return Path(where)
    url = str(where).rstrip("/")
    folder = cache_folder() / "remote" / hashlib.sha256(url.encode()).hexdigest()[:16]
    with lock(folder.with_name(f".{folder.name}.lock")):
        _copy(url, folder)
    return folder


def _copy(url: str, folder: Path) -> None:
    """Updates the small files of the pack."""
    told = _fetch(f"{url}/{PACK_FILE}", "expected the URL of a pack: `avbook data pack` makes one")
    if not _same(folder / PACK_FILE, told):
        write_bytes(folder / PACK_FILE, told)
    manifest = read_manifest(folder) or {}
    for name, entry in manifest["files"].items():
        path = folder / name
        if path.is_file() and checksum(path) == entry["crc32"]:
            continue
        write_bytes(path, _fetch(f"{url}/{name}", "copy the whole pack there"))
    write_text(folder / REMOTE_FILE, json.dumps({"url": url}) + "\n")


def _same(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _fetch(url: str, advice: str) -> bytes:
    files, path = _filesystem(url)
    try:
        return files.cat_file(path)
    except Exception as error:  # each protocol has exceptions of its own
        raise AvbookError(f"{url}: cannot be read ({_told(error)}); {advice}") from error


def _filesystem(url: str) -> tuple[Any, str]:
    """The file system of the URL, and the path in it; AvbookError if its package is missing."""
    import fsspec

    try:
        return fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise AvbookError(
            f"{url}: cannot be opened ({_told(error)}); install the package that fsspec needs for"
            " this protocol, or give a folder"
        ) from error


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error, 200)}"


# --------------------------------------------------------------------------------------- features
def remote_array(
    folder: Path,  # as returned by `local_folder`
    name: str,  # name of an array of the pack
) -> RemoteStore | None:
    """The array as a store; None if the folder itself holds its features."""
    path = Path(folder) / REMOTE_FILE
    if not path.is_file():
        return None
    url = read_json(path, _Remote, "where a pack lies", f"remove {folder}")["url"]
    return RemoteStore.open(f"{url}/{name}")


class _Url(str):
    """A URL where messages expect a path."""

    @property
    def name(self) -> str:
        return self.rsplit("/", 1)[-1]


class RemoteStore(ArrayStore):
    """Rows of a .npy file at a URL. Each requested row is read once, neighbouring rows together,
    all in one call, which protocols such as https and s3 answer in parallel."""

    def __init__(self, url: str, header: NpyHeader):
        self.path: Any = _Url(url)
        self.shape, self.dtype, self.offset = header.shape, header.dtype, header.offset

    @classmethod
    def open(cls, url: str) -> RemoteStore:
        """The array at the URL; raises `AvbookError` if it is not a .npy file or is cut short."""
        files, path = _filesystem(url)
        try:
            size = files.info(path)["size"]
            start = files.cat_file(path, 0, min(HEADER_BYTES, size))
        except Exception as error:
            raise AvbookError(
                f"{url}: cannot be read ({_told(error)}); copy the whole pack there"
            ) from error
        return cls(url, parse_header(url, BytesIO(start), size))

    def source_stamp(self) -> tuple[object, int]:
        files, path = _filesystem(self.path)
        return [str(self.path), files.ukey(path)], 0

    def _bytes(self, start: int, stop: int) -> tuple[int, int]:
        return self.offset + start * self.row_bytes, self.offset + stop * self.row_bytes

    def _array(self, data: bytes, rows: int) -> np.ndarray:
        if len(data) != rows * self.row_bytes:
            raise AvbookError(
                f"{self.path}: {len(data):,} of {rows * self.row_bytes:,} bytes arrived; it was cut"
                " short after it was opened: copy the pack there again"
            )
        return np.frombuffer(bytearray(data), self.dtype).reshape(rows, *self.shape[1:])

    def _run(self, source, start: int, stop: int) -> np.ndarray:
        files, path = _filesystem(self.path)
        try:
            data = files.cat_file(path, *self._bytes(start, stop))
        except Exception as error:
            raise self._lost(error) from error
        return self._array(data, stop - start)

    def _lost(self, error: Exception) -> AvbookError:
        return AvbookError(
            f"{self.path}: cannot be read ({_told(error)}); check the network, the same command"
            " continues"
        )

    def read(self, indices):
        import torch

        rows = row_numbers(indices, len(self))
        out = torch.empty((len(rows), *self.shape[1:]), dtype=torch.float32)
        if not len(rows):
            return out
        order = np.argsort(rows, kind="stable")
        ranked = rows[order]
        distinct = np.unique(ranked)
        runs = np.split(distinct, np.flatnonzero(np.diff(distinct) > 1) + 1)
        files, path = _filesystem(self.path)
        spans = [self._bytes(int(run[0]), int(run[-1]) + 1) for run in runs]
        starts, stops = zip(*spans)
        try:
            found = files.cat_ranges([path] * len(runs), list(starts), list(stops))
        except Exception as error:
            raise self._lost(error) from error
        for run, data in zip(runs, found):
            if isinstance(data, Exception):
                raise self._lost(data) from data
            block = torch.from_numpy(self._array(data, len(run)))
            low, high = np.searchsorted(ranked, (run[0], run[-1] + 1))
            for at, row in zip(order[low:high], ranked[low:high] - run[0]):
                out[at] = block[row]  # converts to float32 as it copies
        return out
