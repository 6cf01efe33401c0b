"""Videos to frames and sound: each row of what cameras and downloads do to a file, bad files, and
what is written is what is read."""

import os
import re
import struct
import subprocess
import sys
import wave as wave_files
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from processes import ROOT

from avbook.errors import AvbookError
from avbook.features import pictures
from avbook.features.decode import count_frames, iter_frames, read_clip, read_pcm
from avbook.features.encode import write_video
from avbook.features.logmel import RATE, log_mel
from avbook.features.media import _length, open_media
from avbook.features.sound import _Track, decode_sound

av = pytest.importorskip("av", reason="PyAV is not installed: pip install 'avbook[clips]'")
WIDTH, HEIGHT = 48, 32
FPS = 10


def numbered(count, height=HEIGHT, width=WIDTH):
    """Frames whose two halves say which they are, as grey levels that survive a lossy codec."""
    for k in range(count):
        frame = np.full((height, width, 3), 16 * (k % 16), np.uint8)
        frame[:, width // 2 :] = 16 * (k // 16)
        yield frame


def number(frame) -> int:
    """Which of `numbered` it is."""
    left, right = frame[4:-4, 4:16], frame[4:-4, -16:-4]
    return round(left.mean() / 16) + 16 * round(right.mean() / 16)


def tone(seconds, rate=RATE, hertz=440.0, loud=0.2):
    return loud * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def write(path, seconds=2.0, *, fps=FPS, sound=True, rate=RATE, **options):
    """A file of numbered frames and, if wanted, a tone; its path."""
    wave = tone(seconds, rate) if sound is True else sound
    write_video(
        path, numbered(round(seconds * fps)), fps, None if wave is False else wave, rate, **options
    )
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Three seconds of picture and tone."""
    return write(tmp_path_factory.mktemp("plain") / "plain.mp4", 3)


def remux(source, target, *, shift=None, **options):
    """The same packets in another file, moved by `shift`, seconds by the type of stream."""
    with av.open(str(source)) as old, av.open(str(target), "w", options=options) as new:
        streams = {s.index: new.add_stream_from_template(s) for s in old.streams}
        for packet in old.demux():
            if packet.dts is None:
                continue
            ticks = round((shift or {}).get(packet.stream.type, 0) / packet.time_base)
            packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
            packet.stream = streams[packet.stream.index]
            new.mux(packet)
    return target


def with_matrix(source, target, matrix):
    """A copy of the mp4 whose display matrix is (a, b, c, d): x' = a·x + c·y, y' = b·x + d·y."""
    data = bytearray(source.read_bytes())
    start = data.index(b"tkhd") + 44  # of the first track, the picture
    a, b, c, d = (value << 16 for value in matrix)
    data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    target.write_bytes(data)
    return target


def spoiled(source, target, kind, which=None):
    """A copy whose packets of that stream and those numbers are overwritten; None: all of them."""
    with av.open(str(source)) as container:
        places = [(p.pos, p.size) for p in container.demux(**{kind: 0}) if p.size]
    data = bytearray(source.read_bytes())
    for place, size in places if which is None else [places[k] for k in which]:
        data[place : place + size] = bytes([255]) * size
    target.write_bytes(data)
    return target


def numbers(clip):
    return [number(frame) for frame in clip.frames]


def loud_from(wave, least=0.05) -> float:
    """Seconds at which the wave is first loud."""
    return int(np.argmax(np.abs(wave) > least)) / RATE


# ---------------------------------------------------------------------------- frames at their times
def test_a_plain_clip_is_its_seconds_its_frames_and_its_tone(plain):
    clip = read_clip(plain)
    assert clip.notes == () and clip.segments == 3 and clip.seconds == pytest.approx(3, abs=0.05)
    assert clip.frames.shape == (12, HEIGHT, WIDTH, 3) and clip.frames.dtype == np.uint8
    np.testing.assert_allclose(clip.times, np.arange(12) / 4 + 0.125)
    assert numbers(clip) == [int(time * FPS) for time in clip.times]
    assert clip.wave.shape == (3 * RATE,) and clip.wave.dtype == np.float32 and not clip.silent
    middle = slice(RATE, 2 * RATE)
    np.testing.assert_allclose(clip.wave[middle], tone(3)[middle], atol=0.03)


def test_frames_are_taken_at_the_times_asked_for(plain):
    clip = read_clip(plain, times=[0, 0.05, 0.1, 0.1, 1.999, 2.0, 2.95, 7])
    assert numbers(clip) == [0, 0, 1, 1, 19, 20, 29, 29]
    assert clip.times.tolist() == [0, 0.05, 0.1, 0.1, 1.999, 2.0, 2.95, 7]


def test_colours_come_in_the_order_red_green_blue(tmp_path):
    frames = np.zeros((10, 32, 32, 3), np.uint8)
    frames[..., 0], frames[..., 2] = 200, 40
    write_video(tmp_path / "red.mp4", frames, 10)
    taken = read_clip(tmp_path / "red.mp4").frames[1]
    np.testing.assert_allclose(taken.mean((0, 1)), [200, 0, 40], atol=8)


def test_frames_may_be_more_than_the_video_has(plain):
    clip = read_clip(plain, fps=30)
    assert numbers(clip) == [k // 3 for k in range(90)]


def write_uneven(path, times):
    """Numbered frames that begin at those tenths of a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for k, frame in enumerate(numbered(len(times))):
            picture = av.VideoFrame.from_ndarray(frame, "rgb24")
            picture.pts, picture.time_base = times[k], Fraction(1, 10)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def test_a_variable_frame_rate_is_sampled_by_time(tmp_path):
    write_uneven(tmp_path / "vfr.mp4", [0, 1, 2, 3, 4, 20, 21, 22, 23, 24])  # still for 1.6 s
    clip = read_clip(tmp_path / "vfr.mp4", fps=10, seconds=2)
    assert numbers(clip) == [0, 1, 2, 3] + 16 * [4]
    clip = read_clip(tmp_path / "vfr.mp4", times=[0.45, 1.95, 2.05, 2.45])
    assert numbers(clip) == [4, 4, 5, 9]
    assert any(note.startswith("variable frame rate: 0.625 to 10") for note in clip.notes)


@pytest.mark.parametrize("still", range(1, 8))
def test_a_variable_frame_rate_does_not_change_the_length(tmp_path, still):
    """mp4 tells lengths in the order of decoding: the last frame may get that of another."""
    times = [k + 15 * (k >= still) for k in range(8)]
    write_uneven(tmp_path / "vfr.mp4", times)
    clip = read_clip(tmp_path / "vfr.mp4")
    assert clip.seconds == pytest.approx(2.3, abs=0.11) and clip.segments == 2
    assert not any("leap" in note for note in clip.notes)


@pytest.mark.parametrize("told, length", [(0.1, 0.1), (1.6, 0.5), (10**9, 0.5), (0, 0)])
def test_a_frame_lasts_at_most_to_the_end_of_its_stream(told, length):
    tick = Fraction(1, 100)
    frame = SimpleNamespace(duration=round(told * 100), time_base=tick)
    stream = SimpleNamespace(type="video", start_time=100, duration=900, time_base=tick)
    assert _length(frame, stream, 9.5) == pytest.approx(length)


def test_only_frames_that_are_taken_are_converted(plain, monkeypatch):
    made = []
    real = pictures.rgb
    monkeypatch.setattr(pictures, "rgb", lambda *words: made.append(1) or real(*words))
    read_clip(plain, times=[0.5, 0.52, 2.0])
    assert len(made) == 2
    made.clear()
    assert count_frames(plain) == 30 and not made


def test_more_than_fits_into_memory_is_refused(plain, monkeypatch):
    monkeypatch.setattr(pictures, "LARGEST", 11 * HEIGHT * WIDTH * 3)
    with pytest.raises(AvbookError, match=r"plain.mp4: 12 frames of 48x32 fill over .*up to 3 s"):
        read_clip(plain)
    assert len(read_clip(plain, transform=lambda frame: frame[::2, ::2]).frames) == 12


def test_a_header_with_an_impossible_rate_does_no_harm(tmp_path):
    """Of an avi: a frame in 27 years, and samples a second apart."""
    options = {"video_codec": "mpeg4", "audio_codec": "pcm_s16le"}
    data = write(tmp_path / "good.avi", 2, **options).read_bytes()
    scale = data.index(b"vids") + 20
    path = tmp_path / "bad.avi"
    path.write_bytes(data[:scale] + struct.pack("<II", 2**31 - 1, 10) + data[scale + 8 :])
    clip = read_clip(path)
    assert clip.segments < 700 and any("leap" in note for note in clip.notes)
    with wave_files.open(str(tmp_path / "bad.wav"), "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(1)
        file.writeframes(bytes(2000))
    with pytest.raises(AvbookError, match="has 1 samples per second; expected 1000 to 768000"):
        read_pcm(tmp_path / "bad.wav")


def test_a_transform_is_of_each_frame_taken(plain):
    clip = read_clip(plain, transform=lambda frame: frame[:8, :8, 0].astype(np.float32))
    assert clip.frames.shape == (12, 8, 8) and clip.frames.dtype == np.float32
    np.testing.assert_array_equal(clip.frames, read_clip(plain).frames[:, :8, :8, 0])


def test_all_frames_come_in_order_and_some_by_index(plain):
    frames = list(iter_frames(plain))
    assert [frame.index for frame in frames] == [number(frame.rgb) for frame in frames]
    assert len(frames) == 30 == count_frames(plain)
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(30) / FPS)
    some = list(iter_frames(plain, {3, 17}))
    assert [(frame.index, number(frame.rgb)) for frame in some] == [(3, 3), (17, 17)]
    np.testing.assert_array_equal(some[1].rgb, frames[17].rgb)
    assert list(iter_frames(plain, ())) == []


def test_nothing_is_decoded_after_the_last_frame_wanted(plain, tmp_path):
    bad = spoiled(plain, tmp_path / "bad.mp4", "video", [20])
    for wanted, told in (({3}, []), (None, ["video is damaged: 1 of 30 frames lost"])):
        notes: list = []
        assert next(iter_frames(bad, wanted)).index == (3 if wanted else 0)
        list(iter_frames(bad, wanted, notes))
        assert notes[:1] == told


@pytest.mark.parametrize(
    "matrix, shown",
    [
        ((0, 1, -1, 0), lambda a: np.rot90(a, -1)),  # a phone held upright
        ((-1, 0, 0, -1), lambda a: np.rot90(a, 2)),
        ((0, -1, 1, 0), lambda a: np.rot90(a, 1)),
        ((-1, 0, 0, 1), lambda a: a[:, ::-1]),  # mirrored, as by a front camera
        ((1, 0, 0, -1), lambda a: a[::-1]),
    ],
)
def test_a_picture_stored_turned_is_shown_upright(plain, tmp_path, matrix, shown):
    turned = with_matrix(plain, tmp_path / "turned.mp4", matrix)
    clip, upright = read_clip(turned), read_clip(plain)
    np.testing.assert_array_equal(clip.frames[5], shown(upright.frames[5]))
    np.testing.assert_array_equal(
        next(iter_frames(turned)).rgb, shown(next(iter_frames(plain)).rgb)
    )
    assert clip.notes == ("video is stored rotated or mirrored: shown upright",)
    with open_media(turned) as media:
        _, frame = next(media.frames(media.video, pictures.Tally()))
        stored = frame.to_ndarray(format="rgb24")
        if matrix[0] * matrix[3] - matrix[1] * matrix[2] > 0:  # turned, not mirrored
            np.testing.assert_array_equal(
                pictures.rgb(frame), np.rot90(stored, frame.rotation // 90)
            )


@pytest.mark.parametrize(
    "name, options",
    [
        ("hevc.mp4", {"video_codec": "libx265", "pix_fmt": "yuv420p10le"}),
        ("vp9.webm", {"video_codec": "libvpx-vp9", "audio_codec": "libopus", "rate": 48000}),
        ("mpeg4.avi", {"video_codec": "mpeg4", "audio_codec": "pcm_s16le"}),
        ("h264.mkv", {}),
        ("h264.mov", {}),
        ("h264.ts", {}),
    ],
)
def test_other_formats_give_the_same(tmp_path, name, options):
    options = dict(options)
    quick = {
        "libx265": {"preset": "ultrafast", "crf": "12", "x265-params": "log-level=none:pools=1"},
        "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "10"},
        "mpeg4": {"q:v": "2"},
    }.get(options.get("video_codec"))
    size = (64, 64) if "hevc" in name else (HEIGHT, WIDTH)
    rate = options.pop("rate", RATE)
    write_video(
        tmp_path / name, numbered(20, *size), FPS, tone(2, rate), rate, options=quick, **options
    )
    clip = read_clip(tmp_path / name)
    assert clip.segments == 2 and clip.notes == ()
    late = 0.064 if name.endswith(".ts") else 0  # there the sound begins with AAC's delay
    assert numbers(clip) == [int((time - late) * FPS) for time in clip.times]
    assert np.abs(clip.wave).max() == pytest.approx(0.2, abs=0.04)
    assert (np.abs(np.fft.rfft(clip.wave[RATE:])).argmax()) == 440


def test_odd_sizes_and_other_lengths(tmp_path):
    write_video(tmp_path / "odd.mp4", numbered(80, 33, 51), 10, tone(8))
    clip = read_clip(tmp_path / "odd.mp4")
    assert clip.frames.shape == (32, 33, 51, 3) and clip.segments == 8 and clip.notes == ()


def test_a_minute_is_sixty_seconds_and_its_end_is_read(tmp_path):
    write_video(tmp_path / "minute.mp4", numbered(120), 2, tone(60))
    clip = read_clip(tmp_path / "minute.mp4", fps=1)
    assert (clip.segments, len(clip.wave), clip.notes) == (60, 60 * RATE, ())
    assert numbers(clip) == list(range(1, 120, 2))


def test_a_picture_that_changes_its_size_and_its_clock_is_joined(tmp_path):
    first, second = write(tmp_path / "1.ts", 2), tmp_path / "2.ts"
    write_video(second, numbered(20, 64, 96), FPS, tone(2))
    both = tmp_path / "both.ts"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    clip = read_clip(both)
    assert clip.frames.shape[1:] == (HEIGHT, WIDTH, 3)
    assert clip.segments == 4 and any("leap" in note for note in clip.notes)
    assert [abs(a - b) <= 1 for a, b in zip(numbers(clip)[-3:], [13, 16, 18])] == 3 * [True]


# ------------------------------------------------------------------------------------------- sound
@pytest.mark.parametrize("rate", [8000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_channels_become_one_at_16_khz_equally_loud(tmp_path, rate, channels):
    wave = tone(2, rate)
    wave[: rate // 2] = 0
    path = tmp_path / "sound.mkv"
    write_video(
        path, numbered(20), FPS, wave[:, None].repeat(channels, 1), rate, audio_codec="pcm_s16le"
    )
    clip = read_clip(path)
    assert clip.wave.shape == (2 * RATE,) and clip.notes == ()
    assert np.abs(clip.wave[-RATE:]).max() == pytest.approx(0.2, abs=0.01)
    assert loud_from(clip.wave) == pytest.approx(0.5, abs=0.002)
    with open_media(path) as media:
        assert len(decode_sound(media).samples) == pytest.approx(2 * RATE, abs=1)


def test_the_wave_is_the_mean_of_the_channels(tmp_path):
    left = np.stack([tone(2), np.zeros(2 * RATE)], 1)
    path = write(tmp_path / "left.mkv", 2, sound=left, audio_codec="pcm_s16le")
    np.testing.assert_allclose(read_clip(path).wave, tone(2) / 2, atol=1e-4)


def test_sound_before_the_beginning_is_cut_off():
    track = _Track(1, 10)
    track.advance(-0.5)
    track.add(np.arange(10, dtype=np.int16)[:, None])
    track.advance(0.8)
    assert track.samples()[:, 0].tolist() == [5, 6, 7, 8, 9, 0, 0, 0]


def test_ten_seconds_of_aac_are_ten(tmp_path):
    path = tmp_path / "ten.mp4"
    write_video(path, numbered(100), FPS, tone(9.9, 44100), 44100)
    clip = read_clip(path)
    assert len(clip.wave) == 10 * RATE and log_mel(clip.wave).shape == (10, 96, 64)
    assert clip.notes == ("audio ends at 9.91 s: padded with silence to 10 s",)  # whole frames
    write_video(path, numbered(248), 25, tone(9.94))  # both a little short
    assert read_clip(path).segments == 10


def test_a_sound_that_begins_late_is_silent_before(plain, tmp_path):
    late = remux(plain, tmp_path / "late.mp4", shift={"audio": 1.479})
    clip = read_clip(late, seconds=3)
    assert loud_from(clip.wave) == pytest.approx(1.479, abs=0.07)  # AAC begins a frame early
    assert not clip.wave[: int(1.4 * RATE)].any()
    assert len(clip.notes) == 1 and clip.notes[0].startswith("audio begins at 1.4")
    pcm = read_pcm(late)
    assert loud_from(pcm.samples[:, 0] / 32768) == pytest.approx(1.479, abs=0.07)


def test_a_picture_that_begins_late_stands_before(plain, tmp_path):
    clip = read_clip(remux(plain, tmp_path / "late.mkv", shift={"video": 1.0}))
    assert numbers(clip)[:6] == [0, 0, 0, 0, 0, 3] and clip.segments == 4
    assert "video begins at 1.06 s: its first frame before it" in clip.notes  # and AAC's delay


def test_a_file_whose_clock_does_not_begin_at_zero(plain, tmp_path):
    moved = remux(plain, tmp_path / "moved.ts", shift={"audio": 50.0, "video": 50.0})
    clip = read_clip(moved)
    assert clip.segments == 3 and clip.notes == () and loud_from(clip.wave) < 0.1
    assert numbers(clip)[4] in (10, 11)


def test_a_gap_in_the_sound_is_silence(tmp_path):
    source = write(tmp_path / "whole.mp4", 3)
    with av.open(str(source)) as container:
        count = sum(1 for packet in container.demux(audio=0) if packet.size)
    with av.open(str(source)) as old, av.open(str(tmp_path / "gap.mkv"), "w") as new:
        streams = {s.index: new.add_stream_from_template(s) for s in old.streams}
        heard = 0
        for packet in old.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "audio":
                heard += 1
                if count // 3 < heard <= 2 * count // 3:
                    continue
            packet.stream = streams[packet.stream.index]
            new.mux(packet)
    wave = read_clip(tmp_path / "gap.mkv").wave
    quiet = np.flatnonzero(np.abs(wave[:-1600]).reshape(-1, 80).max(1) == 0) * 80 / RATE
    assert quiet.min() == pytest.approx(1, abs=0.3) and quiet.max() == pytest.approx(2, abs=0.3)
    assert np.abs(wave[int(2.5 * RATE) : int(2.9 * RATE)]).max() > 0.19


def test_a_video_without_sound_has_silence_and_says_so(tmp_path):
    clip = read_clip(write(tmp_path / "mute.mp4", 2, sound=False))
    assert clip.notes == ("no audio in the file: silence in its place",) and clip.silent
    assert clip.wave.shape == (2 * RATE,) and not clip.wave.any()
    with pytest.raises(AvbookError, match="no audio stream in it .a mov.* file with video"):
        read_pcm(tmp_path / "mute.mp4")


def test_silence_is_noted(tmp_path):
    clip = read_clip(write(tmp_path / "silent.mp4", 2, sound=np.zeros(2 * RATE)))
    assert clip.notes == ("audio is silent throughout",) and clip.silent


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_stereo_that_cancels_is_noted_and_no_other(tmp_path, codec):
    left, other = tone(2), tone(2, hertz=1000.0)
    for right, told in ((-left, True), (0.95 * -left, True), (left, False), (other, False)):
        sound = np.stack([left, right], 1)
        clip = read_clip(write(tmp_path / "s.mkv", 2, sound=sound, audio_codec=codec))
        assert any("anti-phase" in note for note in clip.notes) is told


def test_a_picture_longer_than_its_sound_and_shorter(tmp_path):
    clip = read_clip(write(tmp_path / "v.mkv", 4, sound=tone(2), audio_codec="pcm_s16le"))
    assert clip.notes == ("audio ends at 2.00 s: padded with silence to 4 s",)
    assert clip.wave[2 * RATE - 100 : 2 * RATE].any() and not clip.wave[2 * RATE :].any()
    clip = read_clip(write(tmp_path / "a.mkv", 2, sound=tone(4), audio_codec="pcm_s16le"))
    assert clip.notes == ("video ends at 2.00 s: its last frame after it",)
    assert clip.segments == 4 and numbers(clip)[-8:] == 8 * [19]


def test_samples_come_as_they_are_stored(tmp_path):
    rng = np.random.default_rng(0)
    stored = rng.integers(-20000, 20000, (5 * 44100 // 2, 2)).astype(np.int16)
    write_video(tmp_path / "pcm.mkv", None, wave=stored, rate=44100, audio_codec="pcm_s16le")
    found = read_pcm(tmp_path / "pcm.mkv")
    assert found.rate == 44100 and found.samples.dtype == np.int16
    np.testing.assert_array_equal(found.samples, stored)
    np.testing.assert_array_equal(log_mel(found.samples, found.rate), log_mel(stored, 44100))


@pytest.mark.parametrize("channels", [1, 3, 8, 9])
def test_channels_without_a_layout_do_no_harm(tmp_path, channels):
    stored = np.full((RATE, channels), 3000, np.int16)
    with wave_files.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(channels), file.setsampwidth(2), file.setframerate(RATE)
        file.writeframes(stored.tobytes())
    np.testing.assert_array_equal(read_pcm(tmp_path / "a.wav").samples, stored)
    clip = read_clip(tmp_path / "a.wav", picture=False)
    assert clip.frames.shape == (0, 0, 0, 3)
    np.testing.assert_allclose(clip.wave, 3000 / 32768, atol=1e-3)


# ------------------------------------------------------------------------------------ length asked
def test_a_clip_is_cut_or_padded_to_the_seconds_asked_for(plain):
    clip = read_clip(plain, seconds=2)
    assert (clip.segments, clip.seconds, clip.notes) == (2, 2, ())
    assert clip.frames.shape[0] == 8 and clip.wave.shape == (2 * RATE,)
    clip = read_clip(plain, seconds=5)
    assert numbers(clip)[-9:] == [28] + 8 * [29] and clip.wave.shape == (5 * RATE,)
    assert not clip.wave[4 * RATE :].any() and "short: 3.01 s, padded to 5 s asked" in [
        note.replace("3.00", "3.01").replace("3.02", "3.01") for note in clip.notes
    ]


@pytest.mark.parametrize(
    "length, segments, note",
    [
        (0.5, 1, "short: 0.50 s, padded to one second"),
        (1.7, 1, "the last 0.70 s are not a whole second: left out"),
        (1.8, 2, None),
    ],
)
def test_a_last_second_counts_from_three_quarters(tmp_path, length, segments, note):
    path = write(tmp_path / "short.mkv", length, audio_codec="pcm_s16le")
    clip = read_clip(path)
    assert clip.segments == segments and clip.seconds == pytest.approx(length, abs=0.002)
    assert clip.frames.shape[0] == 4 * segments and clip.wave.shape == (segments * RATE,)
    told = [text for text in clip.notes if not text.startswith("audio ends")]
    assert told == ([note] if note else [])


def test_decoding_stops_at_the_seconds_asked_for(plain, tmp_path):
    bad = spoiled(plain, tmp_path / "bad.mp4", "video", [25, 26])
    assert read_clip(bad, seconds=2).notes == ()
    assert any("damaged" in note for note in read_clip(bad).notes)


# ------------------------------------------------------------------------------------------- damage
def test_a_damaged_middle_costs_its_frames_only(plain, tmp_path):
    bad = spoiled(plain, tmp_path / "bad.mp4", "video", [12, 13, 14])
    with av.open(str(bad)) as container, pytest.raises(av.FFmpegError):
        list(container.decode(video=0))
    notes: list = []
    assert count_frames(bad, notes) == 27
    assert notes[0] == "video is damaged: 3 of 30 frames lost"
    clip = read_clip(bad)
    assert clip.notes[0] == notes[0] and clip.segments == 3 and len(clip.frames) == 12
    assert not any("variable" in note for note in clip.notes)
    assert numbers(clip)[:4] == [1, 3, 6, 8]


def test_damaged_sound_keeps_its_time(tmp_path):
    wave = np.zeros(4 * RATE)
    wave[3 * RATE :] = tone(1)
    source = write(tmp_path / "good.mp4", 4, sound=wave)
    bad = spoiled(source, tmp_path / "bad.mp4", "audio", range(10, 30))
    clip = read_clip(bad)
    assert "audio is damaged: 20 of " in clip.notes[0]
    assert loud_from(clip.wave) == pytest.approx(3, abs=0.02)


def test_sound_that_is_damaged_throughout_is_silence(plain, tmp_path):
    bad = spoiled(plain, tmp_path / "bad.mp4", "audio")
    clip = read_clip(bad)
    assert clip.notes[0] == "no audio that can be decoded in the file: silence in its place"
    for function in (read_pcm, lambda path: read_clip(path, picture=False)):
        with pytest.raises(AvbookError, match="nothing of its audio can be decoded"):
            function(bad)


def test_a_picture_that_is_damaged_throughout_is_refused(plain, tmp_path):
    bad = spoiled(plain, tmp_path / "bad.mp4", "video")
    for function in (read_clip, count_frames):
        with pytest.raises(AvbookError, match="no frame of it can be decoded, 30 are dam"):
            function(bad)


@pytest.mark.parametrize("suffix, options", [("mp4", {"movflags": "faststart"}), ("mkv", {})])
def test_a_truncated_file_gives_what_is_there(plain, tmp_path, suffix, options):
    whole = remux(plain, tmp_path / f"whole.{suffix}", **options)
    data = whole.read_bytes()
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(data[: len(data) * 2 // 3])
    notes: list = []
    count = count_frames(cut, notes)
    assert 10 < count < 30
    clip = read_clip(cut)
    assert clip.segments in (1, 2) and len(clip.frames) == 4 * clip.segments
    if suffix == "mp4":
        assert any(note.startswith("cut short: ") and "of the 30" in note for note in notes)


def test_a_truncated_file_that_announces_no_frames_is_noted_by_its_length(tmp_path):
    whole = write(tmp_path / "whole.mkv", 4)
    data = whole.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    assert read_clip(whole).notes == ()
    for seconds in (None, 4):
        notes = read_clip(tmp_path / "cut.mkv", seconds=seconds).notes
        assert any(re.match(r"cut short: \d\.\d\d s of the announced 4\.\d\d s", n) for n in notes)
    for options in ({"seconds": 1}, {"sound": False, "seconds": 2}):
        assert not any("cut short" in n for n in read_clip(whole, **options).notes)


def test_a_cut_without_encoding_has_fewer_frames_than_announced(plain, tmp_path):
    cut = remux(plain, tmp_path / "cut.mp4", shift={"video": -1.0, "audio": -1.0})
    with open_media(cut) as media:
        assert media.video.frames == 30
    clip = read_clip(cut)
    assert clip.segments == 2 and numbers(clip)[0] == 11
    assert "cut short: 20 of the 30 announced frames" in clip.notes


# ---------------------------------------------------------------------------------------- bad input
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc000000301010018dd8db00000000049454e44ae426082"
)


@pytest.mark.parametrize(
    "name, data, told",
    [
        ("a.mp4", b"", "an empty file; expected a video"),
        ("a.mp4", b"<!DOCTYPE html><p>404\n" * 9, "found text that begins with '<!DOCTYPE"),
        ("notes.txt", b"words\n" * 99, "found text that begins with 'words"),  # FFmpeg draws it
        ("a.mp4", "é".encode() * 4000, "found text"),
        (
            "a.mp4",
            bytes(5000),
            "found 00 00 00 00 00 00 00 00…, a format that FFmpeg does not know",
        ),
        ("a.srt", b"1\n00:00:00,000 --> 00:00:10,000\nwords\n\n", "no video stream in it"),
        ("a.png", PNG, "found an image .png.; expected a video"),
        ("a.mp4", b"ffconcat version 1.0\nfile plain.mp4\n", "found text that begins with 'ffcon"),
    ],
    ids=["empty", "html", "txt", "letters", "zeros", "subtitles", "picture", "playlist"],
)
def test_what_is_no_video_is_one_line_that_says_what_it_is(tmp_path, plain, name, data, told):
    (tmp_path / "plain.mp4").write_bytes(plain.read_bytes())
    (tmp_path / name).write_bytes(data)
    for function in (read_clip, count_frames, lambda path: list(iter_frames(path))):
        with pytest.raises(AvbookError, match=told) as error:
            function(tmp_path / name)
        assert str(error.value).startswith(f"{tmp_path / name}: ")
        assert len(str(error.value).splitlines()) == 1


def test_an_mp4_without_its_index(plain, tmp_path):
    data = plain.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: data.rindex(b"moov") - 4])
    with pytest.raises(AvbookError, match=r"whose index \(moov\) is missing or damaged"):
        read_clip(tmp_path / "cut.mp4")


def test_no_file_a_folder_and_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    for name, told in (("no.mp4", "no such file"), (".", "a folder"), ("pipe.mp4", "a pipe")):
        with pytest.raises(AvbookError, match=told):
            read_clip(tmp_path / name)


def test_sound_alone_is_refused_unless_asked_for(tmp_path):
    write_video(tmp_path / "song.m4a", None, wave=tone(2))
    with pytest.raises(
        AvbookError, match=r"no video stream in it \(a mov.* file with audio\); give a vi"
    ):
        read_clip(tmp_path / "song.m4a")
    clip = read_clip(tmp_path / "song.m4a", picture=False)
    assert clip.segments == 2 and not clip.silent and clip.times.shape == (0,)


def test_the_cover_of_a_song_is_no_picture(tmp_path):
    with av.open(str(tmp_path / "song.m4a"), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=RATE, layout="mono")
        cover = container.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
        container.mux(cover.encode(picture) + cover.encode(None))
        wave = tone(2).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(wave, "fltp", layout="mono")
        frame.sample_rate = RATE
        container.mux(sound.encode(frame) + sound.encode(None))
    with av.open(str(tmp_path / "song.m4a")) as container:
        assert len(container.streams.video) == 1
    with pytest.raises(AvbookError, match="no video stream in it"):
        read_clip(tmp_path / "song.m4a")


def test_frames_alone_on_demand(plain):
    clip = read_clip(plain, sound=False)
    assert clip.wave.shape == (0,) and clip.notes == () and clip.segments == 3


@pytest.mark.parametrize(
    "track, told", [(b"V_MPEG4/ISO/AVC", "its video stream"), (b"A_AAC", None)]
)
def test_a_codec_that_nothing_decodes(plain, tmp_path, track, told):
    data = remux(plain, tmp_path / "a.mkv").read_bytes()
    assert track in data
    (tmp_path / "b.mkv").write_bytes(data.replace(track, track[:2] + b"Z" * len(track[2:])))
    if told:
        with pytest.raises(
            AvbookError, match="its video stream is in a codec that PyAV has no decoder"
        ):
            read_clip(tmp_path / "b.mkv")
    else:
        clip = read_clip(tmp_path / "b.mkv")
        assert clip.notes == ("no audio that can be decoded in the file: silence in its place",)


@pytest.mark.parametrize(
    "name",
    ["a b.mp4", "#1 100%.mp4", "-x.mp4", "été 猫.mp4", "12:30.mp4", "http:.mp4", b"\xff.mp4"],
)
def test_any_name(plain, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(name)
    (tmp_path / name).write_bytes(plain.read_bytes())
    assert read_clip(name).segments == 3
    (tmp_path / name).unlink()
    write(name, 1)
    assert read_clip(name).segments == 1


@pytest.mark.parametrize(
    "options",
    [
        {"fps": 0},
        {"fps": float("nan")},
        {"fps": "4"},
        {"fps": True},
        {"seconds": 0},
        {"seconds": 2.5},
        {"times": [1, 0]},
        {"times": [-1.0]},
        {"times": [float("nan")]},
        {"times": "now"},
        {"times": 3},
        {"picture": False, "sound": False},
    ],
)
def test_options_out_of_range(plain, options):
    with pytest.raises(AvbookError, match=f"{next(iter(options))}=.*expected"):
        read_clip(plain, **options)


def test_without_pyav_one_line_says_what_to_install(plain, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    for call in (
        lambda: read_clip(plain),
        lambda: count_frames(plain),
        lambda: read_pcm(plain),
        lambda: write_video(tmp_path / "new.mp4", numbered(3)),
    ):
        with pytest.raises(AvbookError, match=r'not installed: `pip install "avbook\[clips\]"`'):
            call()


def python(code, *words):
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


def test_the_modules_load_without_pyav():
    code = "import sys, avbook.features.decode, avbook.features.encode; print('av' in sys.modules)"
    assert python(code) == "False\n"


# --------------------------------------------------------------------------------- files and memory
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc")
def test_no_descriptor_stays_open(plain, tmp_path):
    (tmp_path / "text.mp4").write_text("text")
    bad = spoiled(plain, tmp_path / "bad.mp4", "video")

    def use():
        read_clip(plain)
        read_pcm(plain)
        next(iter_frames(plain))  # and no more
        list(iter_frames(plain, [2]))
        for path in (tmp_path / "text.mp4", bad):
            with pytest.raises(AvbookError):
                read_clip(path)
        write(tmp_path / "new.mp4", 0.5)

    use()
    before = len(os.listdir("/proc/self/fd"))
    use()
    assert len(os.listdir("/proc/self/fd")) == before


MEASURE = """
import resource, sys, av, numpy
from avbook.features.decode import read_clip, count_frames, iter_frames
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = peak()
clip = read_clip(sys.argv[1], fps=1, transform=lambda frame: frame[::40, ::40])
assert len(clip.frames) == 8 and sum(1 for _ in iter_frames(sys.argv[1])) == 240
print(peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the unit of ru_maxrss")
def test_memory_does_not_grow_with_the_length(tmp_path):
    """All 240 frames would be 315 MB as they are decoded, 630 as RGB."""
    still = np.zeros((720, 1216, 3), np.uint8)
    fast = {"preset": "ultrafast"}
    write_video(tmp_path / "long.mp4", (still for _ in range(240)), 30, options=fast)
    said = python(MEASURE, tmp_path / "long.mp4")
    assert int(said) < 120, said


def test_damage_prints_nothing(plain, tmp_path):
    bad = spoiled(plain, tmp_path / "bad.mp4", "video", [12, 13])
    code = "import sys; from avbook.features.decode import read_clip; read_clip(sys.argv[1])"
    assert python(code, bad) == ""


# ----------------------------------------------------------------------------------------- writing
def test_the_same_video_has_the_same_bytes(plain, tmp_path):
    assert write(tmp_path / "again.mp4", 3).read_bytes() == plain.read_bytes()


def test_a_video_is_written_whole_or_not_at_all(plain, tmp_path):
    def broken():
        yield from numbered(5)
        raise KeyboardInterrupt

    target = tmp_path / "folder" / "a.mp4"
    with pytest.raises(KeyboardInterrupt):
        write_video(target, broken(), wave=tone(1))
    assert list((tmp_path / "folder").iterdir()) == []
    write(target, 1)
    with pytest.raises(AvbookError, match="frame 5: uint8 of shape .9, 9, 3.; expected"):
        write_video(target, [*numbered(5), np.zeros((9, 9, 3), np.uint8)])
    assert read_clip(target).segments == 1 and len(list((tmp_path / "folder").iterdir())) == 1


def test_one_thread_encodes_for_the_bytes_depend_on_their_number(tmp_path):
    write_video(tmp_path / "large.mp4", numbered(3, 256, 256))
    assert b" threads=1 " in (tmp_path / "large.mp4").read_bytes()  # so says x264


def test_picture_and_sound_lie_side_by_side_in_the_file(tmp_path):
    path = write(tmp_path / "long.mp4", 40, fps=1)
    with av.open(str(path)) as container:
        packets = sorted((p.pos, p.stream.type) for p in container.demux() if p.size)
    kinds = [kind for _, kind in packets]
    halves = kinds[: len(kinds) // 2], kinds[len(kinds) // 2 :]
    assert all(half.count("video") > 12 for half in halves)


FRAMES = np.zeros((3, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    "name, frames, options, told",
    [
        ("a.mp4", [], {}, "no frames to write"),
        ("a.mp4", None, {}, "nothing to write"),
        ("a.mp4", FRAMES[..., 0], {}, "frame 0: uint8 of shape"),
        ("a.mp4", FRAMES / 255, {}, "frame 0: float64"),
        ("a.mp4", FRAMES, {"fps": 0}, "fps=0"),
        ("a.mp4", FRAMES, {"rate": 0, "wave": tone(1)}, "rate=0"),
        ("a.mp4", FRAMES, {"rate": 12345, "wave": tone(1)}, "cannot be encoded"),
        ("a.mp4", FRAMES, {"wave": np.zeros((50, 3))}, "a wave of float64 of shape .50, 3."),
        ("a.mp4", FRAMES, {"wave": np.full(50, np.nan)}, "a wave with NaN"),
        ("a.mp4", FRAMES, {"wave": np.zeros(0)}, "a wave of float64 of shape"),
        ("a.mp4", FRAMES, {"video_codec": "libx265"}, "frames of 8x8: libx265 crashes"),
        ("a.mp4", FRAMES, {"video_codec": "none"}, "cannot be encoded with these options"),
        ("a.gif", FRAMES, {}, "suffix='.gif'"),
        ("plain", FRAMES, {}, "suffix=''"),
    ],
)
def test_what_cannot_be_written_is_one_line(tmp_path, name, frames, options, told):
    with pytest.raises(AvbookError, match=told):
        write_video(tmp_path / name, frames, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    from contextlib import contextmanager

    from avbook.features import encode

    @contextmanager
    def full(path):
        yield "/dev/full"

    monkeypatch.setattr(encode, "written_whole", full)
    with pytest.raises(AvbookError, match="No space left on device; free some space"):
        write_video(tmp_path / "a.mp4", numbered(20), wave=tone(1))
