"""What training asks of methods and data: the book's own have it, and a class that lacks a part
is told apart."""

import inspect

import numpy as np
import pytest
import torch
from made_folders import write_ave, write_llp
from tiny import Data as TinyData

from avbook.data.ave import AVE
from avbook.data.llp import LLP
from avbook.parsing.han import HANMethod
from avbook.parsing.ma import MAMethod
from avbook.supervised.avel import AVEMethod
from avbook.supervised.psp import PSPMethod
from avbook.training.batches import DeviceSplit
from avbook.training.protocols import (
    Data,
    HasBatches,
    HasEpochStart,
    HasOptimizer,
    HasPredict,
    HasState,
    Method,
    Split,
)
from avbook.unsupervised.em import FeatureData, LocaliseMethod
from avbook.unsupervised.pretraining import (
    PretextMethod,
    UnlabelledSplit,
    UnsupervisedMethod,
)

ABILITIES = (HasOptimizer, HasBatches, HasEpochStart, HasState)
# how training calls what it finds
CALLS = {
    "loss": (("net", "batch"), {}),
    "predict": (("net", "batch"), {}),
    "score": (("predictions", "split"), {}),
    "optimizer": (("net",), {"lr": 0.1, "weight_decay": 0.0}),
    "batches": (("split", 1, 0, 8), {}),
    "epoch_start": (("net", 1), {}),
    "state_dict": ((), {}),
    "load_state_dict": (({},), {}),
}
METHODS = {
    "AVE": (AVEMethod, set()),
    "PSP": (PSPMethod, {HasState}),
    "PSP, frozen batches": (lambda: PSPMethod(frozen_batches=True), {HasState, HasBatches}),
    "HAN": (HANMethod, set()),
    "MA": (MAMethod, set()),
    "pretext": (lambda: PretextMethod(3, dim=4), {HasOptimizer, HasState}),
    "localise": (LocaliseMethod, set()),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_the_book_is_one_and_has_these_abilities(name):
    make, abilities = METHODS[name]
    method = make()
    assert isinstance(method, Method)
    assert {ability for ability in ABILITIES if isinstance(method, ability)} == abilities
    for call, (given, named) in CALLS.items():
        if hasattr(method, call):
            inspect.signature(getattr(method, call)).bind(*given, **named)


def features():
    return FeatureData(
        {name: torch.zeros(2, 10, 4) for name in ("train", "val", "test")}, torch.zeros(2, 3)
    )


def data_sets(folder):
    ave, llp = AVE(write_ave(folder / "ave")[0]), LLP(write_llp(folder / "llp")[0])
    return {"ave": ave, "llp": llp, "features": features(), "tiny": TinyData()}


def test_data_sets_and_their_splits(tmp_path):
    found = data_sets(tmp_path)
    for name, data in found.items():
        assert isinstance(data, Data), name
        for split in (data.train, data.val, data.test):
            assert isinstance(split, Split) and len(split) > 0, name
            batch = split.batch([1, 0])
            assert {len(part) for part in batch.values()} == {2}, name
    assert isinstance(UnlabelledSplit(found["ave"].train), Split)
    assert isinstance(DeviceSplit(found["llp"].val, torch.device("cpu")), Split)


@pytest.mark.parametrize(
    "protocol, parts",
    [
        (Split, ("__len__", "batch")),
        (Data, ("train", "val", "test")),
        (HasPredict, ("predict",)),
        (Method, ("monitor", "loss", "predict", "score")),
        (HasState, ("state_dict", "load_state_dict")),
    ],
)
def test_what_lacks_a_part_is_none(protocol, parts):
    def made(names):
        return type("Made", (), {name: lambda self, *given: 0 for name in names})()

    assert isinstance(made(parts), protocol)
    for missing in parts:
        assert not isinstance(made(set(parts) - {missing}), protocol), missing


def test_what_only_predicts_is_no_method():
    assert isinstance(UnsupervisedMethod(), HasPredict)
    assert not isinstance(UnsupervisedMethod(), Method)  # it has no loss
    assert not isinstance(features(), Split) and not isinstance(np.zeros(3), Split)


def test_an_ability_given_to_an_object_counts():
    method = PretextMethod(3, dim=4)
    assert not isinstance(method, HasEpochStart)
    method.epoch_start = lambda net, epoch: None  # as `pretrain` does with `watch`
    assert isinstance(method, HasEpochStart)
