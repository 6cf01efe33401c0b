"""Cuts a call off at its first operation on files, at its second, and so on, and looks at what is
left: python tests/faults/stop.py label|timelines|export"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from itertools import product
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "helpers")]

from full_disk import Counter  # noqa: E402
from kills import contents  # noqa: E402
from own_folders import write_features  # noqa: E402
from targets import UNFINISHED  # noqa: E402
from tiny_runs import ask  # noqa: E402

from avbook.data.labelling import label_folder  # noqa: E402
from avbook.errors import AvbookError  # noqa: E402
from avbook.experiments.datasets import open_data  # noqa: E402
from avbook.experiments.exported import export_model  # noqa: E402
from avbook.features.timelines import Timeline  # noqa: E402
from avbook.features.zero_shot import TimelineEvent  # noqa: E402
from avbook.show.timeline_files import Predicted, TimelineFolder  # noqa: E402

NAMES = [f"clip {i}" for i in range(9)]
WAYS = ("killed", "full")
MOST = 8  # moments that are tried of each way, evenly spread


# ------------------------------------------------------------------------------- what is cut off
def _label(folder: Path) -> tuple[Callable, Callable]:
    write_features(folder / "f", videos=NAMES)

    def call(offset: int) -> None:
        lines = [f"{name},0,{offset},{'AB'[i % 2]}" for i, name in enumerate(NAMES)]
        table = folder.with_name("labels.csv")
        table.write_text("\n".join(["file,onset,offset,event", *lines]) + "\n")
        label_folder(folder / "f", table, replace=True)

    return lambda: call(3), lambda: call(5)


def _timelines(folder: Path) -> tuple[Callable, Callable]:
    def call(offset: int) -> None:
        event = TimelineEvent(0, offset, "Dog", 0.5, "audio")
        clips = [Predicted(Timeline(name, 10, "psp", (event,))) for name in NAMES[:1]]
        TimelineFolder(folder / "out", overwrite=True).write(clips, several=False)

    return lambda: call(3), lambda: call(5)


def _export(folder: Path) -> tuple[Callable, Callable]:
    base = folder.with_name("run")
    write_features(base / "f", videos=NAMES)
    lines = [f"{name},0,{3 + i % 3},{'AB'[i % 2]}" for i, name in enumerate(NAMES)]
    (base / "l.csv").write_text("\n".join(["file,onset,offset,event", *lines]) + "\n")
    label_folder(base / "f", base / "l.csv")
    ask(open_data(str(base / "f")), base / "runs", epochs=1)
    (record,) = base.rglob("seed-0.json")
    return lambda: None, lambda: export_model(record, folder / "m.safetensors")


KINDS = {"label": _label, "timelines": _timelines, "export": _export}


# ------------------------------------------------------------------------------------ cutting off
def cut_off(call: Callable, folder: Path, way: str, last: int | None) -> tuple[int, int]:
    """How a fork that makes the call ends (its exit code; below 0, the signal), and how many
    operations on files below the folder it has come to."""
    counter = Counter()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            _spend_at(folder, counter, way, last)
            call()
            code = 0
        except AvbookError as error:
            code = 3 if "\n" in str(error) else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), counter.value


def _spend_at(folder: Path, counter: Counter, way: str, last: int | None) -> None:
    where = str(folder)

    def spend(adds: bool) -> None:
        if counter.add() != last and not (way == "full" and last and counter.value > last):
            return
        if way == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if adds:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def hook(event: str, words: tuple) -> None:
        name = str(words[0]) if words and isinstance(words[0], (str, os.PathLike)) else ""
        if not os.path.abspath(name).startswith(where):
            return
        if event == "open" and words[2] & (os.O_WRONLY | os.O_RDWR) and ".lock" not in name:
            spend(True)
        elif event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir"):
            spend(event == "os.mkdir")

    sys.addaudithook(hook)


# ----------------------------------------------------------------------------------------- trials
def main(what: str) -> int:
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        folder = Path(scratch) / "here"
        folder.mkdir()
        first, second = KINDS[what](folder)
        first()
        kept = folder.with_name("kept")
        shutil.copytree(folder, kept)
        old = contents(folder)
        code, count = cut_off(second, folder, "killed", None)
        assert code == 0 and count > 1, (code, count)
        new = contents(folder)
        assert old != new
        moments = sorted({1 + (count - 1) * k // (MOST - 1) for k in range(MOST)})
        for way, last in product(WAYS, moments):
            shutil.rmtree(folder)
            shutil.copytree(kept, folder)
            code, _ = cut_off(second, folder, way, last)
            there = contents(folder)
            faults = _faults_left(there, old, new, way, code)
            code, _ = cut_off(second, folder, way, None)
            if code != 0 and not (what == "export" and there == new):  # it is there already
                faults.append(f"does not continue: {code}")
            elif contents(folder) != new:
                faults.append(f"continued, has {sorted(contents(folder))}")
            wrong += [f"{what} {way} at operation {last} of {count}: {fault}" for fault in faults]
    print("\n".join(wrong) or f"{what}: whole after {len(moments)} of {count} operations")
    return int(bool(wrong))


def _faults_left(there: dict, old: dict, new: dict, way: str, code: int) -> list[str]:
    """What is wrong with the folder and the end of a call that was cut off."""
    faults = []
    if code not in ((-9,) if way == "killed" else (0, 2)):
        faults.append(f"ends with {code}")
    for name, content in there.items():
        if not _unfinished(name) and content not in (old.get(name), new.get(name)):
            faults.append(f"{name} is neither old nor new")
        if _unfinished(name) and way == "full":
            faults.append(f"leaves {name}")
    return faults


def _unfinished(name: str) -> bool:
    return any(UNFINISHED.fullmatch(part) for part in Path(name).parts)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
