"""Affinity and repulsion sets: the K most similar and K most dissimilar vectors, by cosine.

Exact, without a matrix of N × N: similarities are computed in blocks of rows, and only 2·N·K
indices are kept. Unit vectors are rounded to a grid on which float64 sums are exact, so the result
does not depend on block size, number of threads or device. For large N a product in float32 is
faster: it proposes a few candidates more than K, which are ranked by exact cosines. If rounding
could have cost a true neighbour its place among the candidates, or more clips than candidates are
equally near, the row is searched again without candidates."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import torch
from torch import Tensor

from avbook.errors import AvbookError
from avbook.training.device import default_device

__all__ = [
    "ContrastiveSets",
    "contrastive_sets",
    "unit_rows",
    "recall",
    "search_rows",
    "build_index",
    "search_index",
]

# unit rows are rounded to multiples of 1/GRID: products and sums of them are exact in float64, in
# any order of addition
GRID = 2.0**24
SPARE = 10  # candidates beyond K that a product in float32 proposes
GROUP = 64  # the largest values of a long row are sought in the groups with the largest maxima
BUDGET = 2**25  # numbers in a block by default
# up to this many vectors all products are in float64: half the speed, but no row has to be computed
# again
SMALL = 2**14


@dataclass(frozen=True)
class ContrastiveSets:
    """The nearest and farthest others of each vector: rows of indices into the N vectors, nearest
    (farthest) first, ties by index."""

    affinity: Tensor  # (N, K) int64: the most similar others
    repulsion: Tensor  # (N, K) int64: the most dissimilar others

    @property
    def k(self) -> int:
        """The size of each set."""
        return self.affinity.shape[1]


def contrastive_sets(
    features: Tensor,  # (N, D), any floating type; a row of zeros has cosine 0 with every other
    k: int = 30,  # size of each set, at most N - 1
    *,
    # or "approximate": an inverted-file index (FAISS; `pip install "avbook[ann]"`), whose proposals
    # are ranked exactly
    method: str = "exact",
    block: int | None = None,  # rows of similarities at a time; None: as many as fit 256 MiB
    device: str | torch.device = "auto",  # device of the products
    probes: int = 32,  # "approximate": cells of the index searched per query
    seed: int = 0,  # "approximate": seed of the index's cells
) -> ContrastiveSets:
    """Affinity and repulsion set of every row (CMLCL, before Eq. 9), on the CPU; a row is never in
    its own sets.

    With 2K > N - 1 the two sets share members; with K = N - 1 both hold all others. Ties are broken
    by index. Memory O(N·(D + K)) plus one block. Raises `AvbookError` for other shapes, values that
    are not finite, K out of range, an unknown method, and if FAISS is missing."""
    if method not in ("exact", "approximate"):
        raise AvbookError(f"method={method!r}: expected 'exact' or 'approximate'")
    if block is not None and (not isinstance(block, int) or block < 1):
        raise AvbookError(f"block={block!r}: expected a whole number of rows, at least 1, or None")
    device = default_device() if device == "auto" else torch.device(device)
    if device.type == "mps":  # which has no float64
        device = torch.device("cpu")
    unit = unit_rows(features, device)
    n = len(unit)
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= n - 1:
        raise AvbookError(
            f"k={k!r} neighbours among {n} videos: expected a whole number from 1 to {n - 1}, since"
            " a video is not its own neighbour"
        )
    with torch.no_grad(), full_precision():
        if method == "approximate":
            affinity, repulsion = search_index(build_index(unit, seed), unit, k, probes)
        else:
            affinity, repulsion = search_rows(unit, k, block or max(1, BUDGET // n))
    return ContrastiveSets(affinity, repulsion)


def unit_rows(
    features: Tensor,  # (N, D)
    device: torch.device | str = "cpu",
) -> Tensor:
    """Rows of length one, (N, D) float32 on the device, each number rounded to a multiple of 2^-24;
    zero rows stay zero."""
    if (
        not isinstance(features, Tensor)
        or features.ndim != 2
        or len(features) < 2
        or not features.shape[1]
        or not features.is_floating_point()
    ):
        found = (
            f"{tuple(features.shape)} {features.dtype}"
            if isinstance(features, Tensor)
            else type(features).__name__
        )
        raise AvbookError(
            f"features are {found}: expected a floating-point tensor (N, D), N at least 2"
        )
    out = torch.empty(features.shape, dtype=torch.float32, device=device)
    step = max(1, BUDGET // 4 // features.shape[1])
    for start in range(0, len(features), step):
        part = features[start : start + step].detach().to(device).double()
        if not part.isfinite().all():
            row = start + int((~part.isfinite()).any(1).nonzero()[0])
            raise AvbookError(
                f"features of row {row} are not finite: expected numbers; check the clip or the"
                " training step that made them"
            )
        part = part / part.abs().amax(1, keepdim=True).clamp_min(
            torch.finfo(torch.float64).tiny
        )  # neither overflow nor underflow in the squares
        part = part / part.square().sum(1, keepdim=True).sqrt().clamp_min(1e-300)
        out[start : start + step] = (part * GRID).round() / GRID
    return out


def recall(
    found: Tensor,  # (N, K) indices
    true: Tensor,  # (N, K) indices
) -> float:
    """The share of the true neighbours that were found, 0 to 1, in any order."""
    if found.shape != true.shape:
        raise AvbookError(
            f"found is {tuple(found.shape)} and true {tuple(true.shape)}: expected the same videos"
            " and the same K"
        )
    hits = sum(
        int((a[:, :, None] == b[:, None]).sum())
        for a, b in zip(found.split(1024), true.split(1024))
    )
    return hits / true.numel()


@contextlib.contextmanager
def full_precision():
    """Computes float32 products in full precision within the block: the error bound of the
    candidates relies on it."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


# -------------------------------------------------------------------------------------------- exact
def search_rows(
    unit: Tensor,  # (N, D) from `unit_rows`
    k: int,
    block: int,  # rows of similarities at a time
    queries: Tensor | None = None,  # (Q,) rows whose sets are requested; None: all
) -> tuple[Tensor, Tensor]:
    """Affinity and repulsion sets of the rows, each (Q, K) on the CPU, exact: the block-wise part
    of `contrastive_sets`."""
    n, dim = unit.shape
    queries = torch.arange(n) if queries is None else queries
    count, table = min(k + SPARE, n - 1), unit.double() if n <= SMALL else unit
    error = (
        0.0 if n <= SMALL else 1.1 * dim * 2.0**-24
    )  # of a float32 product of unit rows, for any order of summation
    sets = torch.empty(2, len(queries), k, dtype=torch.int64)
    scores = torch.empty(min(block, len(queries)), n, device=unit.device, dtype=table.dtype)
    for start in range(0, len(queries), block):
        rows = queries[start : start + block].to(unit.device)
        here = torch.arange(len(rows), device=unit.device)
        part = torch.mm(table[rows], table.T, out=scores[: len(rows)])
        for which, largest in enumerate((True, False)):
            part[here, rows] = float("-inf") if largest else float("inf")  # never its own neighbour
            values, columns = _extremes(part, count, largest)
            best, exact = (
                _ranked(unit, rows, columns, k, largest)
                if error
                else _in_order(values, columns, k, largest)
            )
            if count < n - 1:  # could one left out be as near as the last one taken?
                last, left_out = (
                    exact[:, -1],
                    (values.double().amin(1) if largest else values.double().amax(1)),
                )
                doubt = (last <= left_out + error) if largest else (last >= left_out - error)
                if doubt.any():
                    best[doubt] = _without_candidates(unit, rows[doubt], k, largest)
            sets[which, start : start + block] = best.cpu()
    return sets[0], sets[1]


def _extremes(scores: Tensor, count: int, largest: bool) -> tuple[Tensor, Tensor]:
    """(values, columns), each (rows, count): the largest of each row in any order; no other is
    larger than the smallest of them."""
    groups = scores.shape[1] // GROUP
    if groups <= 2 * count:
        return scores.topk(count, largest=largest, sorted=False)
    # strided groups: column j belongs to group j mod groups, so that the maximum over a group
    # runs along memory
    table = scores[:, : groups * GROUP].unflatten(1, (GROUP, groups))
    peaks = table.amax(1) if largest else table.amin(1)
    chosen = peaks.topk(count, largest=largest, sorted=False).indices
    steps = torch.arange(GROUP, device=scores.device) * groups
    rest = torch.arange(groups * GROUP, scores.shape[1], device=scores.device).expand(
        len(scores), -1
    )
    columns = torch.cat([(chosen[:, :, None] + steps).flatten(1), rest], 1)
    values, place = scores.gather(1, columns).topk(count, largest=largest, sorted=False)
    return values, columns.gather(1, place)


def _ranked(
    unit: Tensor, rows: Tensor, columns: Tensor, k: int, largest: bool
) -> tuple[Tensor, Tensor]:
    """(columns, cosines), each (rows, k): the best candidates, by exact cosine and then by index; a
    row itself comes last."""
    step = max(1, 2**17 // (columns.shape[1] * unit.shape[1]))  # what fits a core's cache
    found = []
    for here, at in zip(rows.split(step), columns.split(step)):
        near = unit.index_select(0, at.flatten()).view(len(at), -1, unit.shape[1])
        exact = torch.einsum("rcd,rd->rc", near.double(), unit[here].double())
        exact[at == here[:, None]] = float("-inf") if largest else float("inf")
        found.append(_in_order(exact, at, k, largest))
    return torch.cat([at for at, _ in found]), torch.cat([cosines for _, cosines in found])


def _in_order(cosines: Tensor, columns: Tensor, k: int, largest: bool) -> tuple[Tensor, Tensor]:
    """(columns, cosines), each (rows, k): the best by cosine and then by index."""
    columns, place = columns.sort(1)
    cosines, order = cosines.gather(1, place).sort(dim=1, descending=largest, stable=True)
    return columns.gather(1, order[:, :k]), cosines[:, :k]


def _without_candidates(unit: Tensor, rows: Tensor, k: int, largest: bool) -> Tensor:
    """(rows, k): the same from exact cosines with all others, for rows with many others that are
    alike to the last digits."""
    n, dim = unit.shape
    found = []
    for here in rows.split(max(1, BUDGET // 2 // n)):
        query = unit[here].double().T
        exact = torch.cat(
            [(part.double() @ query).T for part in unit.split(max(1, BUDGET // 4 // dim))], 1
        )  # (rows, N)
        exact[torch.arange(len(here), device=unit.device), here] = (
            float("-inf") if largest else float("inf")
        )
        found.append(exact.sort(dim=1, descending=largest, stable=True).indices[:, :k])
    return torch.cat(found)


# -------------------------------------------------------------------------------------- approximate
def build_index(
    unit: Tensor,  # (N, D) from `unit_rows`
    seed: int = 0,
):
    """A FAISS index of the rows in cells around 4·√N centres (one cell below 1000 rows);
    `AvbookError` if FAISS is missing."""
    try:
        import faiss
    except ImportError:
        raise AvbookError(
            'method="approximate" needs FAISS, which is not installed: `pip install "avbook[ann]"`,'
            ' or use method="exact"'
        ) from None
    points, (n, dim) = unit.cpu().numpy(), unit.shape
    cells = round(4 * n**0.5) if n >= 1000 else 1
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, cells, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.spherical = seed, True
    index.cp.max_points_per_centroid, index.cp.min_points_per_centroid = 64, 1
    index.train(points)
    index.add(points)
    return index


def search_index(
    index,  # from `build_index`
    unit: Tensor,  # (N, D), the rows of the index
    k: int,
    probes: int,  # cells searched per query
    queries: Tensor | None = None,  # (Q,) rows whose sets are requested; None: all
) -> tuple[Tensor, Tensor]:
    """Affinity and repulsion sets, each (Q, K) on the CPU: the index proposes, exact cosines rank;
    the farthest are the nearest of −f."""
    if isinstance(probes, bool) or not isinstance(probes, int) or probes < 1:
        raise AvbookError(f"probes={probes!r}: expected a whole number of cells, at least 1")
    queries = torch.arange(len(unit)) if queries is None else queries
    index.nprobe = min(probes, index.nlist)
    count = min(k + SPARE + 1, len(unit))  # one more: a video finds itself
    sets = torch.empty(2, len(queries), k, dtype=torch.int64)
    for start in range(0, len(queries), 4096):
        rows = queries[start : start + 4096].to(unit.device)
        for which, largest in enumerate((True, False)):
            query = unit[rows].cpu().numpy()
            found = torch.from_numpy(index.search(query if largest else -query, count)[1]).to(
                unit.device
            )
            found = torch.where(
                found < 0, rows[:, None], found
            )  # too few in the searched cells: filled up with the row itself, which never counts
            best = _ranked(unit, rows, found, k, largest)[0]
            short = (found != rows[:, None]).sum(1) < k
            if short.any():
                best[short] = _without_candidates(unit, rows[short], k, largest)
            sets[which, start : start + 4096] = best.cpu()
    return sets[0], sets[1]
