"""Events and labels undo each other, the class lists are the official ones, and nonsense is refused
in one line."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from avbook.data.events import (
    AVE_CATEGORIES,
    LLP_CATEGORIES,
    Event,
    all_runs,
    ave_events,
    ave_labels,
    class_index,
    draw,
    llp_events,
    llp_labels,
    masks,
    one_hot_index,
    runs,
)
from avbook.errors import AvbookError

masks_1d = arrays(bool, st.integers(1, 30))


@given(masks_1d)
def test_runs_are_maximal_and_rebuild_the_mask(mask):
    found, again = runs(mask), np.zeros_like(mask)
    for onset, offset in found:
        again[onset:offset] = True
        assert onset < offset
    assert np.array_equal(again, mask)
    assert all(
        later[0] > earlier[1] for earlier, later in zip(found, found[1:])
    )  # apart by at least one zero, and in order


@given(arrays(bool, array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=6)))
def test_all_runs_is_runs_row_by_row(mask):
    rows = mask.reshape(-1, mask.shape[-1])
    slow = [(r, *run) for r, row in enumerate(rows) for run in runs(row)]
    assert list(zip(*(values.tolist() for values in all_runs(mask)))) == slow


def test_a_run_counts_like_a_range():
    assert runs([1, 1, 0, 0, 1, 0]) == [(0, 2), (4, 5)]
    assert runs([0, 0]) == [] and runs([1, 1]) == [(0, 2)]
    row, onset, offset = all_runs([[0, 0, 1, 1, 0, 1], [0, 1, 1, 1, 0, 0]])
    assert (row.tolist(), onset.tolist(), offset.tolist()) == ([0, 0, 1], [2, 5, 1], [4, 6, 4])


@pytest.mark.parametrize("p", [0, 0.2, 0.5, 0.9, 1])
def test_random_rows_hold_as_many_runs_as_arithmetic_says(p):
    """A run starts where a one follows a zero: with probability p in the first second and p(1 - p)
    in each of the nine others."""
    mask = np.random.default_rng(0).random((4000, 10)) < p
    assert abs(len(all_runs(mask)[0]) / 4000 - (p + 9 * p * (1 - p))) < 0.1


@given(
    st.integers(1, 20).flatmap(
        lambda T: st.tuples(
            st.just(T),
            st.integers(0, T - 1).flatmap(lambda s: st.tuples(st.just(s), st.integers(s + 1, T))),
        )
    ),
    st.integers(1, 30).flatmap(lambda C: st.tuples(st.just(C), st.integers(0, C - 1))),
)
def test_ave_round_trip_from_the_event(span, category):
    (T, (onset, offset)), (C, c) = span, category
    names = [f"class {i}" for i in range(C)]
    labels = ave_labels(c, onset, offset, seconds=T, categories=C)
    assert labels.shape == (T, C + 1) and labels.dtype == np.float32 and (labels.sum(1) == 1).all()
    assert ave_events(labels, names) == [Event(names[c], onset, offset)]
    assert (labels[:, -1] == 0).sum() == offset - onset


@given(arrays(np.int64, st.integers(1, 15), elements=st.integers(0, 28)))
def test_ave_round_trip_from_any_prediction(index):
    events = ave_events(index)
    assert events == ave_events(np.eye(29)[index])
    again = np.full(len(index), 28)
    for event in events:
        again[event.onset : event.offset] = AVE_CATEGORIES.index(event.category)
    assert np.array_equal(again, index)


@given(st.tuples(st.integers(1, 12), st.integers(1, 25)).flatmap(lambda shape: arrays(bool, shape)))
def test_llp_round_trip_from_labels(labels):
    T, C = labels.shape
    events = llp_events(labels, LLP_CATEGORIES[:C])
    assert np.array_equal(
        llp_labels(events, LLP_CATEGORIES[:C], seconds=T), labels.astype(np.float32)
    )
    assert [event.onset for event in events] == sorted(event.onset for event in events)


@given(
    st.lists(
        st.tuples(st.sampled_from(LLP_CATEGORIES), st.integers(0, 9), st.integers(1, 10))
        .filter(lambda e: e[1] < e[2])
        .map(lambda e: Event(*e))
    )
)
def test_llp_labels_cover_what_the_events_cover(events):
    labels = llp_labels(events)
    for t in range(10):
        for c, name in enumerate(LLP_CATEGORIES):
            assert labels[t, c] == any(
                event.category == name and event.onset <= t < event.offset for event in events
            )
    merged = llp_events(labels)
    assert np.array_equal(llp_labels(merged), labels) and len(merged) <= len(events)
    assert set(masks(events)) == {event.category for event in events}


def test_events_of_one_class_that_touch_or_overlap_are_merged():
    assert llp_events(llp_labels([Event("Dog", 1, 4), Event("Dog", 3, 8)])) == [Event("Dog", 1, 8)]
    assert llp_events(llp_labels([Event("Dog", 1, 4), Event("Dog", 4, 8)])) == [Event("Dog", 1, 8)]


def test_a_prediction_may_hold_several_events():
    assert ave_events([28, 2, 2, 28, 18, 18, 18, 28, 28, 2]) == [
        Event("Bark", 1, 3),
        Event("Goat", 4, 7),
        Event("Bark", 9, 10),
    ]


def test_all_spans_of_all_categories_of_ave_come_back():
    for c, name in enumerate(AVE_CATEGORIES):
        for onset in range(10):
            for offset in range(onset + 1, 11):
                assert ave_events(ave_labels(c, onset, offset)) == [Event(name, onset, offset)]


def test_many_spans_at_once_are_single_spans_stacked():
    rng = np.random.default_rng(0)
    onset, length, category = (
        rng.integers(0, 10, 50),
        rng.integers(0, 4, 50),
        rng.integers(0, 28, 50),
    )
    offset = np.minimum(onset + length, 10)
    many = ave_labels(category, onset, offset)
    assert np.array_equal(
        many, np.stack([ave_labels(*row) for row in zip(category, onset, offset)])
    )
    assert np.array_equal(one_hot_index(many), many.argmax(-1))


def test_an_empty_span_is_background_throughout():
    assert (ave_labels(0, 0, 0).argmax(1) == 28).all() and ave_events(ave_labels(0, 0, 0)) == []
    assert (ave_labels(3, 7, 7).argmax(1) == 28).all()


def test_no_name_is_listed_twice():
    assert len(set(AVE_CATEGORIES)) == len(AVE_CATEGORIES) == 28
    assert len(set(LLP_CATEGORIES)) == len(LLP_CATEGORIES) == 25


def test_lists_are_the_official_ones(data_dir):
    assert (
        list(AVE_CATEGORIES) == json.loads((data_dir / "ave/stats_ave.json").read_text())["classes"]
    )
    assert (
        list(LLP_CATEGORIES) == json.loads((data_dir / "llp/stats_llp.json").read_text())["classes"]
    )
    first = dict.fromkeys(
        line.split("&")[0]
        for line in (data_dir / "ave/Annotations.txt").read_text(encoding="utf-8").splitlines()
        if line
    )
    assert tuple(first) == AVE_CATEGORIES


def test_encoded_annotations_equal_the_official_label_files(data_dir):
    import h5py

    rows = [
        line.split("&")
        for line in (data_dir / "ave/Annotations.txt").read_text(encoding="utf-8").splitlines()
        if line
    ]
    category = np.array([class_index(row[0], AVE_CATEGORIES) for row in rows])
    labels = ave_labels(
        category, np.array([int(row[3]) for row in rows]), np.array([int(row[4]) for row in rows])
    )
    with h5py.File(data_dir / "ave/mil_labels.h5") as file:
        assert np.array_equal(file["avadataset"][:].argmax(1), category)
    with h5py.File(data_dir / "ave/labels_closs.h5") as file:
        assert np.array_equal(file["avadataset"][:], 1 - labels[..., -1])
    assert np.array_equal(labels, np.load(data_dir / "ave/ave_labels_rebuilt.npz")["labels"])


def test_the_text_view():
    assert draw([Event("Dog", 2, 4), Event("Speech", 0, 10)], on="#", off=".").splitlines() == [
        "        0 1 2 3 4 5 6 7 8 9",
        "   Dog  ....####............",
        "Speech  ####################",
    ]
    assert draw({"x": np.array([1, 0, 1])}, on="#", off=".", width=1).splitlines() == [
        "   0 2",
        "x  #.#",
    ]
    assert draw([Event("a", 0, 1)], seconds=12).splitlines()[0].split() == [
        "0",
        "2",
        "4",
        "6",
        "8",
        "10",
    ]
    assert draw([]).split() == list("0123456789")


def test_an_event_is_frozen_and_sortable():
    event = Event("Dog", np.int64(2), 3.0)
    assert (event.onset, event.offset, event.seconds) == (2, 3, 1) and type(event.onset) is int
    assert (
        event == Event("Dog", 2, 3)
        and len({event, Event("Dog", 2, 3)}) == 1
        and Event("Cat", 5, 6) < event
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.onset = 0


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: Event("Dog", 3, 3), "expected onset < offset"),
        (lambda: Event("Dog", 5, 2), "onset 5 and offset 2"),
        (lambda: Event("Dog", -1, 2), "before its clip"),
        (lambda: Event("Dog", 0.5, 2), "whole number of seconds"),
        (lambda: Event("Dog", float("nan"), 2), "whole number of seconds"),
        (lambda: Event("Dog", "soon", 2), "whole number of seconds"),
        (lambda: Event("", 0, 2), "expected a class name"),
        (lambda: Event(None, 0, 2), "expected a class name"),
        (lambda: Event("Dog", 8, 11).within(10), "after its clip of 10 s"),
        (lambda: Event("Dgo", 0, 1).within(10, LLP_CATEGORIES), "did you mean 'Dog'?"),
        (lambda: llp_labels([Event("Dog", 8, 11)]), "after its clip"),
        (lambda: llp_labels([Event("Unheard of", 0, 1)]), "unknown category 'Unheard of'"),
        (lambda: llp_events(np.full((10, 25), 0.5)), "threshold probabilities first"),
        (lambda: llp_events(np.full((10, 25), np.nan)), "other values than 0 and 1"),
        (lambda: llp_events(np.zeros((25, 10))), "do not fit 25 classes"),
        (lambda: ave_events(np.zeros((10, 29))), "not one-hot"),
        (lambda: ave_events(np.full((10, 29), np.nan)), "not one-hot"),
        (lambda: ave_events(np.zeros((10, 28))), "background last"),
        (lambda: ave_events([0, 29]), "class indices in 0..28"),
        (lambda: ave_labels(28, 0, 1), "class index in 0..27"),
        (lambda: ave_labels(0, 4, 3), "expected onset <= offset"),
        (lambda: ave_labels(0, 4, 11), "inside the clip of 10 s"),
        (lambda: ave_labels([0, 0], [0, -2], [1, 2]), "row 1:"),
        (lambda: ave_labels(0, 0.5, 1), "whole number"),
        (lambda: ave_labels("Dog", 0, 1), "whole number"),
        (lambda: runs(np.zeros((2, 3))), "use all_runs()"),
        (lambda: draw({"a": np.zeros(3), "b": np.zeros(4)}), "of one length"),
    ],
)
def test_bad_input_is_one_clear_line(call, words):
    with pytest.raises(AvbookError) as error:
        call()
    assert words in str(error.value) and "\n" not in str(error.value)


def test_only_numpy_at_import():
    import subprocess
    import sys

    code = (
        "import sys, avbook.data.events; sys.exit(any(n in sys.modules for n in ('torch', 'pandas',"
        " 'scipy', 'h5py', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
