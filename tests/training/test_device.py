"""Devices and precision: what a machine has not is one line, before anything is computed."""

import pytest
import torch
from tiny import Data, Method, Net
from torch import nn

from avbook.errors import AvbookError
from avbook.training import device as machine
from avbook.training.loop import fit


@pytest.fixture(autouse=True)
def nothing_remembered():
    found = (machine.cpu_has_bfloat16, machine.cpu_lstm_has_bfloat16)
    for function in found:
        function.cache_clear()
    yield
    for function in found:
        function.cache_clear()


def test_gradients_are_added_and_a_parameter_without_one_keeps_none():
    """With weight decay, no gradient and a gradient of zero are different steps of Adam."""

    class TwoEqual:
        device = torch.device("cpu")

        def reduce(self, tensor, reduction):
            return 2 * tensor

    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))
    used.sum().backward()
    machine.all_reduce_gradients([used, unused], TwoEqual())
    assert used.grad.tolist() == [2, 2] and unused.grad is None


def processor_with(monkeypatch, **capabilities) -> None:
    told = {"architecture": "made up", "num_sockets": 1, **capabilities}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)


@pytest.mark.parametrize(
    "told, has",
    [
        ({"avx512_f": True, "avx512_vnni": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"avx512_f": True, "avx512_bf16": True, "amx_bf16": False}, True),
        ({"amx_tile": True, "amx_bf16": True}, True),
        ({"neon": True, "bf16": False, "sve_bf16": False}, False),
        ({"neon": True, "bf16": True}, True),
        ({}, False),
    ],
)
def test_the_units_are_those_that_pytorch_tells(monkeypatch, told, has):
    processor_with(monkeypatch, **told)
    assert machine.cpu_has_bfloat16() is has


@pytest.mark.parametrize(
    "line, has",
    [
        ("flags : fpu sse4_2 avx2 avx512f avx512_vnni", False),
        ("flags : avx512f avx512_bf16 avx512_vnni", True),
        ("flags : amx_tile amx_bf16", True),
        ("Features : fp asimd sve svebf16 i8mm", True),
        ("Features : fp asimd i8mm bf16 dgh", True),
        (None, False),
    ],
)
def test_an_older_pytorch_does_not_tell_and_linux_does(monkeypatch, tmp_path, line, has):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    if line:
        (tmp_path / "cpuinfo").write_text(f"processor : 0\n{line}\n")
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    assert machine.cpu_has_bfloat16() is has


def test_sixteen_bits_without_units_are_refused_before_a_step(monkeypatch):
    processor_with(monkeypatch, avx512_bf16=False)
    monkeypatch.setattr(Method, "loss", None)  # a step would fail in another way
    for device in ("cpu", "auto") if not torch.cuda.is_available() else ("cpu",):
        with pytest.raises(AvbookError, match="no bfloat16 units.*use precision='no'") as error:
            fit(Net(), Method(), Data(), epochs=1, device=device, precision="bf16", progress=False)
        assert "\n" not in str(error.value)


def test_sixteen_bits_with_units_are_taken(monkeypatch):
    processor_with(monkeypatch, avx512_bf16=True)
    assert machine.start_accelerator("cpu", "bf16").mixed_precision == "bf16"
    assert machine.start_accelerator("cpu").mixed_precision == "no"


def test_a_kernel_that_the_lstm_lacks_is_found_by_trying(monkeypatch):
    def missing(*args, **kwargs):
        raise RuntimeError(
            "could not create a primitive descriptor for the LSTM forward propagation primitive"
        )

    monkeypatch.setattr(nn.LSTM, "forward", missing)
    assert machine.cpu_lstm_has_bfloat16() is False
