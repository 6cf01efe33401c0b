"""The world's folders: official layouts, same seed same bytes, nothing half-written, one build for
many who ask."""

import errno
import hashlib
import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
from multiprocessing import active_children, current_process
from pathlib import Path

import h5py
import numpy as np
import pytest
from processes import PATIENCE, ROOT, wait_for

from avbook.cli import commands
from avbook.common import files
from avbook.common.system import lock
from avbook.data.annotations import read_annotations, read_spans, read_videos
from avbook.data.ave import AVE
from avbook.data.events import AVE_CATEGORIES, ave_labels
from avbook.data.labels import span_masks
from avbook.data.llp import LLP
from avbook.data.packs import pack_folder
from avbook.data.spec import LLP_SPEC
from avbook.errors import AvbookError
from avbook.features.trained import extractor_weights
from avbook.world import build as world, writers as layouts
from avbook.world.audio import render_sound
from avbook.world.build import (
    DEFAULT_FEATURES,
    clip_features,
    open_clip,
    open_world,
    world_dims,
    world_folder,
    world_sizes,
    write_world,
)
from avbook.world.clips import (
    SECOND,
    ave_truth,
    clip_record,
    llp_truth,
    read_scripts,
    sample_background,
    sample_scripts,
)
from avbook.world.probe import probe
from avbook.world.video import render_frames


def dataset(path, name="avadataset"):
    with h5py.File(path) as file:
        return file[name][:]


def labels_of(path):
    return {video.name: video.labels for video in read_videos(path)}


def digest(folder):
    """One hash of all names and bytes below the folder."""
    found = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            found.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return found.hexdigest()


@pytest.fixture
def few(monkeypatch):
    """Sizes at which a build takes a second."""
    for task in world.SIZES:
        monkeypatch.setitem(world.SIZES[task], "tiny", (7, 2, 3))


@pytest.fixture
def quick(monkeypatch, few):
    """Features that cost nothing: the clip's seed, everywhere."""

    def made(clip, task, dims, features):
        return {
            name: np.full(shape, clip.seed % 1000, np.float32)
            for name, shape in layouts.feature_shapes(task, dims).items()
        }

    monkeypatch.setattr(world, "clip_features", made)
    monkeypatch.setattr(world, "count_workers", lambda most: 1)  # further ones take longer to start


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The real thing, once: a tiny world of each task under random filters."""
    folder = tmp_path_factory.mktemp("worlds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(world.SIZES["llp"], "tiny", (12, 4, 4))
        shared = {"size": "tiny", "seed": 4, "features": "random", "visual_dim": 16, "workers": 1}
        return {
            "ave": write_world(folder / "ave", "ave", **shared),
            "llp": write_world(folder / "llp", "llp", motion_dim=8, **shared),
        }


# ---- the same bytes, today and tomorrow


def test_the_same_seed_gives_the_stored_bytes(tiny):
    """Where this turns red, the world has changed: raise `CONTENT` and make the records again."""
    assert (AVE(tiny["ave"]).hash, LLP(tiny["llp"]).hash) == ("8875954386a5", "4dba68931a96")


@pytest.mark.parametrize("dataset, expected", [(AVE, "94dd19f0afad"), (LLP, "e9e63d7f3a62")])
def test_the_small_worlds_are_those_of_the_records(dataset, expected):
    assert dataset(world_folder(dataset.__name__.lower(), "small")).hash == expected


@pytest.mark.soak
@pytest.mark.parametrize("dataset, expected", [(AVE, "035b76623a55"), (LLP, "3da1f8cb2d65")])
def test_the_small_worlds_under_random_filters_are_those_of_their_records(dataset, expected):
    folder = world_folder(dataset.__name__.lower(), "small", features="random")
    assert dataset(folder).hash == expected


def test_the_default_is_the_same_wherever_it_is_asked_for():
    defaults = [
        inspect.signature(function).parameters["features"].default
        for function in (world_sizes, clip_features, write_world, world_folder, commands.world)
    ]
    assert set(defaults) == {DEFAULT_FEATURES} == {"trained"}
    few = sample_scripts("ave", 5, seed=3)
    assert [clip_record(clip) for clip in few] == [
        clip_record(clip) for clip in sample_scripts("ave", 5, seed=3, levers=SECOND["ave"])
    ]
    assert sample_background(2)[1].snr_db == sample_background(2, levers=SECOND["ave"])[1].snr_db


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny world of each task under the trained filters."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        for task in world.SIZES:
            patch.setitem(world.SIZES[task], "tiny", (12, 4, 4))
        return {
            task: write_world(folder / task, task, "tiny", seed=4, features="trained", workers=1)
            for task in world.SIZES
        }


def test_the_second_version_gives_the_stored_bytes(trained):
    """Where this turns red, raise `CONTENT["trained"]` and make the records again."""
    assert (AVE(trained["ave"]).hash, LLP(trained["llp"]).hash) == ("7b45a84cbdea", "9bccfee1dc33")


def test_a_world_names_its_filters(trained, tiny):
    said = {"filters": "trained", "weights": extractor_weights().hash}
    for task, dataset in (("ave", AVE), ("llp", LLP)):
        assert open_world(trained[task])["features"] == said
        opened = dataset(trained[task])
        assert opened.filters == said and opened.name == f"world-{task}-tiny-4-trained"
        assert dataset(tiny[task]).filters is None
        assert dataset(tiny[task]).name == f"world-{task}-tiny-4"


def test_a_pack_names_its_filters(trained, tmp_path):
    opened = AVE(pack_folder(trained["ave"], tmp_path / "pack"))
    assert opened.filters == AVE(trained["ave"]).filters
    assert opened.hash == AVE(trained["ave"]).hash


def test_other_filters_alone_give_another_hash(trained, tmp_path):
    copy = shutil.copytree(trained["ave"], tmp_path / "copy")
    info = json.loads((copy / "world.json").read_text())
    info["features"]["weights"] = "00000000"
    (copy / "world.json").write_text(json.dumps(info))
    assert AVE(copy).hash != AVE(trained["ave"]).hash


def test_one_thread_or_four_give_the_same_bytes(trained, tmp_path):
    """Two processes with different thread counts, and other workers."""
    script = (
        "import sys, torch; torch.set_num_threads(int(sys.argv[3]));"
        "from avbook.world import build;"
        "[sizes.update(tiny=(12, 4, 4)) for sizes in build.SIZES.values()];"
        "build.write_world(sys.argv[1], sys.argv[2], 'tiny', seed=4, features='trained',"
        " workers=int(sys.argv[4]))"
    )
    for task, threads, workers in (("ave", 4, 2), ("llp", 2, 1)):
        arguments = [str(tmp_path / task), task, str(threads), str(workers)]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        subprocess.run([sys.executable, "-c", script, *arguments], env=environment, check=True)
        for path in (tmp_path / task).rglob("*.*"):
            other = trained[task] / path.relative_to(tmp_path / task)
            assert path.is_dir() or path.read_bytes() == other.read_bytes(), path


def test_clips_of_the_second_version_vary_in_quality(trained):
    clips = [open_clip(trained["ave"], row) for row in range(20)]
    assert len({clip.difficulty for clip in clips}) == 20
    low, high = SECOND["ave"].snr_db
    for clip in clips:
        assert clip.snr_db == pytest.approx(low + (high - low) * (1 - clip.difficulty))
        assert clip.sources[0].size == pytest.approx(1 - clip.difficulty)
    assert {open_clip(trained["llp"], row).difficulty for row in range(20)} == {0.0}


# ---- layouts


def test_ave_layout(tiny):
    folder = tiny["ave"]
    expected = {
        "audio_feature": (64, 10, 128),
        "visual_feature": (64, 10, 7, 7, 16),
        "labels": (64, 10, 29),
        "mil_labels": (64, 29),
        "prob_label": (64, 29),
        "audio_feature_noisy": (3, 10, 128),
        "visual_feature_noisy": (3, 10, 7, 7, 16),
        "labels_noisy": (3, 29),
    }
    for name, shape in expected.items():
        array = dataset(folder / f"{name}.h5")
        assert array.shape == shape and array.dtype == np.float32 and np.isfinite(array).all(), name
    with h5py.File(folder / "visual_feature.h5") as file:
        assert file["avadataset"].chunks is None  # as in the official files
    orders = [dataset(folder / f"{split}_order.h5", "order") for split in ("train", "val", "test")]
    assert [len(order) for order in orders] == [40, 12, 12] and sorted(
        np.concatenate(orders)
    ) == list(range(64))
    assert (folder / "categories.txt").read_text().splitlines() == list(AVE_CATEGORIES)
    assert not list(folder.glob("*.log")) and not list(folder.parent.glob(".*partial"))


def test_ave_labels_are_rebuilt_from_the_annotations(tiny):
    rows = read_annotations(tiny["ave"] / "Annotations.txt")
    names = list(dict.fromkeys(row[0] for row in rows))
    assert names == list(AVE_CATEGORIES)  # each class occurs, first in the order of AVE
    rebuilt = np.stack(
        [ave_labels(names.index(name), onset, offset) for name, _, onset, offset, _ in rows]
    )
    labels = dataset(tiny["ave"] / "labels.h5")
    assert np.array_equal(labels, rebuilt)
    assert np.allclose(dataset(tiny["ave"] / "prob_label.h5"), rebuilt.mean(1))
    mil = dataset(tiny["ave"] / "mil_labels.h5")
    assert (
        (mil.sum(1) == 1).all()
        and not mil[:, 28].any()
        and all(mil[i, names.index(row[0])] for i, row in enumerate(rows))
    )
    assert (dataset(tiny["ave"] / "labels_noisy.h5").argmax(1) == 28).all()


def test_llp_layout(tiny):
    folder, judged = tiny["llp"], 0
    for split, file in LLP_SPEC.split_files.items():
        videos = labels_of(folder / file)
        assert len(videos) == {"train": 12, "val": 4, "test": 4}[split]
        files = LLP_SPEC.train_span_files if split == "train" else LLP_SPEC.span_files
        spans = [span_masks(read_spans(folder / file)) for file in files.values()]
        for name, labels in videos.items():
            assert set(labels) == {label for part in spans for label in part.get(name, {})}
            for kind, shape in (
                ("vggish", (10, 128)),
                ("res152", (80, 16)),
                ("r2plus1d_18", (10, 8)),
            ):
                array = np.load(folder / kind / f"{name[:11]}.npy", allow_pickle=False)
                assert array.shape == shape and array.dtype == np.float32 and array.any()
            judged += 1
    assert judged == 20 == len(list((folder / "vggish").iterdir()))


def test_features_are_those_of_each_clip_in_its_row(tiny):
    info = open_world(tiny["ave"])
    with (
        h5py.File(tiny["ave"] / "visual_feature.h5") as visual,
        h5py.File(tiny["ave"] / "audio_feature.h5") as audio,
    ):
        for row in (0, 9, 63):
            clip = open_clip(tiny["ave"], row)
            found = clip_features(clip, "ave", info["dims"], "random")
            assert np.array_equal(visual["avadataset"][row], found["visual"]) and np.array_equal(
                audio["avadataset"][row], found["audio"]
            )
    background = clip_features(open_clip(tiny["ave"], 65), "ave", info["dims"], "random")
    assert np.array_equal(dataset(tiny["ave"] / "visual_feature_noisy.h5")[1], background["visual"])


def test_a_clip_can_be_opened_seen_and_heard(tiny):
    clip = open_clip(tiny["llp"], open_clip(tiny["llp"], 5).id)
    assert clip.id == open_clip(tiny["llp"], 5).id and clip.labels
    assert render_frames(clip, 56, 8).shape == (80, 56, 56, 3) and render_sound(clip).shape == (
        160000,
    )
    for wrong in ("W004l999999", 640, -1):
        with pytest.raises(AvbookError, match="no clip"):
            open_clip(tiny["llp"], wrong)


def test_sound_follows_heard_alone_and_picture_seen_alone(tiny):
    from dataclasses import replace

    clip = next(
        c
        for c in (open_clip(tiny["llp"], row) for row in range(20))
        if c.sources[0].heard.any() and c.sources[0].seen.any()
    )
    dims = open_world(tiny["llp"])["dims"]
    deaf = replace(clip, sources=tuple(replace(s, heard=np.zeros(10, bool)) for s in clip.sources))
    blind = replace(clip, sources=tuple(replace(s, seen=np.zeros(10, bool)) for s in clip.sources))
    both, unheard, unseen = (clip_features(c, "llp", dims) for c in (clip, deaf, blind))
    assert np.array_equal(both["visual_2d"], unheard["visual_2d"]) and not np.array_equal(
        both["audio"], unheard["audio"]
    )
    assert np.array_equal(both["audio"], unseen["audio"]) and not np.array_equal(
        both["visual_2d"], unseen["visual_2d"]
    )


def test_a_block_that_holds_clips_and_background_is_parted(tmp_path, quick, monkeypatch):
    monkeypatch.setattr(world, "NEGATIVES", 0.5)  # 12 clips and 6 of background, in blocks of 8
    folder = write_world(tmp_path / "w", "ave", "tiny", visual_dim=1)
    rows = np.concatenate(
        [dataset(folder / "audio_feature.h5"), dataset(folder / "audio_feature_noisy.h5")]
    )
    assert rows[:, 0, 0].tolist() == [open_clip(folder, row).seed % 1000 for row in range(18)]
    assert (
        dataset(folder / "visual_feature_noisy.h5")[0, 0, 0, 0, 0]
        == open_clip(folder, 12).seed % 1000
    )


# ---- same seed, same bytes


def test_same_bytes_from_one_process_and_from_two(tmp_path, few):
    one, two = (
        write_world(tmp_path / str(n), "ave", "tiny", visual_dim=8, workers=n) for n in (1, 2)
    )
    other = write_world(tmp_path / "other", "ave", "tiny", visual_dim=8, workers=1, seed=1)
    assert digest(one) == digest(two) != digest(other)


def test_blocks_come_in_order_from_further_processes(tmp_path, quick):
    folder = write_world(tmp_path / "w", "ave", "tiny", visual_dim=1, workers=3)
    rows = dataset(folder / "audio_feature.h5")[:, 0, 0]
    assert rows.tolist() == [open_clip(folder, row).seed % 1000 for row in range(12)]


def test_thread_count_is_put_back(tmp_path, quick):
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        write_world(tmp_path / "w", "ave", "tiny", workers=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# ---- the real annotations


def test_real_ave_annotations_make_the_real_labels(tmp_path, data_dir, quick):
    folder = write_world(tmp_path / "w", "ave", "tiny", annotations=data_dir / "ave", visual_dim=2)
    rows, real = (
        [row[:4] for row in read_annotations(where / "Annotations.txt")]
        for where in (folder, data_dir / "ave")
    )
    assert len(rows) == 12 and set(rows) <= set(real)
    assert np.array_equal(
        dataset(folder / "labels.h5"), ave_truth([open_clip(folder, i) for i in range(12)])
    )
    orders = {
        split: dataset(folder / f"{split}_order.h5", "order") for split in ("train", "val", "test")
    }
    assert [len(order) for order in orders.values()] == [7, 2, 3]
    assert all(
        open_clip(folder, int(row)).split == split
        for split, order in orders.items()
        for row in order
    )
    assert open_world(folder)["scripts"] == "annotations"


@pytest.mark.parametrize("task", ["ave", pytest.param("llp", marks=pytest.mark.soak)])
def test_the_full_real_scripts_in_the_official_layout(tmp_path, data_dir, quick, monkeypatch, task):
    small = {"visual_dim": 1} | ({"motion_dim": 1} if task == "llp" else {})
    if task == "ave":
        folder = write_world(tmp_path / "w", "ave", "ave", annotations=data_dir / "ave", **small)
        assert (folder / "Annotations.txt").read_bytes() == (
            data_dir / "ave" / "Annotations.txt"
        ).read_bytes()
        assert np.array_equal(
            dataset(folder / "labels.h5"),
            np.load(data_dir / "ave" / "ave_labels_rebuilt.npz")["labels"],
        )
        for split in ("train", "val", "test"):
            assert np.array_equal(
                dataset(folder / f"{split}_order.h5", "order"),
                dataset(data_dir / "ave" / f"{split}_order.h5", "order").ravel(),
            )
        assert np.array_equal(
            dataset(folder / "mil_labels.h5"), dataset(data_dir / "ave" / "mil_labels.h5")
        )
        with pytest.raises(AvbookError, match="is in rows"):
            ids = [row.id for row in read_annotations(folder / "Annotations.txt")]
            open_clip(folder, next(id for id in ids if ids.count(id) > 1))
        return
    monkeypatch.setitem(world.SIZES["llp"], "tiny", (300, 649, 1200))
    folder = write_world(tmp_path / "w", "llp", "tiny", annotations=data_dir / "llp", **small)
    for split, file in LLP_SPEC.split_files.items():
        ours, real = labels_of(folder / file), labels_of(data_dir / "llp" / file)
        assert ours.items() <= real.items() and (split == "train" or ours == real)
    again = read_scripts("llp", folder)
    clips = [clip for clip in read_scripts("llp", data_dir / "llp") if clip.split != "train"]
    for ours, theirs in zip(
        llp_truth([clip for clip in again if clip.split != "train"]), llp_truth(clips)
    ):
        assert np.array_equal(ours, theirs)


# ---- nothing half-written


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "trouble, seen",
    [
        (OSError(errno.ENOSPC, "No space left on device"), AvbookError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (RuntimeError("a bug"), RuntimeError),
    ],
)
@pytest.mark.parametrize("task", ["ave", "llp"])
def test_trouble_while_writing_leaves_nothing(tmp_path, quick, monkeypatch, task, trouble, seen):
    written = []

    def failing(self, start, block):
        written.append(start)
        if start:
            raise trouble

    monkeypatch.setattr(layouts.FILES[task], "write", failing)
    with pytest.raises(seen) as error:
        write_world(tmp_path / "w", task, "tiny", workers=1)
    assert len(written) == 2 and leftovers(tmp_path) == []
    if seen is AvbookError:
        assert "No space left" in str(error.value) and "\n" not in str(error.value)


def test_a_disk_too_small_is_noticed_before(tmp_path, quick, monkeypatch):
    monkeypatch.setattr(
        world.shutil,
        "disk_usage",
        lambda path: os.statvfs_result((0,) * 10) and type("U", (), {"free": 1000})(),
    )
    with pytest.raises(AvbookError, match="GB free"):
        write_world(tmp_path / "w", "ave", "tiny")
    assert leftovers(tmp_path) == []


def refused_by_workers(tmp_path, monkeypatch, features):
    """What a build says whose two workers call this function: one inside a test, which is sent
    whole, since they cannot import this module."""
    monkeypatch.setattr(world, "clip_features", features)
    before = set(active_children())
    with pytest.raises(AvbookError) as error:
        write_world(tmp_path / "w", "ave", "tiny", visual_dim=4, workers=2)
    assert leftovers(tmp_path) == [] and set(active_children()) == before
    return str(error.value)


def test_a_worker_that_dies_is_reported(tmp_path, few, monkeypatch):
    def dies(clip, task, dims, features):
        os._exit(3)

    said = refused_by_workers(tmp_path, monkeypatch, dies)
    assert "a worker died" in said and "start it again" in said and "--jobs" not in said


def test_a_worker_that_fails_is_reported(tmp_path, few, monkeypatch):
    def fails(clip, task, dims, features):
        raise ValueError("no such\nthing")

    said = refused_by_workers(tmp_path, monkeypatch, fails)
    assert said.endswith("failed on one of rows 0 to 7: ValueError: no such thing")


def test_a_bug_in_this_process_keeps_its_kind(tmp_path, few, monkeypatch):
    monkeypatch.setattr(world, "clip_features", lambda clip, task, dims, features: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_world(tmp_path / "w", "ave", "tiny", visual_dim=4, workers=1)
    assert leftovers(tmp_path) == []


def test_without_further_processes_it_computes_by_itself(tmp_path, quick, monkeypatch):
    monkeypatch.setitem(current_process()._config, "daemon", True)  # which may have no children
    folder = write_world(tmp_path / "w", "ave", "tiny", workers=4)
    assert (dataset(folder / "audio_feature.h5")[3] == open_clip(folder, 3).seed % 1000).all()


def test_an_occupied_folder_is_left_alone(tmp_path, quick):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("x")
    for name in ("mine", "file"):
        with pytest.raises(AvbookError, match="exists already"):
            write_world(tmp_path / name, "ave", "tiny")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    assert open_world(write_world(tmp_path / "empty", "ave", "tiny"))["counts"] == {
        "train": 7,
        "val": 2,
        "test": 3,
        "background": 1,
    }


# ---- the cache


def test_the_cache_builds_once_and_by_kind(tmp_path, quick, monkeypatch):
    first = world_folder("ave", "tiny", cache=tmp_path)
    monkeypatch.setattr(world, "_write", lambda *args, **kwargs: pytest.fail("built a second time"))
    assert world_folder("ave", "tiny", cache=tmp_path) == first
    monkeypatch.setenv("AVBOOK_CACHE", str(tmp_path))
    assert world_folder("ave", "tiny") == first
    for other in ({"seed": 1}, {"visual_dim": 8}, {"task": "llp"}):
        with pytest.raises(pytest.fail.Exception):
            world_folder(**{"task": "ave", "size": "tiny"} | other)


def test_another_version_of_the_content_makes_another_world(tmp_path, quick, monkeypatch):
    first = world_folder("ave", "tiny", cache=tmp_path)
    monkeypatch.setitem(world.CONTENT, world.DEFAULT_FEATURES, 99)
    assert world_folder("ave", "tiny", cache=tmp_path) != first


def test_a_cache_that_is_full_or_read_only_is_one_line(tmp_path, quick, monkeypatch):
    first = world_folder("ave", "tiny", cache=tmp_path)

    def refused(*args, **kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(files.tempfile, "TemporaryFile", refused)
    assert world_folder("ave", "tiny", cache=tmp_path) == first, "what is there can be read"
    with pytest.raises(AvbookError) as error:
        world_folder("ave", "tiny", seed=1, cache=tmp_path)
    said = str(error.value)
    assert said.startswith(f"{tmp_path}: cannot hold a world") and "Read-only" in said
    assert "set AVBOOK_CACHE to a folder that can be written to" in said and "\n" not in said
    assert leftovers(tmp_path) == [first.name]


def test_a_folder_has_one_writer_at_a_time(tmp_path, quick):
    with lock(tmp_path / ".w.lock"):
        with pytest.raises(AvbookError, match="another process is writing this world; wait for it"):
            write_world(tmp_path / "w", "ave", "tiny")
    stale, others = tmp_path / ".w.1a2b3c4d.partial", tmp_path / ".v.1a2b3c4d.partial"
    for folder in (stale, others):
        folder.mkdir()
    write_world(tmp_path / "w", "ave", "tiny")
    assert leftovers(tmp_path) == [others.name, "w"], "what a killed process left goes, and no more"
    with pytest.raises(AvbookError, match="exists already"):
        write_world(tmp_path / "w", "ave", "tiny")
    assert leftovers(tmp_path) == [others.name, "w"]


def test_leftovers_of_a_killed_build_go(tmp_path, quick):
    folder = world_folder("ave", "tiny", cache=tmp_path)
    (folder / "world.json").unlink()  # as if it had never been finished
    stale = tmp_path / f".{folder.name}.1a2b3c4d.partial"
    stale.mkdir()
    (stale / "visual_feature.h5").write_bytes(b"half")
    assert (
        world_folder("ave", "tiny", cache=tmp_path) == folder
        and (folder / "world.json").is_file()
        and not stale.exists()
    )


BUILDER = """
import os, sys, time
from pathlib import Path
import numpy as np
from avbook.world import build as world, writers as layouts
world.SIZES["ave"]["tiny"] = (7, 2, 3)
cache, log, pause, workers = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[6])
def made(clip, task, dims, features):
    with open(log, "a") as file: file.write("clip\\n")
    time.sleep(pause)
    shapes = layouts.feature_shapes(task, dims)
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
world.clip_features = made
here = Path(log).parent
(here / f"ready-{os.getpid()}").touch()
patience = time.monotonic() + float(sys.argv[5])
while len(list(here.glob("ready-*"))) < int(sys.argv[4]) and time.monotonic() < patience:
    time.sleep(0.01)
print(world.world_folder("ave", "tiny", cache=cache, workers=workers))
"""


def builder(tmp_path, pause, together=1, workers=1):
    arguments = [
        str(tmp_path / "cache"),
        str(tmp_path / "log"),
        str(pause),
        str(together),
        str(PATIENCE),
        str(workers),
    ]
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_two_builders_at_once_make_one_world(tmp_path):
    both = [builder(tmp_path, 0.05, together=2) for _ in range(2)]
    said = [process.communicate(timeout=PATIENCE) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert (
        said[0][0] == said[1][0] and len((tmp_path / "log").read_text().split()) == 12 + 1
    )  # each clip rendered once
    assert leftovers(tmp_path / "cache") == [Path(said[0][0].strip()).name]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("workers", [1, 2])
def test_interrupted_with_control_c_nothing_stays(tmp_path, workers):
    process = builder(tmp_path, 0.3, workers=workers)
    wait_for((tmp_path / "log").exists, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0 and err.count("Traceback") == 1, err
    assert leftovers(tmp_path / "cache") == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_where_a_builder_is_killed_one_that_waits_builds(tmp_path):
    first = builder(tmp_path, 0.3)
    wait_for((tmp_path / "log").exists, first)
    others = [builder(tmp_path, 0) for _ in range(2)]
    wait_for(lambda: len(list(tmp_path.glob("ready-*"))) == 3, others[0])
    first.kill()
    first.communicate()
    said = [process.communicate(timeout=PATIENCE)[0].strip() for process in others]
    assert [process.returncode for process in others] == [0, 0] and said[0] == said[1]
    assert leftovers(tmp_path / "cache") == [Path(said[0]).name]


# ---- bad input


@pytest.mark.parametrize(
    "options, says",
    [
        ({"task": "esc"}, "expected 'ave' or 'llp'"),
        ({"size": "huge"}, "expected one of tiny, small, ave"),
        ({"task": "llp", "size": "ave"}, "expected one of tiny, small, llp"),
        ({"visual_dim": 0}, "whole number from 1"),
        ({"visual_dim": 2.5}, "whole number from 1"),
        ({"visual_dim": True}, "whole number from 1"),
        ({"motion_dim": 5}, "AVE has no motion features"),
        ({"seed": -1}, "seed -1"),
        ({"seed": "x"}, "seed 'x'"),
        ({"seed": 2**32}, "from 0 to 2**32 - 1"),
        ({"size": None}, "expected one of tiny"),
        ({"features": "learnt"}, "expected one of random, trained"),
        ({"features": None}, "expected one of random, trained"),
        ({"annotations": "/dev/null"}, "is a file; expected the folder"),
        ({"annotations": "/no/such/folder"}, "missing Annotations.txt, train_order.h5"),
    ],
)
def test_bad_input(tmp_path, options, says):
    with pytest.raises(AvbookError) as error:
        write_world(tmp_path / "w", **{"size": "tiny"} | options)
    assert says in str(error.value) and "\n" not in str(error.value) and leftovers(tmp_path) == []


def test_what_is_no_world_is_not_opened(tmp_path):
    for text, says in (
        (None, "missing; expected a folder that write_world"),
        (b"{", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "it holds no object"),
        (b'{"kind": "world", "version": 99}', "it lacks task"),
    ):
        if text is not None:
            (tmp_path / "world.json").write_bytes(text)
        with pytest.raises(AvbookError, match=says):
            open_world(tmp_path)


def test_what_lies_in_a_files_place_is_not_opened(tmp_path, tiny):
    shutil.copytree(tiny["ave"], tmp_path / "w", symlinks=True)
    for name, call in (("scripts.jsonl", open_clip), ("world.json", lambda w, _: open_world(w))):
        path = tmp_path / "w" / name
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(AvbookError, match="is a pipe; expected a file"):
            call(tmp_path / "w", 0)
        path.unlink()
        path.symlink_to("nowhere")
        with pytest.raises(AvbookError, match="a link to nowhere"):
            call(tmp_path / "w", 0)


OTHERS = [None, True, -1, 1.5, 10**30, "x", "", [], {}, [None], {"x": None}]


def changed(record, path, values):
    """Copies of the record with another value, or none, at each place."""
    for key in record if isinstance(record, dict) else range(len(record)):
        here = [*path, key]
        if isinstance(record, dict):
            yield here, {name: value for name, value in record.items() if name != key}
        for value in values:
            copy = dict(record) if isinstance(record, dict) else list(record)
            copy[key] = value
            yield here, copy
        if isinstance(record[key], (dict, list)):
            for place, inner in changed(record[key], here, values):
                copy = dict(record) if isinstance(record, dict) else list(record)
                copy[key] = inner
                yield place, copy


def test_scripts_and_descriptions_of_other_values_are_read_or_refused_in_a_line(tmp_path, tiny):
    refused = accepted = 0
    lines = (tiny["ave"] / "scripts.jsonl").read_text().splitlines()
    info = json.loads((tiny["ave"] / "world.json").read_text())
    (tmp_path / "world.json").write_text(json.dumps(info))
    for _, record in changed(json.loads(lines[0]), [], OTHERS):
        (tmp_path / "scripts.jsonl").write_text(json.dumps(record) + "\n")
        try:
            render_sound(open_clip(tmp_path, 0))
            accepted += 1
        except AvbookError as error:
            assert "\n" not in str(error)
            refused += 1
    for _, other in changed(info, [], OTHERS):
        (tmp_path / "world.json").write_text(json.dumps(other))
        try:
            assert open_world(tmp_path) == other
            accepted += 1
        except AvbookError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 200 and accepted > 10


@pytest.mark.parametrize(
    "line, says",
    [
        (b"", "among 0"),
        (b"\xff\n", "line 1: not the script of a clip"),
        (b"[" * 100_000 + b"\n", "nested too deeply"),
        (b'{"id": NaN}\n', "NaN"),
        (b'{"id": ' + b"9" * 5000 + b"}\n", "not the script of a clip"),
    ],
)
def test_a_line_that_is_no_script_is_refused(tmp_path, tiny, line, says):
    shutil.copy(tiny["ave"] / "world.json", tmp_path)
    (tmp_path / "scripts.jsonl").write_bytes(line)
    with pytest.raises(AvbookError, match=says):
        open_clip(tmp_path, 0)
    with pytest.raises(AvbookError, match="no clip None"):
        open_clip(tmp_path, None)


def test_dims_by_task():
    assert world_dims("ave") == {"audio": 128, "visual": 64} and world_dims("llp") == {
        "audio": 128,
        "visual_2d": 64,
        "visual_3d": 32,
    }
    assert world_dims("llp", 2048, 512) == {"audio": 128, "visual_2d": 2048, "visual_3d": 512}


# ---- probes


def test_probes_on_features_whose_answer_is_known(tmp_path):
    rng, n, classes = np.random.default_rng(0), 240, 4
    category = rng.integers(0, classes, n)
    labels = np.stack([ave_labels(c, 0, 8, categories=classes) for c in category])
    audio = rng.standard_normal((n, 10, 16)).astype(np.float32)
    visual = rng.standard_normal((n, 10, 7, 7, 8)).astype(np.float32)
    audio[..., 0] += 6 * (category % 2)[:, None]  # each modality knows one bit of the class
    visual[..., 0] += 6 * (category // 2)[:, None, None, None]
    for name, array in (("audio_feature", audio), ("visual_feature", visual), ("labels", labels)):
        layouts.write_h5(tmp_path / f"{name}.h5", array)
    for split, rows in (
        ("train", range(160)),
        ("val", range(160, 200)),
        ("test", range(200, 240)),
    ):
        layouts.write_h5(tmp_path / f"{split}_order.h5", np.array(rows), "order")
    found = probe(tmp_path)
    assert (
        found["both"] > 97
        and 35 < found["audio"] < 65
        and 35 < found["visual"] < 65
        and found["shuffled"] < 70
    )
    assert len(found["truth"]) == 40 * 8 == len(found["predicted"]["both"])
