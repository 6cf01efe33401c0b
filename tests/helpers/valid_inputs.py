"""Valid inputs of every kind, small, each made once: what the fault tests spoil, and the runs that
they cut off."""

from __future__ import annotations

import importlib
import pkgutil
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from forked import LIBRARIES
from made_folders import write_ave, write_llp
from made_records import put
from processes import PATIENCE
from tiny import Data, Method, Net
from watchdog import Outcome, command, outcomes

QUICK = ("--preset", "quick", "--jobs", "1")
_CMLCL = ("represent_epochs=2", "categories=4", "k=2", "width=16")
# options under which a recipe ends in about a second
SMALL = {
    "psp-full": ("epochs=3",),
    "psp-weak": ("epochs=3",),
    "avel-weak": ("epochs=3",),
    "han": ("epochs=2", "width=16", "hidden=16"),
    "ma": ("epochs=2", "width=16", "hidden=16"),
    "cmlcl": (*_CMLCL, "annotate_epochs=2", "epochs=2", "rounds=2"),
    "cluster": _CMLCL,
    "rule": (),
}
DATA_OF = dict.fromkeys(SMALL, "ave") | {"han": "llp", "ma": "llp", "rule": "llp"}


def run_words(recipe: str, data: Path | str, out: Path | str) -> list[str]:
    """The words of `avbook` that run one seed of the recipe."""
    sets = [word for pair in SMALL[recipe] for word in ("--set", pair)]
    return ["run", recipe, "--data", str(data), *QUICK, *sets, "--out", str(out)]


# ----------------------------------------------------------------------------------- how it is made
def _pack(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        from avbook.data.packs import pack_folder

        pack_folder(folder.parent / name, folder, progress=False)

    return make


def _runs(recipe: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        data = folder.parent / DATA_OF[recipe]
        folder.mkdir()
        code, out, err = command(*run_words(recipe, data, folder), cwd=folder)
        assert code == 0, out + err

    return make


def _stages(recipe: str) -> Callable[[Path], None]:
    """The stages of a finished run without its record: the next run reads them."""

    def make(folder: Path) -> None:
        shutil.copytree(folder.parent / f"runs-{recipe}", folder)
        for path in folder.glob("*/*/seed-*"):
            path.unlink()

    return make


def _table(folder: Path) -> None:
    """Records of Table 1 of PSP, two seeds a cell."""
    from avbook.data.ave import AVE
    from avbook.papers import find_table

    data = AVE(folder.parent / "ave")
    for cell in find_table("psp-1").cells:
        if cell.column == "full" and cell.recipe:
            for seed in (0, 1):
                put(folder, cell.recipe, cell.options, seed, 50.0 + seed, "official", data.name,
                    data.hash)  # fmt: skip


def fast_world() -> None:
    """From now on this process builds worlds whose scripts are real and whose features are not."""
    from avbook.world import build, writers

    def features(clip, task, dims, features):
        rng = np.random.default_rng(clip.seed)
        shapes = writers.feature_shapes(task, dims)
        return {k: rng.standard_normal(shape).astype(np.float32) for k, shape in shapes.items()}

    build.clip_features = features


def _world(folder: Path) -> None:
    from avbook.world import build

    fast_world()
    build.SIZES["ave"]["tiny"] = (7, 2, 3)
    build.write_world(folder, "ave", "tiny", visual_dim=2, workers=1)


def fit_tiny(folder: Path, epochs: int):
    """The smallest training, with a checkpoint in the folder."""
    from avbook.training.device import seed_everything
    from avbook.training.loop import fit

    seed_everything(0)
    return fit(Net(), Method(), Data(), epochs=epochs, batch_size=8, lr=1e-2, device="cpu",
               progress=False, out=folder)  # fmt: skip


def _weights(folder: Path) -> None:
    from avbook.training.weights import save_weights

    save_weights(Net(), folder / "net.safetensors", {"hidden": 16})


def make_videos(folder: Path, count: int = 10, seconds: float = 2.0) -> None:
    """Short videos: squares that move, each with a tone of its own."""
    from avbook.features.encode import write_video

    rng = np.random.default_rng(0)
    time = np.arange(int(seconds * 16_000)) / 16_000
    for number in range(count):
        frames = np.zeros((int(seconds * 8), 64, 96, 3), np.uint8) + rng.integers(0, 99, 3)
        for k, frame in enumerate(frames):
            frame[8 + k : 24 + k, 4 * k : 4 * k + 16] = 255 - 20 * number
        wave = 0.3 * np.sin(2 * np.pi * (200 + 90 * number) * time)
        write_video(folder / f"video {number}.mp4", frames.astype(np.uint8), 8, wave)


INPUTS: dict[str, Callable[[Path], object]] = {
    "ave": lambda folder: write_ave(folder),
    "llp": lambda folder: write_llp(folder, n=12, d2=6),
    "llp-world": lambda folder: write_llp(folder, n=12, d2=6, seed=1, world=True),
    "large": lambda folder: write_ave(folder, n=300, side=7, visual=64),
    "ave.pack": _pack("ave"),
    "llp.pack": _pack("llp"),
    "records": _table,
    "world": _world,
    "checkpoint": lambda folder: fit_tiny(folder, 2),
    "weights": _weights,
    "videos": make_videos,
    "nothing": lambda folder: folder.mkdir(),
    **{f"runs-{recipe}": _runs(recipe) for recipe in ("psp-full", "ma", "cmlcl")},
    **{f"stages-{recipe}": _stages(recipe) for recipe in ("ma", "cmlcl")},
}
# what an input is made from
FROM = {
    "ave.pack": ["ave"],
    "llp.pack": ["llp"],
    "records": ["ave"],
    "runs-psp-full": ["ave"],
    "runs-ma": ["llp"],
    "runs-cmlcl": ["ave"],
    "stages-ma": ["runs-ma"],
    "stages-cmlcl": ["runs-cmlcl"],
}


def in_layers(names: set[str]) -> list[list[str]]:
    """The inputs with all they are made from: those of a layer need only those of earlier ones."""
    wanted, layers = set(names), []
    while more := {source for name in wanted for source in FROM.get(name, [])} - wanted:
        wanted |= more
    while wanted:
        ready = sorted(n for n in wanted if not wanted & set(FROM.get(n, [])))
        layers.append(ready)
        wanted -= set(ready)
    return layers


def import_all() -> None:
    """Everything that calls need, so that forks of this process have it."""
    import avbook

    for name in LIBRARIES:
        importlib.import_module(name)
    for module in pkgutil.walk_packages(avbook.__path__, "avbook."):
        if module.name != "avbook.__main__":
            importlib.import_module(module.name)


def make_inputs(names: set[str], folder: Path, processes: int) -> None:
    """The valid inputs of these names; raises where one cannot be made."""
    folder.mkdir()
    make = partial(_made, folder=folder)
    for layer in in_layers(names):
        for name, outcome in outcomes(layer, make, processes=processes, patience=PATIENCE):
            if outcome.kind != "accepted":
                raise RuntimeError(f"the valid input {name} was not made: {outcome.said}")


def _made(name: str, folder: Path) -> Outcome:
    INPUTS[name](folder / name)
    return Outcome("accepted")
