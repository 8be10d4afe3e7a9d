//! `pallium field`: looking at a field, putting its connectome in order, and
//! making one up.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use ndarray::Array2;
use pallium_core::{Kind, Result, Substrate};
use serde_json::{Value, json};

use super::support;
use crate::cell::{CoordinateLayout, CoordinateScale, DistanceScale, Geometry, Space, Use};
use crate::geometry;
use crate::plugins::Catalogue;

/// Looks at a field, puts its connectome in order, or makes a field up.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium field info data/6_6_2 --json")]
pub struct Field {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Info(Info),
    Restore(Restore),
    Synth(Synth),
}

/// Shows how many neurons and synapses a field has, and how far apart
/// connected neurons are.
///
/// A released connectome is in another neuron order than every other file of
/// its field; the distances are shown both for that order and for the one
/// restored.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium field info data/6_6_2 --json")]
struct Info {
    /// The field's folder.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Prints one JSON document.
    #[arg(long)]
    json: bool,
}

/// Writes a field anew with its connectome in the order of its neurons.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium field restore data/6_6_2 --out data/6_6_2-restored")]
struct Restore {
    /// The field's folder, as released.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Where to write: a new folder, or an empty one.
    #[arg(long, value_name = "DIR2")]
    out: PathBuf,
}

/// Writes a made-up field with the statistics of real ones.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium field synth --neurons 100 --seed 1 --out data/made-up")]
struct Synth {
    /// Number of neurons.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    neurons: u32,
    /// Seed of the draw.
    #[arg(long)]
    seed: u64,
    /// Where to write: a new folder, or an empty one.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Sets a further parameter of `synthetic.field`; may be given several times.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = support::value_pair)]
    params: Vec<(String, Value)>,
}

/// Runs the command.
///
/// # Errors
/// If a field cannot be read, made or written.
pub fn field(args: &Field) -> Result<()> {
    match &args.command {
        Command::Info(args) => info(args),
        Command::Restore(args) => restore(args),
        Command::Synth(args) => synth(args),
    }
}

/// What the field's own files say, whatever a profile makes of them.
fn read(catalogue: &Catalogue, folder: &Path, order: &str, events: bool) -> Result<Substrate> {
    let params = support::parameters([
        ("connectome_order", order.into()),
        ("sttc", "released".into()),
        ("events", events.into()),
    ]);
    support::field(catalogue, Use { id: support::FIELD.into(), params }, folder)
}

/// As [`read`], with event times where the field has them.
fn read_with_events(catalogue: &Catalogue, folder: &Path, order: &str) -> Result<Substrate> {
    match read(catalogue, folder, order, true) {
        // Asked for event times, the source refuses a field without them.
        Err(e) if e.kind == Kind::Input && e.to_string().contains("no event times") => {
            read(catalogue, folder, order, false)
        }
        other => other,
    }
}

fn info(args: &Info) -> Result<()> {
    let catalogue = Catalogue::discover(&[])?;
    let released = read_with_events(&catalogue, &args.folder, "released")?;
    // What is known without the neurons' order is told all the same.
    let restored = match read(&catalogue, &args.folder, "restored", false) {
        Err(e) if e.kind == Kind::Input => {
            tracing::warn!("the order of the connectome cannot be restored: {}", e.report());
            None
        }
        other => Some(other?),
    };
    let distance = micrometres(&released)?;
    let wiring = released.matrices.get(Substrate::CONNECTOME).map(wiring);
    let connected =
        |field: &Substrate| mean_connected(field.matrices.get(Substrate::CONNECTOME)?, distance.as_ref()?);
    let has_spikes = released.events.is_some();
    let all = distance.as_ref().and_then(mean_off_diagonal);
    let (as_released, in_order) = (connected(&released), restored.as_ref().and_then(connected));

    if args.json {
        return support::print_json(&json!({
            "neurons": released.neurons,
            "synapses": wiring.map(|(synapses, _)| synapses),
            "connected_pairs": wiring.map(|(_, pairs)| pairs),
            "mean_distance_um": all,
            "mean_connected_distance_um": {"released": as_released, "restored": in_order},
            "has_spikes": has_spikes,
        }));
    }
    let unknown = || "unknown".to_string();
    let um = |v: Option<f64>| v.map_or_else(unknown, |v| format!("{v:.1} µm"));
    let mut table = support::table(["field", &released.name]);
    for (name, text) in [
        ("neurons", released.neurons.to_string()),
        ("synapses", wiring.map_or_else(unknown, |(synapses, _)| synapses.to_string())),
        ("connected pairs", wiring.map_or_else(unknown, |(_, pairs)| pairs.to_string())),
        ("mean distance", um(all)),
        ("… of connected pairs, as released", um(as_released)),
        ("… of connected pairs, order restored", um(in_order)),
        ("spikes", if has_spikes { "yes".into() } else { "no".into() }),
    ] {
        table.add_row([name.into(), text]);
    }
    support::print_table(&table)?;
    let notes: String = restored.unwrap_or(released).notes.iter().map(|note| format!("\n{note}\n")).collect();
    support::print(&notes)
}

fn restore(args: &Restore) -> Result<()> {
    let catalogue = Catalogue::discover(&[])?;
    let field = read_with_events(&catalogue, &args.folder, "restored")?;
    store(&catalogue, &field, &args.out)?;
    support::print(&format!(
        "field {} with its connectome in order is in {}\n",
        field.name,
        args.out.display()
    ))
}

fn synth(args: &Synth) -> Result<()> {
    let catalogue = Catalogue::discover(&[])?;
    let mut source = Use::new("synthetic.field");
    source.params.extend(args.params.iter().cloned());
    source.params.insert("neurons".into(), args.neurons.into());
    let setting = pallium_core::Setting {
        seed: args.seed,
        ..support::setting(Some(args.neurons as usize), None, None)
    };
    let field = catalogue.substrate(&source, &setting)?.substrate(args.seed)?;
    field.check()?;
    store(&catalogue, &field, &args.out)?;
    support::print(&format!("a made-up field of {} neurons is in {}\n", field.neurons, args.out.display()))
}

/// Writes `field` as a new folder in the released format.
fn store(catalogue: &Catalogue, field: &Substrate, out: &Path) -> Result<()> {
    let params = support::parameters([("path", support::path_text(out)?.into())]);
    let writer = Use { id: support::FIELD.into(), params };
    catalogue.substrate(&writer, &support::setting(None, None, None))?.store(field, out)
}

/// Distances between somata in micrometres, if the positions are known.
fn micrometres(field: &Substrate) -> Result<Option<Array2<f32>>> {
    if field.positions.is_none() {
        return Ok(None);
    }
    let geometry = Geometry {
        space: Space::Soma,
        coordinate_layout: CoordinateLayout::Rows,
        coordinate_scale: CoordinateScale::Micrometre,
        distance_scale: DistanceScale::None,
        shuffled: false,
    };
    geometry::distances(&geometry, Some(field), field.neurons, 0)
}

/// Synapses between different neurons, and ordered pairs of neurons that have any.
fn wiring(connectome: &Array2<f64>) -> (u64, u64) {
    let between = || connectome.indexed_iter().filter(|((i, j), count)| i != j && **count > 0.0);
    (between().map(|(_, count)| count).sum::<f64>().round() as u64, between().count() as u64)
}

/// Mean distance over the ordered pairs that are connected.
fn mean_connected(connectome: &Array2<f64>, distance: &Array2<f32>) -> Option<f64> {
    let connected = connectome.indexed_iter().filter(|((i, j), count)| i != j && **count > 0.0);
    mean(connected.map(|(place, _)| distance[place]))
}

/// Mean distance over all pairs of different neurons.
fn mean_off_diagonal(distance: &Array2<f32>) -> Option<f64> {
    mean(distance.indexed_iter().filter(|((i, j), _)| i != j).map(|(_, d)| *d))
}

fn mean(values: impl Iterator<Item = f32>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u64), |(sum, count), v| (sum + f64::from(v), count + 1));
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn a_neuron_is_not_connected_to_itself() {
        let connectome = array![[5.0, 2.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 3.0]];
        let distance = array![[0.0f32, 10.0, 20.0], [10.0, 0.0, 40.0], [20.0, 40.0, 0.0]];
        assert_eq!(wiring(&connectome), (3, 2));
        assert_eq!(mean_connected(&connectome, &distance), Some(25.0));
        assert_eq!(mean_off_diagonal(&distance), Some(140.0 / 6.0));
        assert_eq!(mean_connected(&Array2::eye(3), &distance), None);
    }
}
