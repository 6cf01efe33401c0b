"""Timelines as files: what is written is what is read, and what a spreadsheet sees."""

import csv
import json
import os

import pytest

from avbook.errors import AvbookError
from avbook.features.timelines import (
    Timeline,
    events_within,
    read_timeline,
    shown_name,
    write_csv,
    write_timeline,
)
from avbook.features.zero_shot import TimelineEvent

EVENTS = (
    TimelineEvent(0, 3, "Violin, fiddle", 0.123456, "audio-visual"),
    TimelineEvent(2, 4, 'a "b"', 1.0, "audio"),
)
FULL = Timeline(
    "é 1.mp4", 4, "zero-shot", EVENTS, "ave", {"audio": {"name": "yamnet", "dim": 1024}}, ("short",)
)


def test_no_event_lies_behind_the_end_of_its_video():
    events = [TimelineEvent(0, 9, "a", 0.5, "audio"), TimelineEvent(8, 9, "b", 0.5, "audio")]
    assert [event.offset for event in events_within(events, 9.94)] == [9, 9]
    assert [event.offset for event in events_within(events, 7.4)] == [8]
    assert [event.offset for event in events_within(events, 7.2)] == [7]
    assert [event.offset for event in events_within(events, 0.04)] == [1]


def test_json_has_the_fields_that_others_read(tmp_path):
    write_timeline(tmp_path / "a.json", FULL)
    told = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert told == {
        "video": "é 1.mp4",
        "seconds": 4,
        "task": "ave",
        "model": "zero-shot",
        "extractors": {"audio": {"name": "yamnet", "dim": 1024}},
        "notes": ["short"],
        "events": [
            {"onset": 0, "offset": 3, "event": "Violin, fiddle", "score": 0.1235,
             "modality": "audio-visual"},
            {"onset": 2, "offset": 4, "event": 'a "b"', "score": 1.0, "modality": "audio"},
        ],
    }  # fmt: skip
    found = read_timeline(tmp_path / "a.json")
    assert found.to_json() == told and isinstance(found.events[0], TimelineEvent)


def test_csv_has_a_line_for_each_event_and_a_head_where_there_is_none(tmp_path):
    write_csv(tmp_path / "a.csv", [FULL, Timeline("b.mp4", 1, "zero-shot", ())])
    with open(tmp_path / "a.csv", encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    assert lines == [
        ["file", "onset", "offset", "event", "score", "modality"],
        ["é 1.mp4", "0", "3", "Violin, fiddle", "0.1235", "audio-visual"],
        ["é 1.mp4", "2", "4", 'a "b"', "1.0000", "audio"],
    ]
    write_csv(tmp_path / "b.csv", [])
    assert (tmp_path / "b.csv").read_text() == "file,onset,offset,event,score,modality\n"


def test_a_name_of_bytes_that_are_no_text_can_be_written(tmp_path):
    name = shown_name(os.fsdecode(b"/x/a\xff b.mp4"))
    assert name == "a\\udcff b.mp4"
    write_timeline(tmp_path / "a.json", Timeline(name, 1, "zero-shot", ()))
    assert read_timeline(tmp_path / "a.json").video == name
    assert shown_name("/x/é #<.mp4") == "é #<.mp4"


@pytest.mark.parametrize(
    "event, told",
    [
        (TimelineEvent(0, 5, "a", 0.5, "audio"), "from 0 to 5 s; expected whole seconds"),
        (TimelineEvent(2, 2, "a", 0.5, "audio"), "from 2 to 2 s"),
        (TimelineEvent(-1, 2, "a", 0.5, "audio"), "from -1 to 2 s"),
        (TimelineEvent(0, 1, "a", 0.5, "smell"), "modality 'smell'"),
    ],
)
def test_events_that_cannot_be(event, told):
    with pytest.raises(AvbookError, match=told):
        Timeline("a.mp4", 4, "zero-shot", (event,))


@pytest.mark.parametrize(
    "change",
    [
        {"seconds": 0},
        {"seconds": "4"},
        {"events": [{"onset": 0}]},
        {"events": [{**EVENTS[0]._asdict(), "score": 2.0}]},
        {"model": None},
    ],
)
def test_another_file_is_one_line(tmp_path, change):
    (tmp_path / "a.json").write_text(json.dumps({**FULL.to_json(), **change}))
    with pytest.raises(AvbookError) as error:
        read_timeline(tmp_path / "a.json")
    assert str(error.value).startswith(str(tmp_path / "a.json")) and "\n" not in str(error.value)
