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


def recorded(name: str) -> list[dict[str, object]]:
    """The test accuracies of each training of a record; `member` is one of several tasks."""
    rows = []
    with gzip.open(ROOT / f"experiments/records/{name}.jsonl.gz", "rt") as lines:
        for line in map(json.loads, lines):
            row = {key: line["training"][key] for key in KEYS[1:]} | {"field": name.split("-")[-1]}
            rows += [
                row | {"member": value.get("task"), "accuracy": value["value"]}
                for value in line["values"]
                if (value["split"], value["measure"]) == ("test", "accuracy")
            ]
    return rows


@pytest.fixture(scope="module")
def accuracies() -> pd.DataFrame:
    """The page's table of every accuracy."""
    return pd.read_csv(PAGE.with_suffix("") / "accuracy.csv")


@pytest.mark.parametrize(
    ("table", "experiment"),
    [
        ("accuracy", "evidence"),
        ("diagonal", "evidence-diagonal"),
        ("unpenalised", "evidence-unpenalised"),
        ("joined", "evidence"),
    ],
)
def test_every_accuracy_is_in_a_record(table: str, experiment: str) -> None:
    shown = pd.read_csv(PAGE.with_suffix("") / f"{table}.csv")
    rows = [row for name in shown["field"].unique() for row in recorded(f"{experiment}-{name}")]
    # A record may have a part of a further run, which the page leaves out.
    rows = [row for row in rows if row["run"] in set(shown["run"])]
    both = shown.merge(pd.DataFrame(rows), on=KEYS, suffixes=("", "_recorded"))
    assert len(both) == len(shown) == len(rows)
    assert (both["accuracy"] == both["accuracy_recorded"]).all()


def test_every_accuracy_of_autapses_is_in_a_record() -> None:
    table = pd.read_csv(PAGE.with_suffix("") / "autapses.csv")
    records = {30: "autapses", 100: "autapses-long"}
    rows = pd.DataFrame(
        [row | {"epochs": epochs} for epochs, name in records.items() for row in recorded(name)]
    ).dropna(subset="member")
    rows = rows.rename(columns={"task": "network", "member": "task"})
    keys = ["network", "epochs", "task", "variant", "run"]
    both = table.merge(rows, on=keys, suffixes=("", "_recorded"))
    assert len(both) == len(table) == len(rows)
    assert (both["accuracy"] == both["accuracy_recorded"]).all()


def test_every_accuracy_of_the_reproduction_is_in_the_record() -> None:
    table = pd.read_csv(ROOT / "docs" / "reproduction" / "published.csv")
    rows = pd.DataFrame(recorded("cortical-blueprint-6_6_2"))
    both = table.merge(rows, on=KEYS[1:])
    assert len(both) == len(table) == len(rows)
    assert (both["test_accuracy"] - both["accuracy"]).abs().max() < 5.1e-7


def test_tuned_means_are_those_of_the_record() -> None:
    table = pd.read_csv(PAGE.with_suffix("") / "tuned.csv")
    rows = pd.DataFrame(recorded("evidence-tuned-5_3_8"))
    rows = rows[rows["run"] < table["runs"].min()]
    means = rows.groupby(["task", "variant"], as_index=False)["accuracy"].mean()
    both = table.merge(means, on=["task", "variant"])
    assert len(both) == len(table) == len(means)
    assert (both["tuned"] - both["accuracy"]).abs().max() < 5.1e-5


def test_the_page_has_the_means(accuracies: pd.DataFrame) -> None:
    means = accuracies.groupby(["field", "task", "variant"], sort=False)["accuracy"].mean()
    means = means.groupby(["task", "variant"], sort=False).mean().unstack("task")
    table = re.search(r"<!-- table: accuracy -->\n(.*?)<!-- end -->", PAGE.read_text(), re.DOTALL)
    assert table is not None
    lines = [line.split("|")[2:-1] for line in table[1].strip().splitlines()[2:]]
    shown = np.array([[float(cell) for cell in cells] for cells in lines])
    means = means[accuracies["task"].unique()].loc[accuracies["variant"].unique()]
    assert np.abs(means.to_numpy() - shown).max() <= 0.0051
