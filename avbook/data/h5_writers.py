"""HDF5 files of AVE's layout, written: a small array at once, features row by row.

HDF5 crashes Python at exit if one of its own writes has failed, as on a full disk. Therefore it
writes to memory, or only the header of a file; everything larger is written by Python."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np

from avbook.data.spec import AVE_DATASET

__all__ = ["write_h5", "FeatureFile"]

HEADER = 4096  # bytes: more than HDF5 writes besides the dataset


def write_h5(
    path: Path,
    array,  # labels, or row numbers
    name: str = AVE_DATASET,  # name of the dataset
) -> None:
    """Writes the array as an h5 file with reproducible bytes; raises OSError as Python's own
    writing does."""
    import h5py

    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        file[name] = array
    path.write_bytes(image.getvalue())


class FeatureFile:
    """An h5 file with one dataset of float32, whose rows are written where HDF5 expects them."""

    def __init__(
        self,
        path: Path,
        shape: tuple[int, ...],  # (clips, …)
    ):
        import h5py

        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        plan.set_obj_track_times(False)  # no times: reproducible bytes
        with path.open("wb") as place:  # Python's message for a full disk is clearer than HDF5's
            place.truncate(4 * math.prod(shape) + HEADER)
        with h5py.File(path, "w") as file:
            space = h5py.h5s.create_simple(shape)
            made = h5py.h5d.create(file.id, AVE_DATASET.encode(), h5py.h5t.IEEE_F32LE, space, plan)
            self.offset = made.get_offset()
        self.row_bytes = 4 * math.prod(shape[1:])
        self.file = path.open("r+b", buffering=0)

    def write(
        self,
        start: int,  # the first row
        rows: np.ndarray,
    ) -> None:
        """Writes the rows from row `start` on."""
        data = memoryview(np.ascontiguousarray(rows, "<f4")).cast("B")
        self.file.seek(self.offset + start * self.row_bytes)
        while data:
            data = data[self.file.write(data) :]

    def close(self) -> None:
        """Closes the file."""
        self.file.close()
