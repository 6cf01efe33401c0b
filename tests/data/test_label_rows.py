"""A person's CSV of labels: what is understood, and every fault by its line."""

import codecs
from fractions import Fraction

import pytest

from avbook.data.annotations import LONGEST_NAME
from avbook.data.label_rows import LabelRow, read_label_rows
from avbook.errors import AvbookError

VIDEOS = ("clip1", "clip2", "my.clip", "Caf\u00e9 one", "zoo-9")
TITLES = "file,onset,offset,event"


def read(tmp_path, text, task="ave", videos=VIDEOS, seconds=10, lengths=None):
    path = tmp_path / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_label_rows(path, task, videos, seconds, lengths)


def rows(tmp_path, text, task="ave", **options):
    """Of a file in which nothing is found."""
    found, issues = read(tmp_path, text, task, **options)
    assert not issues, issues
    return found


def faults(tmp_path, text, task="ave", **options):
    """The messages about a file that cannot be used."""
    _, issues = read(tmp_path, text, task, **options)
    assert {issue.level for issue in issues} == {"error"}, issues
    assert {issue.file for issue in issues} == {"labels.csv"}
    return [issue.message for issue in issues]


# ------------------------------------------------------------------------------ what is understood
PLAIN = f"{TITLES}\nclip1,0,3,Dog\nclip2.mp4,1.5,4.25,Cat\n"
WANTED = [
    LabelRow("clip1", Fraction(0), Fraction(3), "Dog", "both", 2),
    LabelRow("clip2", Fraction(3, 2), Fraction(17, 4), "Cat", "both", 3),
]


@pytest.mark.parametrize(
    "text",
    {
        "plain": PLAIN,
        "BOM": codecs.BOM_UTF8 + PLAIN.encode(),
        "UTF-16": PLAIN.encode("utf-16"),
        "UTF-16 BE": codecs.BOM_UTF16_BE + PLAIN.encode("utf-16-be"),
        "CRLF": PLAIN.replace("\n", "\r\n"),
        "CR": PLAIN.replace("\n", "\r"),
        "no end of line": PLAIN.rstrip(),
        "semicolons": PLAIN.replace(",", ";"),
        "semicolons and decimal commas": PLAIN.replace(",", ";")
        .replace(".5", ",5")
        .replace(".25", ",25"),
        "tabs": PLAIN.replace(",", "\t"),
        "quotes": 'file,onset,offset,event\n"clip1","0","3","Dog"\n"clip2.mp4","1.5",4.25,Cat\n',
        "blanks": " File , ONSET,offset,Event\n clip1 , 0 , 3 , Dog \nclip2.mp4,1.5,4.25,Cat\n",
        "decimals": f"{TITLES}\nclip1,0.0,3.000,Dog\nclip2.mp4,15e-1,+4.25,Cat\n".replace("+", ""),
        "empty columns behind": PLAIN.replace("\n", ",,\n").replace("event,,", "event"),
    }.items(),
    ids=lambda item: item[0],
)
def test_tables_as_programs_write_them(tmp_path, text):
    assert rows(tmp_path, text[1]) == WANTED


def test_blank_lines_and_empty_rows_count_as_lines(tmp_path):
    text = f"{TITLES}\n\nclip1,0,3,Dog\n,,,\n   \nclip2,1.5,4.25,Cat\n"
    assert [row.line for row in rows(tmp_path, text)] == [3, 6]


def test_columns_in_another_order_and_beside_others(tmp_path):
    text = "score,event,file,offset,onset\n0.9,Dog,clip1,3,0\n,Cat,clip2,4.25,1.5\n"
    found, issues = read(tmp_path, text)
    assert found == WANTED
    assert [str(issue) for issue in issues] == [
        "note: labels.csv: line 1: not read: the column 'score'"
    ]


def test_a_column_says_the_split_of_a_video_once(tmp_path):
    lines = ["clip1,0,3,Dog,test", "clip2,0,3,Cat,", "clip1,5,6,Dog,"]
    found = rows(tmp_path, "\n".join([f"{TITLES},split", *lines]))
    assert [row.split for row in found] == ["test", "", ""]
    lines += ["clip1,7,8,Dog,Train", "clip2,5,6,Cat,dev"]
    assert faults(tmp_path, "\n".join([f"{TITLES},split", *lines])) == [
        "line 5: puts 'clip1' into train, and line 2 into test; a video is in one split",
        "line 6: found 'dev' as split; expected train, val, test, or nothing to have it drawn",
    ]


def test_of_a_longer_video_what_lies_behind_the_clip_is_left_out(tmp_path):
    lines = ["clip1,8,12,Dog", "clip1,10,11,Dog", "clip1,70,75.2,Dog", "clip2,9,10.25,Cat"]
    found, issues = read(tmp_path, "\n".join([TITLES, *lines]), lengths={"clip1": 75.0})
    assert [(row.video, row.onset, row.offset) for row in found] == [
        ("clip1", 8, 10),
        ("clip2", 9, 10),
    ]
    assert [str(issue) for issue in issues] == [
        "note: labels.csv: line 3: 2 of the events begin after the 10 seconds of their clips; left"
        " out"
    ]
    lines = ["clip1,70,75.3,Dog", "clip2,9,10.26,Cat"]
    assert faults(tmp_path, "\n".join([TITLES, *lines]), lengths={"clip1": 75.0}) == [
        "line 2: the event ends at 75.3, but the video is 75 seconds long; write 75 at most, or"
        " take the line out",
        "line 3: the event ends at 10.26, but the clips are 10 seconds long; write 10 at most, or"
        " take the line out",
    ]


@pytest.mark.parametrize(
    "name, video",
    [
        ("clip1", "clip1"),
        ("clip1.MOV", "clip1"),
        ("videos/of the zoo/clip1.mp4", "clip1"),
        ("C:\\Videos\\clip1.avi", "clip1"),
        ("my.clip", "my.clip"),
        ("my.clip.webm", "my.clip"),
        ("Cafe\u0301 one.mp4", "Caf\u00e9 one"),
    ],
)
def test_a_file_with_and_without_extension_folder_and_accents_apart(tmp_path, name, video):
    assert rows(tmp_path, f"{TITLES}\n{name},0,3,Dog\n")[0].video == video


def test_names_as_apple_writes_them_stay_those_of_the_features(tmp_path):
    found = rows(tmp_path, f"{TITLES}\nCaf\u00e9,0,3,Dog\n", videos=("Cafe\u0301",))
    assert found[0].video == "Cafe\u0301"


@pytest.mark.parametrize(
    "word, modality",
    [("audio", "audio"), ("Visual", "visual"), ("BOTH", "both"), ("audio-visual", "both")],
)
def test_modalities(tmp_path, word, modality):
    text = f"{TITLES},modality\nclip1,0,3,Dog,{word}\n"
    assert rows(tmp_path, text, "llp")[0].modality == modality


def test_one_video_may_have_several_events_for_llp_and_several_times_of_one_for_ave(tmp_path):
    text = f"{TITLES},modality\nclip1,0,3,Dog,both\nclip1,2,5,Cat,audio\n"
    assert [row.event for row in rows(tmp_path, text, "llp")] == ["Dog", "Cat"]
    text = f"{TITLES}\nclip1,0,3,Dog\nclip1,2,5,Dog\nclip1,7,8,Dog\n"
    assert len(rows(tmp_path, text)) == 3


# --------------------------------------------------------------------------------------- the titles
@pytest.mark.parametrize(
    "first, task, said",
    [
        (
            "file,onset,offset,label",
            "ave",
            "line 1: no column 'event'; found file, onset, offset, label: add it, or rename the"
            " column that holds it (file,onset,offset,event are needed)",
        ),
        ("file;event", "ave", "line 1: no column 'onset' and 'offset'; found file, event: add it"),
        (
            TITLES,
            "llp",
            "line 1: no column 'modality'; found file, onset, offset, event: add it, or rename the"
            " column that holds it (file,onset,offset,event,modality are needed)",
        ),
        (
            "clip1,0,3,Dog",
            "ave",
            "line 1: found 'clip1,0,3,Dog'; expected the titles file,onset,offset,event in the"
            " first line, above the rows",
        ),
        ("file onset offset event", "ave", "line 1: found 'file onset offset event'; expected the"),
        (
            f"{TITLES},file",
            "ave",
            "line 1: the column 'file' is there twice; take one out or rename it",
        ),
    ],
)
def test_titles_that_are_missing(tmp_path, first, task, said):
    (message,) = faults(tmp_path, f"{first}\nclip1,0,3,Dog\n", task)
    assert message.startswith(said)


def test_titles_alone_are_no_labels(tmp_path):
    assert faults(tmp_path, TITLES + "\n\n") == [
        "line 1: no row below the header; expected one for each event"
    ]


# ------------------------------------------------------------------------------------ single faults
FAULTS = {
    "clip3,0,3,Dog": "no video 'clip3' in the folder; did you mean 'clip2' or 'clip1'?",
    "CLIP1,0,3,Dog": "no video 'CLIP1' in the folder; did you mean 'clip1' or 'clip2'?",
    "clip1.v2,0,3,Dog": "no video 'clip1.v2' in the folder; did you mean 'clip2' or 'clip1'?",
    "clip1.txt,0,3,Dog": "no video 'clip1.txt' in the folder; did you mean 'clip1'?",
    "whale,0,3,Dog": "no video 'whale' in the folder; it has clip1, clip2, my.clip and 2 more:"
    " correct the name, or take the line out",
    ",0,3,Dog": "the file is empty; write the name of the video",
    "clip1,5,3,Dog": "the offset 3 lies before the onset 5; are they swapped?",
    "clip1,3,3.0,Dog": "onset and offset are both 3, so the event has no length; write",
    "clip1,8,10.3,Dog": "the event ends at 10.3, but the clips are 10 seconds long; write 10 at"
    " most, or take the line out",
    "clip1,-1,3,Dog": "the onset -1 is before the video begins; write 0 or more",
    "clip1,NaN,3,Dog": "found 'NaN' as onset; expected seconds from the beginning, such as 3 or 3.5"
    " (1:05 is 65)",
    "clip1,0,inf,Dog": "found 'inf' as offset; expected seconds from the beginning, such as",
    "clip1,0:02,5,Dog": "found '0:02' as onset; expected seconds from the beginning, such as",
    "clip1,0,1e999,Dog": "found '1e999' as offset; expected seconds from the beginning",
    f"clip1,0,{'9' * 50},Dog": "found '99999",
    "clip1,,3,Dog": "the onset is empty; expected seconds from the beginning, such as 3 or 3.5",
    "clip1,0,3,": "names no event; write one, or remove the line: seconds without one are",
    "clip1,0,3,Background": "'Background' needs no line, since seconds without one are",
    "clip1,0,3,Rock & roll": "the event 'Rock & roll' contains '&', which the official files",
    f"clip1,0,3,{'x' * (LONGEST_NAME + 1)}": f"'{'x' * 60}' is not a name of an event;",
    "clip1,0,3,Dog\x07": "'Dog\\x07' is not a name of an event; expected up to 200",
    "clip1,0,3": "3 fields, but the titles are 4, between commas; quote a field that contains one"
    ' of these, such as "Dog, barking"',
    "clip1,0,3,Dog, barking": "5 fields, but the titles are 4, between commas",
    "clip1,0,3,5,5,Dog": "6 fields, but the titles are 4, between commas",
}


@pytest.mark.parametrize("line, said", FAULTS.items(), ids=lambda word: word[:30])
def test_a_fault_is_told_with_its_line(tmp_path, line, said):
    (message,) = faults(tmp_path, f"{TITLES}\nclip1,0,3,Dog\n\n{line}\n")
    assert message.startswith(f"line 4: {said}"), message


@pytest.mark.parametrize(
    "line, said",
    [
        (
            "clip1,0,3,Dog,loud",
            "found 'loud' as modality; expected audio (only audible), visual",
        ),
        ("clip1,0,3,Dog,", "found '' as modality; expected audio (only audible), visual"),
        ('clip1,0,3,"Dog, barking",both', "the event 'Dog, barking' contains ',', which the"),
    ],
)
def test_faults_of_llp(tmp_path, line, said):
    text = f"{TITLES},modality\nclip2,0,3,Dog,both\n{line}\n"
    (message,) = faults(tmp_path, text, "llp")
    assert message.startswith(f"line 3: {said}"), message


def test_what_one_task_cannot_write_the_other_can(tmp_path):
    assert rows(tmp_path, f'{TITLES}\nclip1,0,3,"Dog, barking"\n')[0].event == "Dog, barking"
    text = f"{TITLES},modality\nclip1,0,3,Rock & roll,both\n"
    assert rows(tmp_path, text, "llp")[0].event == "Rock & roll"


def test_one_row_may_have_several_faults_and_all_rows_are_told_in_order(tmp_path):
    lines = ["whale,x,3,", "clip1,0,3,Dog", "clip1,5,3,Dog", "clip1,0,3.0,Dog", "clip2,0"]
    said = faults(tmp_path, "\n".join([TITLES, *lines]))
    assert [message.split(":")[0] for message in said] == [
        f"line {line}" for line in (2, 2, 2, 4, 5, 6)
    ]
    assert "onset" in said[0] and "no event" in said[1] and "whale" in said[2]


def test_a_name_that_is_no_video_is_told_once(tmp_path):
    lines = ["whale,0,3,Dog", "clip1,0,3,Dog", "whale,5,6,Dog", "whale,7,8,Dog"]
    (message,) = faults(tmp_path, "\n".join([TITLES, *lines]))
    assert message.startswith("line 2: no video 'whale' in the folder; it has")
    assert message.endswith("or take the line out (and line 4, 5)")


def test_a_name_that_two_videos_answer_to(tmp_path):
    (message,) = faults(tmp_path, f"{TITLES}\na.mp4,0,3,Dog\n", videos=("a", "a.mp4"))
    assert message == "line 2: 'a.mp4' may be the video 'a.mp4' or 'a'; rename one of them"


# ------------------------------------------------------------------------------ rows and each other
def test_rows_that_say_the_same(tmp_path):
    lines = ["clip1,0,3,Dog", "clip2,0,3,Dog", "clip1.mp4,0.0,3,Dog", "clip1,0,4,Dog"]
    assert faults(tmp_path, "\n".join([TITLES, *lines])) == [
        "line 4: says the same as line 2; take one of them out"
    ]


def test_the_same_event_heard_and_seen_is_no_repetition(tmp_path):
    text = f"{TITLES},modality\nclip1,0,3,Dog,audio\nclip1,0,3,Dog,visual\n"
    assert len(rows(tmp_path, text, "llp")) == 2


def test_two_events_of_one_clip_of_ave(tmp_path):
    lines = ["clip1,0,3,Dog", "clip2,0,3,Cat", "clip1,2,5,Cat", "clip1,6,8,Bird"]
    first, second = faults(tmp_path, "\n".join([TITLES, *lines]))
    assert first.startswith(
        "line 4: 'Cat' in 'clip1', which has 'Dog' in line 2; a clip of AVE has one kind of event"
    )
    assert second.startswith("line 5: 'Bird' in 'clip1', which has 'Dog' in line 2;")


@pytest.mark.parametrize("other", ["dog bark", "DOG BARK", "Dog  bark", "Dogbark", "Dog\u00a0bark"])
def test_two_spellings_of_one_event_become_one_with_a_warning(tmp_path, other):
    lines = ["clip1,0,3,Dog bark", f"clip2,0,3,{other}", f"my.clip,0,3,{other}"]
    lines += ["Caf\u00e9 one,0,3,Dog bark", "zoo-9,0,3,Dog bark"]
    found, issues = read(tmp_path, "\n".join([TITLES, *lines]))
    assert {row.event for row in found} == {"Dog bark"}
    if " ".join(other.split()) == "Dog bark":  # only blanks of another kind
        assert not issues
    else:
        (issue,) = issues
        assert issue.level == "warning"
        assert issue.message == (
            f"line 3: {other!r} is read as 'Dog bark' (and line 4); use one spelling"
        )


def test_of_two_spellings_the_choice_does_not_hang_on_the_order(tmp_path):
    lines = ["clip1,0,3,dog", "clip2,0,3,Dog"]
    one, _ = read(tmp_path, "\n".join([TITLES, *lines]))
    other, _ = read(tmp_path, "\n".join([TITLES, *lines[::-1]]))
    assert {row.event for row in [*one, *other]} == {"Dog"}


def test_two_spellings_do_not_hide_a_repetition(tmp_path):
    _, issues = read(tmp_path, f"{TITLES}\nclip1,0,3,Dog\nclip1,0,3,dog\n")
    assert [issue.level for issue in issues] == ["warning", "error"]


def test_modalities_of_ave_are_warned_of(tmp_path):
    text = f"{TITLES},modality\nclip1,0,3,Dog,both\nclip2,0,3,Dog,audio\nmy.clip,0,3,Dog,\n"
    found, (issue,) = read(tmp_path, text)
    assert len(found) == 3 and issue.level == "warning"
    assert issue.message.startswith("line 3: the column modality is not read")


# ----------------------------------------------------------------------------------------- the file
@pytest.mark.parametrize(
    "data, said",
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (
            TITLES.encode() + b"\nclip1,0,3,Caf\xe9\n",
            r"line 2: not text in UTF-8 \(byte 0xe9\); save the table again and choose 'CSV UTF-8'",
        ),
        (
            b"PK\x03\x04\x14\x00",
            "is a spreadsheet or an archive, not a CSV; open it and save it as",
        ),
        (codecs.BOM_UTF16_LE + b"abc", "not a text file"),
    ],
)
def test_files_that_are_no_text(tmp_path, data, said):
    with pytest.raises(AvbookError, match=f"labels.csv: {said}"):
        read(tmp_path, data)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(AvbookError, match="no such file"):
        read_label_rows(tmp_path / "none.csv", "ave", VIDEOS, 10)


def test_more_events_than_the_loaders_hold(tmp_path, monkeypatch):
    monkeypatch.setattr("avbook.data.label_rows.MOST_CLASSES", 1)
    assert faults(tmp_path, PLAIN) == ["more than 1 different events; are they names?"]
