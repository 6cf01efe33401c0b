"""`fit` and what it stands on: seeds, shares, schedules, selections, checkpoints, interruptions and
the errors a user reads."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from processes import PATIENCE, ROOT, wait_for
from tiny import Data, DictMethod, Method, Net, Split
from torch import nn

from avbook.errors import AvbookError
from avbook.training import checkpoints, device as machine, evaluation, loop, results, steps
from avbook.training.batches import DeviceSplit, batches_of
from avbook.training.checkpoints import EpochEval, restore_rng, rng_tensors
from avbook.training.device import default_device, seed_everything
from avbook.training.loop import (
    evaluate,
    fit,
    lr_factor,
    shard_batch,
    shuffled_batches,
    update_best,
)
from avbook.training.weights import (
    differences,
    load_weights,
    read_tensors,
    save_weights,
    write_tensors,
)

CPU = torch.device("cpu")


def run(net=None, method=None, data=None, seed=0, **options):
    seed_everything(seed)
    options = {
        "epochs": 4,
        "batch_size": 8,
        "lr": 1e-2,
        "device": "cpu",
        "progress": False,
    } | options
    return fit(net or Net(), method or Method(), data or Data(), seed=seed, **options)


def numbers(result):
    """The history without what a clock says."""
    return [
        {name: value for name, value in entry.items() if name != "seconds"}
        for entry in result.history
    ]


def same_tensors(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    return text


# --------------------------------------------------------------------------------- order and shares
@given(
    n=st.integers(1, 60),
    batch_size=st.integers(1, 20),
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(1, 400),
)
def test_an_epoch_has_each_row_once_and_only_the_last_batch_is_short(n, batch_size, seed, epoch):
    batches = shuffled_batches(n, batch_size, seed, epoch)
    assert sorted(np.concatenate(batches)) == list(range(n))
    assert (
        all(len(batch) == batch_size for batch in batches[:-1])
        and 1 <= len(batches[-1]) <= batch_size
    )


def test_order_follows_seed_and_epoch_and_nothing_else():
    first = np.concatenate(shuffled_batches(50, 8, 1, 1))
    seed_everything(99), torch.rand(7), np.random.rand(7)
    assert (first == np.concatenate(shuffled_batches(50, 16, 1, 1))).all()
    assert (first != np.concatenate(shuffled_batches(50, 8, 1, 2))).any()
    assert (first != np.concatenate(shuffled_batches(50, 8, 2, 1))).any()


@given(
    rows=st.lists(st.integers(0, 999), min_size=1, max_size=40, unique=True),
    processes=st.integers(1, 9),
)
def test_shares_are_the_batch_cut_in_pieces(rows, processes):
    shares = [shard_batch(rows, p, processes) for p in range(processes)]
    assert sum(share for _, share in shares) == pytest.approx(1)
    assert [row for mine, share in shares if share for row in mine] == rows
    assert all(len(mine) for mine, _ in shares)


@settings(max_examples=15, deadline=None)
@given(count=st.integers(1, 13), processes=st.integers(1, 5))
def test_gradients_weighted_by_share_sum_to_the_whole_batch_s(count, processes):
    net, method, split = Net(dropout=0.0), Method(), Split(20, 1)

    def gradient(rows):
        loss, _ = method.loss(net, split.batch(rows))
        return torch.cat(
            [g.flatten() for g in torch.autograd.grad(loss, list(net.layers.parameters()))]
        )

    rows = np.arange(count)
    summed = sum(
        gradient(mine) * share
        for mine, share in (shard_batch(rows, p, processes) for p in range(processes))
    )
    assert torch.allclose(summed, gradient(rows), atol=1e-6)


# ---------------------------------------------------------------------------------------- schedules
@given(
    size=st.integers(1, 90),
    factor=st.floats(0.1, 1),
    until=st.integers(0, 300),
    epochs=st.integers(1, 300),
)
def test_a_staircase_steps_down_every_size_epochs_and_stays_after_until(
    size, factor, until, epochs
):
    rates = [
        lr_factor(("step", size, factor, until), epoch, epochs) for epoch in range(1, epochs + 1)
    ]
    assert rates[0] == 1 and all(later <= earlier for earlier, later in zip(rates, rates[1:]))
    assert len(set(rates[until:])) <= 1
    for epoch in range(1, min(epochs, until + 1)):
        assert rates[epoch] == pytest.approx(
            rates[epoch - 1] * (factor if epoch % size == 0 else 1)
        )


def test_the_released_schedules():
    full, weak = ("step", 60, 0.8, 170), ["step", 80, 0.8, 200]
    assert [lr_factor(full, e, 300) for e in (1, 60, 61, 120, 121, 300)] == pytest.approx(
        [1, 1, 0.8, 0.8, 0.64, 0.64]
    )
    assert [lr_factor(weak, e, 300) for e in (80, 81, 161, 300)] == pytest.approx(
        [1, 0.8, 0.64, 0.64]
    )
    assert (
        lr_factor("cosine", 1, 10) == 1
        and lr_factor("cosine", 6, 10) == pytest.approx(0.5)
        and lr_factor(None, 7, 10) == 1
    )


@given(st.sets(st.integers(1, 60)), st.integers(1, 80), st.floats(0.1, 1))
def test_milestones_are_pytorchs(milestones, epochs, factor):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.MultiStepLR(optimizer, sorted(milestones), gamma=factor)
    for epoch in range(1, epochs + 1):
        ours = lr_factor(("milestones", sorted(milestones), factor), epoch, epochs)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize(
    "schedule", ["linear", ("step", 0, 0.5), ("step", 5), ("cosine",), 3, ("milestones", 5, 0.5)]
)
def test_an_unknown_schedule_is_refused_before_anything_runs(schedule, tmp_path):
    with pytest.raises(AvbookError, match="schedule"):
        run(schedule=schedule, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_history_shows_the_rate_that_was_used():
    result = run(schedule=("step", 2, 0.5), epochs=5)
    assert [entry["lr"] for entry in result.history] == pytest.approx(
        [1e-2, 1e-2, 5e-3, 5e-3, 2.5e-3]
    )


# -------------------------------------------------------------------------------------------- seeds
def test_a_seed_decides_everything():
    assert numbers(run(seed=3)) == numbers(run(seed=3))
    assert numbers(run(seed=3)) != numbers(run(seed=4))


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True, "7"])
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises(AvbookError, match="seed"):
        seed_everything(seed)


def test_each_process_has_a_stream_of_its_own():
    def draw(process):
        seed_everything(3, process)
        return torch.rand(1).item(), np.random.rand(), random.random()

    assert draw(0) == draw(0) and not set(draw(0)) & set(draw(1))


def test_generators_return_to_where_they_were():
    seed_everything(5)
    (
        np.random.normal(),
        random.gauss(0, 1),
    )  # each leaves its second number behind, as part of its state
    state = rng_tensors(CPU)

    def draw():
        return (
            torch.rand(3).tolist(),
            np.random.normal(size=3).tolist(),
            [random.gauss(0, 1) for _ in range(3)],
        )

    first = draw()
    restore_rng(state, CPU)
    assert draw() == first


# ----------------------------------------------------------------------------------------- the loop
def test_fit_is_the_plain_loop():
    """Losses and weights of a loop written out here, with PyTorch's ordinary Adam."""
    data, method, options = Data(), Method(), {"lr": 1e-2, "weight_decay": 0.01}
    seed_everything(2)
    net = Net()
    result = fit(
        net,
        method,
        data,
        epochs=3,
        batch_size=8,
        seed=2,
        device="cpu",
        select="last",
        progress=False,
        **options,
    )

    seed_everything(2)
    plain, losses = Net(), []
    torch.manual_seed(2)
    optimizer = torch.optim.Adam(plain.parameters(), **options)
    for epoch in (1, 2, 3):
        total = 0.0
        for rows in shuffled_batches(41, 8, 2, epoch):
            loss, _ = method.loss(plain, data.train.batch(rows))
            optimizer.zero_grad(), loss.backward(), optimizer.step()
            total += loss.item() * len(rows)
        losses.append(total / 41)
    assert [entry["loss"] for entry in result.history] == pytest.approx(losses, abs=1e-6)
    for mine, theirs in zip(net.state_dict().values(), plain.state_dict().values()):
        assert torch.allclose(mine.float(), theirs.float(), atol=1e-5)


def test_parts_of_the_loss_are_means_over_rows():
    entry = run(epochs=1).history[0]
    assert entry["losses"]["segments"] == pytest.approx(entry["loss"]) and entry["losses"][
        "constant"
    ] == pytest.approx(2)


def test_it_learns():
    losses = [entry["loss"] for entry in run(epochs=15).history]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("options", [{"keep_on_device": True}, {"workers": 1}])
def test_where_batches_come_from_changes_no_number(options):
    assert numbers(run(epochs=2)) == numbers(run(epochs=2, **options))


def test_held_rows_are_the_split_s_rows():
    split = Split(11, 0)
    held = DeviceSplit(split, CPU, chunk=4)
    for one, other in zip(
        batches_of(split, [[10, 0], [3]], CPU), batches_of(held, [[10, 0], [3]], CPU)
    ):
        assert same_tensors(one, other)
    assert len(held) == 11


def test_clipping_bounds_the_step():
    class Plain(Method):
        def optimizer(self, net, lr, weight_decay):
            return torch.optim.SGD(net.parameters(), lr=lr, weight_decay=weight_decay)

    def step(clip):
        seed_everything(0)
        net = Net()
        before = torch.cat([p.detach().flatten().clone() for p in net.parameters()])
        fit(
            net,
            Plain(),
            Data(),
            epochs=1,
            batch_size=64,
            lr=1.0,
            clip=clip,
            select="last",
            device="cpu",
            progress=False,
        )
        return (torch.cat([p.detach().flatten() for p in net.parameters()]) - before).norm().item()

    assert step(0.01) == pytest.approx(0.01, rel=1e-3) and step(None) > 0.05


def test_the_names_of_training_are_importable_from_the_loop():
    for module in (loop, steps, evaluation, results):
        for name in module.__all__:
            assert getattr(loop, name) is getattr(module, name) and name in loop.__all__


def test_a_method_s_hooks_are_used():
    class Hooked(Method):
        def __init__(self):
            self._seen, self._epochs = [], []

        def epoch_start(self, net, epoch):
            self._epochs.append((type(net).__name__, epoch))

        def batches(self, split, epoch, seed, batch_size):
            return [[0, 1], [2]] if epoch == 1 else [[5] * batch_size]

        def loss(self, net, batch):
            self._seen.append(batch["x"][:, 0, 0].tolist())
            return super().loss(net, batch)

    method, data = Hooked(), Data()
    run(method=method, data=data, epochs=2, batch_size=3)
    x = data.train.x[:, 0, 0].tolist()
    assert method._epochs == [("Net", 1), ("Net", 2)]
    assert method._seen == [[x[0], x[1]], [x[2]], [x[5]] * 3]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_every_optimiser_moves_the_weights(optimizer):
    losses = [entry["loss"] for entry in run(optimizer=optimizer, epochs=6).history]
    assert losses[-1] < losses[0]


def test_sixteen_bits_and_back_in_one_process(monkeypatch):
    # a processor without the units is refused; it computes all the same, if slowly
    monkeypatch.setattr(machine, "cpu_has_bfloat16", lambda: True)
    full, half = run(epochs=2), run(epochs=2, precision="bf16")
    assert numbers(half) != numbers(full) and half.history[-1]["loss"] == pytest.approx(
        full.history[-1]["loss"], rel=0.05
    )
    assert numbers(run(epochs=2)) == numbers(full)


@pytest.mark.parametrize(
    "options, word",
    [
        ({"device": "tpu"}, "device 'tpu'"),
        ({"precision": "fp16"}, "fp16"),
        ({"precision": "half"}, "precision 'half'"),
        ({"optimizer": "lion"}, "optimizer 'lion'"),
        ({"select": "best"}, "select='best'"),
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 2.5}, "batch_size=2.5"),
        ({"eval_every": 0}, "eval_every=0"),
        ({"data": Data(val=0)}, "val split is empty"),
    ],
)
def test_a_request_that_makes_no_sense_is_named(options, word):
    with pytest.raises(AvbookError, match=word) as error:
        run(**options)
    one_line(error)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA card")
def test_a_card_that_is_not_there_is_named():
    with pytest.raises(
        AvbookError, match="device 'cuda': this machine has none; expected one of auto, cpu"
    ):
        run(device="cuda")
    assert default_device().type in ("cpu", "mps")


# ------------------------------------------------------------------------ evaluation and selections
def test_evaluate_leaves_network_and_chance_as_they_were():
    net, data = Net(dropout=0.5), Data()
    net.train()
    state = torch.get_rng_state()
    scores, predicted = evaluate(net, Method(), data.val, batch_size=5, device="cpu")
    assert net.training and net.calls == 0 and torch.equal(state, torch.get_rng_state())
    assert torch.equal(predicted, evaluate(net, Method(), data.val, batch_size=23, device="cpu")[1])
    assert scores == Method().score(predicted, data.val) and len(predicted) == 23


def test_predictions_may_be_several_tensors():
    result = run(method=DictMethod(), epochs=2)
    assert {name: tuple(part.shape) for name, part in result.predictions["last"].items()} == {
        "index": (19, 10),
        "said": (19, 10),
        "share": (19, 10, 2),
    }
    assert numbers(result) == numbers(run(epochs=2))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12))
def test_selections_take_the_first_best(scores):
    kept = {}
    for epoch, (val, test) in enumerate(scores, 1):
        update_best(kept, EpochEval(epoch, {"m": val}, {"m": test}, {}, None), "m")
    vals, tests = zip(*scores)
    assert kept["val_selected"].epoch == vals.index(max(vals)) + 1
    assert kept["test_selected"].epoch == tests.index(max(tests)) + 1
    assert kept["last"].epoch == len(scores)


def test_three_selections_with_their_scores_weights_and_predictions():
    data, result = Data(), run(epochs=12)
    curve = {name: [entry[name] for entry in result.history] for name in ("val", "test")}
    epochs = {
        "val_selected": int(np.argmax(curve["val"])) + 1,
        "last": 12,
        "test_selected": int(np.argmax(curve["test"])) + 1,
    }
    assert result.epochs == epochs and len(set(epochs.values())) == 3, (
        "the case should tell the three apart"
    )
    assert result.metrics["val"]["accuracy"] == max(curve["val"])
    for name, epoch in epochs.items():
        assert result.metrics["test"][name]["accuracy"] == curve["test"][epoch - 1]
        assert Method().score(result.predictions[name], data.test) == result.metrics["test"][name]
        net = Net()
        net.load_state_dict(result.weights[name])
        assert evaluate(net, Method(), data.test, device="cpu")[0] == result.metrics["test"][name]


@pytest.mark.parametrize("select", ["val_selected", "last", "test_selected"])
def test_the_network_ends_with_the_weights_asked_for(select):
    net = Net()
    result = run(net=net, epochs=6, select=select)
    assert same_tensors(dict(net.state_dict()), result.weights[select]) and not net.training


def test_dropout_is_on_whatever_mode_the_network_comes_in():
    seed_everything(0)
    net = Net().eval()
    assert numbers(
        fit(net, Method(), Data(), epochs=4, batch_size=8, lr=1e-2, device="cpu", progress=False)
    ) == numbers(run())


def test_fewer_looks():
    result = run(epochs=7, eval_every=3)
    assert [entry["val"] is not None for entry in result.history] == [
        False,
        False,
        True,
        False,
        False,
        True,
        True,
    ]
    assert [entry["loss"] for entry in result.history] == [
        entry["loss"] for entry in run(epochs=7).history
    ]


@pytest.mark.parametrize(
    "score, found", [({"accuracy": float("nan")}, "nan"), ({"f": 1.0}, "None")]
)
def test_a_score_that_cannot_choose_is_refused(score, found):
    class Broken(Method):
        def score(self, predicted, split):
            return score

    with pytest.raises(AvbookError, match=f"'accuracy' as {found} on val"):
        run(method=Broken())


def test_the_record_is_json_and_says_what_a_run_record_needs():
    record = json.loads(json.dumps(run(epochs=2).to_record()))
    assert (
        record["metrics"]["test"].keys()
        == record["epochs"].keys()
        == {"val_selected", "last", "test_selected"}
    )
    assert record["metrics"]["val"].keys() == {"accuracy"}
    assert (
        record["seconds"] > 0
        and record["peak_memory_mb"] >= 0
        and record["device"].startswith("cpu")
    )
    assert record["versions"]["torch"] == torch.__version__
    assert record["history"][0].keys() == {
        "epoch",
        "loss",
        "losses",
        "val",
        "test",
        "lr",
        "seconds",
    }


def test_nothing_is_printed_off_a_terminal(capsys):
    run(progress=True, epochs=1)
    assert capsys.readouterr() == ("", "")


# ---------------------------------------------------------------------------- cut off and continued
class Interrupted(Method):
    """Draws from every generator while it trains, remembers something, and is interrupted in the
    second step of an epoch."""

    def __init__(self, interrupt=None):
        self._interrupt, self._epoch, self._step, self._moving = interrupt, 0, 0, torch.zeros(())

    def epoch_start(self, net, epoch):
        self._epoch, self._step = epoch, 0

    def loss(self, net, batch):
        self._step += 1
        if self._epoch == self._interrupt and self._step == 2:
            raise KeyboardInterrupt
        loss, parts = super().loss(net, batch)
        self._moving = 0.9 * self._moving + 0.1 * loss.detach()
        return (
            loss * (1 + 0.1 * np.random.normal() + 0.1 * random.gauss(0, 1)) + 0.1 * self._moving,
            parts,
        )

    def state_dict(self):
        return {"moving": self._moving}

    def load_state_dict(self, state):
        self._moving = state["moving"]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("finished", [1, 4])
def test_a_run_that_was_cut_off_continues_to_the_same_numbers(
    tmp_path, capsys, optimizer, finished
):
    options = {
        "epochs": 6,
        "optimizer": optimizer,
        "schedule": ("step", 2, 0.5),
        "weight_decay": 0.01,
        "clip": 1.0,
        "eval_every": 2,
    }
    whole = run(method=Interrupted(), **options)
    with pytest.raises(KeyboardInterrupt):
        run(method=Interrupted(finished + 1), out=tmp_path, **options)
    message = capsys.readouterr().err
    assert (
        f"interrupted in epoch {finished + 1} of 6" in message
        and f"holds the {finished} finished epochs" in message
    )
    assert [file.name for file in tmp_path.iterdir()] == ["state.safetensors"]

    torch.rand(5), np.random.rand(5), random.random()
    net = Net(dropout=0.2)
    parts = fit(
        net,
        Interrupted(),
        Data(),
        batch_size=8,
        lr=1e-2,
        device="cpu",
        out=tmp_path,
        progress=False,
        **options,
    )
    assert (
        numbers(parts) == numbers(whole)
        and parts.metrics == whole.metrics
        and parts.epochs == whole.epochs
    )
    for name in whole.weights:
        assert same_tensors(parts.weights[name], whole.weights[name])
        assert torch.equal(parts.predictions[name], whole.predictions[name])
    assert same_tensors(dict(net.state_dict()), whole.weights["val_selected"])


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ZeroDivisionError])
def test_of_short_epochs_the_newest_checkpoint_waits_and_is_written_in_the_end(
    tmp_path, monkeypatch, stop
):
    """Whatever ends the run, the file holds all finished epochs, each as it was then."""
    written, whole = [], run(epochs=5)

    def note(path, tensors, meta):
        written.append(meta["epoch"])
        return write_tensors(path, tensors, meta)

    class Stopped(Method):
        def epoch_start(self, net, epoch):
            if epoch == 4:
                with torch.no_grad():  # what training does next is not in the checkpoint
                    next(net.parameters()).add_(1.0)
                raise stop

    Stopped.__name__ = "Method"
    monkeypatch.setattr(checkpoints, "write_tensors", note)
    with pytest.raises(stop):
        run(method=Stopped(), out=tmp_path, epochs=5)
    assert written == [1, 3]
    assert numbers(run(out=tmp_path, epochs=5)) == numbers(whole)
    assert written == [1, 3, 4, 5]


def test_what_a_method_remembers_without_saying_so_is_lost(tmp_path):
    """The limit of the guarantee: the run continues, to other numbers."""

    class Remembers(Method):
        def __init__(self):
            self._mean = 0.0

        def loss(self, net, batch):
            loss, parts = super().loss(net, batch)
            self._mean = 0.9 * self._mean + 0.1 * loss.detach()
            return loss * (1 + self._mean), parts

    whole = numbers(run(method=Remembers(), epochs=3))
    run(method=Remembers(), epochs=2, out=tmp_path)
    parts = numbers(run(method=Remembers(), epochs=3, out=tmp_path))
    assert parts[:2] == whole[:2] and parts[2]["loss"] != whole[2]["loss"]


def test_a_finished_run_is_read_and_not_repeated(tmp_path):
    class Untouched(Method):
        def loss(self, net, batch):
            raise AssertionError("trained again")

    first = run(out=tmp_path, method=Method())
    Untouched.__name__ = "Method"
    again = run(out=tmp_path, method=Untouched())
    assert (
        again.history == first.history
        and again.metrics == first.metrics
        and again.seconds == first.seconds
    )


def test_more_epochs_continue_a_finished_run(tmp_path):
    run(out=tmp_path, epochs=3, schedule=("step", 2, 0.5, 100))
    longer = run(out=tmp_path, epochs=6, schedule=("step", 2, 0.5, 100))
    assert numbers(longer) == numbers(run(epochs=6, schedule=("step", 2, 0.5, 100)))
    with pytest.raises(AvbookError, match="6 epochs are done, 4 were requested"):
        run(out=tmp_path, epochs=4, schedule=("step", 2, 0.5, 100))


def test_starting_over_forgets_the_checkpoint(tmp_path):
    run(out=tmp_path, epochs=3, seed=1)
    fresh = run(out=tmp_path, epochs=3, seed=2, resume=False)
    assert numbers(fresh) == numbers(run(epochs=3, seed=2))
    with pytest.raises(
        KeyboardInterrupt
    ):  # before the first epoch ends: the old checkpoint must not come back
        run(out=tmp_path, epochs=3, seed=2, resume=False, method=Interrupted(1))
    assert not (tmp_path / "state.safetensors").exists()


def test_interrupted_without_a_folder(capsys):
    with pytest.raises(KeyboardInterrupt):
        run(method=Interrupted(2))
    assert "nothing was kept, since no folder was given" in capsys.readouterr().err


class Wider(Net):
    pass


class Bare(nn.Module):
    """Weights that no setting tells of."""

    def __init__(self, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8, 2, outputs))

    def forward(self, batch):
        return {"scores": torch.einsum("btd,dco->btc", batch["x"], self.weight)}


def test_shapes_alone_tell_networks_apart(tmp_path):
    run(net=Bare(1), out=tmp_path, epochs=1)
    with pytest.raises(AvbookError, match=r"weights.weight was \[8, 2, 1\], now \[8, 2, 3\]"):
        run(net=Bare(3), out=tmp_path, epochs=2)


@pytest.mark.parametrize(
    "change, word",
    [
        ({"net": lambda: Net(hidden=24)}, "network.layers.0.out_features was 16, now 24"),
        ({"net": lambda: Net(dropout=0.5)}, "network.layers.2.p was 0.2, now 0.5"),
        ({"net": Wider}, "network.class was Net, now Wider"),
        ({"method": DictMethod}, "method.class was Method, now DictMethod"),
        ({"data": lambda: Data(hash="two")}, "data.hash was one, now two"),
        ({"data": lambda: Data(train=40)}, "data.train was 41, now 40"),
        ({"lr": 0.1}, "options.lr was 0.01, now 0.1"),
        ({"seed": 1}, "options.seed was 0, now 1"),
        ({"optimizer": "sgd"}, "options.optimizer was adam, now sgd"),
        ({"schedule": "cosine"}, "options.schedule was None, now cosine"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_by_name(tmp_path, change, word):
    run(out=tmp_path, epochs=1)
    before = (tmp_path / "state.safetensors").read_bytes()
    with pytest.raises(AvbookError, match=word) as error:
        run(
            out=tmp_path,
            epochs=2,
            **{key: value() if callable(value) else value for key, value in change.items()},
        )
    assert "state.safetensors" in one_line(error)
    assert (tmp_path / "state.safetensors").read_bytes() == before


def test_a_cosine_run_cannot_grow(tmp_path):
    run(out=tmp_path, epochs=2, schedule="cosine")
    with pytest.raises(AvbookError, match="options.epochs was 2, now 3"):
        run(out=tmp_path, epochs=3, schedule="cosine")


def test_a_truncated_checkpoint_is_named(tmp_path):
    run(out=tmp_path, epochs=1)
    file = tmp_path / "state.safetensors"
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(AvbookError, match="not a whole safetensors file") as error:
        run(out=tmp_path, epochs=2)
    assert str(file) in one_line(error)


def checkpoint(tmp_path) -> Path:
    run(out=tmp_path, epochs=2, method=Interrupted())
    return tmp_path / "state.safetensors"


def refused(file: Path, said: str, options=()) -> None:
    """The file is told not to be a checkpoint, and network and method are as they were."""
    net, method = Net(), Interrupted()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(AvbookError, match=said) as error:
        run(net=net, method=method, out=file.parent, epochs=3, **dict(options))
    text = one_line(error)
    assert text.startswith(str(file)) and len(text) < len(str(file)) + 400, text
    assert same_tensors(dict(net.state_dict()), before) and method._moving == 0


NO_CHECKPOINT = "not a checkpoint of avbook .*remove it to start over"


@pytest.mark.parametrize(
    "key, values",
    [
        ("identity", [[], None]),
        ("epoch", ["2", 2.5, True, 0, -1, None, 1]),
        ("seconds", ["1", None, float("nan"), -1.0]),
        ("history", [{}, "x", [1], [{"epoch": 1}], []]),
        ("optimizer", [[], {}, {"groups": {}, "plain": {}}, {"groups": [], "plain": {}}]),
        ("scaler", [1]),
        ("looks", [[], {"1": {"val": 3}}, {"1": {"val": {"accuracy": "x"}, "test": {}}}, {}]),
        ("kept", [{"last": "1"}, {"last": 9}, {}]),
        ("sums", [{}, [], {"": 1}]),
    ],
)
def test_a_checkpoint_whose_header_was_changed_is_refused(tmp_path, key, values):
    file = checkpoint(tmp_path)
    tensors, meta = read_tensors(file)
    for value in values:
        write_tensors(file, tensors, meta | {key: value})
        refused(file, NO_CHECKPOINT)
    write_tensors(file, tensors, {name: part for name, part in meta.items() if name != key})
    refused(file, f"{NO_CHECKPOINT[:25]}.*{key}: Field required")


@pytest.mark.parametrize(
    "name",
    [
        "net.out.weight",
        "optimizer.0.exp_avg",
        "optimizer.0.step",
        "rng.torch",
        "rng.numpy",
        "rng.python",
        "rng.gauss",
        "method.moving",
        "look2.predictions.",
    ],
)
def test_a_checkpoint_whose_tensors_were_changed_is_refused(tmp_path, name):
    file = checkpoint(tmp_path)
    tensors, meta = read_tensors(file)
    one = tensors[name]
    flat = one.reshape(-1)
    for other in (flat[:-1], one[None], one.double(), one + 1, torch.cat([flat, flat])):
        if (other.dtype, other.shape) == (one.dtype, one.shape):
            other = torch.zeros_like(one)
        write_tensors(file, tensors | {name: other}, meta)
        refused(file, f"{name} is not what was written")
    write_tensors(file, {key: tensor for key, tensor in tensors.items() if key != name}, meta)
    refused(file, f"it lacks {name}")
    write_tensors(file, tensors | {"more": one}, meta)
    refused(file, "more is not what was written")


def test_a_whole_checkpoint_that_does_not_fit_is_refused(tmp_path):
    """As another version might write it: the sums are right."""
    file = checkpoint(tmp_path)
    tensors, meta = read_tensors(file)
    del meta["sums"]
    changes = [
        ({"optimizer.0.exp_avg": torch.ones(3)}, {}),
        ({"optimizer.0.step": torch.ones(3)}, {}),
        ({"optimizer.99.exp_avg": torch.ones(3)}, {}),
        ({"optimizer.x.exp_avg": torch.ones(3)}, {}),
        ({"rng.torch": torch.zeros(1, 7, dtype=torch.uint8)}, {}),
        ({"rng.numpy": torch.zeros(1, 7)}, {}),
        ({"rng.python": torch.zeros(1, 7)}, {}),
        ({"net.out.weight": torch.ones(5, 5)}, {}),
        ({}, {"kept": {"last": 7}}),
        ({}, {"looks": {"two": {"val": {}, "test": {}}}}),
        ({}, {"optimizer": {"groups": [], "plain": {}}}),
    ]
    for other, told in changes:
        changed, header = tensors | other, meta | told
        write_tensors(file, changed, header | {"sums": checkpoints._sums(changed, header)})
        with pytest.raises(AvbookError, match=NO_CHECKPOINT) as error:
            run(method=Interrupted(), out=tmp_path, epochs=3)
        one_line(error)
    write_tensors(file, tensors, meta | {"sums": checkpoints._sums(tensors, meta)})
    run(method=Interrupted(), out=tmp_path, epochs=3)


def test_bytes_changed_anywhere_in_a_checkpoint_are_seen(tmp_path):
    """Or they change nothing that is read: the file's note of its format, and a digit beyond a
    number's precision."""
    file = checkpoint(tmp_path)
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    written = checkpoints._sums(*read_tensors(file))
    for at in [whole.index(b'"format"') + 1, *rng.integers(0, len(whole), 60)]:
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            run(method=Interrupted(), out=tmp_path, epochs=3)
        except AvbookError as error:
            assert str(error).startswith(f"{file}: ") and "\n" not in str(error)
            continue
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert checkpoints._sums(*read_tensors(file)) == written
    for at in rng.integers(0, len(whole), 20):
        file.write_bytes(whole[:at])
        with pytest.raises(AvbookError, match="not a whole safetensors file"):
            run(method=Interrupted(), out=tmp_path, epochs=3)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_file_in_a_checkpoints_place(tmp_path):
    os.mkfifo(tmp_path / "state.safetensors")
    with pytest.raises(AvbookError, match="state.safetensors: is a pipe"):
        run(out=tmp_path, epochs=1)


def test_a_folder_that_another_process_removed_is_made_again(tmp_path, monkeypatch):
    """Two processes on one run, where the filesystem has no locks: the first ends and tidies up."""
    calls = []

    def gone_once(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise AvbookError("could not be written") from FileNotFoundError()
        return write_tensors(*arguments)

    monkeypatch.setattr(checkpoints, "write_tensors", gone_once)
    result = run(out=tmp_path, epochs=3)
    assert len(calls) == 3 and read_tensors(tmp_path / "state.safetensors")[1]["epoch"] == 3
    assert numbers(result) == numbers(run(epochs=3))


def test_data_of_another_name_and_the_same_content_is_the_same_data(tmp_path):
    run(out=tmp_path, epochs=1)
    copy = Data()
    copy.name, copy.kind = "copy", "folder"
    assert numbers(run(out=tmp_path, data=copy, epochs=2)) == numbers(run(epochs=2))
    with pytest.raises(AvbookError, match="data.hash was one, now two"):
        run(out=tmp_path, data=Data(hash="two"), epochs=3)


def test_data_without_a_hash_is_told_by_its_name(tmp_path):
    class Named(Data):
        def __init__(self, name):
            super().__init__()
            del self.hash
            self.name = name

    run(out=tmp_path, data=Named("a"), epochs=1)
    with pytest.raises(AvbookError, match="data.name was a, now b"):
        run(out=tmp_path, data=Named("b"), epochs=2)


def test_versions_are_read_before_the_first_epoch(tmp_path, monkeypatch):
    class Untouched(Method):
        def loss(self, net, batch):
            raise AssertionError("trained")

    def missing():
        raise AvbookError("accelerate is not installed")

    monkeypatch.setattr(loop, "versions", missing)
    with pytest.raises(AvbookError, match="accelerate is not installed"):
        run(method=Untouched(), out=tmp_path)


def test_ctrl_c_from_outside(tmp_path):
    """A real SIGINT to a real process: exit code not 0, one clear line, and a checkpoint that
    continues."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, time\nsys.path.insert(0, sys.argv[1])\nfrom tiny import *\nfrom"
        " avbook.training.device import seed_everything\nfrom avbook.training.loop import"
        " fit\nclass Slow(Method):\n    def epoch_start(self, net, epoch):"
        " time.sleep(.05)\nSlow.__name__ = 'Method'\nseed_everything(0)\nfit(Net(), Slow(), Data(),"
        " epochs=10**6, batch_size=8, lr=1e-2, device='cpu', out=sys.argv[2])\n"
    )
    out, here = tmp_path / "run", ROOT / "tests/helpers"
    process = subprocess.Popen(
        [sys.executable, script, here, out],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    wait_for((out / "state.safetensors").exists, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0 and "interrupted in epoch" in err and "goes on from there" in err
    finished = read_tensors(out / "state.safetensors")[1]["epoch"]
    assert finished >= 1 and [file.name for file in out.iterdir()] == ["state.safetensors"]
    more = run(out=out, epochs=finished + 2)
    assert numbers(more) == numbers(run(epochs=finished + 2))


@pytest.mark.parametrize(
    "failure, raised",
    [
        (KeyboardInterrupt, KeyboardInterrupt),
        (OSError(errno.ENOSPC, "No space left on device"), AvbookError),
    ],
)
def test_a_checkpoint_cut_off_in_the_writing_leaves_the_old_one(
    tmp_path, monkeypatch, failure, raised
):
    """Half of the second checkpoint reaches the disk, then the disk is full or the user has had
    enough."""
    run(out=tmp_path, epochs=1)
    before = (tmp_path / "state.safetensors").read_bytes()
    whole = Path.write_bytes

    def half(self, content):
        whole(self, content[: len(content) // 2])
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", half)
        with pytest.raises(raised) as error:
            run(out=tmp_path, epochs=3)
    if raised is AvbookError:
        assert "state.safetensors: No space left on device; free some space" in one_line(error)
    assert (tmp_path / "state.safetensors").read_bytes() == before
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]
    assert numbers(run(out=tmp_path, epochs=3)) == numbers(run(epochs=3))


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AvbookError, match="w.safetensors: (Not a directory|File exists); "):
        write_tensors(tmp_path / "file" / "w.safetensors", {"w": torch.ones(1)}, {})


# ------------------------------------------------------------------------------------ broken losses
def test_a_loss_that_is_no_number_is_placed_and_nothing_is_written_over(tmp_path):
    class Explodes(Method):
        def __init__(self):
            self._steps = 0

        def loss(self, net, batch):
            self._steps += 1
            loss, parts = super().loss(net, batch)
            return loss * (float("nan") if self._steps == 6 + 3 else 1), parts

    with pytest.raises(
        AvbookError,
        match=(
            "epoch 2, step 3 of 6: the loss is nan; the data of this batch is finite; try a"
            " smaller lr"
        ),
    ) as error:
        run(method=Explodes(), out=tmp_path)
    one_line(error)
    tensors, meta = read_tensors(tmp_path / "state.safetensors")
    assert meta["epoch"] == 1 and all(
        tensor.isfinite().all() for name, tensor in tensors.items() if name.startswith("net.")
    )


def test_weights_that_are_no_numbers_after_the_last_step_are_not_kept(tmp_path):
    """One step of a huge size: its loss was finite, and nothing comes after it to show."""
    with pytest.raises(AvbookError, match="epoch 1: the weights are not finite .*smaller lr"):
        run(epochs=1, batch_size=64, lr=1e38, weight_decay=1e38, out=tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))


def test_data_that_is_no_number_is_blamed():
    data = Data()
    data.train.x[17, 3, 2] = float("inf")
    with pytest.raises(
        AvbookError, match="the batch itself is not finite in x; run `avbook data check`"
    ):
        run(data=data)


# ------------------------------------------------------------------------------------------ weights
def test_weights_return_with_what_was_said_of_them(tmp_path):
    net, other = Net(), Net()
    path = save_weights(net, tmp_path / "deep" / "w.safetensors", {"options": {"hidden": 16}})
    assert load_weights(other, path) == {"class": "Net", "options": {"hidden": 16}}
    assert same_tensors(dict(net.state_dict()), dict(other.state_dict()))
    assert [file.name for file in path.parent.iterdir()] == ["w.safetensors"]


def test_fit_s_weights_load_by_name(tmp_path):
    result = run(out=tmp_path, epochs=3)
    for name in ("val_selected", "last", "test_selected"):
        net = Net()
        meta = load_weights(net, tmp_path / f"{name}.safetensors")
        assert meta["epoch"] == result.epochs[name] and meta["test"] == result.metrics["test"][name]
        assert same_tensors(dict(net.state_dict()), result.weights[name])


def test_weights_of_another_network_are_refused_and_leave_this_one_alone(tmp_path):
    path = save_weights(Net(), tmp_path / "w.safetensors")
    for net, word in (
        (Wider(), "holds weights of Net, expected Wider"),
        (Net(hidden=24), r"layers.0.weight in the network \[24, 8\], in the file \[16, 8\]"),
    ):
        before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        with pytest.raises(AvbookError, match=word) as error:
            load_weights(net, path)
        assert str(path) in one_line(error) and same_tensors(before, dict(net.state_dict()))


def test_files_that_are_no_weights(tmp_path):
    with pytest.raises(AvbookError, match="no such file"):
        load_weights(Net(), tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("not weights at all, but long enough to look at")
    with pytest.raises(AvbookError, match="not a whole safetensors file"):
        load_weights(Net(), tmp_path / "text.safetensors")
    with pytest.raises(AvbookError):
        load_weights(Net(), tmp_path)


def test_differences_name_the_path_to_each():
    assert differences({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 4}, "e": 5}) == [
        "a.c was 2, now 4",
        "d only was",
        "e only now",
    ]
    assert differences({"a": {"b": [1]}}, {"a": {"b": [1]}}) == []


# ------------------------------------------------------------------------------------- freed memory
HOLDING = """
import ctypes, os, torch
from avbook.training.device import retain_freed_memory
malloc = ctypes.CDLL(None).malloc
page = os.sysconf("SC_PAGESIZE")
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * page / 2**20
def free_some(blocks=4, megabytes=64, above=0):
    before = resident()
    held = [torch.ones(megabytes * 2**18) for _ in range(blocks)]
    # lives on above the blocks and is never touched, so that freeing them leaves a hole in the heap
    malloc(ctypes.c_size_t(above * 2**20))
    del held
    return resident() - before
outside = free_some()
with retain_freed_memory(torch.device("cpu")) as kept:
    inside = free_some(above=24)
    at_the_end = resident()
freed = at_the_end - resident()
again = free_some(1, 512)  # 512: more than the hole, which glibc would fill and keep
print(kept, outside < 64, inside > 192, freed > 192, again < 128)
"""


@pytest.mark.soak
@pytest.mark.skipif(
    not sys.platform.startswith("linux")
    or not hasattr(os, "confstr")
    or "glibc" not in (os.confstr("CS_GNU_LIBC_VERSION") or ""),
    reason="only glibc keeps freed memory",
)
@pytest.mark.parametrize(
    "switch, said", [("1", "True True True True True"), ("0", "False True False False True")]
)
def test_freed_memory_stays_in_the_block_and_goes_back_after_it(switch, said):
    done = subprocess.run(
        [sys.executable, "-c", HOLDING],
        env=os.environ | {"AVBOOK_KEEP_MEMORY": switch},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == said


def test_keeping_freed_memory_changes_no_number(monkeypatch):
    results = {}
    for switch in ("0", "1"):
        monkeypatch.setenv("AVBOOK_KEEP_MEMORY", switch)
        results[switch] = run()
    assert numbers(results["0"]) == numbers(results["1"]) and same_tensors(
        results["0"].weights["last"], results["1"].weights["last"]
    )


@pytest.mark.parametrize(
    "libc", [OSError("no such library"), TypeError("a name is needed"), object()]
)
def test_without_glibc_nothing_is_kept_and_fit_runs(monkeypatch, libc):
    def load(name):
        if isinstance(libc, Exception):
            raise libc
        return libc

    monkeypatch.setattr(machine.ctypes, "CDLL", load)
    with machine.retain_freed_memory(CPU) as kept:
        assert kept is False
    assert run(epochs=1).history


def test_a_refusal_by_the_c_library_and_another_device_keep_nothing(monkeypatch):
    asked = []

    class Refuses:
        gnu_get_libc_version = malloc_trim = None

        def mallopt(self, name, value):
            asked.append(name)
            return 0

    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: Refuses())
    with machine.retain_freed_memory(torch.device("cuda")) as kept:
        assert kept is False and not asked
    with machine.retain_freed_memory(CPU) as kept:
        assert kept is False and asked
