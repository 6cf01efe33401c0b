"""Disks that fill: a small file system of one's own where the kernel allows one, and writes that
fail as on a full disk where it does not."""

from __future__ import annotations

import builtins
import ctypes
import errno
import io
import mmap
import os
import random
import shutil
import signal
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from kills import Process, Scenario, compared, unfinished
from processes import PATIENCE
from watchdog import Outcome, worst

NEW_USER, NEW_MOUNTS = 0x10000000, 0x00020000  # CLONE_NEWUSER, CLONE_NEWNS
NO_SUID, REMOUNT, PRIVATE = (
    2,
    32,
    (1 << 18) | (1 << 14),
)  # MS_NOSUID, MS_REMOUNT, MS_PRIVATE | MS_REC


# ----------------------------------------------------------------------- a file system of one's own
def _libc(name: str, *arguments) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def mount(folder: Path, size: int, flags: int = NO_SUID) -> None:
    """A file system in memory of so many bytes at the folder, seen by this process alone."""
    options = f"size={size}".encode()
    _libc("mount", b"none", os.fsencode(folder), b"tmpfs", ctypes.c_ulong(flags), options)


def own_mounts() -> None:
    """From now on this process mounts for itself, as no one in particular. It must have no
    threads."""
    user, group = os.getuid(), os.getgid()
    _libc("unshare", NEW_USER | NEW_MOUNTS)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"0 {user} 1"),
        ("gid_map", f"0 {group} 1"),
    ):
        Path(f"/proc/self/{name}").write_text(text)
    _libc("mount", b"none", b"/", None, ctypes.c_ulong(PRIVATE), None)


def can_mount() -> bool:
    """Whether the kernel lets a process like this one have a file system of its own."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            own_mounts()
            mount(Path("/tmp"), 2**16)
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1] == 0


def small_disk_trial(
    scenario: Scenario, rng: random.Random, inputs: Path, reference: Path, folder: Path
) -> Outcome:
    """The command on a disk that is too small, then once more on one with room. In a process of its
    own, whose mounts go with it."""
    folder.mkdir()
    used = sum(path.stat().st_size for path in reference.rglob("*") if path.is_file())
    size = rng.randrange(4096, int(1.3 * used) + 8192)

    def call() -> Outcome:
        own_mounts()
        mount(folder, size)
        first = _attempt(scenario, inputs, folder)
        mount(folder, 2**30, REMOUNT)
        return _continued(first, scenario, inputs, reference, folder)

    return replace(_in_fork(call), what=f"a disk of {size:,} of {used:,} bytes")


def _in_fork(call: Callable[[], Outcome]) -> Outcome:
    """The outcome of the call, made in a forked process."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            found = call()
        except BaseException as error:
            found = Outcome("died", f"harness: {type(error).__name__}: {error}")
        os.write(write, f"{found.kind}\0{found.said}".encode()[:4000])
        os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        kind, _, said = pipe.read().decode(errors="replace").partition("\0")
    os.waitpid(pid, 0)
    return Outcome(kind or "died", said)


# ------------------------------------------------------------------------------ writes that fail
class Counter:
    """A number that forks of this process share."""

    def __init__(self):
        self.shared = mmap.mmap(-1, 8)

    @property
    def value(self) -> int:
        return struct.unpack("<q", self.shared[:8])[0]

    def add(self) -> int:
        self.shared[:8] = struct.pack("<q", self.value + 1)
        return self.value


class _Full:
    """A file whose writes are counted."""

    def __init__(self, file, spend: Callable[[], None]):
        self._file, self._spend = file, spend

    def write(self, data):
        self._spend()
        return self._file.write(data)

    def writelines(self, lines):
        self._spend()
        return self._file.writelines(lines)

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        self._file.__enter__()
        return self

    def __exit__(self, *error):
        return self._file.__exit__(*error)

    def __iter__(self):
        return iter(self._file)


def fail_writes(
    folder: Path,  # below which writes count
    counter: Counter,
    last: int | None,  # the write from which on the disk is full; None: never
) -> None:
    """From now on this process has a full disk after so many writes, new folders and copies."""
    real_open, real_mkdir, real_send = io.open, os.mkdir, os.sendfile
    where = str(folder)

    def spend() -> None:
        count = counter.add()
        if last is not None and count >= last:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def inside(path) -> bool:
        return isinstance(path, (str, os.PathLike)) and os.path.abspath(path).startswith(where)

    def open_(path, mode="r", *arguments, **options):
        written = inside(path) and any(letter in mode for letter in "wax+")
        if written and not os.path.exists(path):
            spend()  # its entry in the folder
        file = real_open(path, mode, *arguments, **options)
        return _Full(file, spend) if written else file

    def mkdir(path, *arguments, **options):
        if inside(path) and not os.path.exists(path):
            spend()
        return real_mkdir(path, *arguments, **options)

    def sendfile(*arguments):
        spend()
        return real_send(*arguments)

    builtins.open = io.open = open_
    os.mkdir, os.sendfile = mkdir, sendfile


def failed_write_trial(
    scenario: Scenario, rng: random.Random, inputs: Path, reference: Path, folder: Path
) -> Outcome:
    """The command on a disk that is full from the n-th write on, then once more with room."""
    counted = folder.with_name(folder.name + "-counted")
    counted.mkdir()
    whole = Counter()
    first = _attempt(scenario, inputs, counted, lambda: fail_writes(counted, whole, None))
    shutil.rmtree(counted)
    if first.kind != "accepted":
        return Outcome("died", f"harness: counting its writes: {first.said}")
    last = rng.randint(1, whole.value)
    folder.mkdir()
    first = _attempt(scenario, inputs, folder, lambda: fail_writes(folder, Counter(), last))
    found = _continued(first, scenario, inputs, reference, folder)
    return replace(found, what=f"full from write {last} of {whole.value} on")


def largest_file_trial(
    scenario: Scenario, rng: random.Random, inputs: Path, reference: Path, folder: Path
) -> Outcome:
    """The command where no file may be larger than so many bytes, which libraries written in C heed
    too, then once more without a limit."""
    import resource

    sizes = [path.stat().st_size for path in reference.rglob("*") if path.is_file()]
    size = rng.randrange(1, max(sizes))

    def limit() -> None:
        scenario.before()
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    folder.mkdir()
    first = _attempt(scenario, inputs, folder, limit)
    found = _continued(first, scenario, inputs, reference, folder)
    return replace(found, what=f"no file above {size:,} bytes")


# ---------------------------------------------------------------------------------------- both
def _attempt(
    scenario: Scenario, inputs: Path, folder: Path, before: Callable[[], None] | None = None
) -> Outcome:
    def prepared() -> None:
        scenario.before()
        if before is not None:
            before()

    process = Process(scenario, folder, inputs, False, prepared)
    if not process.ended(PATIENCE / 3):
        process.kill()
        return Outcome("hang", "no end on a full disk")
    return process.outcome()


def _continued(
    first: Outcome, scenario: Scenario, inputs: Path, reference: Path, folder: Path
) -> Outcome:
    """What is left by the command that had no room, and what comes of it once there is."""
    # a pack that was cut off is gone on with, from OUT.partial; it has no hidden name
    left = [name for name in unfinished(folder) if not name.endswith(".pack.partial")]
    if left and first.kind != "accepted":
        first = worst(first, Outcome("leftover", f"left behind: {', '.join(left[:3])}"))
    second = _attempt(scenario, inputs, folder)
    had_room = first.kind == "accepted" and "exists already" in second.said  # a world is whole
    if second.kind != "accepted" and not had_room:
        return worst(first, Outcome("different", f"does not continue: {second.said}"))
    return worst(first, compared(reference, folder))
