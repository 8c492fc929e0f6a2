"""Names of the pictures of scores over quality."""

import numpy as np
import pytest

from shiftaddnas.ranking import Scatter


@pytest.mark.parametrize(
    ("names", "file"),
    [
        ("v1 v2", "scatter_v1_v2.png"),
        ("acc:top1 acc:top5", "scatter_acc_top1_acc_top5.png"),
        ("a: b c", "scatter_a_b_c.png"),
    ],
)
def test_a_picture_is_named_by_all_of_its_columns(names: str, file: str) -> None:
    scatter = Scatter(f"{names}: Kendall's tau 0.500", ("x", "y"), ["one"], np.zeros(1), [("y", np.zeros(1))])
    assert scatter.file_name == file
