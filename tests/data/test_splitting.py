"""Splits of own videos: seeded, stratified, every label in training, none of them empty."""

import itertools
import random

import pytest
from hypothesis import given, strategies as st

from avbook.data.splitting import check_shares, stratified_splits
from avbook.errors import AvbookError


def single(sizes):
    """Videos with one label each, so many of each; "" is none."""
    return {
        f"{name or 'quiet'}{i:03d}": {name} - {""} for name, n in sizes.items() for i in range(n)
    }


def sizes_of(splits):
    return {name: len(videos) for name, videos in splits.items()}


def test_each_split_gets_its_share_of_every_label():
    labels = single({"cat": 40, "dog": 20, "bird": 10, "": 30})
    splits = stratified_splits(labels, (0.7, 0.1, 0.2))
    assert sizes_of(splits) == {"train": 70, "val": 10, "test": 20}
    for name, n in (("cat", 40), ("dog", 20), ("bird", 10), ("quiet", 30)):
        for split, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
            found = sum(video.startswith(name) for video in splits[split])
            assert abs(found - share * n) <= 1, (name, split, found)


def test_rare_labels_do_not_add_up_to_a_split_of_another_size():
    """28 categories of four videos: rounding each for itself would leave val without any."""
    splits = stratified_splits(single({f"c{i:02d}": 4 for i in range(28)}))
    sizes = sizes_of(splits)
    assert abs(sizes["val"] - 11.2) < 3 and abs(sizes["test"] - 22.4) < 3, sizes
    assert len({video[:3] for video in splits["train"]}) == 28


def can_be_split(labels):
    """Whether any two videos with a label can be spared for val and test."""
    known = set().union(*labels.values())
    some = [video for video in labels if labels[video]]
    return any(
        set().union(*(labels[video] for video in some if video not in pair)) == known
        for pair in itertools.combinations(some, 2)
    )


@given(
    st.dictionaries(
        st.text("abcdefgh", min_size=1, max_size=4),
        st.sets(st.sampled_from("PQRSTU"), max_size=3),
        min_size=3,
        max_size=12,
    ),
    st.integers(0, 3),
    st.sampled_from([(0.7, 0.1, 0.2), (0.1, 0.1, 0.8), (0.34, 0.33, 0.33)]),
)
def test_every_label_is_in_train_and_no_split_is_without_one(labels, seed, shares):
    if not can_be_split(labels):
        with pytest.raises(AvbookError, match="too few to split"):
            stratified_splits(labels, shares, seed)
        return
    splits = stratified_splits(labels, shares, seed)
    assert sorted(v for some in splits.values() for v in some) == sorted(labels)
    known = set().union(*labels.values())
    assert set().union(*(labels[video] for video in splits["train"])) == known
    assert all(any(labels[video] for video in some) for some in splits.values())


def test_the_same_for_a_seed_in_whatever_order_and_another_for_another():
    labels = single({"cat": 9, "dog": 7, "": 4})
    mixed = list(labels.items())
    random.Random(3).shuffle(mixed)
    assert stratified_splits(dict(mixed)) == stratified_splits(labels)
    assert stratified_splits(labels, seed=1) != stratified_splits(labels)


def test_splits_of_this_seed_stay_as_they_are():
    """A run record names its data by their hash: other splits of the same labels orphan it."""
    assert stratified_splits(single({"cat": 4, "dog": 3}), seed=5) == {
        "train": ["cat000", "cat001", "cat003", "dog000", "dog001"],
        "val": ["cat002"],
        "test": ["dog002"],
    }


def test_videos_that_are_put_into_splits_stay_there():
    labels = {f"{label}{k}": {label} for label in "ab" for k in range(10)}
    drawn = stratified_splits(labels)
    moved = {drawn["train"][0]: "test", drawn["test"][0]: "val", drawn["train"][1]: "train"}
    splits = stratified_splits(labels, fixed=moved)
    assert all(video in splits[split] for video, split in moved.items())
    assert sizes_of(splits) == sizes_of(drawn)
    with pytest.raises(AvbookError, match="^no video with 'a' is in train"):
        stratified_splits(labels, fixed={f"a{k}": "test" for k in range(10)})
    with pytest.raises(AvbookError, match="^no video with an event is left for val"):
        stratified_splits(labels, fixed=dict.fromkeys(labels, "train") | {"a0": "test"})


def test_one_name_in_two_forms_of_unicode_draws_alike():
    forms = (
        {f"caf\u00e9{i}": {"x"} for i in range(9)},
        {f"cafe\u0301{i}": {"x"} for i in range(9)},
    )
    one, other = (stratified_splits(labels) for labels in forms)
    assert {s: [v[-1] for v in some] for s, some in one.items()} == {
        s: [v[-1] for v in some] for s, some in other.items()
    }


@pytest.mark.parametrize("sizes", [{"a": 1, "b": 1, "c": 1}, {"a": 2}, {"a": 1, "": 9}, {"": 9}])
def test_too_few_videos_to_judge_with(sizes):
    with pytest.raises(AvbookError, match="too few to split: every event needs a video"):
        stratified_splits(single(sizes))


@pytest.mark.parametrize("sizes", [{"a": 3}, {"a": 2, "b": 2}, {"a": 3, "b": 1, "": 1}])
def test_the_fewest_videos_that_do(sizes):
    splits = stratified_splits(single(sizes))
    assert all(any(not v.startswith("quiet") for v in some) for some in splits.values())


def test_two_videos_are_found_where_the_draw_leaves_none_to_spare():
    labels = {"v0": {"P", "Q"}, "v1": {"R"}, "v2": {"R", "S"}, "v3": {"P", "S"}}
    for seed in range(9):
        assert sizes_of(stratified_splits(labels, seed=seed)) == {"train": 2, "val": 1, "test": 1}


@pytest.mark.parametrize(
    "shares",
    [
        (0.7, 0.3),
        (0.7, 0.2, 0.2),
        (0.8, 0.2, 0),
        (1.2, -0.1, -0.1),
        ("a", "b", "c"),
        ("nan", "0.5", "0.5"),
        ("1e999999999", "0", "0"),
        (),
    ],
)
def test_shares_that_are_none(shares):
    with pytest.raises(AvbookError, match=r"expected three shares above 0 with sum 1"):
        check_shares(shares)


def test_shares_may_be_one_text():
    assert check_shares("0.6,0.2,0.2") == check_shares((0.6, 0.2, 0.2))


def test_shares_may_be_words_and_thirds():
    assert sum(check_shares(("0.7", " 0.1", ".2"))) == 1 == sum(check_shares([1 / 3] * 3))


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True])
def test_seeds_that_are_none(seed):
    with pytest.raises(AvbookError, match="expected a whole number from 0"):
        stratified_splits(single({"a": 5}), seed=seed)
