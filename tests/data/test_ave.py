"""The AVE loader: labels rebuilt as published, batches in any order, two kinds of files, streaming
and holding alike."""

import pickle

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from made_folders import write_ave, write_h5

from avbook.data.annotations import read_annotations, read_order
from avbook.data.ave import AVE
from avbook.data.ave_files import OFFICIAL
from avbook.data.base import identity_collate
from avbook.data.cache import CachedStore
from avbook.data.events import AVE_CATEGORIES
from avbook.data.h5_files import open_h5
from avbook.data.labels import rebuilt_labels
from avbook.data.packs import check_folder, pack_folder
from avbook.data.stores import H5Store, RawStore
from avbook.world.build import world_folder


def dataset(path, name="avadataset"):
    with h5py.File(path, "r") as file:
        return file[name][()]


# ----------------------------------------------------------------------------------- the real files
def test_rebuilt_labels_equal_the_published_ones_on_all_4143_videos(data_dir):
    rows = read_annotations(data_dir / "ave" / "Annotations.txt")
    labels = rebuilt_labels(rows)
    assert labels.shape == (4143, 10, 29) and labels.dtype == np.float32
    with np.load(data_dir / "ave" / "ave_labels_rebuilt.npz") as known:
        assert np.array_equal(labels, known["labels"])
    assert np.array_equal(
        labels[..., :28].any(2), dataset(data_dir / "ave" / "labels_closs.h5") > 0
    )
    mil = dataset(data_dir / "ave" / "mil_labels.h5")
    assert [row.category for row in rows] == [AVE_CATEGORIES[k] for k in mil.argmax(1)]
    event = labels[..., :28].any((1, 2))
    assert (~event).sum() == 1 and np.array_equal(
        labels[event][..., :28].max(1), mil[event][:, :28]
    )


def test_the_counts_that_the_page_shows_are_those_of_the_files(data_dir):
    ids = np.array([row.id for row in read_annotations(data_dir / "ave" / "Annotations.txt")])
    split = {
        name: set(ids[dataset(data_dir / "ave" / f"{name}_order.h5", "order")])
        for name in ("train", "val", "test")
    }
    counted = {
        "clips": len(ids),
        "distinct_ids": len(set(ids)),
        "ids_with_several_rows": int((np.unique(ids, return_counts=True)[1] > 1).sum()),
        "ids_in_train_and_val": len(split["train"] & split["val"]),
        "ids_in_train_and_test": len(split["train"] & split["test"]),
        "background_clips": len(dataset(data_dir / "ave" / "labels_noisy.h5")),
    }
    assert counted == OFFICIAL


def test_real_orders_and_traps_are_noted(data_dir):
    findings = check_folder(data_dir / "ave")
    errors = {finding.file for finding in findings if finding.level == "error"}
    assert errors == {"audio_feature.h5", "visual_feature.h5"}  # which cannot be had
    notes = "\n".join(finding.message for finding in findings if finding.level == "note")
    assert "4097 distinct ids in 4143 rows: 45 ids have several rows" in notes
    assert (
        "10 ids are also in train_order.h5" in notes and "8 ids are also in train_order.h5" in notes
    )
    assert "an empty event" in notes and "another task" in notes and "float64 on disk" in notes


def test_a_folder_with_the_real_annotations_and_invented_features(data_dir, tmp_path):
    for name in (
        "Annotations.txt",
        "train_order.h5",
        "val_order.h5",
        "test_order.h5",
        "mil_labels.h5",
        "labels_noisy.h5",
        "audio_feature_noisy.h5",
    ):
        (tmp_path / name).symlink_to(data_dir / "ave" / name)
    rng = np.random.default_rng(0)
    for name, shape, above in (
        ("audio_feature", (4143, 10, 128), 0),
        ("visual_feature", (4143, 10, 1, 1, 2), 0),
        ("visual_feature_noisy", (178, 10, 1, 1, 2), 1),
    ):
        write_h5(tmp_path / f"{name}.h5", above + rng.random(shape, np.float32))
    ave = AVE(tmp_path)
    assert [len(ave.train), len(ave.val), len(ave.test)] == [
        3339,
        402,
        402,
    ] and ave.kind == "folder"  # 2 channels are not 512
    dropped = AVE(tmp_path, drop_shared=True)
    assert not set(dropped.train.ids) & (set(ave.val.ids) | set(ave.test.ids))
    assert (
        3339 - len(dropped.train)
        == np.isin(ave.train.ids, [*ave.val.ids, *ave.test.ids]).sum()
        >= 18
    )
    weak = AVE(tmp_path, weak=True)
    assert len(weak.train) == 3339 + 178 and len(weak.val) == 402
    last = weak.train.batch([-1, 0])
    assert (
        (last["visual"][0] >= 1).all()
        and (last["visual"][1] < 1).all()
        and last["labels"][0, :, 28].all()
    )
    assert np.allclose(last["audio"][0], dataset(data_dir / "ave" / "audio_feature_noisy.h5")[-1])


# ------------------------------------------------------------------------------------ small folders
@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_ave(tmp_path_factory.mktemp("made") / "ave")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": True},
        {"compression": "gzip"},
        {"dtype": np.float64},
        {"dtype": np.float16},
        {"dtype": np.dtype(">f4")},
    ],
)
@pytest.mark.parametrize("cache_mb", [600, 0])
def test_batches_hold_what_the_files_hold(tmp_path, options, cache_mb):
    folder, audio, visual = write_ave(tmp_path / "ave", **options)
    ave = AVE(folder, cache_mb=cache_mb)
    rows = dataset(folder / "val_order.h5", "order")
    batch = ave.val.batch([4, 0, 4, -1])
    assert {key: value.dtype for key, value in batch.items()} == dict.fromkeys(
        ("audio", "visual", "labels", "video_labels"), torch.float32
    )
    assert np.array_equal(batch["audio"], audio[rows[[4, 0, 4, -1]]].astype(np.float32))
    assert np.array_equal(batch["visual"], visual[rows[[4, 0, 4, -1]]].astype(np.float32))
    assert np.array_equal(batch["labels"], dataset(folder / "labels.h5")[rows[[4, 0, 4, -1]]])
    assert np.allclose(
        batch["video_labels"], dataset(folder / "prob_label.h5")[rows[[4, 0, 4, -1]]]
    )
    assert isinstance(
        ave.stores["visual"],
        (
            CachedStore
            if cache_mb
            else (H5Store if "chunks" in options or "compression" in options else RawStore)
        ),
    )


def test_dimensions_and_classes_come_from_the_files(tmp_path):
    folder, _, _ = write_ave(
        tmp_path,
        n=12,
        seconds=7,
        audio=3,
        side=2,
        visual=5,
        categories=("Rain", "Wind", "Door"),
        noisy=0,
        weak=False,
    )
    batch = AVE(folder).train[:]
    assert (
        batch["visual"].shape == (6, 7, 2, 2, 5)
        and batch["audio"].shape == (6, 7, 3)
        and batch["labels"].shape == (6, 7, 4)
    )
    assert AVE(folder).categories == ("Rain", "Wind", "Door") and not [
        f for f in check_folder(folder) if f.level == "error"
    ]


def test_labels_are_rebuilt_where_the_file_is_missing_and_found_under_both_names(made, tmp_path):
    folder, _, _ = write_ave(tmp_path, labels=False)
    want = AVE(made[0]).train.labels
    assert np.array_equal(AVE(folder).train.labels, want)
    (folder / "right_labels.h5").write_bytes((made[0] / "labels.h5").read_bytes())
    (folder / "Annotations.txt").unlink()
    assert np.array_equal(AVE(folder).train.labels, want) and AVE(folder).train.ids[0].startswith(
        "row-0"
    )
    assert "right_labels.h5" not in str(check_folder(folder))


def test_a_title_line_in_the_annotations_is_no_clip(made, tmp_path):
    folder, _, _ = write_ave(tmp_path)
    text = (folder / "Annotations.txt").read_text()
    (folder / "Annotations.txt").write_text("Category&VideoID&Quality&StartTime&EndTime\n" + text)
    assert AVE(folder).hash == AVE(made[0]).hash


def test_kind_name_and_hash(made, tmp_path):
    ave = AVE(made[0])
    assert (
        (ave.kind, ave.name) == ("folder", "ave")
        and len(ave.hash) == 12
        and ave.hash == AVE(made[0], weak=True, cache_mb=0).hash
    )
    assert ave.hash != AVE(write_ave(tmp_path / "other", seed=1)[0]).hash
    (made[0] / "world.json").write_text('{"task": "ave", "size": "tiny", "seed": 3}')
    try:
        assert (AVE(made[0]).kind, AVE(made[0]).name, AVE(made[0]).hash) == (
            "world",
            "world-ave-tiny-3",
            ave.hash,
        )
    finally:
        (made[0] / "world.json").unlink()


def test_hash_sees_a_change_in_features_alone(made, tmp_path):
    folder, audio, _ = write_ave(tmp_path)
    write_h5(folder / "audio_feature.h5", audio + 0.01)
    assert AVE(folder).hash != AVE(made[0]).hash


INDICES = st.lists(st.integers(-12, 11), max_size=30)


@settings(max_examples=40, deadline=None)
@given(indices=INDICES, cache_mb=st.sampled_from([0, 600]))
def test_any_list_of_indices(made, indices, cache_mb):
    split, rows = (
        AVE(made[0], cache_mb=cache_mb).train,
        dataset(made[0] / "train_order.h5", "order"),
    )
    assert np.array_equal(split.batch(indices)["visual"], made[2][rows[np.array(indices, int)]])


@pytest.mark.parametrize("cache_mb", [0, 600])
def test_other_ways_to_name_clips(made, cache_mb):
    split, rows = (
        AVE(made[0], cache_mb=cache_mb).train,
        dataset(made[0] / "train_order.h5", "order"),
    )
    mask = np.arange(12) % 3 == 0
    for indices, want in (
        (slice(None, None, -2), rows[::-2]),
        (np.array([3, 1]), rows[[3, 1]]),
        (torch.tensor([5, 5]), rows[[5, 5]]),
        (mask, rows[mask]),
        (torch.from_numpy(mask), rows[mask]),
        (range(4), rows[:4]),
        (2, rows[2:3]),
        ([], rows[:0]),
    ):
        assert np.array_equal(split.batch(indices)["audio"], made[1][want])
    assert np.array_equal(split[-1]["audio"], made[1][rows[-1]]) and len(list(split)) == 12
    assert np.array_equal(split.subset([7, 2]).batch([1])["visual"], made[2][rows[[2]]])
    for wrong in ([12], [-13], [0.5], np.ones(5, bool)):
        with pytest.raises(IndexError):
            split.batch(wrong)


@pytest.mark.parametrize("workers, start", [(0, None), (2, "fork"), (2, "spawn")])
def test_dataloader_reads_whole_batches(made, workers, start):
    split, rows = (
        AVE(made[0], cache_mb=0, weak=True).train,
        dataset(made[0] / "train_order.h5", "order"),
    )
    options = {"num_workers": workers, "multiprocessing_context": start} if workers else {}
    got = torch.cat([batch["audio"] for batch in split.loader(5, **options)])
    assert np.array_equal(got[:12], made[1][rows]) and len(got) == 17
    order = [
        batch["labels"].argmax(-1)
        for batch in torch.utils.data.DataLoader(
            split, 17, shuffle=True, collate_fn=identity_collate
        )
    ]
    assert sorted(map(tuple, order[0].tolist())) == sorted(
        map(tuple, split.labels.argmax(-1).tolist())
    )


def test_a_loader_that_collates_again_is_told_how(made):
    with pytest.raises(ValueError, match="collate_fn=avbook.data.base.identity_collate"):
        next(iter(torch.utils.data.DataLoader(AVE(made[0]).train, 4)))
    with pytest.raises(KeyError):
        AVE(made[0]).train.batch([0])["nothing"]


def test_a_pickle_carries_no_features(made):
    ave = AVE(made[0])
    assert isinstance(ave.stores["visual"], CachedStore)
    copy = pickle.loads(pickle.dumps(ave.train))
    assert isinstance(copy.stores["visual"], RawStore) and torch.equal(
        copy.batch([3])["visual"], ave.train.batch([3])["visual"]
    )


def test_on_a_device_batches_stay_the_same(made):
    ave, there = AVE(made[0], weak=True, cache_mb=0), AVE(made[0], weak=True, cache_mb=0).to("cpu")
    assert all(isinstance(part, CachedStore) for part in there.stores["visual"].parts)
    for key, value in ave.train.batch([16, 2, 14]).items():
        assert torch.equal(there.train.batch([16, 2, 14])[key], value)


def test_contiguous_h5_is_read_past_hdf5_and_chunked_is_not(tmp_path):
    array = np.random.default_rng(0).standard_normal((6, 4, 3))
    write_h5(tmp_path / "flat.h5", array)
    write_h5(tmp_path / "chunked.h5", array, chunks=(2, 4, 3), compression="gzip")
    flat, chunked = (
        open_h5(tmp_path / "flat.h5", "avadataset"),
        open_h5(tmp_path / "chunked.h5", "avadataset"),
    )
    assert isinstance(flat, RawStore) and isinstance(chunked, H5Store)
    assert torch.equal(flat.read([5, 0]), chunked.read([5, 0]))


def test_video_labels_are_shares(made):
    train = AVE(made[0]).train
    assert np.allclose(train.video_labels.sum(1), 1) and np.allclose(
        train.video_labels, train.labels.mean(1)
    )


def test_order_file_of_floats_is_read(tmp_path):
    write_h5(tmp_path / "train_order.h5", np.array([1.0, 0.0]), "order")
    order = read_order(tmp_path / "train_order.h5")
    assert order.tolist() == [1, 0] and order.dtype == np.int64


def test_pack_of_a_weak_folder_gives_the_background_clips(made, tmp_path):
    pack = AVE(pack_folder(made[0], tmp_path / "pack", progress=False), weak=True)
    full = AVE(made[0], weak=True)
    for key, value in full.train.batch([0, 13, 16]).items():
        assert torch.equal(
            pack.train.batch([0, 13, 16])[key],
            value.half().float() if key in ("audio", "visual") else value,
        )


def test_background_clips_come_last_in_train_and_nowhere_else(made):
    plain, weak = AVE(made[0]), AVE(made[0], weak=True)
    assert [len(split) for split in weak.splits.values()] == [12 + 5, 6, 6]
    assert weak.train.ids[:12].tolist() == plain.train.ids.tolist()
    assert weak.train.ids[12:].tolist() == [f"backgr-{number:04d}" for number in range(5)]
    labels = weak.train.batch(range(12, 17))["labels"]
    assert labels[..., -1].all() and labels.sum() == 5 * 10
    assert np.array_equal(weak.test.labels, plain.test.labels)


def test_a_shuffled_epoch_reads_each_row_of_the_file_once(made, monkeypatch):
    held, streamed = AVE(made[0]).train, AVE(made[0], cache_mb=0).train
    reads, run = [], RawStore._run

    def noted(self, source, start, stop):
        reads.extend(range(start, stop))
        return run(self, source, start, stop)

    monkeypatch.setattr(RawStore, "_run", noted)
    for one, other in zip(held.loader(5, True, seed=0), streamed.loader(5, True, seed=0)):
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert sorted(reads) == sorted([*streamed.rows] * 2)  # audio and visual features


def test_the_world_loses_nothing_in_a_pack(tmp_path):
    """Its features are whole numbers up to 255 times a power of two, and means of four of them."""
    folder = world_folder("ave", "tiny")
    ave, pack = AVE(folder), AVE(pack_folder(folder, tmp_path / "pack", progress=False))
    assert pack.hash == ave.hash
    for name, value in ave.train[:].items():
        assert torch.equal(pack.train[:][name], value)


def test_labels_and_splits_of_the_world_cover_all_clips():
    folder = world_folder("ave", "tiny")
    rows = read_annotations(folder / "Annotations.txt")
    assert np.array_equal(rebuilt_labels(rows), dataset(folder / "labels.h5"))
    orders = [dataset(folder / f"{name}_order.h5", "order") for name in ("train", "val", "test")]
    assert sorted(np.concatenate(orders)) == list(range(len(rows)))
