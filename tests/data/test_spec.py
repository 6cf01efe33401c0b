"""What differs between the tasks stands in one place, and is what the files hold."""

from types import SimpleNamespace

import pytest

from avbook.data.annotations import read_order, read_videos
from avbook.data.ave import AVE
from avbook.data.llp import LLP
from avbook.data.spec import AVE_SPEC, LLP_SPEC, SPECS, SPLITS, find_spec
from avbook.data.validation import FolderDescription
from avbook.errors import AvbookError
from avbook.world.writers import FILES


@pytest.mark.parametrize("task", ["avi", "AVE", "", None, ["ave"]])
def test_an_unknown_task(task):
    with pytest.raises(AvbookError, match="unknown; expected 'ave' or 'llp'") as caught:
        find_spec(task)
    assert repr(task) in str(caught.value) and "\n" not in str(caught.value)


def test_a_task_is_found_by_its_name():
    assert find_spec("ave") is AVE_SPEC and find_spec("llp") is LLP_SPEC
    assert set(FILES) == set(SPECS)  # the world writes all of them
    assert AVE.spec is AVE_SPEC and LLP.spec is LLP_SPEC


def test_a_folder_is_known_by_its_files():
    assert not set(AVE_SPEC.files) & set(LLP_SPEC.files)
    for spec in SPECS.values():
        assert tuple(spec.splits) == tuple(spec.split_files) == SPLITS
        assert spec.features[0].name == "audio"
        assert all(feature.shape[0] % spec.seconds == 0 for feature in spec.features)


def test_the_splits_are_those_of_the_published_files(data_dir):
    for split, file in AVE_SPEC.split_files.items():
        assert len(read_order(data_dir / "ave" / file)) == AVE_SPEC.splits[split]
    for split, file in LLP_SPEC.split_files.items():
        assert len(read_videos(data_dir / "llp" / file)) == LLP_SPEC.splits[split]
    assert (AVE_SPEC.clips, LLP_SPEC.clips) == (4143, 11849)


@pytest.mark.parametrize("loader", [AVE, LLP])
def test_what_counts_as_the_official_features(loader):
    """All published clips, channels and categories; anything else is a folder."""
    spec = loader.spec
    data = loader.__new__(loader)
    data.folder = "somewhere"
    data.categories = spec.categories
    data._description = FolderDescription(spec.categories, None, None)

    def kind(clips=spec.clips, channels=None):
        data._origins = {
            feature.name: SimpleNamespace(
                shape=(clips, *feature.shape, channels or feature.channels)
            )
            for feature in spec.features
        }
        return data.kind

    assert kind() == "official" and data.name == spec.name
    assert kind(clips=7) == kind(channels=7) == "folder" and data.name == "somewhere"
    data.categories = ("Rain",)
    assert kind() == "folder"
    data._description = FolderDescription(spec.categories, None, {"task": spec.task})
    assert kind() == "world" and data.name == f"world-{spec.task}"
