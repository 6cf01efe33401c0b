"""Label refinement by exchange: the released code's removed labels (golden arrays), its rules, and
what it costs."""

import numpy as np
import pytest
import torch
from han_batches import random_batch, small
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays as array_of

from avbook.data.base import Split
from avbook.data.llp import LLPSplit
from avbook.errors import AvbookError
from avbook.experiments.released import load_released
from avbook.parsing.han import HAN
from avbook.parsing.ma import MA, MAMethod
from avbook.parsing.refinement import (
    Refinement,
    category_errors,
    clip_probabilities,
    confidence,
    encode_all,
    filter_labels,
    load_refinement,
    refine,
    refinement_scores,
    sample_partners,
    save_refinement,
    with_targets,
)
from avbook.training.loop import fit

NAMES = {
    "audio": "a",
    "visual": "v",
    "p_a_v": "v_a",
    "p_a_a": "a_a",
    "p_v_v": "v_v",
    "p_v_a": "a_v",
}  # ours: theirs


class Rows:
    """A split of whatever tensors it is given."""

    def __init__(self, **tensors):
        self.tensors, self.ids = (
            tensors,
            np.array([f"video{i:06d}" for i in range(len(tensors["audio"]))]),
        )
        self.video_labels, self.asked = tensors["video_labels"].numpy(), []

    def __len__(self):
        return len(self.ids)

    def batch(self, indices):
        self.asked += list(indices)
        return {name: tensor[list(indices)] for name, tensor in self.tensors.items()}


# ------------------------------------------------------------------------------------------- golden
@pytest.fixture(scope="module")
def golden(golden_dir):
    with (
        np.load(golden_dir / "ma_refine.npz") as file,
        np.load(golden_dir / "han_ma.npz") as weights,
    ):
        return {key: file[key] for key in file} | {
            key: weights[key] for key in weights if key.startswith("sd/")
        }


def relative(accuracies):
    return (1 - accuracies) / (1 - accuracies).max()


def removed(labels, kept, rows):
    video, category = np.nonzero((labels > 0) & ~kept)
    return sorted((int(c), int(rows[i])) for i, c in zip(video, category))


def test_the_rule(golden):
    labels = golden["pure/label"]
    errors = {name: category_errors(golden[f"pure/{name}"], labels) for name in "av"}
    for name in "av":
        np.testing.assert_allclose(errors[name], relative(golden[f"pure/{name}_accs"]), atol=1e-6)
    visual = filter_labels(labels, golden["pure/v_a"], golden["pure/a_a"], errors["v"])
    audio = filter_labels(labels, golden["pure/a_v"], golden["pure/v_v"], errors["a"])
    assert removed(labels, visual, golden["pure/idx"]) == sorted(
        map(tuple, golden["pure/removed_v_class_idx"].tolist())
    )
    assert removed(labels, audio, golden["pure/idx"]) == sorted(
        map(tuple, golden["pure/removed_a_class_idx"].tolist())
    )
    assert removed(labels, visual, golden["pure/idx"]) and removed(
        labels, audio, golden["pure/idx"]
    )


@pytest.mark.parametrize("average", ["before", "after"])
@pytest.mark.parametrize("kind", ["han", "ma"])
def test_from_features_to_removed_labels(golden, kind, average):
    net = load_released(kind, golden)
    net.projection.average = average
    split = Rows(
        audio=torch.from_numpy(golden["e2e/audio"]),
        visual_2d=torch.from_numpy(golden["e2e/res152"]),
        visual_3d=torch.from_numpy(golden["e2e/st"]),
        video_labels=torch.from_numpy(golden["e2e/label"]),
    )
    found = refine(
        net, split, [f"class{c}" for c in range(25)], partners=golden["e2e/partner"], batch_size=4
    )
    for ours, theirs in NAMES.items():
        np.testing.assert_allclose(
            found.probabilities[ours][golden["e2e/order"]], golden["e2e/" + theirs], atol=1e-5
        )
    for name, short in (("visual", "v"), ("audio", "a")):
        np.testing.assert_allclose(
            found.errors[name], relative(golden[f"e2e/{short}_accs"]), atol=1e-6
        )
        assert removed(found.labels, getattr(found, name), np.arange(9)) == sorted(
            map(tuple, golden[f"e2e/removed_{short}_class_idx"].tolist())
        )
    assert (found.labels & ~found.visual).sum() == 2
    assert sorted(split.asked) == list(range(9))  # every video is read once


# --------------------------------------------------------------------------------------------- rule
def test_a_category_without_errors_is_kept():
    labels = np.array([[1, 1, 0], [1, 0, 1]])
    probabilities = np.array([[0.9, 0.1, 0.2], [0.8, 0.9, 0.9]])
    errors = category_errors(probabilities, labels)
    assert errors.tolist() == [0, 1, 0]
    assert confidence(np.zeros((2, 3)), errors).tolist() == [[np.inf, 0, np.inf]] * 2
    kept = filter_labels(labels, np.zeros((2, 3)), np.zeros((2, 3)), errors)
    assert kept.tolist() == [[True, False, False], [True, False, True]]


def test_a_model_that_never_errs_drops_nothing():
    labels = np.eye(3)
    assert category_errors(labels, labels).tolist() == [0, 0, 0]
    assert np.array_equal(
        filter_labels(labels, np.zeros((3, 3)), np.zeros((3, 3)), category_errors(labels, labels)),
        labels > 0,
    )


def test_forms_of_the_error():
    probabilities = np.array([[0.9, 0.1], [0.1, 0.1], [0.9, 0.1], [0.1, 0.1]])
    labels = np.array([[1, 1], [1, 0], [0, 0], [0, 0]])
    assert category_errors(probabilities, labels).tolist() == [1, 0.5]  # 2 of 4 wrong, 1 of 4 wrong
    assert category_errors(probabilities, labels, "positives").tolist() == [
        0.5,
        1,
    ]  # 1 of 2, 1 of 1
    assert category_errors(probabilities, labels, "none").tolist() == [1, 1]
    assert category_errors(probabilities, 0 * labels, "positives").tolist() == [0, 0]
    with pytest.raises(AvbookError, match="errors='some'"):
        category_errors(probabilities, labels, "some")


probability = st.floats(0, 1, width=32)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 0.9))
def test_the_rule_label_by_label(seed, threshold):
    """Against the sentence of the paper, one label at a time."""
    rng = np.random.default_rng(seed)
    labels, first, second, errors = (
        rng.random((5, 4)) < 0.5,
        rng.random((5, 4)),
        rng.random((5, 4)),
        rng.random(4).round(1),
    )
    kept = filter_labels(labels, first, second, errors, threshold)
    for i in range(5):
        for c in range(4):
            if errors[c] == 0:
                assert kept[i, c] == labels[i, c]
            else:
                believed = (
                    first[i, c] / errors[c] >= threshold or second[i, c] / errors[c] >= threshold
                )
                assert kept[i, c] == (labels[i, c] and believed)


# ----------------------------------------------------------------------------------------- partners
@settings(max_examples=60, deadline=None)
@given(
    array_of(bool, st.tuples(st.integers(1, 12), st.integers(1, 4))),
    st.integers(1, 4),
    st.integers(0, 5),
)
def test_partners_share_nothing(labels, count, seed):
    drawn = sample_partners(labels, count, seed)
    assert drawn.shape == (len(labels), count) and np.array_equal(
        drawn, sample_partners(labels, count, seed)
    )
    for i, row in enumerate(drawn):
        others = [j for j in range(len(labels)) if j != i and not (labels[i] & labels[j]).any()]
        chosen = [j for j in row if j >= 0]
        assert len(chosen) == min(count, len(others)) == len(set(chosen)) and set(chosen) <= set(
            others
        )


def test_partners_differ_by_seed_and_are_spread():
    labels = np.eye(4, dtype=bool)[np.arange(400) % 4]
    one, two = sample_partners(labels, seed=0), sample_partners(labels, seed=1)
    assert (one != two).mean() > 0.9 and len(np.unique(one)) > 200
    with pytest.raises(AvbookError, match="partners=0"):
        sample_partners(labels, 0)


def test_a_video_without_a_partner_keeps_its_labels():
    batch = random_batch(videos=4)
    batch["video_labels"] = torch.tensor(
        [[1, 1, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0]]
    ).float()
    found = refine(small(), Rows(**batch), "abcdefg", errors="none", threshold=2.0)
    assert found.partners[0].tolist() == [-1] and np.isnan(found.probabilities["p_a_v"][0]).all()
    assert found.visual[0].all() and found.audio[0].all() and not found.visual[1:].any()


# -------------------------------------------------------------------------------------- whole thing
@pytest.fixture(scope="module")
def forty():
    batch = random_batch(videos=40, seed=4)
    batch["video_labels"][:, 0] = torch.arange(40) % 2  # some partner for most
    return Rows(**batch)


@pytest.mark.parametrize("kind", [HAN, MA])
def test_against_whole_forward_passes(forty, kind):
    """Reusing what a track says on its own gives what two assembled videos through the whole net
    give."""
    net = small(kind=kind, seed=2).eval()
    found = refine(net, forty, "abcdefg", batch_size=7)
    i, j = np.flatnonzero(found.partners[:, 0] >= 0), found.partners[found.partners[:, 0] >= 0, 0]
    own, other = forty.batch(i), forty.batch(j)
    with torch.no_grad():
        changed_audio, changed_visual = (
            net({**own, "audio": other["audio"]}),
            net({**other, "audio": own["audio"]}),
        )
    for name, out, key in (
        ("p_a_a", changed_audio, "video_audio"),
        ("p_a_v", changed_audio, "video_visual"),
        ("p_v_a", changed_visual, "video_audio"),
        ("p_v_v", changed_visual, "video_visual"),
    ):
        np.testing.assert_allclose(found.probabilities[name][i], out[key].numpy(), atol=1e-6)
    assert not np.allclose(
        found.probabilities["p_a_a"][i], found.probabilities["p_v_a"][i], atol=1e-3
    )


def test_deterministic_whatever_the_batches(forty):
    net = small(seed=2)
    one, two, other = (
        refine(net, forty, "abcdefg", partners=2, seed=seed, batch_size=size)
        for seed, size in ((5, 64), (5, 3), (6, 64))
    )
    assert np.array_equal(one.partners, two.partners) and one.digest() == two.digest()
    assert all(
        np.allclose(one.probabilities[name], two.probabilities[name], atol=1e-6, equal_nan=True)
        for name in one.probabilities
    )
    assert not np.array_equal(one.partners, other.partners)


def test_partners_are_averaged(forty):
    net = small(seed=2)
    three = refine(net, forty, "abcdefg", partners=3)
    each = [refine(net, forty, "abcdefg", partners=three.partners[:, [k]]) for k in range(3)]
    whole = (three.partners >= 0).all(1)
    assert whole.sum() > 20
    for name in ("p_a_a", "p_a_v", "p_v_a", "p_v_v"):
        mean = np.mean([one.probabilities[name][whole] for one in each], 0)
        np.testing.assert_allclose(three.probabilities[name][whole], mean, atol=1e-6)


def test_which_modality_is_refined(forty):
    net, found = small(seed=2), {}
    for modality in ("both", "audio", "visual", "none"):
        found[modality] = refine(
            net, forty, "abcdefg", modality=modality, errors="none", threshold=0.55
        )
    both, labels = found["both"], found["both"].labels
    assert (
        0 < both.audio.sum() < labels.sum()
        and 0 < both.visual.sum() < labels.sum()
        and not np.array_equal(both.audio, both.visual)
    )
    assert np.array_equal(found["audio"].audio, both.audio) and np.array_equal(
        found["audio"].visual, labels
    )
    assert np.array_equal(found["visual"].visual, both.visual) and np.array_equal(
        found["visual"].audio, labels
    )
    assert np.array_equal(found["none"].audio, labels) and np.array_equal(
        found["none"].visual, labels
    )
    with pytest.raises(AvbookError, match="refine='all'"):
        refine(net, forty, "abcdefg", modality="all")
    for one in ("audio", "visual"):
        with pytest.raises(AvbookError, match="HAN with one modality .* modality='both'"):
            refine(small(modality=one), forty, "abcdefg")


def test_the_net_is_left_in_its_mode(forty):
    net = small(seed=2, dropout=0.5)
    assert net.training
    one, two = refine(net, forty, "abcdefg"), refine(net, forty, "abcdefg")
    assert net.training and np.array_equal(one.probabilities["audio"], two.probabilities["audio"])
    assert not any(p.grad is not None for p in net.parameters())


def test_tracks_are_computed_once(forty):
    net, calls = small(seed=2).eval(), []
    net.encode_before = net.encode
    net.encode = lambda batch: calls.append(len(batch["audio"])) or net.encode_before(batch)
    refine(net, forty, "abcdefg", partners=3, batch_size=16)
    assert calls == [16, 16, 8]
    tracks = encode_all(net, forty, 16)
    shapes = {name: tuple(value.shape) for name, value in tracks.items()}
    assert shapes == dict.fromkeys(("f_a", "f_v", "own_a", "own_v"), (40, 4, 8))
    assert clip_probabilities(net, tracks, np.arange(5), np.arange(5), 2)[0].shape == (5, 7)


# --------------------------------------------------------------------------- scores, files, batches
def known(labels, audio, visual):
    labels, audio, visual = (np.array(x, bool) for x in (labels, audio, visual))
    return Refinement(
        np.array(["video00000a", "video00000b"])[: len(labels)],
        tuple("xyz"[: labels.shape[1]]),
        labels,
        audio,
        visual,
        np.zeros((len(labels), 1), np.int64),
        {},
        {},
    )


def test_scores_by_hand():
    found = known(
        [[1, 1, 0], [1, 0, 1]], audio=[[1, 0, 0], [0, 0, 1]], visual=[[1, 1, 0], [1, 0, 1]]
    )
    heard, seen = np.zeros((2, 10, 3)), np.ones((2, 10, 3))
    heard[0, 3, 0] = heard[0, 9, 1] = 1  # video 0: both labels are heard; video 1: neither
    seen[1, :, 2] = 0
    scores = refinement_scores(found, heard, seen)
    assert scores["audio"] == {"absent": 50.0, "dropped": 50.0, "precision": 50.0, "recall": 50.0}
    assert (
        scores["visual"]["absent"] == 25.0
        and scores["visual"]["recall"] == 0.0
        and np.isnan(scores["visual"]["precision"])
    )
    perfect = refinement_scores(
        known(found.labels, found.labels & heard.any(1), found.labels & seen.any(1)), heard, seen
    )
    assert all(perfect[name][key] == 100 for name in perfect for key in ("precision", "recall"))


def test_saved_and_read_again(tmp_path, forty):
    import pandas as pd

    found = refine(
        small(seed=2),
        forty,
        ["Speech", "Dog, barking", *"cdefg"],
        partners=2,
        errors="none",
        threshold=0.55,
        seed=3,
    )
    folder = save_refinement(found, tmp_path / "a" / "b")
    assert sorted(path.name for path in folder.iterdir()) == [
        "counts.csv",
        "labels.csv",
        "refinement.npz",
    ]
    again = load_refinement(folder)
    assert (
        again.categories == found.categories
        and again.options == found.options
        and again.digest() == found.digest()
    )
    for name in ("ids", "labels", "audio", "visual", "partners"):
        assert (
            np.array_equal(getattr(again, name), getattr(found, name))
            and getattr(again, name).dtype == getattr(found, name).dtype
        )
    assert all(
        np.array_equal(again.probabilities[key], found.probabilities[key], equal_nan=True)
        for key in found.probabilities
    )
    counts = pd.read_csv(folder / "counts.csv", index_col="category")
    assert counts.loc["Dog, barking"].tolist() == [
        found.labels[:, 1].sum(),
        (found.labels & ~found.audio)[:, 1].sum(),
        (found.labels & ~found.visual)[:, 1].sum(),
    ]
    table = pd.read_csv(folder / "labels.csv")
    assert (
        len(table) == found.labels.sum()
        and (table.audio == "dropped").sum() == (found.labels & ~found.audio).sum()
    )
    line = table[table.visual == "dropped"].iloc[0]
    assert max(line.p_a_v, line.p_a_a) / line.error_visual < 0.55 and line.id in forty.ids


def test_faults_of_saved_refinements(tmp_path, forty):
    with pytest.raises(AvbookError, match="no such file"):
        load_refinement(tmp_path)
    folder = save_refinement(refine(small(seed=2), forty, "abcdefg"), tmp_path)
    whole = (folder / "refinement.npz").read_bytes()
    (folder / "refinement.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AvbookError, match="not a whole refinement"):
        load_refinement(tmp_path)


class Data:
    kind, name, hash = "folder", "made up", "abc"

    def __init__(self, train, val=None, test=None):
        self.train, self.val, self.test = train, val, test


def test_targets_in_the_batches():
    batch = random_batch(videos=6)
    labels = batch["video_labels"].numpy()
    data = Data(
        Split(
            "train", [f"video{i:06d}" for i in range(6)], np.arange(6), {}, {"video_labels": labels}
        )
    )
    audio = labels.astype(bool).copy()
    audio[audio.any(1).argmax(), labels[audio.any(1).argmax()].argmax()] = False
    found = Refinement(
        data.train.ids, tuple("abcdefg"), labels > 0, audio, labels > 0, np.zeros((6, 1)), {}, {}
    )
    refined = with_targets(data, found)
    ours = refined.train.batch([2, 0])
    assert (
        torch.equal(ours["targets_audio"], torch.from_numpy(audio[[2, 0]]).float())
        and ours["targets_visual"].dtype == torch.float32
    )
    assert "targets_audio" not in data.train.batch([0]) and refined.hash != data.hash
    plain, changed = (MAMethod().targets(d.train.batch(list(range(6)))) for d in (data, refined))
    assert (
        torch.equal(plain["video"], changed["video"])
        and (plain["audio"] - changed["audio"]).sum() == 1
    )
    found.ids = found.ids[::-1]
    with pytest.raises(AvbookError, match="do not belong to the training split"):
        with_targets(data, found)


# ------------------------------------------------------------------------------------- three stages
def plain_split(name, videos, seed):
    """Five events that any layer could tell apart; a label is heard only, seen only or both, and
    features are the truth plus noise."""
    rng = np.random.default_rng(seed)
    labels = (
        np.eye(5, dtype=bool)[rng.integers(0, 5, videos)]
        | np.eye(5, dtype=bool)[rng.integers(0, 5, videos)]
    )
    where = rng.choice(3, (videos, 5), p=(0.35, 0.15, 0.5))  # heard only, seen only, both
    arrays = {"video_labels": labels.astype(np.float32)}
    for key, absent in (("audio", 1), ("visual", 0)):
        arrays[f"{key}_labels"] = np.repeat((labels & (where != absent))[:, None], 4, 1).astype(
            np.float32
        )
    noise = lambda: 0.1 * rng.standard_normal((videos, 4, 5))  # noqa: E731
    arrays["audio"] = (arrays["audio_labels"] + noise()).astype(np.float32)
    arrays["visual_2d"] = np.repeat(arrays["visual_labels"] + noise(), 2, 1).astype(np.float32)
    arrays["visual_3d"] = (arrays["visual_labels"] + noise()).astype(np.float32)
    return LLPSplit(name, [f"{name}{i:06d}" for i in range(videos)], np.arange(videos), {}, arrays)


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    data = Data(plain_split("train", 200, 0), plain_split("val", 40, 1), plain_split("test", 80, 2))
    settings_ = {
        "epochs": 25,
        "batch_size": 20,
        "lr": 2e-3,
        "seed": 0,
        "device": "cpu",
        "progress": False,
    }

    def train(on):
        torch.manual_seed(0)
        net = MA(5, 5, 5, categories=5, width=16, hidden=16)
        return net, fit(net, MAMethod(), on, **settings_)

    net, base = train(data)
    saved = save_refinement(
        refine(net, data.train, "abcde", partners=4), tmp_path_factory.mktemp("stages")
    )
    refined = with_targets(data, load_refinement(saved))
    return data, refined, base, train(refined)[1]


def test_refinement_finds_what_the_picture_does_not_hold(stages):
    data, refined, _, _ = stages
    targets = refined.train.arrays
    found = Refinement(
        data.train.ids,
        tuple("abcde"),
        data.train.video_labels > 0,
        targets["targets_audio"] > 0,
        targets["targets_visual"] > 0,
        None,
        {},
        {},
    )
    scores = refinement_scores(found, data.train.audio_labels, data.train.visual_labels)
    for name in ("audio", "visual"):
        assert scores[name]["precision"] > 75 and scores[name]["recall"] > 50, scores


def test_retraining_on_refined_labels_unlearns_ghosts(stages):
    data, _, base, retrained = stages
    heard, seen = data.test.audio_labels > 0, data.test.visual_labels > 0
    ghosts = [
        float((result.predictions["last"]["visual"].numpy() > 0)[heard & ~seen].mean())
        for result in (base, retrained)
    ]
    assert ghosts[0] > 0.3 and ghosts[1] < 0.5 * ghosts[0], ghosts
    assert (
        retrained.metrics["test"]["last"]["segment_visual"]
        > base.metrics["test"]["last"]["segment_visual"]
    )
