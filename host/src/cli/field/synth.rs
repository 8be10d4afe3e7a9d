//! `pallium field synth`.

use std::path::PathBuf;

use clap::Args;
use pallium_core::{Result, Setting};
use pallium_record::defaults;
use pallium_record::spec::Use;
use serde_json::Value;

use super::{check_free, store};
use crate::cli::support;

/// Writes a synthetic field with the statistics of real ones, or of a given one.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium field synth --like data/5_6_8 --spikes --seed 1 --out data/synthetic

Without --like the statistics are those of several real fields:
  pallium field synth --neurons 100 --seed 1 --out data/synthetic")]
pub struct Synth {
    /// Number of neurons [default with --like: those of that field].
    #[arg(
        long,
        value_name = "N",
        value_parser = support::at_least_one::<u32>,
        required_unless_present = "like"
    , allow_negative_numbers = true)]
    neurons: Option<u32>,
    /// Take the statistics from this field's folder: positions, connection by
    /// distance, synapse counts, correlation by distance, and rates.
    #[arg(long, value_name = "DIR")]
    like: Option<PathBuf>,
    /// Draw event times, too; the field of --like must have some.
    #[arg(long, requires = "like")]
    spikes: bool,
    /// Length of the synthetic recording in seconds [default: the field's].
    #[arg(long, value_name = "SECONDS", requires = "spikes", allow_negative_numbers = true)]
    length: Option<f64>,
    /// Seed of the draw.
    #[arg(long, allow_negative_numbers = true)]
    seed: u64,
    /// The folder to write: a new or an empty one.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Set a further parameter of `synthetic.field`, or with --like of
    /// `synthetic.like`; may be repeated.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = support::value_pair)]
    params: Vec<(String, Value)>,
}

/// Runs the command.
///
/// # Errors
/// If the field of --like cannot be read, or the new one cannot be created or
/// written.
pub fn synth(args: &Synth) -> Result<()> {
    check_free(&args.out)?;
    let catalogue = support::catalogue(&[])?;
    let mut source = Use::new(if args.like.is_some() { defaults::LIKE } else { defaults::SYNTHETIC });
    source.params.extend(args.params.iter().cloned());
    if let Some(neurons) = args.neurons {
        source.params.insert("neurons".into(), neurons.into());
    }
    if let Some(folder) = &args.like {
        source.params.insert("path".into(), support::path_text(folder)?.into());
        source.params.insert("spikes".into(), args.spikes.into());
    }
    if let Some(length) = args.length {
        source.params.insert("length_s".into(), length.into());
    }
    let setting = Setting {
        seed: args.seed,
        ..support::setting(args.neurons.map(|neurons| neurons as usize), None, None)
    };
    let field = catalogue.substrate(&source, &setting)?.substrate(args.seed)?;
    field.check()?;
    store(&catalogue, &field, &args.out)?;
    support::print(&format!(
        "wrote a synthetic field of {} neurons to {}\n",
        field.neurons,
        args.out.display()
    ))
}
