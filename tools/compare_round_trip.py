"""The effect of a video file on the world's features: `python tools/compare_round_trip.py` writes
nbs/5_your_videos/round_trip.json, which a page of that part shows.

Clips of the small worlds, seed 0, are rendered, written as mp4, read and passed to the extractors,
and compared with the features of the clips themselves. One step of the process changes at a time.
Two classifiers, trained on features without files, label 60 test clips in both ways. About ten
minutes on two cores; `steps` or `accuracy` measures only that part."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation

from avbook.common.system import cores
from avbook.common.workers import in_processes
from avbook.data.ave import AVE
from avbook.features.decode import read_clip
from avbook.features.encode import OPTIONS, write_video
from avbook.features.resizing import resize_area, resize_opencv, resize_pillow
from avbook.features.trained import FILTERS, extractor_weights
from avbook.metrics.ave import ave_scores
from avbook.world.audio import render_sound
from avbook.world.build import SIDE, open_clips, world_dims, world_folder
from avbook.world.video import render_frames
from avbook.world.videos import CRF, VIDEO_FPS, VIDEO_SIDE, VideoForm, video_features, write_clip

OUT = Path(__file__).resolve().parent.parent / "nbs/5_your_videos/round_trip.json"
CLIPS = 5  # clips of each task for the comparison of steps
JUDGED = 60  # test clips of AVE's world for the classifiers
WAYS = {"area": resize_area, "Pillow's bilinear": resize_pillow, "OpenCV's bilinear": resize_opencv}
RATES = {"ave": 4, "llp": 8}  # frames per second of the features


# -------------------------------------------------------------------------------- steps of the road
def smaller(frames, way="area"):
    return np.stack([WAYS[way](frame, SIDE, SIDE) for frame in frames])


def recoloured(frames, pix_fmt, how=None):
    """The frames after conversion to a video's colours and back, without a codec."""
    made = [av.VideoFrame.from_ndarray(frame, "rgb24").reformat(format=pix_fmt) for frame in frames]
    return np.stack([one.reformat(format="rgb24", interpolation=how).to_ndarray() for one in made])


# FFmpeg's default fast conversion gives frames that are about one grey level too dark
SLOW = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def read_back(frames, fps, task, place, crf=CRF, wave=None):
    """The result of `read_clip` on an mp4 of these frames."""
    path = Path(place) / "clip.mp4"
    options = OPTIONS["libx264"] | {"crf": str(crf)}
    write_video(path, frames, fps, wave, options=options)
    return read_clip(path, RATES[task], sound=wave is not None)


def frames_by_step(clip, task, place):
    """(group, step) -> frames of 56 pixels, for each variant."""
    large, small = (render_frames(clip, side, RATES[task]) for side in (VIDEO_SIDE, SIDE))
    for way in WAYS:
        yield ("resized, no file", f"224 to 56, {way}"), smaller(large, way)
    for pix_fmt in ("yuv444p", "yuv420p"):
        yield ("colours, no file", f"56, {pix_fmt}"), recoloured(small, pix_fmt)
        yield ("colours, no file", f"224, {pix_fmt}"), smaller(recoloured(large, pix_fmt))
    exact = smaller(recoloured(large, "yuv420p", SLOW))
    yield ("colours, no file", "224, yuv420p, converted exactly"), exact
    usual = VIDEO_FPS[task]
    fluent = render_frames(clip, VIDEO_SIDE, usual)
    for crf in (0, CRF, 23, 28, 35):
        found = read_back(fluent, usual, task, place, crf).frames
        yield ("quality", f"224, crf {crf}"), smaller(found)
        if crf == CRF:
            for way in list(WAYS)[1:]:
                yield ("resized, crf 18", f"224 to 56, {way}"), smaller(found, way)
    for side in (56, 112):
        found = read_back(render_frames(clip, side, usual), usual, task, place).frames
        yield ("size, crf 18", f"{side}"), smaller(found)
    for fps, frames in ((RATES[task], large), (25, render_frames(clip, VIDEO_SIDE, 25))):
        told = "as the features" if fps == RATES[task] else f"{fps}"
        yield (
            ("frames per second, crf 18", told),
            smaller(read_back(frames, fps, task, place).frames),
        )


def waves_by_step(clip, place):
    """(group, step) -> the wave, for each variant."""
    wave = render_sound(clip)
    yield ("sound", "16 bits, no file"), np.rint(wave * 32767).astype(np.int16)
    for rate in (16_000, 44_100, 48_000):
        path = Path(place) / "sound.mp4"
        write_video(path, None, wave=render_sound(clip, rate), rate=rate)
        found = read_clip(path, picture=False, seconds=clip.seconds).wave
        yield ("sound", f"AAC, {rate / 1000:g} kHz"), found
    for late in (16, 160, 1024):
        yield ("sound", f"{late / 16:g} ms late, no file"), np.roll(wave, late)


# ---------------------------------------------------------------------------------------- comparing
def compared(direct, found):
    """Per second: cosine, and the distance relative to the direct features' length; (10, 2)."""
    a, b = (x.reshape(10, -1).astype(np.float64) for x in (direct, found))
    length = np.linalg.norm(a, axis=1)
    cosine = (a * b).sum(1) / (length * np.linalg.norm(b, axis=1))
    return np.stack([cosine, np.linalg.norm(a - b, axis=1) / length], 1)


def of_clip(item):
    """(group, step) -> extractor -> (10, 2), for one clip."""
    clip, task = item
    makers = {name: FILTERS["trained"][name](dim) for name, dim in world_dims(task).items()}
    hear = makers.pop("audio")
    small = render_frames(clip, SIDE, RATES[task])
    direct = {name: make(small, clip.seconds) for name, make in makers.items()}
    found: dict = {}
    with tempfile.TemporaryDirectory() as place:
        for step, frames in frames_by_step(clip, task, place):
            found[step] = {
                name: compared(direct[name], make(frames, clip.seconds))
                for name, make in makers.items()
            }
        heard = hear(render_sound(clip))
        for step, wave in waves_by_step(clip, place):
            found[step] = {"audio": compared(heard, hear(wave))}
    return found


def summary(values):
    """Over all seconds (n, 2): the mean and lowest cosine, the median and largest error."""
    values = np.concatenate(values)
    cosine, error = values.T
    return {
        "cosine": round(float(cosine.mean()), 4),
        "least": round(float(cosine.min()), 4),
        "error": round(float(np.median(error)), 4),
        "largest": round(float(error.max()), 4),
    }


def steps():
    """The table: one row per step, with a summary for each extractor."""
    items = []
    for task in RATES:
        clips = open_clips(world_folder(task, "small"))
        tested = [clip for clip in clips if clip.split == "test"]
        items += [(clip, task) for clip in tested[:: len(tested) // CLIPS][:CLIPS]]
    gathered: dict = {}
    for found in in_processes(of_clip, items, cores(), threads=1):
        for step, by_name in found.items():
            for name, values in by_name.items():
                gathered.setdefault(step, {}).setdefault(name, []).append(values)
    rows = []
    for (group, step), by_name in gathered.items():
        rows.append({"group": group, "step": step, **{n: summary(v) for n, v in by_name.items()}})
        print(rows[-1], flush=True)
    return rows


# ---------------------------------------------------------------------------------------- accuracy
def by_file(clip, place):
    """The clip's features by way of an mp4, its bytes, and the seconds of writing and reading."""
    path = Path(place) / f"{clip.id}.mp4"
    start = time.perf_counter()
    write_clip(clip, path, VideoForm())
    written = time.perf_counter()
    found = video_features(path, "ave", world_dims("ave"))
    return found, path.stat().st_size, (written - start, time.perf_counter() - written)


def vectors(audio, visual):
    """(N·T, 192): both modalities of each second, visual features as the mean over positions."""
    return np.concatenate([audio, visual.mean((2, 3))], -1).reshape(-1, 192)


def trained_probe(train):
    """A linear classifier of seconds, background as a class; a function of audio and visual."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fit = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    labels = train["labels"].argmax(-1).reshape(-1)
    fit.fit(vectors(train["audio"], train["visual"]), labels)
    return lambda audio, visual: fit.predict(vectors(audio, visual)).reshape(-1, 10)


def trained_psp(data):
    """PSP as on its page; a function of audio and visual."""
    import torch

    from avbook.supervised.psp import PSP, PSPMethod
    from avbook.training.device import seed_everything
    from avbook.training.loop import fit

    seed_everything(0)
    sizes = {"attention_dim": 64, "bottleneck": 64, "width": 64, "hidden": 64}
    net = PSP(audio_dim=128, visual_dim=64, positions=49, **sizes)
    method = PSPMethod()
    fit(net, method, data, epochs=18, batch_size=32, seed=0, progress=False)
    net.eval()

    def predict(audio, visual):
        with torch.inference_mode():
            batch = {"audio": torch.from_numpy(audio), "visual": torch.from_numpy(visual)}
            return np.asarray(method.predict(net, batch))

    return predict


def accuracy():
    """The accuracy of both classifiers in both ways, and the bytes and seconds per clip."""
    folder = world_folder("ave", "small")
    data, clips = AVE(folder), {clip.id: clip for clip in open_clips(folder)}
    rows = np.linspace(0, len(data.test), JUDGED, endpoint=False).astype(int)
    chosen = [clips[data.test.ids[row]] for row in rows]
    with tempfile.TemporaryDirectory() as place:
        call = partial(by_file, place=place)
        found, sizes, seconds = zip(*in_processes(call, chosen, cores(), threads=1))
    batch = {name: value.numpy() for name, value in data.test.batch(rows).items()}
    files = {name: np.stack([one[name] for one in found]) for name in ("audio", "visual")}
    train = {n: v.numpy() for n, v in data.train.batch(np.arange(len(data.train))).items()}
    told = {}
    for name, predict in (("linear probe", trained_probe(train)), ("PSP", trained_psp(data))):
        direct, by_video = (predict(some["audio"], some["visual"]) for some in (batch, files))
        told[name] = {
            "direct": round(ave_scores(direct, batch["labels"])["accuracy"], 2),
            "mp4": round(ave_scores(by_video, batch["labels"])["accuracy"], 2),
            "same": round(100 * float((classes(direct) == classes(by_video)).mean()), 2),
        }
        print(name, told[name], flush=True)
    cost = dict(zip(("write", "read"), np.mean(seconds, 0).round(2).tolist()))
    return told, {"kilobytes": round(np.mean(sizes) / 1000), "seconds": cost}


def classes(predicted):
    return predicted if predicted.ndim == 2 else predicted.argmax(-1)


def main():
    """Measures the requested parts, and writes them beside the stored ones."""
    asked = sys.argv[1:] or ["accuracy", "steps"]
    told = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {}
    told |= {
        "command": "python tools/compare_round_trip.py",
        "weights": extractor_weights().hash,
        "clips": {"steps, of each task": CLIPS, "accuracy, of AVE's world": JUDGED},
        "video": {"side": VIDEO_SIDE, "fps": VIDEO_FPS, "crf": CRF, "x264": OPTIONS["libx264"]},
        "cores": os.cpu_count(),
    }
    if "accuracy" in asked:
        told["accuracy"], told["cost of a clip"] = accuracy()
    if "steps" in asked:
        told["rows"] = steps()
    OUT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
