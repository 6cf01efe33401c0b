"""Labels of AVE and LLP as arrays, made from the rows of their annotation files."""

from __future__ import annotations

import numpy as np

from avbook.data.annotations import AVEAnnotation, LLPSpan, LLPVideo
from avbook.data.events import AVE_CATEGORIES, LLP_CATEGORIES, SECONDS, ave_labels

__all__ = ["rebuilt_labels", "video_labels", "span_masks", "dense_labels"]


def rebuilt_labels(
    rows: list[AVEAnnotation],  # one per clip
    categories: tuple[str, ...] = AVE_CATEGORIES,  # C names
    seconds: int = SECONDS,  # T
) -> np.ndarray:
    """Segment labels (N, T, C+1), float32, one-hot with background last: the content of
    `labels.h5`."""
    return ave_labels(
        [categories.index(row.category) if row.onset < row.offset else 0 for row in rows],
        [row.onset for row in rows],
        [row.offset for row in rows],
        seconds,
        len(categories),
    )


def video_labels(
    videos: list[LLPVideo],  # n clips
    categories: tuple[str, ...] = LLP_CATEGORIES,  # C names
) -> np.ndarray:
    """Video labels (n, C), float32: 1 where the class is audible or visible anywhere in the
    clip."""
    labels = np.zeros((len(videos), len(categories)), np.float32)
    for row, video in enumerate(videos):
        labels[row, [categories.index(label) for label in video.labels]] = 1
    return labels


def span_masks(
    spans: list[LLPSpan],  # spans of one modality
    seconds: int = SECONDS,  # T
) -> dict[str, dict[str, np.ndarray]]:
    """Clip's name -> class -> (T,) bool, in the order of the spans and filled as in the released
    evaluation: onset included, offset not; empty and inverted spans mark nothing."""
    clips: dict[str, dict[str, np.ndarray]] = {}
    for span in spans:
        masks = clips.setdefault(span.name, {})
        mask = masks.setdefault(span.category, np.zeros(seconds, bool))
        mask[span.onset : span.offset] = True
    return clips


def dense_labels(
    spans: list[LLPSpan],  # spans of one modality
    names: list[str],  # requested clips, in order
    categories: tuple[str, ...] = LLP_CATEGORIES,  # C names
    seconds: int = SECONDS,  # T
) -> np.ndarray:
    """Segment labels (n, T, C), float32, of the requested clips; spans of other clips are
    ignored."""
    labels = np.zeros((len(names), seconds, len(categories)), np.float32)
    row_of = {name: row for row, name in enumerate(names)}
    for name, masks in span_masks(spans, seconds).items():
        if name in row_of:
            for category, mask in masks.items():
                labels[row_of[name], :, categories.index(category)] = mask
    return labels
