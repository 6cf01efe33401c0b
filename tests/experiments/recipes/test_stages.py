"""The keys of stages: those of every stored record are found again, so that nothing is trained
anew."""

import json
from types import SimpleNamespace

import pytest
from processes import ROOT

from avbook.experiments import job as stages
from avbook.experiments.job import Job
from avbook.experiments.recipes import cmlcl_stages, find_recipe, ma


@pytest.fixture(autouse=True)
def stages_are_what_their_folders_are_named(monkeypatch):
    """Only their keys are looked at here."""
    monkeypatch.setattr(stages, "_check_stage", lambda *_: None)


class Looking(Job):
    """A job that makes no stage: it fails where one does not stand already."""

    def stage(self, name, settings, make):
        def fail(folder):
            assert name == "base", f"{folder.name} of {settings} does not stand in the record"

        return super().stage(name, settings, fail)


def records_with_stages(recipe: str):
    for path in sorted((ROOT / "nbs/records" / recipe).glob("*/seed-*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if "stages" in record:
            yield record


def job_beside_the_stages_of(record, store) -> Job:
    for told in record["stages"].values():
        if "folder" in told:
            folder = store / told["folder"].removeprefix("stages/")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "stage.json").touch()
    recipe, data = find_recipe(record["recipe"]), SimpleNamespace(**record["data"])
    return Looking(recipe, record["settings"], data, record["seed"], store / "run", store)


def test_every_stage_of_cmlcl_is_found_under_its_old_key(tmp_path):
    found = 0
    for record in records_with_stages("cmlcl"):
        job = job_beside_the_stages_of(record, tmp_path)
        source = cmlcl_stages.pretrain_stage(job)
        for number in range(1, record["settings"]["rounds"] + 1):
            labels = cmlcl_stages.labels_stage(job, source.name, {}, None, number)
            source = cmlcl_stages.localiser_stage(job, labels.name, {}, None, number)
            assert f"stages/{labels.name}" == record["stages"][f"labels-{number}"]["folder"]
            assert f"stages/{source.name}" == record["stages"][f"localiser-{number}"]["folder"]
            found += 1
    assert found > 300


def test_every_refinement_of_ma_is_found_under_its_old_key(tmp_path, monkeypatch):
    """Its key holds the base's, so that the base's is tested as well."""
    monkeypatch.setattr(ma, "_retrain", lambda job, refined, stages: refined)
    result = SimpleNamespace(seconds=0, epochs={}, metrics={})
    monkeypatch.setattr(ma, "_load_result", lambda job, folder: result)
    found = 0
    for record in records_with_stages("ma"):
        refined = ma._train_ma(job_beside_the_stages_of(record, tmp_path))
        assert f"stages/{refined.name}" == record["stages"]["refine"]["folder"]
        found += 1
    assert found > 50


def test_clusters_of_learned_features_share_the_backbone_of_cmlcl(tmp_path, monkeypatch):
    from avbook.experiments.recipes import cluster

    record = next(records_with_stages("cmlcl"))
    options = {
        name: record["settings"][name]
        for name in find_recipe("cluster").options
        if name in record["settings"]
    }
    store = tmp_path / "cmlcl" / "stages"
    job = job_beside_the_stages_of(record, store)
    asked = []
    monkeypatch.setattr(
        cluster, "read_features", lambda job, folder: asked.append(folder.name) or {}
    )
    job.recipe, job.store = find_recipe("cluster"), tmp_path / "cluster" / "stages"
    job.settings = {"features": "learned", **options}
    assert cluster._clip_features(job) == {}
    assert asked == [record["stages"]["represent"]["folder"].removeprefix("stages/")]


@pytest.mark.parametrize("name", ["width", "tau", "batch_size"])
def test_another_value_is_another_stage(name, tmp_path):
    record = next(records_with_stages("cmlcl"))
    record["settings"][name] *= 2
    with pytest.raises(AssertionError, match="does not stand"):
        cmlcl_stages.pretrain_stage(job_beside_the_stages_of(record, tmp_path))
