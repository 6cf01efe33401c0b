"""Packs: a folder's features as float16 arrays, written once, checked by block, read by row.

A pack is a folder with `audio.npy` and so on, unchanged copies of the small official files, and
`pack.json` with shapes and checksums. It is written as OUT.partial and renamed when complete, so a
pack with its final name is complete."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from avbook.common.files import checksum, os_fault
from avbook.common.system import lock
from avbook.data.ave_files import (
    BACKGROUND_LABELS,
    LABELS,
    MIL_LABELS,
    VIDEO_LABELS,
    check_ave,
)
from avbook.data.description import (
    PACK_FILE,
    PACK_VERSION,
    read_features,
    read_manifest,
    read_world,
)
from avbook.data.layout import SUBFOLDERS, locate
from avbook.data.llp_files import check_llp
from avbook.data.remote import local_folder
from avbook.data.scan import LARGEST, SMALLEST
from avbook.data.spec import AVE_SPEC, LLP_SPEC, SPECS, DatasetSpec
from avbook.data.stores import (
    BLOCK_BYTES,
    ArrayStore,
    NpyFolderStore,
    RawStore,
    checked_block,
    native,
)
from avbook.data.validation import Issue, ValidationReport
from avbook.errors import AvbookError

__all__ = ["check_folder", "pack_folder", "task_of"]

PROGRESS = "progress.jsonl"
CHECKS: dict[str, Callable[..., Any]] = {"ave": check_ave, "llp": check_llp}
SMALL = 64 * 2**20  # other files up to this size are copied into a pack
# copied at any size: training needs them
LABEL_FILES = {
    *LABELS,
    VIDEO_LABELS,
    MIL_LABELS,
    BACKGROUND_LABELS,
    *(name for spec in SPECS.values() for name in spec.split_files.values()),
    *(name for spec in SPECS.values() for name in spec.span_files.values()),
}


def task_of(
    folder: Path,  # a data folder or a pack
) -> str:
    """ "ave" or "llp": the task whose layout the folder has; AvbookError if it has the files of
    neither."""
    folder = Path(folder)
    told = read_manifest(folder) or read_world(folder) or read_features(folder) or {}
    described = told.get("task")
    if described in SPECS:
        return described
    found = [spec for spec in SPECS.values() if _share(folder, spec)]
    if found:
        return max(found, key=lambda spec: _share(folder, spec)).task
    raise AvbookError(
        f"{folder}: has neither AVE's files ({', '.join(AVE_SPEC.feature_files.values())}, …) nor"
        f" LLP's ({LLP_SPEC.split_files['train']}, {LLP_SPEC.feature_files['audio']}/, …); expected"
        " the folder that holds them"
    )


def _share(folder: Path, spec: DatasetSpec) -> float:
    """The fraction of the task's files that the folder has."""
    there = [os.path.lexists(locate(folder, file)) for file in spec.files]
    return sum(there) / len(there)


def check_folder(
    folder,  # a folder in AVE's or LLP's layout, or a pack, or the URL of one
) -> list[Issue]:
    """All findings about the folder: errors, likely mistakes ("warning") and facts worth knowing
    ("note"). Every value is read, and every byte of a pack is compared with its checksum.

    Raises `AvbookError` only if there is no such folder."""
    folder = local_folder(folder)
    report = ValidationReport(folder)
    try:
        tasks = {task_of(folder)}
    except AvbookError as error:
        file, _, message = str(error).removeprefix(f"{folder}").lstrip("/\\").partition(": ")
        return [Issue("error", file or ".", message)]
    # a folder may have the files of both
    tasks |= {spec.task for spec in SPECS.values() if _share(folder, spec) > 0.5}
    for task in sorted(tasks):
        CHECKS[task](report, fresh=True)
    return report.findings


# ------------------------------------------------------------------------------------------ writing
def pack_folder(
    folder,  # the official files
    out,  # the pack to write; must not exist, unless it is this same pack
    progress: bool = True,  # show a progress bar
) -> Path:
    """The finished pack's path. An interrupted pack continues after its last complete block; a
    finished one is not made again.

    Features become float16, so values beyond ±65,504 are refused, as are NaN and infinity. Raises
    `AvbookError` for a folder with errors, an `out` that is something else, and a full disk (what
    was written stays in OUT.partial, to continue from)."""
    folder, out = Path(folder), Path(out)
    report = ValidationReport(folder)
    task = task_of(folder)
    if read_manifest(folder) is not None:
        raise AvbookError(f"{folder}: is a pack already; expected the official files")
    tables = CHECKS[task](report)
    report.stop_on_errors()
    plan = _plan(folder, task, tables.stores)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        return _finished(out, plan)
    partial = out.with_name(f"{out.name}.partial")
    try:
        with _alone(out):
            partial.mkdir(exist_ok=True)
            _start(partial, plan)
            _room(partial, plan)
            sums = _write_arrays(partial, plan, tables.stores, progress)
            _finish(partial, out, plan, sums, folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise AvbookError(
                f"{partial}: no space left on the disk; {_size(plan) / 1e6:,.0f} MB are needed in"
                " total; free some and run the same command again, it continues (or delete that"
                " folder)"
            ) from None
        raise os_fault(error.filename or partial, error) from None
    return out


def _plan(folder: Path, task: str, stores: dict[str, ArrayStore]) -> dict:
    """The content of the pack and its sources: equal plans give equal packs."""
    arrays = {}
    for name, rows in stores.items():
        row_bytes = int(np.prod(rows.shape[1:])) * 2
        paths = (
            [rows.path / f"{name}.npy" for name in rows.ids]
            if isinstance(rows, NpyFolderStore)
            else [rows.path]
        )
        stats = [path.stat() for path in paths]
        arrays[name] = {
            "file": f"{name}.npy",
            "shape": list(rows.shape),
            "block_rows": max(1, BLOCK_BYTES // row_bytes),
            "source_bytes": sum(stat.st_size for stat in stats),
            "source_changed": max(stat.st_mtime_ns for stat in stats),
        }
    return {
        "version": PACK_VERSION,
        "task": task,
        "source": folder.resolve().name,
        "arrays": arrays,
        "files": {
            path.name: {"bytes": path.stat().st_size, "crc32": checksum(path)}
            for path in _small_files(folder)
        },
    }


def _small_files(folder: Path) -> list[Path]:
    """The folder's own files that are copied: labels, orders, lists, and everything else that is
    small and not features; of two with one name, the one that the loaders read."""
    features = {*AVE_SPEC.feature_files.values(), *AVE_SPEC.background_files.values()}
    found: dict[str, Path] = {}
    for place in (folder, *(folder / name for name in SUBFOLDERS)):
        for path in place.iterdir() if place.is_dir() else ():
            if (
                path.is_file()
                and not path.name.startswith(".")
                and path.name not in {*features, PACK_FILE, PROGRESS}
                and (path.name in LABEL_FILES or path.stat().st_size <= SMALL)
            ):
                found.setdefault(path.name, path)
    return [found[name] for name in sorted(found)]


def _size(plan: dict) -> int:
    return sum(2 * int(np.prod(entry["shape"])) for entry in plan["arrays"].values())


def _finished(out: Path, plan: dict) -> Path:
    """`out` if it is this plan's pack; AvbookError if it is anything else."""
    if (out / PACK_FILE).is_file():
        there = read_manifest(out) or {}  # it exists, so this is a dict
        for entry in there["arrays"].values():
            for key in ("crc32", "largest"):
                entry.pop(key, None)
        if there == plan:
            return out
        raise AvbookError(
            f"{out}: is a pack of other files (or they changed since); expected a new folder:"
            " delete it or name another"
        )
    raise AvbookError(
        f"{out}: exists already and is not a pack; expected a new folder: name another"
    )


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keeps a second process from writing the same pack. The lock file stands beside the pack,
    which is renamed while the lock is held, and is removed at the end."""
    busy = f"{out}: another process is writing this pack; wait for it, or stop it"
    with lock(out.with_name(f".{out.name}.lock"), busy, remove=True):
        yield


def _start(partial: Path, plan: dict) -> None:
    """Keeps in `partial` what an earlier run of the same plan wrote; empties it if it is of another
    plan."""
    try:
        if json.loads((partial / "plan.json").read_text(encoding="utf-8")) == plan:
            return
    except (OSError, ValueError):
        pass
    for path in partial.iterdir():
        path.unlink()
    (partial / PROGRESS).touch()
    (partial / "plan.json").write_text(json.dumps(plan), encoding="utf-8")


def _room(partial: Path, plan: dict) -> None:
    """AvbookError if the disk lacks the space that is still needed."""
    there = sum(path.stat().st_size for path in partial.iterdir())
    needed, free = max(0, _size(plan) - there), shutil.disk_usage(partial).free
    if needed > free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _done(partial: Path, plan: dict) -> dict[str, list[dict]]:
    """For each array the leading blocks that an earlier run finished and that are on the disk as it
    recorded them."""
    noted: dict[str, dict[int, dict]] = {name: {} for name in plan["arrays"]}
    for line in (partial / PROGRESS).read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
            noted[entry["array"]][entry["block"]] = entry
        except (ValueError, KeyError, TypeError):
            continue  # an incomplete line from an interrupted run
    done: dict[str, list[dict]] = {}
    for name, entry in plan["arrays"].items():
        done[name] = []
        path = partial / entry["file"]
        if not path.exists():
            continue
        rows = RawStore(path, len(_header(entry)), entry["shape"], np.dtype(np.float16))
        for number in range(len(noted[name])):
            start = number * entry["block_rows"]
            note = noted[name].get(number)
            try:
                with rows._opened() as source:
                    block = rows._run(source, start, min(start + entry["block_rows"], len(rows)))
            except (AvbookError, OSError):
                break
            if note is None or crc32(block.reshape(-1).view(np.uint8)) != note["crc32"]:
                break
            done[name].append(note)
    return done


def _header(entry: dict) -> bytes:
    """The start of the .npy file."""
    from io import BytesIO

    header = BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f2", "fortran_order": False, "shape": tuple(entry["shape"])}
    )
    return header.getvalue()


def _write(file, data) -> None:
    """Writes the bytes; all bytes of a pack's arrays pass through here."""
    file.write(data)


def _write_arrays(
    partial: Path, plan: dict, stores: dict[str, ArrayStore], progress: bool
) -> dict[str, list[dict]]:
    """Writes the missing blocks and records each one; returns the records of all blocks by
    array."""
    from tqdm import tqdm

    done = _done(partial, plan)
    total, there = _size(plan), 0
    for name, notes in done.items():
        entry = plan["arrays"][name]
        there += (
            min(len(notes) * entry["block_rows"], entry["shape"][0])
            * int(np.prod(entry["shape"][1:]))
            * 2
        )
    with (
        tqdm(
            total=total,
            initial=there,
            unit="B",
            unit_scale=True,
            desc="packing",
            disable=not progress,
        ) as bar,
        open(partial / PROGRESS, "a", encoding="utf-8") as log,
    ):
        log.write("\n")  # after a line that a crash may have cut
        for name, entry in plan["arrays"].items():
            rows, step, header = stores[name], entry["block_rows"], _header(entry)
            path, notes = partial / entry["file"], done[name]
            with open(path, "r+b" if path.exists() else "w+b") as file:
                start = len(notes) * step
                file.truncate(
                    len(header) + min(start, len(rows)) * int(np.prod(rows.shape[1:])) * 2
                    if notes
                    else 0
                )
                file.seek(0, os.SEEK_END)
                if not notes:
                    _write(file, header)
                for first in range(start, len(rows), step):
                    data, largest = _half(rows, first, min(first + step, len(rows)))
                    _write(file, data)
                    file.flush()
                    notes.append(
                        {
                            "array": name,
                            "block": first // step,
                            "crc32": crc32(data),
                            "largest": largest,
                        }
                    )
                    log.write(json.dumps(notes[-1]) + "\n")
                    log.flush()
                    bar.update(len(data))
                os.fsync(file.fileno())
    return done


def _half(rows: ArrayStore, start: int, stop: int) -> tuple[memoryview, float]:
    """The rows as float16 bytes, and the largest magnitude among them; AvbookError for values
    outside float16's range."""
    import torch

    with rows._opened() as source:
        block = native(rows._run(source, start, stop))
    values = torch.from_numpy(block)
    low, high = (float(end) for end in torch.aminmax(values))  # NaN if one value is
    largest = max(-low, high)
    tiny = np.abs(block).reshape(len(block), -1).max(1)
    tiny = np.flatnonzero((tiny > 0) & (tiny < SMALLEST))
    if len(tiny) and largest <= LARGEST:
        raise AvbookError(
            f"{rows.where(start + int(tiny[0]))} holds no value above {SMALLEST:.2g}, below which"
            " float16 loses digits: scale the features first, or use the official files as they are"
        )
    if not largest <= LARGEST:
        checked_block(rows, start, block)
        row = start + int(np.abs(block).reshape(len(block), -1).max(1).argmax())
        raise AvbookError(
            f"{rows.where(row)} holds a value of {largest:.6g}; float16 ends at {LARGEST:,.0f}:"
            " scale the features first, or use the official files as they are"
        )
    half = values.float().half().numpy().astype("<f2", copy=False)
    return memoryview(half.reshape(-1).view(np.uint8)), largest


def _finish(
    partial: Path, out: Path, plan: dict, notes: dict[str, list[dict]], folder: Path
) -> None:
    """Copies the small files, writes the description and gives the pack its final name."""
    for name in plan["files"]:
        shutil.copyfile(locate(folder, name), partial / name)
    arrays = {
        name: {
            **entry,
            "crc32": [note["crc32"] for note in notes[name]],
            "largest": max(note["largest"] for note in notes[name]),
        }
        for name, entry in plan["arrays"].items()
    }
    with open(partial / PACK_FILE, "w", encoding="utf-8") as file:
        json.dump({**plan, "arrays": arrays}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())  # the description must be on disk before the folder is renamed
    for name in ("plan.json", PROGRESS):
        (partial / name).unlink()
    if out.is_dir():
        out.rmdir()  # it was empty
    os.replace(partial, out)
