"""Three papers on audio-visual events: the public names, imported on first use."""

__version__ = "0.2.0"

from importlib import import_module
from typing import TYPE_CHECKING

# public names, each imported with its module on first access
_MODULES = {
    "data.ave": ("AVE",),
    "data.labelling": ("label_folder",),
    "data.llp": ("LLP",),
    "errors": ("AvbookError",),
    "experiments.datasets": ("open_data",),
    "experiments.exported": ("export_model",),
    "experiments.models": ("load_model", "read_model"),
    "experiments.recipes": ("find_recipe",),
    "experiments.records": ("Records",),
    "experiments.released": ("load_released",),
    "experiments.runner": ("run_seed",),
    "experiments.trained_timelines": ("folder_timelines",),
    "experiments.video_timelines": ("video_timelines",),
    "features.folder": ("extract_folder",),
    "features.zero_shot_video": ("ZeroShot",),
    "metrics.ave": ("ave_scores",),
    "metrics.clustering": ("cluster_scores",),
    "metrics.llp": ("llp_scores",),
    "parsing.han": ("HAN", "HANMethod"),
    "parsing.ma": ("MA", "MAMethod"),
    "supervised.avel": ("AVEL", "AVEMethod"),
    "supervised.cmran": ("CMRAN", "CMRANMethod"),
    "supervised.psp": ("PSP", "PSPMethod"),
    "training.device": ("seed_everything",),
    "training.loop": ("evaluate", "fit", "predict_all"),
    "world.build": ("world_folder", "write_world"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = ["__version__", *_HOME]

if TYPE_CHECKING:  # the same names, for editors and type checkers
    from avbook.data.ave import AVE as AVE
    from avbook.data.labelling import label_folder as label_folder
    from avbook.data.llp import LLP as LLP
    from avbook.errors import AvbookError as AvbookError
    from avbook.experiments.datasets import open_data as open_data
    from avbook.experiments.exported import export_model as export_model
    from avbook.experiments.models import load_model as load_model, read_model as read_model
    from avbook.experiments.recipes import find_recipe as find_recipe
    from avbook.experiments.records import Records as Records
    from avbook.experiments.released import load_released as load_released
    from avbook.experiments.runner import run_seed as run_seed
    from avbook.experiments.trained_timelines import folder_timelines as folder_timelines
    from avbook.experiments.video_timelines import video_timelines as video_timelines
    from avbook.features.folder import extract_folder as extract_folder
    from avbook.features.zero_shot_video import ZeroShot as ZeroShot
    from avbook.metrics.ave import ave_scores as ave_scores
    from avbook.metrics.clustering import cluster_scores as cluster_scores
    from avbook.metrics.llp import llp_scores as llp_scores
    from avbook.parsing.han import HAN as HAN, HANMethod as HANMethod
    from avbook.parsing.ma import MA as MA, MAMethod as MAMethod
    from avbook.supervised.avel import AVEL as AVEL, AVEMethod as AVEMethod
    from avbook.supervised.cmran import CMRAN as CMRAN, CMRANMethod as CMRANMethod
    from avbook.supervised.psp import PSP as PSP, PSPMethod as PSPMethod
    from avbook.training.device import seed_everything as seed_everything
    from avbook.training.loop import evaluate as evaluate, fit as fit, predict_all as predict_all
    from avbook.world.build import world_folder as world_folder, write_world as write_world


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'avbook' has no attribute {name!r}")
    thing = getattr(import_module(f"avbook.{_HOME[name]}"), name)
    globals()[name] = thing
    return thing


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
