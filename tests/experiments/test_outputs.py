"""What is written beside a record, and what is not taken for it."""

import os

import numpy as np
import pytest
import torch

from avbook.errors import AvbookError
from avbook.experiments.outputs import (
    check_shape,
    read_predictions,
    read_stage_tensors,
    without_nan,
    write_predictions,
)
from avbook.training.weights import write_tensors

RUN = {"recipe": "ma", "seed": 3, "data": "abc"}
PREDICTIONS = {"last": np.full((3, 10), 28), "val_selected": {"audio": np.ones((2, 2))}}


def one_line(error) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_predictions_are_small_integers_without_pickle_that_say_what_they_are_of(tmp_path):
    path = tmp_path / "p.npz"
    write_predictions(path, PREDICTIONS, RUN)
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays["last"].dtype == np.uint8 and arrays["last"].max() == 28
        assert sorted(arrays) == ["last", "run", "val_selected.audio"]
    found = read_predictions(path, RUN)
    assert (found["last"] == 28).all() and (found["val_selected"]["audio"] == 1).all()
    assert "run" not in found and read_predictions(path).keys() == found.keys()


@pytest.mark.parametrize("name, value", [("recipe", "han"), ("seed", 4), ("data", "abd")])
def test_predictions_of_another_run_are_refused(tmp_path, name, value):
    write_predictions(tmp_path / "p.npz", PREDICTIONS, RUN)
    with pytest.raises(AvbookError, match=f"predictions of another run .{name}") as error:
        read_predictions(tmp_path / "p.npz", RUN | {name: value})
    one_line(error)


def test_predictions_that_do_not_say_what_they_are_of_are_still_read(tmp_path):
    np.savez(tmp_path / "p.npz", last=np.ones(3))
    assert read_predictions(tmp_path / "p.npz", RUN)["last"].tolist() == [1, 1, 1]


def broken(path):
    """The same file spoilt in one way after the other."""
    write_predictions(path, PREDICTIONS, RUN)
    whole = path.read_bytes()
    for cut in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        yield
    path.write_bytes(whole[:60] + b"\xff" * 8 + whole[68:])
    yield
    path.write_bytes(b"no archive")
    yield
    np.savez(path, last=np.array([{}], dtype=object))  # would be unpickled
    yield
    for run in (np.array(1), np.array("["), np.array('{"recipe": 1}'), np.array(["{}"])):
        np.savez(path, run=run)
        yield
    path.unlink()
    yield
    path.mkdir()
    yield
    path.rmdir()
    os.mkfifo(path)
    yield


def test_what_is_no_predictions_file_is_one_line(tmp_path):
    path = tmp_path / "p.npz"
    for _ in broken(path):
        with pytest.raises(AvbookError) as error:
            read_predictions(path, RUN)
        assert str(path) in one_line(error)


def test_a_stages_tensors_are_those_it_wrote(tmp_path):
    path, shapes = tmp_path / "f.safetensors", {"train": (4, None), "test": (2, 3)}
    right = {"train": torch.ones(4, 3), "test": torch.ones(2, 3)}
    write_tensors(path, right, {})
    assert read_stage_tensors(path, shapes).keys() == right.keys()
    for tensors, said in [
        ({"train": right["train"]}, "it lacks test"),
        (right | {"train": torch.ones(5, 3)}, r"train has the shape \(5, 3\), expected \(4, any"),
        (right | {"test": torch.ones(2)}, r"test has the shape \(2,\)"),
        (right | {"test": torch.full((2, 3), torch.nan)}, "test is not finite"),
    ]:
        write_tensors(path, tensors, {})
        with pytest.raises(AvbookError, match=said) as error:
            read_stage_tensors(path, shapes)
        assert "remove" in one_line(error)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(AvbookError, match="f.safetensors"):
        read_stage_tensors(path, shapes)
    path.unlink()
    with pytest.raises(AvbookError, match="no such file"):
        read_stage_tensors(path, shapes)


def test_a_value_that_is_not_there_is_named(tmp_path):
    with pytest.raises(AvbookError, match="it lacks labels; |it lacks labels\\)"):
        check_shape(tmp_path / "x.npz", "labels", None, (1,))


def test_a_figure_with_nothing_to_count_is_null_in_a_record():
    nan, inf = float("nan"), float("inf")
    assert without_nan({"a": [nan, 1.5, -inf], "b": (2, "x")}) == {
        "a": [None, 1.5, None],
        "b": [2, "x"],
    }
