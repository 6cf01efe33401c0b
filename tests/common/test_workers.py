"""Work in further processes: what it does when something goes wrong, above all."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from forked import run_forked, script
from processes import PATIENCE, ROOT, wait_for

from avbook.common import pools
from avbook.common.workers import in_processes
from avbook.errors import AvbookError

# Functions that a worker calls stand inside the tests: those are sent whole, while a worker could
# not import this module.


def children() -> set[int]:
    """Processes of multiprocessing and joblib that this one has and that run."""
    return {process.pid for process in multiprocessing.active_children()}


linux = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs Linux's /proc")


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# ---- worker processes


@pytest.mark.parametrize("at_once", [None, 1, 3, 100])
def test_results_come_in_order_and_from_further_processes(at_once):
    def square(n):
        return n * n, os.getpid()

    before = children()
    results = list(in_processes(square, range(7), 2, at_once=at_once))
    assert [square for square, _ in results] == [0, 1, 4, 9, 16, 25, 36]
    pids = {pid for _, pid in results}
    assert os.getpid() not in pids and len(pids) <= 2
    assert children() == before  # they do not stay to wait for more


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_one_worker_or_one_item_is_this_process(workers):
    items = range(1 if workers == 2 else 3)
    assert list(in_processes(lambda n: os.getpid(), items, workers)) == [os.getpid()] * len(items)
    assert list(in_processes(lambda n: n, [], workers)) == []


def test_a_daemon_computes_by_itself(monkeypatch, recwarn):
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    assert list(in_processes(lambda n: os.getpid(), range(3), 2)) == [os.getpid()] * 3
    assert not list(recwarn)


@pytest.mark.skipif(sys.platform == "win32", reason="patches how processes start under POSIX")
@pytest.mark.parametrize("started", [0, 1])
def test_without_further_processes_this_one_computes(monkeypatch, started):
    from joblib.externals.loky.backend import fork_exec

    before, start, count = children(), fork_exec.fork_exec, []

    def refused(*args, **kwargs):
        count.append(1)
        if len(count) > started:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return start(*args, **kwargs)

    monkeypatch.setattr(fork_exec, "fork_exec", refused)
    assert list(in_processes(lambda n: os.getpid(), range(3), 2)) == [os.getpid()] * 3
    assert len(count) == started + 1 and children() == before


def test_unordered_results_come_when_they_are_ready(tmp_path):
    def wait_for_the_other(n):
        end = time.monotonic() + PATIENCE
        while n == 0 and not (tmp_path / "had").exists() and time.monotonic() < end:
            time.sleep(0.01)
        return n

    seen = []
    for n in in_processes(wait_for_the_other, range(2), 2, ordered=False):
        seen.append(n)
        (tmp_path / "had").touch()
    assert seen == [1, 0]


@pytest.mark.parametrize("ordered", [True, False])
def test_a_slow_reader_holds_what_is_handed_out_at_once(tmp_path, ordered):
    def start(n):
        (tmp_path / str(n)).touch()

    results = in_processes(start, range(9), 2, at_once=3, ordered=ordered)
    with closing(results):
        for read, _ in enumerate(results, 1):
            time.sleep(0.05)  # time in which more would begin
            assert len(list(tmp_path.iterdir())) <= read + 2
    assert read == 9


def test_each_worker_has_the_threads_it_is_given():
    found = set(in_processes(lambda n: os.environ["OMP_NUM_THREADS"], range(2), 2, threads=3))
    assert found == {"3"}


def test_what_a_call_raises_is_raised_here():
    def refuse(n):
        raise AvbookError(f"item {n}: not good")

    before = children()
    with pytest.raises(AvbookError) as caught:
        list(in_processes(refuse, [7, 7, 7], 2))
    assert str(caught.value) == "item 7: not good" and children() == before

    def missing(n):
        raise FileNotFoundError(errno.ENOENT, "no such file", "x")

    with pytest.raises(FileNotFoundError):  # and not taken for a lack of processes
        list(in_processes(missing, range(3), 2))


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("ordered", [True, False])
def test_what_a_dead_worker_had_is_made_once_more(tmp_path, ordered):
    def die_once(n):
        with (tmp_path / str(n)).open("a") as file:
            file.write("x")
        if n == 3 and (tmp_path / "3").read_text() == "x":
            os.kill(os.getpid(), signal.SIGKILL)
        return n * n

    before = children()
    with pytest.warns(UserWarning, match=r"^a worker died \(SIGKILL.*its call is repeated$"):
        found = list(in_processes(die_once, range(6), 2, ordered=ordered))
    assert sorted(found) == [0, 1, 4, 9, 16, 25] and (not ordered or found == sorted(found))
    assert (tmp_path / "3").read_text() == "xx" and children() == before


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_worker_that_dies_is_one_line():
    def die(n):
        os.kill(os.getpid(), signal.SIGKILL)

    before = children()
    said = r"^a worker died, perhaps .*: use --jobs 1; the same command continues \(SIGKILL"
    with pytest.raises(AvbookError, match=said) as caught, pytest.warns(UserWarning):
        list(in_processes(die, range(3), 2))
    assert "\n" not in str(caught.value) and children() == before


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_worker_that_dies_in_the_middle_of_its_answer_is_noticed(monkeypatch):
    def half_an_answer(n):
        frame = sys._getframe()
        while "result_queue" not in frame.f_locals:
            frame = frame.f_back
        os.write(frame.f_locals["result_queue"]._writer.fileno(), b"\x00\x00\x10\x00 and no more")
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(pools, "PATIENCE", 0.5)
    before = children()
    with pytest.raises(AvbookError, match="a worker died"), pytest.warns(UserWarning):
        list(in_processes(half_an_answer, range(2), 2))
    assert children() == before


def test_an_exception_that_cannot_be_sent_is_not_taken_for_a_death():
    def fail(n):
        class Particular(Exception):
            def __init__(self, one, two):
                super().__init__(f"{one} and {two}")

        raise Particular("this", "that")

    with pytest.raises(RuntimeError, match="^Particular: this and that$"):
        list(in_processes(fail, range(2), 2))


def test_a_function_that_workers_cannot_have_is_one_line():
    class Local:
        def __reduce__(self):
            return os.path.join, (1,)  # a TypeError where it is unpickled

    said = r"a worker died, .* \(.*TypeError.*\)"
    with pytest.raises(AvbookError, match=said) as caught, pytest.warns(UserWarning):
        list(in_processes(lambda n: n, [Local(), Local()], 2))
    assert "\n" not in str(caught.value)


def test_workers_end_when_nobody_reads_on(recwarn):
    def slow(n):
        time.sleep(PATIENCE if n else 0)
        return n

    before = children()
    with closing(in_processes(slow, range(4), 2)) as results:
        assert next(results) == 0 and len(children() - before) == 2
    assert children() == before and not list(recwarn)


DEAF = """
import signal
from avbook.common.workers import in_processes

def deaf(n):
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])

print(list(in_processes(deaf, range(2), 2)), deaf(0))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_workers_never_see_control_c():
    """In a process that has started none before: joblib's first start undoes what is blocked."""
    done = subprocess.run([sys.executable, "-c", DEAF], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[True, True] False\n", "")


TRACKED = """
import os, signal, time, warnings
from multiprocessing import RLock
from avbook.common.pools import start_trackers
from avbook.common.workers import in_processes

start_trackers()
warnings.simplefilter("ignore")
held = RLock()  # as tqdm has one
signal.signal(signal.SIGHUP, lambda *_: None)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
results = in_processes(lambda n: n, range(4), 2, at_once=2)
next(results)
os.killpg(0, signal.SIGHUP)
print(list(results))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of POSIX")
def test_a_closed_terminal_does_not_take_pythons_helpers(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", TRACKED],
        cwd=ROOT,
        capture_output=True,
        text=True,
        start_new_session=True,
    )
    assert (done.stdout, done.stderr) == ("[1, 2, 3]\n", "")


# a script without `if __name__ == "__main__"`, as in a notebook
SCRIPT = """
import os, sys, time
from pathlib import Path
from avbook.common.workers import in_processes

here = Path(sys.argv[1])

def wait(n):
    (here / f"worker-{os.getpid()}").touch()
    time.sleep(1000)

def call(n):
    (here / f"worker-{os.getpid()}").touch()
    while sys.argv[2] == "wait": time.sleep(0.05)
    if sys.argv[2] == "compute": max(range(10**15))  # compiled code that keeps Python's lock
    if sys.argv[2] == "nest": list(in_processes(wait, range(2), 2))
    return bytes(300_000)

print(sum(len(result) for result in in_processes(call, range(20), 2)))
"""


def test_a_child_of_a_fork_server_and_a_script_without_a_guard(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    code, out, err = run_forked(script, str(path), str(tmp_path), "go")
    assert (code, out, err) == (0, "6000000\n", "") and list(tmp_path.glob("worker-*"))


@linux
@pytest.mark.parametrize(
    "how, what, count",
    [
        (signal.SIGINT, "wait", 2),
        (signal.SIGKILL, "wait", 2),
        (signal.SIGKILL, "compute", 2),
        (signal.SIGKILL, "nest", 6),
    ],
)
def test_stopped_from_outside_no_process_stays(tmp_path, how, what, count):
    """Ctrl-C reaches all processes of a terminal; a kill reaches one."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path), what],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: len(list(tmp_path.glob("worker-*"))) == count, process)
    workers = [int(path.name.partition("-")[2]) for path in tmp_path.glob("worker-*")]
    assert all(runs(pid) for pid in workers)
    if how == signal.SIGINT:
        os.killpg(process.pid, how)
        _, err = process.communicate(timeout=PATIENCE)
        assert err.count("Traceback") == 1 and err.count("KeyboardInterrupt") == 1, err
    else:
        process.kill()
        process.wait()
    end = time.monotonic() + PATIENCE
    while any(runs(pid) for pid in workers):
        assert time.monotonic() < end
        time.sleep(0.05)
