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
        ("tuned", "evidence-tuned"),
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


def table_of_page(name: str) -> dict[str, list[str]]:
    """The rows of a table of the page, by their first column."""
    table = re.search(rf"<!-- table: {name} -->\n(.*?)<!-- end -->", PAGE.read_text(), re.DOTALL)
    assert table is not None
    rows = (line.split("|")[1:-1] for line in table[1].strip().splitlines()[2:])
    return {first.strip(): [cell.strip(" *=") for cell in cells] for first, *cells in rows}


def by_variant(accuracies: pd.DataFrame) -> pd.DataFrame:
    """Means over runs, then over fields: a row for each variant, a column for each task."""
    means = accuracies.groupby(["field", "task", "variant"])["accuracy"].mean()
    means = means.groupby(["task", "variant"]).mean().unstack("task")
    return means.rename(index=lambda name: name.removeprefix("W*D*C, null "))


def test_the_page_has_the_means(accuracies: pd.DataFrame) -> None:
    means = by_variant(accuracies)[accuracies["task"].unique()]
    shown = pd.DataFrame(table_of_page("accuracy"), dtype=float).T
    assert np.abs(means.loc[shown.index].to_numpy() - shown.to_numpy()).max() <= 0.0051
    assert len(shown) == len(means)


def test_the_page_has_the_tuned_means_and_settings(accuracies: pd.DataFrame) -> None:
    tuned = pd.read_csv(PAGE.with_suffix("") / "tuned.csv")
    tasks = accuracies["task"].unique()
    published = by_variant(accuracies[accuracies["field"] == tuned["field"][0]])[tasks]
    means = by_variant(tuned)[tasks]
    page = table_of_page("tuned")
    assert set(page) == set(means.index)
    for variant, (rate, strength, *cells) in page.items():
        (chosen,) = (
            tuned.loc[tuned["variant"].str.removeprefix("W*D*C, null ") == variant, ["learning rate", "λ"]]
            .drop_duplicates()
            .to_numpy()
        )
        assert [float(rate), float(strength)] == list(chosen)
        shown = np.array([re.findall(r"[\d.]+", cell) for cell in cells], dtype=float)
        expected = np.column_stack([means.loc[variant], published.loc[variant]])
        assert np.abs(shown - expected).max() <= 0.0051
