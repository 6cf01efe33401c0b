"""Writers of AVE's and LLP's official layouts: labels at once, features block by block."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from avbook.data.annotations import LIST_COLUMNS, SPAN_COLUMNS
from avbook.data.ave_files import BACKGROUND_LABELS, LABELS, MIL_LABELS, VIDEO_LABELS
from avbook.data.events import runs
from avbook.data.h5_files import write_h5
from avbook.data.spec import AVE_DATASET, AVE_ORDER, AVE_SPEC, LLP_SPEC, find_spec
from avbook.world.clips import Clip, ave_truth

__all__ = ["FILES", "feature_shapes", "AveFiles", "LlpFiles"]


def feature_shapes(
    task: str,  # "ave" or "llp"
    dims: dict[str, int],  # as `world_dims` gives them
) -> dict[str, tuple[int, ...]]:
    """The shape of each feature array of one clip."""
    lead = {feature.name: feature.shape for feature in find_spec(task).features}
    return {name: (*lead[name], dim) for name, dim in dims.items()}


# as in `write_h5`, HDF5 writes only the header of a file
HEADER = 4096  # bytes: more than HDF5 writes beside the one dataset


class _FeatureFile:
    """An h5 file with one dataset of float32, whose rows are put where HDF5 will look for them."""

    def __init__(self, path: Path, shape: tuple[int, ...]):
        import h5py

        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        plan.set_obj_track_times(False)  # the same bytes at any time
        with path.open("wb") as place:  # where there is no room HDF5 would say so less well
            place.truncate(4 * math.prod(shape) + HEADER)
        with h5py.File(path, "w") as file:
            space = h5py.h5s.create_simple(shape)
            made = h5py.h5d.create(file.id, AVE_DATASET.encode(), h5py.h5t.IEEE_F32LE, space, plan)
            self.offset = made.get_offset()
        self.row_bytes = 4 * math.prod(shape[1:])
        self.file = path.open("r+b", buffering=0)

    def write(self, start: int, rows: np.ndarray) -> None:
        """Puts the rows behind the first `start`."""
        data = memoryview(np.ascontiguousarray(rows, "<f4")).cast("B")
        self.file.seek(self.offset + start * self.row_bytes)
        while data:
            data = data[self.file.write(data) :]


class AveFiles:
    """The official files of AVE, features filled block by block."""

    def __init__(
        self,
        folder: Path,  # where the files go
        clips: list[Clip],
        negatives: list[Clip],  # background clips, behind the others in every block
        orders: Mapping[str, list[int]],  # split -> its row numbers
        dims: dict[str, int],  # as `world_dims` gives them
    ):
        self.n = len(clips)
        self._write_labels(folder, clips, len(negatives))
        for split, order in orders.items():
            write_h5(folder / AVE_SPEC.split_files[split], np.asarray(order, np.int64), AVE_ORDER)
        lines = "".join(f"{_ave_row(clip)}\n" for clip in clips)
        (folder / AVE_SPEC.span_files["both"]).write_text(lines, encoding="utf-8")
        shapes = feature_shapes(AVE_SPEC.task, dims)
        self.clips: dict[str, _FeatureFile] = {}
        self.background: dict[str, _FeatureFile] = {}
        for feature in AVE_SPEC.features:
            shape = shapes[feature.name]
            for files, name, count in (
                (self.clips, feature.file, self.n),
                (self.background, feature.background_file, len(negatives)),
            ):
                files[feature.name] = _FeatureFile(folder / name, (count, *shape))

    def _write_labels(self, folder, clips, negatives):
        """The label files: of segments, of clips, and of as many background clips."""
        labels = ave_truth(clips)  # (N, T, C+1)
        classes = labels.shape[-1]
        mil = np.zeros((len(clips), classes), np.float32)
        for row, clip in enumerate(clips):
            mil[row, :-1] = np.isin(AVE_SPEC.categories, clip.labels)
        background = np.zeros((negatives, classes), np.float32)
        background[:, -1] = 1
        write_h5(folder / LABELS[0], labels, AVE_DATASET)
        write_h5(folder / VIDEO_LABELS, labels.mean(1), AVE_DATASET)
        write_h5(folder / MIL_LABELS, mil, AVE_DATASET)
        write_h5(folder / BACKGROUND_LABELS, background, AVE_DATASET)

    def write(
        self,
        start: int,  # the first clip of the block
        block: dict[str, np.ndarray],  # name of the features -> (clips of the block, ...)
    ) -> None:
        """Puts the block's features into their files."""
        for name, array in block.items():
            cut = int(np.clip(self.n - start, 0, len(array)))  # the background clips begin here
            if cut:
                self.clips[name].write(start, array[:cut])
            if cut < len(array):
                self.background[name].write(max(start - self.n, 0), array[cut:])

    def close(self) -> None:
        """Closes the feature files."""
        for feature_file in (*self.clips.values(), *self.background.values()):
            feature_file.file.close()


def _ave_row(clip):
    onset, offset = (runs(clip.sources[0].event) or [(0, 0)])[0]
    return f"{clip.labels[0]}&{clip.id}&good&{onset}&{offset}"


class LlpFiles:
    """The official files of LLP, three arrays a video; spans of the training videos, which LLP has
    not, in files of their own."""

    def __init__(
        self,
        folder: Path,  # where the files go
        clips: list[Clip],
        negatives: list[Clip],  # none: LLP has no background clips
        orders: Mapping[str, list[int]],  # not used: a list of LLP's names its clips
        dims: dict[str, int],  # not used: each array is a file of its own
    ):
        self.folder, self.clips = folder, clips
        self.folders = LLP_SPEC.feature_files
        for name in self.folders.values():
            (folder / name).mkdir()
        for split, file in LLP_SPEC.split_files.items():
            some = [clip for clip in clips if clip.split == split]
            rows = [(clip.file_name, ",".join(clip.labels or ())) for clip in some]
            self._write_table(file, LIST_COLUMNS, rows)
        train = [clip for clip in clips if clip.split == "train"]
        judged = [clip for clip in clips if clip.split != "train"]
        for modality, what in (("audio", "heard"), ("visual", "seen")):
            self._write_spans(LLP_SPEC.span_files[modality], judged, what)
            self._write_spans(LLP_SPEC.train_span_files[modality], train, what)

    def _write_spans(self, file, clips, what):
        rows = []
        for clip in clips:
            spans = [
                (onset, offset, source.category)
                for source in clip.sources
                for onset, offset in runs(getattr(source, what))
            ]
            rows += [(clip.file_name, *span) for span in sorted(spans)]
        self._write_table(file, SPAN_COLUMNS, rows)

    def _write_table(self, file, columns, rows):
        lines = ["\t".join(map(str, row)) for row in [columns, *rows]]
        (self.folder / file).write_text("\n".join(lines) + "\n", encoding="utf-8")

    def write(
        self,
        start: int,  # the first clip of the block
        block: dict[str, np.ndarray],  # name of the features -> (clips of the block, ...)
    ) -> None:
        """Writes the block's features, one file per clip and kind."""
        for name, array in block.items():
            for clip, one in zip(self.clips[start:], array):
                path = self.folder / self.folders[name] / f"{clip.id}.npy"
                np.save(path, one, allow_pickle=False)

    def close(self) -> None:
        """Nothing: no file stays open."""


FILES = {"ave": AveFiles, "llp": LlpFiles}
