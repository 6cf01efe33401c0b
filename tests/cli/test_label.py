"""`avbook label` as a person meets it: faults line by line, a summary, and a folder that trains."""

import json
import os

import pytest
from forked import avbook_command, run_forked
from own_folders import write_features
from processes import ROOT

from avbook.data.ave import AVE
from avbook.data.llp import LLP

ENV = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
VIDEOS = [f"clip {i}" for i in range(9)]


def avbook(*words, code=0):
    found, out, err = run_forked(avbook_command, *map(str, words), cwd=ROOT, environment=ENV)
    assert found == code, out + err
    return out, err


def made(tmp_path, task):
    folder = write_features(tmp_path / "my features", task, VIDEOS)
    end = ",both" if task == "llp" else ""
    lines = [f"{name}.mp4,0,4.5,{'Dog' if i % 2 else 'Cat'}{end}" for i, name in enumerate(VIDEOS)]
    title = "file,onset,offset,event" + (",modality" if end else "")
    csv = tmp_path / "labels.csv"
    csv.write_text("\n".join([title, *lines]) + "\n")
    return folder, csv


def test_the_help_says_what_a_table_holds():
    out, _ = avbook("label", "--help")
    assert "file,onset,offset,event" in out and "at least half of it" in " ".join(out.split())
    for option in ("--like", "--split", "--seed", "--replace"):
        assert option in out


@pytest.mark.parametrize("task, recipe", [("ave", "psp-full"), ("ave", "psp-weak"), ("llp", "han")])
def test_labels_can_be_trained_on(tmp_path, task, recipe):
    folder, csv = made(tmp_path, task)
    out, _ = avbook("label", folder, csv, "--like", task)
    assert f"wrote {folder / 'labels'}: 9 videos (6 train, 1 val, 2 test); check them with" in out
    assert f"`avbook data check '{folder}'`" in out and "Cat: 5 videos (" in out
    assert "no errors" in avbook("data", "check", folder)[0]
    avbook(
        *("run", recipe, "--data", folder, "--preset", "quick", "--set", "epochs=1"),
        *("--out", tmp_path / "runs"),
    )
    (record,) = (tmp_path / "runs").rglob("seed-0.json")
    data = {"ave": AVE, "llp": LLP}[task](folder)
    assert json.loads(record.read_text())["data"]["hash"] == data.hash


def test_every_fault_is_a_line_and_the_last_says_what_to_do(tmp_path):
    folder, csv = made(tmp_path, "ave")
    csv.write_text(csv.read_text() + "clip 0,5,3,dog\nwhale,0,3,Dog\n" + "clip 1,0,x,Dog\n" * 60)
    out, err = avbook("label", folder, csv, code=1)
    lines = out.splitlines()
    assert len(lines) == 62 and lines[0].startswith("error: labels.csv: line 11: the offset 3 lies")
    assert lines[1].startswith("error: labels.csv: line 12: no video 'whale' in the folder; it has")
    assert err == (
        f"avbook: {csv}: 62 errors found, listed above; nothing was written: correct the table and"
        " run the command again\n"
    )
    assert not (folder / "labels").exists()


def test_labels_stay_until_replace_is_given(tmp_path):
    folder, csv = made(tmp_path, "ave")
    avbook("label", folder, csv)
    _, err = avbook("label", folder, csv, "--seed", "1", code=1)
    assert err.count("\n") == 1 and "has labels already (labels/); give --replace" in err
    avbook("label", folder, csv, "--seed", "1", "--replace", "--split", "0.5,0.25,0.25")
    assert len(AVE(folder).train) == 5


@pytest.mark.parametrize(
    "words, said",
    [
        (("--split", "0.7,0.3"), "split 0.7,0.3: expected three shares above 0 with sum 1"),
        (("--like", "llp"), "features for --like ave, found --like llp"),
    ],
)
def test_a_wrong_option_is_one_line(tmp_path, words, said):
    folder, csv = made(tmp_path, "ave")
    out, err = avbook("label", folder, csv, *words, code=1)
    assert not out and said in err and err.count("\n") == 1
