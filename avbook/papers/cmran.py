"""CMRAN and its released code: unusual choices of the code, and the options that change them."""

from __future__ import annotations

from avbook.papers.schema import Cell, Table

# the paper's numbers are quoted by PSP and CMLCL; here there are only differences from ours
TABLES = {
    "cmran-code": Table(
        "cmran-code",
        "Choices of CMRAN's released code, changed one by one",
        "CMRAN, released code",
        "accuracy",
        tuple(
            Cell(row, column, None, f"cmran-{column}", options)
            for row, column, options in (
                ("ours", "full", {}),
                ("ours", "weak", {}),
                ("no sigmoid after the softmax", "weak", {"double_sigmoid": False}),
                ("shares of the clip as labels", "weak", {"targets": "shares"}),
                (
                    "shares as labels, no sigmoid after the softmax",
                    "weak",
                    {"targets": "shares", "double_sigmoid": False},
                ),
                ("as many heads as the other setting", "full", {"fusion_heads": 2}),
                ("as many heads as the other setting", "weak", {"fusion_heads": 4}),
                ("weight decay as configured", "full", {"weight_decay": 5e-4}),
                ("weight decay as configured", "weak", {"weight_decay": 5e-4}),
                ("gradients not clipped", "full", {"clip": 0.0}),
                ("gradients not clipped", "weak", {"clip": 0.0}),
            )
        ),
        "Ours follows the released code, in float32. Each row differs from it in one choice, one"
        " row in two.",
    )
}
