"""Explorer of PSP's threshold τ: the pairs of segments that survive it, and the prediction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from avbook.errors import AvbookError
from avbook.show.explorers.base import Explorer, figure_image, frame_sheet, rounded
from avbook.show.plots import array
from avbook.show.widgets.threshold import cutting_at, draw_tau, rows_offered, world_frames

__all__ = ["explore_threshold", "TAUS"]

TAUS = tuple(step / 200 for step in range(61))  # 0 to 0.3 in steps of 0.005


def explore_threshold(
    net,  # a trained `PSP` with prune="psp" or "sapsp"
    data,  # an `AVE` data set
    clips: Sequence[int],  # rows of the test split to choose from
    taus: Sequence[float] = TAUS,  # thresholds of the slider, in equal steps
) -> Explorer:
    """Choose a clip, move τ: which pairs are removed, what is propagated, which segments the
    network then classifies correctly; and accuracy over all test clips.

    The maps are computed in the browser, predictions here for each τ. Raises `AvbookError` for a
    network without a threshold, rows outside the split and unequal steps."""
    rows = rows_offered(clips, len(data.test), "test")
    steps = np.diff(np.asarray(taus, float))
    if not len(steps) or steps[0] <= 0 or not np.allclose(steps, steps[0]):
        raise AvbookError(f"taus={list(taus)}: expected two or more in equal steps upwards")
    device = next(net.parameters()).device
    batch = data.test.batch(range(len(data.test)))
    inputs = {name: batch[name].to(device) for name in ("audio", "visual")}
    truth = array(batch["labels"]).argmax(-1)
    predicted, kept = [], []
    with cutting_at(net, 0.0), torch.inference_mode():
        encoded = net.encoder(inputs["audio"], inputs["visual"])  # does not depend on τ
    for tau in taus:
        with cutting_at(net, float(tau)), torch.inference_mode():
            out = net.propagation(encoded["v_lstm"], encoded["a_lstm"])
            out |= net.head(net.fusion(out["v_psp"], out["a_psp"])["fusion"])
        predicted.append(array(out["scores"]).argmax(-1))
        kept.append(100 * float((out["gamma_va"] > 0).float().mean()))
    at_each = np.stack(predicted)  # (taus, N, T)
    shown = []
    for row in rows:
        frames = world_frames(data, data.test, row)
        names = dict.fromkeys(data.categories[c] for c in truth[row] if c < len(data.categories))
        shown.append(
            {
                "name": f"{row}: {', '.join(names) or 'background'}",
                "truth": truth[row].tolist(),
                "beta_va": rounded(out["beta_va"][row], 5),
                "beta_av": rounded(out["beta_av"][row], 5),
                "predicted": at_each[:, row].tolist(),
                "frames": None if frames is None else frame_sheet(frames),
            }
        )
    paper = float(net.propagation.tau)
    frames = world_frames(data, data.test, rows[0])
    return Explorer(
        "threshold",
        "Explorer of the threshold τ",
        {
            "clips": shown,
            "names": list(data.categories),
            "taus": rounded(np.asarray(taus), 6),
            "paper": paper,
            "test": {
                "clips": len(truth),
                "accuracy": rounded(100 * (at_each == truth).mean((1, 2)), 2),
                "kept": rounded(np.array(kept), 2),
            },
        },
        figure_image(draw_tau(net, batch, paper, data.categories, rows[0], frames)),
        f"Test clip {rows[0]} at τ = {paper:g}: the affinities of all pairs with the removed ones"
        " crossed, the propagated ones, ground truth and PSP's prediction.",
    )
