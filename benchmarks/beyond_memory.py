"""Training on a pack that need not fit into memory: time and memory against the number of clips,
from a folder and from a URL.

    python benchmarks/beyond_memory.py [--clips 1000 10000 100000] [--folder DIR] [--out FILE.json]

Features are made up: audio 10×128 and visual 10×7×7×64, float16, 65 kB per clip, so that 100,000
clips are 6.5 GB (official visual features have eight times as many channels); at most one batch of
them is held (`cache_mb=0`). Each line opens the pack, the first time and again, and trains PSP
(full, the small settings) for an epoch, including validation and test, in its own process.
`bytes_read` counts all reads of the epoch, as reported by Linux, and `bytes_of_clips` the size of
its clips: they are equal if each byte is read once. The URL is `file://…`, read through fsspec like
one on a network. "One after the other" reads a batch when the one before it is done, instead of
meanwhile. Files are in the page cache as far as they fit."""

import json
import shutil
import tempfile
import time
from pathlib import Path

from made_up import ave_folder
from measure import Apart, arguments, machine, peak_memory_mb, row, write

SHAPES = {"audio_feature": (10, 128), "visual_feature": (10, 7, 7, 64)}
WAYS = ("folder", "URL", "URL, one after the other")


def bytes_read() -> int | None:
    """Bytes that this process has read so far, from disk, page cache or network; None if the system
    does not count them."""
    counts = Path("/proc/self/io")
    if not counts.exists():
        return None
    return int(counts.read_text().split("rchar: ")[1].split()[0])


def pack_of(folder: Path, clips: int) -> Path:
    """A pack with this number of clips, made if it does not exist."""
    from avbook.data.packs import pack_folder

    pack = folder / f"{clips}.pack"
    if not pack.exists():
        files = ave_folder(folder / f"{clips}.files", clips, "float16", SHAPES)
        pack_folder(files, pack, progress=False)
        shutil.rmtree(files)
    return pack


def measure(way: str, pack: str, epochs: int = 1) -> dict:
    """Measures one line."""
    from avbook.data.ave import AVE
    from avbook.experiments.datasets import data_dims
    from avbook.experiments.recipes import find_recipe
    from avbook.training import batches, loop

    loop.start_accelerator("cpu")  # imports its dependencies before the timing
    if way.endswith("one after the other"):
        batches.read_ahead = iter
    where = pack if way == "folder" else f"file://{Path(pack).resolve()}"
    recipe, opening, data = find_recipe("psp-full"), [], None
    for _ in range(2):
        started, data = time.perf_counter(), None
        data = AVE(where, cache_mb=0)
        opening.append(time.perf_counter() - started)
    opened_mb = peak_memory_mb()
    settings = recipe.preset("quick")
    net, method = recipe.build(settings, data_dims(data))
    loop.make_optimizer(net, method, "adam", settings["lr"], 0.0)  # also imports much
    before, started = bytes_read(), time.perf_counter()
    loop.fit(
        net,
        method,
        data,
        epochs=epochs,
        batch_size=settings["batch_size"],
        lr=settings["lr"],
        device="cpu",
        progress=False,
    )
    seconds = time.perf_counter() - started
    after = bytes_read()
    clips = sum(len(split) for split in (data.train, data.val, data.test))
    row_bytes = sum(store.row_bytes for store in data.stores.values())
    return {
        "clips": clips,
        "first_opening_seconds": opening[0],
        "opening_seconds": opening[1],
        "opened_peak_memory_mb": opened_mb,
        "epoch_seconds": seconds / epochs,
        "peak_memory_mb": peak_memory_mb(),
        "bytes_of_clips": epochs * clips * row_bytes,
        "bytes_read": None if before is None else after - before,
    }


def main() -> None:
    asked = arguments(__doc__, "beyond_memory", device=False)
    asked.add_argument("--clips", type=int, nargs="+", default=[1000, 10_000, 100_000])
    asked.add_argument("--folder", type=Path, help="folder of the packs")
    args = asked.parse_args()
    if args.one:
        return print(json.dumps(measure(**json.loads(args.one))))
    if args.quick:
        args.clips = [20, 40]
    apart = Apart(__file__, measure, args.quick)
    lines: dict[str, list] = {way: [] for way in WAYS}
    found: dict = {"name": "beyond_memory", "machine": machine(), "lines": lines}
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch)
        for clips in args.clips:
            pack = pack_of(folder, clips)
            for way in WAYS:
                line = apart(way=way, pack=str(pack))
                lines[way].append(line)
                print(f"{way}: {json.dumps(line)}", flush=True)
    last = {way: of_way[-1] for way, of_way in lines.items()}
    found["rows"] = [
        row(
            f"an epoch of PSP on {args.clips[-1]:,} clips at a URL",
            "each batch read when the one before is done",
            last["URL"]["epoch_seconds"],
            last["URL, one after the other"]["epoch_seconds"],
            peak_memory_mb=last["URL"]["peak_memory_mb"],
        )
    ]
    write(args.out, found)


if __name__ == "__main__":
    main()
