"""Makes the tables and the figure of the book's page on null models from run folders.

    python experiments/records/page.py RUN... --diagonal RUN... --unpenalised RUN... --joined RUN \\
        --tuned RUN --autapses RUN... --page docs/evidence.md

Each RUN is a run of `experiments/evidence.toml` on one field. The runs of the options are of
`evidence-diagonal.toml`, `evidence-unpenalised.toml`, `evidence.toml` on a joined scan,
`evidence-tuned.toml`, `autapses.toml` and `autapses-long.toml`. All are trained or restored with `--finished`.
`--generalisation RUN...` tests the networks of runs that were trained, not restored, on other trials, and
keeps the results of other fields. Without an option, its table of the page stays as it is. Beside the
page, in a folder of its name:

- `accuracy.csv`: the test accuracy of every training
- `means.csv`: by field, task and variant; with how many runs learned the task, and after how many trials
- `matches.csv`: how well every null model matches its original, by field; means over tasks and runs
- `differences.csv`: every null model minus its original, with t intervals over fields, intervals of a
  bootstrap that resamples fields and runs, and t intervals over scans
- `weights.csv`: the initial recurrent weights of the first run, and of all runs of the experiment on the
  diagonal, by field
- `differences.svg`: these differences
- `generalisation.csv`: the accuracy of every network on trials unlike those of its training
- `diagonal.csv`, `unpenalised.csv`, `joined.csv`, `tuned.csv`: as `accuracy.csv`, the last with the settings
- `paired.csv`: the differences between variants of these four, with paired tests over the runs of a field
- `autapses.csv`: the accuracy on every task of every network of these two

Tables of the page stand between comments that name them, and are replaced. Needs the Python package
`pallium`, and matplotlib.
"""

import argparse
import json
import re
import tempfile
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

import pallium

ORIGINAL = "W*D*C"
#: The largest difference that does not matter, as `experiments/evidence.toml` states it.
MARGIN = 0.05
#: p below which a difference, adjusted, or an equivalence counts.
SIGNIFICANT = 0.05
#: Further experiments, and the variants with which all others of their fields are compared.
COMPARED = {
    "diagonal": [ORIGINAL, "WD*C"],
    "unpenalised": ["W*", "W*, all shuffled"],
    "joined": [ORIGINAL],
    "tuned": [ORIGINAL],
}
SHOWN = ["difference", "low", "high"]
#: Experiments of which the initial weights are shown, and of how many runs.
STARTED = {"evidence": 1, "diagonal": 10, "joined": 1}
#: Columns of the table of initial weights.
WEIGHTS = {
    "mean_self_connection": "mean self-connection",
    "largest_self_connection": "largest",
    "mean_other": "mean other",
    "spectral_radius": "spectral radius",
}
#: Trials unlike those of the training: task, name of the test, parameter. Delays and durations are twice
#: those of the training, or longer than all of them; coherences lie between them; noise has twice the
#: standard deviation.
TESTS = [
    ("cognition.one-choice", "delay", "delay=20"),
    ("cognition.go-no-go", "delay", "delay=20"),
    ("cognition.perceptual-decision", "delay", "delay=20"),
    ("cognition.perceptual-decision", "coherences", "coherences=[3.2, 9.6, 19.2, 38.4]"),
    ("cognition.perceptual-decision", "noise", "sigma=2.0"),
    ("ctxdlydm1intl", "delay", "delay=1000"),
    ("ctxdlydm1intl", "coherences", "coherences=[0.45, 0.8]"),
    ("ctxdlydm1intl", "noise", "sigma=2.0"),
    ("dmsseqr", "delay", "delay={ uniform = [1300, 2300] }"),
    ("dmsseqr", "noise", "sigma=2.0"),
    ("rtgoseql", "duration", "decision=1000"),
]


def short(name):
    """A variant or a task, as tables show it."""
    return re.sub(rf"^{re.escape(ORIGINAL)}, null |^W\*, null |^cognition\.", "", name)


def accuracies(run):
    """The test accuracies of a run: of every training, and of each task of a training on several."""
    rows = run.results
    rows = rows[(rows["measure"] == "accuracy") & (rows["split"] == "test")]
    return rows[["task", "variant", "run", "value"]].rename(columns={"value": "accuracy"})


def trainings(run, field):
    """The test accuracy of every training of a run."""
    rows = accuracies(run)
    rows.insert(0, "field", field)
    return rows


def mean_accuracy(rows):
    """Means over runs, then over fields, as text."""
    by_field = rows.groupby(["field", "task", "variant"], sort=False)["accuracy"].mean()
    means = by_field.groupby(["task", "variant"], sort=False).mean().map("{:.2f}".format)
    return by_task(means.rename("text").reset_index(), "variant")


def learning(run, field):
    """How many runs learned each task, and after how many trials half of them had."""
    report = json.loads(pallium.command("report", run.folder, "--json"))
    for task, of_task in report["learning"].items():
        for group in of_task["groups"]:
            yield {
                "field": field,
                "task": task,
                "variant": group["variant"],
                "criterion": of_task["criterion"],
                "learned": sum(group["reached"]),
                "median_trials": group["median_trials"],
            }


def complete(rows):
    """The rows of the runs in which all trainings are finished."""
    count = rows.groupby("run").size()
    return rows[rows["run"].isin(count.index[count == count.max()])]


def generalisation(run, field):
    """The accuracy on trials unlike those of the training, of the runs that were trained here."""
    restored = {own.run for own in run if not (own.folder / "weights.safetensors").exists()}
    trained = sorted({own.run for own in run} - restored)
    for task, test, setting in TESTS:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "test.csv"
            own = [word for number in trained for word in ("--only", f"*/{task}/{number}")]
            pallium.command("evaluate", run.folder, *own, "--set", f"task.{setting}", "--out", out)
            rows = pd.read_csv(out)
        rows = rows[rows["condition"].isna() & (rows["measure"] == "accuracy")]
        rows = rows[["variant", "run", "value"]].rename(columns={"value": "accuracy"})
        rows.insert(0, "field", field)
        rows.insert(1, "task", f"{short(task)}: {test}")
        yield complete(rows)


def field_of(run):
    """The name of the field of a run."""
    return Path(next(iter(run)).about["spec"]["substrate"]["params"]["path"]).name


def settings(run):
    """The tuned settings of every variant."""
    chosen = {}
    for training in run:
        spec = training.about["spec"]
        (constraint,) = spec["constraints"]
        chosen[training.variant] = {
            "learning rate": spec["optimizer"]["params"]["learning_rate"],
            "λ": constraint["params"]["strength"],
        }
    return pd.DataFrame(chosen).T


def tuned(rows, means, compared):
    """Tuned settings and mean accuracies with them; in brackets those of the field with published ones."""
    keys = ["field", "task", "variant"]
    table = means.merge(rows.groupby(keys)["accuracy"].mean().rename("tuned").reset_index(), on=keys)
    table = table.merge(compared, on=keys, how="left").fillna({"equivalent": False, "holm": 1})

    def shown(row):
        return marked(f"{row['tuned']:.2f} ({row['mean']:.2f})", row["equivalent"], row["holm"])

    table["text"] = table.apply(shown, axis=1)
    chosen = rows.drop_duplicates("variant").set_index("variant")[["learning rate", "λ"]].rename(index=short)
    wide = by_task(table, "variant")
    return chosen.loc[wide.index].join(wide)


def kind(task):
    """The group of Mod-Cog's 82 tasks to which a task belongs."""
    if "seq" in task:
        return "40 with seq"
    if "int" not in task:
        return "Yang's 20"
    return "10 with int, constant delay" if re.search("dm[12]?int", task) else "12 with int, drawn delay"


def autapses(run):
    """The accuracy on each task of networks that learned several."""
    rows = accuracies(run)
    rows = rows[rows["task"].str.contains("/")].copy()
    rows[["network", "task"]] = rows["task"].str.split("/", expand=True)
    rows["kind"] = rows["task"].map(kind)
    rows["epochs"] = next(iter(run)).about["spec"]["training"]["epochs"]
    return complete(rows[["network", "epochs", "kind", "task", "variant", "run", "accuracy"]])


def over_runs(rows):
    """Means over the tasks of a kind, with intervals over runs."""
    for (network, epochs, kind), of_kind in rows.groupby(["network", "epochs", "kind"], sort=False):
        table = of_kind.pivot_table(index="run", columns="variant", values="accuracy")[
            rows["variant"].unique()
        ]
        found = pallium.stats(table)["intervals"]
        for variant in table:
            low, high = found[variant]["t"]
            yield {
                "tasks": f"{network}, {epochs} epochs: {kind}",
                "variant": variant,
                "text": f"{found[variant]['mean']:.2f} [{low:.2f}, {high:.2f}]",
            }


def matches(run, field):
    """How well the null models match their original."""
    rows = run.results
    rows = rows[rows["measure"].str.startswith("null_")]
    table = rows.pivot_table(index="variant", columns="measure", values="value", sort=False)
    table = table.rename(columns=lambda name: name.removeprefix("null_"))
    table.insert(0, "field", field)
    return table.reset_index()


def initial(run, field, experiment):
    """The initial recurrent weights: strength, eigenvalues, penalty."""
    first = range(STARTED.get(experiment, 0))
    for training in {(one.variant, one.run): one for one in run if one.run in first}.values():
        spec = training.about["spec"]
        (constraint,) = spec["constraints"]
        own = {"field": spec["substrate"]["params"]["path"]}
        null = spec.get("null")
        weights = pallium.weights(
            spec["weights"]["use"],
            seed=spec["seed"],
            run=training.run,
            null=null and pallium.use(null["use"], **null.get("params", {})),
            **own,
            **spec["weights"].get("params", {}),
        )
        loops = np.diag(weights)
        others = weights[~np.eye(len(weights), dtype=bool)]
        eigenvalues = np.sort(np.abs(np.linalg.eigvals(weights)))
        yield {
            "experiment": experiment,
            "field": field,
            "variant": training.variant,
            "run": training.run,
            "mean_self_connection": loops.mean(),
            "largest_self_connection": loops.max(),
            "mean_other": np.abs(others).mean(),
            "negative": (others < 0).mean(),
            "spectral_radius": eigenvalues[-1],
            "second_eigenvalue": eigenvalues[-2],
            "eigenvalues_above_half": (eigenvalues > 0.5).mean(),
            "penalty": pallium.penalty(
                constraint["use"], weights, **own, **constraint.get("params", {})
            ).value,
        }


def shortened(value):
    """A number with six digits, anything else as it is."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def minus(interval):
    """The interval of a difference that is taken the other way round."""
    low, high = interval
    return -high, -low


def marked(text, equivalent, holm):
    """Marks what is equivalent to the original, and what else differs significantly from it."""
    if equivalent:
        return f"{text} ="
    return f"**{text}**" if holm < SIGNIFICANT else text


def holm(p):
    """Values of p, adjusted for testing all of them."""
    steps = p.sort_values()
    steps *= np.arange(len(steps), 0, -1)
    return steps.cummax().clip(upper=1)


def paired(rows, experiment, references):
    """Variants minus references, in paired runs of each field: differences, and p of permutation tests.

    The interval of 90 % is that of the test of equivalence. Holm's adjustment is over the variants that
    are compared with one reference, in one task and one field.
    """
    for (field, task), of_task in rows.groupby(["field", "task"], sort=False):
        table = of_task.pivot_table(index="run", columns="variant", values="accuracy", sort=False)
        for reference in references:
            compared = []
            for name in table.columns.drop(reference):
                found = pallium.stats(table[[name, reference]], equivalence=MARGIN, resamples=99)
                ((difference, p),) = found["permutation"].values()
                (equal,) = found["equivalence"].values()
                compared.append(
                    {
                        "experiment": experiment,
                        "field": field,
                        "task": task,
                        "variant": name,
                        "reference": reference,
                        "difference": difference,
                        **dict(zip(["low", "high"], equal["interval"], strict=True)),
                        "p": p,
                        "equivalent": equal["p"] < SIGNIFICANT,
                    }
                )
            compared = pd.DataFrame(compared)
            compared.insert(9, "holm", holm(compared["p"]))
            yield compared


def beside_original(means, compared):
    """The mean accuracies of the original, and below them the differences of the others."""

    def shown(row):
        return marked(f"{row['difference'] + 0.0:+.2f}", row["equivalent"], row["holm"])

    compared = compared.assign(text=compared.apply(shown, axis=1))
    return pd.concat([means.loc[[ORIGINAL]], by_task(compared, "variant")])


def update(file, rows, key):
    """Writes rows to a table, of which those with other values of `key` remain; returns all of them."""
    if file.exists():
        before = pd.read_csv(file)
        rows = pd.concat([before[~before[key].isin(rows[key])], rows])
    rows.to_csv(file, index=False)
    return rows


def differences(rows):
    """Null models minus the original; those of one task are tested together."""
    for task, of_task in rows.groupby("task", sort=False):
        table = of_task.pivot_table(
            index=["field", "run"], columns="variant", values="accuracy"
        ).reset_index()
        nulls = [name for name in of_task["variant"].unique() if name != ORIGINAL]
        judged = pallium.stats(table, levels=["field"], family=[ORIGINAL], equivalence=MARGIN)
        found = judged["hierarchical"]
        # Fields of one scan are planes of the same tissue, imaged at the same time.
        table.insert(0, "scan", table["field"].str.rsplit("_", n=1).str[0])
        by_scan = pallium.stats(
            table, levels=["scan", "field"], family=[ORIGINAL], equivalence=MARGIN, resamples=99
        )
        for name in nulls:
            pair = f"{ORIGINAL} vs {name}"
            over, scans = found[pair], by_scan["hierarchical"][pair]
            low, high = minus(over["t"]["interval"])
            yield {
                "task": task,
                "null": short(name),
                "difference": -over["difference"],
                "low": low,
                "high": high,
                "p": over["t"]["p"],
                "holm": over["t"]["holm"],
                "equivalent": judged["equivalence"][pair]["p"] < SIGNIFICANT,
                **dict(zip(["bootstrap_low", "bootstrap_high"], minus(over["interval"]), strict=True)),
                "scan_difference": -scans["difference"],
                **dict(zip(["scan_low", "scan_high"], minus(scans["t"]["interval"]), strict=True)),
                "scan_holm": scans["t"]["holm"],
                "scan_equivalent": by_scan["equivalence"][pair]["p"] < SIGNIFICANT,
            }


def figure(table, rows, file):
    """Draws the differences over fields, with those of each field."""
    by_field = rows.pivot_table(index=["field", "task"], columns="variant", values="accuracy")
    by_field = by_field.sub(by_field[ORIGINAL], axis=0)
    tasks = list(table["task"].unique())
    mpl.rcParams["svg.hashsalt"] = "pallium"
    picture, axes = plt.subplots(
        1, len(tasks), figsize=(2 * len(tasks), 3.6), sharex=True, sharey=True, layout="constrained"
    )
    for axis, task in zip(axes, tasks, strict=True):
        of_task = table[table["task"] == task].iloc[::-1]
        places = range(len(of_task))
        axis.axvspan(-MARGIN, MARGIN, color="0.9", zorder=0)
        for place, null in zip(places, of_task["null"], strict=True):
            of_null = by_field.xs(task, level="task")[f"{ORIGINAL}, null {null}"]
            axis.scatter(of_null, [place] * len(of_null), s=8, color="0.6", zorder=1)
        axis.hlines(places, of_task["low"], of_task["high"], color="C0", zorder=2)
        axis.scatter(of_task["difference"], places, s=18, color="C0", zorder=3)
        axis.set_title(short(task), fontsize=8)
        axis.set_yticks(places, of_task["null"], fontsize=8)
        axis.tick_params(axis="x", labelsize=7)
    picture.supxlabel("test accuracy of the null model minus that of W*D*C", fontsize=9)
    picture.savefig(file, metadata={"Date": None})
    plt.close(picture)


def markdown(table):
    """A table with tasks as columns."""
    lines = ["| | " + " | ".join(map(str, table.columns)) + " |", "|---" * (len(table.columns) + 1) + "|"]
    lines += ["| " + " | ".join([str(name), *map(str, row)]) + " |" for name, row in table.iterrows()]
    return "\n".join(lines)


def by_task(table, rows):
    """One column for each task, one row for each variant, in the order of the experiment."""
    wide = table.pivot_table(index=rows, columns="task", values="text", aggfunc="first", sort=False)
    return wide.rename(index=short, columns=short).fillna("")


def fill(page, tables):
    """Replaces the tables of a page."""
    text = page.read_text()
    for name, table in tables.items():
        begin, end = f"<!-- table: {name} -->", "<!-- end -->"
        text, found = re.subn(
            rf"({re.escape(begin)}\n).*?({re.escape(end)})",
            lambda marks, table=table: f"{marks[1]}\n{markdown(table)}\n\n{marks[2]}",
            text,
            flags=re.DOTALL,
        )
        if found != 1:
            raise SystemExit(f"{page} has no place for the table {name}: {begin}, then {end}")
    page.write_text(text)


def main():
    """Writes the tables, the figure and the tables of the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("runs", nargs="+", type=Path)
    for name in (*COMPARED, "autapses", "generalisation"):
        parser.add_argument(f"--{name}", type=Path, nargs="*", metavar="RUN", default=[])
    parser.add_argument("--page", type=Path, required=True)
    arguments = parser.parse_args()
    rows, learned, matched, started = [], [], [], []
    for folder in arguments.runs:
        run = pallium.open(folder)
        field = field_of(run)
        rows.append(trainings(run, field))
        learned += learning(run, field)
        matched.append(matches(run, field))
        started += initial(run, field, "evidence")
    rows = pd.concat(rows, ignore_index=True)
    out = arguments.page.with_suffix("")
    out.mkdir(parents=True, exist_ok=True)
    rows.to_csv(out / "accuracy.csv", index=False)
    keys = ["field", "task", "variant"]
    means = rows.groupby(keys, sort=False)["accuracy"].agg(runs="count", mean="mean", sd="std").reset_index()
    means = means.merge(pd.DataFrame(learned), on=keys, how="left").round(4)
    means.to_csv(out / "means.csv", index=False)
    matched = pd.concat(matched, ignore_index=True)
    matched.round(4).to_csv(out / "matches.csv", index=False)
    table = pd.DataFrame(differences(rows)).round(5)
    table.to_csv(out / "differences.csv", index=False)
    figure(table, rows, out / "differences.svg")

    tables = {}
    compared = []
    for name, references in COMPARED.items():
        runs = [pallium.open(folder) for folder in getattr(arguments, name)]
        if runs:
            own = [complete(trainings(run, field_of(run))) for run in runs]
            if name == "tuned":
                own = [rows.join(settings(run), on="variant") for rows, run in zip(own, runs, strict=True)]
            own = pd.concat(own)
            own.to_csv(out / f"{name}.csv", index=False)
            pairs = pd.concat(paired(own, name, references))
            compared.append(pairs)
            if name == "tuned":
                tables[name] = tuned(own, means, pairs)
            elif name == "joined":
                tables[name] = beside_original(mean_accuracy(own), pairs)
            else:
                tables[name] = mean_accuracy(own)
            started += [row for run in runs for row in initial(run, field_of(run), name)]
    started = pd.DataFrame(started)
    keys = ["experiment", "field", "run"]
    original = started.loc[started["variant"] == ORIGINAL, [*keys, "penalty"]]
    original = started[keys].merge(original, on=keys, how="left")["penalty"]
    started["penalty_ratio"] = started["penalty"] / original
    update(out / "weights.csv", started.map(shortened), "experiment")
    if compared:
        update(out / "paired.csv", pd.concat(compared).round(5), "experiment")
    if arguments.autapses:
        alone = pd.concat(autapses(pallium.open(folder)) for folder in arguments.autapses)
        alone.to_csv(out / "autapses.csv", index=False)
        alone = pd.DataFrame(over_runs(alone))
        tables["autapses"] = alone.pivot_table("text", "tasks", "variant", "first", sort=False)

    def shown(row):
        difference, low, high = (f"{row[key] + 0.0:+.2f}" for key in SHOWN)
        equivalent = row["equivalent"] and row["scan_equivalent"]
        return marked(f"{difference} [{low}, {high}]", equivalent, max(row["holm"], row["scan_holm"]))

    over = means.groupby(["task", "variant"], sort=False)
    share = (over["learned"].sum() / over["runs"].sum()).map("{:.0%}".format).rename("text").reset_index()
    nulls = matched.drop(columns="field").groupby("variant", sort=False).mean().rename(index=short)
    nulls.columns = [name.replace("_", " ") for name in nulls.columns]
    by_variant = started[started["experiment"] == "evidence"].groupby("variant", sort=False)
    weights = by_variant[list(WEIGHTS)].mean().map("{:.3f}".format).rename(columns=WEIGHTS)
    weights["eigenvalues above 0.5"] = by_variant["eigenvalues_above_half"].mean().map("{:.0%}".format)
    low, high = (getattr(by_variant["penalty_ratio"], name)().map("{:.3g}".format) for name in ("min", "max"))
    weights["penalty, times that of W*D*C"] = low.where(low == high, low + " to " + high)
    tables |= {
        "weights": weights.rename(index=short),
        "matches": nulls.map("{:.2f}".format),
        "accuracy": mean_accuracy(rows),
        "learned": by_task(share, "variant"),
        "differences": by_task(table.assign(text=table.apply(shown, axis=1)), "null"),
    }
    runs = [pallium.open(folder) for folder in arguments.generalisation]
    if runs:
        tested = pd.concat(rows for run in runs for rows in generalisation(run, field_of(run)))
        tables["generalisation"] = mean_accuracy(update(out / "generalisation.csv", tested, "field"))
    fill(arguments.page, tables)


if __name__ == "__main__":
    main()
