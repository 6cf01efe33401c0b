"""Networks of runs, read back: they predict what the run predicted, or one line says why not."""

import json
import math
import os
import shutil

import numpy as np
import pytest
import torch
from made_folders import write_ave, write_llp

import avbook
from avbook.errors import AvbookError
from avbook.experiments.datasets import data_dims
from avbook.experiments.models import load_model
from avbook.experiments.recipes import find_recipe
from avbook.experiments.runner import run_seed
from avbook.training.loop import predict_all
from avbook.training.weights import load_weights, read_tensors, save_weights, write_tensors

SMALL = {"epochs": 1, "threads": 1, "batch_size": 8, "hidden": 8}
AVE = {**SMALL, "attention_dim": 8, "head": 8}
CMRAN = {
    **{name: value for name, value in SMALL.items() if name != "hidden"},
    "attention_dim": 8,
    "bottleneck": 6,
    "spatial_dim": 5,
    "adapted": 7,
    "width": 8,
    "feed": 9,
}
RUNS = {
    "psp-full": {**AVE, "bottleneck": 12, "width": 8},
    "psp-weak": {**AVE, "width": 8},
    "avel-full": AVE,
    "avel-weak": AVE,
    "cmran-full": CMRAN,
    "cmran-weak": CMRAN,
    "han": {**SMALL, "width": 8},
    "ma": {**SMALL, "width": 8},
}
ABOUT = ("recipe", "seed", "settings", "data")  # what weights say of their run, with `dims`


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Data sets by task whose sizes are all different, and where runs go."""
    base = tmp_path_factory.mktemp("models")
    write_ave(base / "ave", audio=7, side=3, visual=5, categories=("A", "B", "C", "D"))
    write_llp(base / "llp", audio=7, d2=11, d3=5)
    return {"ave": base / "ave", "llp": base / "llp", "runs": base / "runs"}


@pytest.fixture(scope="module")
def run(folders):
    """A finished run: its files without their ending, and its data; each trains once."""
    found = {}

    def get(name, **options):
        key = (name, *options.items())
        if key not in found:
            recipe = find_recipe(name)
            data = recipe.open_data(folders[recipe.task])
            asked = {"preset": "quick", "options": {**RUNS[name], **options}, "seed": 3}
            before = set(folders["runs"].glob(f"{name}/*/seed-3.json"))
            run_seed(recipe, data, out=folders["runs"], progress=False, device="cpu", **asked)
            (path,) = set(folders["runs"].glob(f"{name}/*/seed-3.json")) - before
            found[key] = path.with_suffix(""), data
        return found[key]

    return get


@pytest.fixture
def copied(run, tmp_path):
    """The files of the run of psp-full in a folder of their own, its weights saying all of it."""
    stem, data = run("psp-full")
    for suffix in (".json", ".safetensors"):
        shutil.copy(stem.with_suffix(suffix), tmp_path / f"seed-3{suffix}")
    retell(tmp_path / "seed-3", dims=data_dims(data), **about(tmp_path / "seed-3"))
    return tmp_path / "seed-3"


def record_of(stem):
    return json.loads(stem.with_suffix(".json").read_text())


def about(stem):
    return {name: record_of(stem)[name] for name in ABOUT}


def retell(stem, drop=(), **changes):
    """Writes the weights again, saying something else of their run."""
    tensors, meta = read_tensors(stem.with_suffix(".safetensors"))
    meta = {name: value for name, value in {**meta, **changes}.items() if name not in drop}
    write_tensors(stem.with_suffix(".safetensors"), tensors, meta)


def rewrite(stem, **changes):
    stem.with_suffix(".json").write_text(json.dumps({**record_of(stem), **changes}))


def refused(path, *words) -> str:
    with pytest.raises(AvbookError) as error:
        load_model(path)
    text = str(error.value)
    assert len(text.splitlines()) == 1 and len(text) < 2000, text
    for word in words:
        assert word in text, text
    return text


# ----------------------------------------------------------------------------------- what is loaded
def test_it_is_a_name_of_the_package():
    assert avbook.load_model is load_model


@pytest.mark.parametrize("says", ["what it was built for", "nothing, as before 0.2.0"])
@pytest.mark.parametrize("name", RUNS)
def test_the_network_predicts_what_the_run_predicted(run, tmp_path, name, says):
    stem, data = run(name)
    for suffix in (".json", ".safetensors"):
        shutil.copy(stem.with_suffix(suffix), tmp_path)
    copy = tmp_path / stem.name
    if says.startswith("nothing"):
        retell(copy, drop=(*ABOUT, "dims"))
    else:
        retell(copy, dims=data_dims(data), **about(copy))
        copy.with_suffix(".json").unlink()  # the weights say it all
    net = load_model(copy)
    assert not net.training

    _, method = find_recipe(name).build(record_of(stem)["settings"], data_dims(data))
    predicted = predict_all(net, method, data.test, 8, torch.device("cpu"))
    with np.load(stem.with_suffix(".npz")) as kept:
        if not isinstance(predicted, dict):
            predicted = {"": predicted}
        for part, values in predicted.items():
            key = f"val_selected.{part}".strip(".")
            assert np.array_equal(np.asarray(values).astype(np.uint8), kept[key])


@pytest.mark.parametrize(
    "name,options",
    [
        ("psp-full", {"prune": "none"}),
        ("psp-full", {"prune": "sapsp", "inputs": "raw"}),
        ("avel-full", {"modality": "visual", "lam": 0.0}),
        ("han", {"modality": "audio", "pool": "mean"}),
        ("ma", {"refine": "none"}),
    ],
)
def test_variants_of_before_are_told_by_their_shapes(run, tmp_path, name, options):
    stem, _ = run(name, **options)
    for suffix in (".json", ".safetensors"):
        shutil.copy(stem.with_suffix(suffix), tmp_path)
    retell(tmp_path / stem.name, drop=(*ABOUT, "dims"))
    state = load_model(tmp_path / stem.name).state_dict()
    tensors, _ = read_tensors(stem.with_suffix(".safetensors"))
    assert state.keys() == tensors.keys()
    assert all(torch.equal(state[key], tensors[key]) for key in state)


def test_record_weights_or_neither_ending(copied):
    nets = [
        load_model(path)
        for path in (
            copied,
            str(copied),
            copied.with_suffix(".json"),
            copied.with_suffix(".safetensors"),
        )
    ]
    first = nets[0].state_dict()
    for net in nets:
        assert all(torch.equal(first[key], value) for key, value in net.state_dict().items())


def test_random_numbers_go_on_as_before(copied):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    load_model(copied)
    assert torch.equal(torch.rand(3), expected)


def test_a_score_that_had_nothing_to_count(copied):
    """The weights say NaN, the record null."""
    _, meta = read_tensors(copied.with_suffix(".safetensors"))
    record = record_of(copied)
    test = {**meta["test"], "rare": math.nan}
    record["metrics"]["test"]["val_selected"]["rare"] = None
    retell(copied, test=test)
    rewrite(copied, metrics=record["metrics"])
    load_model(copied)


def test_the_weights_alone_into_a_network_of_one_s_own(copied, run):
    """Without recipe, settings and dims: `load_weights` takes the same file."""
    _, data = run("psp-full")
    net, _ = find_recipe("psp-full").build(record_of(copied)["settings"], data_dims(data))
    told = load_weights(net, copied.with_suffix(".safetensors"))
    assert told["recipe"] == "psp-full" and told["dims"] == data_dims(data)


# ------------------------------------------------------------------------------ not of the same run
@pytest.mark.parametrize(
    "changes,word",
    [
        ({"seed": 4}, "seed in the record 3, in the weights 4"),
        ({"recipe": "psp-weak"}, "recipe in the record psp-full, in the weights psp-weak"),
        ({"data": {"kind": "folder", "name": "ave", "hash": "0" * 12}}, "data.hash in the record"),
        ({"settings": {"tau": 0.5}}, "settings."),
        ({"epoch": 7}, "epoch in the record 1, in the weights 7"),
        ({"test": {"accuracy": 1.5}}, "test.accuracy in the record"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_weights_of_another_run(copied, changes, word):
    retell(copied, **changes)
    text = refused(copied, word, "not of the run of seed-3.json", "files of one run together")
    assert text.startswith(str(copied.with_suffix(".safetensors")))


def test_weights_of_another_seed_that_say_nothing(run, copied):
    """Of before 0.2.0: epoch and scores tell them apart."""
    _, meta = read_tensors(copied.with_suffix(".safetensors"))
    test = {**meta["test"], "accuracy": meta["test"]["accuracy"] + 1}
    retell(copied, drop=(*ABOUT, "dims"), test=test)
    refused(copied, "test.accuracy in the record")


# ---------------------------------------------------------------------------------- what is missing
def test_files_that_are_not_there(copied, tmp_path):
    refused(tmp_path / "seed-9", "no finished run (seed-9.json and seed-9.safetensors are missing)")
    refused(tmp_path / "seed-9.json", "seed-9.json: no such file")
    refused(tmp_path, f"{tmp_path}: is a folder of 1 runs; give one, such as")
    for wrong in (None, 3, torch.nn.Linear(1, 1), {"a": 1}):
        refused(wrong, f"found {type(wrong).__name__}; expected the path of its record")
    copied.with_suffix(".safetensors").unlink()
    refused(copied, "seed-3.safetensors: no such file; expected the weights beside the record")


def test_weights_that_need_their_record(copied):
    retell(copied, drop=ABOUT)
    copied.with_suffix(".json").unlink()
    refused(copied, "it lacks recipe", "put its record beside them as seed-3.json")


def test_a_network_that_is_of_no_run(tmp_path):
    path = save_weights(torch.nn.Linear(2, 2), tmp_path / "net.safetensors")
    refused(path, "it lacks recipe", "build the network and use load_weights")


@pytest.mark.parametrize("name", ["cmlcl", "cluster", "rule"])
def test_recipes_without_a_single_network(tmp_path, name):
    record = {"recipe": name, "seed": 0, "settings": {}, "data": {"hash": "a"}, "metrics": {}}
    (tmp_path / "seed-0.json").write_text(json.dumps(record))
    refused(
        tmp_path / "seed-0.json",
        f"{name} trains no single network that could be loaded; expected a run of psp-full",
    )


# ----------------------------------------------------------------------------------- what is broken
@pytest.mark.parametrize(
    "changes,word",
    [
        ({"recipe": "psp-ful"}, "recipe 'psp-ful' is not known (did you mean psp-full?)"),
        ({"recipe": 3}, "recipe is 3"),
        ({"seed": "3"}, "seed is '3'"),
        ({"settings": []}, "settings is []"),
        ({"settings": {}}, "its settings lack attention_dim"),
        ({"data": {}}, "it lacks data.hash"),
        ({"data": None}, "data is None"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_records_with_a_wrong_value(copied, changes, word):
    rewrite(copied, **changes)
    assert refused(copied, word).startswith(str(copied.with_suffix(".json")))


@pytest.mark.parametrize(
    "settings,word",
    [
        ({"tau": math.nan}, "NaN"),
        ({"tau": 7}, "option tau=7: expected a number, at least 0 and at most 1"),
        ({"unknown": 1}, "psp-full has no option 'unknown'"),
        ({"hidden": 9}, "settings.hidden in the record 9, in the weights 8"),
        ({"tau": [[]]}, "option tau"),
    ],
    ids=str,
)
def test_settings_that_are_none(copied, settings, word):
    rewrite(copied, settings={**record_of(copied)["settings"], **settings})
    refused(copied, word)


def test_settings_of_other_sizes_than_the_weights(copied):
    """Both say the same, and the weights are of another network: nothing of its size is built."""
    for hidden in (9, 60_000):
        settings = {**record_of(copied)["settings"], "hidden": hidden}
        rewrite(copied, settings=settings)
        retell(copied, settings=settings)
        refused(copied, "its settings or its weights were changed")


@pytest.mark.parametrize(
    "dims,word",
    [
        ({}, "its dims lack"),
        ({"audio_dim": "7"}, "dims.audio_dim is '7'"),
        ({"audio_dim": 0}, "dims.audio_dim is 0"),
        ([7], "dims is [7]"),
        (None, None),
    ],
    ids=str,
)
def test_dims_that_are_none(copied, dims, word):
    retell(copied, dims=dims)
    if word:
        refused(copied, word)
    else:  # as of before: by the shapes
        load_model(copied)


def test_dims_of_other_data(copied):
    _, meta = read_tensors(copied.with_suffix(".safetensors"))
    for audio in (8, 10**9, 10**18):
        retell(copied, dims={**meta["dims"], "audio_dim": audio})
        refused(copied, str(copied))


def test_shapes_that_tell_no_sizes(copied):
    for shape, word in (((9, 9, 9), "shape (9, 9, 9)"), ((9, 8), "do not fit PSP")):
        tensors, meta = read_tensors(copied.with_suffix(".safetensors"))
        meta.pop("dims", None)
        name = next(n for n in tensors if n.startswith("encoder.audio_in"))
        write_tensors(
            copied.with_suffix(".safetensors"), {**tensors, name: torch.zeros(shape)}, meta
        )
        refused(copied, word)
        write_tensors(copied.with_suffix(".safetensors"), tensors, meta)


@pytest.mark.parametrize(
    "value,word",
    [
        (torch.tensor(math.nan), "not finite"),
        (torch.tensor(3, dtype=torch.int8), "not floating-point numbers (int8)"),
    ],
    ids=["NaN", "int8"],
)
def test_weights_that_load_weights_refuses(copied, value, word):
    tensors, meta = read_tensors(copied.with_suffix(".safetensors"))
    name = next(iter(tensors))
    tensors[name] = value.expand(tensors[name].shape)
    write_tensors(copied.with_suffix(".safetensors"), tensors, meta)
    refused(copied, word, name)


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_what_is_no_regular_file(copied, suffix):
    path = copied.with_suffix(suffix)
    whole = path.read_bytes()
    for content in (b"", b"\xff\xfe", whole[: len(whole) // 2], b"[" * 10**5):
        path.write_bytes(content)
        assert refused(copied).startswith(str(path))
    path.unlink()
    path.mkdir()
    refused(copied, f"{path}: is a folder")
    path.rmdir()
    os.mkfifo(path)
    refused(copied, f"{path}: is a pipe")
    path.unlink()
    path.symlink_to("/dev/zero")
    refused(copied, f"{path}: is a device")
    path.unlink()
    path.symlink_to("nowhere")
    refused(copied, f"{path}: a link to nowhere, which does not exist")


def test_what_weights_say_nested_too_deeply(copied):
    deep = []
    for _ in range(400):
        deep = [deep]
    retell(copied, settings={"tau": deep})
    refused(copied, "seed-3.safetensors")


def test_mutated_files(copied):
    """Nothing but `AvbookError`, and no weight that is not finite."""
    rng = np.random.default_rng(0)
    for suffix in (".json", ".safetensors"):
        path = copied.with_suffix(suffix)
        whole = path.read_bytes()
        for _ in range(100):
            data = bytearray(whole)
            for _ in range(rng.integers(1, 4)):
                at = int(rng.integers(0, min(len(data), 4000)))
                data[at : at + int(rng.integers(0, 3))] = rng.bytes(int(rng.integers(0, 3)))
            path.write_bytes(data)
            try:
                net = load_model(copied)
            except AvbookError as error:
                assert len(str(error).splitlines()) == 1, error
            else:
                assert all(p.isfinite().all() for p in net.state_dict().values())
        path.write_bytes(whole)
