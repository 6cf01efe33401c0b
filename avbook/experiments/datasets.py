"""Opens the data that `--data` names: the embedded world, or a folder of the official files."""

from __future__ import annotations

import os
from pathlib import Path

from avbook.data.remote import is_remote
from avbook.data.spec import find_spec
from avbook.errors import AvbookError
from avbook.experiments.options import shorten

__all__ = ["open_data", "absolute", "default_preset", "data_dims"]


def open_data(
    where,  # "world", "world:SIZE", "world:SIZE:SEED[:FEATURES]", a folder's path or a pack's URL
    task: str = "ave",  # "ave" or "llp"
    **options,  # passed to the loader, such as weak=True
):
    """The data set in a folder, or the embedded world of a task (built on first use and kept)."""
    spec, where = find_spec(task), os.fspath(where)
    folder: Path | str = where
    if not is_remote(where):
        folder = _world(where, task) if _is_world(where) else _folder(where, spec.name)
    from avbook.data.ave import AVE
    from avbook.data.llp import LLP

    loaders = {loader.spec: loader for loader in (AVE, LLP)}
    return loaders[spec](folder, **options)


def _folder(where: str, files: str) -> Path:
    """The folder of that name; raises `AvbookError` if there is none."""
    folder = Path(where)
    try:
        there, is_folder = folder.exists(), folder.is_dir()
    except (OSError, ValueError) as error:  # a name too long, a zero byte in it
        told = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise AvbookError(f"--data {shorten(where)!r}: cannot be accessed ({told})") from None
    if where and is_folder:
        return folder
    found = f"is a file: give its folder, {folder.parent}" if there and where else "no such folder"
    raise AvbookError(
        f"--data {where}: {found}; expected 'world' or a folder with the {files} files"
        " (`avbook data check DIR` lists what is missing)"
    )


def _is_world(where: str) -> bool:
    return where == "world" or where.startswith("world:")


def _world(where: str, task: str) -> Path:
    """The folder of the world that `where` names; a missing world is built."""
    from avbook.world.build import DEFAULT_FEATURES, world_folder

    _, *parts = where.split(":")
    size = parts[0] if parts else "small"
    seed = parts[1] if len(parts) > 1 else "0"
    if len(parts) > 3 or not seed.isdecimal() or len(seed) > 18:
        raise AvbookError(
            f"--data {shorten(where)}: expected world, world:SIZE, world:SIZE:SEED or"
            " world:SIZE:SEED:FEATURES, for example world:small:1 or world:small:0:trained"
        )
    features = parts[2] if len(parts) > 2 else DEFAULT_FEATURES
    return world_folder(task, size=size, seed=int(seed), features=features)


def absolute(
    where,  # as for `open_data`
) -> str:
    """The same data by absolute path, for a process that runs in another folder."""
    where = os.fspath(where)
    return where if _is_world(where) or is_remote(where) else os.path.abspath(where)


def default_preset(
    where,  # as for `open_data`
) -> str:
    """The preset for this data: "quick" on the world, "paper" on a folder of features."""
    return "quick" if _is_world(os.fspath(where)) else "paper"


def data_dims(data) -> dict[str, int]:
    """The sizes that a network needs, read from one batch of the training split."""
    batch = data.train.batch([0])
    dims = {
        "categories": len(data.categories),
        "audio_dim": batch["audio"].shape[-1],
        "seconds": batch["audio"].shape[1],
    }
    if "visual" in batch:  # AVE: (B, T, H, W, dv)
        _, _, height, width, visual_dim = batch["visual"].shape
        return dims | {"visual_dim": visual_dim, "positions": height * width}
    return dims | {  # LLP: (B, 8T, d2) and (B, T, d3)
        "visual_2d_dim": batch["visual_2d"].shape[-1],
        "visual_3d_dim": batch["visual_3d"].shape[-1],
    }
