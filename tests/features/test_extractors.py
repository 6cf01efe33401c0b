"""The log-mel front end against the reference and against bad input; the frozen extractors against
batch, threads and stillness."""

import functools
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from processes import ROOT

from avbook.errors import AvbookError
from avbook.features.extractors import (
    AudioExtractor,
    Extractor,
    FrameExtractor,
    MotionExtractor,
    NetExtractor,
    VisualExtractor,
    both_scales,
    first_filters,
    patterns,
    per_second,
    quantities,
)
from avbook.features.frame_filters import sample_frames
from avbook.features.logmel import (
    PATCH,
    RATE,
    hann_window,
    log_mel,
    log_mel_stream,
    mel_matrix,
    resample,
)
from avbook.features.random_layers import RandomConvolution, RandomLayer, calibrate
from avbook.features.resizing import resize_area

PICTURES = (VisualExtractor, FrameExtractor, MotionExtractor)
small_ear = functools.cache(lambda: AudioExtractor(dim=4))  # a second to make
small_eye = functools.cache(lambda kind: kind(4))


@pytest.fixture(scope="module")
def golden(golden_dir):
    return np.load(golden_dir / "vggish_logmel.npz")


@pytest.fixture(scope="module")
def wave():
    rng = np.random.default_rng(3)
    t = np.arange(3 * RATE) / RATE
    return 0.2 * np.sin(2 * np.pi * 440 * t) * (t % 0.5 < 0.2) + 0.05 * rng.standard_normal(len(t))


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(4)
    scene = rng.integers(0, 256, (8, 8, 3)).repeat(9, 0).repeat(9, 1)
    return np.stack([np.roll(scene, 2 * k, 1)[:56, :56] for k in range(12)]).astype(
        np.uint8
    )  # three seconds of four


@pytest.fixture(scope="module")
def ear():
    return AudioExtractor()


# the log-mel front end


def test_tables_equal_the_reference(golden):
    np.testing.assert_allclose(mel_matrix(), golden["mel_matrix_257x64"], atol=1e-12)
    np.testing.assert_allclose(hann_window(), golden["hann400"], atol=1e-14)


@pytest.mark.parametrize("function, key", [(log_mel, "ave"), (log_mel_stream, "stream")])
def test_16_khz_equals_the_reference(golden, function, key):
    found = function(golden["a16k_mono_wave_int16"], int(golden["a16k_mono_sr"]))
    assert found.dtype == np.float32 and found.shape == (10, 96, 64)
    np.testing.assert_allclose(found, golden[f"a16k_mono_{key}_logmel"], atol=2e-7)


@pytest.mark.parametrize("function, key", [(log_mel, "ave"), (log_mel_stream, "stream")])
def test_44_khz_stereo_equals_the_reference(golden, function, key):
    apart = np.abs(
        function(golden["b44k_stereo_wave_int16"], int(golden["b44k_stereo_sr"]))
        - golden[f"b44k_stereo_{key}_logmel"]
    )
    assert (
        apart.mean() < 0.0005 and apart.max() < 0.01
    )  # the stated tolerance is 0.005 and 0.42: SciPy's filter, not resampy's


def test_resampling_equals_resampy(golden):
    mono = golden["b44k_stereo_wave_int16"].mean(1) / 32768
    np.testing.assert_allclose(
        resample(mono[3 * 44100 : 4 * 44100], 44100),
        golden["b44k_stereo_resampled16k_second3"],
        atol=5e-5,
    )
    np.testing.assert_allclose(
        resample(mono, 44100), golden["b44k_stereo_resampled16k_whole"], atol=5e-5
    )


def test_sine_and_silence_equal_the_reference(golden):
    sine = np.sin(2 * np.pi * 1000 * np.arange(3 * RATE) / RATE)
    np.testing.assert_allclose(log_mel(sine), golden["c_1kHz_3s_logmel"], atol=1e-6)
    np.testing.assert_array_equal(log_mel(np.zeros(RATE)), golden["d_silence_1s_logmel"])


def test_silence_is_the_logarithm_of_the_offset():
    np.testing.assert_allclose(log_mel(np.zeros(2 * RATE)), np.log(0.01), atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_a_tone_lands_in_its_band_at_any_rate(rate):
    patches = log_mel(0.3 * np.sin(2 * np.pi * 1000 * np.arange(2 * rate) / rate), rate)
    assert patches.shape == (2, 96, 64)
    assert (patches[:, 5:-5].argmax(2) == 19).all()


@pytest.mark.parametrize("rate", [44100, 48000])
def test_what_lies_above_8_khz_is_not_folded_down(rate):
    patches = log_mel(0.5 * np.sin(2 * np.pi * 10_000 * np.arange(rate) / rate), rate)
    assert patches[:, 10:-10].max() < -4


def test_integers_are_scaled_and_channels_averaged(wave):
    whole = np.round(wave * 32767).astype(np.int16)
    np.testing.assert_array_equal(log_mel(whole), log_mel(whole / 32768))
    np.testing.assert_array_equal(log_mel(whole[:, None]), log_mel(whole))
    np.testing.assert_array_equal(
        log_mel(np.stack([whole, 0 * whole], 1) / 32768), log_mel(whole / 65536)
    )
    np.testing.assert_array_equal(log_mel(whole), log_mel((whole / 32768).astype(np.float32)))


@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_second_depends_on_nothing_but_itself(rate):
    wave = np.random.default_rng(1).uniform(-0.5, 0.5, 3 * rate)
    changed = wave.copy()
    changed[rate : 2 * rate] = 0
    assert (log_mel(wave, rate) == log_mel(changed, rate)).all((1, 2)).tolist() == [
        True,
        False,
        True,
    ]


def test_a_late_click_is_in_its_own_second():
    click = np.zeros(10 * RATE)
    click[int(8.75 * RATE)] = 1
    assert np.flatnonzero((log_mel(click) > -4).any((1, 2))).tolist() == [8]
    assert np.flatnonzero((log_mel_stream(click) > -4).any((1, 2))).tolist() == [9]


def test_an_incomplete_second_is_dropped(wave):
    np.testing.assert_array_equal(log_mel(wave[: int(2.7 * RATE)]), log_mel(wave)[:2])


BAD_WAVES = {
    "NaN": (np.full(RATE, np.nan), RATE),
    "infinite": (np.full(RATE, np.inf), RATE),
    "empty": (np.zeros(0), RATE),
    "short": (np.zeros(RATE - 1), RATE),
    "unscaled": (np.full(RATE, 3000.0), RATE),
    "channels first": (np.zeros((2, RATE)), RATE),
    "three axes": (np.zeros((1, RATE, 1)), RATE),
    "uint8": (np.zeros(RATE, np.uint8), RATE),
    "int32": (np.zeros(RATE, np.int32), RATE),
    "text": (np.array(["a"] * RATE), RATE),
    "rate 0": (np.zeros(RATE), 0),
    "negative rate": (np.zeros(RATE), -16000),
    "fractional rate": (np.zeros(RATE), 44.1),
    "rate as text": (np.zeros(RATE), "16000"),
    "rate NaN": (np.zeros(RATE), np.nan),
}


@pytest.mark.parametrize("case", BAD_WAVES)
@pytest.mark.parametrize(
    "function",
    [log_mel, log_mel_stream, lambda *given: small_ear()(*given)],
    ids=["log_mel", "log_mel_stream", "AudioExtractor"],
)
def test_bad_waves_are_refused_in_one_line(case, function):
    if case == "short" and function is log_mel_stream:
        pytest.skip("the stream takes anything from 0.975 s on")
    with pytest.raises(AvbookError) as caught:
        function(*BAD_WAVES[case])
    assert len(str(caught.value).splitlines()) == 1 and "expected" in str(caught.value)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.001, 1))
def test_louder_is_never_smaller(seed, factor):
    wave = np.random.default_rng(seed).uniform(-1, 1, RATE)
    assert (log_mel(wave) >= log_mel(wave * factor) - 1e-5).all()
    np.testing.assert_allclose(log_mel(-wave), log_mel(wave), atol=1e-5)


# the ear


def test_features_are_sparse_and_never_negative(ear, wave):
    found = ear(wave)
    assert found.shape == (3, 128) and found.dtype == np.float32 and found.min() == 0
    assert 0.3 < (found == 0).mean() < 0.95 and found.any(1).all()


def test_the_ear_takes_waves_patches_and_batches_alike(ear, wave):
    patches = log_mel(wave)
    whole = ear(patches)
    assert ear(wave).tobytes() == whole.tobytes()
    assert np.stack([ear(patch) for patch in patches]).tobytes() == whole.tobytes()
    many = np.tile(patches, (15, 1, 1, 1))  # 45 patches: more than one pass
    assert ear(many).shape == (15, 3, 128)
    assert all(some.tobytes() == whole.tobytes() for some in ear(many))


def test_the_ear_of_no_patches_is_empty(ear):
    assert ear(np.zeros((0, PATCH, 64), np.float32)).shape == (0, 128)


def test_seconds_and_seeds_differ(ear, wave):
    found = ear(wave)
    assert not np.array_equal(found[0], found[1])
    assert not np.array_equal(found, AudioExtractor(seed=1)(wave))
    assert AudioExtractor(dim=7)(wave).shape == (3, 7)


def test_nan_patches_are_refused(ear):
    with pytest.raises(AvbookError, match="NaN"):
        ear(np.full((2, 96, 64), np.nan))


# the eye


@pytest.mark.parametrize(
    "kind, shape",
    [(VisualExtractor, (3, 7, 7, 16)), (FrameExtractor, (24, 16)), (MotionExtractor, (3, 16))],
)
def test_shapes_of_picture_features(kind, shape, frames):
    found = kind(dim=16)(frames, seconds=3)
    assert found.shape == shape and found.dtype == np.float32 and found.min() >= 0 and found.any()
    assert isinstance(kind(dim=16), Extractor)


@pytest.mark.parametrize("kind", PICTURES)
def test_values_are_of_ordinary_size(kind, frames):
    found = kind(64)(frames, 3)
    assert 0.05 < found.mean() < 5 and found.max() < 50  # a network starts well on such numbers


@pytest.mark.parametrize("kind", PICTURES)
def test_clips_do_not_touch_each_other(kind, frames):
    extract = kind(dim=16)
    alone = [extract(clip, seconds=3) for clip in (frames, frames[::-1], frames[:, ::-1])]
    together = extract(np.stack([frames, frames[::-1], frames[:, ::-1]]), seconds=3)
    assert together.tobytes() == np.stack(alone).tobytes()
    assert (
        extract(
            together_shape := np.stack([frames] * 4).reshape(2, 2, *frames.shape), seconds=3
        ).shape[:2]
        == together_shape.shape[:2]
    )


@pytest.mark.parametrize("kind", PICTURES)
def test_seed_and_nothing_else_decides(kind, frames):
    assert kind(16, seed=5)(frames, 3).tobytes() == kind(16, seed=5)(frames.copy(), 3).tobytes()
    assert kind(16, seed=5)(frames, 3).tobytes() != kind(16, seed=6)(frames, 3).tobytes()


@pytest.mark.parametrize("dim", [1, 2, 64, 130])
def test_any_dim(dim, frames):
    assert [kind(dim)(frames, 3).shape[-1] for kind in PICTURES] == [dim] * 3


def test_a_seconds_map_is_the_mean_of_its_frames_maps(frames):
    eye = VisualExtractor(8)
    each = eye(frames, seconds=12)  # every frame a second of its own
    np.testing.assert_allclose(
        eye(frames, seconds=3), each.reshape(3, 4, 7, 7, 8).mean(1), rtol=1e-6
    )


def test_places_are_kept(frames):
    eye = VisualExtractor(32)
    grey = np.full((4, 56, 56, 3), 128, np.uint8)
    spotted = grey.copy()
    spotted[:, 4:12, 44:52] = (255, 0, 0)  # upper right
    change = np.abs(eye(spotted, 1) - eye(grey, 1))[0].sum(-1)
    assert np.unravel_index(change.argmax(), (7, 7)) in {(0, 5), (0, 6), (1, 5), (1, 6)}
    assert change[4:].max() == 0 and change[:, :3].max() == 0


def test_still_pictures_have_no_motion(frames):
    extract = MotionExtractor(16)
    assert (extract(np.repeat(frames[:1], 12, 0), 3)[:, :8] == 0).all()
    assert extract(frames, 3)[:, :8].sum() > 0
    slow = np.stack([np.roll(frames[0], k // 4, 1) for k in range(12)])
    fast = np.stack([np.roll(frames[0], 3 * k, 1) for k in range(12)])
    assert extract(fast, 3)[1:, :8].mean() > extract(slow, 3)[1:, :8].mean() > 0


def test_motion_sees_more_than_a_frame(frames):
    order = [
        0,
        2,
        1,
        3,
        4,
        6,
        5,
        7,
        8,
        10,
        9,
        11,
    ]  # the same frames in each second, in another order
    visual, motion = VisualExtractor(16), MotionExtractor(16)
    np.testing.assert_array_equal(visual(frames, 3), visual(frames[order], 3))
    assert not np.array_equal(motion(frames, 3), motion(frames[order], 3))


def test_frames_are_repeated_or_thinned_to_eight_a_second(frames):
    extract = FrameExtractor(8)
    found = extract(frames, 3)
    np.testing.assert_array_equal(found[0::2], found[1::2])  # four frames a second, eight vectors
    sixteen = np.zeros((48, *frames.shape[1:]), np.uint8)
    sixteen[1::2] = frames.repeat(2, 0)
    np.testing.assert_array_equal(
        extract(sixteen, 3), found
    )  # of sixteen frames a second, the one nearest to each moment


def test_other_sizes_are_brought_to_56(frames):
    eye = VisualExtractor(8)
    np.testing.assert_array_equal(eye(frames.repeat(3, 1).repeat(3, 2), 3), eye(frames, 3))
    other = frames[:, :40, :50]  # as a folder of features makes them smaller or larger
    by_area = np.stack([resize_area(frame, 56, 56) for frame in other])
    np.testing.assert_array_equal(eye(other, 3), eye(by_area, 3))


BAD_FRAMES = {
    "floats": lambda f: f / 255,
    "colours first": lambda f: f.transpose(0, 3, 1, 2),
    "no colours": lambda f: f[..., 0],
    "one frame short": lambda f: f[:11],
    "no frames": lambda f: f[:0],
    "no clips": lambda f: f[None][:0],
    "no pixels": lambda f: f[:, :0],
    "int64": lambda f: f.astype(int),
}


@pytest.mark.parametrize("case", BAD_FRAMES)
@pytest.mark.parametrize("kind", PICTURES)
def test_bad_frames_are_refused_in_one_line(case, kind, frames):
    with pytest.raises(AvbookError) as caught:
        small_eye(kind)(BAD_FRAMES[case](frames), seconds=3)
    assert len(str(caught.value).splitlines()) == 1 and "expected" in str(caught.value)


@pytest.mark.parametrize("dim", [0, -1, 2.5, "64", True, None])
@pytest.mark.parametrize("kind", [AudioExtractor, *PICTURES])
def test_bad_dims_are_refused(kind, dim):
    with pytest.raises(AvbookError, match="whole number"):
        kind(dim)


# their parts


def test_a_threshold_is_a_quantile_of_the_sample_and_a_gain_a_power_of_two():
    drive = torch.tensor([[0.0, 10], [1, 20], [2, 30], [3, 40]])
    threshold, gain = calibrate(drive, zeros=0.5)
    assert threshold.tolist() == [2, 30] and gain.tolist() == [1, 0.0625]


def test_silence_has_no_quantities_and_a_steady_tone_does_not_change():
    tone = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    found = quantities(torch.from_numpy(log_mel(tone)), patterns())[0]
    level, partial, rises, falls, _ = found.split([64, 64, 64, 64, 16])
    assert 1 <= (level > level.max() / 2).sum() < 8 and 1 <= (partial > partial.max() / 2).sum() < 8
    assert rises.sum() + falls.sum() < level.max()
    assert not quantities(torch.from_numpy(log_mel(0 * tone)), patterns()).any()


def test_the_first_layer_is_zero_on_a_grey_surface_away_from_its_border():
    maps = both_scales(torch.full((1, 56, 56, 3), 128, dtype=torch.uint8), first_filters())
    assert maps.shape == (1, 32, 14, 14) and not maps[:, :10, 2:-2, 2:-2].any()
    noise = torch.from_numpy(sample_frames(np.random.default_rng(1), 4))
    assert both_scales(noise, first_filters()).min() == 0


@pytest.mark.parametrize("kind", [RandomLayer, RandomConvolution])
def test_a_layer_without_a_centre_gives_zero_for_zero(kind):
    shape = (40, 32, 14, 14) if kind is RandomConvolution else (40, 30)
    sample = torch.randint(-9, 200, shape, generator=torch.Generator().manual_seed(0)).float()
    layer = kind(np.random.default_rng(0), sample, 16, zeros=0.3, centred=False)
    assert not layer(torch.zeros(2, *shape[1:])).any() and layer(sample).any()
    centred = kind(np.random.default_rng(0), sample, 16, zeros=0.3)
    assert centred(torch.zeros(2, *shape[1:])).any()
    share = (centred(sample) == 0).float().mean()
    assert 0.25 < share < 0.4  # what `zeros` aims at


# the same bytes everywhere


def test_all_arithmetic_is_on_whole_numbers(ear, frames, wave):
    counted = quantities(torch.from_numpy(log_mel(wave)), ear._bank)
    drive = ear._mix.drive(counted)
    eye = VisualExtractor(32)
    maps = eye._first(torch.from_numpy(frames))
    for values in (counted, drive, maps, eye._layer.drive(maps), eye._layer(maps)):
        assert torch.equal(values, values.round()) and values.abs().max() < 2**24
    for gain in (ear._mix.gain, eye._layer.gain, ear._mix.spread, eye._first._unit):
        assert torch.equal(torch.log2(gain), torch.log2(gain).round())


DIGEST = """
import sys, hashlib, numpy as np, torch
torch.set_num_threads(int(sys.argv[1]))
from avbook.features.extractors import *
rng = np.random.default_rng(0)
frames = rng.integers(0, 256, (2, 12, 56, 56, 3)).astype(np.uint8)
patches = rng.normal(-2, 2, (5, 96, 64)).astype(np.float32)
kinds = (VisualExtractor, FrameExtractor, MotionExtractor)
found = [AudioExtractor()(patches)] + [kind(32)(frames, 3) for kind in kinds]
print(*[hashlib.sha256(x.tobytes()).hexdigest() for x in found])
"""


OLD_MACHINE = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "OPENBLAS_CORETYPE": "Nehalem",
}


def test_threads_and_instruction_sets_do_not_matter():
    said = []
    for threads, machine in (("1", {}), ("3", OLD_MACHINE)):
        env = {**os.environ, **machine, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": threads}
        said.append(
            subprocess.run(
                [sys.executable, "-c", DIGEST, threads],
                env=env,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
    assert said[0] == said[1] and len(said[0].split()) == 4


def test_extraction_leaves_no_trace(ear, frames, wave):
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.get_rng_state(), hashlib.sha256(frames.tobytes()).hexdigest()
    AudioExtractor(), VisualExtractor(8)(frames, 3), ear(wave)
    assert (
        torch.equal(before[0], torch.get_rng_state())
        and hashlib.sha256(frames.tobytes()).hexdigest() == before[1]
    )
    assert torch.is_grad_enabled()


# trained networks


def stand_in(width=12):
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(96 * 64, width), torch.nn.Dropout(0.5)
    )


def test_a_trained_network_is_an_extractor(wave):
    prepare = lambda sound, rate=RATE: torch.from_numpy(log_mel(sound, rate))[:, None]
    net = stand_in()
    extract = NetExtractor(net, "stand-in", 12, prepare, finish=lambda x, **_: x.relu(), batch=2)
    assert isinstance(extract, Extractor) and extract.seed is None
    found = extract(wave, rate=RATE)
    assert found.shape == (3, 12) and found.dtype == np.float32 and found.min() >= 0
    np.testing.assert_array_equal(found, extract(wave))  # dropout is off
    with torch.no_grad():
        np.testing.assert_allclose(found, net(prepare(wave)).relu().numpy(), atol=1e-5)


def test_a_trained_network_with_wrong_output_is_refused(wave):
    prepare = lambda sound: torch.from_numpy(log_mel(sound))
    with pytest.raises(AvbookError, match="last axis of 13"):
        NetExtractor(stand_in(), "stand-in", 13, prepare)(wave)
    broken = stand_in()
    torch.nn.init.constant_(broken[1].bias, float("nan"))
    with pytest.raises(AvbookError, match="NaN"):
        NetExtractor(broken, "stand-in", 12, prepare)(wave)


def test_per_second():
    np.testing.assert_array_equal(per_second(torch.arange(6.0), 3), [0.5, 2.5, 4.5])
