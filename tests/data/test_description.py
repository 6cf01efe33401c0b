"""Folders of features that were made from videos: what `features.json` says is what data sets,
packs and checks say."""

import json

import numpy as np
import pytest

from avbook.data.ave import AVE
from avbook.data.description import read_features
from avbook.data.h5_writers import write_h5
from avbook.data.llp import LLP
from avbook.data.packs import check_folder, pack_folder, task_of
from avbook.data.spec import AVE_ORDER, AVE_SPEC
from avbook.errors import AvbookError

CLIPS, SECONDS = 6, 3
AUDIO = {"name": "yamnet", "version": "1", "weights": "cf149c90", "seed": None, "dim": 8}
VISUAL = {
    "name": "efficientnet-lite0",
    "version": "1",
    "weights": "57934424",
    "seed": None,
    "dim": 5,
}
MADE = {
    "kind": "features",
    "version": 1,
    "task": "ave",
    "seconds": SECONDS,
    "extractors": {"audio": AUDIO, "visual": VISUAL},
}


def describe(folder, **changes):
    (folder / "features.json").write_text(json.dumps(MADE | changes))
    return folder


@pytest.fixture
def unlabelled(tmp_path):
    """Features of AVE's layout, as `avbook features` leaves them."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "made"
    folder.mkdir()
    audio = rng.random((CLIPS, SECONDS, AUDIO["dim"]), np.float32)
    visual = rng.random((CLIPS, SECONDS, 7, 7, VISUAL["dim"]), np.float32)
    write_h5(folder / "audio_feature.h5", audio)
    write_h5(folder / "visual_feature.h5", visual)
    return describe(folder)


@pytest.fixture
def folder(unlabelled):
    """With labels and splits."""
    labels = np.zeros((CLIPS, SECONDS, 3), np.float32)
    labels[:, :, 0] = 1
    write_h5(unlabelled / "labels.h5", labels)
    (unlabelled / "categories.txt").write_text("Bark\nMeow\n")
    for split, rows in {"train": range(4), "val": [4], "test": [5]}.items():
        write_h5(unlabelled / AVE_SPEC.split_files[split], np.array(rows), AVE_ORDER)
    return unlabelled


def errors(folder):
    return [str(issue) for issue in check_folder(folder) if issue.level == "error"]


# ----------------------------------------------------------------------------------- its extractors
def test_a_data_set_names_the_extractors_of_its_features(folder):
    opened = AVE(folder)
    assert opened.filters == {"audio": AUDIO, "visual": VISUAL}
    assert opened.kind == "folder" and not errors(folder)


def test_a_pack_names_them_too_and_has_the_same_hash(folder, tmp_path):
    pack = AVE(pack_folder(folder, tmp_path / "pack", progress=False))
    assert (pack.filters, pack.hash) == (AVE(folder).filters, AVE(folder).hash)


@pytest.mark.parametrize("changed", [{"weights": "0" * 64}, {"version": "2"}, {"name": "vggish"}])
def test_another_extractor_alone_gives_another_hash(folder, changed):
    before = AVE(folder).hash
    describe(folder, extractors={"audio": AUDIO | changed, "visual": VISUAL})
    assert AVE(folder).hash != before


def test_features_of_the_official_shape_are_not_the_official_ones(folder, monkeypatch):
    opened = AVE(folder)
    opened.categories = AVE_SPEC.categories
    for feature in AVE_SPEC.features:
        shape = (AVE_SPEC.clips, SECONDS, feature.channels)
        monkeypatch.setattr(opened._origins[feature.name], "shape", shape)
    assert opened.kind == "folder"
    opened._description.features = None
    assert opened.kind == "official"


# ------------------------------------------------------------------------------- labels are missing
def test_features_without_labels_say_so_in_one_line(unlabelled):
    (said,) = errors(unlabelled)
    assert "labels and splits are not" in said and "`avbook label`" in said
    with pytest.raises(AvbookError, match=r"features\.json: the features are there.*avbook label"):
        AVE(unlabelled)


def test_so_do_those_of_llp(tmp_path):
    made = {"audio": AUDIO, "visual_2d": VISUAL, "visual_3d": VISUAL}
    describe(tmp_path, task="llp", extractors=made)
    for name in ("vggish", "res152", "r2plus1d_18"):
        (tmp_path / name).mkdir()
    assert task_of(tmp_path) == "llp"
    (said,) = errors(tmp_path)
    assert "`avbook label`" in said
    with pytest.raises(AvbookError, match="avbook label"):
        LLP(tmp_path)


def test_a_folder_with_some_labels_hears_of_each_file_that_is_missing(folder):
    (folder / "val_order.h5").unlink()
    (said,) = errors(folder)
    assert "val_order.h5" in said


# ------------------------------------------------------------------------ another than it describes
@pytest.mark.parametrize(
    "changes, said",
    [
        ({"extractors": {"audio": AUDIO | {"dim": 9}, "visual": VISUAL}}, "audio has 9 numbers"),
        ({"seconds": 4}, "says 4 seconds, but audio_feature.h5 has 3"),
        ({"version": 2}, "features of version 2"),
        ({"version": "1"}, "version is '1'"),
        ({"task": "llp"}, "extractors of audio, visual; expected"),
        ({"kind": "world"}, "kind 'world'"),
        ({"extractors": {"audio": AUDIO}}, "extractors of audio; expected"),
        ({"extractors": {"audio": AUDIO, "visual": {"name": "x"}}}, "lacks extractors.visual"),
    ],
)
def test_a_description_that_does_not_fit_is_an_error(folder, changes, said):
    describe(folder, **changes)
    assert any(said in error and "avbook features" in error for error in errors(folder)), errors(
        folder
    )
    with pytest.raises(AvbookError):
        AVE(folder)


def test_a_folder_without_one_has_none(tmp_path):
    assert read_features(tmp_path) is None
