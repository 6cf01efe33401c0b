"""CMRAN as recipes: fully and weakly supervised, each trained in one stage."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from avbook.experiments.options import WIDEST, MilestoneSchedule, option
from avbook.experiments.recipe import Recipe, pick
from avbook.experiments.recipes.psp import AttentionSize

__all__ = ["RECIPES"]


# ------------------------------------------------------------------------------------------ options
@dataclass(frozen=True)
class RestOfAttention:
    """The audio-guided spatial-channel attention, besides the width it shares with AVEL's."""

    bottleneck: int = option(256, "hidden width of the channel attention", least=1, most=WIDEST)
    spatial_dim: int = option(
        256, "width in which positions and audio are compared", least=1, most=WIDEST
    )
    adapted: int = option(
        512, "output width of the first layer at each position", least=1, most=WIDEST
    )
    adapt_dropout: float = option(0.2, "dropout after the first layer", least=0, below=1)


@dataclass(frozen=True)
class Relations:
    """The relation layers within and across the modalities, and the interaction."""

    width: int = option(256, "d, width of the relations' features", least=1, most=WIDEST)
    heads: int = option(4, "heads of the relations; must divide width", least=1, most=WIDEST)
    feed: int = option(2048, "hidden width of a relation layer", least=1, most=WIDEST)
    layers: int = option(2, "relation layers within each modality", least=1, most=100)
    fusion_heads: int = option(
        4, "heads of the interaction; must divide width", least=1, most=WIDEST
    )
    dropout: float = option(0.1, "dropout of the relations and the interaction", least=0, below=1)


@dataclass(frozen=True)
class WeakLoss:
    """The loss of the weakly supervised setting."""

    double_sigmoid: bool = option(True, "apply a sigmoid to the clip's probabilities, as released")
    targets: str = option(
        "tags",
        "the clip's label: its categories (tags), or the share of time of each (shares)",
        choices=("tags", "shares"),
    )


@dataclass(frozen=True)
class CMRANFull(AttentionSize, RestOfAttention, Relations, MilestoneSchedule):
    """The options of `cmran-full`, with the schedule of the released command."""

    epochs: int = 200
    batch_size: int = 32
    lr: float = 5e-4
    clip: float = 0.1


@dataclass(frozen=True)
class CMRANWeak(AttentionSize, RestOfAttention, Relations, WeakLoss, MilestoneSchedule):
    """The options of `cmran-weak`, with interaction and schedule as released."""

    fusion_heads: int = 2
    epochs: int = 200
    batch_size: int = 32
    lr: float = 5e-4
    decay_at: str = "5,20,40"
    clip: float = 0.5


# ----------------------------------------------------------------------------------------- building
def _build(weak: bool, settings: dict[str, Any], dims: dict[str, int]) -> tuple:
    from avbook.supervised.cmran import CMRAN, CMRANMethod

    sizes = pick(settings, AttentionSize, RestOfAttention, Relations)
    net = CMRAN(weak=weak, **pick(dims, ("categories", "audio_dim", "visual_dim")), **sizes)
    return net, CMRANMethod(weak=weak, **pick(settings, *([WeakLoss] if weak else [])))


# ------------------------------------------------------------------------------------------ recipes
_QUICK = {  # the widths and epochs of AVEL and PSP under this preset
    "attention_dim": 64,
    "bottleneck": 64,
    "spatial_dim": 64,
    "adapted": 64,
    "width": 64,
    "feed": 512,  # eight times the width, as released
    "epochs": 40,
    "threads": 1,
}

RECIPES = (
    Recipe(
        name="cmran-full",
        task="ave",
        about="CMRAN, every second labelled: relevance per second, category per clip",
        settings=CMRANFull,
        quick=_QUICK,
        build=partial(_build, False),
    ),
    Recipe(
        name="cmran-weak",
        task="ave",
        about="CMRAN, each clip labelled with its categories: maximum over time of relevant scores",
        settings=CMRANWeak,
        quick=_QUICK,
        build=partial(_build, True),
        open={"weak": True},  # the training split with its background clips
    ),
)
