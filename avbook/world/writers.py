"""Writers of AVE's and LLP's official layouts: labels at once, features block by block."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from avbook.data.annotations import LIST_COLUMNS, SPAN_COLUMNS
from avbook.data.ave_files import BACKGROUND_LABELS, LABELS, MIL_LABELS, VIDEO_LABELS
from avbook.data.events import runs
from avbook.data.h5_writers import FeatureFile, write_h5
from avbook.data.spec import AVE_ORDER, AVE_SPEC, LLP_SPEC, find_spec
from avbook.world.clips import Clip, ave_truth

__all__ = ["FILES", "feature_shapes", "AveFiles", "LlpFiles"]


def feature_shapes(
    task: str,  # "ave" or "llp"
    dims: dict[str, int],  # from `world_dims`
) -> dict[str, tuple[int, ...]]:
    """The shape of each feature array of one clip."""
    lead = {feature.name: feature.shape for feature in find_spec(task).features}
    return {name: (*lead[name], dim) for name, dim in dims.items()}


class AveFiles:
    """The official files of AVE; features are filled in block by block."""

    def __init__(
        self,
        folder: Path,  # folder of the files
        clips: list[Clip],
        negatives: list[Clip],  # background clips, after the others in every block
        orders: Mapping[str, list[int]],  # split -> its row numbers
        dims: dict[str, int],  # from `world_dims`
    ):
        self.n = len(clips)
        self._write_labels(folder, clips, len(negatives))
        for split, order in orders.items():
            write_h5(folder / AVE_SPEC.split_files[split], np.asarray(order, np.int64), AVE_ORDER)
        lines = "".join(f"{_ave_row(clip)}\n" for clip in clips)
        (folder / AVE_SPEC.span_files["both"]).write_text(lines, encoding="utf-8")
        shapes = feature_shapes(AVE_SPEC.task, dims)
        self.clips: dict[str, FeatureFile] = {}
        self.background: dict[str, FeatureFile] = {}
        for feature in AVE_SPEC.features:
            shape = shapes[feature.name]
            for files, name, count in (
                (self.clips, feature.file, self.n),
                (self.background, feature.background_file, len(negatives)),
            ):
                files[feature.name] = FeatureFile(folder / name, (count, *shape))

    def _write_labels(self, folder, clips, negatives):
        """Writes the label files: of segments, of clips, and of the background clips."""
        labels = ave_truth(clips)  # (N, T, C+1)
        classes = labels.shape[-1]
        mil = np.zeros((len(clips), classes), np.float32)
        for row, clip in enumerate(clips):
            mil[row, :-1] = np.isin(AVE_SPEC.categories, clip.labels)
        background = np.zeros((negatives, classes), np.float32)
        background[:, -1] = 1
        write_h5(folder / LABELS[0], labels)
        write_h5(folder / VIDEO_LABELS, labels.mean(1))
        write_h5(folder / MIL_LABELS, mil)
        write_h5(folder / BACKGROUND_LABELS, background)

    def write(
        self,
        start: int,  # the first clip of the block
        block: dict[str, np.ndarray],  # name of the features -> (clips of the block, ...)
    ) -> None:
        """Writes the block's features into their files."""
        for name, array in block.items():
            cut = int(np.clip(self.n - start, 0, len(array)))  # first background clip in the block
            if cut:
                self.clips[name].write(start, array[:cut])
            if cut < len(array):
                self.background[name].write(max(start - self.n, 0), array[cut:])

    def close(self) -> None:
        """Closes the feature files."""
        for feature_file in (*self.clips.values(), *self.background.values()):
            feature_file.close()


def _ave_row(clip):
    onset, offset = (runs(clip.sources[0].event) or [(0, 0)])[0]
    return f"{clip.labels[0]}&{clip.id}&good&{onset}&{offset}"


class LlpFiles:
    """The official files of LLP, three arrays per video; spans of the training videos, which LLP
    does not have, go to files of their own."""

    def __init__(
        self,
        folder: Path,  # folder of the files
        clips: list[Clip],
        negatives: list[Clip],  # none: LLP has no background clips
        orders: Mapping[str, list[int]],  # not used: LLP's lists name their clips
        dims: dict[str, int],  # not used: each array has its own file
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
        """Does nothing: no file stays open."""


FILES = {"ave": AveFiles, "llp": LlpFiles}
