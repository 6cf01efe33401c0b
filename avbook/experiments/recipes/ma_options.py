"""The options of HAN, MA and the rule without a model, in groups by part of the method."""

from __future__ import annotations

from dataclasses import dataclass

from avbook.experiments.options import WIDEST, Schedule, Threads, option

__all__ = ["HANOptions", "MAOptions", "RuleOptions"]


@dataclass(frozen=True)
class Network:
    """HAN's network, which MA uses too."""

    width: int = option(512, "d, width after the input layers", least=1, most=WIDEST)
    hidden: int = option(512, "width of the feed-forward step", least=1, most=WIDEST)
    dropout: float = option(0.1, "dropout in the attention and after it", least=0, below=1)
    average: str = option(
        "before",
        "average a second's frames before or after their layer (the same function)",
        choices=("before", "after"),
    )
    pool: str = option(
        "attention",
        "pooling over seconds: learned weights (attention), mean or max",
        choices=("attention", "mean", "max"),
    )
    normalise: bool = option(False, "the video's pooling weights sum to 1; false: as released")
    modality: str = option(
        "both",
        "modalities of the network; a single one predicts no event in the other",
        choices=("both", "audio", "visual"),
    )


@dataclass(frozen=True)
class Targets:
    """The targets of the clip's probabilities."""

    smoothing_audio: float = option(0.0, "label smoothing of the audio target", least=0, most=1)
    smoothing_visual: float = option(0.1, "label smoothing of the visual target", least=0, most=1)


@dataclass(frozen=True)
class Events:
    """From probabilities to the events of each second."""

    filter: str = option(
        "video",
        "where an event must also be detected: in the whole video, or in its modality",
        choices=("video", "modality"),
    )
    threshold: float = option(
        0.5, "smallest probability of an event, in seconds and clips", least=0, most=1
    )


@dataclass(frozen=True)
class Contrast:
    """The temporal contrast between the audio and visual streams."""

    contrast: bool = option(True, "C of Table 2: with the contrastive loss (Eq. 8)")
    tau: float = option(0.2, "τ, temperature of the contrast", above=0)
    direction: str = option(
        "code",
        "code: each audio segment is matched with its visual one; both: and vice versa",
        choices=("code", "both"),
    )
    smoothing: float = option(0.1, "label smoothing of the contrast", least=0, most=1)
    weight: float = option(1.0, "weight of the contrast in the loss", least=0)


@dataclass(frozen=True)
class Refining:
    """Refinement of labels by exchanging streams between videos."""

    refine: str = option(
        "both",
        "modalities whose labels are refined (R of Table 2); truth, speech: no network",
        choices=("both", "audio", "visual", "none", "truth", "speech"),
    )
    partners: int = option(1, "videos with which each video exchanges a stream", least=1, most=1000)
    errors: str = option(
        "code",
        "E_c over all videos (code) or those with the label (positives); none: E_c = 1",
        choices=("code", "positives", "none"),
    )
    refine_threshold: float = option(
        0.5, "a label is dropped if both probabilities divided by E_c are below this", least=0
    )


@dataclass(frozen=True)
class RefinedTargets:
    """The treatment of dropped labels."""

    aliased_targets: bool = option(
        False, "a label dropped for audio is also removed from the video's target, as released"
    )
    smooth_dropped: bool = option(False, "smooth a dropped visual label like an absent one")


@dataclass(frozen=True)
class ParsingSchedule(Schedule):
    """The released schedule of HAN and MA."""

    epochs: int = 40
    batch_size: int = 16
    lr: float = 3e-4
    decay_every: int = 10
    decay: float = 0.1
    decay_until: int = 1000


@dataclass(frozen=True)
class HANOptions(Network, Targets, Events, ParsingSchedule):
    """The options of `han`."""


@dataclass(frozen=True)
class MAOptions(Network, Contrast, Refining, RefinedTargets, Targets, Events, ParsingSchedule):
    """The options of `ma`."""

    filter: str = "modality"


@dataclass(frozen=True)
class Rule:
    """A prediction without a model."""

    rule: str = option(
        "nothing",
        "the prediction: empty, or the video's own label in every second of both modalities",
        choices=("nothing", "weak-label"),
    )


@dataclass(frozen=True)
class RuleOptions(Rule, Threads):
    """The options of `rule`."""
