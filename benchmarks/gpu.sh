#!/usr/bin/env bash
# What one GPU makes of the book: the tests that need CUDA, then training, refinement, search and
# extractors, each against the plain loop in the same run. Planned for under eight minutes on an
# H100 or H200; no part may take longer than its own limit.
#
#     bash benchmarks/gpu.sh [OUT]                    # OUT/*.json and OUT/tests.txt
#     DEVICE=cpu QUICK=--quick bash benchmarks/gpu.sh OUT   # every line at tiny sizes, without a GPU
#
# Run from anywhere; Python is $PYTHON, else python. The exit code says whether a part failed.
set -uo pipefail
cd "$(dirname "$0")/.."
OUT=${1:-benchmarks/results/gpu} DEVICE=${DEVICE:-cuda} QUICK=${QUICK:-} PYTHON=${PYTHON:-python}
mkdir -p "$OUT"
failed=0

part() { # SECONDS NAME COMMAND…: the command, ended after so many seconds
  local most=$1 name=$2 started=$SECONDS
  shift 2
  echo "== $name"
  if timeout "$most" "$@"; then
    echo "== $name: $((SECONDS - started)) s"
  else
    echo "== $name: failed ($?) after $((SECONDS - started)) s"
    failed=1
  fi
}

tests() { # the device's numbers are the CPU's
  "$PYTHON" -m pytest -q -p no:cacheprovider tests/training/test_device_parity.py -rs >"$OUT/tests.txt" 2>&1
  local code=$?
  tail -n 3 "$OUT/tests.txt"
  return $code
}
export -f tests
export PYTHON OUT AVBOOK_TEST_DEVICE=$DEVICE

part 60 tests bash -c tests
# shellcheck disable=SC2086  # QUICK is one word or none
{
  part 230 "training and extractors" "$PYTHON" benchmarks/gpu_parts.py --device "$DEVICE" $QUICK --out "$OUT/gpu_parts.json"
  part 60 "HAN and MA" "$PYTHON" benchmarks/han_step.py --device "$DEVICE" --rounds 2 $QUICK --out "$OUT/han_step.json"
  part 60 refinement "$PYTHON" benchmarks/refinement.py --device "$DEVICE" --sample 50 $QUICK --out "$OUT/refinement.json"
  part 70 search "$PYTHON" benchmarks/search.py --device "$DEVICE" --only exact --sizes 1000000 --seconds 30 $QUICK --out "$OUT/search.json"
}
exit $failed
