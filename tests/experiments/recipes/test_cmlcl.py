"""CMLCL as a recipe: stages shared and found again, no way from labels to weights, records that
hold what the tables ask for."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from avbook.errors import AvbookError
from avbook.experiments.datasets import open_data
from avbook.experiments.recipe import parse_options, resolve_settings
from avbook.experiments.recipes import cmlcl as recipes_cmlcl, cmlcl_stages, find_recipe
from avbook.experiments.records import Records
from avbook.experiments.runner import run_seed
from avbook.experiments.tables import get_score, table_rows
from avbook.papers import EQUATIONS, ORDERING_CLAIMS, TABLES
from avbook.papers.schema import implementations
from avbook.training.weights import read_tensors, write_tensors
from avbook.unsupervised.clustering import group, nearest_mean, raw_features

SHORT = {
    "width": 8,
    "represent_epochs": 1,
    "annotate_epochs": 2,
    "epochs": 2,
    "categories": 5,
    "k": 4,
}
KEYS = [key for key in TABLES if key.startswith("cmlcl-")]


@pytest.fixture(scope="module")
def data():
    return open_data("world:tiny", "ave")


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    return out, run(data, out)


def run(data, out, recipe="cmlcl", seed=0, **options):
    known = find_recipe(recipe).options
    short = {name: value for name, value in SHORT.items() if name in known}
    return run_seed(
        find_recipe(recipe),
        data,
        seed=seed,
        preset="quick",
        options={**short, **options},
        device="cpu",
        out=out,
        progress=False,
        where="world:tiny",
    )


def stages(out, recipe="cmlcl"):
    return sorted(
        json.loads(path.read_text())["stage"]
        for path in Path(out).glob(f"{recipe}/stages/*/stage.json")
    )


def without_cost(record):
    """What must be the same however often a run was cut off: everything but times, memory, the
    date and the folder."""
    clean = lambda value: (
        {
            k: clean(v)
            for k, v in value.items()
            if k not in ("seconds", "peak_memory_mb", "finished", "command")
        }
        if isinstance(value, dict)
        else [clean(v) for v in value]
        if isinstance(value, list)
        else value
    )
    return clean(record)


def test_a_record_holds_what_the_tables_ask_for(whole):
    _, record = whole
    assert (
        len(record["rounds"]) == 3
        and record["metrics"]["test"]["last"]["accuracy"] == record["rounds"][2]["accuracy"]
    )
    assert (
        record["metrics"]["test"]["last"]
        == record["metrics"]["test"]["val_selected"]
        == record["metrics"]["test"]["test_selected"]
    )
    for key in KEYS:
        for cell in (c for c in TABLES[key].cells if c.recipe == "cmlcl"):
            get_score(record, cell.metric or TABLES[key].metric, "last")
    for claim in (d for d in ORDERING_CLAIMS if d.key.startswith("cmlcl-")):
        get_score(record, claim.metric, claim.selection)
    assert record["theta"]["test"]["0.5"] == pytest.approx(
        record["metrics"]["test"]["last"]["accuracy"], abs=1e-3
    )
    assert "changed" in record["rounds"][1] and "changed" not in record["rounds"][0]
    assert list(record["stages"]) == [
        "represent",
        "labels-1",
        "localiser-1",
        "labels-2",
        "localiser-2",
        "labels-3",
        "localiser-3",
    ]
    assert len(json.dumps(record, indent=1)) < 20_000


STAGE_FILES = [
    ("represent", "features.safetensors"),
    ("labels-2", "labels.safetensors"),
    ("localiser-3", "found.safetensors"),
    ("labels-1", "told.json"),
    ("localiser-2", "told.json"),
]


@pytest.mark.parametrize("stage, name", STAGE_FILES)
def test_a_stages_file_that_is_missing_or_broken_is_one_line(data, whole, tmp_path, stage, name):
    out = tmp_path / "runs"
    shutil.copytree(whole[0], out)
    next(out.glob("cmlcl/*/seed-0.json")).unlink()
    (path,) = out.glob(f"cmlcl/stages/{stage}-*/{name}")
    content = path.read_bytes()
    broken = [b"", content[: len(content) // 2], b"{}", b"\xff" * 40, None]
    if path.suffix == ".safetensors":
        tensors, _ = read_tensors(path)
        first = next(iter(tensors))
        for other in (tensors[first][1:], tensors[first] * float("nan")):
            write_tensors(path, tensors | {first: other}, {})
            broken.append(path.read_bytes())
    for spoilt in broken:
        path.write_bytes(spoilt) if spoilt is not None else path.unlink()
        with pytest.raises(AvbookError) as error:
            run(data, out)
        text = str(error.value)
        assert str(path) in text and "\n" not in text and len(text) < len(str(path)) * 2 + 300, text
    path.write_bytes(content)
    assert without_cost(run(data, out)) == without_cost(whole[1])


def test_predictions_relevance_and_every_rounds_labels_are_kept(whole, data):
    out, _ = whole
    with np.load(next(out.glob("cmlcl/*/seed-0.npz")), allow_pickle=False) as arrays:
        assert (
            arrays["last"].shape == arrays["last.gamma"].shape == (len(data.test), 10)
            and arrays["last.gamma"].max() == 255
        )
        assert (
            arrays["train.labels3"].shape == (len(data.train),)
            and arrays["train.labels3"].max() < 5
        )


def test_runs_that_agree_share_their_stages(data, whole):
    out, record = whole
    before = stages(out)
    assert before == sorted(record["stages"])
    one = run(data, out, rounds=1)
    other = run(data, out, theta=0.9, naming="judged")
    assert stages(out) == before  # nothing was trained
    assert (
        one["metrics"]["test"]["last"]["accuracy"] == record["rounds"][0]["accuracy"]
        and len(one["rounds"]) == 1
    )
    assert other["metrics"]["test"]["last"]["purity"] == record["metrics"]["test"]["last"]["purity"]
    run(data, out, rounds=1, gamma="sigmoid")
    assert stages(out) == sorted([*before, "localiser-1"])
    run(data, out, rounds=1, k=3)
    assert stages(out) == sorted([*before, "localiser-1", "labels-1", "localiser-1"])
    assert len(Records(out).of("cmlcl", SHORT)) == 1


@pytest.mark.parametrize("stage", ["_make_features", "expectation", "maximisation"])
def test_cut_off_anywhere_it_goes_on_to_the_same_record(data, whole, tmp_path, monkeypatch, stage):
    from avbook.unsupervised import em as cmlcl

    place = cmlcl_stages if stage.startswith("_") else cmlcl
    real, calls = getattr(place, stage), []

    def cut(*args, **more):
        calls.append(1)
        if len(calls) == (1 if stage == "_make_features" else 2):
            raise KeyboardInterrupt
        return real(*args, **more)

    monkeypatch.setattr(place, stage, cut)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path)
    assert not list(tmp_path.glob("cmlcl/*/seed-0.json"))
    done = stages(tmp_path)
    monkeypatch.setattr(place, stage, real)
    record = run(data, tmp_path)
    assert without_cost(record) == without_cost(whole[1]) and len(done) < 7


def test_labels_do_not_reach_the_weights(data, whole, tmp_path):
    """Other labels on the training clips: the same weights, pseudo-labels and relevance, to the
    bit, through the whole recipe."""
    other = copy.copy(data)
    order = np.random.default_rng(1).permutation(len(data.train))
    other.train = copy.copy(data.train)
    other.train.arrays = {name: array[order] for name, array in data.train.arrays.items()}
    assert (other.train.labels != data.train.labels).any()
    record = run(other, tmp_path)
    for name, told in record["stages"].items():
        for file in ("net", "features", "labels", "found"):
            ours, theirs = (
                folder / f"{file}.safetensors"
                for folder in (
                    whole[0] / "cmlcl" / whole[1]["stages"][name]["folder"],
                    tmp_path / "cmlcl" / told["folder"],
                )
            )
            assert ours.exists() == theirs.exists()
            if ours.exists():
                a, b = read_tensors(ours)[0], read_tensors(theirs)[0]
                assert a.keys() == b.keys() and all((a[key] == b[key]).all() for key in a)
    ours, theirs = (r["metrics"]["test"]["last"] for r in (whole[1], record))
    assert any(
        ours[name] != theirs[name] for name in ("purity", "nmi", "ari", "accuracy")
    )  # scoring does read them


def test_no_label_is_read_before_scoring(data, tmp_path, monkeypatch):
    class Trained(Exception):
        pass

    def score(job, rounds, folders):
        raise Trained

    monkeypatch.setattr(recipes_cmlcl, "record_of", score)
    blind = copy.copy(data)
    for name, split in data.splits.items():
        bare = copy.copy(split)
        bare.arrays = {}
        setattr(blind, name, bare)
    with pytest.raises(Trained):
        run(blind, tmp_path)


def test_one_modality_trains_and_other_options_reach_their_stage(data, tmp_path):
    audio = run(data, tmp_path, rounds=1, modality="audio")
    features, _ = read_tensors(
        tmp_path / "cmlcl" / audio["stages"]["represent"]["folder"] / "features.safetensors"
    )
    assert features["test"].shape == (len(data.test), 10, 8)
    untrained = run(data, tmp_path, rounds=1, represent_epochs=0)
    assert untrained["stages"]["represent"]["history"] == []
    soft = run(data, tmp_path, rounds=1, soft_labels=True, kl_cap="10nats", strangers="weakest")
    assert (
        soft["settings"]["kl_cap"] == "10nats"
        and parse_options(
            [soft["command"].split("kl_cap")[1].split()[0].replace("=", "kl_cap=", 1)]
        )["kl_cap"]
        == "10nats"
    )
    with pytest.raises(AvbookError, match="kl_cap"):
        run(data, tmp_path, rounds=1, kl_cap="much")


@pytest.mark.parametrize("method", ["kmeans", "spectral", "random"])
def test_baselines_stand_as_records(data, whole, method):
    out, _ = whole
    record = run(data, out, "cluster", method=method)
    assert record["metrics"]["test"]["last"]["background_recall"] == 0 and not stages(
        out, "cluster"
    )  # its features are cmlcl's
    for cell in (c for c in TABLES["cmlcl-baselines"].cells if c.recipe == "cluster"):
        get_score(record, cell.metric, "last")
    raw = run(data, out, "cluster", method=method, features="raw")
    figures = [
        [r["metrics"]["test"]["last"][name] for name in ("accuracy", "purity", "nmi")]
        for r in (raw, record)
    ]
    assert (figures[0] == figures[1]) == (method == "random")


def test_grouping_by_hand():
    import torch

    x = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 2.0]])
    found = group(x, 2, "kmeans")
    assert found[0] == found[1] != found[2] == found[3]
    assert nearest_mean(x, found, torch.tensor([[5.0, 1.0], [0.0, 0.1]]), 2).argmax(1).tolist() == [
        int(found[0]),
        int(found[2]),
    ]
    assert (
        nearest_mean(x, torch.tensor([1, 1, 2, 2]), -x, 3).argmax(1).min() > 0
    )  # nobody goes to an empty group
    assert torch.equal(group(x, 2, "random", seed=1), group(x, 2, "random", seed=1))
    for wrong in (lambda: group(x, 5), lambda: group(x, 2, "dbscan")):
        with pytest.raises(AvbookError):
            wrong()


def test_raw_features_give_both_modalities_the_same_length(data):
    x = raw_features(data.train, batch_size=7)
    audio = data.train.batch([0])["audio"].shape[-1]
    np.testing.assert_allclose(x[:, :audio].norm(dim=1), 1, rtol=1e-5)
    np.testing.assert_allclose(x[:, audio:].norm(dim=1), 1, rtol=1e-5)


def test_every_cell_and_claim_of_the_paper_names_options_that_exist():
    for key in KEYS:
        for cell in (c for c in TABLES[key].cells if c.recipe):
            resolve_settings(find_recipe(cell.recipe), "paper", cell.options)
    for claim in (d for d in ORDERING_CLAIMS if d.key.startswith("cmlcl-")):
        for recipe, options in (claim.better, claim.worse):
            resolve_settings(find_recipe(recipe), "paper", options)
        assert claim.better != claim.worse and claim.selection == "last"
    assert resolve_settings(
        find_recipe("cmlcl"), "paper", parse_options(["positives=cross", "tau=0.2", "k=28"])
    )[1] == {"k": 28, "positives": "cross", "tau": 0.2}


def test_the_papers_numbers():
    value = lambda table, row, column="Accuracy": TABLES[table].cell(row, column).value
    assert (
        value("cmlcl-1", "no labels: CMLCL", "VGG-19") == 63.2
        and value("cmlcl-1", "no labels: CMLCL", "ResNet-152") == 67.1
    )
    assert (
        value("cmlcl-1", "full labels: M2N", "VGG-19") == 79.5
        and value("cmlcl-1", "weak labels: AVT", "ResNet-152") is None
    )
    assert (
        value("cmlcl-4", "without the contrast", "Label purity") == 12.3
        and value("cmlcl-5", "round 2", "Label purity") == 77.35
    )
    assert value("cmlcl-6", "audio") is None and "are missing" in TABLES["cmlcl-6"].note
    gaps = {d.key: d.paper_gap for d in ORDERING_CLAIMS}
    assert (
        gaps["cmlcl-2-pictures"] == 15.8
        and gaps["cmlcl-3-a2v"] == 8.1
        and gaps["cmlcl-5-3-accuracy"] == 0.4
        and gaps["cmlcl-6-audio"] is None
    )
    drawn = [c.value for key in ("cmlcl-fig-4-k", "cmlcl-fig-4-c") for c in TABLES[key].cells]
    assert sorted(v for v in drawn if v is not None) == [66.1, 66.7, 67.1, 67.1]


def test_a_table_without_records_says_so(tmp_path):
    rows = table_rows(TABLES["cmlcl-5"], Records(tmp_path))
    assert {row["verdict"] for row in rows} == {"not run"} and len(rows) == 6


def test_every_equation_is_implemented():
    import avbook.unsupervised.em  # noqa: F401
    import avbook.unsupervised.label_contrast  # noqa: F401
    import avbook.unsupervised.representation  # noqa: F401

    assert list(EQUATIONS["cmlcl"]) == list(range(1, 18))
    assert not [number for number in EQUATIONS["cmlcl"] if not implementations("cmlcl", number)]
