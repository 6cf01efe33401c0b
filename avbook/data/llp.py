"""The LLP data set: official files or a pack of them, checked, then served in batches."""

from __future__ import annotations

import numpy as np

from avbook.data.base import Dataset, Split
from avbook.data.llp_files import check_llp
from avbook.data.remote import local_folder
from avbook.data.spec import LLP_SPEC
from avbook.data.validation import ValidationReport

__all__ = ["LLPSplit", "LLP"]


class LLPSplit(Split):
    """A split of LLP: batches of audio (B, T, da), visual_2d (B, 8T, d2), visual_3d (B, T, d3),
    video_labels (B, C) and, where they are known, audio_labels and visual_labels (B, T, C)."""

    @property
    def video_labels(self) -> np.ndarray:
        """1 where the class is heard or seen anywhere in the clip, (N, C)."""
        return self.arrays["video_labels"]

    @property
    def audio_labels(self) -> np.ndarray | None:
        """1 where the class is heard in the segment, (N, T, C); None where that is not known."""
        return self.arrays.get("audio_labels")

    @property
    def visual_labels(self) -> np.ndarray | None:
        """1 where the class is seen in the segment, (N, T, C); None where that is not known."""
        return self.arrays.get("visual_labels")


class LLP(Dataset):
    """LLP, or any data in its layout, from official files or a pack: `.categories`, `.train`,
    `.val`, `.test`.

    Everything is checked before anything is loaded; `AvbookError` names the first fault."""

    split_type = LLPSplit
    spec = LLP_SPEC

    def __init__(
        self,
        folder,  # where the files are, or the URL of a pack
        # features up to this size are held in memory, larger ones are read when asked for
        cache_mb: float = 600,
    ):
        self.folder = local_folder(folder)
        report = ValidationReport(self.folder)
        tables = check_llp(report)
        self.stores = self._hold(report, tables.description, tables.stores, cache_mb)
        dense = [labels for split in tables.dense.values() for labels in split.values()]
        labels = [array.astype(np.uint8) for array in [*tables.video_labels.values(), *dense]]
        names = [np.array(names) for names in tables.names.values()]
        self._keep(tables.description, [*labels, *names], tables.stores, tables.scans)
        start = 0  # rows are numbered through the three lists, train first
        for name, clips in tables.names.items():
            rows = np.arange(start, start + len(clips))
            start += len(clips)
            arrays = {"video_labels": tables.video_labels[name]}
            for modality, known in tables.dense.get(name, {}).items():
                arrays[f"{modality}_labels"] = known
            setattr(self, name, LLPSplit(name, tables.ids(name), rows, self.stores, arrays))
        self._keep_splits()
