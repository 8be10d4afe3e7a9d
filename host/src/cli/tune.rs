//! `pallium tune`: chooses swept parameters for each variant by successive halving.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use itertools::Itertools;
use pallium_core::{Error, Result};
use pallium_record::outcome::Status;
use pallium_record::results::{self, Row};
use pallium_record::spec::{CellSpec, Geometry, Members, Order, Space, Use};
use pallium_record::table;
use pallium_stats::mean;
use toml::{Table, Value};

use super::{output, support};
use crate::child;
use crate::experiment::{Coordinate, Expansion, Experiment, names};

mod folder;

use folder::Record;

/// Chooses swept parameters for each variant on validation trials, and writes the
/// experiment with the chosen values.
///
/// Sweep the parameters in the experiment file: of constraints, of weights, of the model
/// or of the optimizer. Each variant is first trained at all points of its sweep for a
/// fraction of the epochs. The best third continues for three times as long, until the
/// remaining points have trained for all epochs; the best of them is chosen (successive
/// halving: Jamieson & Talwalkar, AISTATS 2016). A point is better if its mean validation
/// accuracy over tasks and runs is higher or, if that is equal or there is none, its mean
/// validation loss is lower; points with fewer diverged trainings always come first. Test
/// trials are not used.
///
/// Variants whose sweeps have the same number of points get the same budget, that is, the
/// same numbers of trainings and epochs; a warning names variants with different numbers.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium tune experiments/lambda.toml --out runs/tuning
  pallium run runs/tuning/tuned.toml --out runs/tuned

--out DIR then contains tuned.toml, tuning.csv (every point in every round), tuning.json (the experiment and the options) \
and trainings/, a run folder. The same command continues an interrupted tuning.")]
pub struct Tune {
    /// The experiment file, with a sweep of each parameter to choose.
    #[arg(value_name = "EXPERIMENT.toml")]
    experiment: PathBuf,
    /// The folder to write to.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Fraction of the points that continue in each round: 1/N.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=100), allow_negative_numbers = true)]
    factor: u32,
    /// Number of runs at each point.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = support::at_least_one::<u32>, allow_negative_numbers = true)]
    runs: u32,
    /// Seed of the trainings. It should differ from the experiment's, so that other
    /// networks are used for the comparison [default: that of the experiment plus 1].
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Override a key of the file, such as training.epochs=30; may be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Number of trainings that run at the same time [default: the number of
    /// cores divided by the threads of a training]
    #[arg(long, value_name = "N", value_parser = support::at_least_one::<u32>, allow_negative_numbers = true)]
    jobs: Option<u32>,
    /// Write into a folder that holds something else or another tuning, and replace its
    /// tuned.toml and tuning.csv.
    #[arg(long)]
    force: bool,
}

/// The columns of `tuning.csv`.
const COLUMNS: [&str; 8] =
    ["variant", "point", "round", "epochs", "trainings", "validation_accuracy", "validation_loss", "kept"];

/// How good a point is: means over tasks and runs. A training that diverged has no
/// value, and makes its point worse than any other.
#[derive(Clone, Debug, PartialEq)]
struct Score {
    trainings: usize,
    diverged: usize,
    accuracy: Option<f64>,
    loss: Option<f64>,
}

impl Score {
    fn from_rows<'a>(rows: impl Iterator<Item = &'a Row>) -> Self {
        let (mut accuracies, mut losses) = (Vec::new(), Vec::new());
        let (mut trainings, mut diverged) = (BTreeSet::new(), BTreeSet::new());
        for row in rows {
            trainings.insert((&row.task, row.run));
            if row.status == Status::Diverged {
                diverged.insert((&row.task, row.run));
            }
            match (&*row.value.split, &*row.value.measure, row.value.value) {
                ("validation", "accuracy", Some(value)) => accuracies.push(value),
                ("validation", "task_loss", Some(value)) => losses.push(value),
                _ => {}
            }
        }
        let mean_of = |values: &[f64]| (!values.is_empty()).then(|| mean(values));
        Score {
            trainings: trainings.len(),
            diverged: diverged.len(),
            accuracy: mean_of(&accuracies),
            loss: mean_of(&losses),
        }
    }

    /// Better scores first.
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        let loss = |score: &Score| score.loss.unwrap_or(f64::INFINITY);
        let accuracy = |score: &Score| score.accuracy.unwrap_or(f64::NEG_INFINITY);
        self.diverged
            .cmp(&other.diverged)
            .then(accuracy(other).total_cmp(&accuracy(self)))
            .then(loss(self).total_cmp(&loss(other)))
    }
}

/// A variant, and the names of the points of its sweep that are still considered.
struct Candidates {
    base: String,
    points: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// If the experiment has nothing to choose, sweeps what cannot differ between variants,
/// or a round of trainings fails.
pub fn tune(args: &Tune) -> Result<()> {
    output::check_folder(&args.out)?;
    support::unicode(&args.out)?;
    let experiment = Experiment::load(&args.experiment, &args.set)?;
    let catalogue = support::catalogue(&experiment.plugin_path)?;
    let expansion = experiment.expansion(&catalogue)?;
    let mut candidates = candidates(&expansion)?;
    check(&experiment, &expansion, &candidates)?;
    let epochs = experiment.training.epochs;
    let points = candidates.iter().map(|c| c.points.len()).max().unwrap_or(1);
    let least = expansion.cells.iter().map(fewest_epochs).max().unwrap_or(1);
    let rounds = rounds(points, args.factor, epochs, least);
    let seed = args.seed.unwrap_or(experiment.seed.wrapping_add(1));
    let resolved = experiment.resolved_text(&catalogue)?;
    let record = Record { experiment: resolved.clone(), factor: args.factor, runs: args.runs, seed };
    folder::open(&args.out, &record, args.force)?;
    if seed == experiment.seed {
        tracing::warn!(
            "--seed {seed} is the experiment's seed, so its comparison starts from the networks that are used for \
             tuning; omit --seed or choose another"
        );
    }
    let trainings = args.out.join("trainings");
    let mut log = table::with_header(COLUMNS)?;
    let mut diverged: Vec<String> = Vec::new();
    for (round, &epochs) in rounds.iter().enumerate() {
        let left: usize = candidates.iter().map(|c| c.points.len()).sum();
        status!("round {} of {}: {left} points, {epochs} epochs", round + 1, rounds.len());
        train(args, &trainings, seed, epochs, &candidates)?;
        let rows = results::read(&trainings.join("results.csv"))?;
        let last = round + 1 == rounds.len();
        for one in &mut candidates {
            let mut scored: Vec<(Score, String)> = one
                .points
                .iter()
                .map(|point| {
                    // The tasks of one network count once, by their mean.
                    let own = rows.iter().filter(|row| row.variant == *point && !row.task.contains('/'));
                    (Score::from_rows(own), point.clone())
                })
                .collect();
            // Stable: of equal points the first in the file.
            scored.sort_by(|a, b| a.0.order(&b.0));
            if last
                && scored
                    .first()
                    .is_some_and(|(best, _)| best.trainings > 0 && best.diverged == best.trainings)
            {
                diverged.push(one.base.clone());
            }
            let kept = if last { 1 } else { scored.len().div_ceil(args.factor as usize) };
            for (at, (score, point)) in scored.iter().enumerate() {
                let number = |value: Option<f64>| value.map_or_else(String::new, table::number);
                log.write_record([
                    &one.base,
                    point,
                    &(round + 1).to_string(),
                    &epochs.to_string(),
                    &score.trainings.to_string(),
                    &number(score.accuracy),
                    &number(score.loss),
                    &(at < kept).to_string(),
                ])
                .map_err(|e| table::unwritable(&e))?;
            }
            one.points = scored.into_iter().take(kept).map(|(_, point)| point).collect();
        }
    }
    let chosen: Vec<(&str, &str)> =
        candidates.iter().filter_map(|c| Some((c.base.as_str(), c.points.first()?.as_str()))).collect();
    let text = tuned(&resolved, &experiment.name, &expansion, &chosen)?;
    let file = args.out.join("tuned.toml");
    folder::put(&args.out.join("tuning.csv"), &table::finish(log)?, args.force)?;
    if !diverged.is_empty() {
        return Err(Error::input(format!(
            "all trainings of {} diverged in the last round, so there is nothing to choose",
            names(&diverged)
        ))
        .help("sweep other values, such as smaller learning rates, and use another --out"));
    }
    folder::put(&file, text.as_bytes(), args.force)?;
    show(&expansion, &chosen)?;
    support::print(&format!("the experiment with these values is {}\n", file.display()))
}

/// The variants and their points, in the order of the file.
fn candidates(expansion: &Expansion) -> Result<Vec<Candidates>> {
    let mut all: Vec<Candidates> = Vec::new();
    for name in expansion.cells.iter().map(|cell| &cell.variant).unique() {
        let Some((base, _)) = expansion.bases.get(name) else { continue };
        match all.iter_mut().find(|one| one.base == *base) {
            Some(one) => one.points.push(name.clone()),
            None => all.push(Candidates { base: base.clone(), points: vec![name.clone()] }),
        }
    }
    if all.iter().all(|one| one.points.len() < 2) {
        let swept = expansion.bases.values().flat_map(|(_, at)| at).map(|c| c.axis.as_str()).unique();
        let what = match swept.collect::<Vec<_>>().as_slice() {
            [] => "nothing is swept".to_owned(),
            [axis] => format!("the sweep of `{axis}` has one value"),
            axes => format!("each sweep has one value ({})", axes.join(", ")),
        };
        return Err(Error::input(format!("{what}, so there is nothing to choose")).help(
            "put a sweep of several values in place of a value, such as strength = { sweep = [0.1, 0.3, 1.0] } of a \
             constraint or learning_rate = { sweep = [3e-4, 1e-3, 3e-3] } of [optimizer]",
        ));
    }
    Ok(all)
}

/// Refuses sweeps of what all variants of an experiment share, and warns if variants have
/// different budgets.
fn check(experiment: &Experiment, expansion: &Expansion, candidates: &[Candidates]) -> Result<()> {
    for one in candidates {
        let of = |name: &String| -> Vec<CellSpec> {
            expansion.cells.iter().filter(|cell| cell.variant == *name).map(shared).collect()
        };
        let Some((first, others)) = one.points.split_first() else { continue };
        let known = of(first);
        let axes = |other: &String| differing(expansion, first, other);
        // The one that differs in the fewest axes: they are those that cannot be tuned.
        let wrong = others.iter().filter(|other| of(other) != known).min_by_key(|other| axes(other).len());
        if let Some(other) = wrong {
            return Err(Error::input(format!(
                "{}: `{first}` and `{other}` differ in more than constraints, weights, model and optimizer",
                experiment.path.display()
            ))
            .help(format!("only parameters of these can be tuned; {}", single(experiment, &axes(other)))));
        }
    }
    if let Some(cell) = expansion.cells.iter().find(|cell| cell.training.epochs != experiment.training.epochs)
    {
        return Err(Error::input(format!(
            "{}: variant `{}` sets its own `epochs`",
            experiment.path.display(),
            cell.variant
        ))
        .help("set `training.epochs` for all variants: tuning shortens it in the first rounds"));
    }
    let budgets: Vec<_> = candidates.iter().map(|one| one.points.len()).unique().collect();
    if budgets.len() > 1 {
        let each = candidates.iter().map(|one| format!("{}: {}", one.base, one.points.len())).join(", ");
        tracing::warn!("the variants do not have the same budget; their numbers of points are {each}");
    }
    Ok(())
}

/// Where a point lies on the axes on which another one lies elsewhere.
fn differing<'a>(expansion: &'a Expansion, point: &str, other: &str) -> Vec<&'a Coordinate> {
    let at = |name: &str| expansion.bases.get(name).map(|(_, at)| at.as_slice()).unwrap_or_default();
    at(point)
        .iter()
        .zip(at(other))
        .filter(|(one, other)| one.value != other.value)
        .map(|pair| pair.0)
        .collect()
}

/// How a sweep gets a single value.
fn single(experiment: &Experiment, at: &[&Coordinate]) -> String {
    let [Coordinate { axis, value }] = at else {
        let axes = at.iter().map(|c| format!("`{}`", c.axis)).join(", ");
        return format!("give each of the other sweeps ({axes}) a single value");
    };
    // A sweep in a variant is part of the variant's name.
    let own = experiment.variants.iter().any(|variant| variant.name.contains(&format!("{axis}={value}")));
    let training = serde_json::to_value(&experiment.training).unwrap_or_default();
    let section = match experiment.substrate.component.params.contains_key(axis) {
        _ if own => None,
        true => Some("substrate"),
        false => training.get(axis).map(|_| "training"),
    };
    let value = if value.parse::<f64>().is_ok() { value.as_str() } else { "VALUE" };
    match section {
        Some(section) => format!("give `{axis}` a single value, such as --set {section}.{axis}={value}"),
        None => format!("give `{axis}` a single value"),
    }
}

/// A specification without what may be tuned.
fn shared(cell: &CellSpec) -> CellSpec {
    let fixed = Use::new("");
    CellSpec {
        variant: String::new(),
        weights: fixed.clone(),
        connections: None,
        constraints: Vec::new(),
        model: fixed.clone(),
        optimizer: fixed,
        ..cell.clone()
    }
}

/// The smallest number of epochs that a training accepts: as many as its learning rate
/// takes to warm up, and one for each of several tasks that follow one another.
fn fewest_epochs(cell: &CellSpec) -> u32 {
    let sequential = cell.members.as_ref().filter(|members| members.order == Order::Sequential);
    let suffice = |members: &Members, epochs: u32| {
        let ends = members.ends(epochs);
        ends.first().is_some_and(|&first| first > 0) && ends.windows(2).all(|pair| pair[0] < pair[1])
    };
    let epochs = cell.training.epochs;
    let tasks = sequential.and_then(|members| (1..=epochs).find(|&epochs| suffice(members, epochs)));
    cell.training.schedule.warm_up.max(tasks.unwrap_or(1)).max(1)
}

/// The number of epochs of each round. The last round has all epochs; each earlier one has
/// 1/factor of the next, but at least `least`, as long as several points can be dropped.
fn rounds(points: usize, factor: u32, epochs: u32, least: u32) -> Vec<u32> {
    let mut rounds = vec![epochs];
    let (mut left, mut length) = (points, epochs);
    while left > factor as usize && length > least {
        left = left.div_ceil(factor as usize);
        length = (length / factor).max(least);
        rounds.insert(0, length);
    }
    rounds
}

/// Trains the candidates for so many epochs, in a process of its own: an interruption
/// and its messages are those of `pallium run`.
fn train(args: &Tune, folder: &Path, seed: u64, epochs: u32, candidates: &[Candidates]) -> Result<()> {
    let executable = child::executable()?;
    let mut command = Command::new(executable);
    command
        .arg("run")
        .arg(&args.experiment)
        .arg("--out")
        .arg(folder)
        .arg("--of-tuning")
        .stdout(Stdio::null());
    for set in &args.set {
        command.arg("--set").arg(set);
    }
    let own = [
        format!("seed={seed}"),
        format!("runs={}", args.runs),
        format!("training.epochs={epochs}"),
        "metrics.use=[]".into(),
    ];
    for set in own {
        command.arg("--set").arg(set);
    }
    for point in candidates.iter().flat_map(|one| &one.points) {
        command.arg("--only").arg(format!("variant={point}"));
    }
    if let Some(jobs) = args.jobs {
        command.arg("--jobs").arg(jobs.to_string());
    }
    let ended = command
        .status()
        .map_err(|e| Error::new(pallium_core::Kind::Io, format!("cannot start `pallium run`: {e}")))?;
    if ended.success() {
        return Ok(());
    }
    Err(Error::input(format!("the trainings of {epochs} epochs did not all finish (see above)"))
        .help(
            "fix the cause and repeat the command: finished trainings are kept; if this changes the experiment, use \
             another --out",
        ))
}

/// The experiment with one point for each variant, as the text of a file.
fn tuned(resolved: &str, name: &str, expansion: &Expansion, chosen: &[(&str, &str)]) -> Result<String> {
    let unwritable = |e: &dyn std::fmt::Display| Error::bug(format!("an experiment cannot be written: {e}"));
    let mut top: Table = resolved.parse().map_err(|e| unwritable(&e))?;
    let written = top.get("variant").and_then(Value::as_array).cloned().unwrap_or_default();
    // All of these are written in each variant.
    for key in ["variant", "nulls", "constraints", "model", "optimizer"] {
        top.remove(key);
    }
    // Their parameters are written out too, and sweeps would remain.
    if let Some(Value::Table(defaults)) = top.get_mut("defaults") {
        let swept = |value: &Value| value.as_table().is_some_and(|table| table.contains_key("sweep"));
        defaults.retain(|_, params| !params.as_table().is_some_and(|params| params.values().any(swept)));
    }
    top.insert("name".into(), format!("{name}-tuned").into());
    let mut variants = Vec::new();
    for (base, point) in chosen {
        let Some(cell) = expansion.cells.iter().find(|cell| cell.variant == *point) else { continue };
        let mut one = Table::new();
        one.insert("name".into(), (*base).into());
        one.insert("weights".into(), component(&cell.weights)?);
        for (key, source) in [("connections", &cell.connections), ("null", &cell.null)] {
            if let Some(source) = source {
                one.insert(key.into(), component(source)?);
            }
        }
        one.insert("geometry".into(), geometry(&cell.geometry)?);
        let constraints = cell.constraints.iter().map(component).collect::<Result<Vec<_>>>()?;
        one.insert("constraints".into(), Value::Array(constraints));
        one.insert("model".into(), component(&cell.model)?);
        one.insert("optimizer".into(), component(&cell.optimizer)?);
        // A null model has the training of its original.
        let original = written.iter().filter_map(Value::as_table).find(|table| {
            let name = table.get("name").and_then(Value::as_str).unwrap_or_default();
            base.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(", null "))
        });
        if let Some(training) = original.and_then(|table| table.get("training")) {
            one.insert("training".into(), training.clone());
        }
        variants.push(Value::Table(one));
    }
    top.insert("variant".into(), Value::Array(variants));
    toml::to_string(&top).map_err(|e| unwritable(&e))
}

fn component(component: &Use) -> Result<Value> {
    let mut table = Table::new();
    table.insert("use".into(), component.id.as_str().into());
    if !component.on.is_empty() {
        table.insert("on".into(), component.on.clone().into());
    }
    // A parameter that is null has no value in TOML, which means its default: null.
    for (name, value) in component.params.iter().filter(|(_, value)| !value.is_null()) {
        let value = Value::try_from(value).map_err(|e| Error::bug(format!("`{name}`: {e}")))?;
        table.insert(name.clone(), value);
    }
    Ok(Value::Table(table))
}

fn geometry(geometry: &Geometry) -> Result<Value> {
    let space = match geometry.space {
        Space::None => "none".to_owned(),
        Space::Soma => "soma".into(),
        Space::Grid(None) => "grid".into(),
        Space::Grid(Some(extents)) => format!("grid:{}", extents.iter().join("x")),
    };
    let mut table = Table::try_from(geometry).map_err(|e| Error::bug(format!("a geometry: {e}")))?;
    table.insert("space".into(), space.into());
    Ok(Value::Table(table))
}

/// Prints what was chosen, and warns of values at the end of their axis.
fn show(expansion: &Expansion, chosen: &[(&str, &str)]) -> Result<()> {
    let mut table = support::table(["variant", "chosen"]);
    for (base, point) in chosen {
        let Some((_, at)) = expansion.bases.get(*point) else { continue };
        let text = at.iter().map(|c| format!("{} = {}", c.axis, c.value)).join(", ");
        table.add_row([*base, if at.is_empty() { "nothing to choose" } else { text.as_str() }]);
        for (number, coordinate) in at.iter().enumerate() {
            let points = expansion.bases.values().filter(|(own, _)| own == base);
            let labels = points.filter_map(|(_, at)| at.get(number)).map(|c| c.value.as_str());
            let mut values: Vec<f64> = labels.filter_map(|label| label.parse().ok()).collect();
            values.sort_by(f64::total_cmp);
            let Ok(value) = coordinate.value.parse::<f64>() else { continue };
            if values.first() != values.last() && [values.first(), values.last()].contains(&Some(&value)) {
                tracing::warn!(
                    "{base}: the best {} is {value}, at the end of its axis; a better one may lie beyond",
                    coordinate.axis
                );
            }
        }
    }
    support::print_table(&table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_round_has_all_epochs_and_several_points() {
        assert_eq!(rounds(27, 3, 90, 1), [10, 30, 90]);
        assert_eq!(rounds(9, 3, 50, 1), [16, 50]);
        assert_eq!(rounds(3, 3, 50, 1), [50]);
        assert_eq!(rounds(1, 3, 50, 1), [50]);
        assert_eq!(rounds(1000, 2, 3, 1), [1, 3]);
        assert_eq!(rounds(27, 3, 90, 20), [20, 30, 90]);
    }

    #[test]
    fn better_points_come_first() {
        let score = |diverged, accuracy, loss| Score { trainings: 4, diverged, accuracy, loss };
        let mut scores = [
            score(0, Some(0.9), Some(0.4)),
            score(1, Some(1.0), Some(0.1)),
            score(0, Some(0.9), Some(0.3)),
            score(0, None, Some(0.2)),
            score(0, Some(0.95), Some(0.5)),
        ];
        scores.sort_by(Score::order);
        assert_eq!(scores.map(|s| s.loss.unwrap()), [0.5, 0.3, 0.4, 0.2, 0.1]);
    }
}
