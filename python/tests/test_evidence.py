"""The book's page on null models says what the records of its trainings say."""

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "evidence.md"
KEYS = ["field", "task", "variant", "run"]


def recorded(record: Path) -> list[dict[str, object]]:
    """The test accuracy of each training of a record."""
    rows = []
    with gzip.open(record, "rt") as lines:
        for line in map(json.loads, lines):
            (accuracy,) = (
                value["value"]
                for value in line["values"]
                if (value["split"], value["measure"]) == ("test", "accuracy")
            )
            row = {key: line["training"][key] for key in KEYS[1:]}
            rows.append(row | {"field": record.name.split("-")[1].split(".")[0], "accuracy": accuracy})
    return rows


@pytest.fixture(scope="module")
def accuracies() -> pd.DataFrame:
    """The page's table of every accuracy."""
    return pd.read_csv(PAGE.with_suffix("") / "accuracy.csv")


def test_every_accuracy_is_in_a_record(accuracies: pd.DataFrame) -> None:
    fields = accuracies["field"].unique()
    rows = [
        row for name in fields for row in recorded(ROOT / f"experiments/records/evidence-{name}.jsonl.gz")
    ]
    both = accuracies.merge(pd.DataFrame(rows), on=KEYS, suffixes=("", "_recorded"))
    assert len(both) == len(accuracies) == len(rows)
    assert (both["accuracy"] == both["accuracy_recorded"]).all()


def test_the_page_has_the_means(accuracies: pd.DataFrame) -> None:
    means = accuracies.groupby(["field", "task", "variant"], sort=False)["accuracy"].mean()
    means = means.groupby(["task", "variant"], sort=False).mean().unstack("task")
    table = re.search(r"<!-- table: accuracy -->\n(.*?)<!-- end -->", PAGE.read_text(), re.DOTALL)
    assert table is not None
    lines = [line.split("|")[2:-1] for line in table[1].strip().splitlines()[2:]]
    shown = np.array([[float(cell) for cell in cells] for cells in lines])
    means = means[accuracies["task"].unique()].loc[accuracies["variant"].unique()]
    assert np.abs(means.to_numpy() - shown).max() <= 0.0051
