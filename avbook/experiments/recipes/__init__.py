"""Every recipe by its name: PSP and AVEL (`psp`), HAN and MA (`ma`), CMLCL and its baselines
(`cmlcl`)."""

from __future__ import annotations

import difflib

from avbook.errors import AvbookError
from avbook.experiments.recipe import Recipe
from avbook.experiments.recipes import cmlcl, ma, psp

__all__ = ["RECIPES", "register", "find_recipe"]

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for recipe in (*psp.RECIPES, *cmlcl.RECIPES, *ma.RECIPES)
}


def register(
    *recipes: Recipe,
) -> None:
    """Makes recipes known by their names, to the command line, the tables and the records."""
    RECIPES.update({recipe.name: recipe for recipe in recipes})


def find_recipe(
    name: str,  # such as "psp-full"
) -> Recipe:
    """The recipe of this name; raises `AvbookError` naming the nearest known ones."""
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise AvbookError(
            f"recipe {name!r} is not known{hint}: expected one of {', '.join(RECIPES)}"
        )
    return RECIPES[name]
