"""A trained model as one file to share: weights, settings, categories, extractors."""

from __future__ import annotations

import os
from pathlib import Path

from avbook.common.files import check_writable, remove_unfinished_files
from avbook.errors import AvbookError
from avbook.experiments.models import EXPORT, read_model
from avbook.experiments.outputs import without_nan
from avbook.training.weights import write_tensors

__all__ = ["export_model"]


def export_model(
    run: str | os.PathLike,  # record or weights of a run, as for `load_model`
    path: str | os.PathLike,  # the file to write, ending in .safetensors; must not exist yet
) -> Path:
    """The path of one safetensors file with the weights selected on validation and, as JSON under
    the metadata key `avbook`, recipe, settings, seed, categories, sizes and hash of the data, the
    extractors of its features, the test scores and avbook's version. `load_model` reads it.

    Raises `AvbookError` as `load_model` does, if the categories are unknown, and if the file cannot
    be written or exists already."""
    import avbook

    path = Path(path)
    if path.suffix != ".safetensors":
        raise AvbookError(f"{path}: expected a name that ends in .safetensors")
    if os.path.lexists(path):
        raise AvbookError(f"{path}: exists already; choose another name, or remove it first")
    check_writable(path.parent)
    remove_unfinished_files(path)
    model = read_model(run)
    if model.categories is None:
        raise AvbookError(
            f"{model.where}: does not store the categories of its data; run it again to store them"
        )
    about = {
        "recipe": model.recipe.name,
        "settings": model.settings,
        "seed": model.seed,
        "data": model.data,
        "dims": model.dims,
        "categories": list(model.categories),
    }
    meta = {**model.meta, **about, **EXPORT, "avbook": avbook.__version__}
    return write_tensors(path, model.net.state_dict(), without_nan(meta))
