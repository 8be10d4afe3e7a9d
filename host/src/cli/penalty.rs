//! `pallium penalty`: the penalty of one constraint on any matrix.

use std::path::PathBuf;

use clap::Args;
use ndarray::Array2;
use pallium_core::{Error, Point, Result, Setting};
use pallium_record::defaults;
use pallium_record::spec::Space;
use serde_json::{Value, json};

use super::npy;
use super::output::{check, is_stdout};
use super::support::{self, ProfileArgs};
use crate::geometry;

/// Computes the penalty of one constraint on any matrix, and its gradient.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium penalty spatial.distance --weights weights.npy --field data/6_6_2 \\
      --geometry soma --param strength=0.3 --gradient gradient.npy --json

`pallium plugins show ID` lists a constraint's parameters.")]
pub struct Penalty {
    /// The constraint.
    #[arg(value_name = "ID")]
    id: String,
    /// The matrix, N×N, in numpy's format.
    #[arg(long, value_name = "FILE.npy")]
    weights: PathBuf,
    /// Folder of the field with these neurons.
    #[arg(long, value_name = "DIR")]
    field: Option<PathBuf>,
    /// Geometry of the distances: `soma`, `grid`, `grid:AxBxC` or `none`
    /// [default: soma with a field, none without]
    #[arg(long, value_parser = geometry::parse_space)]
    geometry: Option<Space>,
    #[command(flatten)]
    profile: ProfileArgs,
    /// Set a parameter of the constraint; may be repeated.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = support::value_pair)]
    params: Vec<(String, Value)>,
    /// Write the gradient to this file, N×N in single precision; `-` is standard
    /// output, which then contains nothing else.
    #[arg(long, value_name = "OUT.npy|-")]
    gradient: Option<PathBuf>,
    /// Replace OUT.npy if it exists.
    #[arg(long, requires = "gradient")]
    force: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// If the file does not hold a square matrix, the field has another number of
/// neurons, or the constraint is missing, wrongly set, or lacks something it needs.
pub fn penalty(args: &Penalty) -> Result<()> {
    if let Some(path) = &args.gradient {
        check(path, args.force)?;
        if is_stdout(path) && args.json {
            return Err(Error::input("only one document can be written to standard output")
                .help("name a file for --gradient, or leave out --json"));
        }
    }
    let weights = npy::read_square_f32(&args.weights)?;
    let neurons = weights.nrows();
    let catalogue = support::catalogue(&[])?;
    let constraint = args.profile.component(&catalogue, &args.id, &args.params)?;
    catalogue.find(&constraint.id, pallium_core::Role::Constraint)?;

    let substrate = match &args.field {
        Some(folder) => {
            let reader = args.profile.component(&catalogue, defaults::FIELD, &[])?;
            Some(support::field(&catalogue, reader, folder)?)
        }
        None => None,
    };
    if let Some(substrate) = &substrate
        && substrate.neurons != neurons
    {
        return Err(Error::input(format!(
            "`{}` is {neurons}×{neurons}, but field `{}` has {} neurons",
            args.weights.display(),
            substrate.name,
            substrate.neurons
        ))
        .help("name the field of these weights"));
    }
    let default = if substrate.is_some() { Space::Soma } else { Space::None };
    let geometry = args.profile.geometry(args.geometry.clone().unwrap_or(default))?;
    let distance = geometry::distances(&geometry, substrate.as_ref(), neurons, 0)?;

    let setting = Setting {
        distance_unit_um: distance.as_ref().and_then(|d| d.unit_um),
        ..support::setting(Some(neurons), substrate.as_ref(), distance.as_ref().map(|d| d.values.view()))
    };
    let mut constraint = catalogue.constraint(&constraint, &setting).map_err(|e| {
        support::lacking(e, "--field DIR supplies a substrate, and --geometry (soma or grid) the distances")
    })?;
    let mut gradient = Array2::zeros(weights.dim());
    let value = constraint.penalty(weights.view(), gradient.view_mut(), &Point::new("recurrent"))?;
    if constraint.wants_activity() {
        tracing::warn!("`{}` also acts on activity, which is ignored here", args.id);
    }
    let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
    if let Some(path) = &args.gradient {
        npy::write(path, &gradient, args.force)?;
        // Standard output contains one document.
        if is_stdout(path) {
            return Ok(());
        }
    }
    if args.json {
        return support::print_json(
            &json!({"value": support::number(value), "gradient_frobenius": support::number(norm)}),
        );
    }
    let mut table = support::table(["", &args.id]);
    table.add_row(["penalty".into(), support::human(value)]);
    table.add_row(["Frobenius norm of its gradient".into(), support::human(norm)]);
    support::print_table(&table)
}
