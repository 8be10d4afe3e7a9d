//! `pallium export`: a run folder in the layout of other tools, and what its networks
//! do on trials.

mod arrays;
mod compact;
mod ro_crate;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use itertools::Itertools;
use pallium_core::{Error, Result};
use pallium_profile::Accuracy;
use pallium_record::results;
use pallium_record::spec::{CellSpec, Space, Use, file_name};
use pallium_record::store::Store;
use pallium_record::training::TrainingFile;
use pallium_report::study::{is_positive, name_of, study};
use pallium_stats::mean;
use serde_json::Value;

use super::finished::{OnTrials, existing};
use super::output::{self, folder_of};
use super::support;
use crate::dataset::Format;
use crate::experiment::{Experiment, names};
use crate::geometry::extents_for;
use crate::plugins::Catalogue;
use crate::run::traces::What;

/// Exports a run folder: its results in the layout of other tools, or recordings of
/// its networks on trials.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("of").required(true), after_help = "Examples:
  pallium export runs/quickstart --what trials,logits,activity --only W/cognition.go-no-go/0 --out w.zarr
  pallium export runs/quickstart --what activity,states --set task.delay=20 --format npz --out activity
  pallium export runs/cortical-blueprint --layout authors --out exported
  pallium export runs/quickstart --layout ro-crate --license CC-BY-4.0 --out deposit
  pallium export runs/quickstart --layout compact --out quickstart.jsonl.gz

With --what, --out is a file for one network (its ending sets the format: .npz, .safetensors or .zarr, which xarray \
opens) or a folder with one file for each network. Arrays are trials × steps × units; the file also has the condition \
of each trial, the period of each step, and the neuron of each unit.

`authors` is the layout of the statistics notebooks of arXiv 2606.14975: a folder \
such as 6_6_2_sttc-corr with one table per task and metric, one column per variant \
and one row per run. Runs without a value are empty cells. `ro-crate` writes a new folder to deposit: experiment, results, \
report, weights and references, described by ro-crate-metadata.json (RO-Crate 1.1). `compact` is one small file with \
everything of the finished trainings but their weights; `pallium run --finished FILE` takes them from there instead of \
training again.")]
pub struct Export {
    /// The run folder.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The layout.
    #[arg(long, value_enum, group = "of")]
    layout: Option<Layout>,
    /// Record the networks on trials: trials (stimuli and correct answers), logits
    /// (outputs at every step), activity, states, and recorded (correlations of the
    /// recorded neurons). Separate several by commas.
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        value_delimiter = ',',
        group = "of",
        hide_possible_values = true
    )]
    what: Vec<What>,
    /// Format of the files if --out is a folder [default: npz]
    #[arg(long, value_enum, requires = "what")]
    format: Option<Format>,
    #[command(flatten)]
    on: OnTrials,
    /// The licence of an RO-Crate: an SPDX identifier such as CC-BY-4.0, or a URL.
    #[arg(long, value_name = "SPDX|URL", requires = "layout", value_parser = ro_crate::license)]
    license: Option<String>,
    /// An author of an RO-Crate: a name, which an ORCID may follow, as in 'Josiah Carberry
    /// https://orcid.org/0000-0002-1825-0097'; may be repeated.
    #[arg(long = "author", value_name = "NAME", requires = "layout", value_parser = ro_crate::named)]
    authors: Vec<String>,
    /// The file or the folder to write to.
    #[arg(long, value_name = "OUT")]
    out: PathBuf,
    /// Replace files that exist.
    #[arg(long)]
    force: bool,
}

/// A layout to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Layout {
    /// For the notebooks of arXiv 2606.14975.
    Authors,
    /// An RO-Crate 1.1 with provenance, to deposit.
    RoCrate,
    /// A file without weights, from which another run takes finished trainings.
    Compact,
}

/// The columns, in the order that the notebooks expect.
const VARIANTS: [&str; 11] =
    ["W*D*C", "WD*C", "WDC", "WD*", "WD", "W", "W*D*C*", "WD*C*", "W*DC*", "W!D*C", "W!D*C*"];

/// A metric, and the rows of `results.csv` whose sum it is.
type Metric = (&'static str, &'static [(&'static str, &'static str)]);

/// The metrics, in the order of `metrics.csv`.
fn metrics(accuracy: Accuracy) -> [Metric; 8] {
    let [acc, loss, validation_acc, validation_loss]: [Metric; 4] = match accuracy {
        // The published loss is the training loss, with the penalty; the published
        // validation set is the test set.
        Accuracy::Running => [
            ("Accuracy", &[("train", "running_accuracy")]),
            ("Loss", &[("train", "running_loss")]),
            ("Validation_Accuracy", &[("test", "accuracy")]),
            ("Validation_Loss", &[("test", "task_loss"), ("test", "penalty")]),
        ],
        Accuracy::Evaluated => [
            ("Accuracy", &[("test", "accuracy")]),
            ("Loss", &[("test", "task_loss")]),
            ("Validation_Accuracy", &[("validation", "accuracy")]),
            ("Validation_Loss", &[("validation", "task_loss")]),
        ],
    };
    [
        acc,
        loss,
        validation_acc,
        validation_loss,
        ("Modularity", &[("", "modularity")]),
        ("SmallWorldness", &[("", "small_worldness")]),
        ("Assortativity", &[("", "assortativity")]),
        ("Entropy", &[("", "entropy")]),
    ]
}

/// Runs the command.
///
/// # Errors
/// If the folder does not contain a run, none of the eleven variants or of the
/// three tasks, or the files cannot be written.
pub fn export(args: &Export) -> Result<()> {
    match args.layout {
        None => return arrays::export(args),
        Some(Layout::RoCrate) => return ro_crate::export(args),
        Some(Layout::Compact) => return compact::export(args),
        Some(Layout::Authors) => {}
    }
    args.on.refuse("--layout")?;
    let store = existing(&args.folder)?;
    let experiment = Experiment::load(&args.folder.join("experiment.toml"), &[])?;
    let catalogue = support::catalogue(&experiment.plugin_path)?;
    let cells = experiment.expand(&catalogue)?;
    let results = Results::read(&args.folder.join("results.csv"))?;
    // In the order of their numbers.
    let known_tasks: Vec<&str> = study()?.tasks.iter().map(String::as_str).collect();

    // A column is what the study trained under its name, however the experiment calls
    // it; of several, the one with that name, or the first.
    let of_study = |c: &CellSpec| name_of(c).filter(|name| VARIANTS.contains(&name.as_str()));
    let known_task = |c: &CellSpec| known_tasks.contains(&c.task_component.id.as_str());
    let mut variant_of: BTreeMap<String, &str> = BTreeMap::new();
    for cell in cells.iter().filter(|c| known_task(c)) {
        let Some(name) = of_study(cell) else { continue };
        let own_name = cell.variant == name;
        let place = variant_of.entry(name).or_insert(&cell.variant);
        if own_name {
            *place = &cell.variant;
        }
    }
    let is_column = |c: &CellSpec| {
        of_study(c).and_then(|name| variant_of.get(&name)).is_some_and(|own| *own == c.variant)
    };
    let variants = cells.iter().filter(|c| !is_column(c)).map(|c| c.variant.as_str());
    let tasks = cells.iter().filter(|c| !known_task(c)).map(|c| c.task_component.id.as_str());
    for (what, others) in
        [("variants", variants.unique().collect_vec()), ("tasks", tasks.unique().collect_vec())]
    {
        if !others.is_empty() {
            tracing::warn!("not exported, because the layout has no such {what}: {}", names(&others));
        }
    }
    let chosen: Vec<&CellSpec> = cells.iter().filter(|c| known_task(c) && is_column(c)).collect();
    let Some(first) = chosen.first() else {
        return Err(Error::input(format!(
            "{}: the layout has none of its variants or tasks",
            args.folder.display()
        ))
        .help(format!(
            "the layout has the variants {} on the tasks {}",
            VARIANTS.join(", "),
            known_tasks.join(", ")
        )));
    };

    let study = Study { experiment: &experiment, catalogue: &catalogue, cells: &chosen, first };
    let folder = args.out.join(study.folder_name());
    let neurons = neurons(&store);
    let mut files = vec![(folder.join("config.txt"), study.config(neurons).into_bytes())];
    let header = |first: &[&'static str]| first.iter().copied().chain(VARIANTS).collect::<Vec<_>>();
    let mut means = vec![header(&["Task", "Metric"]).into_iter().map(String::from).collect::<Vec<_>>()];
    let mut deviations = means.clone();
    for (number, task) in known_tasks.iter().enumerate() {
        let Some(label) = chosen.iter().find(|c| c.task_component.id == *task).map(|c| c.task.as_str())
        else {
            continue;
        };
        let name = format!("Task{}", number + 1);
        for (metric, parts) in metrics(experiment.accuracy) {
            let value = |variant: &str, run: u32| {
                let own = variant_of.get(variant)?;
                parts.iter().map(|(split, measure)| results.value(own, label, run, split, measure)).sum()
            };
            let columns: Vec<Vec<Option<f64>>> =
                VARIANTS.iter().map(|v| (0..experiment.runs).map(|run| value(v, run)).collect()).collect();
            let mut table = vec![header(&["simulation"]).into_iter().map(String::from).collect::<Vec<_>>()];
            for run in 0..experiment.runs as usize {
                let cells = columns.iter().map(|column| text(column[run]));
                table.push(std::iter::once(run.to_string()).chain(cells).collect());
            }
            files.push((folder.join(&name).join(format!("{metric}_raw.csv")), csv(&table)?));
            let present: Vec<Vec<f64>> =
                columns.iter().map(|c| c.iter().flatten().copied().collect()).collect();
            if present.iter().all(Vec::is_empty) {
                tracing::warn!("{name}/{metric}_raw.csv has no values");
            }
            let line = |metric: String, of: fn(&[f64]) -> Option<f64>| -> Vec<String> {
                [name.clone(), metric].into_iter().chain(present.iter().map(|c| text(of(c)))).collect()
            };
            means.push(line(metric.into(), |c| (!c.is_empty()).then(|| mean(c))));
            deviations.push(line(format!("{metric}_SD"), deviation));
        }
    }
    files.push((folder.join("metrics.csv"), csv(&means)?));
    files.push((folder.join("metrics_SD.csv"), csv(&deviations)?));
    // All or none.
    output::check_folder(&folder)?;
    for (file, _) in &files {
        let folder = folder_of(file);
        fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
        output::check(file, args.force)?;
    }
    files.iter().try_for_each(|(file, bytes)| output::write(file, bytes, args.force))?;
    support::print(&format!("{}\n", folder.display()))
}

/// Standard deviation with n − 1; `None` of fewer than two values.
fn deviation(values: &[f64]) -> Option<f64> {
    let centre = mean(values);
    let squares: f64 = values.iter().map(|v| (v - centre).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

/// The shortest text that reads back as the same number; empty for `None`.
fn text(value: Option<f64>) -> String {
    value.map_or_else(String::new, |v| format!("{v:?}"))
}

/// The study's name for the initial weights.
fn weights_of(spec: &CellSpec) -> Option<&'static str> {
    study().ok()?.weights.get(&spec.weights.id).map(String::as_str)
}

/// Settings that all trainings of the experiment share.
struct Study<'a> {
    experiment: &'a Experiment,
    catalogue: &'a Catalogue,
    cells: &'a [&'a CellSpec],
    first: &'a CellSpec,
}

impl Study<'_> {
    /// Session, scan and field, or another name for the substrate.
    fn field(&self) -> String {
        let substrate = &self.first.substrate;
        let path = substrate.params.get("path").and_then(Value::as_str).map(Path::new);
        let name = path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        name.unwrap_or_else(|| substrate.id.clone())
    }

    /// The functional matrix of the initial weights.
    fn matrix(&self) -> Option<Value> {
        let functional = |c: &&&CellSpec| matches!(weights_of(c), Some("W*" | "W!"));
        self.cells.iter().find(functional).and_then(|c| self.parameter(&c.weights, "matrix"))
    }

    fn positive(&self) -> bool {
        self.cells.iter().all(|c| is_positive(c))
    }

    /// `<session>_<scan>_<field>_sttc[-corr|-precision][_sign+]`.
    fn folder_name(&self) -> String {
        let matrix = match self.matrix().as_ref().and_then(Value::as_str) {
            Some("none") => "",
            Some("precision") => "-precision",
            _ => "-corr",
        };
        let sign = if self.positive() { "_sign+" } else { "" };
        format!("{}_sttc{matrix}{sign}", file_name(&self.field()))
    }

    /// A component's parameter, as set or by default.
    fn parameter(&self, component: &Use, name: &str) -> Option<Value> {
        let default =
            || self.catalogue.get(&component.id).ok()?.schema["properties"][name].get("default").cloned();
        component.params.get(name).cloned().or_else(default)
    }

    /// The values of a parameter of constraints, each once.
    fn strengths(&self, name: &str) -> Option<Value> {
        let mut values: Vec<Value> = Vec::new();
        for constraint in self.cells.iter().flat_map(|c| &c.constraints) {
            if let Some(value) = self.parameter(constraint, name).filter(|v| !values.contains(v)) {
                values.push(value);
            }
        }
        match values.len() {
            0 | 1 => values.pop(),
            _ => Some(Value::String(values.iter().map(Value::to_string).join(", "))),
        }
    }

    /// `config.txt`: the lines of the notebooks, followed by others.
    fn config(&self, neurons: Option<usize>) -> String {
        let truth = |yes: bool| if yes { "True" } else { "False" }.to_owned();
        let plain = |value: Option<Value>| match value {
            None => "None".to_owned(),
            Some(Value::String(text)) => text,
            Some(value) => value.to_string(),
        };
        let field = self.field();
        let parts: Vec<&str> = field.split('_').collect();
        let numbered = parts.len() == 3 && parts.iter().all(|p| p.parse::<u32>().is_ok());
        let part = |i: usize| if numbered { parts[i].to_owned() } else { "None".to_owned() };
        let grid = self.cells.iter().find_map(|c| match c.geometry.space {
            Space::Grid(Some(extents)) => Some(extents),
            Space::Grid(None) => neurons.map(extents_for),
            _ => None,
        });
        let matrix = self.matrix();
        let matrix = matrix.as_ref().and_then(Value::as_str).unwrap_or_default();
        let model = &self.first.model.id;
        let of_study = study().is_ok_and(|study| study.model == *model);
        let activation = if of_study { "relu" } else { model };
        let orthogonal = self.cells.iter().any(|c| weights_of(c) == Some("W"));
        let random = if orthogonal { "Orthogonal" } else { "None" };
        let lines = [
            ("session", part(0)),
            ("scan", part(1)),
            ("field", part(2)),
            ("simulations", self.experiment.runs.to_string()),
            ("number_of_nodes", neurons.map_or_else(|| "None".into(), |n| n.to_string())),
            ("network_grid", grid.map_or_else(|| "None".into(), |[a, b, c]| format!("({a}, {b}, {c})"))),
            ("sign_constraint", truth(self.positive())),
            ("use_only_sttc", truth(matrix == "none")),
            // Spelt as in the notebooks.
            ("use_precison_matrix", truth(matrix == "precision")),
            ("noise_level", plain(self.parameter(&self.first.model, "noise"))),
            ("regu_strength", plain(self.strengths("strength"))),
            ("emd_strength", plain(self.strengths("emd_strength"))),
            ("activation_function", activation.into()),
            ("random_network_initialization", random.into()),
            ("substrate", field.clone()),
            ("experiment", self.experiment.name.clone()),
            ("profile", self.experiment.profile.clone()),
            ("seed", self.experiment.seed.to_string()),
            ("epochs", self.first.training.epochs.to_string()),
            ("pallium", env!("CARGO_PKG_VERSION").into()),
        ];
        lines.iter().map(|(name, value)| format!("{name} = {value}\n")).collect()
    }
}

/// Number of neurons, as recorded with a finished training.
fn neurons(store: &Store) -> Option<usize> {
    let names = store.trainings().ok()?;
    let mut files =
        names.iter().filter_map(|name| TrainingFile::read(&store.root().join("cells").join(name)).ok());
    files.next().map(|file| file.model_info.neurons)
}

/// Variant, task, run, split and measure.
type Key = (String, String, u32, String, String);

/// `results.csv`.
struct Results(BTreeMap<Key, f64>);

impl Results {
    fn read(path: &Path) -> Result<Self> {
        let rows = results::read(path).map_err(|e| {
            e.help("run the experiment again: the table is written anew from the finished trainings")
        })?;
        let rows = rows.into_iter();
        let values = rows.filter_map(|row| {
            let number = row.value.value?;
            Some(((row.variant, row.task, row.run, row.value.split, row.value.measure), number))
        });
        Ok(Results(values.collect()))
    }

    fn value(&self, variant: &str, task: &str, run: u32, split: &str, measure: &str) -> Option<f64> {
        self.0.get(&(variant.into(), task.into(), run, split.into(), measure.into())).copied()
    }
}

fn csv(rows: &[Vec<String>]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).map_err(|e| Error::bug(format!("a table cannot be written: {e}")))?;
    }
    writer.into_inner().map_err(|e| Error::bug(format!("a table cannot be written: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deviation_needs_two_values() {
        assert_eq!(deviation(&[]), None);
        assert_eq!(deviation(&[1.0]), None);
        assert_eq!(deviation(&[1.0, 3.0]), Some(2.0_f64.sqrt()));
    }

    #[test]
    fn numbers_are_read_back_and_none_is_empty() {
        assert_eq!(text(Some(0.1 + 0.2)).parse::<f64>().unwrap(), 0.1 + 0.2);
        assert_eq!(text(None), "");
    }

    #[test]
    fn published_losses_include_the_penalty() {
        let of = |accuracy, name| metrics(accuracy).into_iter().find(|(n, _)| *n == name).unwrap().1;
        assert_eq!(of(Accuracy::Running, "Validation_Loss"), [("test", "task_loss"), ("test", "penalty")]);
        assert_eq!(of(Accuracy::Evaluated, "Loss"), [("test", "task_loss")]);
        assert_eq!(of(Accuracy::Running, "Accuracy"), [("train", "running_accuracy")]);
    }
}
