"""The features of one video: decoded as its extractors want it, each stream once."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import floor

import numpy as np

from avbook.common.options import check_int
from avbook.errors import AvbookError
from avbook.features.decode import _sound_notes
from avbook.features.folder_extraction import Extraction, PictureExtraction
from avbook.features.logmel import RATE
from avbook.features.media import SLACK, Media, open_media, rgb
from avbook.features.pictures import Sampler, check_decoded, cut_note, sample_frames
from avbook.features.sound import Sound, decode_sound

__all__ = [
    "DecodedVideo",
    "VideoFeatures",
    "announced_seconds",
    "whole_seconds",
    "decode_video",
    "video_features",
]


@dataclass(frozen=True)
class DecodedVideo:
    """T seconds of a video as the extractors want them."""

    seconds: int  # T
    frames: list[np.ndarray]  # those that are used, in order, shrunk
    samples: np.ndarray  # (T·rate, channels) int16
    rate: int  # samples per second
    length: float  # seconds that the video lasts, as far as is known
    notes: tuple[str, ...]  # short sentences: padded, turned, silent, damaged, …


@dataclass(frozen=True)
class VideoFeatures:
    """The features of a video."""

    arrays: dict[str, np.ndarray]  # name -> (T, …) or (8·T, …) float32
    length: float  # seconds that the video lasts
    notes: tuple[str, ...]  # short sentences on what was found


# ----------------------------------------------------------------------------------------- length
def announced_seconds(
    path,  # a video file
) -> float | None:
    """How long the file says it is; None where it does not say. Raises `AvbookError` where it is no
    video, or has no picture."""
    with open_media(path) as media:
        media.check_picture()
        return media.announced


def whole_seconds(
    length: float,  # seconds
) -> int:
    """T: whole seconds, one that lacks up to 0.25 s included; at least 1."""
    return max(1, floor(length + SLACK))


# --------------------------------------------------------------------------------------- decoding
def decode_video(
    path,  # a video file
    extraction: Extraction,
    seconds: int,  # T: the first so many are taken; a shorter video is padded
) -> DecodedVideo:
    """T seconds of frames and sound. What is missing is silence, and the last frame.

    What is held are the frames that are used, shrunk, and one more at full size. Raises
    `AvbookError`: no such file, no video in it, no picture, nothing that can be decoded, no
    PyAV."""
    check_int(seconds=(seconds, 1))
    with open_media(path) as media:
        media.check_picture()
        heard: Sound | None = None
        if media.audio is not None:
            heard = decode_sound(media, mono=extraction.sound.mono, limit=float(seconds))
        there = media.audio is not None or "audio" in media.unknown
        announced, header = media.announced or 0.0, media.header
    picture = extraction.picture
    by = _by_number if picture.rate is None else _by_time
    frames, seen = by(path, picture, seconds)
    length = max(seen.tally.end, heard.end if heard else 0.0)
    if seen.stopped:
        length = max(float(seconds), announced)
    short = seconds - length > SLACK
    whole = length if short else float(seconds)  # one note on what is short
    notes = [*_sound_notes(heard, whole, there), *seen.notes(whole)]
    if short:
        notes += cut_note(notes, length, header)
        notes.append(f"short: {length:.2f} s, padded to {seconds} s")
    elif length - seconds > SLACK:
        notes.append(f"long: {length:.2f} s, the first {seconds} s are taken")
    samples, rate = _padded(heard, seconds)
    return DecodedVideo(seconds, frames, samples, rate, length, tuple(notes))


def _padded(heard: Sound | None, seconds: int) -> tuple[np.ndarray, int]:
    """Exactly T seconds of samples, silence where there are none; and their rate."""
    if heard is None:
        return np.zeros((seconds * RATE, 1), np.int16), RATE
    samples = np.zeros((seconds * heard.rate, heard.samples.shape[1]), np.int16)
    some = heard.samples[: len(samples)]
    samples[: len(some)] = some
    return samples, heard.rate


def _by_time(path, picture: PictureExtraction, seconds: int) -> tuple[list, Sampler]:
    """Frames at the middles of even intervals."""
    step, limit = 1 / float(picture.rate or 1), seconds * (1 + picture.edge)
    grid = ((k + 0.5) * step for k in itertools.count())
    with open_media(path) as media:
        media.check_picture()
        seen = sample_frames(media, grid, picture.shrink, limit)
    if not picture.edge:
        seen.take(seconds)
        return seen.arrays[: seconds * (picture.rate or 1)], seen
    seen.take(min(limit, seen.tally.end))
    count, length = len(seen.arrays), seen.tally.end
    if seen.stopped:  # too long for the official sampling
        count, length = seconds * (picture.rate or 1), float(seconds)
    return [seen.arrays[k] for k in picture.choose(count, length, seconds)], seen


# ------------------------------------------------------------------------------- frames by number
def _by_number(path, picture: PictureExtraction, seconds: int) -> tuple[list, Sampler]:
    """Frames by their numbers among all that come.

    Which ones depends on how many come. The file's header mostly says so; where what it says was
    wrong, the picture is decoded a second time."""
    wanted: list[int] | None = None
    for _ in range(3):
        with open_media(path) as media:
            media.check_picture()
            if wanted is None:
                wanted = _expected(media, picture, seconds)
            held, count, seen = _numbered(media, picture, seconds, set(wanted))
        length = float(seconds) if seen.stopped else seen.tally.end
        wanted = picture.choose(count, length, seconds).tolist()
        if held.keys() >= set(wanted):
            return [held[k] for k in wanted], seen
    raise AvbookError(
        f"{path}: another number of frames each time it is decoded; expected a video that plays:"
        " copy or download it again"
    )


def _expected(media: Media, picture: PictureExtraction, seconds: int) -> list[int]:
    """The frames that will be wanted if the header is right."""
    length, count = media.announced, media.video.frames
    rate = float(media.video.average_rate or 0)
    if length is None or not (count or rate):
        return []
    count = count or round(length * rate)
    if length > seconds * (1 + picture.edge):
        count, length = round(count * seconds / length), float(seconds)
    return picture.choose(max(count, seconds), length, seconds).tolist()


def _numbered(media: Media, picture: PictureExtraction, seconds: int, wanted: set[int]):
    """By number the frames that are wanted, shrunk; how many there are to choose from; and what was
    seen of the stream."""
    seen, held, inside, size = Sampler(media.path, iter(())), {}, 0, (0, 0)
    for number, (start, frame) in enumerate(media.frames(media.video, seen.tally)):
        if start >= seconds * (1 + picture.edge):
            seen.stopped = True
            break
        size = size if number else (frame.height, frame.width)
        seen.show(start, frame)
        if number in wanted:
            held[number] = picture.shrink(rgb(frame, *size))
        inside += start < seconds
    check_decoded(media, seen.tally)
    return held, inside if seen.stopped else seen.tally.frames, seen


# --------------------------------------------------------------------------------------- features
def video_features(
    path,  # a video file
    extraction: Extraction,
    seconds: int,  # T: the first so many are taken; a shorter video is padded
) -> VideoFeatures:
    """All features of the video. Raises `AvbookError` as `decode_video` does, and as the extractors
    do."""
    decoded = decode_video(path, extraction, seconds)
    found = {"audio": extraction.sound(decoded.samples, decoded.rate)}
    found |= extraction.picture.finish(decoded.frames, seconds)
    arrays = {name: extraction.finish(name, array) for name, array in found.items()}
    return VideoFeatures(arrays, decoded.length, decoded.notes)
