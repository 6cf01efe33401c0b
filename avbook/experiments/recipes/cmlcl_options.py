"""The options of CMLCL and of the clustering baselines, in groups by part of the method."""

from __future__ import annotations

import math
from dataclasses import dataclass

from avbook.experiments.options import WIDEST, Threads, option

__all__ = ["CMLCLOptions", "ClusterOptions", "read_kl_cap"]


# --------------------------------------------------------------------------------------- represent
@dataclass(frozen=True)
class Backbone:
    """The network that makes the features."""

    width: int = option(
        512, "d, width of a modality's features, a multiple of heads", least=1, most=WIDEST
    )
    heads: int = option(4, "heads of the attention over time", least=1, most=WIDEST)
    s_attn: bool = option(True, "spatial attention (Eq. 1, 2); false: mean over positions")
    audio2visual: bool = option(
        True, "visual attention over time from both modalities (Eq. 4); false: from itself only"
    )
    visual2audio: bool = option(
        True, "audio attention over time from both modalities (Eq. 4); false: from itself only"
    )
    residual: bool = option(True, "add and normalise, as in CMRAN; false: Eq. 3-5 literally")
    modality: str = option("both", "modalities of the network", choices=("both", "audio", "visual"))


@dataclass(frozen=True)
class Pretext:
    """The two pretext tasks: instance discrimination and feature decorrelation (Eq. 8)."""

    views: str = option(
        "dropout",
        "a clip's vector: mean over all seconds (none), or over a random half (dropout)",
        choices=("none", "dropout"),
    )
    positives: str = option(
        "own",
        "memory bank that a modality is matched with: its own, or the other modality's",
        choices=("own", "cross"),
    )
    tau: float = option(1.0, "τ, temperature of instance discrimination (Eq. 6)", above=0)
    dec: bool = option(True, "with decorrelation (Eq. 7)")
    ins_audio: bool = option(True, "with audio instance discrimination")
    ins_visual: bool = option(True, "with visual instance discrimination")
    form: str = option(
        "soft",
        "decorrelation: cross entropy (soft), squares (hard), or Eq. 7 as printed (videos)",
        choices=("soft", "hard", "videos"),
    )
    momentum: float = option(0.9, "weight of the old vector in the memory banks", least=0, below=1)
    sgd_momentum: float = option(0.9, "momentum of SGD", least=0, below=1)
    bank: str = option(
        "random",
        "initial memory banks: random, or the features of the untrained backbone",
        choices=("random", "features"),
    )


@dataclass(frozen=True)
class PretextFit:
    """The schedule of the backbone."""

    represent_epochs: int = option(200, "epochs of the backbone; 0: none", least=0)
    represent_lr: float = option(0.05, "first learning rate of the backbone (SGD, cosine)", above=0)


# ------------------------------------------------------------------------------------------ E step
def read_kl_cap(
    text: str,  # "log C", "none", or nats with or without their unit: "10nats", "2.5"
) -> float | str | None:
    """The bound in the form of `label_contrast`: "log C", None for no bound, or a number of nats.

    Raises `ValueError` for anything else. The option is a string, since `--set` reads numbers as
    JSON."""
    if text == "none":
        return None
    if text == "log C":
        return text
    nats = float(text.removesuffix("nats"))
    if not 0 < nats < math.inf:
        raise ValueError(f"{nats} nats")
    return nats


@dataclass(frozen=True)
class Categories:
    """The number of clusters, and of neighbours."""

    categories: int = option(28, "C, number of pseudo-categories", least=2, most=WIDEST)
    k: int = option(30, "K, clips in the affinity set and in the repulsion set", least=1)


@dataclass(frozen=True)
class Labels(Categories):
    """Pseudo-labels by label contrast."""

    contrast: bool = option(True, "with the label contrast L_c (Eq. 9)")
    entropy: bool = option(True, "with the entropy of the mean L_e (Eq. 10)")
    literal_sign: bool = option(
        False, "add L_e, as printed in Eq. 11; false: subtract it, as the text requires"
    )
    kl_cap: str = option(
        "log C",
        "upper bound of each divergence from the repulsion set",
        parse=read_kl_cap,
        form="log C, none or nats, such as 10nats",
    )
    through_neighbours: bool = option(
        True, "the neighbours' distributions get gradients; false: they are fixed targets"
    )
    search: str = option(
        "exact",
        "neighbour search; approximate needs FAISS",
        choices=("exact", "approximate"),
    )


@dataclass(frozen=True)
class LabelsFit:
    """The schedule of the pseudo-labels."""

    annotate_epochs: int = option(200, "epochs of the cluster head Φ", least=1)
    annotate_lr: float = option(
        0.05, "first learning rate of the cluster head (SGD, cosine)", above=0
    )


# ------------------------------------------------------------------------------------------ M step
@dataclass(frozen=True)
class Localiser:
    """The network that finds the seconds of the event."""

    gamma: str = option(
        "softmax",
        "γ, relevance of the seconds: softmax (Eq. 14), or sigmoid over its sum",
        choices=("softmax", "sigmoid"),
    )
    temperature: float = option(1.0, "temperature of γ", above=0)
    soft_labels: bool = option(
        False, "train on the cluster head's distributions; false: on their most probable category"
    )
    strangers: str = option(
        "none",
        "replace seconds by those of other clips: any, or those with the smallest γ (weakest)",
        choices=("none", "any", "weakest"),
    )
    share: float = option(0.3, "share of replaced seconds", least=0, below=1)


@dataclass(frozen=True)
class LocaliserFit:
    """The schedule of the localiser."""

    epochs: int = option(30, "epochs of the localiser", least=1)
    lr: float = option(5e-4, "learning rate of the localiser (Adam)", above=0)
    weight_decay: float = option(5e-4, "weight decay of the localiser", least=0)


# ----------------------------------------------------------------------------------------- scoring
@dataclass(frozen=True)
class Scoring:
    """From rounds to events."""

    rounds: int = option(3, "rounds of E and M step", least=1)
    theta: float = option(
        0.5, "θ, seconds with γ below θ times the clip's largest are background", least=0, most=1
    )


@dataclass(frozen=True)
class Naming:
    """The names of the pseudo-categories."""

    naming: str = option(
        "train",
        "clips whose labels name the pseudo-categories",
        choices=("train", "judged"),
    )


# -------------------------------------------------------------------------------------- all stages
@dataclass(frozen=True)
class _Passes:
    batch_size: int = option(32, "clips in a step, in every stage", least=1)
    precision: str = option(
        "no", "floats of the forward pass: no is float32", choices=("no", "bf16", "fp16")
    )


@dataclass(frozen=True)
class Batches(_Passes, Threads):
    """The options of all stages."""


# ------------------------------------------------------------------------------------- the recipes
@dataclass(frozen=True)
class CMLCLOptions(
    Backbone,
    Pretext,
    PretextFit,
    Labels,
    LabelsFit,
    Localiser,
    LocaliserFit,
    Scoring,
    Naming,
    Batches,
):
    """The options of `cmlcl`."""


@dataclass(frozen=True)
class Clustering:
    """The replacement of the pseudo-labels."""

    method: str = option(
        "kmeans", "how clips are grouped", choices=("kmeans", "spectral", "random")
    )
    features: str = option(
        "learned",
        "features of CMLCL's backbone, or of the frozen extractors",
        choices=("learned", "raw"),
    )


@dataclass(frozen=True)
class ClusterOptions(Clustering, Backbone, Pretext, PretextFit, Categories, Naming, Batches):
    """The options of `cluster`; those of the backbone decide which features it shares."""
