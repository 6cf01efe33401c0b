"""Opens what `--data` names: the embedded world, or a folder of the official files."""

from __future__ import annotations

from pathlib import Path

from avbook.errors import AvbookError

__all__ = ["open_data", "default_preset", "data_dims"]


def open_data(
    where: str,  # "world", "world:SIZE", "world:SIZE:SEED" or a folder
    task: str = "ave",  # "ave" or "llp"
    **options,  # passed to the loader, such as weak=True
):
    """The data set at a folder, or the embedded world of a task (built on first use and kept)."""
    if where == "world" or where.startswith("world:"):
        parts = where.split(":")[1:]
        if len(parts) > 2 or (len(parts) == 2 and not parts[1].isdecimal()):
            raise AvbookError(
                f"--data {where}: expected world, world:SIZE or world:SIZE:SEED, for example"
                " world:small:1"
            )
        from avbook.world.build import world_folder

        folder = world_folder(
            task, size=parts[0] if parts else "small", seed=int(parts[1]) if len(parts) == 2 else 0
        )
    else:
        folder = Path(where)
        if not folder.is_dir():
            raise AvbookError(
                f"--data {where}: no such folder; expected 'world' or a folder with the"
                f" {task.upper()} files (`avbook data check DIR` tells what is missing)"
            )
    if task == "ave":
        from avbook.data.ave import AVE

        return AVE(folder, **options)
    from avbook.data.llp import LLP

    return LLP(folder, **options)


def default_preset(where: str) -> str:
    """ "quick" on the world, "paper" on a folder of features."""
    return "quick" if where == "world" or where.startswith("world:") else "paper"


def data_dims(data) -> dict[str, int]:
    """The sizes a network must know, read from one batch of the training split."""
    batch = data.train.batch([0])
    dims = {
        "categories": len(data.categories),
        "audio_dim": batch["audio"].shape[-1],
        "seconds": batch["audio"].shape[1],
    }
    if "visual" in batch:
        dims |= {
            "visual_dim": batch["visual"].shape[-1],
            "positions": batch["visual"].shape[2] * batch["visual"].shape[3],
        }
    else:
        dims |= {
            "visual_2d_dim": batch["visual_2d"].shape[-1],
            "visual_3d_dim": batch["visual_3d"].shape[-1],
        }
    return dims
