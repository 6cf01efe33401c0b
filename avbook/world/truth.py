"""Ground truth read off scripts: AVE's one class a second, LLP's audio and visual labels."""

import numpy as np

from avbook.data.annotations import known_class
from avbook.data.events import AVE_CATEGORIES, LLP_CATEGORIES, ave_labels, runs
from avbook.errors import AvbookError

__all__ = ["ave_truth", "llp_truth"]


def ave_truth(
    clips,  # AVE clips, all of the same length
    categories: tuple[str, ...] = AVE_CATEGORIES,
) -> np.ndarray:
    """Labels (N, T, C+1) float32, one-hot, background last: in an event's seconds one source is
    both heard and seen.

    Raises AvbookError if two sources have an event, or an event has a gap: AVE can express neither.
    """
    labels = []
    for clip in clips:
        events = [(s.category, run) for s in clip.sources for run in runs(s.event)]
        if len(events) > 1:
            names = ", ".join(name for name, _ in events)
            raise AvbookError(
                f"clip {clip.id}: {len(events)} events ({names}); an AVE clip has at most one"
            )
        name, (onset, offset) = events[0] if events else (categories[0], (0, 0))
        c = known_class(name, categories, f"clip {clip.id}")
        labels.append(ave_labels(c, onset, offset, clip.seconds, len(categories)))
    return np.stack(labels)


def llp_truth(
    clips,  # LLP clips, all of the same length
    categories: tuple[str, ...] = LLP_CATEGORIES,
) -> tuple[np.ndarray, np.ndarray]:
    """Audio labels and visual labels, each (N, T, C) float32: which classes are heard, and which
    are seen, in each second."""
    audio = np.zeros((len(clips), clips[0].seconds, len(categories)), np.float32)
    visual = np.zeros_like(audio)
    for n, clip in enumerate(clips):
        for source in clip.sources:
            c = known_class(source.category, categories, f"clip {clip.id}")
            audio[n, source.heard, c] = 1
            visual[n, source.seen, c] = 1
    return audio, visual
