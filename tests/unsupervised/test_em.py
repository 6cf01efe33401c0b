"""EM: weighting, targets, strangers, rounds and scoring by hand; the whole of it learns from
features and nothing else."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from avbook.errors import AvbookError
from avbook.unsupervised.em import (
    FeatureData,
    LocaliseMethod,
    Round,
    category_of,
    changed_share,
    em,
    localise,
    maximisation,
    name_categories,
    names_of,
    relevance_pool,
    replace_segments,
    score_round,
    targets_of,
    theta_sweep,
)

SMALL = {"hidden": 8, "heads": 2, "batch_size": 8, "device": "cpu"}


def annotation(labels, count=3):
    return SimpleNamespace(
        labels=torch.tensor(labels),
        probabilities=F.one_hot(torch.tensor(labels), count).float() * 0.7 + 0.1,
    )


def planted(clips=48, seconds=10, categories=3, dim=6, seed=0):
    """Clips whose first seconds show their category and whose rest is noise; the truth of both."""
    rng = np.random.default_rng(seed)
    category, length = rng.integers(0, categories, clips), rng.integers(4, seconds + 1, clips)
    event = np.arange(seconds) < length[:, None]
    x = (
        0.3 * rng.normal(size=(clips, seconds, dim))
        + event[..., None] * 3 * np.eye(dim)[category][:, None]
    )
    return torch.tensor(x, dtype=torch.float32), torch.tensor(category), event


def test_equation_12_in_a_loop_and_its_first_round():
    features, gamma = torch.randn(4, 10, 6), torch.rand(4, 10).softmax(-1)
    by_hand = np.array(
        [
            [
                sum(float(gamma[i, t]) * float(features[i, t, d]) for t in range(10))
                for d in range(6)
            ]
            for i in range(4)
        ]
    )
    np.testing.assert_allclose(relevance_pool(features, gamma), by_hand, atol=1e-6)
    torch.testing.assert_close(
        relevance_pool(features), relevance_pool(features, torch.full((4, 10), 0.1))
    )
    with pytest.raises(AvbookError, match="one weight for each clip and segment"):
        relevance_pool(features, gamma[:, :5])


def test_weights_gradient_by_finite_differences():
    features = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    gamma = torch.rand(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(relevance_pool, (features, gamma))


def test_equation_13_hard_and_soft():
    found = annotation([2, 0])
    assert targets_of(found).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert targets_of(found, soft=True) is found.probabilities


def test_batches_hold_features_and_pseudo_labels_and_nothing_else():
    data = FeatureData(
        {name: torch.randn(5, 10, 6) for name in ("train", "val", "test")},
        torch.eye(3)[[0, 1, 2, 0, 1]],
    )
    assert set(data.train.batch([0, 3])) == {"features", "targets"} and set(
        data.test.batch([1])
    ) == {"features"}


def test_strangers_come_from_other_clips_and_leave_something_of_each():
    clips = torch.arange(8.0)[:, None, None].expand(-1, 10, 2)
    mixed, replaced = replace_segments(clips, 0.5, generator=torch.Generator().manual_seed(0))
    assert (mixed[replaced] != clips[replaced]).all() and (
        mixed[~replaced] == clips[~replaced]
    ).all()
    assert 0.3 < replaced.float().mean() < 0.7
    all_but_none = replace_segments(clips, 0.999, generator=torch.Generator().manual_seed(0))[1]
    assert not all_but_none.all(1).any()
    assert not replace_segments(clips[:1], 0.5)[1].any()


def test_strangers_are_the_seconds_asked_for():
    clips = torch.arange(10.0)[None, :, None].expand(6, -1, 1)
    mixed, replaced = replace_segments(
        clips, 0.5, torch.full((6,), 7), torch.Generator().manual_seed(0)
    )
    assert (mixed[replaced] == 7).all()


def test_the_m_step_learns_the_labels_and_repeats_itself():
    features, category, _ = planted()
    data, targets = (
        {"train": features, "val": features[:4], "test": features},
        F.one_hot(category, 3).float(),
    )
    runs = [maximisation(data, targets, epochs=20, lr=1e-2, **SMALL)[0] for _ in range(2)]
    first, second = (localise(net, features) for net in runs)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (first["video"].argmax(1) == category).float().mean() > 0.95


def test_strangers_teach_the_network_to_look_away_from_them():
    features, category, _ = planted()
    data, targets = (
        {"train": features, "val": features[:4], "test": features},
        F.one_hot(category, 3).float(),
    )
    mixed, replaced = replace_segments(features, 0.3, generator=torch.Generator().manual_seed(5))
    ratio = {}
    for kind in ("none", "any"):
        net, _ = maximisation(data, targets, epochs=20, lr=1e-2, strangers=kind, **SMALL)
        gamma = localise(net, mixed)["gamma"]
        ratio[kind] = float(gamma[replaced].mean() / gamma[~replaced].mean())
    assert ratio["any"] < 0.98 < ratio["none"]


def test_a_cut_off_m_step_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    features, category, _ = planted(24)
    data, targets = (
        dict.fromkeys(("train", "val", "test"), features),
        F.one_hot(category, 3).float(),
    )
    whole, _ = maximisation(data, targets, epochs=4, **SMALL)
    loss, calls = LocaliseMethod.loss, []

    def cut(self, net, batch):
        calls.append(1)
        if len(calls) > 8:
            raise KeyboardInterrupt
        return loss(self, net, batch)

    monkeypatch.setattr(LocaliseMethod, "loss", cut)
    with pytest.raises(KeyboardInterrupt):
        maximisation(data, targets, epochs=4, out=tmp_path, **SMALL)
    monkeypatch.setattr(LocaliseMethod, "loss", loss)
    again, _ = maximisation(data, targets, epochs=4, out=tmp_path, **SMALL)
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values())
    )


def test_rounds_hand_gamma_to_the_next_labels():
    seen = []

    def e_step(number, gamma):
        seen.append((number, None if gamma is None else float(gamma)))
        return annotation([number], 4)

    rounds = em(3, e_step, lambda number, found: {"train": {"gamma": torch.tensor(number / 10)}})
    assert [number for number, _ in seen] == [1, 2, 3] and [
        gamma for _, gamma in seen
    ] == pytest.approx([None, 0.1, 0.2], nan_ok=True)
    assert [int(r.annotation.labels) for r in rounds] == [1, 2, 3]
    with pytest.raises(AvbookError, match="at least 1"):
        em(0, e_step, None)


def one_hot(index, count):
    return np.eye(count)[np.asarray(index)]


def test_a_clips_category_is_that_of_its_event_seconds():
    labels = one_hot([[0, 2, 2], [2, 2, 2], [1, 1, 2]], 3)  # 2 is background
    assert category_of(labels).tolist() == [0, -1, 1]


def test_pseudo_categories_take_the_name_most_frequent_in_them():
    assert name_categories([0, 0, 0, 1, 1, 3], [5, 5, 2, 2, 2, -1], 4).tolist() == [
        5,
        2,
        2,
        2,
    ]  # 2 and 3 are empty: the most frequent of all
    with pytest.raises(AvbookError, match="no clip with an event"):
        name_categories([0], [-1], 2)


def test_a_change_of_numbers_is_no_change_of_labels():
    assert changed_share([0, 0, 1, 1], [1, 1, 0, 0]) == 0
    assert changed_share([0, 0, 1, 1], [0, 1, 1, 1]) == 25


def made_round():
    """Train clips 0, 1 of category 1 in pseudo-category 0, clip 2 of category 0 in pseudo-category
    2; two clips judged."""
    segments = torch.zeros(2, 4, 3)
    segments[0, :, 0], segments[1, :, 2] = 1, 1
    gamma = torch.tensor([[0.4, 0.4, 0.1, 0.1], [0.25] * 4])
    found = {
        "test": {
            "segments": segments,
            "gamma": gamma,
            "video": torch.stack([segments[0, 0], segments[1, 0]]),
        }
    }
    return (
        Round(annotation([0, 0, 2]), found),
        one_hot([[1] * 4, [1] * 4, [0] * 4], 3),
        one_hot([[1, 1, 2, 2], [0, 0, 0, 0]], 3),
    )


def test_a_round_is_scored_by_hand():
    round_, train, test = made_round()
    figures = score_round(round_, train, test)
    assert (
        figures["accuracy"] == 100
        and figures["purity"] == 100
        and figures["judged_purity"] == 100
        and figures["empty"] == 1
    )
    assert (
        figures["background_recall"] == 100
        and figures["gamma_auc"] == 100
        and figures["gamma_correlation"] == pytest.approx(100)
    )
    assert score_round(round_, train, test, theta=0.0)["accuracy"] == 75
    assert names_of(round_, train, test, "test", "train").tolist() == [1, 1, 0]
    sweep = theta_sweep(round_, train, test, thetas=(0.0, 0.25, 0.3, 1.0))
    assert sweep == {0.0: 75, 0.25: 75, 0.3: 100, 1.0: 100}


def test_names_may_come_from_the_judged_clips():
    round_, train, test = made_round()
    other = train[[2, 2, 0]]  # the training labels say the opposite
    assert score_round(round_, other, test)["accuracy"] < 50
    assert score_round(round_, other, test, naming="judged")["accuracy"] == 100
    with pytest.raises(AvbookError, match="train.*judged"):
        score_round(round_, train, test, naming="val")
