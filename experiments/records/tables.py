"""Makes the tables of the book's page on null models from run folders.

    python experiments/records/tables.py RUN... --out docs/evidence

Each RUN is a run of `experiments/evidence.toml` on one field, trained or restored with `--finished`.
Writes `accuracy.csv` (every training), `means.csv` (by field, task and variant) and `differences.csv`
(every null model minus its original, over fields, with bootstrap intervals that resample fields and
runs, and with tests of equivalence). Needs the Python package `pallium`.
"""

import argparse
from pathlib import Path

import pandas as pd

import pallium

ORIGINAL = "W*D*C"
#: The largest difference that does not matter, as `experiments/evidence.toml` states it.
MARGIN = 0.05


def trainings(folder):
    """The test accuracy of every training of a run folder, with its field and its folder."""
    run = pallium.open(folder)
    rows = run.results
    rows = rows[(rows["measure"] == "accuracy") & (rows["split"] == "test")]
    rows = rows[["task", "variant", "run", "value", "folder"]].rename(columns={"value": "accuracy"})
    about = run.cell(rows["variant"].iloc[0], rows["task"].iloc[0], int(rows["run"].iloc[0])).about
    rows.insert(0, "field", Path(about["spec"]["substrate"]["params"]["path"]).name)
    return rows


def differences(rows):
    """Null models minus the original, for each task."""
    for task, of_task in rows.groupby("task", sort=False):
        table = of_task.pivot_table(index=["field", "run"], columns="variant", values="accuracy").reset_index()
        nulls = [name for name in of_task["variant"].unique() if name != ORIGINAL]
        found = pallium.stats(
            table, levels=["field"], equivalence=MARGIN, family=[f"{name} vs {ORIGINAL}" for name in nulls]
        )
        for name in nulls:
            pair, sign = f"{name} vs {ORIGINAL}", 1.0
            if pair not in found["hierarchical"]:
                pair, sign = f"{ORIGINAL} vs {name}", -1.0
            over, same = found["hierarchical"][pair], found["equivalence"].get(pair) or {}
            # One field has no interval.
            ends = [end for end in over["interval"] or [] if end is not None]
            interval = sorted(sign * end for end in ends) or [None, None]
            yield {
                "task": task,
                "null": name.removeprefix(f"{ORIGINAL}, null "),
                "difference": sign * over["difference"],
                "low": interval[0],
                "high": interval[1],
                "p": over["p"],
                "equivalence_p": same.get("p"),
            }


def main():
    """Writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    rows = pd.concat([trainings(folder) for folder in arguments.runs], ignore_index=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows.to_csv(arguments.out / "accuracy.csv", index=False)
    by = rows.groupby(["field", "task", "variant"], sort=False)["accuracy"]
    means = by.agg(runs="count", mean="mean", sd="std").reset_index().round(4)
    means.to_csv(arguments.out / "means.csv", index=False)
    pd.DataFrame(differences(rows)).round(5).to_csv(arguments.out / "differences.csv", index=False)


if __name__ == "__main__":
    main()
