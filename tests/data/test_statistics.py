"""What lists of labels hide, counted: by hand on one clip, and again from the real files."""

import json

import numpy as np
import pytest

from avbook.data.events import LLP_CATEGORIES
from avbook.data.statistics import LLP_COUNTS, SPAN_COUNTS, count_spans
from avbook.world.clips import Clip, Source, llp_truth, read_scripts, sample_scripts

FIELDS = (
    "labels",
    "seconds",
    "unlisted",
    "lengths_audio",
    "lengths_visual",
    "starts",
    "ends",
    "matched",
)


def seconds(*spans):
    on = np.zeros(10, bool)
    for start, stop in spans:
        on[start:stop] = True
    return on


def test_one_clip_by_hand():
    sources = (
        Source("Dog", seconds((2, 5), (7, 8)), seconds((1, 5))),
        Source("Car", seconds(), seconds((0, 10))),
        Source("Cat", seconds((4, 6)), seconds()),
    )
    clip = Clip("aaaaaaaaaaa", sources, labels=("Dog", "Car", "Goat"))
    found = count_spans([clip], ("Dog", "Car", "Cat", "Goat"))
    assert found["videos"] == 1
    assert found["labels"] == [[0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    assert found["seconds"] == [[1, 1, 3, 5], [0, 10, 0, 0], [0, 0, 0, 0], [0, 0, 0, 10]]
    assert found["unlisted"] == [0, 0, 1, 0]
    assert {length: n for length, n in enumerate(found["lengths_audio"]) if n} == {1: 1, 2: 1, 3: 1}
    assert {length: n for length, n in enumerate(found["lengths_visual"]) if n} == {4: 1, 10: 1}
    assert {at - 9: n for at, n in enumerate(found["starts"]) if n} == {
        -1: 1
    }  # in view one second before it is heard
    assert {at - 9: n for at, n in enumerate(found["ends"]) if n} == {-3: 1}
    assert found["matched"] == [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_counts_of_sampled_clips_agree_with_their_truth():
    clips = sample_scripts("llp", 200, 3)
    found = {name: np.array(table) for name, table in count_spans(clips, LLP_CATEGORIES).items()}
    heard, seen = (labels.astype(bool) for labels in llp_truth(clips))
    assert not found["unlisted"].any() and not found["labels"][:, 3].any()
    assert found["labels"][:, 2].tolist() == (heard.any(1) & seen.any(1)).sum(0).tolist()
    for column, mask in enumerate((heard & ~seen, seen & ~heard, heard & seen)):
        assert found["seconds"][:, column].tolist() == mask.sum((0, 1)).tolist()
    assert (found["lengths_audio"] * np.arange(11)).sum() == heard.sum()
    assert (
        found["starts"].sum()
        == found["ends"].sum()
        == found["matched"][:, 0].sum()
        == found["labels"][:, 2].sum()
    )


def test_the_stored_counts_agree_with_those_the_samplers_follow():
    both = np.array(LLP_COUNTS["modality"])[:, 2]
    assert np.array(SPAN_COUNTS["matched"])[:, 0].tolist() == both.tolist()
    assert SPAN_COUNTS["videos"] == sum(row[0] for row in LLP_COUNTS["labels_judged"])
    same = (
        np.array(LLP_COUNTS["same"]) + np.array(LLP_COUNTS["both"])[:, 0]
    )  # equal and partial, or both from end to end
    assert np.array(SPAN_COUNTS["matched"])[:, 3].tolist() == same.tolist()


def test_the_stored_counts_are_those_of_the_files(data_dir):
    clips = [clip for clip in read_scripts("llp", data_dir / "llp") if clip.split != "train"]
    assert count_spans(clips, LLP_CATEGORIES) == SPAN_COUNTS
    stats = json.loads((data_dir / "llp" / "stats_llp.json").read_text())["eval"]["val+test"]
    for track in ("audio", "visual"):
        assert SPAN_COUNTS[f"lengths_{track}"] == stats[track]["duration_hist_0..10"]
    disagree = stats["union_dense_vs_weak"]
    assert np.sum(SPAN_COUNTS["unlisted"]) == disagree["dense_not_weak_pairs"]
    assert np.sum(SPAN_COUNTS["labels"], 0)[3] == disagree["weak_not_dense_pairs"]


@pytest.mark.parametrize("field", FIELDS)
def test_every_table_has_the_shape_it_says(field):
    shape = {
        "labels": (25, 4),
        "seconds": (25, 4),
        "matched": (25, 4),
        "unlisted": (25,),
        "starts": (19,),
        "ends": (19,),
    }.get(field, (11,))
    assert np.shape(SPAN_COUNTS[field]) == shape
