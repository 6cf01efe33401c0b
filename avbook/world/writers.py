"""Writers of the official layouts of AVE and LLP: labels and tables at once, features block by
block."""

from __future__ import annotations

import numpy as np

from avbook.data.annotations import AVE_ORDERS, LLP_LABELS, LLP_SPANS
from avbook.data.events import AVE_CATEGORIES, LLP_CATEGORIES, SECONDS, runs
from avbook.world.clips import ave_truth

__all__ = ["CATEGORIES", "FILES", "feature_shapes", "AveFiles", "LlpFiles"]

CATEGORIES = {"ave": AVE_CATEGORIES, "llp": LLP_CATEGORIES}


def feature_shapes(
    task: str,
    dims: dict[str, int],  # as `world_dims` gives them
) -> dict[str, tuple[int, ...]]:
    "The shape of each feature array of one clip."
    lead = {
        "audio": (SECONDS,),
        "visual": (SECONDS, 7, 7),
        "visual_2d": (8 * SECONDS,),
        "visual_3d": (SECONDS,),
    }
    return {name: (*lead[name], dim) for name, dim in dims.items()}


def _write_h5(path, array, name="avadataset"):
    import h5py

    with h5py.File(path, "w") as file:
        file[name] = array


class AveFiles:
    "The official files of AVE, features filled block by block."

    def __init__(self, folder, clips, negatives, orders, dims):
        import h5py

        self.n = len(clips)
        labels = ave_truth(clips)
        mil = np.stack([np.isin(AVE_CATEGORIES, clip.labels) for clip in clips])
        background = np.eye(labels.shape[-1], dtype=np.float32)[[-1] * len(negatives)]
        _write_h5(folder / "labels.h5", labels)
        _write_h5(folder / "prob_label.h5", labels.mean(1))
        _write_h5(folder / "mil_labels.h5", np.pad(mil, ((0, 0), (0, 1))).astype(np.float32))
        _write_h5(folder / "labels_noisy.h5", background.reshape(len(negatives), labels.shape[-1]))
        for split, order in orders.items():
            _write_h5(folder / AVE_ORDERS[split], np.asarray(order, np.int64), "order")
        (folder / "Annotations.txt").write_text(
            "".join(f"{_ave_row(clip)}\n" for clip in clips), encoding="utf-8"
        )
        self.files, self.sets = [], {}
        for name, shape in feature_shapes("ave", dims).items():
            for kind, count in (("", self.n), ("_noisy", len(negatives))):
                self.files.append(h5py.File(folder / f"{name}_feature{kind}.h5", "w"))
                chunks = (1, *shape) if count else None
                self.sets[name, kind] = self.files[-1].create_dataset(
                    "avadataset", (count, *shape), np.float32, chunks=chunks
                )

    def write(self, start, block):
        for name, array in block.items():
            cut = int(np.clip(self.n - start, 0, len(array)))
            if cut:
                self.sets[name, ""][start : start + cut] = array[:cut]
            if cut < len(array):
                begin = max(start - self.n, 0)
                self.sets[name, "_noisy"][begin : begin + len(array) - cut] = array[cut:]

    def close(self):
        for file in self.files:
            file.close()


def _ave_row(clip):
    onset, offset = (runs(clip.sources[0].event) or [(0, 0)])[0]
    return f"{clip.labels[0]}&{clip.id}&good&{onset}&{offset}"


class LlpFiles:
    "The official files of LLP, three arrays a video; spans of the training videos, which LLP has not, in files of their own."

    folders = {"audio": "vggish", "visual_2d": "res152", "visual_3d": "r2plus1d_18"}

    def __init__(self, folder, clips, negatives, orders, dims):
        self.folder, self.clips = folder, clips
        for name in self.folders.values():
            (folder / name).mkdir()
        for split, file in LLP_LABELS.items():
            rows = [
                f"{clip.file_name}\t{','.join(clip.labels)}"
                for clip in clips
                if clip.split == split
            ]
            self._table(file, "filename\tevent_labels", rows)
        for what, file in LLP_SPANS.items():
            for judged in (True, False):
                rows = [
                    row
                    for clip in clips
                    if (clip.split != "train") == judged
                    for row in _llp_rows(clip, what)
                ]
                self._table(
                    file if judged else file.replace("eval", "train"),
                    "filename\tonset\toffset\tevent_labels",
                    rows,
                )

    def _table(self, file, head, rows):
        (self.folder / file).write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")

    def write(self, start, block):
        for name, array in block.items():
            for clip, one in zip(self.clips[start:], array):
                np.save(
                    self.folder / self.folders[name] / f"{clip.id}.npy", one, allow_pickle=False
                )

    def close(self):
        pass


def _llp_rows(clip, what):
    rows = [
        (onset, offset, source.category)
        for source in clip.sources
        for onset, offset in runs(getattr(source, what))
    ]
    return [
        f"{clip.file_name}\t{onset}\t{offset}\t{label}" for onset, offset, label in sorted(rows)
    ]


FILES = {"ave": AveFiles, "llp": LlpFiles}
