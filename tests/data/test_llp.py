"""The LLP loader: dense truth as the released evaluation makes it, rows by id, labels where they
are known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from made_folders import write_llp

from avbook.data.annotations import (
    PUBLISHED_SLIPS,
    LLPSpan,
    read_annotations,
    read_spans,
    read_videos,
)
from avbook.data.events import LLP_CATEGORIES
from avbook.data.labels import dense_labels, video_labels
from avbook.data.llp import LLP
from avbook.data.llp_files import OFFICIAL
from avbook.data.packs import check_folder, pack_folder
from avbook.data.spec import LLP_SPEC

LISTS, SPANS = LLP_SPEC.split_files, LLP_SPEC.span_files


def names_in(path):
    return [video.name for video in read_videos(path)]


# ----------------------------------------------------------------------------------- the real files
def test_dense_truth_equals_the_released_one_on_all_649_validation_videos(data_dir, golden_dir):
    names = names_in(data_dir / "llp" / LISTS["val"])
    with np.load(golden_dir / "llp_metrics_val.npz") as golden:
        assert list(golden["filenames"]) == names and len(names) == 649
        shape = tuple(golden["shape"])  # videos, classes, seconds
        for modality, key in (("audio", "GT_a_packed"), ("visual", "GT_v_packed")):
            truth = np.unpackbits(golden[key])[: np.prod(shape)].reshape(shape)
            ours = dense_labels(read_spans(data_dir / "llp" / SPANS[modality]), names)
            assert np.array_equal(ours.transpose(0, 2, 1), truth)


def test_real_lists_and_their_slips(data_dir):
    clips = {split: read_videos(data_dir / "llp" / file) for split, file in LISTS.items()}
    assert {split: len(videos) for split, videos in clips.items()} == {
        "train": 10000,
        "val": 649,
        "test": 1200,
    }
    labels = {split: video_labels(videos).sum(1) for split, videos in clips.items()}
    assert labels["train"].max() == 3
    assert [round(float(labels[split].mean()), 2) for split in ("train", "test")] == [1.61, 1.82]
    findings = check_folder(data_dir / "llp")
    assert {f.file for f in findings if f.level == "error"} == {
        "vggish",
        "res152",
        "r2plus1d_18",
    }  # features cannot be had
    notes = {
        (f.file, f.message.split(" rows")[0])
        for f in findings
        if f.level == "note" and "rows" in f.message
    }
    assert notes == {
        (SPANS["audio"], "14"),
        (SPANS["visual"], "11"),
        (SPANS["audio"], "5"),
        (SPANS["audio"], "1"),
    }
    disagreements = [f.message for f in findings if f.file == LISTS["val"]]
    assert disagreements == [
        "13 video labels without an audible or visible second, 27 audible or"
        " visible classes without a video label"
    ]
    assert [
        (SPANS["audio"], *span[:4])
        for span in read_spans(data_dir / "llp" / SPANS["audio"])
        if span.onset > span.offset
    ] == list(PUBLISHED_SLIPS)


def test_the_counts_that_the_page_shows_are_those_of_the_files(data_dir):
    clips = {split: names_in(data_dir / "llp" / file) for split, file in LISTS.items()}
    spans = {modality: read_spans(data_dir / "llp" / file) for modality, file in SPANS.items()}
    known = {*clips["val"], *clips["test"]}
    ave = {row.id for row in read_annotations(data_dir / "ave" / "Annotations.txt")}
    ids = {split: {name[:11] for name in names} for split, names in clips.items()}
    counted = {
        **{split: len(names) for split, names in clips.items()},
        **{f"{modality}_rows": len(rows) for modality, rows in spans.items()},
        **{
            f"{modality}_rows_of_no_clip": sum(span.name not in known for span in rows)
            for modality, rows in spans.items()
        },
        "empty_audio_rows": sum(span.onset == span.offset for span in spans["audio"]),
        "inverted_audio_rows": sum(span.onset > span.offset for span in spans["audio"]),
        "ids_in_ave_too": len(set.union(*ids.values()) & ave),
        "test_ids_in_ave_too": len(ids["test"] & ave),
    }
    assert counted == OFFICIAL


# ------------------------------------------------------------------------------------ small folders
@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_llp(tmp_path_factory.mktemp("made") / "llp", n=24)


@pytest.mark.parametrize("cache_mb", [600, 0])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_batches_find_their_features_by_id(tmp_path, dtype, cache_mb):
    folder, groups, features = write_llp(tmp_path, dtype=dtype)
    llp = LLP(folder, cache_mb=cache_mb)
    for split in ("train", "val", "test"):
        names = groups[split][[2, 0, 2]]
        batch = getattr(llp, split).batch([2, 0, 2])
        for key, kind in (
            ("audio", "vggish"),
            ("visual_2d", "res152"),
            ("visual_3d", "r2plus1d_18"),
        ):
            want = np.stack([features[kind, name[:11]] for name in names]).astype(np.float32)
            assert batch[key].dtype == torch.float32 and np.array_equal(batch[key], want)
        assert set(batch) == {"audio", "visual_2d", "visual_3d", "video_labels"} | (
            {"audio_labels", "visual_labels"} if split != "train" else set()
        )
    assert llp.train.audio_labels is None and llp.val.visual_labels.shape == (4, 10, 25)


def test_the_labels_of_a_world_cover_its_training_clips_too(tmp_path):
    llp = LLP(write_llp(tmp_path, world=True)[0])
    assert llp.kind == "world" and llp.train.audio_labels.shape == (8, 10, 25)
    either = llp.train.audio_labels.any(1) | llp.train.visual_labels.any(1)
    assert np.array_equal(either, llp.train.video_labels > 0)


def test_dimensions_and_classes_come_from_the_files(tmp_path):
    folder, _, _ = write_llp(
        tmp_path,
        n=12,
        seconds=6,
        audio=3,
        frames=12,
        d2=5,
        d3=4,
        categories=("Rain", "Wind", "Door"),
    )
    llp = LLP(folder)
    assert [tuple(value.shape) for value in llp.val[:].values()] == [
        (3, 6, 3),
        (3, 12, 5),
        (3, 6, 4),
        (3, 3),
        (3, 6, 3),
        (3, 6, 3),
    ]
    assert llp.categories == ("Rain", "Wind", "Door") and not [
        f for f in check_folder(folder) if f.level == "error"
    ]


def test_rows_become_labels_as_by_hand():
    """The example of the page, with an inverted row more: it marks nothing, as an empty one."""
    rows = [("Dog", 1, 3), ("Dog", 4, 5), ("Car", 0, 5), ("Car", 2, 2), ("Car", 4, 1)]
    spans = [LLPSpan("a", onset, offset, category, 0) for category, onset, offset in rows]
    dense = dense_labels(spans, ["a"], ("Dog", "Car"), 5)
    assert dense.shape == (1, 5, 2) and dense.dtype == np.float32
    assert dense[0].T.tolist() == [[0, 1, 1, 0, 1], [1, 1, 1, 1, 1]]


def test_files_held_streamed_and_packed_give_the_same_batches(made, tmp_path):
    pack = LLP(pack_folder(made[0], tmp_path / "pack", progress=False))
    held, streamed = LLP(made[0]), LLP(made[0], cache_mb=0)
    assert held.hash == streamed.hash == pack.hash
    count = 0
    for one, other, half in zip(
        held.train.loader(5), streamed.train.loader(5), pack.train.loader(5)
    ):
        count += len(one["audio"])
        for name, value in one.items():
            assert torch.equal(value, other[name])
            assert torch.equal(value.half().float(), half[name])
    assert count == len(held.train) == 12


def test_missing_files_are_named_together_and_a_flipped_bit_is_found(tmp_path):
    folder, groups, _ = write_llp(tmp_path / "llp", n=24)
    pack = pack_folder(folder, tmp_path / "pack", progress=False)
    for name in groups["test"][:3]:
        (folder / "res152" / f"{name[:11]}.npy").unlink()
    (found,) = [f for f in check_folder(folder) if f.level == "error"]
    assert found.file == "res152" and "3 of 24 files are missing" in found.message
    assert all(name[:11] in found.message for name in groups["test"][:3])
    data = bytearray((pack / "audio.npy").read_bytes())
    data[500] ^= 1
    (pack / "audio.npy").write_bytes(data)
    (found,) = [f for f in check_folder(pack) if f.level == "error"]
    assert found.file == "audio.npy" and "checksum" in found.message


def test_no_packed_value_differs(made, tmp_path):
    pack, llp = LLP(pack_folder(made[0], tmp_path / "pack", progress=False)), LLP(made[0])
    assert (pack.hash, pack.name, pack.kind) == (llp.hash, llp.name, llp.kind)
    for key, value in llp.test.batch([5, 1]).items():
        assert torch.equal(
            pack.test.batch([5, 1])[key], value if "labels" in key else value.half().float()
        )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.integers(0, 10),
            st.integers(0, 10),
            st.sampled_from(LLP_CATEGORIES),
        ),
        max_size=20,
    )
)
def test_dense_labels_are_those_of_the_released_loop(rows):
    """The released evaluation fills a zero array row by row, `label[class, onset:offset] = 1`."""
    names = ["a", "b"]
    spans = [
        LLPSpan("abz"[name], onset, offset, category, 0) for name, onset, offset, category in rows
    ]
    want = np.zeros((2, 25, 10))
    for span in spans:
        if span.name in names:
            want[
                names.index(span.name),
                LLP_CATEGORIES.index(span.category),
                span.onset : span.offset,
            ] = 1
    assert np.array_equal(dense_labels(spans, names).transpose(0, 2, 1), want)


def test_loader_and_subset(made):
    llp = LLP(made[0], cache_mb=0)
    got = torch.cat([batch["visual_3d"] for batch in llp.train.loader(5, num_workers=2)])
    assert np.array_equal(
        got, np.stack([made[2]["r2plus1d_18", name[:11]] for name in made[1]["train"]])
    )
    kept = llp.train.subset(~np.isin(llp.train.ids, llp.train.ids[:3]))
    assert len(kept) == 9 and not set(kept.ids) & set(llp.train.ids[:3])


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(made, tmp_path):
    folder, _, _ = write_llp(tmp_path, n=24)
    for file in (*LISTS.values(), *SPANS.values()):
        text = (folder / file).read_text()
        (folder / file).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert LLP(folder).hash == LLP(made[0]).hash
