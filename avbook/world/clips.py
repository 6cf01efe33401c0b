"""Scripts of the world's clips: in which seconds each source is heard and in which it is seen.

`script` has the form of a script, `truth` the labels that are read off it, `levers` how hard clips
are, `draws` what all samplers draw, `ave_scripts` and `llp_scripts` the samplers and readers of the
two data sets."""

from collections.abc import Iterable

from avbook.data.spec import SPLITS, find_spec
from avbook.errors import AvbookError
from avbook.world.ave_scripts import ave_spans, read_ave, sample_ave, sample_background
from avbook.world.draws import apportion, check_whole, sample_latents, sample_recording
from avbook.world.levers import FIRST, SECOND, Levers
from avbook.world.llp_scripts import llp_spans, read_llp, sample_llp
from avbook.world.script import Clip, Source, clip_from_record, clip_record
from avbook.world.truth import ave_truth, llp_truth

__all__ = [
    # script
    "Source",
    "Clip",
    "clip_record",
    "clip_from_record",
    # truth
    "ave_truth",
    "llp_truth",
    # levers
    "Levers",
    "FIRST",
    "SECOND",
    # draws
    "sample_latents",
    "sample_recording",
    # samplers and readers
    "ave_spans",
    "llp_spans",
    "sample_background",
    "sample_scripts",
    "read_scripts",
]


def sample_scripts(
    task: str,  # "ave" or "llp"
    n: int,  # how many clips
    seed: int = 0,
    # of them for train, val, test; None: as the real ones, else 68:12:20
    splits: tuple[int, int, int] | None = None,
    levers: Levers | None = None,  # how hard they are; None: as in the world
) -> list[Clip]:
    """Clips whose classes, spans, modalities and label sets follow the counts of the real
    annotations.

    AVE clips come grouped by class, as the rows of Annotations.txt are; LLP clips by split.
    Raises AvbookError for an unknown task, and splits that do not add up to `n`.
    """
    check_whole(seed=seed)
    counts = _splits(task, n, splits)
    sample = {"ave": sample_ave, "llp": sample_llp}[task]
    return sample(n, seed, counts, levers or SECOND[task])


def read_scripts(
    task: str,  # "ave" or "llp"
    folder,  # with the official annotation files
    seed: int = 0,  # of what the files do not say
    levers: Levers | None = None,  # how hard they are; None: as in the world
) -> list[Clip]:
    """Clips with the real classes, spans, ids and splits, second by second, in the order of the
    files' rows.

    AVE: the event is Annotations.txt's; what happens around it is drawn. LLP: val and test follow
    the two evaluation files; for train only the weak labels are real, and spans are drawn given
    them. Raises AvbookError on missing or malformed files."""
    check_whole(seed=seed)
    read = {"ave": read_ave, "llp": read_llp}[find_spec(task).task]
    return read(folder, seed, levers or SECOND[task])


def _splits(task, n, splits):
    """How many of the clips are for train, val and test."""
    spec = find_spec(task)
    check_whole(n=n)
    if splits is None and n == spec.clips:
        splits = spec.splits.values()
    elif splits is None:
        splits = [int(k) for k in apportion(n, (0.68, 0.12, 0.20))]
    splits = tuple(splits) if isinstance(splits, Iterable) else (splits,)
    if len(splits) != len(SPLITS):
        raise AvbookError(f"splits {splits}: expected three numbers, of {', '.join(SPLITS)}")
    check_whole(**dict(zip(SPLITS, splits)))
    if sum(splits) != n:
        raise AvbookError(f"splits {splits}: they add up to {sum(splits)}; expected {n} clips")
    return splits
