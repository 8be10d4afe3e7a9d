//! `pallium plan`: the trainings of an experiment and their cost.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use pallium_core::Result;
use pallium_record::identity;
use pallium_record::spec::CellSpec;
use pallium_report::text::duration;
use serde_json::{Value, json};

use super::support;
use crate::experiment::{Experiment, filter};
use crate::plugins::Catalogue;
use crate::run::cost::Cost;
use crate::run::workers::Workers;

/// Time limit of the estimates, since a component may hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lists the trainings of an experiment, with their estimated time and memory on
/// this machine.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium plan experiments/quickstart.toml --set runs=1 --only 'W*D*C' --json

Patterns of --only are variant/task/run or a part of it. A part that is an existing
name matches that name alone; otherwise `*` matches any text.")]
pub struct Plan {
    /// The experiment file.
    #[arg(value_name = "EXPERIMENT.toml")]
    experiment: PathBuf,
    /// Override a key of the file, such as training.epochs=2; may be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// List only the trainings that match; may be repeated.
    #[arg(long = "only", value_name = "GLOB", allow_hyphen_values = true)]
    only: Vec<String>,
    /// Number of trainings that will run at the same time [default: the number of
    /// cores divided by the threads of a training]
    #[arg(long, value_name = "N", value_parser = support::at_least_one::<u32>, allow_negative_numbers = true)]
    jobs: Option<u32>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// If the experiment is wrong or one of its components cannot be built.
pub fn plan(args: &Plan) -> Result<()> {
    let experiment = Experiment::load(&args.experiment, &args.set)?;
    let catalogue = support::catalogue(&experiment.plugin_path)?;
    let cells = filter(experiment.expand(&catalogue)?, &args.only)?;
    let costs = estimate(&catalogue, &cells).map_err(|e| experiment.placed(e))?;
    let jobs = support::jobs(args.jobs, &cells);
    if args.json {
        let list: Result<Vec<_>> =
            cells.iter().zip(&costs).map(|(cell, cost)| row(cell, *cost, &catalogue)).collect();
        support::print_json(&Value::Array(list?))?;
        status!("{}", total(&costs, jobs));
        return Ok(());
    }
    table(&cells, &costs)?;
    support::print(&format!("\n{}\n", total(&costs, jobs)))
}

fn row(cell: &CellSpec, cost: Option<Cost>, catalogue: &Catalogue) -> Result<Value> {
    let named = identity::identify(cell.clone(), &catalogue.files())?;
    let digit = |value: f64| support::number((value * 10.0).round() / 10.0);
    Ok(json!({
        "cell": named.folder,
        "variant": cell.variant,
        "task": cell.task,
        "run": cell.run,
        "estimated_seconds": cost.map(|c| digit(c.seconds)),
        "estimated_memory_mb": cost.map(|c| digit(c.memory_mb)),
    }))
}

/// The cost of each training, in order; `None` without an estimate. Costs are
/// estimated in other processes, since a component may crash or hang.
pub(super) fn estimate(catalogue: &Catalogue, cells: &[CellSpec]) -> Result<Vec<Option<Cost>>> {
    // Runs have the same cost, so only those of the first run are tried.
    let mut first = BTreeMap::new();
    for cell in cells {
        first.entry((&cell.variant, &cell.task)).or_insert(cell);
    }
    let wanted: Vec<&CellSpec> = first.values().copied().collect();
    let workers = Workers::new(support::cache_folder())?;
    let costs = workers.estimate(&wanted, catalogue, PATIENCE)?;
    let known: BTreeMap<_, _> = first.keys().zip(costs).collect();
    Ok(cells.iter().map(|c| known.get(&(&c.variant, &c.task)).copied().flatten()).collect())
}

fn table(cells: &[CellSpec], costs: &[Option<Cost>]) -> Result<()> {
    let mut lines: Vec<(&str, &str, usize, Option<Cost>)> = Vec::new();
    for (cell, cost) in cells.iter().zip(costs) {
        match lines.iter_mut().find(|line| (line.0, line.1) == (&cell.variant, &cell.task)) {
            Some(line) => line.2 += 1,
            None => lines.push((&cell.variant, &cell.task, 1, *cost)),
        }
    }
    let mut table = support::table(["variant", "task", "runs", "time per run", "memory"]);
    for (variant, task, runs, cost) in lines {
        let (time, memory) = match cost {
            Some(cost) => (duration(cost.seconds), format!("{:.0} MB", cost.memory_mb)),
            None => ("unknown".into(), "unknown".into()),
        };
        table.add_row([variant.into(), task.into(), runs.to_string(), time, memory]);
    }
    support::print_table(&table)
}

fn total(costs: &[Option<Cost>], jobs: usize) -> String {
    let known: Vec<_> = costs.iter().flatten().collect();
    let seconds: f64 = known.iter().map(|c| c.seconds).sum();
    let memory = known.iter().map(|c| c.memory_mb).fold(0.0, f64::max);
    let at_once = jobs.min(costs.len()).max(1);
    // The last trainings leave workers idle, so a study takes at least as long
    // as one.
    let longest = known.iter().map(|c| c.seconds).fold(0.0, f64::max);
    let wall = (seconds / at_once as f64).max(longest);
    let trainings = match costs.len() {
        1 => "1 training".to_owned(),
        n => format!("{n} trainings"),
    };
    let without = match costs.len() - known.len() {
        0 => String::new(),
        _ if known.is_empty() => return format!("{trainings}, none of them with an estimate"),
        n => format!(" ({n} without an estimate)"),
    };
    let about = |seconds: f64| match duration(seconds) {
        text if text.starts_with("under") => text,
        text => format!("about {text}"),
    };
    format!(
        "{trainings}{without}: {} on one core, {} with {at_once} at a time, {:.0} MB in total",
        about(seconds),
        duration(wall),
        memory * at_once as f64
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_totals_are_summarized() {
        let cost = |seconds| Some(Cost { seconds, memory_mb: 50.0 });
        assert_eq!(
            total(&[cost(10.0), cost(20.0), cost(30.0)], 2),
            "3 trainings: about 60 s on one core, 30 s with 2 at a time, 100 MB in total"
        );
        assert_eq!(
            total(&[cost(10.0), None], 8),
            "2 trainings (1 without an estimate): about 10 s on one core, 10 s with 2 at a time, 100 MB in total"
        );
    }
}
