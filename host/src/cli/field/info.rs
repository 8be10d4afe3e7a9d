//! `pallium field info`.

use std::path::{Path, PathBuf};

use clap::Args;
use ndarray::Array2;
use pallium_core::{Error, Kind, Result, Substrate, WeightRequest};
use pallium_record::defaults;
use pallium_record::spec::Use;
use pallium_report::text::p_cell;

use super::read;
use crate::cli::{output, support};
use crate::field::{AsStored, Order, Page, Weights, page, svg};
use crate::plugins::Catalogue;

/// Columns of the bars in the profile's table.
const BAR: usize = 20;

/// Describes a field: its neurons, connection and correlation by distance, the order
/// of its connectome, and known problems.
///
/// A released connectome lists the neurons in another order than the other files of its
/// field; distances are shown both for that order and for the restored one.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium field info data/6_6_2 --json")]
pub struct Info {
    /// The field's folder.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Write a figure of connection and correlation by distance to this file; `-` is
    /// standard output, which then contains nothing else.
    #[arg(long, value_name = "FILE.svg|-")]
    svg: Option<PathBuf>,
    /// Replace FILE.svg if it exists.
    #[arg(long, requires = "svg")]
    force: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// If the field cannot be read, or the figure cannot be written.
pub fn info(args: &Info) -> Result<()> {
    let on_stdout = args.svg.as_deref().is_some_and(output::is_stdout);
    if on_stdout && args.json {
        return Err(Error::input("only one document can be written to standard output")
            .help("name a file for --svg, or leave out --json"));
    }
    args.svg.iter().try_for_each(|path| output::check(path, args.force))?;
    let catalogue = support::catalogue(&[])?;
    let mut field = read(&catalogue, &args.folder, "released", true)?;
    let mut notes = Vec::new();
    if field.events.is_some() && !field.matrices.contains_key(Substrate::STTC) {
        notes = compute_on_reading(&catalogue, &args.folder, &mut field)?;
    }
    let stored = AsStored::new(&field);
    let weights = weights(&catalogue, &field)?;
    let restored = restore(&catalogue, &args.folder, &mut field)?;
    notes.retain(|note| !field.notes.contains(note));
    field.notes.extend(notes);
    let page = page(&field, stored, restored, weights);
    if let Some(path) = &args.svg {
        output::write(path, svg(&page)?.as_bytes(), args.force)?;
        if on_stdout {
            return Ok(());
        }
    }
    if args.json {
        let json = serde_json::to_value(&page)
            .map_err(|e| Error::bug(format!("a page about a field is not JSON: {e}")))?;
        return support::print_json(&json);
    }
    support::print(&text(&page))
}

/// Puts the connectome into the order of the neurons; false, with a warning, if that is
/// not possible. Only one connectome is held at a time: that of 20,000 neurons takes
/// 3.2 GB.
fn restore(catalogue: &Catalogue, folder: &Path, field: &mut Substrate) -> Result<bool> {
    let had = field.matrices.remove(Substrate::CONNECTOME).is_some();
    match silently(|| read(catalogue, folder, "restored", false)) {
        // Everything that does not depend on the order is printed all the same.
        Err(e) if e.kind == Kind::Input => {
            tracing::warn!("the order of the connectome cannot be restored: {}", e.report());
            if had {
                let mut stored = silently(|| read(catalogue, folder, "released", false))?;
                field.matrices.extend(stored.matrices.remove_entry(Substrate::CONNECTOME));
            }
            Ok(false)
        }
        other => {
            let mut restored = other?;
            field.matrices.extend(restored.matrices.remove_entry(Substrate::CONNECTOME));
            field.notes = restored.notes;
            Ok(true)
        }
    }
}

/// Adds the matrices that the field has in an experiment although no file holds
/// them: an STTC is computed when a field with events is read. Returns the notes on it.
fn compute_on_reading(catalogue: &Catalogue, folder: &Path, field: &mut Substrate) -> Result<Vec<String>> {
    let params = support::parameters([("connectome_order", "released".into())]);
    let field_as_used = || support::field(catalogue, Use { params, ..Use::new(defaults::FIELD) }, folder);
    let as_used = silently(field_as_used)?;
    for (name, matrix) in as_used.matrices {
        field.matrices.entry(name).or_insert(matrix);
    }
    Ok(as_used.notes)
}

/// Reads a folder again, without the warnings of the first reading.
fn silently<T>(read: impl FnOnce() -> T) -> T {
    tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::default(), read)
}

/// The weights that follow from the field if every lognormal factor is 1.
fn weights(catalogue: &Catalogue, field: &Substrate) -> Result<Option<Weights>> {
    let has = |name: &str| field.matrices.contains_key(name);
    if !has(Substrate::CORRELATION) || !has(Substrate::STTC) || field.neurons < 2 {
        return Ok(None);
    }
    // Without a floor the weights before the last step have the requested mean,
    // so their spectral radius follows from the mean after it.
    let (mean, radius) = (0.1, 0.95);
    let params =
        support::parameters([("floor", 0.into()), ("mean", mean.into()), ("spectral_radius", radius.into())]);
    let n = field.neurons;
    let setting = support::setting(Some(n), Some(field), None);
    let ones = Array2::ones((n, n));
    let request = WeightRequest {
        neurons: n,
        substrate: Some(field),
        seed: 0,
        draw: Some(ones.view()),
        connections: None,
    };
    let source = Use { params, ..Use::new(defaults::FROM_ACTIVITY) };
    let weights = match catalogue.weights(&source, &setting)?.weights(&request) {
        // Matrices without positive entries cannot be scaled.
        Err(e) if e.kind == Kind::Input => return Ok(None),
        other => other?.mapv(f64::from),
    };
    let sum = weights.sum();
    Ok(Some(Weights {
        spectral_radius: radius * mean / (sum / (n * n) as f64),
        diagonal_share: weights.diag().sum() / sum,
    }))
}

/// The page as text.
fn text(page: &Page) -> String {
    let unknown = || "unknown".to_string();
    let um = |v: Option<f64>| v.map_or_else(unknown, |v| format!("{v:.1} µm"));
    let mut table = support::table(["field", &page.name]);
    let mut row = |name: &str, text: String| {
        table.add_row([name.to_owned(), text]);
    };
    row("neurons", page.neurons.to_string());
    for (kind, [first, last]) in &page.ids {
        row(&format!("{kind} ids"), format!("{first} … {last}"));
    }
    row("extent", page.span_um.map_or_else(unknown, |[x, y, z]| format!("{x:.0} × {y:.0} × {z:.0} µm")));
    row("mean distance", um(page.mean_distance_um));
    row("synapses", page.synapses.map_or_else(unknown, |v| v.to_string()));
    row("connected pairs", page.connected_pairs.map_or_else(unknown, |v| v.to_string()));
    if let Some(wiring) = &page.wiring {
        let expected =
            wiring.reciprocal_expected.map_or_else(String::new, |e| format!(" (by chance {e:.1})"));
        row("… in both directions", format!("{}{expected}", wiring.reciprocal_pairs));
    }
    let connected = &page.mean_connected_distance_um;
    let with_p = |distance: Option<f64>, order: &Option<Order>| match (distance, order) {
        (Some(d), Some(order)) => {
            let verdict = if order.plausible { "near" } else { "not nearer than random" };
            format!("{d:.1} µm, {verdict} (p = {})", p_cell(order.p))
        }
        (d, _) => um(d),
    };
    row("… distance, order as stored", with_p(connected.released, &page.order.released));
    row("… distance, order restored", with_p(connected.restored, &page.order.restored));
    match &page.activity {
        Some(activity) => {
            let [least, median, most] = activity.rate_hz;
            row("events", format!("{} in {} s", activity.events, length(activity.length_s)));
            row("rates", format!("{least:.3} … {most:.3} a second, median {median:.3}"));
            row("silent neurons", activity.silent.len().to_string());
        }
        None => row("events", "none".into()),
    }
    for (name, relation) in &page.relations {
        let distance = relation.with_distance.map_or_else(String::new, |r| format!("; with distance {r:.2}"));
        let linked =
            relation.mean_connected.map_or_else(String::new, |m| format!("; connected pairs {m:.4}"));
        row(name, format!("mean {:.4}, sd {:.4}{linked}{distance}", relation.mean, relation.sd));
    }
    if let Some(weights) = &page.functional_weights {
        row("spectral radius of W*", format!("{:.2} at mean weight 0.1", weights.spectral_radius));
        row("weight on W*'s diagonal", format!("{:.1} %", 100.0 * weights.diagonal_share));
    }
    let mut text = format!("{table}\n");
    if !page.profile.is_empty() {
        text.push_str(&format!("\n{}\n", profile(page)));
    }
    if !page.warnings.is_empty() {
        text.push_str("\nBeware:\n");
        page.warnings.iter().for_each(|warning| text.push_str(&format!("- {warning}\n")));
    }
    if !page.notes.is_empty() {
        text.push_str("\nNotes of the source:\n");
        page.notes.iter().for_each(|note| text.push_str(&format!("- {note}\n")));
    }
    text
}

/// A duration in seconds, with an exponent if it is so long that it has another unit.
fn length(seconds: f64) -> String {
    if seconds < 1e12 { format!("{seconds:.0}") } else { format!("{seconds:e}") }
}

/// Connection and correlation by distance, with bars.
fn profile(page: &Page) -> String {
    let most =
        |of: fn(&crate::field::Bin) -> Option<f64>| page.profile.iter().filter_map(of).fold(0.0, f64::max);
    let (connected, correlated) = (most(|bin| bin.probability), most(|bin| bin.correlation));
    let mut table = support::table(["distance (µm)", "pairs", "connected (%)", "", "correlation", ""]);
    for bin in &page.profile {
        let number = |v: Option<f64>, factor: f64, digits: usize| {
            v.map_or_else(String::new, |v| format!("{:.digits$}", factor * v))
        };
        table.add_row([
            format!("{}–{}", bin.from_um, bin.to_um),
            bin.pairs.to_string(),
            number(bin.probability, 100.0, 2),
            bar(bin.probability, connected),
            number(bin.correlation, 1.0, 4),
            bar(bin.correlation, correlated),
        ]);
    }
    table.to_string()
}

/// A bar of up to [`BAR`] columns, to an eighth of a column.
fn bar(value: Option<f64>, most: f64) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let share = value.filter(|_| most > 0.0).map_or(0.0, |v| (v / most).clamp(0.0, 1.0));
    let eighths = (share * (8 * BAR) as f64).round() as usize;
    format!("{}{}", "█".repeat(eighths / 8), PARTS[eighths % 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_proportional() {
        assert_eq!(bar(Some(1.0), 1.0).chars().count(), BAR);
        assert_eq!(bar(Some(0.5), 1.0).chars().count(), BAR / 2);
        assert_eq!(bar(Some(0.0), 1.0), "");
        assert_eq!(bar(None, 1.0), "");
        assert_eq!(bar(Some(-1.0), 1.0), "");
        assert_eq!(bar(Some(1.0), 0.0), "");
        assert_eq!(bar(Some(0.5 + 1.0 / 160.0), 1.0), format!("{}▏", "█".repeat(BAR / 2)));
    }

    #[test]
    fn a_length_has_no_more_digits_than_can_be_read() {
        assert_eq!([length(3000.4), length(1e300)], ["3000", "1e300"]);
    }

    #[test]
    fn a_field_without_data_has_a_page() {
        let bare = Substrate {
            name: "bare".into(),
            neurons: 1,
            matrices: [("sttc".into(), Array2::ones((1, 1)).into())].into(),
            ..Substrate::default()
        };
        let text = text(&page(&bare, AsStored::default(), false, None));
        assert!(
            text.contains("bare") && text.contains("Beware:") && !text.contains("distance (µm)"),
            "{text}"
        );
    }
}
