"""Two processes with the same global batch give the curve of one: really launched, on the CPU,
without a network."""

import json
import os
import subprocess
import sys

import pytest
from processes import PATIENCE, ROOT

HELPERS = ROOT / "tests/helpers"

# 41 rows in batches of 8: the last batch is one row, so one of two processes has none; the test
# split is a single clip
SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from accelerate import PartialState
from tiny import *
from avbook.training.device import seed_everything
from avbook.training.loop import fit

class Half(DictMethod):
    "Few rows reach one of the layers: often it has a gradient on one process only, or on none."
    def loss(self, net, batch):
        loss, parts = super().loss(net, batch)
        reaches = batch["x"][:, 0, 0] > 1
        if reaches.any():
            sizes = net.unused(batch["x"][..., :3]).square().mean((1, 2))
            loss = loss + 0.1 * (sizes * reaches).mean()
        return loss, parts

out, options = sys.argv[2], json.loads(sys.argv[3])
results = {}
always = dict(batch_size=8, device="cpu", progress=False)
stepped = dict(epochs=6, lr=1e-2, schedule=("step", 3, 0.5), weight_decay=0.01, **always)
seed_everything(0)
results["adam"] = fit(Net(dropout=0.0), DictMethod(), Data(test=1), **stepped)
seed_everything(0)
results["sgd"] = fit(Net(dropout=0.0), Half(), Data(test=1), optimizer="sgd", clip=0.5, **stepped)
if options.get("resume"):
    for epochs in (2, 4):
        seed_everything(0)
        parts = dict(epochs=epochs, out=out + ".parts", **always)
        results["parts"] = fit(Net(dropout=0.5), DictMethod(), Data(), **parts)
    seed_everything(0)
    results["whole"] = fit(Net(dropout=0.5), DictMethod(), Data(), epochs=4, **always)
state = PartialState()
if state.is_main_process:
    runs = {}
    for name, result in results.items():
        last = result.predictions["last"]
        weights = [w.double().abs().sum().item() for w in result.weights["last"].values()]
        runs[name] = {"record": result.to_record(), "weights": weights,
                      "share": last["share"].tolist(), "said": last["said"].tolist()}
    told = {"processes": state.num_processes, "rank_device": str(state.device), "runs": runs}
    with open(out, "w") as file:
        json.dump(told, file)
"""


def launch(folder, name, processes, **options):
    """What the script wrote, run by so many processes (the launcher picks a free port)."""
    script, out = folder / "script.py", folder / f"{name}.json"
    script.write_text(SCRIPT)
    # `accelerate launch --cpu --num_processes 2` alone starts one process (accelerate's issue
    # 2741); this starts two
    launcher = (
        [
            "-m",
            "accelerate.commands.launch",
            "--multi_gpu",
            "--num_machines",
            "1",
            "--num_processes",
            str(processes),
            "--mixed_precision",
            "no",
            "--dynamo_backend",
            "no",
            "--main_process_ip",
            "127.0.0.1",
            "--main_process_port",
            "0",
        ]
        if processes > 1
        else []
    )
    environment = {
        **os.environ,
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "HF_HOME": str(folder / "none"),
    }  # no one's accelerate configuration
    if sys.platform.startswith("linux"):
        environment["GLOO_SOCKET_IFNAME"] = "lo"
    done = subprocess.run(
        [sys.executable, *launcher, script, HELPERS, out, json.dumps(options)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def one_and_two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    return launch(folder, "one", 1), launch(folder, "two", 2, resume=True)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_two_processes_give_the_curve_of_one(one_and_two, name):
    one, two = one_and_two
    assert one["processes"] == 1 and two["processes"] == 2, (
        "the launcher did not start two processes, so this would compare nothing"
    )
    one, two = one["runs"][name], two["runs"][name]
    for mine, theirs in zip(one["record"]["history"], two["record"]["history"], strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], abs=1e-4)
        assert mine["losses"] == pytest.approx(theirs["losses"], abs=1e-4)
        assert mine["lr"] == theirs["lr"]
    assert one["record"]["history"][0]["loss"] - one["record"]["history"][-1]["loss"] > 0.02, (
        "nothing was learned, so nothing was compared"
    )
    assert one["weights"] == pytest.approx(two["weights"], rel=1e-4)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_predictions_come_together_in_order(one_and_two, name):
    one, two = (runs["runs"][name] for runs in one_and_two)
    flat = [[x for clip in run["share"] for second in clip for x in second] for run in (one, two)]
    assert len(flat[0]) == 20 and flat[0] == pytest.approx(flat[1], abs=1e-3)
    assert one["record"]["metrics"]["val"] == pytest.approx(two["record"]["metrics"]["val"])
    assert one["said"] == two["said"]


def test_two_processes_continue_to_the_same_numbers(one_and_two):
    """With dropout: each process's random stream is in the checkpoint."""
    runs = one_and_two[1]["runs"]
    parts, whole = (
        [
            {k: v for k, v in entry.items() if k != "seconds"}
            for entry in runs[name]["record"]["history"]
        ]
        for name in ("parts", "whole")
    )
    assert len(parts) == 4 and parts == whole and runs["parts"]["share"] == runs["whole"]["share"]


@pytest.mark.soak
def test_the_launch_line_that_needs_no_gpu(tmp_path):
    """As the page on clusters has it."""
    page = json.loads((ROOT / "nbs/reference/clusters.ipynb").read_text(encoding="utf-8"))
    text = "\n".join("".join(cell["source"]) for cell in page["cells"]).replace("\\\n", "")
    line = next(line for line in text.splitlines() if line.startswith("ACCELERATE_USE_CPU"))
    line = line.replace("accelerate launch", f"{sys.executable} -m accelerate.commands.launch")
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "HF_HOME": str(tmp_path / "none"),
        "GLOO_SOCKET_IFNAME": "lo",
    }
    one = f"{sys.executable} -m avbook {line.split('-m avbook ')[1]}"
    losses = []
    for out, command in (("two", line), ("one", one)):
        done = subprocess.run(
            ["bash", "-c", f"{command} --out {tmp_path / out}"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        (found,) = tmp_path.glob(f"{out}/psp-full/*/seed-0.json")
        history = json.loads(found.read_text(encoding="utf-8"))["history"]
        losses.append([epoch["loss"] for epoch in history])
    assert len(losses[0]) == 2 and losses[0] == pytest.approx(losses[1], rel=0.2)
