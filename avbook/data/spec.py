"""The differences between the tasks AVE and LLP: names, classes, files, shapes, official sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from avbook.data.events import AVE_CATEGORIES, LLP_CATEGORIES, SECONDS
from avbook.errors import AvbookError

__all__ = [
    "SPLITS",
    "AVE_DATASET",
    "AVE_ORDER",
    "FeatureSpec",
    "DatasetSpec",
    "AVE_SPEC",
    "LLP_SPEC",
    "SPECS",
    "find_spec",
]

SPLITS = ("train", "val", "test")
AVE_DATASET = "avadataset"  # the only dataset in a feature or label file of AVE
AVE_ORDER = "order"  # the only dataset in an order file of AVE


@dataclass(frozen=True)
class FeatureSpec:
    """One kind of features of a task."""

    name: str  # in a batch and in a pack, such as "visual_2d"
    file: str  # AVE: the h5 file of all clips; LLP: the folder with ID.npy for each clip
    shape: tuple[int, ...]  # shape of a clip without channels: segments or frames, height and width
    channels: int  # in the published files
    world_channels: int  # in the world, by default
    background_file: str = ""  # the background clips' file; "": none


@dataclass(frozen=True, eq=False)
class DatasetSpec:
    """The properties in which one task differs from the other."""

    task: str  # "ave" or "llp"
    name: str  # name of the published data set
    categories: tuple[str, ...]  # its classes, in the order of the label columns
    features: tuple[FeatureSpec, ...]  # audio first
    splits: Mapping[str, int]  # split -> clips of the published data set
    split_files: Mapping[str, str]  # split -> the file that lists its clips
    span_files: Mapping[str, str]  # modality -> the file with onsets and offsets
    frames_per_second: int  # frames per second of the world's videos
    train_span_files: Mapping[str, str] = field(default_factory=dict)  # known only in the world
    background_clips: int = 0  # in the published data set, for the weak setting
    seconds: int = SECONDS  # segments of a clip

    @property
    def clips(self) -> int:
        """The number of clips in the published data set, without background clips."""
        return sum(self.splits.values())

    @property
    def feature_files(self) -> dict[str, str]:
        """Name of the features -> their official file or folder."""
        return {feature.name: feature.file for feature in self.features}

    @property
    def background_files(self) -> dict[str, str]:
        """Name of the background clips' features -> their official file; empty for LLP."""
        return {
            f"background_{feature.name}": feature.background_file
            for feature in self.features
            if feature.background_file
        }

    @property
    def files(self) -> tuple[str, ...]:
        """The files and folders that identify the official layout."""
        return (
            *self.split_files.values(),
            *self.feature_files.values(),
            *self.span_files.values(),
        )


AVE_SPEC = DatasetSpec(
    task="ave",
    name="AVE",
    categories=AVE_CATEGORIES,
    features=(
        FeatureSpec("audio", "audio_feature.h5", (10,), 128, 128, "audio_feature_noisy.h5"),
        FeatureSpec("visual", "visual_feature.h5", (10, 7, 7), 512, 64, "visual_feature_noisy.h5"),
    ),
    splits={"train": 3339, "val": 402, "test": 402},
    split_files={"train": "train_order.h5", "val": "val_order.h5", "test": "test_order.h5"},
    span_files={"both": "Annotations.txt"},
    frames_per_second=4,
    background_clips=178,
)

LLP_SPEC = DatasetSpec(
    task="llp",
    name="LLP",
    categories=LLP_CATEGORIES,
    features=(
        FeatureSpec("audio", "vggish", (10,), 128, 128),
        FeatureSpec("visual_2d", "res152", (80,), 2048, 64),
        FeatureSpec("visual_3d", "r2plus1d_18", (10,), 512, 32),
    ),
    splits={"train": 10000, "val": 649, "test": 1200},
    split_files={"train": "AVVP_train.csv", "val": "AVVP_val_pd.csv", "test": "AVVP_test_pd.csv"},
    span_files={"audio": "AVVP_eval_audio.csv", "visual": "AVVP_eval_visual.csv"},
    train_span_files={"audio": "AVVP_train_audio.csv", "visual": "AVVP_train_visual.csv"},
    frames_per_second=8,
)

SPECS = {spec.task: spec for spec in (AVE_SPEC, LLP_SPEC)}


def find_spec(
    task: str,  # "ave" or "llp"
) -> DatasetSpec:
    """The spec of the task; `AvbookError` for an unknown one."""
    if not isinstance(task, str) or task not in SPECS:
        raise AvbookError(f"task {task!r}: unknown; expected {' or '.join(map(repr, SPECS))}")
    return SPECS[task]
