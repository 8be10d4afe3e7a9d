//! `pallium measure`: organization metrics of any square matrix.

use std::path::PathBuf;

use clap::Args;
use pallium_core::{Network, Result};
use serde_json::{Map, Value};

use super::npy;
use super::support::{self, ProfileArgs};

/// Measures the organization of any square matrix.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium measure weights.npy --profile published --json

The graph has an edge wherever |w| exceeds its 0.9 quantile; \
the file contains an N×N array of real numbers, as numpy.save writes it.")]
pub struct Measure {
    /// The matrix, in numpy's format; row i, column j is the weight from i to j.
    #[arg(value_name = "FILE.npy")]
    file: PathBuf,
    #[command(flatten)]
    profile: ProfileArgs,
    /// Seed of the random graphs with which small-worldness is compared.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    seed: u64,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// The metrics, and those measures that are printed under fixed names, in this
/// order.
const METRICS: [&str; 7] = [
    "organization.density",
    "organization.modularity",
    "organization.assortativity",
    "organization.clustering",
    "organization.efficiency",
    "organization.small-worldness",
    "organization.entropy",
];

/// Measures that are integers.
const COUNTS: [&str; 3] = ["neurons", "edges", "communities"];

/// Runs the command.
///
/// # Errors
/// If the file does not hold a square matrix, or a metric is missing or fails.
pub fn measure(args: &Measure) -> Result<()> {
    let matrix = npy::read_square_f32(&args.file)?;
    let neurons = matrix.nrows();
    let catalogue = support::catalogue(&[])?;
    let cache = support::cache_folder();
    let setting = pallium_core::Setting {
        seed: args.seed,
        cache: cache.as_deref(),
        ..support::setting(Some(neurons), None, None)
    };
    let network = Network::new(matrix.view());
    let mut measures = vec![pallium_core::Measure::new("neurons", neurons as f64)];
    for id in METRICS {
        let mut metric = catalogue.metric(&args.profile.component(id, &[])?, &setting)?;
        measures.extend(metric.measure(&network)?);
    }
    if args.json {
        let object: Map<String, Value> =
            measures.into_iter().map(|m| (m.name.clone(), value(&m.name, m.value))).collect();
        return support::print_json(&Value::Object(object));
    }
    let mut table = support::table(["measure", "value", ""]);
    for m in measures {
        table.add_row([m.name, support::human(m.value), m.unit]);
    }
    support::print_table(&table)
}

fn value(name: &str, value: f64) -> Value {
    if COUNTS.contains(&name) && value >= 0.0 && value.fract() == 0.0 {
        return Value::from(value as u64);
    }
    support::number(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_integers_and_undefined_measures_null() {
        assert_eq!(value("edges", 12.0).to_string(), "12");
        assert_eq!(value("density", 1.0).to_string(), "1.0");
        assert_eq!(value("assortativity", f64::NAN), Value::Null);
    }
}
