//! `pallium field derive`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use ndarray::ArrayView2;
use pallium_core::{Result, Setting, Substrate};
use pallium_record::defaults;
use pallium_record::spec::Use;
use serde_json::{Map, Value, json};

use super::{check_free, read, store};
use crate::cli::support;
use crate::field::mean_between;

/// Recomputes a field's correlation, spike time tiling coefficient and
/// precision from its event times.
///
/// The corrected recipe has a coincidence window Δt of half a frame and adds
/// partial correlations; the published one, with Δt = 100 ms, gives the
/// released matrices. Options override single values of the recipe.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium field derive data/5_6_8 --out data/5_6_8-derived

The released matrices:
  pallium field derive data/5_6_8 --profile published --out data/5_6_8-again")]
pub struct Derive {
    /// The field's folder, with event times.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The folder to write: a new or an empty one.
    #[arg(long, value_name = "DIR2")]
    out: PathBuf,
    /// The recipe.
    #[arg(long, value_enum, default_value_t = Recipe::Corrected)]
    profile: Recipe,
    /// Matrices to compute, separated by commas; others are kept as they are
    /// [default: all].
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_enum)]
    matrix: Vec<Matrix>,
    /// Width of the bins of event counts in ms [default: 200].
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    bin: Option<f64>,
    /// Coincidence window Δt in ms [default: half a frame; published: 100].
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    delta_t: Option<f64>,
    /// Start of the analysed part in s [default: that of the recording or, if unknown,
    /// that of the first event, rounded down].
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    from: Option<f64>,
    /// End of the analysed part in s [default: that of the recording or, if unknown,
    /// 0.1 s after the last event].
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    to: Option<f64>,
    /// Neurons with fewer events than this count as silent [default: 1].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    min_events: Option<u32>,
    /// How the precision is estimated: graphical-lasso or inverse.
    #[arg(long, value_name = "METHOD")]
    precision: Option<String>,
    /// Penalty of the graphical lasso [default: by cross-validation].
    #[arg(long, value_name = "ALPHA", allow_negative_numbers = true)]
    alpha: Option<f64>,
    /// Set any parameter of `microns.derived`; may be repeated.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = support::value_pair)]
    params: Vec<(String, Value)>,
    /// Threads to use; the result does not depend on it [default: all cores].
    #[arg(long, value_name = "N", value_parser = support::at_least_one::<u16>, allow_negative_numbers = true)]
    threads: Option<u16>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Recipe {
    /// Δt = 100 ms, without partial correlation: the released matrices.
    Published,
    /// Δt of half a frame; also partial correlation.
    Corrected,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Matrix {
    Correlation,
    Sttc,
    Precision,
}

impl Derive {
    /// Parameters of `microns.derived`.
    fn parameters(&self) -> Result<Map<String, Value>> {
        let mut params = support::parameters([("path", support::path_text(&self.folder)?.into())]);
        let mut set = |name: &str, value: Value| params.insert(name.to_owned(), value);
        if self.profile == Recipe::Published {
            set("delta_t_ms", 100.into());
            set("descent", "plain".into());
            set("partial_correlation", false.into());
        }
        if !self.matrix.is_empty() {
            set("correlation", self.matrix.contains(&Matrix::Correlation).into());
            set("sttc", self.matrix.contains(&Matrix::Sttc).into());
            if !self.matrix.contains(&Matrix::Precision) {
                set("precision", "none".into());
            }
        }
        if let Some(method) = &self.precision {
            set("precision", method.as_str().into());
        }
        for (name, value) in [
            ("bin_ms", self.bin),
            ("delta_t_ms", self.delta_t),
            ("from_s", self.from),
            ("to_s", self.to),
            ("alpha", self.alpha),
        ] {
            if let Some(value) = value {
                set(name, value.into());
            }
        }
        if let Some(events) = self.min_events {
            set("min_events", events.into());
        }
        params.extend(self.params.iter().cloned());
        Ok(params)
    }
}

/// Runs the command.
///
/// # Errors
/// If the field has no event times, a parameter is out of range, or the result
/// cannot be written.
pub fn derive(args: &Derive) -> Result<()> {
    check_free(&args.out)?;
    let catalogue = support::catalogue(&[])?;
    let source = Use { params: args.parameters()?, ..Use::new(defaults::DERIVED) };
    let mut setting = support::setting(None, None, None);
    if let Some(threads) = args.threads {
        setting = Setting { threads: threads.into(), ..setting };
    }
    // Read first, so that nothing can fail after the result is written.
    let before = read(&catalogue, &args.folder, "restored", false)?;
    let begun = Instant::now();
    let derived = catalogue.substrate(&source, &setting)?.substrate(0)?;
    let seconds = begun.elapsed().as_secs_f64();
    derived.check()?;
    store(&catalogue, &derived, &args.out)?;

    let compared: BTreeMap<&str, (f64, Option<f64>)> = derived
        .matrices
        .iter()
        .filter(|(name, _)| *name != Substrate::CONNECTOME)
        .map(|(name, matrix)| {
            let before = before.matrices.get(name).map(|before| before.view());
            let difference = before.map(|before| largest_difference(matrix.view(), before));
            (name.as_str(), (mean_between(&matrix.view()).unwrap_or(0.0), difference))
        })
        .collect();
    if args.json {
        let matrices: Map<String, Value> = compared
            .iter()
            .map(|(name, (mean, difference))| {
                let difference = difference.map_or(Value::Null, support::number);
                ((*name).to_owned(), json!({"mean": mean, "largest_difference": difference}))
            })
            .collect();
        return support::print_json(&json!({
            "neurons": derived.neurons,
            "seconds": seconds,
            "matrices": matrices,
            "notes": derived.notes,
        }));
    }
    let mut table =
        support::table(["matrix", "mean off the diagonal", "largest difference from the matrix in DIR"]);
    for (name, (mean, difference)) in &compared {
        let difference = difference.map_or_else(|| "new".into(), |d| format!("{d:.1e}"));
        table.add_row([(*name).to_owned(), format!("{mean:.5}"), difference]);
    }
    support::print_table(&table)?;
    let notes: String = derived.notes.iter().map(|note| format!("{note}\n")).collect();
    support::print(&format!(
        "\n{notes}\nfield {} with these matrices is in {} ({seconds:.2} s)\n",
        derived.name,
        args.out.display()
    ))
}

fn largest_difference(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        derive: Derive,
    }

    fn parameters(arguments: &[&str]) -> Map<String, Value> {
        let all = ["derive", "data/x", "--out", "y"].iter().chain(arguments);
        Line::try_parse_from(all).unwrap().derive.parameters().unwrap()
    }

    #[test]
    fn recipes_and_options_become_parameters() {
        assert_eq!(parameters(&[]), support::parameters([("path", "data/x".into())]));
        let published = parameters(&["--profile", "published", "--delta-t", "50", "--bin", "100"]);
        assert_eq!((&published["delta_t_ms"], &published["bin_ms"]), (&json!(50.0), &json!(100.0)));
        assert_eq!(
            (&published["descent"], &published["partial_correlation"]),
            (&json!("plain"), &json!(false))
        );
        let some =
            parameters(&["--matrix", "sttc,correlation", "--min-events", "5", "--param", "frame_hz=10"]);
        assert_eq!(
            (&some["sttc"], &some["correlation"], &some["precision"]),
            (&json!(true), &json!(true), &json!("none"))
        );
        assert_eq!((&some["min_events"], &some["frame_hz"]), (&json!(5), &json!(10)));
    }
}
