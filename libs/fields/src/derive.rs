//! Computes the functional matrices of a field from its event times.

use pallium_core::{ndarray::Array2, prelude::*, tracing};

use crate::bins::{Counts, Moments};
use crate::events::{check_events, recorded_until};
use crate::lasso::{self, Descent, Fold};
use crate::released::ConnectomeOrder;
use crate::sttc;

/// Target of the log events that report progress.
const PROGRESS: &str = "progress";

pallium_core::choice! {
    /// How the precision matrix is estimated.
    pub enum Method {
        /// Graphical lasso; its penalty is `alpha` or chosen by cross-validation.
        GraphicalLasso = "graphical-lasso",
        /// Inverse of the covariance.
        Inverse = "inverse",
        /// No precision matrix.
        None = "none",
    }
}

pallium_core::params! {
    /// The field, and how its matrices are computed.
    pub struct Params {
        /// The field's folder, with event times.
        path: String = String::new(),
        /// Order of the connectome's rows and columns.
        connectome_order: ConnectomeOrder = ConnectomeOrder::Restored,
        /// Width of the bins of event counts (ms), for correlation and
        /// precision.
        bin_ms: f64 = 200.0,
        /// Coincidence window Δt of the spike time tiling coefficient (ms);
        /// 0 means half a frame. The released matrices use 100 ms: their tiles
        /// are longer than a frame, which biases the coefficient negative.
        delta_t_ms: f64 = 0.0,
        /// Frames per second of the recording (Hz), for a Δt of half a frame;
        /// 0 means the field's own value.
        frame_hz: f64 = 0.0,
        /// Start of the analysed part of the recording (s).
        from_s: f64 = 0.0,
        /// End of the analysed part (s); it may be later than the last event.
        /// 0 means 0.1 s after the last event, as in the released matrices.
        to_s: f64 = 0.0,
        /// A neuron with fewer events than this in the analysed part counts as
        /// silent: its correlation, coefficient and precision with all other
        /// neurons are 0.
        min_events: u32 = 1,
        /// Whether to compute the correlation.
        correlation: bool = true,
        /// Whether to compute the spike time tiling coefficient.
        sttc: bool = true,
        /// How to compute the precision.
        precision: Method = Method::GraphicalLasso,
        /// Penalty α of the graphical lasso, in units of covariance; 0 chooses
        /// it by cross-validation.
        alpha: f64 = 0.0,
        /// Number of folds for the cross-validation of α.
        folds: u32 = 5,
        /// Whether to scale counts to variance 1 before the precision is
        /// estimated, so that the penalty affects active and quiet neurons
        /// alike. The released matrices use raw counts.
        standardised: bool = false,
        /// Coordinate descent of the graphical lasso, and when it stops.
        descent: Descent = Descent::Screened,
        /// Whether to add a matrix `partial-correlation`,
        /// −Pᵢⱼ/√(Pᵢᵢ·Pⱼⱼ), 1 on the diagonal.
        partial_correlation: bool = true,
    }
}

/// Matrices by name, and notes on how they were computed.
pub struct Matrices {
    /// The matrices, N×N.
    pub matrices: Vec<(&'static str, Array2<f64>)>,
    /// Notes for readers of results.
    pub notes: Vec<String>,
}

/// Maximum end of the analysed part, relative to the last event; a later end is
/// probably in another unit.
const MAX_RELATIVE_END: f64 = 100.0;

/// Name of the matrix of partial correlations.
pub const PARTIAL: &str = "partial-correlation";

/// Computes the matrices that `params` requests from ascending event times (s).
///
/// # Errors
/// If the times or the analysed part are invalid, or the precision cannot be
/// estimated.
pub fn derive(events: &[Vec<f64>], params: &Params, threads: usize) -> Result<Matrices> {
    let report = |fraction: f64, what: &str| tracing::info!(target: PROGRESS, fraction, "{what}");
    report(0.0, "event times");
    check_events(events)?;
    let recorded = recorded_until(events);
    if params.to_s > MAX_RELATIVE_END * recorded {
        return Err(Error::input(format!(
            "the analysed part ends at {} s, but the last event is at {:.1} s",
            params.to_s,
            recorded - 0.1
        ))
        .help("are the end and the event times in seconds?"));
    }
    let to = if params.to_s > 0.0 { params.to_s } else { recorded };
    if to <= params.from_s {
        return Err(Error::input(format!(
            "the analysed part starts at {} s, but the recording lasts {recorded:.1} s",
            params.from_s
        ))
        .help("choose an earlier start"));
    }
    let length = to - params.from_s;
    let whole = params.from_s == 0.0 && to == recorded;
    let mut silent = Vec::new();
    let mut used: Vec<Vec<f64>> = Vec::with_capacity(events.len());
    for (neuron, times) in events.iter().enumerate() {
        let inside = |t: &&f64| whole || (params.from_s..=to).contains(*t);
        let mut kept: Vec<f64> = times.iter().filter(inside).map(|t| t - params.from_s).collect();
        if kept.len() < params.min_events.max(1) as usize {
            kept.clear();
            silent.push(neuron);
        }
        used.push(kept);
    }
    if silent.len() == events.len() {
        return Err(Error::input("no neuron has enough events in the analysed part")
            .help("lower min_events, or analyse more of the recording"));
    }

    let mut matrices = Vec::new();
    let mut notes = Vec::new();
    let span = format!("from {} to {to:.1} s", params.from_s);
    if params.sttc {
        report(0.02, "spike time tiling");
        let window = match (params.delta_t_ms, params.frame_hz) {
            (delta_t, _) if delta_t > 0.0 => delta_t / 1e3,
            (_, frame_hz) if frame_hz > 0.0 => 0.5 / frame_hz,
            _ => {
                return Err(Error::input("Δt cannot be half a frame, because the frame rate is unknown")
                    .help("set delta_t_ms (--delta-t), or the frames per second of the recording"));
            }
        };
        matrices.push((Substrate::STTC, sttc::sttc(&used, window, length, threads)?));
        let half = if params.delta_t_ms > 0.0 { "" } else { " (half a frame)" };
        notes.push(format!("sttc: computed from event times {span}, Δt = {:.1} ms{half}", window * 1e3));
    }
    if params.correlation || params.precision != Method::None {
        report(0.05, "event counts");
        let counts = Counts::new(&used, params.bin_ms / 1e3, length)?;
        let all = counts.moments(0..counts.bins(), threads);
        if params.correlation {
            matrices.push((Substrate::CORRELATION, all.correlation()));
            notes.push(format!(
                "correlation: of event counts {span} in {} bins of {} ms",
                counts.bins(),
                params.bin_ms
            ));
        }
        if params.precision != Method::None {
            let (precision, how) = precision(&counts, &all, params, threads, &|done| {
                report(0.1 + 0.9 * done, "precision");
            })?;
            if params.partial_correlation {
                matrices.push((PARTIAL, partial_correlation(&precision)));
            }
            matrices.push((Substrate::PRECISION, precision));
            notes.push(format!("precision: {how}, counts in bins of {} ms {span}", params.bin_ms));
        }
    }
    if !silent.is_empty() {
        let few: Vec<String> = silent.iter().take(10).map(ToString::to_string).collect();
        let more = if silent.len() > few.len() { ", …" } else { "" };
        notes.push(format!(
            "silent: {} of {} neurons have fewer than {} events (neurons {}{more}) and are unrelated to all others",
            silent.len(),
            events.len(),
            params.min_events.max(1),
            few.join(", ")
        ));
    }
    report(1.0, "done");
    Ok(Matrices { matrices, notes })
}

/// Estimates the precision of event counts; the text says how. A neuron with
/// constant counts has 1 on the diagonal and 0 elsewhere.
fn precision(
    counts: &Counts,
    all: &Moments,
    params: &Params,
    threads: usize,
    on_progress: &(dyn Fn(f64) + Sync),
) -> Result<(Array2<f64>, String)> {
    let varying = all.varying();
    let covariance = all.covariance(&varying);
    let unit: Vec<f64> = match params.standardised {
        true => covariance.diag().iter().map(|v| v.sqrt()).collect(),
        false => vec![1.0; varying.len()],
    };
    let scaled = |c: Array2<f64>| Array2::from_shape_fn(c.dim(), |(i, j)| c[[i, j]] / (unit[i] * unit[j]));
    let covariance = scaled(covariance);
    let kind = if params.standardised { "standardised" } else { "raw" };
    let (estimate, how) = match params.precision {
        Method::GraphicalLasso if params.alpha > 0.0 => {
            let estimate = lasso::at(&covariance, params.alpha, params.descent)?;
            (estimate, format!("graphical lasso of {kind} counts, given α = {}", params.alpha))
        }
        Method::GraphicalLasso => {
            let folds = folds(counts, all, &varying, params.folds as usize, threads)?
                .into_iter()
                .map(|fold| Fold { train: scaled(fold.train), test: scaled(fold.test) })
                .collect::<Vec<_>>();
            let chosen = lasso::cross_validated(&covariance, &folds, params.descent, threads, on_progress)?;
            let how = format!(
                "graphical lasso of {kind} counts, α = {:.6e}, best of {} by {}-fold cross-validation",
                chosen.alpha, chosen.compared, params.folds
            );
            (chosen.precision, how)
        }
        Method::Inverse | Method::None => {
            let inverse = pallium_linalg::inverse(covariance.view()).ok_or_else(|| {
                Error::input("the covariance of event counts has no inverse")
                    .help("two neurons may have identical events; use precision = \"graphical-lasso\"")
            })?;
            (inverse, format!("inverse covariance of {kind} counts"))
        }
    };
    let mut precision = Array2::eye(counts.neurons());
    for (i, &a) in varying.iter().enumerate() {
        for (j, &b) in varying.iter().enumerate() {
            precision[[a, b]] = estimate[[i, j]];
        }
    }
    Ok((precision, how))
}

/// Covariances of consecutive parts of the recording, and of the remaining
/// bins.
fn folds(
    counts: &Counts,
    all: &Moments,
    varying: &[usize],
    parts: usize,
    threads: usize,
) -> Result<Vec<Fold>> {
    let bins = counts.bins();
    if bins < 2 * parts {
        return Err(Error::input(format!("{bins} bins are too few for {parts} folds"))
            .help("use narrower bins or fewer folds, or set alpha"));
    }
    // If the bins do not divide evenly, the first parts have one more.
    let begin = |part: usize| part * (bins / parts) + part.min(bins % parts);
    let fold = |part: usize| {
        let left_out = counts.moments(begin(part)..begin(part + 1), threads);
        Fold { train: all.without(&left_out).covariance(varying), test: left_out.covariance(varying) }
    };
    Ok((0..parts).map(fold).collect())
}

/// Partial correlations from a precision matrix P with a positive diagonal:
/// −Pᵢⱼ/√(Pᵢᵢ·Pⱼⱼ), 1 on the diagonal.
pub fn partial_correlation(precision: &Array2<f64>) -> Array2<f64> {
    Array2::from_shape_fn(precision.dim(), |(i, j)| {
        let scale = (precision[[i, i]] * precision[[j, j]]).sqrt();
        // Adding zero turns −0 into 0.
        if i == j { 1.0 } else { (-precision[[i, j]] / scale).clamp(-1.0, 1.0) + 0.0 }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rand::seq::SliceRandom;

    use super::*;
    use crate::bins::FRAME_HZ;
    use pallium_npy as npy;
    use pallium_testing::{real_field, sparse_events};

    const REFERENCE: [(&str, f64, f64, f64, f64, usize); 3] = [
        ("5_3_8", 0.00028976937259396815, 173.91165709182806, 25.49496236873089, -0.6800861582216751, 348),
        ("4_7_2", 0.0013397294589735861, 130.8834606247298, 11.783373312339341, -0.35516885109113844, 3760),
        ("5_6_8", 0.00040409376867546243, 315.3197827528124, 22.27404473691274, -0.5009712220848718, 12156),
    ];

    fn defaults() -> Params {
        Params { frame_hz: FRAME_HZ, ..Params::default() }
    }

    fn published() -> Params {
        Params { delta_t_ms: 100.0, descent: Descent::Plain, ..defaults() }
    }

    fn matrix<'a>(derived: &'a Matrices, name: &str) -> &'a Array2<f64> {
        &derived.matrices.iter().find(|(known, _)| *known == name).unwrap().1
    }

    /// Largest difference relative to the largest entry.
    fn off(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
        let scale = b.iter().fold(0.0, |largest: f64, v| largest.max(v.abs()));
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / scale
    }

    #[test]
    fn the_published_settings_give_the_released_matrices() {
        for name in ["5_3_8", "4_7_2", "5_3_4", "5_6_8"] {
            let Some(folder) = real_field(name) else { return };
            let events = npy::read_lists(&folder.join(format!("spikes_{name}.npy")), &npy::any).unwrap();
            let begun = Instant::now();
            let derived = derive(&events, &published(), 2).unwrap();
            let released = npy::read_matrix(&folder.join("precision_matrix.npy"), &npy::any).unwrap();
            let off = off(matrix(&derived, "precision"), &released);
            println!("{name}: precision off by {off:.1e}; {:.2} s", begun.elapsed().as_secs_f64());
            assert!(off < 1e-10, "{name}: {off}");
            assert_eq!(released.iter().filter(|v| **v == 0.0).count(), {
                matrix(&derived, "precision").iter().filter(|v| **v == 0.0).count()
            });
        }
    }

    #[test]
    fn the_default_equals_scikit_learn() {
        // GraphicalLassoCV of scikit-learn 1.9.1 with its defaults: α, Frobenius
        // norm, two entries and the number of zeros.
        for (name, alpha, norm, diagonal, entry, zeros) in REFERENCE {
            let Some(folder) = real_field(name) else { return };
            let events = npy::read_lists(&folder.join(format!("spikes_{name}.npy")), &npy::any).unwrap();
            let only = Params { sttc: false, correlation: false, ..defaults() };
            let derived = derive(&events, &only, 2).unwrap();
            let precision = matrix(&derived, "precision");
            let found = precision.iter().map(|v| v * v).sum::<f64>().sqrt();
            println!("{name}: norm off by {:.1e}", found / norm - 1.0);
            assert!((found / norm - 1.0).abs() < 1e-10, "{name}: {found} {norm}");
            assert!((precision[[0, 0]] / diagonal - 1.0).abs() < 1e-10, "{name}");
            assert!((precision[[17, 5]] - entry).abs() < 1e-9, "{name}: {} {entry}", precision[[17, 5]]);
            assert_eq!(precision.iter().filter(|v| **v == 0.0).count(), zeros, "{name}");
            let alpha = format!("α = {alpha:.6e}");
            assert!(derived.notes.iter().any(|note| note.contains(&alpha)), "{alpha}: {:?}", derived.notes);
        }
    }

    #[test]
    fn both_descents_agree_within_their_tolerance() {
        let Some(folder) = real_field("4_7_2") else { return };
        let events = npy::read_lists(&folder.join("spikes_4_7_2.npy"), &npy::any).unwrap();
        let only = Params { sttc: false, correlation: false, ..defaults() };
        let screened = derive(&events, &only, 2).unwrap();
        let plain = derive(&events, &Params { descent: Descent::Plain, ..only }, 2).unwrap();
        let off = off(matrix(&screened, "precision"), matrix(&plain, "precision"));
        assert!(off < 1e-4, "{off}");
    }

    #[test]
    fn matrices_are_symmetric_bounded_and_independent_of_neuron_order() {
        let mut events = sparse_events(12, 400.0, 5);
        events[3].clear();
        let mut order: Vec<usize> = (0..12).collect();
        order.shuffle(&mut random::stream(1, "test"));
        let shuffled: Vec<Vec<f64>> = order.iter().map(|&k| events[k].clone()).collect();
        for params in [defaults(), published(), Params { precision: Method::Inverse, ..published() }] {
            let (a, b) = (derive(&events, &params, 1).unwrap(), derive(&shuffled, &params, 3).unwrap());
            assert_eq!(a.matrices.len(), 4);
            for (name, matrix) in &a.matrices {
                assert_eq!(matrix, matrix.t(), "{name}");
                assert!(matrix.iter().all(|v| v.is_finite()), "{name}");
                if *name != "precision" {
                    assert!(matrix.iter().all(|v| v.abs() <= 1.0), "{name}");
                    assert!(matrix.diag().iter().all(|v| *v == 1.0), "{name}");
                }
                let other = self::matrix(&b, name);
                // The lasso visits neurons in their order and stops at a tolerance.
                let allowed = if matches!(*name, "sttc" | "correlation") { 0.0 } else { 2e-3 };
                let scale = matrix.iter().fold(0.0, |largest: f64, v| largest.max(v.abs()));
                for (i, &a) in order.iter().enumerate() {
                    for (j, &b) in order.iter().enumerate() {
                        let apart = (other[[i, j]] - matrix[[a, b]]).abs();
                        assert!(apart <= allowed * scale, "{name}: {apart}");
                    }
                    // The silent neuron.
                    let expected = if i == 3 { 1.0 } else { 0.0 };
                    assert_eq!(matrix[[3, i]], expected, "{name}");
                }
            }
            assert!(a.notes.iter().any(|n| n.starts_with("silent: 1 of 12")), "{:?}", a.notes);
        }
    }

    #[test]
    fn results_do_not_depend_on_threads() {
        let events = sparse_events(9, 300.0, 6);
        let (a, b) = (derive(&events, &defaults(), 1), derive(&events, &defaults(), 4));
        assert_eq!(a.unwrap().matrices, b.unwrap().matrices);
    }

    #[test]
    fn part_of_a_recording_equals_a_shorter_recording() {
        let events = sparse_events(6, 300.0, 7);
        let part = Params { from_s: 100.0, to_s: 200.0, min_events: 3, ..defaults() };
        let moved: Vec<Vec<f64>> = events
            .iter()
            .map(|times| times.iter().filter(|t| (100.0..=200.0).contains(*t)).map(|t| t - 100.0).collect())
            .collect();
        let whole = Params { to_s: 100.0, min_events: 3, ..defaults() };
        let (a, b) = (derive(&events, &part, 1).unwrap(), derive(&moved, &whole, 1).unwrap());
        // The second recording ends 0.1 s after its last event.
        for (name, matrix) in &a.matrices {
            assert!(off(matrix, self::matrix(&b, name)) < 2e-2, "{name}");
        }
        assert!(derive(&events, &Params { from_s: 1000.0, ..defaults() }, 1).is_err());
        assert!(derive(&events, &Params { min_events: 10_000, ..defaults() }, 1).is_err());
        let too_short = Params { from_s: 100.0, to_s: 101.0, ..defaults() };
        assert!(derive(&events, &too_short, 1).is_err());
    }

    #[test]
    fn alpha_can_be_set_and_counts_standardised() {
        let events = sparse_events(6, 300.0, 8);
        let given = Params { alpha: 0.01, standardised: true, ..defaults() };
        let derived = derive(&events, &given, 1).unwrap();
        assert!(derived.notes.iter().any(|n| n.contains("given α = 0.01")));
        let strong = derive(&events, &Params { alpha: 10.0, ..given }, 1).unwrap();
        let off_diagonal = matrix(&strong, "precision").indexed_iter().filter(|((i, j), _)| i != j);
        assert!(off_diagonal.map(|(_, v)| *v).all(|v| v == 0.0));
    }
}
