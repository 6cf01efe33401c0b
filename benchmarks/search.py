"""Affinity and repulsion sets at scale: time, memory and share of the machine's matrix-multiply
peak of the exact search, and the savings of an index.

    OMP_NUM_THREADS=2 python benchmarks/search.py [--out FILE.json] [--dim 1024] [--k 30]
        [--sizes 3339 10000 30000 100000] [--only exact|index]

Features are made up: N points around N/100 centres, so that there are neighbours to find; their
values hardly change the time of the exact search. Each line runs in its own process and also
measures that process's peak: a product of the dominant shape, in float32 and in the search's
precision at this N. If an exact search would take longer than --seconds, a share of the query rows
is searched against all N, and the total time is that time divided by the share (one-time work,
scaling the rows to unit length, is not scaled up). Recall is the share of the exact sets' members
in the index's sets, over the rows that were searched exactly. Lines already in the file are kept:
sizes can be run one at a time."""

import json
import os
import time
from importlib.util import find_spec

import torch
from measure import Apart, arguments, machine, peak_memory_mb, row, seconds_of, write

from avbook.unsupervised import neighbours


def made_up(n: int, dim: int, device: str = "cpu") -> torch.Tensor:
    g = torch.Generator(device).manual_seed(0)
    here = {"generator": g, "device": device}
    out = torch.randn(max(2, n // 100), dim, **here)[
        torch.randint(0, max(2, n // 100), (n,), **here)
    ]
    for start in range(0, n, 4096):
        out[start : start + 4096] += 1.5 * torch.randn(out[start : start + 4096].shape, **here)
    return out


def peak_of_blocks(unit: torch.Tensor, rows: int, seconds: float = 2.0) -> float:
    """Billions of operations per second of the product of a block of rows with all rows, the best
    within the given time."""
    n, dim = unit.shape
    rows, best, end = min(rows, n), 0.0, time.perf_counter() + seconds
    out, other = torch.empty(rows, n, dtype=unit.dtype, device=unit.device), unit.T
    device = unit.device.type
    while time.perf_counter() < end or not best:
        took = seconds_of(lambda: torch.mm(unit[:rows], other, out=out), device)
        best = max(best, 2 * rows * n * dim / took / 1e9)
    return best


def one_by_one(unit: torch.Tensor, k: int, queries: int) -> float:
    """Seconds of a straightforward search: each of all N videos, one by one, has its cosines with
    all others sorted. Measured on some videos and scaled to N."""
    rows = torch.linspace(0, len(unit) - 1, queries).long().tolist()

    def search():
        for own in rows:
            order = (unit @ unit[own]).argsort(descending=True)
            order = order[order != own]
            order[:k].cpu(), order[-k:].cpu()

    return seconds_of(search, unit.device.type) * len(unit) / queries


def exact(n: int, dim: int, k: int, seconds: float, device: str) -> dict:
    features = made_up(n, dim, device)
    before = peak_memory_mb(device)
    started = time.perf_counter()
    unit = neighbours.unit_rows(features)
    scaling = time.perf_counter() - started
    block = max(1, neighbours.BUDGET // n)
    peak = peak_of_blocks(unit, block)
    own = peak_of_blocks(unit.double(), block) if n <= neighbours.SMALL else peak
    guess = 2 * n * n * dim / own / 1e9 * 1.6
    queries = n if guess <= seconds else max(block, int(n * seconds / guess) // block * block)
    started = time.perf_counter()
    with torch.no_grad():
        neighbours.search_rows(unit, k, block, torch.arange(queries))  # moves the sets to the CPU
    searching = time.perf_counter() - started
    whole = scaling + searching * n / queries
    flops = 2 * n * n * dim
    return {
        "n": n,
        "queries": queries,
        "seconds": whole,
        "measured_seconds": scaling + searching,
        "gflops": flops / whole / 1e9,
        "peak_gflops": peak,
        "products": "float64" if n <= neighbours.SMALL else "float32",
        "own_peak_gflops": own,
        "share_of_float32_peak": flops / whole / 1e9 / peak,
        "share_of_own_peak": flops / whole / 1e9 / own,
        "features_mb": features.numel() * 4 / 1e6,
        "peak_memory_mb": peak_memory_mb(device),
        "memory_before_mb": before,
        "one_by_one_seconds": one_by_one(unit, k, min(n, 50)),
        "all_pairs_mb": 4 * n * n / 1e6,
    }


def index(n: int, dim: int, k: int, probes: list[int], queries: int) -> dict:
    """Time of the index as a whole, for each number of probes, and recall on the first rows against
    exact search."""
    features = made_up(n, dim)
    unit = neighbours.unit_rows(features)
    rows = torch.arange(min(queries, n))
    with torch.no_grad():
        true = neighbours.search_rows(unit, k, max(1, neighbours.BUDGET // n), rows)
        started = time.perf_counter()
        built = neighbours.build_index(unit, seed=0)
        building = time.perf_counter() - started
        lines = []
        for number in probes:
            started = time.perf_counter()
            found = neighbours.search_index(built, unit, k, number, rows)
            asking = (time.perf_counter() - started) * n / len(rows)
            recalls = {
                name: neighbours.recall(a, b)
                for name, a, b in zip(("affinity", "repulsion"), found, true)
            }
            lines.append(
                {
                    "probes": number,
                    "query_seconds": asking,
                    "seconds": building + asking,
                    "recall": recalls,
                }
            )
    return {
        "n": n,
        "queries": len(rows),
        "cells": built.nlist,
        "build_seconds": building,
        "probes": lines,
        "peak_memory_mb": peak_memory_mb(),
    }


def measure(kind: str, **sizes) -> dict:
    """A line, and the load of the machine while it was measured."""
    return {"exact": exact, "index": index}[kind](**sizes) | {"load": os.getloadavg()[0]}


def rows_of(lines: dict[str, dict]) -> list[dict]:
    return [
        row(
            f"CMLCL: exact search among {line['n']:,}",
            "each video by itself, all its cosines sorted (from 50)",
            line["seconds"],
            line.get("one_by_one_seconds"),
            share_of_peak=line["share_of_own_peak"],
            peak_memory_mb=line["peak_memory_mb"],
        )
        for line in lines.values()
    ]


def main() -> None:
    asked = arguments(__doc__, "search")
    asked.add_argument("--dim", type=int, default=1024)
    asked.add_argument("--k", type=int, default=30)
    asked.add_argument("--sizes", type=int, nargs="+", default=[3339, 10_000, 30_000, 100_000])
    asked.add_argument(
        "--only",
        choices=("exact", "index"),
        help='without faiss (`pip install "avbook[ann]"`) only the exact search runs',
    )
    asked.add_argument(
        "--seconds",
        type=float,
        default=60.0,
        help="limit of an exact search, beyond which rows are sampled",
    )
    asked.add_argument("--queries", type=int, default=2000, help="rows queried in the index")
    asked.add_argument("--probes", type=int, nargs="+", default=[8, 32, 128])
    args = asked.parse_args()
    if args.one:
        return print(json.dumps(measure(**json.loads(args.one))))
    if args.quick:
        args.sizes, args.dim, args.k, args.queries, args.probes = [200], 16, 3, 50, [2]
    kinds = [args.only] if args.only else ["exact", "index"] if find_spec("faiss") else ["exact"]
    apart = Apart(__file__, measure, args.quick)
    found = (
        json.loads(args.out.read_text(encoding="utf-8"))
        if args.out.exists()
        else {"exact": {}, "index": {}}
    )
    found |= {"name": "search", "machine": machine(args.device), "dim": args.dim, "k": args.k}
    options = {
        "exact": {"seconds": args.seconds, "device": args.device},
        "index": {"probes": args.probes, "queries": args.queries},
    }
    for n in args.sizes:
        for kind in kinds:
            found[kind][str(n)] = line = apart(
                kind=kind, n=n, dim=args.dim, k=args.k, **options[kind]
            )
            if kind == "exact":
                print(
                    f"exact {n:7}: {line['seconds']:7.1f} s ({line['queries']} of {n} rows"
                    f" searched), {line['gflops']:.0f} GFLOP/s,"
                    f" {100 * line['share_of_own_peak']:.0f} % of {line['own_peak_gflops']:.0f}"
                    f" ({line['products']}; float32 {line['peak_gflops']:.0f}),"
                    f" {line['peak_memory_mb']:.0f} MB at most (all pairs would be"
                    f" {line['all_pairs_mb']:.0f} MB)",
                    flush=True,
                )
            for entry in line.get("probes", ()):
                print(
                    f"index {n:7}: {entry['seconds']:7.1f} s ({line['build_seconds']:.1f} s of them"
                    f" building), {entry['probes']} of {line['cells']} cells: recall"
                    f" {100 * entry['recall']['affinity']:.1f} % affinity,"
                    f" {100 * entry['recall']['repulsion']:.1f} % repulsion",
                    flush=True,
                )
        write(args.out, found | {"rows": rows_of(found["exact"])})


if __name__ == "__main__":
    main()
