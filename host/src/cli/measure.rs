//! `pallium measure`: network measures of any square matrix, or further metrics of
//! a run folder.

mod run_folder;
mod snapshots;

use crate::experiment::Experiment;
use crate::plugins::Catalogue;
use std::path::PathBuf;

use clap::Args;
use pallium_core::{Error, Matrix, Network, Result, Role, accepts_further_names, nearest};
use pallium_record::defaults;
use serde_json::{Map, Value};

use super::npy;
use super::support::{self, ProfileArgs};

/// Measures the organization of any square matrix, or adds metrics to a run folder.
///
/// For a run folder, the metrics of --metric are computed for every finished training
/// and added to its tables and its report. Nothing is trained.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  pallium measure weights.npy --profile published --json
  pallium measure weights.npy --quantile 0.8
  pallium measure weights.npy --metric connectivity.efficiency,connectivity.rich-club --param kind=bd
  pallium measure weights.npy --metric 'connectivity.*' --param connectivity.rich-club.level=3
  pallium measure runs/quickstart --metric activity.participation-ratio
  pallium measure runs/quickstart --metric organization.modularity --snapshots --out modularity.csv

The file contains an N×N array of real numbers, as numpy.save writes it. The graph has an edge wherever |w| is at \
least the 0.9 quantile of all N² values of |w| and not 0; --quantile 0 makes every weight an edge. \
`pallium plugins list` lists the metrics, `pallium plugins show ID` their parameters.")]
pub struct Measure {
    /// The matrix, in numpy's format; row i, column j is the weight from i to j. Or a
    /// run folder.
    #[arg(value_name = "FILE.npy|DIR")]
    file: PathBuf,
    /// Metrics to compute, separated by commas; `connectivity.*` selects a complete
    /// family. May be repeated [default: the measures of organization]
    #[arg(long = "metric", value_name = "ID", value_delimiter = ',')]
    metrics: Vec<String>,
    /// Set a parameter of every chosen metric that has it, or of one metric as
    /// ID.NAME=VALUE; may be repeated.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = support::value_pair)]
    params: Vec<(String, Value)>,
    /// The threshold of connections, as a quantile (0 to 1) of all N² values of
    /// |w|; short for `--param quantile=Q`.
    #[arg(long, value_name = "Q", allow_negative_numbers = true)]
    quantile: Option<f64>,
    #[command(flatten)]
    profile: ProfileArgs,
    /// Seed of the random graphs with which a network is compared.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    seed: u64,
    /// Compute the metrics for every snapshot (see `training.snapshots`), and print a
    /// table.
    #[arg(long)]
    snapshots: bool,
    /// Write the table of --snapshots to a file.
    #[arg(long, value_name = "FILE.csv", requires = "snapshots")]
    out: Option<PathBuf>,
    /// Replace a file that exists.
    #[arg(long, requires = "out")]
    force: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Measure {
    /// Whether it measures a run folder, whose trainings have processes of their own.
    pub fn of_run(&self) -> bool {
        self.file.join("manifest.json").is_file()
    }
}

/// Runs the command.
///
/// # Errors
/// If the file does not hold a square matrix, a metric is missing or fails, or
/// no metric has a parameter.
pub fn measure(args: &Measure) -> Result<u8> {
    if args.of_run() {
        return measure_run(args);
    }
    if args.snapshots {
        return Err(Error::input(format!("--snapshots: {} is not a run folder", args.file.display()))
            .help("name a folder that `pallium run` wrote with training.snapshots"));
    }
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
    for (id, params) in chosen(args, &catalogue)? {
        let mut metric = catalogue.metric(&args.profile.component(&catalogue, &id, &params)?, &setting)?;
        for measure in metric.measure(&network).map_err(|e| e.context(format!("metric `{id}`")))?.values {
            if measures.iter().any(|known| known.name == measure.name) {
                return Err(Error::input(format!(
                    "two metrics measure `{}`, one of them `{id}`",
                    measure.name
                ))
                .help("compute them one at a time"));
            }
            measures.push(measure);
        }
    }
    warn_without_edges(&measures, &matrix);
    if args.json {
        let object: Map<String, Value> =
            measures.into_iter().map(|m| (m.name.clone(), value(&m.name, m.value))).collect();
        return support::print_json(&Value::Object(object)).map(|()| 0);
    }
    let mut table = support::table(["measure", "value", ""]);
    for m in measures {
        table.add_row([m.name, support::human(m.value), m.unit]);
    }
    support::print_table(&table).map(|()| 0)
}

/// Adds metrics to a run folder.
fn measure_run(args: &Measure) -> Result<u8> {
    let folder = &args.file;
    if args.metrics.is_empty() {
        return Err(Error::input(format!("no metric is named for the run in {}", folder.display()))
            .help("name metrics with --metric; `pallium plugins list` lists them"));
    }
    if args.snapshots {
        return snapshots::measure(args).map(|()| 0);
    }
    if args.json {
        return Err(Error::input("--json applies to a matrix, not to a run folder")
            .help("`pallium report DIR --json` prints the results of a run folder"));
    }
    let experiment = Experiment::load(&folder.join("experiment.toml"), &[])?;
    let catalogue = support::catalogue(&experiment.plugin_path)?;
    let metrics = chosen(args, &catalogue)?;
    run_folder::measure(folder, metrics, &experiment, &catalogue)
}

/// A parameter's name and value.
type Param = (String, Value);

/// The chosen metrics with the parameters given for each. A parameter of one
/// metric takes precedence over one of all.
fn chosen(args: &Measure, catalogue: &Catalogue) -> Result<Vec<(String, Vec<Param>)>> {
    let mut ids: Vec<&str> = Vec::new();
    for pattern in &args.metrics {
        match pattern.strip_suffix('*') {
            None => ids.push(&catalogue.find(pattern, Role::Metric)?.id),
            Some(family) => {
                let metrics = catalogue.entries().filter(|e| e.role == Role::Metric);
                let before = ids.len();
                ids.extend(metrics.map(|e| e.id.as_str()).filter(|id| id.starts_with(family)));
                if ids.len() == before {
                    return Err(Error::input(format!("there is no metric `{pattern}`"))
                        .help("`pallium plugins list` shows all metrics"));
                }
            }
        }
    }
    if ids.is_empty() {
        ids = defaults::MEASURED.to_vec();
    }
    let mut metrics: Vec<(&str, Vec<Param>)> = Vec::new();
    for id in ids {
        if !metrics.iter().any(|(known, _)| *known == id) {
            metrics.push((id, Vec::new()));
        }
    }

    let (of_one, of_all): (Vec<&Param>, Vec<&Param>) =
        args.params.iter().partition(|(name, _)| name.contains('.'));
    for (path, value) in of_one {
        let (id, name) = path.rsplit_once('.').unwrap_or(("", path));
        let Some((_, params)) = metrics.iter_mut().find(|(known, _)| *known == id) else {
            let error = Error::input(format!("--param {path}: `{id}` is not one of the chosen metrics"));
            let full = metrics.iter().find(|(known, _)| known.ends_with(&format!(".{id}")));
            return Err(match full {
                Some((full, _)) => error.help(format!("did you mean --param {full}.{name}=…?")),
                None => error.help(format!("choose it with --metric {id}")),
            });
        };
        params.push((name.into(), value.clone()));
    }
    let special: Vec<usize> = metrics.iter().map(|(_, params)| params.len()).collect();
    let quantile = args.quantile.map(|quantile| ("quantile".to_owned(), Value::from(quantile)));
    let of_all: Vec<&Param> = of_all.into_iter().chain(&quantile).collect();
    // What a file of code offers is known once it is read.
    let mut schemas = Vec::new();
    for (id, params) in &metrics {
        let entry = catalogue.find(id, Role::Metric)?;
        let given = of_all.iter().copied().chain(params).cloned().collect();
        let described = catalogue.describe_with(entry, &given)?;
        schemas.push(described.map_or_else(|| entry.schema.clone(), |described| described.schema));
    }
    for (name, value) in of_all {
        let mut known = Vec::new();
        for (((_, params), special), schema) in metrics.iter_mut().zip(&special).zip(&schemas) {
            let names = schema.get("properties").and_then(Value::as_object);
            let names = names.into_iter().flat_map(|names| names.keys()).map(String::as_str);
            known.extend(names.clone());
            // Some take further names, which only they know.
            let accepts = accepts_further_names(schema) || names.clone().any(|known| known == name);
            if accepts && params[..*special].iter().all(|p| p.0 != *name) {
                params.push((name.clone(), value.clone()));
            }
        }
        if !known.contains(&name.as_str()) && !schemas.iter().any(accepts_further_names) {
            let error = Error::input(format!("none of the chosen metrics has a parameter `{name}`"));
            return Err(match nearest(name, known) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help("`pallium plugins show ID` documents the parameters of a metric"),
            });
        }
    }
    Ok(metrics.into_iter().map(|(id, params)| (id.to_owned(), params)).collect())
}

/// Warns if the graph has no edges although there are weights.
fn warn_without_edges(measures: &[pallium_core::Measure], matrix: &Matrix) {
    let edges = measures.iter().find(|m| m.name == "edges").map(|m| m.value);
    let weights = matrix.indexed_iter().filter(|((i, j), w)| i != j && **w != 0.0).count();
    if edges == Some(0.0) && weights > 0 {
        tracing::warn!(
            "none of the {weights} weights between different neurons is a connection; lower --quantile, or count \
             weights that equal it with --param ties=include"
        );
    }
}

/// Measures that are integers, and ends of their names.
const COUNTS: [&str; 3] = ["neurons", "edges", "communities"];
const COUNTS_OF: [&str; 3] = ["_communities", "_level", "_size"];

fn value(name: &str, value: f64) -> Value {
    let count = COUNTS.contains(&name) || COUNTS_OF.iter().any(|end| name.ends_with(end));
    if count && value >= 0.0 && value.fract() == 0.0 {
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
