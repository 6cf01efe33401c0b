"""What is a whole number, and what an option may be."""

import numpy as np
import pytest

from avbook.common.options import check_choice, check_heads, check_int, check_seed, is_whole
from avbook.errors import AvbookError


@pytest.mark.parametrize(
    "value, whole",
    [(3, True), (np.int64(3), True), (True, False), (np.True_, False), (3.0, False), ("3", False)],
)
def test_whole_numbers_are_those_of_python_and_numpy(value, whole):
    assert is_whole(value) == whole


@pytest.mark.parametrize("value", [0, True, 2.0, None])
def test_what_is_no_whole_number_or_too_small_is_one_line(value):
    with pytest.raises(AvbookError, match=r"^epochs=.*: expected a whole number, at least 1$"):
        check_int(epochs=(value, 1))


def test_a_choice_names_those_there_are():
    check_choice("inputs", "raw", ("raw", "two-layer"))
    with pytest.raises(AvbookError, match="inputs='rwa': expected 'raw' or 'two-layer'"):
        check_choice("inputs", "rwa", ("raw", "two-layer"))


def test_a_seed_is_a_whole_number_that_numpy_takes():
    for seed in (0, np.int64(7), 2**32 - 1):
        check_seed(seed)
    for seed in (-1, 2**32, 1.0, True, "0", None):
        with pytest.raises(
            AvbookError, match=r"^seed .*: expected a whole number from 0 to 2\*\*32"
        ):
            check_seed(seed)


@pytest.mark.parametrize("heads", [0, -2, 3, 16])
def test_heads_divide_the_width(heads):
    for fitting in (1, 2, 8):
        check_heads("width", 8, fitting)
    with pytest.raises(AvbookError, match=f"^width=8, heads={heads}: expected a width divisible"):
        check_heads("width", 8, heads)
