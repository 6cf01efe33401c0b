"""The features of one video: decoded as its extractors need it, each stream once."""

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
    """T seconds of a video as the extractors need them."""

    seconds: int  # T
    frames: list[np.ndarray]  # the frames used, in order, shrunk
    samples: np.ndarray  # (T·rate, channels) int16
    rate: int  # samples per second
    length: float  # length of the video in seconds, as far as known
    notes: tuple[str, ...]  # short sentences: padded, rotated, silent, damaged, …


@dataclass(frozen=True)
class VideoFeatures:
    """The features of a video."""

    arrays: dict[str, np.ndarray]  # name -> (T, …) or (8·T, …) float32
    length: float  # length of the video in seconds
    notes: tuple[str, ...]  # short sentences on what was found


# ----------------------------------------------------------------------------------------- length
def announced_seconds(
    path,  # a video file
) -> float | None:
    """The length that the file states; None if it states none. Raises `AvbookError` if it is not a
    video or has no video stream."""
    with open_media(path) as media:
        media.check_picture()
        return media.announced


def whole_seconds(
    length: float,  # seconds
) -> int:
    """T, whole seconds, including a last one that lacks up to 0.25 s; at least 1."""
    return max(1, floor(length + SLACK))


# --------------------------------------------------------------------------------------- decoding
def decode_video(
    path,  # a video file
    extraction: Extraction,
    seconds: int,  # T: the first T seconds are used; a shorter video is padded
) -> DecodedVideo:
    """T seconds of frames and audio. Missing audio is silence, missing frames repeat the last one.

    Only the frames used are held, shrunk, plus one at full size. Raises `AvbookError`: no such
    file, not a video, no video stream, nothing that can be decoded, no PyAV."""
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
    whole = length if short else float(seconds)  # a short video gets one note only
    notes = [*_sound_notes(heard, whole, there), *seen.notes(whole)]
    if short:
        notes += cut_note(notes, length, header)
        notes.append(f"short: {length:.2f} s, padded to {seconds} s")
    elif length - seconds > SLACK:
        notes.append(f"long: {length:.2f} s, the first {seconds} s are used")
    samples, rate = _padded(heard, seconds)
    return DecodedVideo(seconds, frames, samples, rate, length, tuple(notes))


def _padded(heard: Sound | None, seconds: int) -> tuple[np.ndarray, int]:
    """Exactly T seconds of samples, with silence where there are none, and their rate."""
    if heard is None:
        return np.zeros((seconds * RATE, 1), np.int16), RATE
    samples = np.zeros((seconds * heard.rate, heard.samples.shape[1]), np.int16)
    some = heard.samples[: len(samples)]
    samples[: len(some)] = some
    return samples, heard.rate


def _by_time(path, picture: PictureExtraction, seconds: int) -> tuple[list, Sampler]:
    """Frames at the middles of equal intervals."""
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
    """Frames by their numbers among all frames.

    The choice depends on their total number. The file's header usually states it; if the header was
    wrong, the video is decoded a second time."""
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
        f"{path}: another number of frames each time it is decoded; expected a playable video:"
        " copy or download it again"
    )


def _expected(media: Media, picture: PictureExtraction, seconds: int) -> list[int]:
    """The frames that are needed if the header is right."""
    length, count = media.announced, media.video.frames
    rate = float(media.video.average_rate or 0)
    if length is None or not (count or rate):
        return []
    count = count or round(length * rate)
    if length > seconds * (1 + picture.edge):
        count, length = round(count * seconds / length), float(seconds)
    return picture.choose(max(count, seconds), length, seconds).tolist()


def _numbered(media: Media, picture: PictureExtraction, seconds: int, wanted: set[int]):
    """The needed frames, shrunk, by number; how many there are to choose from; and the state of the
    sampler."""
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
    seconds: int,  # T: the first T seconds are used; a shorter video is padded
) -> VideoFeatures:
    """All features of the video. Raises `AvbookError` as `decode_video` and the extractors do."""
    decoded = decode_video(path, extraction, seconds)
    found = {"audio": extraction.sound(decoded.samples, decoded.rate)}
    found |= extraction.picture.finish(decoded.frames, seconds)
    arrays = {name: extraction.finish(name, array) for name, array in found.items()}
    return VideoFeatures(arrays, decoded.length, decoded.notes)
