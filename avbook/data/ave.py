"""The AVE dataset: the official files read and checked, three splits, batches of tensors."""

from __future__ import annotations

import numpy as np

from avbook.data.ave_files import AVETables, check_ave, needs_background
from avbook.data.base import Dataset, Split
from avbook.data.cache import JoinedStore
from avbook.data.remote import local_folder
from avbook.data.spec import AVE_SPEC
from avbook.data.validation import ValidationReport

__all__ = ["AVESplit", "split_rows", "AVE"]


class AVESplit(Split):
    """A split of AVE: batches of audio (B, T, da), visual (B, T, H, W, dv), labels (B, T, C+1) and
    video_labels (B, C+1)."""

    @property
    def labels(self) -> np.ndarray:
        """One-hot segment labels (N, T, C+1), background last."""
        return self.arrays["labels"]

    @property
    def video_labels(self) -> np.ndarray:
        """For each clip the share of its segments in each class (N, C+1): the official
        `prob_label.h5`."""
        return self.arrays["video_labels"]


def split_rows(
    tables: AVETables,  # a folder's labels, ids and orders
    weak: bool = False,  # append the background clips to train
    drop_shared: bool = False,  # leave train clips out whose video is in val or test too
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """ids (M,), labels (M, T, C+1) of all clips, background clips last, and the rows of each
    split."""
    ids, labels, orders = tables.ids, tables.labels, dict(tables.orders)
    if drop_shared:
        held_out = ids[np.concatenate([orders["val"], orders["test"]])]
        orders["train"] = orders["train"][~np.isin(ids[orders["train"]], held_out)]
    if weak:
        extra = np.arange(len(tables.background))
        orders["train"] = np.concatenate([orders["train"], len(ids) + extra])
        ids = np.concatenate([ids, [f"backgr-{number:04d}" for number in extra]])
        labels = np.concatenate([labels, tables.background])
    return ids, labels, orders


class AVE(Dataset):
    """The AVE dataset, or any data in its layout: `.categories`, `.train`, `.val`, `.test`, from
    official files or a pack.

    Everything is checked before anything is loaded; `AvbookError` names the first fault."""

    split_type = AVESplit
    spec = AVE_SPEC

    def __init__(
        self,
        folder,  # where the files are, or the URL of a pack
        # append the background clips to train, as the released weak training does
        weak: bool = False,
        drop_shared: bool = False,  # leave clips out of train whose video has clips in val or test
        # features up to this size are held in memory, larger ones are read from disk when needed
        cache_mb: float = 600,
    ):
        self.folder = local_folder(folder)
        self.weak, self.drop_shared = weak, drop_shared
        report = ValidationReport(self.folder)
        tables = check_ave(report)
        if weak and not report.errors():
            needs_background(report, tables)
        wanted = [*self.spec.feature_files]
        if weak:
            wanted += self.spec.background_files
        found = {name: tables.stores[name] for name in wanted if name in tables.stores}
        self.stores = self._hold(report, tables.description, found, cache_mb)
        if weak and not tables.no_background:
            self.stores = {
                name: JoinedStore(self.stores[name], self.stores[f"background_{name}"])
                for name in self.spec.feature_files
            }
        contents = [tables.labels.astype(np.uint8), tables.background.astype(np.uint8)]
        contents += [tables.ids, *tables.orders.values()]
        options = ["drop_shared"] if drop_shared else []
        self._keep(tables.description, contents, tables.stores, tables.scans, options)
        contents.clear()  # of a hundred thousand clips they are large
        ids, labels, orders = split_rows(tables, weak, drop_shared)
        for name, rows in orders.items():
            own = labels[rows]  # (n, T, C+1)
            arrays = {"labels": own, "video_labels": own.mean(1)}
            setattr(self, name, AVESplit(name, ids[rows], rows, self.stores, arrays))
        self._keep_splits()
