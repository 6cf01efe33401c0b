"""Explorer of label contrast: a clip's nearest and farthest clips, and how they pull its soft
label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from avbook.errors import AvbookError
from avbook.show.explorers.base import Explorer, figure_image, frame_sheet, rounded
from avbook.show.widgets.neighbours import clip_frames, draw_neighbours
from avbook.show.widgets.threshold import rows_offered
from avbook.unsupervised.label_contrast import cap_of, label_contrast
from avbook.unsupervised.neighbours import ContrastiveSets, contrastive_sets, unit_rows

__all__ = ["explore_neighbours"]

SHEET = 100  # frames in one image: browsers and WebP limit its width


def explore_neighbours(
    data,  # an `AVE` data set
    vectors: dict[str, Tensor],  # (N, D), one for each training clip, by what they are
    heads: dict[str, Tensor],  # (N, C) log-probabilities of all clips, by the head's state
    clips: Sequence[int],  # rows of the training split to choose from
    k: int = 6,  # where the slider over K starts
    most: int = 10,  # where it ends
) -> Explorer:
    """Choose a clip and K: the nearest and farthest training clips, the share that is right, and
    the pull of label contrast (Eq. 9 of CMLCL, capped at log C) on the clip's soft label.

    Sets, shares and soft labels are computed here, loss and pull in the browser. Raises
    `AvbookError` for rows outside the split, K out of range and other shapes."""
    split = data.train
    rows = [int(row) for row in rows_offered(clips, len(split), "train")]
    if not 1 <= k <= most < len(split):
        raise AvbookError(f"k={k}, most={most}: expected 1 <= k <= most < {len(split)} clips")
    for name, values in (vectors | heads).items():
        if values.ndim != 2 or len(values) != len(split):
            raise AvbookError(
                f"{name!r} has shape {tuple(values.shape)}: expected ({len(split)}, …), a row for"
                " each training clip"
            )
    truth = np.asarray(split.labels)[..., :-1].sum(1).argmax(1)
    heads = {name: log_p.detach().cpu().clone() for name, log_p in heads.items()}
    sets = {name: contrastive_sets(x, most) for name, x in vectors.items()}
    shown = sorted({*rows, *_members(sets.values(), rows)})  # every clip that can appear
    place = {row: at for at, row in enumerate(shown)}
    first = next(iter(vectors))
    figure = draw_neighbours(data, split, vectors[first], rows[0], k, sets[first])
    return Explorer(
        "neighbours",
        "Explorer of nearest and farthest clips and their pull",
        {
            "clips": [place[row] for row in rows],
            "shown": [[row, int(truth[row])] for row in shown],
            "names": list(data.categories),
            "frames": _sheets(clip_frames(data, split, shown, size=54)),
            "sheet": SHEET,
            "k": k,
            "vectors": [
                {"name": name, **_near_and_far(x, sets[name], rows, place, truth)}
                for name, x in vectors.items()
            ],
            "heads": [
                {
                    "name": name,
                    # minus the log-probabilities in hundredths of nats
                    "logs": (-100 * log_p[shown]).round().int().tolist(),
                    "favour": rounded(_favour(log_p, truth)[truth[rows]]),
                    "towards": [_towards(log_p, one, truth) for one in sets.values()],
                }
                for name, log_p in heads.items()
            ],
            "cap": cap_of("log C", next(iter(heads.values())).shape[1]),
            "all": len(split),
        },
        figure_image(figure),
        f"Training clip {rows[0]} with its {k} most similar and {k} most dissimilar clips by"
        " cosine: frames, categories and similarities.",
    )


def _members(sets, rows: list[int]) -> list[int]:
    """All members of the sets of these rows."""
    return [
        int(j) for one in sets for j in torch.cat([one.affinity, one.repulsion], 1)[rows].ravel()
    ]


def _sheets(frames: list) -> list | None:
    """The frames as images of `SHEET` each; None where there are none."""
    if frames[0] is None:
        return None
    starts = range(0, len(frames), SHEET)
    return [frame_sheet(np.stack(frames[start : start + SHEET]), quality=40) for start in starts]


def _near_and_far(
    x: Tensor,  # (N, D)
    sets: ContrastiveSets,
    rows: list[int],
    place: dict[int, int],  # of each row among the clips shown
    truth: np.ndarray,  # (N,) categories
) -> dict:
    """Both sets of the rows with cosines, and for each K the percent of all clips' near ones that
    are of the clip's category and of its far ones that are of another."""
    unit, found = unit_rows(x), {}
    for name, members in (("near", sets.affinity), ("far", sets.repulsion)):
        cosines = [(unit[members[row]] @ unit[row]).tolist() for row in rows]
        right = (truth[members] == truth[:, None]) == (name == "near")  # (N, K)
        upto = right.cumsum(1).mean(0) / np.arange(1, right.shape[1] + 1)
        found[name] = {
            "clips": [[place[int(j)] for j in members[row]] for row in rows],
            "cosines": rounded(np.array(cosines), 2),
            "right": rounded(100 * upto, 1),
        }
    return found


def _favour(
    log_p: Tensor,  # (N, C)
    truth: np.ndarray,  # (N,)
) -> Tensor:
    """For each category, (categories, C): the mean log-probability of its clips minus that of all
    other clips. A soft label p fits its category better than others by p · favour nats."""
    member = F.one_hot(torch.as_tensor(truth)).float().T  # (categories, N)
    inside, outside = member.sum(1, keepdim=True), (1 - member).sum(1, keepdim=True)
    return (member @ log_p) / inside.clamp(min=1) - ((1 - member) @ log_p) / outside.clamp(min=1)


def _towards(
    log_p: Tensor,  # (N, C)
    sets: ContrastiveSets,
    truth: np.ndarray,  # (N,)
) -> list[list[list[int]]]:
    """For each K and each number of right near clips, 0 to K: how many clips have so many, and for
    how many of them the first step of the pull raises the fit to their category."""
    favour = _favour(log_p, truth)[truth]  # (N, C)
    found = []
    for k in range(1, sets.k + 1):
        near, far = sets.affinity[:, :k], sets.repulsion[:, :k]
        logits = log_p.clone().requires_grad_(True)
        own = logits.log_softmax(1)
        with torch.enable_grad():
            loss = label_contrast(own, log_p[near], log_p[far]) * len(log_p)
            (slope,) = torch.autograd.grad(loss, logits, retain_graph=True)
            (rise,) = torch.autograd.grad((own.exp() * favour).sum(), logits)
        raises = ((-slope * rise).sum(1) > 0).numpy()
        right = (truth[near] == truth[:, None]).sum(1)
        found.append(
            [[int((right == n).sum()), int(raises[right == n].sum())] for n in range(k + 1)]
        )
    return found
