"""Affinity and repulsion sets: the same as by brute force, whatever the block, and never a matrix
of N × N."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from avbook.errors import AvbookError
from avbook.unsupervised import neighbours
from avbook.unsupervised.neighbours import ContrastiveSets, contrastive_sets, recall, unit_rows


@pytest.fixture(autouse=True, scope="module", params=["float64", "float32 and candidates"])
def products(request):
    """Every test twice: as small sets are searched, and as large ones are."""
    before, neighbours.SMALL = neighbours.SMALL, 2**14 if request.param == "float64" else 0
    yield request.param
    neighbours.SMALL = before


def by_hand(features, k):
    """Both sets by sorting every cosine, in plain NumPy."""
    unit = unit_rows(features).double().numpy()
    n = len(unit)
    cosines = unit @ unit.T
    sets = []
    for sign in (-1, 1):
        order = [
            sorted((j for j in range(n) if j != i), key=lambda j: (sign * cosines[i, j], j))[:k]
            for i in range(n)
        ]
        sets.append(np.array(order))
    return sets


def same(found: ContrastiveSets, expected):
    np.testing.assert_array_equal(found.affinity.numpy(), expected[0])
    np.testing.assert_array_equal(found.repulsion.numpy(), expected[1])


def clustered(n, dim, seed=0, groups=12):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(groups, dim, generator=g)[
        torch.randint(0, groups, (n,), generator=g)
    ] + 0.7 * torch.randn(n, dim, generator=g)


# ---------------------------------------------------------------------------------------- the truth
def test_five_points_of_the_plane():
    angles = torch.deg2rad(torch.tensor([0.0, 20.0, 50.0, 180.0, 200.0]))
    found = contrastive_sets(
        torch.stack([angles.cos(), angles.sin()], 1)
        * torch.tensor([[1.0], [5.0], [0.1], [2.0], [3.0]]),
        2,
    )
    assert found.affinity.tolist() == [[1, 2], [0, 2], [1, 0], [4, 2], [3, 2]]
    assert found.repulsion.tolist() == [[3, 4], [4, 3], [4, 3], [0, 1], [1, 0]]
    assert (
        found.k == 2 and found.affinity.dtype == torch.int64 and found.affinity.device.type == "cpu"
    )


@settings(max_examples=150, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(2, 24), st.integers(1, 4)),
        elements=st.integers(-2, 2).map(float),
    ),
    st.data(),
)
def test_ties_duplicates_and_zero_vectors_are_ordered_by_index(features, data):
    features = torch.from_numpy(features)
    k, block = data.draw(st.integers(1, len(features) - 1)), data.draw(st.integers(1, 30))
    same(contrastive_sets(features, k, block=block, device="cpu"), by_hand(features, k))


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 300), st.integers(1, 40), st.integers(0, 99), st.data())
def test_any_numbers(n, dim, seed, data):
    features = clustered(n, dim, seed)
    if n > 20:  # some copies, some in another length, one of zeros
        features[5:10], features[11:14], features[17] = features[3], 2 * features[3], 0
    k = data.draw(st.integers(1, min(n - 1, 40)))
    same(contrastive_sets(features, k, device="cpu"), by_hand(features, k))


@pytest.mark.parametrize("block", [7, 64, 2499, 2500, 9000])
def test_long_rows_are_searched_in_groups_and_blocks_change_nothing(block):
    features = clustered(2500, 16)
    features[100:160] = features[99]  # more copies than candidates
    assert 2500 // neighbours.GROUP > 2 * (8 + neighbours.SPARE)
    rows = [0, 99, 130, 159, 2499]
    unit = unit_rows(features).double()
    found = contrastive_sets(features, 8, block=block, device="cpu")
    for sign, side in ((-1, found.affinity), (1, found.repulsion)):
        for row in rows:
            scores = sign * (unit @ unit[row])
            scores[row] = float("inf")
            assert side[row].tolist() == scores.sort(stable=True).indices[:8].tolist()
    assert found.affinity[130].tolist() == [99, 100, 101, 102, 103, 104, 105, 106]


def test_many_blocks_give_what_one_gives():
    features = clustered(3000, 33, seed=4)
    whole = contrastive_sets(features, 30, block=3000, device="cpu")
    for block in (13, 500):
        same(
            contrastive_sets(features, 30, block=block, device="cpu"),
            (whole.affinity, whole.repulsion),
        )


def test_the_extremes_leave_nothing_larger_behind():
    scores = torch.randn(20, 3011, generator=torch.Generator().manual_seed(0))
    for largest in (True, False):
        values, columns = neighbours._extremes(scores, 15, largest)
        torch.testing.assert_close(scores.gather(1, columns), values)
        assert torch.equal(
            values.sort(1).values, scores.topk(15, largest=largest).values.sort(1).values
        )


def test_rows_that_rounding_could_spoil_are_searched_again(monkeypatch):
    monkeypatch.setattr(neighbours, "SMALL", 0)
    base = torch.randn(1, 64, generator=torch.Generator().manual_seed(0))
    features = base + 1e-7 * torch.randn(
        400, 64, generator=torch.Generator().manual_seed(1)
    )  # all alike to the seventh digit
    again = []
    searched = neighbours._without_candidates
    monkeypatch.setattr(
        neighbours,
        "_without_candidates",
        lambda unit, rows, *rest: again.append(len(rows)) or searched(unit, rows, *rest),
    )
    same(contrastive_sets(features, 5, device="cpu"), by_hand(features, 5))
    assert sum(again) == 800


def test_ordinary_rows_are_not_searched_again(monkeypatch):
    monkeypatch.setattr(neighbours, "_without_candidates", None)  # would raise
    contrastive_sets(
        torch.randn(2000, 64, generator=torch.Generator().manual_seed(2)), 10, device="cpu"
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats(dtype):
    features = clustered(200, 20).to(dtype)
    same(contrastive_sets(features, 9, device="cpu"), by_hand(features, 9))
    assert (
        torch.equal(
            contrastive_sets(features, 9).affinity, contrastive_sets(features.float(), 9).affinity
        )
        or dtype == torch.float64
    )


def test_length_does_not_count_however_large_or_small():
    features = clustered(50, 8).double()
    sizes = torch.logspace(-290, 290, 50, dtype=torch.float64)[:, None]
    assert torch.equal(
        contrastive_sets(features * sizes, 6).affinity, contrastive_sets(features, 6).affinity
    )
    unit = unit_rows(features)
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(50))
    assert torch.equal(unit * neighbours.GRID, (unit * neighbours.GRID).round())
    assert not unit_rows(torch.zeros(3, 4)).any()


def test_all_others_and_no_more():
    features = clustered(9, 5)
    found = contrastive_sets(features, 8)
    assert torch.equal(found.affinity.sort(1).values, found.repulsion.sort(1).values)
    assert torch.equal(found.affinity, found.repulsion.flip(1))
    assert all(set(row.tolist()) == set(range(9)) - {i} for i, row in enumerate(found.affinity))


def test_the_callers_precision_comes_back():
    torch.set_float32_matmul_precision("medium")
    try:
        contrastive_sets(clustered(20, 4), 3)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


# --------------------------------------------------------------------------------------- the memory
class Largest(torch.utils._python_dispatch.TorchDispatchMode):
    """Notes the largest tensor that any operation returns."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for part in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(part, torch.Tensor):
                self.numbers = max(
                    self.numbers, part.untyped_storage().nbytes() // part.element_size()
                )
        return out


@pytest.mark.parametrize("n", [2000, 4000])
def test_no_matrix_of_all_pairs(n, monkeypatch):
    monkeypatch.setattr(neighbours, "BUDGET", 2**18)
    with Largest() as seen:
        contrastive_sets(clustered(n, 16), 30, device="cpu")
    assert seen.numbers <= max(2**18, 2 * n * 30) + n < n * n // 10  # a block, or what is returned


def test_the_second_search_keeps_to_blocks_too(monkeypatch):
    monkeypatch.setattr(neighbours, "BUDGET", 2**16)
    with Largest() as seen:
        contrastive_sets(torch.ones(1500, 4), 30, device="cpu")  # every row in doubt
    assert seen.numbers <= max(2**16, 2 * 1500 * 30) + 1500 < 1500**2 // 20


# ---------------------------------------------------------------------------------------- the index
def test_the_index_finds_most_of_the_neighbours():
    pytest.importorskip("faiss", reason="faiss-cpu is not installed: pip install 'avbook[ann]'")
    features = clustered(2000, 32, groups=30)
    true = contrastive_sets(features, 20, device="cpu")
    found = contrastive_sets(features, 20, method="approximate", device="cpu")
    few = contrastive_sets(features, 20, method="approximate", probes=1, device="cpu")
    for side in ("affinity", "repulsion"):
        best, worse = (recall(getattr(sets, side), getattr(true, side)) for sets in (found, few))
        assert best > 0.9 and best > worse, (side, best, worse)
    rows = torch.arange(2000)[:, None]
    assert not (found.affinity == rows).any() and not (found.repulsion == rows).any()
    assert all(len(set(row)) == 20 for row in found.affinity.tolist())
    again = contrastive_sets(features, 20, method="approximate", device="cpu")
    same(again, (found.affinity, found.repulsion))


def test_an_index_that_looks_everywhere_is_exact():
    pytest.importorskip("faiss", reason="faiss-cpu is not installed: pip install 'avbook[ann]'")
    features = clustered(700, 16)
    true = contrastive_sets(features, 15)
    same(
        contrastive_sets(features, 15, method="approximate", probes=10**6),
        (true.affinity, true.repulsion),
    )
    few = torch.randn(
        12, 3, generator=torch.Generator().manual_seed(0)
    )  # cells with fewer than K members
    true = contrastive_sets(few, 11)
    same(contrastive_sets(few, 11, method="approximate", probes=1), (true.affinity, true.repulsion))


def test_without_the_library_one_line_says_so(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(AvbookError, match=r"pip install \"avbook\[ann\]\"") as raised:
        contrastive_sets(clustered(20, 4), 3, method="approximate")
    assert "\n" not in str(raised.value)


# ------------------------------------------------------------------------------------------- faults
@pytest.mark.parametrize(
    "features, options, says",
    [
        (
            torch.randn(10, 3),
            {"k": 10},
            "k=10 neighbours among 10 videos: expected a whole number from 1 to 9",
        ),
        (torch.randn(10, 3), {"k": 0}, "k=0"),
        (torch.randn(10, 3), {"k": 2.0}, "k=2.0"),
        (torch.randn(10, 3), {"k": True}, "k=True"),
        (torch.randn(1, 3), {"k": 1}, r"\(1, 3\)"),
        (torch.randn(10, 3, 2), {"k": 1}, r"\(10, 3, 2\)"),
        (torch.ones(10, 3).long(), {"k": 1}, "int64"),
        (np.ones((10, 3)), {"k": 1}, "ndarray"),
        (torch.randn(10, 3), {"k": 2, "method": "fast"}, "method='fast'"),
        (torch.randn(10, 3), {"k": 2, "block": 0}, "block=0"),
        (torch.randn(10, 3), {"k": 2, "method": "approximate", "probes": 0}, "probes=0"),
    ],
)
def test_bad_input(features, options, says):
    with pytest.raises(AvbookError, match=says) as raised:
        contrastive_sets(features, **options)
    assert "\n" not in str(raised.value)


def test_a_number_that_is_none_is_named_by_its_row():
    features = clustered(40, 3)
    features[17, 1] = float("nan")
    with pytest.raises(AvbookError, match="row 17"):
        contrastive_sets(features, 3)


def test_recall():
    assert recall(torch.tensor([[3, 1], [0, 2]]), torch.tensor([[1, 3], [2, 3]])) == 0.75
    with pytest.raises(AvbookError, match="same K"):
        recall(torch.zeros(2, 3), torch.zeros(2, 2))
