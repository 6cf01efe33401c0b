"""A clip that plays: frames, audio, spectrogram, ground truth and predictions with one cursor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from avbook.data.events import SECONDS, Event
from avbook.errors import AvbookError
from avbook.features.logmel import RATE, log_mel, resample
from avbook.features.small_clip import SmallClip
from avbook.features.timelines import Timeline
from avbook.show.demo import streams_figure
from avbook.show.embedded import HATCHES, class_style, mel_images
from avbook.show.explorers.base import (
    LARGEST,
    Explorer,
    audio_samples,
    figure_image,
    frame_sheet,
    rounded,
)
from avbook.show.plots import array, timeline_tracks

__all__ = ["play_clip", "play_world_clip", "play_video"]

RATES = (16_000, 8_000)  # samples a second that are stored: the first with which the data fit
COLUMNS = 1000  # of the spectrogram
MAIN = "ground truth"  # the row with which a prediction of one row is compared


def play_clip(
    frames,  # (n, H, W, 3) uint8, at equal distances over the clip; None: without frames
    samples,  # mono, -1..1, for all T seconds; None: without audio
    # ground truth: a row as for `plots.timeline_bars`, several by name, or None
    truth,
    # method -> its row, compared with the row named "ground truth" or the only one; or its rows
    # under the names of those of the ground truth
    predictions: Mapping[str, Any] | None = None,
    names: Sequence[str] | None = None,  # class names; an index beyond them is background
    *,
    rate: int = RATE,  # samples a second
    seconds: int | None = None,  # T; only needed for events without audio
    shown: Sequence[str] | None = None,  # methods shown at first; None: all
    title: str = "A clip with its labels",  # for screen readers and the static figure
) -> Explorer:
    """Plays a clip above one time axis with its frames, spectrogram, ground truth and predictions;
    each prediction says how many segments are correct: those whose classes are all those of the
    ground truth.

    Rows are class indices (T,), masks (T,) or (T, C), or events. Audio is stored with 16,000
    samples a second, or with 8,000 if that is too much. Raises `AvbookError` for rows of different
    lengths, for predictions without their row of ground truth, and for unknown methods."""
    rows, methods = _all_rows(truth, predictions or {})
    wave = None if samples is None else array(samples).astype(float)
    seconds = _seconds(rows, wave, rate, names, seconds)
    tracks = {name: timeline_tracks(row, names, seconds) for name, (row, *_) in rows.items()}
    for name, (found, _) in tracks.items():
        if len(found[0][1]) != seconds:
            raise AvbookError(f"{name} has {len(found[0][1])} segments: expected {seconds}")
    labels = [label or name for name, (found, _) in tracks.items() for label, _ in found]
    keys = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    at_first = list(methods if shown is None else shown)
    if set(at_first) - set(methods):
        raise AvbookError(f"shown={at_first}: expected some of {', '.join(methods)}")

    patches = None
    if wave is not None and (np.abs(wave) > 1e-4).any():
        patches = log_mel(_at_least_a_second(wave, rate), rate)
    data = {
        "seconds": seconds,
        "keys": [_key(label, number) for label, number in keys.items()],
        "rows": [_row_data(name, rows, tracks, keys, methods) for name in rows],
        "methods": methods,
        "shown": at_first,
        "frames": None if frames is None else _sheet(frames),
        "mel": None if patches is None else mel_images(patches, COLUMNS, webp=80),
        "audio": None,
    }
    strip = None if frames is None else _one_a_second(array(frames), seconds)
    drawn = {name: row for name, (row, method, _) in rows.items() if method in ("", *at_first)}
    figure = figure_image(streams_figure(strip, patches, drawn, names, seconds))
    alt = f"{title}: frames, spectrogram, and labels in time. {_in_words(data, at_first)}"
    for stored in RATES:
        if wave is None:
            break
        data["audio"] = audio_samples(resample(wave, rate, stored), stored, stored)
        if sum(len(str(part)) for part in data.values()) < LARGEST - 2000:
            break
    return Explorer("player", title, data, figure, alt)


def play_world_clip(
    clip,  # a `Clip` of the world
    truth,  # as for `play_clip`
    predictions: Mapping[str, Any] | None = None,
    names: Sequence[str] | None = None,
    *,
    size: int = 160,  # height and width of the frames in pixels
    **options,  # of `play_clip`
) -> Explorer:
    """`play_clip` for a clip of the world, rendered here with four frames a second."""
    from avbook.world.audio import render_sound
    from avbook.world.video import render_frames

    frames = render_frames(clip, size=size, fps=4)
    return play_clip(frames, render_sound(clip), truth, predictions, names, **options)


def play_video(
    video: SmallClip,  # a decoded video, of `read_small_clip`
    timeline: Timeline,  # the events that were found in it
    most: int = 40,  # frames
) -> Explorer:
    """`play_clip` for your own video, with the events of a timeline by modality."""
    found: dict[str, list[Event]] = {}
    for event in timeline.events:
        row = found.setdefault(f"{event.modality} events", [])
        row.append(Event(event.event, event.onset, event.offset))
    pictures = [thumbnail.picture for thumbnail in video.thumbnails(most)]
    return play_clip(
        np.stack(pictures) if pictures else None,
        None if video.clip.silent else video.clip.wave,
        found or {"events": []},
        seconds=video.seconds,
        title=timeline.video,
    )


# --------------------------------------------------------------------------------------------- rows
def _all_rows(truth, predictions) -> tuple[dict[str, tuple[Any, str, str | None]], list[str]]:
    """Name -> (row, its method or "" for ground truth, the row of ground truth it is compared
    with), and the methods."""
    truths = {} if truth is None else truth if isinstance(truth, Mapping) else {MAIN: truth}
    rows: dict[str, tuple[Any, str, str | None]]
    rows = {name: (row, "", None) for name, row in truths.items()}
    for method, own in predictions.items():
        own = own if isinstance(own, Mapping) else {None: own}
        for part, row in own.items():
            against = part
            if part is None:  # a row by itself
                against = MAIN if MAIN in truths or len(truths) != 1 else next(iter(truths))
            if truths and against not in truths:
                raise AvbookError(
                    f"{method}: no row of the ground truth is named {against!r}, to compare with;"
                    f" expected one of {', '.join(map(repr, truths))}"
                )
            name = method if part is None else f"{method}: {part}"
            rows[name] = (row, method, against if truths else None)
    if not rows:
        raise AvbookError("found neither ground truth nor a prediction: expected at least one row")
    return rows, list(predictions)


def _seconds(rows, wave, rate: int, names, given: int | None) -> int:
    """T: of the first row that is not a list of events, else of the audio."""
    for row, *_ in rows.values():
        events = isinstance(row, (list, tuple)) and all(hasattr(one, "onset") for one in row)
        if not events:
            found, _ = timeline_tracks(row, names, None)
            length = len(found[0][1])
            break
    else:
        length = given or (SECONDS if wave is None else max(1, round(len(wave) / rate)))
    if wave is not None and abs(len(wave) / rate - length) > 0.5:
        raise AvbookError(
            f"the audio has {len(wave) / rate:.1f} s at {rate:,} samples a second, the rows have"
            f" {length} segments: expected one for each second"
        )
    return length


def _row_data(name, rows, tracks, keys, methods) -> dict[str, Any]:
    """A row as the script reads it: lanes of classes in time, with marks where they are wrong."""
    _, method, against = rows[name]
    found, shared = tracks[name]
    on = _switched_on(name, tracks, keys)  # (T, K)
    wanted = None if against is None else _switched_on(against, tracks, keys)
    differs = None if wanted is None else on != wanted
    if shared:
        lanes = [_lane(_classes(on), None if differs is None else differs.any(1))]
    else:  # a class that was missed has a lane too
        lanes = []
        heights = {keys[label or name]: values for label, values in found}
        switched = on if wanted is None else wanted
        order = [*np.flatnonzero(switched.any(0)).tolist(), *heights]
        seen = [key for key in dict.fromkeys(order) if switched[:, key].any() or heights[key].any()]
        for key in seen or order[:1]:
            values = heights.get(key, np.zeros(len(on)))
            wrong = None if differs is None else differs[:, key]
            lanes.append(_lane(np.where(values > 0, key, -1).tolist(), wrong))
            if ((values > 0) & (values < 1)).any():
                lanes[-1]["strengths"] = rounded(values, 2)
    correct = None if differs is None else int((~differs.any(1)).sum())
    return {
        "name": name,
        "method": methods.index(method) if method else -1,
        "lanes": lanes,
        "empty": "background" if shared else "nothing",
        "correct": correct,
    }


def _lane(labels: list[int], wrong) -> dict[str, Any]:
    return {"labels": labels, "wrong": None if wrong is None else wrong.astype(int).tolist()}


def _switched_on(name, tracks, keys) -> np.ndarray:
    """Which classes a row holds in each segment, (T, K); strengths from one half."""
    found, _ = tracks[name]
    on = np.zeros((len(found[0][1]), len(keys)), bool)
    for label, heights in found:
        on[:, keys[label or name]] |= heights >= 0.5
    return on


def _classes(on) -> list[int]:
    """The one class of each segment, -1 for background."""
    return np.where(on.any(1), on.argmax(1), -1).tolist()


def _key(label: str, number: int) -> dict[str, Any]:
    colour, hatch = class_style(number)
    return {"name": label, "colour": colour, "hatch": HATCHES[hatch] if hatch else None}


def _in_words(data, shown) -> str:
    """How many segments of each prediction are correct."""
    counted = [
        f"{row['name']}: {row['correct']} of {data['seconds']} segments correct"
        for row in data["rows"]
        if row["correct"] is not None and data["methods"][row["method"]] in shown
    ]
    return f"{', '.join(counted)}." if counted else ""


# ------------------------------------------------------------------------------------------ streams
def _sheet(frames) -> dict[str, Any]:
    height, width = array(frames).shape[1:3]
    return frame_sheet(frames) | {"aspect": round(width / height, 4)}


def _one_a_second(frames: np.ndarray, seconds: int) -> np.ndarray:
    count = min(seconds, 20)
    return frames[((np.arange(count) + 0.5) * len(frames) / count).astype(int)]


def _at_least_a_second(wave: np.ndarray, rate: int) -> np.ndarray:
    """The wave with silence up to a whole second: `log_mel` drops what is left over."""
    return np.pad(wave, (0, -len(wave) % rate if len(wave) % rate > rate // 2 else 0))
