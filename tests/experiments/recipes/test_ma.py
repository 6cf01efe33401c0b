"""HAN and MA as recipes: three stages, the first shared by all that agree in it, each found again
after an interruption."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from avbook.errors import AvbookError
from avbook.experiments.datasets import open_data
from avbook.experiments.recipe import resolve_settings
from avbook.experiments.recipes import find_recipe, ma as recipes_ma
from avbook.experiments.records import Records
from avbook.experiments.runner import run_seed
from avbook.papers import ORDERING_CLAIMS, TABLES
from avbook.parsing.refinement import load_refinement

SHORT = {"epochs": 2, "width": 16, "hidden": 16}


@pytest.fixture(scope="module")
def data():
    return open_data("world:tiny", "llp")


def run(data, out, recipe="ma", **options):
    return run_seed(
        find_recipe(recipe),
        data,
        seed=0,
        preset="quick",
        options={**SHORT, **options},
        device="cpu",
        out=out,
        progress=False,
        where="world:tiny",
    )


def test_one_base_serves_every_refinement_and_is_itself_the_unrefined_run(data, tmp_path):
    whole, audio, none = (
        run(data, tmp_path),
        run(data, tmp_path, refine="audio"),
        run(data, tmp_path, refine="none"),
    )
    stages = [
        json.loads(path.read_text())["stage"]
        for path in (tmp_path / "ma/stages").glob("*/stage.json")
    ]
    assert sorted(stages) == ["base", "refine", "refine"]
    assert (
        none["metrics"] == whole["stages"]["base"]["metrics"] == audio["stages"]["base"]["metrics"]
        and "stages" not in none
    )
    assert audio["stages"]["refine"]["dropped"]["visual"] == 0
    assert {"precision", "recall", "absent", "dropped"} == set(
        whole["stages"]["refine"]["scores"]["audio"]
    )
    kept = load_refinement(tmp_path / "ma" / whole["stages"]["refine"]["folder"])
    assert int((kept.labels & ~kept.visual).sum()) == whole["stages"]["refine"]["dropped"]["visual"]
    assert (
        (tmp_path / "ma" / whole["stages"]["refine"]["folder"] / "labels.csv")
        .read_text()
        .startswith("id,category,audio,visual")
    )
    assert len(Records(tmp_path).of("ma", SHORT)) == 1


def test_a_seed_gives_the_same_numbers_whichever_run_made_the_base(data, tmp_path):
    first = run(data, tmp_path / "a")
    run(data, tmp_path / "b", refine="visual")
    second = run(data, tmp_path / "b")
    assert (
        first["metrics"] == second["metrics"]
        and first["history"][0]["loss"] == second["history"][0]["loss"]
    )


def test_cut_off_in_the_retraining_it_goes_on_from_there(data, tmp_path, monkeypatch):
    from avbook.parsing import refinement

    whole = run(data, tmp_path / "whole")
    refine = refinement.refine
    monkeypatch.setattr(
        refinement, "refine", lambda *args, **more: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "cut")
    assert not list((tmp_path / "cut/ma").glob("*/seed-0.json"))
    monkeypatch.setattr(refinement, "refine", refine)
    monkeypatch.setattr(recipes_ma, "_make_base", lambda *_: pytest.fail("the base stood already"))
    assert run(data, tmp_path / "cut")["metrics"] == whole["metrics"]


@pytest.mark.parametrize(
    "stage, name, refine",
    [
        ("base", "predictions.npz", "both"),
        ("base", "result.json", "none"),
        ("base", "last.safetensors", "none"),
        ("refine", "refinement.npz", "both"),
        ("refine", "refine.json", "both"),
    ],
)
def test_a_stages_file_that_is_missing_or_broken_is_one_line(
    data, tmp_path, whole_ma, stage, name, refine
):
    out = tmp_path / "runs"
    shutil.copytree(whole_ma, out)
    (path,) = out.glob(f"ma/stages/{stage}-*/{name}")
    content = path.read_bytes()
    spoilt = [b"", content[: len(content) // 2], b"{}", b"\xff" * 40, None]
    if path.suffix == ".safetensors":
        spoilt = [None]  # copied as it is; it is read by who asks for it
    for other in spoilt:
        path.write_bytes(other) if other is not None else path.unlink()
        with pytest.raises(AvbookError) as error:
            run(data, out, refine=refine)
        text = str(error.value)
        assert str(path) in text and "\n" not in text and len(text) < len(str(path)) * 2 + 400, text


def test_predictions_of_a_stage_are_those_of_its_run(data, tmp_path, whole_ma):
    out = tmp_path / "runs"
    shutil.copytree(whole_ma, out)
    (path,) = out.glob("ma/stages/base-*/predictions.npz")
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays | {"run": np.array('{"recipe": "ma", "seed": 1, "data": "x"}')})
    with pytest.raises(AvbookError, match=r"predictions.npz: not what its stage wrote \(checksum"):
        run(data, out, refine="none")
    stage = json.loads(path.with_name("stage.json").read_text())
    assert {"predictions.npz", "result.json"} <= stage.pop("files").keys()
    path.with_name("stage.json").write_text(json.dumps(stage))  # as before it had checksums
    with pytest.raises(AvbookError, match="predictions of another run .seed 1, expected 0"):
        run(data, out, refine="none")
    np.savez(path, **arrays | {"last.audio": arrays["last.audio"][1:]})
    with pytest.raises(AvbookError, match="last.audio has the shape"):
        run(data, out, refine="none")


@pytest.fixture(scope="module")
def whole_ma(data, tmp_path_factory):
    """The stages of a finished run, without its record."""
    out = tmp_path_factory.mktemp("whole")
    run(data, out)
    next(out.glob("ma/*/seed-0.json")).unlink()
    return out


def test_refined_by_the_truth_nothing_is_dropped_wrongly_and_nothing_missed(data, tmp_path):
    record = run(data, tmp_path, refine="truth")
    for scores in record["stages"]["refine"]["scores"].values():
        assert (
            scores["dropped"] == pytest.approx(scores["absent"])
            and scores["recall"] == scores["precision"] == 100
        )
    assert [
        json.loads(path.read_text())["stage"]
        for path in (tmp_path / "ma/stages").glob("*/stage.json")
    ] == ["refine"]  # it needs no base
    hidden = copy.copy(data)
    hidden.train = copy.copy(data.train)
    hidden.train.arrays = {"video_labels": data.train.video_labels}
    with pytest.raises(AvbookError, match="only a world has it"):
        run(hidden, tmp_path / "hidden", refine="truth")


def test_predictions_of_both_tracks_are_kept(data, tmp_path):
    run(data, tmp_path, "han", modality="audio")
    with np.load(next(Path(tmp_path).glob("han/*/seed-0.npz")), allow_pickle=False) as arrays:
        assert (
            arrays["last.audio"].shape == (len(data.test), 10, 25)
            and not arrays["last.visual"].any()
        )


@pytest.mark.parametrize("modality, other", [("audio", "visual"), ("visual", "audio")])
def test_one_modality_scores_in_the_other_what_predicting_nothing_scores(
    data, tmp_path, modality, other
):
    alone = run(data, tmp_path, "han", modality=modality, epochs=8, threshold=0.2)
    nothing = run_seed(
        find_recipe("rule"), data, seed=0, preset="quick", out=tmp_path, progress=False
    )
    found, least = (record["metrics"]["test"]["last"] for record in (alone, nothing))
    for level in ("segment", "event"):
        for name in (other, "av"):
            assert found[f"{level}_{name}"] == least[f"{level}_{name}"]
        assert found[f"{level}_{modality}"] != least[f"{level}_{modality}"]


@pytest.mark.parametrize(
    "options, told",
    [
        ({}, "contrast=true: .* expected contrast=false"),
        ({"contrast": False}, "refine=both: .* expected refine=none, truth or speech"),
        ({"contrast": False, "refine": "visual"}, "refine=visual: .* expected refine=none"),
    ],
)
def test_ma_with_one_modality_is_refused_what_only_both_can_do(data, tmp_path, options, told):
    with pytest.raises(AvbookError, match="modality=audio and " + told) as error:
        run(data, tmp_path, modality="audio", **options)
    assert "\n" not in str(error.value) and not list(tmp_path.rglob("*.safetensors"))


def test_ma_with_one_modality_trains_without_the_contrast(data, tmp_path):
    for refine in ("none", "speech"):
        record = run(data, tmp_path, modality="visual", contrast=False, refine=refine)
        assert set(record["history"][0]["losses"]) == {"visual", "video"}


def test_refined_by_one_rule_the_picture_loses_speech_and_nothing_else(data, tmp_path):
    record = run(data, tmp_path, refine="speech")
    kept = load_refinement(tmp_path / "ma" / record["stages"]["refine"]["folder"])
    lost = kept.labels & ~kept.visual
    assert (
        (kept.audio == kept.labels).all()
        and lost[:, 0].any()
        and not lost[:, 1:].any()
        and not kept.visual[:, 0].any()
    )
    assert (
        record["stages"]["refine"]["dropped"]
        == {
            "audio": 0,
            "visual": int(kept.labels[:, 0].sum()),
        }
        and "base" not in record["stages"]
    )


def rule(data, out, name):
    return run_seed(
        find_recipe("rule"),
        data,
        seed=0,
        preset="quick",
        options={"rule": name},
        device="cpu",
        out=out,
        progress=False,
    )


def test_predicting_nothing_scores_the_share_of_silent_videos(data, tmp_path):
    ten = rule(data, tmp_path, "nothing")["metrics"]["test"]["last"]
    heard, seen = (
        labels.astype(bool) for labels in (data.test.audio_labels, data.test.visual_labels)
    )
    silent = {
        "audio": ~heard.any((1, 2)),
        "visual": ~seen.any((1, 2)),
        "av": ~(heard & seen).any((1, 2)),
        "event": ~(heard | seen).any((1, 2)),
    }
    for name, videos in silent.items():
        assert ten[f"segment_{name}"] == ten[f"event_{name}"] == pytest.approx(100 * videos.mean())


def test_the_video_label_everywhere_is_what_it_says_and_needs_the_truth(data, tmp_path):
    rule(data, tmp_path, "weak-label")
    with np.load(next(Path(tmp_path).glob("rule/*/seed-0.npz")), allow_pickle=False) as arrays:
        for selection in ("val_selected", "last", "test_selected"):
            for track in ("audio", "visual"):
                assert (
                    arrays[f"{selection}.{track}"] == data.test.video_labels[:, None].astype(bool)
                ).all()
    with pytest.raises(AvbookError, match="expected nothing or weak-label"):
        rule(data, tmp_path, "speech")


def test_every_cell_of_the_papers_tables_names_options_that_exist():
    cells = [
        cell
        for key in ("ma-1", "ma-2", "ma-3", "ma-4", "ma-code", "ma-baselines")
        for cell in TABLES[key].cells
        if cell.recipe
    ]
    for cell in cells:
        resolve_settings(find_recipe(cell.recipe), "paper", cell.options)
    printed = {(cell.row, cell.column): cell.value for cell in TABLES["ma-1"].cells}
    assert (
        printed["MA", "segment: Type@AV"] == 58.9
        and printed["HAN", "event: Event@AV"] == 48.0
        and printed["TALNet", "segment: Visual"] is None
    )
    gaps = {d.key: d.paper_gap for d in ORDERING_CLAIMS}
    assert (
        gaps["ma-1-han-segment_av"] == 6.2 and gaps["ma-1-han-event_event"] == 2.6
    )  # as the paper prints them in brackets
