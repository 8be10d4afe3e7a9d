//! `pallium field join`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use ndarray::{Array2, s};
use pallium_core::{Error, PositionsBase, Result, Setting, Substrate};
use pallium_record::defaults;
use pallium_record::spec::Use;

use super::{check_free, read, store};
use crate::cli::output::folder_of;
use crate::cli::support;

/// Joins fields that were recorded at the same time, and computes correlation and
/// spike time tiling coefficient within and across them.
///
/// Fields of one scan (`5_3_2` and `5_3_8` of scan 5_3) share a clock. A cell in two
/// of them counts once. Fields of different scans were never recorded together, so
/// there is no activity across them: read them with `microns.tables` and joined = true.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium field join data/5_3_2 data/5_3_4 data/5_3_6 data/5_3_8 --out data/5_3")]
pub struct Join {
    /// The folders of the fields, with event times.
    #[arg(value_name = "DIR", num_args = 2.., required = true)]
    folders: Vec<PathBuf>,
    /// The folder to write: a new or an empty one.
    #[arg(long, value_name = "DIR2")]
    out: PathBuf,
    /// State that the fields share a clock, although their names are not of one scan.
    #[arg(long)]
    one_clock: bool,
    /// Name of the joined field [default: that of the scan, or `joined`].
    #[arg(long)]
    name: Option<String>,
    /// Set any parameter of `microns.derived`, such as `bin_ms=100`; may be repeated.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = support::value_pair)]
    params: Vec<(String, serde_json::Value)>,
    /// Threads to use; the result does not depend on it [default: all cores].
    #[arg(long, value_name = "N", value_parser = support::at_least_one::<u16>, allow_negative_numbers = true)]
    threads: Option<u16>,
}

/// Runs the command.
///
/// # Errors
/// If a field has no event times, the fields were not recorded together, or the result
/// cannot be written.
pub fn join(args: &Join) -> Result<()> {
    check_free(&args.out)?;
    let catalogue = support::catalogue(&[])?;
    let fields = args
        .folders
        .iter()
        .map(|folder| read(&catalogue, folder, "restored", true))
        .collect::<Result<Vec<Substrate>>>()?;
    let scan = one_scan(&fields);
    if scan.is_none() && !args.one_clock {
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        return Err(Error::input(format!("the fields {} are not of one scan", names.join(", "))).help(
            "activity across scans was never recorded together; if these fields have one clock, set --one-clock",
        ));
    }
    let name = args.name.clone().or(scan).unwrap_or_else(|| "joined".into());
    let (joined, of) = joined(&fields, name)?;
    // The matrices are computed by the component that computes those of one field, from
    // a folder that is removed afterwards.
    let parent = folder_of(&args.out);
    std::fs::create_dir_all(parent).map_err(|e| Error::io(parent, &e))?;
    let beside =
        tempfile::Builder::new().prefix(".pallium-").tempdir_in(parent).map_err(|e| Error::io(parent, &e))?;
    let bare = beside.path().join("field");
    store(&catalogue, &joined, &bare)?;
    let mut params =
        support::parameters([("path", support::path_text(&bare)?.into()), ("precision", "none".into())]);
    params.extend(args.params.iter().cloned());
    let mut setting = support::setting(None, None, None);
    if let Some(threads) = args.threads {
        setting = Setting { threads: threads.into(), ..setting };
    }
    let source = Use { params, ..Use::new(defaults::DERIVED) };
    let mut derived = catalogue.substrate(&source, &setting)?.substrate(0)?;
    derived.check()?;
    derived.name.clone_from(&joined.name);
    store(&catalogue, &derived, &args.out)?;

    let mut table = support::table(["matrix", "mean within fields", "mean across fields"]);
    for (name, matrix) in derived.matrices.iter().filter(|(name, _)| *name != Substrate::CONNECTOME) {
        let [within, across] = means(&matrix.to_array(), &of);
        table.add_row([name.clone(), format!("{within:.5}"), format!("{across:.5}")]);
    }
    support::print_table(&table)?;
    let notes: String = derived.notes.iter().map(|note| format!("{note}\n")).collect();
    support::print(&format!(
        "\n{notes}\n{} neurons of {} fields are in {}\n",
        derived.neurons,
        fields.len(),
        args.out.display()
    ))
}

/// The scan of fields that are named `<session>_<scan>_<field>` or `<session>_<scan>`, if it is one.
fn one_scan(fields: &[Substrate]) -> Option<String> {
    let scan = |name: &str| {
        let parts: Vec<&str> = name.split('_').collect();
        let numbers = parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        // A joined field has the name of its scan.
        ((2..=3).contains(&parts.len()) && numbers).then(|| format!("{}_{}", parts[0], parts[1]))
    };
    let first = scan(&fields.first()?.name)?;
    fields.iter().all(|field| scan(&field.name).as_ref() == Some(&first)).then_some(first)
}

/// All neurons, cells that occur again left out, and the field of each.
fn joined(fields: &[Substrate], name: String) -> Result<(Substrate, Vec<usize>)> {
    let mut joined = Substrate { name, ..Substrate::default() };
    let Some(first) = fields.first() else { return Err(Error::bug("no fields")) };
    let mut known = BTreeSet::new();
    // Of each field the neurons that are kept.
    let kept: Vec<Vec<usize>> = fields
        .iter()
        .map(|field| {
            let roots = field.ids.get("root");
            let new = |&i: &usize| roots.is_none_or(|roots| known.insert(roots[i]));
            (0..field.neurons).filter(new).collect()
        })
        .collect();
    if let Some((field, _)) = fields.iter().zip(&kept).find(|(_, kept)| kept.is_empty()) {
        return Err(Error::input(format!(
            "every neuron of the field {} is also in a field before it",
            field.name
        ))
        .help("name each field once"));
    }
    let of: Vec<usize> =
        kept.iter().enumerate().flat_map(|(field, kept)| kept.iter().map(move |_| field)).collect();
    joined.neurons = of.len();
    let differs = |what: &str, other: &Substrate| {
        Err(Error::input(format!("the fields {} and {} differ in {what}", first.name, other.name))
            .help("join fields that were recorded at the same time, on one clock"))
    };
    let mut events = Vec::new();
    for (field, kept) in fields.iter().zip(&kept) {
        if field.frame_hz != first.frame_hz {
            return differs("their frame rate", field);
        }
        if field.recording != first.recording {
            return differs("begin or end of the recording", field);
        }
        let of_field = field.events.as_ref().ok_or_else(|| {
            Error::input(format!("the field {} holds no event times", field.name))
                .help("correlations across fields are computed from event times")
        })?;
        events.extend(kept.iter().map(|&i| of_field[i].clone()));
    }
    (joined.events, joined.frame_hz, joined.recording) = (Some(events), first.frame_hz, first.recording);
    let all = |has: &dyn Fn(&Substrate) -> bool| fields.iter().all(has);
    if let Some(positions) = first.positions.as_ref().filter(|_| all(&|field| field.positions.is_some())) {
        let unit = positions.unit_um;
        let mut values = Array2::zeros((joined.neurons, 3));
        let mut to = 0;
        for (field, kept) in fields.iter().zip(&kept) {
            let Some(positions) = &field.positions else { continue };
            if positions.unit_um != unit {
                return differs("the unit of their positions", field);
            }
            for &i in kept {
                values.row_mut(to).assign(&positions.values.view().row(i));
                to += 1;
            }
        }
        joined.positions = Some(PositionsBase::new(values, unit));
    }
    for name in first.ids.keys().filter(|name| all(&|field| field.ids.contains_key(*name))) {
        let ids: Vec<i64> = fields
            .iter()
            .zip(&kept)
            .flat_map(|(field, kept)| kept.iter().map(|&i| field.ids[name][i]))
            .collect();
        let unique: BTreeSet<i64> = ids.iter().copied().collect();
        // Numbers of units begin anew in each field of some recordings.
        if unique.len() == ids.len() {
            joined.ids.insert(name.clone(), ids.into());
        }
    }
    if all(&|field| field.matrices.contains_key(Substrate::CONNECTOME)) {
        let mut wiring = Array2::zeros((joined.neurons, joined.neurons));
        let mut at = 0;
        for (field, kept) in fields.iter().zip(&kept) {
            let own = field.matrices[Substrate::CONNECTOME].to_array();
            let block = Array2::from_shape_fn((kept.len(), kept.len()), |(i, j)| own[[kept[i], kept[j]]]);
            wiring.slice_mut(s![at..at + kept.len(), at..at + kept.len()]).assign(&block);
            at += kept.len();
        }
        joined.matrices.insert(Substrate::CONNECTOME.into(), wiring.into());
        joined.notes.push(
            "connectome: known within each field; synapses between fields are unknown, and 0 here".into(),
        );
    }
    let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    let repeated = fields.iter().map(|field| field.neurons).sum::<usize>() - joined.neurons;
    joined.notes.push(format!("neurons: of the fields {}, in this order", names.join(", ")));
    if repeated > 0 {
        joined.notes.push(format!("neurons: {repeated} cells of an earlier field left out"));
    }
    Ok((joined, of))
}

/// Mean off the diagonal within and across fields.
fn means(matrix: &Array2<f64>, of: &[usize]) -> [f64; 2] {
    let (mut sums, mut counts) = ([0.0; 2], [0.0; 2]);
    for ((i, j), value) in matrix.indexed_iter().filter(|((i, j), _)| i != j) {
        let across = usize::from(of[i] != of[j]);
        sums[across] += value;
        counts[across] += 1.0;
    }
    [0, 1].map(|k| if counts[k] > 0.0 { sums[k] / counts[k] } else { f64::NAN })
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn field(name: &str, roots: &[i64]) -> Substrate {
        let n = roots.len();
        let mut field =
            Substrate { name: name.into(), neurons: n, frame_hz: Some(6.3), ..Substrate::default() };
        field.ids.insert("root".into(), roots.to_vec().into());
        field.ids.insert("unit".into(), (1..=n as i64).collect::<Vec<_>>().into());
        field.events = Some(roots.iter().map(|&root| vec![root as f64]).collect());
        field.positions = Some(PositionsBase::new(Array2::from_elem((n, 3), roots[0] as f64), [1.0; 3]));
        let wiring = Array2::from_shape_fn((n, n), |(i, j)| (roots[i] * 10 + roots[j]) as f64);
        field.matrices.insert(Substrate::CONNECTOME.into(), wiring.into());
        field
    }

    #[test]
    fn cells_are_joined_once_with_blocks_of_the_connectome() {
        let fields = [field("5_3_2", &[1, 2]), field("5_3_8", &[2, 3])];
        assert_eq!(one_scan(&fields).as_deref(), Some("5_3"));
        let (found, of) = joined(&fields, "5_3".into()).unwrap();
        assert_eq!((found.neurons, of), (3, vec![0, 0, 1]));
        assert_eq!(&*found.ids["root"], &[1, 2, 3]);
        assert!(!found.ids.contains_key("unit"), "units begin anew");
        assert_eq!(found.events.as_ref().unwrap()[2], [3.0]);
        let wiring = found.matrices[Substrate::CONNECTOME].to_array();
        assert_eq!(wiring, array![[11.0, 12.0, 0.0], [21.0, 22.0, 0.0], [0.0, 0.0, 33.0]]);
        assert_eq!(found.positions.as_ref().unwrap().values.view()[[2, 0]], 2.0);
        found.check().unwrap();
    }

    #[test]
    fn fields_that_were_not_recorded_together_are_refused() {
        assert!(one_scan(&[field("5_3_2", &[1]), field("5_6_8", &[2])]).is_none());
        assert!(one_scan(&[field("mine", &[1]), field("other", &[2])]).is_none());
        let mut slow = field("5_3_8", &[2]);
        slow.frame_hz = Some(8.0);
        let error = joined(&[field("5_3_2", &[1]), slow], "x".into()).unwrap_err();
        assert!(error.message.contains("5_3_2 and 5_3_8 differ in their frame rate"), "{error}");
        let mut silent = field("5_3_8", &[2]);
        silent.events = None;
        let error = joined(&[field("5_3_2", &[1]), silent], "x".into()).unwrap_err();
        assert!(error.message.contains("5_3_8 holds no event times"), "{error}");
    }
}
