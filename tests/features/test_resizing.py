"""Resizing by area, against means by hand; the bilinear ways are tested with the official
recipes."""

import numpy as np
import pytest

from avbook.features.resizing import resize_area
from avbook.world.clips import sample_scripts
from avbook.world.video import render_frames


def picture(height, width):
    return np.random.default_rng(height + width).integers(0, 256, (height, width, 3), np.uint8)


def test_a_whole_factor_gives_the_mean_of_each_block():
    frame = picture(224, 112)
    blocks = frame.reshape(56, 4, 56, 2, 3).astype(np.float64).mean((1, 3))
    assert np.array_equal(resize_area(frame, 56, 56), np.floor(blocks + 0.5))


def test_parts_of_pixels_count_by_their_area():
    frame = np.array([[[10], [20], [60]]], np.uint8)  # two pixels of one and a half each
    assert resize_area(frame, 1, 2)[0, :, 0].tolist() == [13, 47]  # 20/1.5, 70/1.5
    assert resize_area(frame, 3, 6)[:, :, 0].tolist() == [[10, 10, 20, 20, 60, 60]] * 3


@pytest.mark.parametrize("size", [(48, 80), (57, 55), (300, 113), (56, 56), (9, 7)])
def test_any_size_is_as_a_fine_grid_says(size):
    """Each pixel is cut into 56 x 56, and blocks of these are averaged."""
    frame = picture(*size)
    fine = frame.astype(np.float64).repeat(56, 0).reshape(56, size[0], size[1], 3).mean(1)
    fine = fine.repeat(56, 1).reshape(56, 56, size[1], 3).mean(2)
    assert np.array_equal(resize_area(frame, 56, 56), np.floor(fine + 0.5 + 1e-9))


def test_the_worlds_frames_made_smaller_are_those_drawn_smaller():
    clip = sample_scripts("ave", 3, seed=1)[1]
    large, small = (render_frames(clip, side, 1) for side in (224, 56))
    found = np.stack([resize_area(frame, 56, 56) for frame in large]).astype(float)
    assert np.abs(found - small).mean() < 1
