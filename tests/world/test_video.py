"""Frames of the world: shapes, canvas, appearances, scenes. What is promised of them, for every
category."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from avbook.data.events import AVE_CATEGORIES, LLP_CATEGORIES
from avbook.errors import AvbookError
from avbook.world import canvas
from avbook.world.appearance import (
    APPEARANCES,
    STRAY,
    TWINS,
    appearance_of,
    sample_instance,
)
from avbook.world.canvas import MOTIONS, TEXTURES, Easel, Rhythm, as_images, blank, hsv, patch
from avbook.world.clips import Clip, Source, sample_scripts
from avbook.world.sdf import (
    Patch,
    box,
    cosine,
    disc,
    half,
    lathe,
    limb,
    oval,
    ripple,
    sine,
    stripes,
)
from avbook.world.video import (
    STILL,
    WORLD,
    Nuisances,
    actor,
    render_at,
    render_frames,
    stage,
    visible_masks,
)

ON, OFF = np.ones(10, bool), np.zeros(10, bool)
EVERY = sorted(set(AVE_CATEGORIES) | set(LLP_CATEGORIES))


def clip_of(*sources, seed=5, shake=0.4):
    return Clip("scenetest01", sources, seed=seed, shake=shake)


def source(category="Bark", seen=ON, heard=OFF, **latents):
    return Source(category, heard, seen, **latents)


# bricks


@given(st.floats(-50, 50))
def test_sine_is_the_sine(turns):
    assert abs(sine(turns) - np.sin(2 * np.pi * turns)) < 1e-8
    assert abs(sine(turns) ** 2 + cosine(turns) ** 2 - 1) < 1e-8


@settings(max_examples=40, deadline=None)
@given(st.floats(-5, 5), st.floats(0.01, 3), st.floats(0.05, 0.95))
def test_stripes_are_the_ink_under_the_pixel(x, pixel, duty):
    fine = x + (np.arange(20_000) / 20_000 + 0.25e-4 - 0.5) * pixel
    assert abs(float(stripes(np.float32([x]), pixel, duty)[0]) - np.mean(fine % 1 < duty)) < 2e-3


number = st.floats(-0.8, 0.8)
width = st.floats(0.05, 0.6)
brick = st.one_of(
    st.builds(disc, number, number, width),
    st.builds(oval, number, number, width, width),
    st.builds(box, number, number, width, width),
    st.builds(limb, number, number, number, number, width, width),
    st.builds(lathe, st.just(-0.5), st.just(0.5), width, width, width),
    st.builds(half, st.just(0.0), st.sampled_from([-1.0, 1.0]), number),
)
shape = st.recursive(
    brick,
    lambda inner: st.one_of(
        st.builds(lambda a, b: a | b, inner, inner),
        st.builds(lambda a, b: a & b, inner, inner),
        st.builds(lambda a, k: a.grown(k), inner, st.floats(-0.1, 0.3)),
        st.builds(lambda a, k: a.hollow(k), inner, st.floats(0.01, 0.2)),
    ),
    max_leaves=4,
)


@settings(max_examples=100, deadline=None)
@given(shape)
def test_nothing_of_a_shape_lies_outside_its_bounds(shape):
    v, u = (np.mgrid[:121, :121] / 30 - 2).astype(np.float32)
    left, top, right, bottom = (float(k) for k in shape.bounds)
    outside = (u < left - 1e-4) | (u > right + 1e-4) | (v < top - 1e-4) | (v > bottom + 1e-4)
    assert not (shape.distance(Patch(u, v, None)) < 0)[outside].any()


def test_a_ripple_is_one_at_whole_numbers_and_zero_between():
    assert ripple(np.float32([0, 1, -2])).tolist() == [1, 1, 1]
    assert ripple(np.float32([0.5, 7.5])).tolist() == [0, 0]


def distances(shape, *points):
    u, v = np.float32(points).T
    return shape.distance(Patch(u, v, None))


def test_distances_by_hand():
    eight = disc(0, -0.5, 0.4) | disc(0, 0.4, 0.5)
    assert np.allclose(distances(eight, (0, 0), (1, 0.4)), [-0.1, 0.5], atol=1e-6)
    arm = limb(0, 0, 2, 0, 0.5, 0.1)  # half-way its radius is 0.3
    assert np.allclose(distances(arm, (1, 1), (-1, 0), (3, 0)), [0.7, 0.5, 0.9], atol=1e-6)


@pytest.mark.parametrize("size", [14, 28, 56, 224])
def test_what_is_painted_is_the_area_at_any_size(size):
    c = blank(size, paper=np.zeros(3)).fill(disc(0.05, -0.03, 0.5), np.ones(3), rim=False)
    assert c.planes[0].sum() * (2.4 / size) ** 2 == pytest.approx(np.pi / 4, rel=0.01)


def test_no_shape_is_steeper_than_the_margin_around_its_box_allows():
    v, u = ((np.mgrid[:200, :200] + 0.5) / 100 - 1).astype(np.float32)
    for one in (limb(-0.5, 0.5, 0.5, -0.5, 0.3, 0.1), lathe(-0.7, 0.6, 0.2, 0.1, 0.4), oval()):
        slope = np.hypot(*np.gradient(one.distance(Patch(u, v, None)), 0.01))
        assert slope.max() < 1.5


# canvas


def test_colours_by_hand():
    assert hsv(0, 1, 1).tolist() == [1, 0, 0] and hsv(0.7, 0, 0.5).tolist() == [0.5] * 3
    assert np.allclose(hsv(1 / 3, 1, 1), [0, 1, 0], atol=1e-6)


def test_a_rhythm_by_hand():
    rhythm = Rhythm([0, 0.25, 0.5, 0.75], gain=0.5)
    assert np.allclose(rhythm.swing().ravel(), [0, 0.5, 0, -0.5], atol=1e-7)
    assert np.allclose(rhythm.open().ravel(), [0, 0.25, 0.5, 0.25], atol=1e-7)
    assert np.allclose(rhythm.cycle(2).ravel(), [0, 0.5, 0, 0.5])


def test_a_quarter_turn_by_hand():
    """Ten pixels a side, the origin in the middle, four pixels to a unit: turned clockwise, one
    unit of u leads four pixels down."""
    place = np.array([[[5], [5]], [[4], [0]], [[0], [4]]])
    turned = Easel(np.zeros((3, 1, 10, 10), np.float32), place, [0.0]).moved(turns=0.25)
    assert np.allclose(turned.place[1].ravel(), [0, 4], atol=1e-6)
    found, _ = patch(turned, (-1, -1, 1, 1))
    assert np.allclose(found.u[0, 0, :], -4.5 / 4, atol=1e-6) and np.isclose(
        found.pixel.item(), 0.25
    )


@pytest.mark.parametrize("turns", [0.0, 0.1, 0.25, 0.6])
def test_a_turn_keeps_areas(turns):
    c = (
        blank(112, paper=np.zeros(3))
        .moved(0.1, -0.1, turns)
        .fill(oval(0, 0, 0.5, 0.3), np.ones(3), rim=False)
    )
    assert c.planes[0].sum() * (2.4 / 112) ** 2 == pytest.approx(np.pi * 0.15, rel=0.01)


def test_a_union_is_painted_whole():
    c = blank(112, paper=np.zeros(3)).fill(
        disc(-0.5, 0, 0.3) | disc(0.5, 0, 0.3), np.ones(3), rim=False
    )
    assert c.planes[0].sum() * (2.4 / 112) ** 2 == pytest.approx(2 * np.pi * 0.09, rel=0.01)


@pytest.mark.parametrize("name", MOTIONS)
def test_motions_have_the_movements_period_and_grow_with_gain(name):
    turn = np.linspace(0, 1, 60)
    assert np.allclose(MOTIONS[name](turn, 0.8), MOTIONS[name](turn + 1, 0.8), atol=1e-9)
    reach = [max(np.ptp(part) for part in MOTIONS[name](turn, gain)) for gain in (0.3, 1.0)]
    assert reach[1] > reach[0] or name == "still"


# looks


def test_every_category_has_a_look_and_twins_share_one():
    assert set(APPEARANCES) == set(EVERY)
    assert (
        all(APPEARANCES[twin] is APPEARANCES[name] for twin, name in TWINS.items())
        and len({id(look) for look in APPEARANCES.values()}) == 42
    )
    assert {look.texture for look in APPEARANCES.values()} <= set(TEXTURES) and {
        look.motion for look in APPEARANCES.values()
    } <= set(MOTIONS)


def test_a_seed_is_one_individual_and_few_are_of_a_strange_colour():
    look = replace(APPEARANCES["Church bell"], colour=(0.13, 0.13, 0.7, 0.7, 0.8, 0.8))
    one, again, other = (sample_instance(look, seed) for seed in (3, 3, 4))
    assert all(np.array_equal(one[key], again[key]) for key in one) and one["vary"] != other["vary"]
    assert np.array_equal(sample_instance(look, 3, colour=0)["ink"], hsv(0.13, 0.7, 0.8))
    own = [np.allclose(sample_instance(look, k)["ink"], hsv(0.13, 0.7, 0.8)) for k in range(2000)]
    assert abs(1 - np.mean(own) - STRAY) < 0.02


@pytest.mark.parametrize("name", EVERY)
def test_after_twelve_movements_all_is_as_before(name):
    """Twelve, since the clock's hand takes that many."""
    look = appearance_of(name)
    individual = sample_instance(look, 1, colour=0)
    first, last = (
        as_images(look.paint(blank(32, turn=turn, gain=0.8, **individual))).astype(int)
        for turn in (0.1, 12.1)
    )
    assert np.abs(first - last).max() <= 1


def test_a_category_without_an_appearance_is_named():
    with pytest.raises(AvbookError, match="no appearance for category 'Dragon'"):
        appearance_of("Dragon")


def test_painting_inside_bounds_is_painting_everywhere(monkeypatch):
    for name in EVERY:
        look = appearance_of(name)
        paint = lambda: (
            look.paint(blank(48, turn=[0.1, 0.6], gain=0.9, **sample_instance(look, 7))).planes
        )
        quick = paint()
        with monkeypatch.context() as patch:
            patch.setattr(
                canvas,
                "_rectangle",
                lambda place, bounds, rows, columns, margin: (0, rows, 0, columns),
            )
            assert np.abs(paint() - quick).max() < 1e-6, name
        assert quick.dtype == np.float32, name


def test_every_look_fits_its_window():
    for name in EVERY:
        look = appearance_of(name)
        for seed in range(3):
            planes = look.paint(
                blank(
                    100,
                    turn=[0, 0.25, 0.5, 0.8],
                    reach=1.6,
                    paper=np.full(3, 0.5),
                    **sample_instance(look, seed),
                )
            ).planes
            edge = np.linspace(-1.6, 1.6, 100)
            beyond = np.hypot(*np.meshgrid(edge, edge)) > 1.75
            beyond |= (np.abs(edge) > 1.3)[:, None] | (np.abs(edge) > 1.3)[None]
            assert np.all(planes[:, :, beyond] == 0.5), name


def test_looks_tell_categories_apart():
    pictures = {}
    for name in AVE_CATEGORIES:
        pictures[name] = as_images(
            appearance_of(name).paint(
                blank(40, turn=0.2, **sample_instance(appearance_of(name), 1, colour=0))
            )
        )[0].astype(float)
    names = list(pictures)
    for i, a in enumerate(names):
        for b in names[:i]:
            assert np.abs(pictures[a] - pictures[b]).mean() > 3, (a, b)


# scenes


def test_frames_come_as_the_features_want_them():
    frames = render_frames(clip_of(source()))
    assert frames.shape == (40, 56, 56, 3) and frames.dtype == np.uint8
    assert render_frames(clip_of(source()), size=20, fps=8).shape == (80, 20, 20, 3)
    assert render_frames(clip_of(source()), size=20, fps=2.5).shape == (25, 20, 20, 3)
    assert render_frames(clip_of(), size=20).std() > 0


@pytest.mark.parametrize("fps", [1, 4, 2.5])
def test_frames_are_from_the_middle_of_their_share_of_a_second(fps):
    clip = clip_of(source(), shake=1.0)
    middles = (np.arange(int(10 * fps)) + 0.5) / fps
    assert np.array_equal(render_frames(clip, 24, fps), render_at(clip, middles, 24))


def test_an_actor_does_not_depend_on_what_is_heard():
    loud, silent = (vars(actor(source(heard=heard, seed=4))) for heard in (ON, OFF))
    colours, others = loud.pop("colours"), silent.pop("colours")
    assert all(np.array_equal(colours[name], others[name]) for name in colours)
    assert all(np.array_equal(loud[name], silent[name]) for name in loud)


def test_without_texture_a_background_has_one_colour_in_a_row():
    flat = render_at(clip_of(seed=11), [0.5], 24, STILL)
    patterned = render_at(clip_of(seed=11), [0.5], 24, replace(STILL, texture=1.0))
    assert np.ptp(flat, axis=2).max() == 0 < np.ptp(patterned, axis=2).max()


def test_same_seed_same_bytes_on_any_machine():
    digest = hashlib.sha256()
    for k, name in enumerate(EVERY):
        pair = (
            source(name, size=0.7, tempo=1.7, phase=0.2, x=0.3, seed=k),
            source(EVERY[k - 1], x=0.7, seed=k + 90),
        )
        digest.update(render_at(clip_of(*pair, seed=k), [0.3, 7.9], 48).tobytes())
    assert digest.hexdigest()[:16] == "fbc0d6053c1d8bd8"


def test_seeds_matter():
    base = clip_of(source(seed=1))
    assert not np.array_equal(render_at(base, [0.5]), render_at(replace(base, seed=6), [0.5]))
    assert not np.array_equal(render_at(base, [0.5]), render_at(clip_of(source(seed=2)), [0.5]))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.booleans(), min_size=10, max_size=10),
    st.lists(st.booleans(), min_size=10, max_size=10),
    st.integers(0, 10**6),
)
def test_heard_leaves_no_trace(first, second, seed):
    seen = np.random.default_rng(seed).random(10) < 0.7
    clips = [
        clip_of(
            source("Horse", seen, np.array(first), seed=seed),
            source("Bus", ON, np.array(second), seed=3),
            seed=seed,
        ),
        clip_of(
            source("Horse", seen, ~np.array(first), seed=seed),
            source("Bus", ON, OFF, seed=3),
            seed=seed,
        ),
    ]
    frames = [render_frames(clip, size=24, fps=1) for clip in clips]
    assert np.array_equal(*frames)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_unseen_source_is_not_there(at):
    present = [source("Cat", seed=1), source("Truck", x=0.2, seed=2)]
    ghostly = list(present)
    ghostly.insert(at, source("Banjo", OFF, ON, seed=3))
    assert np.array_equal(
        render_frames(clip_of(*ghostly), size=32), render_frames(clip_of(*present), size=32)
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 9), st.integers(0, 10**6))
def test_a_second_shows_what_is_seen_in_that_second_alone(t, seed):
    seen = np.random.default_rng(seed).random(10) < 0.5
    seen[(t + 1) % 10] = True
    other = seen.copy()
    other[t] = ~other[t]
    frames = [
        render_frames(
            clip_of(source("Clock", mask, seed=seed), source("Goat", x=0.8, seed=1), seed=seed),
            24,
            2,
        )
        for mask in (seen, other)
    ]
    differs = (frames[0] != frames[1]).reshape(10, -1).any(1)
    assert differs.tolist() == [k == t for k in range(10)]


@pytest.mark.parametrize("difficulty", [0.0, 1.0])
def test_masks_are_where_a_source_changes_the_frame(difficulty):
    half = np.arange(10) < 5
    three = (
        source("Clock", half, x=0.3, size=0.4, seed=1),
        source("Bus", x=0.6, size=0.7, seed=2),
        source("Goat", OFF, ON, seed=3),
    )
    clip = replace(clip_of(*three), difficulty=difficulty)
    masks, frames = visible_masks(clip), render_frames(clip, fps=1).astype(int)
    assert masks.shape == (3, 10, 56, 56) and masks.sum(0).max() == 1
    assert masks[0, :5].mean((1, 2)).min() > 0.05 and not masks[0, 5:].any() and not masks[2].any()
    for k, one in enumerate(three[:2]):
        for t in (0, 4, 7):
            # seen in another second, so that the places of all sources stay
            seen = np.roll(one.seen, 1) if k == 0 and t == 0 else one.seen.copy()
            seen[t] = False
            others = tuple(replace(one, seen=seen) if j == k else o for j, o in enumerate(three))
            without = render_frames(replace(clip, sources=others), fps=1).astype(int)
            changed = np.abs(without - frames)[t].max(-1) > 8
            assert (changed != masks[k, t]).mean() < 0.03


def test_masks_follow_the_frames_moments():
    clip = clip_of(source("Bus", x=0.6, size=0.7, motion=1.0, seed=2))
    assert visible_masks(clip, 28, 4).shape == (1, 40, 28, 28)
    with pytest.raises(AvbookError, match="fps is 0.5"):
        visible_masks(clip, fps=0.5)


def test_any_size_shows_the_same_scene():
    for k, name in enumerate(EVERY):
        clip = clip_of(source(name, size=0.6, seed=k), seed=k)
        small, large = (render_at(clip, [1.3], size)[0].astype(float) for size in (56, 224))
        difference = np.abs(large.reshape(56, 4, 56, 4, 3).mean((1, 3)) - small)
        assert difference.mean() < 2, (name, difference.mean())


def test_size_grows_the_area():
    for name in EVERY:
        areas = []
        for size in (0.0, 0.5, 1.0):
            clip = clip_of(source(name, size=size, phase=0.25, motion=0.2, seed=3))
            bare = clip_of(source(name, OFF, seed=3))
            areas.append(
                np.mean(
                    np.abs(
                        render_at(clip, [0.5], 64, STILL).astype(int)
                        - render_at(bare, [0.5], 64, STILL)
                    ).max(-1)
                    > 12
                )
            )
        assert areas[0] < areas[1] < areas[2] and areas[2] > 1.5 * areas[0], name


def test_tempo_is_the_period_of_every_movement():
    for name in EVERY:
        tempo, turns = 1.6, 12 if name == "Clock" else 1  # a clock's hand comes round after twelve
        clip = clip_of(source(name, tempo=tempo, phase=0.13, motion=1.0, seed=2))
        now, later, between = (
            render_at(clip, [t], 40, STILL)[0].astype(int)
            for t in (0.4, 0.4 + turns / tempo, 0.4 + 0.5 / tempo)
        )
        assert np.abs(now - later).max() <= 2, name
        assert np.abs(now - between).max() > 25, name


def test_livelier_sources_move_more():
    for name in EVERY:
        moved = []
        for motion in (0.0, 1.0):
            frames = render_at(
                clip_of(source(name, tempo=1.0, motion=motion, seed=2)),
                np.arange(8) / 8 + 1,
                40,
                STILL,
            ).astype(float)
            moved.append(frames.std(0).mean())
        assert moved[1] > moved[0] * (
            1.1 if name not in ("Helicopter", "Fixed-wing aircraft, airplane") else 1.0
        ), name


def test_phase_shifts_the_movement():
    early, late = (clip_of(source("Horse", tempo=2.0, phase=phase)) for phase in (0.0, 0.5))
    assert (
        np.abs(
            render_at(early, [1.25], 40, STILL).astype(int) - render_at(late, [1.0], 40, STILL)
        ).max()
        <= 1
    )


@pytest.mark.parametrize("name", list(vars(WORLD)))
def test_every_nuisance_does_something(name):
    changed = 0
    for seed in range(20):
        clip = clip_of(source("Truck", seed=seed), seed=seed, shake=0.8)
        changed += not np.array_equal(
            render_at(clip, [1.0, 6.0], 24),
            render_at(clip, [1.0, 6.0], 24, replace(WORLD, **{name: 0.0})),
        )
    assert changed == 20 if name not in ("bars", "colour") else 0 < changed < 20


def test_a_still_camera_does_not_shake():
    steady = clip_of(shake=0.0)
    assert np.array_equal(*render_at(steady, [0.5, 7.5], 32))
    assert not np.array_equal(*render_at(replace(steady, shake=1.0), [0.5, 7.5], 32))


def test_nobody_is_hidden():
    for clip in sample_scripts("ave", 300, seed=3):
        placed = stage([actor(s) for s in clip.sources if s.seen.any()])
        for k, a in enumerate(placed):
            for b in placed[:k]:
                assert np.hypot(a.x - b.x, a.y - b.y) > 0.45 * (a.scale + b.scale)


def test_places_do_not_depend_on_later_sources():
    crowd = [actor(source(name, seed=k)) for k, name in enumerate(("Cat", "Bus", "Clock", "Goat"))]
    assert [(a.x, a.y, a.scale) for a in stage(crowd)[:2]] == [
        (a.x, a.y, a.scale) for a in stage(crowd[:2])
    ]


@pytest.mark.parametrize(
    "call, found",
    [
        (lambda: render_frames(clip_of(source("Dragon"))), "Dragon"),
        (lambda: render_frames(clip_of(source("Dragon", OFF))), "Dragon"),
        (lambda: render_frames(clip_of(source()), size=7), "7"),
        (lambda: render_frames(clip_of(source()), size=56.0), "56.0"),
        (lambda: render_frames(clip_of(source()), size=True), "True"),
        (lambda: render_frames(clip_of(source()), fps=0), "fps"),
        (lambda: render_frames(clip_of(source()), fps=-4), "fps"),
        (lambda: render_frames(clip_of(source()), fps=float("nan")), "fps"),
        (lambda: render_frames(clip_of(source()), fps="4"), "fps"),
        (lambda: render_frames(clip_of(source()), fps=3.33), "fps"),
        (lambda: render_at(clip_of(source()), [10.0]), "times"),
        (lambda: render_at(clip_of(source()), [-0.1]), "times"),
        (lambda: render_at(clip_of(source()), [np.nan]), "times"),
        (lambda: render_at(clip_of(source()), []), "times"),
    ],
)
def test_bad_input_is_named(call, found):
    with pytest.raises(AvbookError, match=found) as error:
        call()
    assert (
        "\n" not in str(error.value)
        and "expected" in str(error.value)
        or "must" in str(error.value)
    )


def test_nuisances_are_numbers_from_none_to_full():
    assert vars(Nuisances()) == vars(WORLD) and set(vars(STILL).values()) == {0}
