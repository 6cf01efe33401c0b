"""All recipes by name: PSP, AVEL and CMRAN, HAN and MA, CMLCL and its baselines."""

from __future__ import annotations

from avbook.errors import AvbookError
from avbook.experiments.options import hint
from avbook.experiments.recipe import Recipe
from avbook.experiments.recipes import cluster, cmlcl, cmran, ma, psp

__all__ = ["RECIPES", "register", "find_recipe"]

RECIPES: dict[str, Recipe] = {}


def register(
    *recipes: Recipe,
) -> None:
    """Makes recipes known by name to the command line, the tables and the records."""
    RECIPES.update({recipe.name: recipe for recipe in recipes})


def find_recipe(
    name: str,  # such as "psp-full"
) -> Recipe:
    """The recipe of this name; raises `AvbookError` with the nearest known ones."""
    if name not in RECIPES:
        raise AvbookError(
            f"recipe {name!r} is not known{hint(name, RECIPES)}: expected one of"
            f" {', '.join(RECIPES)}"
        )
    return RECIPES[name]


register(*psp.RECIPES, *cmran.RECIPES, *cmlcl.RECIPES, *cluster.RECIPES, *ma.RECIPES)
