"""The world's audio: what switches a sound on, what it shares with the frames, and that nothing
else has an effect."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from processes import ROOT

from avbook.data.events import AVE_CATEGORIES, LLP_CATEGORIES
from avbook.errors import AvbookError
from avbook.features.logmel import RATE, log_mel
from avbook.world import audio, synthesis, voices
from avbook.world.audio import (
    LEVEL,
    MARGIN,
    SAME,
    VOICES,
    ambience,
    gate,
    individual,
    noise,
    period,
    render_sound,
    render_source,
    steer,
)
from avbook.world.clips import Clip, Source, sample_scripts

NAMES = sorted(set(VOICES) - set(SAME))
rms = lambda sound: float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
decibels = lambda sound: 20 * np.log10(rms(sound))


def span(start, stop, seconds=4):
    return (np.arange(seconds) >= start) & (np.arange(seconds) < stop)


FOUR = span(0, 4)


def source(name="Truck", heard=FOUR, **latents):
    return Source(name, heard, span(0, 0, len(heard)), **{"seed": 3, **latents})


def clip(*sources, **recording):
    return Clip("test-clip-0", sources, **{"seconds": 4, "snr_db": 300.0, "seed": 1, **recording})


def correlation(a, b):
    return float(np.corrcoef(a, b)[0, 1])


# voices


def test_every_class_has_a_voice_and_the_same_thing_the_same_voice():
    assert set(VOICES) == {*AVE_CATEGORIES, *LLP_CATEGORIES}
    assert len(set(VOICES.values())) == len(NAMES)
    for llp, ave in SAME.items():
        assert llp in LLP_CATEGORIES and ave in AVE_CATEGORIES
        assert np.array_equal(render_source(source(llp), 1), render_source(source(ave), 1))


def test_the_audio_module_offers_the_names_of_voices():
    offered = {*audio.__all__} - {"gate", "ambience", "render_sound"}
    assert offered == {*voices.__all__} | ({*synthesis.__all__} & offered)
    assert all(getattr(audio, name) is not None for name in audio.__all__)


def test_every_voice_sounds():
    for name in NAMES:
        sound = render_source(source(name, tempo=2.0), 4)
        assert (
            sound.shape == ((4 + 2 * MARGIN) * RATE,)
            and sound.dtype == np.float32
            and np.isfinite(sound).all()
        ), name
        assert abs(decibels(sound) - 20 * np.log10(LEVEL)) < 8, (
            name
        )  # an ordinary source: size, motion ½
        assert (np.abs(sound).reshape(6, -1).max(1) > 0.005).sum() >= 4, name


def test_individuals_of_a_class_differ_and_a_seed_is_one_individual():
    for name in NAMES:
        one, same, other = (render_source(source(name, seed=s), 1) for s in (5, 5, 6))
        assert np.array_equal(one, same) and abs(correlation(one, other)) < 0.5, name


def test_kinds_are_further_apart_than_individuals():
    names, rng = (
        (
            "Flute",
            "Truck",
            "Bark",
            "Frying (food)",
            "Male speech, man speaking",
        ),
        np.random.default_rng(0),
    )
    heard = lambda name: log_mel(
        render_source(source(name, seed=int(rng.integers(1e6)), tempo=2.0), 4)[RATE:-RATE]
    ).mean((0, 1))
    spectra = np.array([[heard(name) for _ in range(4)] for name in names])
    within = spectra.std(1).mean()
    assert spectra.mean(1).std(0).mean() > within


# what audio and frames share


def test_pitch_falls_and_loudness_grows_with_size():
    for name in NAMES:
        sizes = [individual(source(name, size=s)) for s in (0.0, 0.3, 0.6, 1.0)]
        assert np.all(np.diff([one.pitch for one in sizes]) < 0) and np.all(
            np.diff([one.gain for one in sizes]) > 0
        ), name
        sounds = [render_source(source(name, size=s), 1) for s in (0.0, 1.0)]
        assert decibels(sounds[1]) - decibels(sounds[0]) == pytest.approx(10, abs=0.1), name
        assert individual(source(name, size=0.5)).taste.tolist() == sizes[0].taste.tolist(), name


def test_the_pitch_one_hears_is_the_individuals():
    for size in (0.2, 0.8):
        flute = source("Violin, fiddle", size=size, tempo=0.5)
        curve = steer(flute, 4).hertz
        sound = render_source(flute, 4)
        start = int(np.flatnonzero(np.diff(np.round(curve)) == 0)[800] * 20)
        spectrum = np.abs(np.fft.rfft(sound[start : start + 4000] * np.hanning(4000), 32000))
        hertz = np.arange(len(spectrum)) / 2
        harmonic = [
            spectrum[np.abs(hertz - curve[start // 20] * k) < 15].max() for k in range(1, 5)
        ]
        between = [
            spectrum[np.abs(hertz - curve[start // 20] * (k + 0.5)) < 15].max() for k in range(1, 5)
        ]
        assert np.mean(harmonic) > 4 * np.mean(between)


@pytest.mark.parametrize("name", ["Bark", "Truck", "Violin, fiddle"])
def test_loudness_grows_with_motion(name):
    levels = [decibels(render_source(source(name, motion=m), 1)) for m in (0.0, 0.5, 1.0)]
    assert np.diff(levels) == pytest.approx([2.5, 2.5], abs=0.1)


def test_loudness_and_pitch_in_the_mixed_clip():
    small, large = (render_sound(clip(source("Truck", size=s, motion=s))) for s in (0.1, 0.9))
    assert decibels(large) > decibels(small) + 8
    centroid = lambda wave: (
        (np.abs(np.fft.rfft(wave)) ** 2)
        @ np.fft.rfftfreq(len(wave), 1 / RATE)
        / (np.abs(np.fft.rfft(wave)) ** 2).sum()
    )
    assert centroid(large) < centroid(small)


@settings(max_examples=12, deadline=None)
@given(tempo=st.floats(0.6, 3), phase=st.floats(0, 1), seed=st.integers(0, 10**6))
def test_pulses_keep_time_with_the_movement(tempo, phase, seed):
    dog = source("Bark", tempo=tempo, phase=phase, seed=seed)
    level = steer(dog, 10).level[800:-800]
    beat = np.arange(len(level)) / 800 * tempo + phase
    early = level[beat % 1 < 0.4].mean()
    late = level[(beat % 1 > 0.6) & (beat % 1 < 0.98)].mean()
    assert early > 1.5 * late


def test_phase_shifts_the_pulses():
    base, later = (steer(source("Clock", tempo=1.0, phase=p, seed=9), 4).level for p in (0.0, 0.25))
    peaks = lambda level: np.flatnonzero(
        (level[1:-1] > level[:-2]) & (level[1:-1] >= level[2:]) & (level[1:-1] > 0.2 * level.max())
    )
    assert peaks(base)[:-1] % 400 == pytest.approx(
        peaks(base)[0] % 400, abs=8
    )  # two ticks per movement, 800 values a second
    assert (peaks(base)[0] - peaks(later)[0]) % 400 == pytest.approx(200, abs=8)


# what switches a sound on


def test_unheard_is_only_ambience():
    for name in NAMES:
        quiet = replace(clip(source(name, heard=span(0, 0))), snr_db=10.0)
        assert np.array_equal(render_sound(quiet), ambience(quiet)), name
        assert np.array_equal(render_sound(quiet), render_sound(replace(quiet, sources=()))), name


def test_seen_never_matters():
    dog = source("Bark", heard=span(1, 3))
    base = clip(dog, snr_db=8.0)
    for seen in (span(0, 4), span(1, 3), span(2, 4)):
        assert np.array_equal(
            render_sound(replace(base, sources=(replace(dog, seen=seen),))), render_sound(base)
        )
    moved = replace(base, sources=(replace(dog, x=0.9, y=0.1),), shake=1.0)
    assert np.array_equal(render_sound(moved), render_sound(base))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.booleans(), min_size=4, max_size=4), st.integers(0, 10**6))
def test_a_source_sounds_in_its_seconds_and_no_others(mask, seed):
    wave = render_sound(clip(source("Frying (food)", heard=np.array(mask), seed=seed)))
    inner = wave.reshape(4, RATE)[:, 400:-400]  # without the fades
    for on, second in zip(mask, inner):
        assert (rms(second) > 0.005) == on
        assert on or rms(second) < 1e-6


def test_hearing_one_second_more_changes_nothing_else():
    short, longer = (render_sound(clip(source("Goat", heard=span(1, stop)))) for stop in (2, 3))
    assert np.array_equal(short[: 2 * RATE - 400], longer[: 2 * RATE - 400])
    assert np.array_equal(short[3 * RATE + 400 :], longer[3 * RATE + 400 :])


def test_sources_add_up():
    dog, truck = source("Bark", size=0.2), source("Truck", size=0.2, seed=4)
    both = render_sound(clip(dog, truck))
    np.testing.assert_allclose(both, render_sound(clip(dog)) + render_sound(clip(truck)), atol=1e-6)
    np.testing.assert_allclose(both, render_sound(clip(truck, dog)), atol=1e-6)


def test_the_gate_fades_without_a_click():
    opened = gate(span(1, 2))
    assert len(opened) == 6 * 800 and opened.min() >= -1e-12 and opened.max() == pytest.approx(1)
    assert np.abs(np.diff(opened)).max() < 0.2 and opened[2 * 800] == pytest.approx(0.5, abs=0.1)
    assert (gate(span(0, 4)) > 0.999).all()  # what is heard at the edges goes on beyond them


@pytest.mark.parametrize("lead", [-0.5, -0.1, 0.0, 0.001, 0.25, 0.9])
def test_a_lead_shifts_the_sound_by_its_samples(lead):
    base = clip(source("Bark", heard=span(1, 3)), source("Truck", seed=8))
    n = round(lead * RATE)
    still, moved = render_sound(base), render_sound(replace(base, lead=lead))
    keep = slice(max(0, -n), len(still) - max(0, n))
    assert np.array_equal(moved[keep], still[keep.start + n : keep.stop + n])


def test_a_lead_does_not_move_the_ambience():
    quiet = clip(snr_db=5.0)
    assert np.array_equal(render_sound(quiet), render_sound(replace(quiet, lead=0.3)))


# the ambience


def test_ambience_follows_the_signal_to_noise_ratio():
    for snr in (0.0, 10.0, 20.0):
        assert decibels(ambience(clip(snr_db=snr, seconds=10))) == pytest.approx(
            20 * np.log10(LEVEL) - snr, abs=1.5
        )
    a, b = (ambience(clip(snr_db=s)) for s in (0.0, 20.0))
    np.testing.assert_allclose(a, 10 * b, rtol=1e-4)


def test_places_differ_in_colour_by_their_seed():
    spectra = np.array([log_mel(ambience(clip(seed=s, snr_db=0.0))).mean((0, 1)) for s in range(6)])
    assert spectra.std(0).mean() > 0.1
    assert np.array_equal(ambience(clip(seed=3, snr_db=0.0)), ambience(clip(seed=3, snr_db=0.0)))


def test_noise_has_the_shape_and_the_crackle_asked_for():
    rng = np.random.default_rng(0)
    plain, crackling = (
        noise(rng, 4 * RATE, lambda hertz: (hertz > 3000) * 1.0, power) for power in (1, 3)
    )
    for sound in (plain, crackling):
        power = np.abs(np.fft.rfft(sound)) ** 2
        assert (
            rms(sound) == pytest.approx(1, abs=1e-3)
            and power[: len(power) * 3 // 8 - 100].sum() < 1e-6 * power.sum()
        )
    assert (crackling**4).mean() > 3 * (plain**4).mean()


def test_a_period_has_the_partials_asked_for():
    bell, guitar = source("Church bell"), source("Acoustic guitar")
    spectrum = np.abs(np.fft.rfft(period(bell, (), 300.0)))
    assert set(np.flatnonzero(spectrum > 1e-3 * spectrum.max())) == {
        5,
        10,
        12,
        15,
        20,
        27,
        30,
        41,
        54,
    }  # tenths of the pitch
    spectrum = np.abs(np.fft.rfft(period(guitar, (), 1000.0)))
    assert set(np.flatnonzero(spectrum > 1e-3 * spectrum.max())) == set(
        range(1, 8)
    )  # those below 7900 Hz


# sizes, types, bad input


def test_what_comes_back():
    for rate in (8000, 16000, 22050, 44100):
        wave = render_sound(clip(source("Train horn", size=1.0), snr_db=0.0), rate)
        assert wave.shape == (4 * rate,) and wave.dtype == np.float32 and np.abs(wave).max() <= 1
    assert render_sound(clip(source("Bark", heard=span(0, 7, 7)), seconds=7)).shape == (7 * RATE,)


def test_loud_peaks_are_cut_off_not_wrapped():
    crowd = [source("Bark", size=1.0, motion=1.0, seed=s) for s in range(6)]
    assert np.abs(render_sound(clip(*crowd))).max() == 1


BAD_CLIPS = {
    "unknown class": (lambda: clip(source("Didgeridoo")), "Didgeridoo"),
    "near miss": (lambda: clip(source("Violin fiddle")), "perhaps"),
    "nan ratio": (lambda: clip(snr_db=float("nan")), "snr_db"),
    "infinite ratio": (lambda: clip(snr_db=float("-inf")), "snr_db"),
    "negative source seed": (lambda: clip(source(seed=-1)), "seed"),
    "negative clip seed": (lambda: clip(seed=-1), "seed"),
}


@pytest.mark.parametrize("case", BAD_CLIPS)
def test_bad_clips_are_refused_in_one_line(case):
    make, word = BAD_CLIPS[case]
    with pytest.raises(AvbookError, match=word) as caught:
        render_sound(make())
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("rate", [0, -16000, 22050.5, "16000", None, True])
def test_bad_rates_are_refused(rate):
    with pytest.raises(AvbookError, match="rate"):
        render_sound(clip(source()), rate)


class Unchecked:
    """A script that did not pass through `Clip`'s own checks."""

    def __init__(self, **fields):
        vars(self).update(vars(clip(source())), **fields)


def test_bad_scripts_that_were_never_checked_are_refused():
    with pytest.raises(AvbookError, match="lead"):
        render_sound(Unchecked(lead=1.5))
    with pytest.raises(AvbookError, match="seconds of heard"):
        render_sound(Unchecked(sources=(source(heard=span(0, 3, 3)),)))


# the same bytes

DIGEST = """
import hashlib
from avbook.world.clips import sample_scripts
from avbook.world.audio import render_sound
for task in ("ave", "llp"):
    clips = sample_scripts(task, 40, seed=2)[::13]
    print(*[hashlib.sha256(render_sound(clip).tobytes()).hexdigest() for clip in clips])
"""


OLD_MACHINE = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "OPENBLAS_CORETYPE": "Nehalem",
}


def test_the_same_bytes_in_another_process_with_other_instructions():
    env = {
        **os.environ,
        **OLD_MACHINE,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "3",
        "PYTHONHASHSEED": "7",
    }
    said = subprocess.run(
        [sys.executable, "-c", DIGEST], env=env, capture_output=True, text=True, check=True
    ).stdout.split()
    here = [
        hashlib.sha256(render_sound(c).tobytes()).hexdigest()
        for task in ("ave", "llp")
        for c in sample_scripts(task, 40, seed=2)[::13]
    ]
    assert said == here


def test_clips_of_the_sampler_sound_where_they_should():
    for one in sample_scripts("ave", 60, seed=1)[::6]:
        wave, bare = render_sound(one), ambience(one)
        anyone = np.any([s.heard for s in one.sources], axis=0)
        near = (
            np.convolve(anyone, [1, 1, 1], "same") > 0
        )  # a lead lets a sound reach into the neighbouring second
        apart = np.abs(wave - bare).reshape(one.seconds, -1).max(1)
        assert (apart[~near] == 0).all() and (apart[anyone] > 1e-3).mean() > 0.7
