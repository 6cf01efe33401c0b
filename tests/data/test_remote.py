"""Packs at a URL: the same data as the pack in a folder, each byte read once, and faults in one
line."""

import json
import pickle

import fsspec
import numpy as np
import pytest
import torch
from made_folders import write_ave, write_llp

from avbook.cli.commands import data_check
from avbook.data.ave import AVE
from avbook.data.llp import LLP
from avbook.data.packs import check_folder, pack_folder
from avbook.data.remote import RemoteStore, is_remote, local_folder
from avbook.errors import AvbookError
from avbook.experiments.datasets import absolute, open_data

URL = "memory://packs/ave"


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    top = tmp_path_factory.mktemp("ave")
    return pack_folder(write_ave(top / "ave", n=24, noisy=0)[0], top / "pack", progress=False)


@pytest.fixture
def files(pack, tmp_path, monkeypatch):
    """The file system in memory on which the pack lies."""
    monkeypatch.setenv("AVBOOK_CACHE", str(tmp_path / "cache"))
    found = fsspec.filesystem("memory")
    found.store.clear()
    found.put(f"{pack}/", "/packs/ave/", recursive=True)
    yield found
    found.store.clear()


def test_what_is_a_url():
    assert is_remote("s3://bucket/pack") and is_remote("https://x.org/pack")
    assert not is_remote("packs/ave") and not is_remote("world:small:1")
    assert absolute(URL) == URL and absolute("world:tiny") == "world:tiny"


def test_it_is_the_same_data(pack, files):
    here, there = AVE(pack, cache_mb=0), AVE(URL, cache_mb=0)
    assert there.hash == here.hash and (there.kind, there.name) == (here.kind, here.name)
    assert isinstance(there.stores["visual"], RemoteStore) and not there.train.in_memory
    for rows in ([5, 3, 3, 0, 11], slice(2, 9), [], 7):
        left, right = here.train.batch(rows), there.train.batch(rows)
        assert left.keys() == right.keys()
        assert all(torch.equal(left[name], right[name]) for name in left)
    held = AVE(URL)
    assert held.train.in_memory and torch.equal(
        held.train.batch([1])["audio"], here.train.batch([1])["audio"]
    )
    assert open_data(URL).hash == here.hash
    assert check_folder(URL) == check_folder(pack)
    data_check(URL)  # the command takes URLs as they are


def test_llp_as_well(files, tmp_path):
    folder = write_llp(tmp_path / "llp")[0]
    packed = pack_folder(folder, tmp_path / "packed", progress=False)
    files.put(f"{packed}/", "/packs/llp/", recursive=True)
    here, there = LLP(packed), LLP("memory://packs/llp", cache_mb=0)
    assert there.hash == here.hash
    assert torch.equal(there.val.batch([1, 0])["visual_2d"], here.val.batch([1, 0])["visual_2d"])


def test_a_batch_is_one_call_and_no_byte_is_read_twice(files, monkeypatch):
    data = AVE(URL, cache_mb=0)
    store, calls = data.stores["visual"], []
    read = type(files).cat_ranges

    def note(self, paths, starts, ends, *args, **kwargs):
        calls.append(list(zip(starts, ends)))
        return read(self, paths, starts, ends, *args, **kwargs)

    monkeypatch.setattr(type(files), "cat_ranges", note)
    order = np.random.default_rng(0).permutation(len(store))
    for start in range(0, len(order), 5):
        store.read([*order[start : start + 5], order[start]])  # one of them twice
    assert len(calls) == -(-len(order) // 5)
    asked = sorted(span for call in calls for span in call)
    assert all(a[1] <= b[0] for a, b in zip(asked, asked[1:]))
    assert sum(stop - start for start, stop in asked) == store.nbytes


def test_it_is_looked_at_once_and_again_where_it_changed(files, monkeypatch):
    first = AVE(URL, cache_mb=0)
    with monkeypatch.context() as patched:
        patched.setattr(RemoteStore, "_run", lambda *_: pytest.fail("read again"))
        assert AVE(URL, cache_mb=0).hash == first.hash
    content = bytearray(files.cat_file("/packs/ave/audio.npy"))
    content[-1] ^= 1
    files.pipe_file("/packs/ave/audio.npy", bytes(content))
    found = [str(one) for one in check_folder(URL)]
    assert any("audio.npy" in one and "checksum" in one for one in found)


def test_a_store_can_be_pickled(files):
    store = pickle.loads(pickle.dumps(AVE(URL, cache_mb=0).stores["audio"]))
    assert store.read([1]).shape[0] == 1


def test_small_files_follow_the_pack(files, pack):
    folder = local_folder(URL)
    (folder / "labels.h5").write_bytes(b"spoilt")
    assert AVE(URL).hash == AVE(pack).hash
    files.rm("/packs/ave/train_order.h5")
    assert local_folder(URL) == folder  # what has been copied, and is whole, is not asked for
    (folder / "train_order.h5").unlink()
    with pytest.raises(AvbookError, match=r"train_order.h5: cannot be read .*copy the whole pack"):
        AVE(URL)


@pytest.mark.parametrize(
    "url, said",
    [
        ("memory://nothing", r"^memory://nothing/pack.json: cannot be read \(FileNotFoundError"),
        ("nope://x", r"^nope://x/pack.json: cannot be opened \(ValueError.*fsspec"),
    ],
)
def test_a_url_without_a_pack_is_one_line(files, url, said):
    for call in (AVE, open_data, lambda where: check_folder(where)):
        with pytest.raises(AvbookError, match=said) as caught:
            call(url)
        assert "\n" not in str(caught.value)


def test_features_that_are_cut_off_or_gone_are_one_line(files):
    data = AVE(URL, cache_mb=0)
    whole = files.cat_file("/packs/ave/audio.npy")
    files.pipe_file("/packs/ave/audio.npy", whole[:-10])
    with pytest.raises(AvbookError, match=r"audio.npy: .* cut short") as caught:
        data.stores["audio"].read([len(data.stores["audio"]) - 1])
    assert "\n" not in str(caught.value)
    files.rm("/packs/ave/audio.npy")
    with pytest.raises(AvbookError, match=r"^memory://packs/ave/audio.npy: cannot be read"):
        data.stores["audio"].read([0])
    with pytest.raises(AvbookError, match="audio.npy"):
        AVE(URL)


def test_another_description_is_another_pack(files):
    local_folder(URL)
    told = json.loads(files.cat_file("/packs/ave/pack.json"))
    files.pipe_file("/packs/ave/pack.json", json.dumps({**told, "version": 99}).encode())
    with pytest.raises(AvbookError, match="a pack of version 99"):
        AVE(URL)
