"""The extractors of a feature folder: chosen by name, with their weight files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from avbook.common.options import check_choice
from avbook.data.spec import AVE_SPEC, LLP_SPEC, find_spec
from avbook.errors import AvbookError
from avbook.features.official_weights import PUBLISHED
from avbook.training.device import check_device, default_device

__all__ = ["VISUAL", "AUDIO", "FeaturePlan", "plan_features"]

VISUAL = {
    "lite0": ("lite0",),
    "vgg19": ("vgg19",),
    "resnet152+r2plus1d": ("resnet152", "r2plus1d_18"),
    "world": ("world",),
}  # the networks of each choice
AUDIO = {"yamnet": ("yamnet",), "vggish": ("vggish",), "world": ("world",)}
ONE_TASK = {
    "vgg19": AVE_SPEC,
    "resnet152+r2plus1d": LLP_SPEC,
}  # the data set of these official features
FILES = {
    **{kind: kind for kind in PUBLISHED},
    "lite0": "efficientnet-lite0",
    "yamnet": "yamnet",
    "world": "extractors",
}  # prefix of a network's weight file, in lower case


@dataclass(frozen=True)
class FeaturePlan:
    """The extractors by name, and what they need. Small, so that it can be sent to processes."""

    task: str  # "ave" or "llp"
    visual: str = "lite0"  # a key of `VISUAL`
    audio: str = "yamnet"  # a key of `AUDIO`
    weights: tuple[tuple[str, str], ...] = ()  # (network, path of its file)
    project: bool = False  # to the official widths
    any_weights: bool = False  # accept files with an unpublished hash
    device: str = "cpu"
    filters: str = "trained"  # filters of the world's extractors: a key of `FILTERS`
    dims: tuple[tuple[str, int], ...] = ()  # widths of their features that are not the default


# ---------------------------------------------------------------------------------------- choosing
def plan_features(
    task: str,  # "ave" or "llp"
    visual: str = "lite0",  # a key of `VISUAL`
    audio: str = "yamnet",  # a key of `AUDIO`
    weights: Sequence = (),  # files; the network follows from the name, or from "NETWORK=FILE"
    project: bool = False,  # project features to the official widths with a seeded matrix
    any_weights: bool = False,  # accept other weights in a published file's layout
    device: str = "auto",  # "auto", "cpu", "cuda" or "mps"
) -> FeaturePlan:
    """The plan; nothing is read yet. Raises `AvbookError` for an unknown name, an extractor of the
    other task, a weight file of an unused network, and a missing weight file."""
    find_spec(task)
    check_choice("visual", visual, tuple(VISUAL))
    check_choice("audio", audio, tuple(AUDIO))
    spec = ONE_TASK.get(visual)
    if spec is not None and spec.task != task:
        raise AvbookError(
            f"visual={visual!r}: makes {spec.name}'s features; expected like={spec.task!r}, or"
            f" another extractor: {', '.join(name for name in VISUAL if name not in ONE_TASK)}"
        )
    check_device(device)
    where = default_device().type if device == "auto" else device
    needed = (*AUDIO[audio], *VISUAL[visual])
    given = _match_weights(weights, needed)
    for network in needed:
        if network in PUBLISHED and network not in given:
            raise AvbookError(
                f"weights: none for {PUBLISHED[network].network}, which {audio} and {visual} need;"
                f" {PUBLISHED[network].expected}: give it as --weights FILE"
            )
    pairs = tuple(sorted(given.items()))
    return FeaturePlan(task, visual, audio, pairs, project, any_weights, where)


def _match_weights(weights: Sequence, needed: Sequence[str]) -> dict[str, str]:
    """Network -> the path of its file."""
    found: dict[str, str] = {}
    for given in map(str, weights):
        network, mark, path = given.partition("=")
        if not mark or network not in FILES:
            name, path = Path(given).name.lower(), given
            fits = [kind for kind, begins in FILES.items() if name.startswith(begins)]
            network = fits[0] if fits else ""
        if not network:
            raise AvbookError(
                f"{given}: its name does not show its network; write NETWORK={given},"
                f" with one of {', '.join(dict.fromkeys(needed))}"
            )
        if network not in needed:
            raise AvbookError(
                f"{given}: weights of {network}, which is not used; expected those of"
                f" {', '.join(dict.fromkeys(needed))}: leave it out, or choose its extractor"
            )
        if network in found:
            raise AvbookError(f"{given}: a second file for {network}, after {found[network]}")
        found[network] = path
    return found
