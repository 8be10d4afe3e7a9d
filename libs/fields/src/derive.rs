//! Computes the functional matrices of a field from its event times.

use pallium_core::{Kind, ndarray::Array2, prelude::*, tracing};

use crate::bins::{Counts, Moments};
use crate::events::check_events;
use crate::lasso::{self, Descent, Fold};
use crate::released::ConnectomeOrder;
use crate::sttc;
use crate::timeline::{Timeline, on_frame, recorded, shown, slack};

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
        /// Start of the analysed part (s); by default the start of the recording
        /// or, if that is not stated, the time of the first event rounded down to a
        /// full second.
        from_s: Option<f64> = None,
        /// End of the analysed part (s), which may be later than the last event;
        /// by default the end of the recording or, if that is not stated, 0.1 s
        /// after the last event, as in the released matrices.
        to_s: Option<f64> = None,
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

/// The analysed part of the recording, and a remark on how it was chosen.
fn analysed(
    events: &[Vec<f64>],
    recording: Option<(f64, f64)>,
    params: &Params,
) -> Result<((f64, f64), Option<String>)> {
    let ((begin, end), remark) = recorded(events, recording);
    let (from, to) = (params.from_s.unwrap_or(begin), params.to_s.unwrap_or(end));
    let wrong = |what: String, help: &str| Err(Error::input(format!("the analysed part {what}")).help(help));
    let slack = slack(begin, end);
    match recording {
        Some(_) if from < begin - slack => {
            return wrong(
                format!("starts at {} s, but the recording begins at {} s", shown(from), shown(begin)),
                "start no earlier, or correct `recording` in field.toml",
            );
        }
        Some(_) if to > end + slack => {
            return wrong(
                format!("ends at {} s, but the recording ends at {} s", shown(to), shown(end)),
                "end no later, or correct `recording` in field.toml",
            );
        }
        None if to - from > MAX_RELATIVE_END * (end - begin) => {
            return wrong(
                format!("is {} s long, but the events span only {} s", shown(to - from), shown(end - begin)),
                "are its ends and the event times in seconds?",
            );
        }
        _ if from >= end => {
            return wrong(
                format!("starts at {} s, but the recording ends at {} s", shown(from), shown(end)),
                "choose an earlier start",
            );
        }
        _ if to <= from => {
            return wrong(
                format!("ends at {} s but starts at {} s", shown(to), shown(from)),
                "choose a later end or an earlier start",
            );
        }
        _ => {}
    }
    Ok(((from, to), remark.filter(|_| params.from_s.is_none())))
}

/// Events of the analysed part.
struct Part {
    /// Those of each neuron; none if there are too few.
    used: Vec<Vec<f64>>,
    /// Neurons with too few.
    silent: Vec<usize>,
    timeline: Timeline,
    span: (f64, f64),
}

impl Part {
    fn new(
        events: &[Vec<f64>],
        (from, to): (f64, f64),
        frame_hz: Option<f64>,
        min_events: u32,
    ) -> Result<Self> {
        let mut silent = Vec::new();
        let mut used: Vec<Vec<f64>> = Vec::with_capacity(events.len());
        let slack = slack(from, to);
        for (neuron, times) in events.iter().enumerate() {
            let mut kept: Vec<f64> =
                times.iter().filter(|t| (from - slack..=to + slack).contains(*t)).copied().collect();
            if kept.len() < min_events.max(1) as usize {
                kept.clear();
                silent.push(neuron);
            }
            used.push(kept);
        }
        let timeline = Timeline::new(&used, (from, to), frame_hz)?;
        Ok(Part { used, silent, timeline, span: (from, to) })
    }
}

/// The analysed part whose set ends are moved to the frames of the recording that they
/// lie on; `None` if no end is set, its start is between two frames, or events are.
fn in_frames(
    events: &[Vec<f64>],
    recording: Option<(f64, f64)>,
    (from, to): (f64, f64),
    params: &Params,
) -> Result<Option<Part>> {
    let set = params.from_s.is_some() || params.to_s.is_some();
    let Some(hz) = Some(params.frame_hz).filter(|hz| *hz > 0.0 && set) else { return Ok(None) };
    let ((begin, end), _) = recorded(events, recording);
    let from = match params.from_s {
        Some(_) => on_frame(from, begin, hz),
        None => Some(from),
    };
    let moved = params.to_s.and_then(|to| on_frame(to, begin, hz));
    let to = moved.filter(|to| recording.is_none() || *to <= end + slack(begin, end)).unwrap_or(to);
    let Some(from) = from.filter(|from| *from < to) else { return Ok(None) };
    let part = Part::new(events, (from, to), Some(hz), params.min_events)?;
    Ok(Some(part).filter(|part| part.timeline.in_frames()))
}

/// A span of time, for people.
fn between((from, to): (f64, f64)) -> String {
    format!("from {} to {} s", shown(from), shown(to))
}

/// The error for a part in which every neuron counts as silent.
fn nothing(events: &[Vec<f64>], (from, to): (f64, f64)) -> Error {
    if events.iter().all(Vec::is_empty) {
        return Error::input("the field has no events").help(
            "does the file of events have rows? If events are detected in traces, set a lower threshold",
        );
    }
    if !events.iter().flatten().any(|time| (from..=to).contains(time)) {
        let part = between((from, to));
        return Error::input(format!("the field has no events {part}"))
            .help("analyse another part of the recording (--from, --to)");
    }
    Error::input("no neuron has enough events in the analysed part")
        .help("lower min_events, or analyse more of the recording")
}

/// Computes the matrices that `params` requests from ascending event times (s).
/// `recording` is its begin and end, if they are known.
///
/// A precision that cannot be estimated costs only itself, if other matrices are
/// requested: the notes and the log say why it is missing.
///
/// # Errors
/// If the times or the analysed part are invalid, or nothing can be computed.
pub fn derive(
    events: &[Vec<f64>],
    recording: Option<(f64, f64)>,
    params: &Params,
    threads: usize,
) -> Result<Matrices> {
    let report = |fraction: f64, what: &str| tracing::info!(target: PROGRESS, fraction, "{what}");
    report(0.0, "event times");
    check_events(events, recording)?;
    let (given, remark) = analysed(events, recording, params)?;
    let frame_hz = Some(params.frame_hz).filter(|hz| *hz > 0.0);
    let Part { used, silent, timeline, span: (from, to) } = match in_frames(events, recording, given, params)?
    {
        Some(part) => part,
        // The frames begin where the analysed part does, unless that is set.
        None => Part::new(events, given, frame_hz.filter(|_| params.from_s.is_none()), params.min_events)?,
    };
    if silent.len() == events.len() {
        return Err(nothing(events, given));
    }

    let mut matrices = Vec::new();
    let mut notes = Vec::new();
    notes.extend(remark.inspect(|remark| tracing::warn!("{remark}")));
    let (span, given) = (between((from, to)), between(given));
    if span != given {
        let note = format!(
            "times: the analysed part was moved to frames of the recording, {given} → {span}; set from_s and to_s \
             (--from, --to) to times of frames"
        );
        tracing::warn!("{note}");
        notes.push(note);
    }
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
        matrices.push((Substrate::STTC, sttc::sttc(&used, window, &timeline, threads)?));
        let half = if params.delta_t_ms > 0.0 { "" } else { " (half a frame)" };
        notes.push(format!("sttc: computed from event times {span}, Δt = {:.1} ms{half}", window * 1e3));
    }
    if params.correlation || params.precision != Method::None {
        report(0.05, "event counts");
        let counts = Counts::new(&used, params.bin_ms / 1e3, &timeline)?;
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
            match precision(&counts, &all, params, threads, &|done| report(0.1 + 0.9 * done, "precision")) {
                Ok(estimate) => {
                    if params.partial_correlation {
                        matrices.push((PARTIAL, partial_correlation(&estimate.precision)));
                    }
                    matrices.push((Substrate::PRECISION, estimate.precision));
                    let mut note =
                        format!("precision: {}, counts in bins of {} ms {span}", estimate.how, params.bin_ms);
                    if let Some(remark) = estimate.remark {
                        tracing::warn!("precision: {remark}");
                        note = format!("{note}; {remark}");
                    }
                    notes.push(note);
                }
                Err(error) if error.kind == Kind::Input && !matrices.is_empty() => {
                    let help = error.help.as_ref().map_or_else(String::new, |help| format!("; {help}"));
                    let note = format!("precision: not computed, because {}{help}", error.message);
                    tracing::warn!("{note}");
                    notes.push(note);
                }
                Err(error) => return Err(error),
            }
        }
    }
    if !silent.is_empty() {
        let have = match params.min_events {
            0 | 1 => "no events".to_owned(),
            least => format!("fewer than {least} events"),
        };
        notes.push(format!(
            "silent: {} of {} neurons have {have} (neurons {}) and are unrelated to all others",
            silent.len(),
            events.len(),
            few(&silent)
        ));
    }
    report(1.0, "done");
    Ok(Matrices { matrices, notes })
}

/// A precision matrix and how it was estimated.
struct Estimated {
    precision: Array2<f64>,
    how: String,
    /// What readers must know before they use it.
    remark: Option<String>,
}

/// Estimates the precision of event counts. A neuron with constant counts has 1 on
/// the diagonal and 0 elsewhere.
fn precision(
    counts: &Counts,
    all: &Moments,
    params: &Params,
    threads: usize,
    on_progress: &(dyn Fn(f64) + Sync),
) -> Result<Estimated> {
    let varying = all.varying();
    let covariance = all.covariance(&varying);
    let unit: Vec<f64> = match params.standardised {
        true => covariance.diag().iter().map(|v| v.sqrt()).collect(),
        false => vec![1.0; varying.len()],
    };
    let scaled = |c: Array2<f64>| Array2::from_shape_fn(c.dim(), |(i, j)| c[[i, j]] / (unit[i] * unit[j]));
    let covariance = scaled(covariance);
    let kind = if params.standardised { "standardised" } else { "raw" };
    // The usual reason for a failure is named.
    let twins = || {
        let (a, b) = identical(all, &varying)?;
        Some(
            Error::input(format!("neurons {a} and {b} have the same event counts in every bin"))
                .help("they may be one cell: leave one of them out of the field; or use narrower bins"),
        )
    };
    let explained = |error: Error| twins().filter(|_| error.kind == Kind::Input).unwrap_or(error);
    let (estimate, how, gap) = match params.precision {
        Method::GraphicalLasso if params.alpha > 0.0 => {
            let fit = lasso::at(&covariance, params.alpha, params.descent).map_err(explained)?;
            (fit.precision, format!("graphical lasso of {kind} counts, given α = {}", params.alpha), fit.gap)
        }
        Method::GraphicalLasso => {
            let folds = folds(counts, all, &varying, params.folds as usize, threads)?
                .into_iter()
                .map(|fold| Fold { train: scaled(fold.train), test: scaled(fold.test) })
                .collect::<Vec<_>>();
            constant_in_training(counts, &folds, &varying)?;
            let chosen = lasso::cross_validated(&covariance, &folds, params.descent, threads, on_progress)
                .map_err(explained)?;
            let how = format!(
                "graphical lasso of {kind} counts, α = {:.6e}, best of {} by {}-fold cross-validation",
                chosen.alpha, chosen.compared, params.folds
            );
            (chosen.precision, how, chosen.gap)
        }
        Method::Inverse | Method::None => {
            // Rounding can hide that there is no inverse.
            if let Some(error) = twins() {
                return Err(error);
            }
            let inverse = pallium_linalg::inverse(covariance.view()).ok_or_else(|| {
                Error::input("the covariance of event counts has no inverse")
                    .help("use precision = \"graphical-lasso\", or narrower bins")
            })?;
            (inverse, format!("inverse covariance of {kind} counts"), None)
        }
    };
    let mut precision = Array2::eye(counts.neurons());
    for (i, &a) in varying.iter().enumerate() {
        for (j, &b) in varying.iter().enumerate() {
            precision[[a, b]] = estimate[[i, j]];
        }
    }
    let remark = gap.map(|gap| {
        format!(
            "not converged: its duality gap is {gap:.1e} after {} rounds, above the tolerance of {:.0e}; a larger \
             penalty (alpha) or wider bins may converge",
            lasso::ROUNDS.0,
            lasso::GAP
        )
    });
    Ok(Estimated { precision, how, remark })
}

/// Two neurons whose counts are equal in every bin.
fn identical(all: &Moments, varying: &[usize]) -> Option<(usize, usize)> {
    // Σ(x−y)² is a sum of integers, and therefore exact.
    let apart = |a, b| all.products[[a, a]] + all.products[[b, b]] - 2.0 * all.products[[a, b]];
    varying
        .iter()
        .enumerate()
        .find_map(|(i, &a)| varying[i + 1..].iter().find(|&&b| apart(a, b) == 0.0).map(|&b| (a, b)))
}

/// Refuses neurons that have all their events in one fold: without it their
/// counts are constant, and no penalty has an estimate.
fn constant_in_training(counts: &Counts, folds: &[Fold], varying: &[usize]) -> Result<()> {
    let constant = |i: &usize| folds.iter().any(|fold| fold.train[[*i, *i]] <= 0.0);
    let quiet: Vec<usize> = (0..varying.len()).filter(constant).map(|i| varying[i]).collect();
    if quiet.is_empty() {
        return Ok(());
    }
    let all = counts.totals();
    let most = quiet.iter().map(|&neuron| all[neuron]).fold(0.0, f64::max);
    let (neurons, have) =
        if quiet.len() == 1 { ("neuron", "has all its") } else { ("neurons", "have all their") };
    Err(Error::input(format!(
        "{neurons} {} {have} events in one of {} parts of the recording, so the others cannot validate a penalty",
        few(&quiet),
        folds.len()
    ))
    .help(format!(
        "treat as silent every neuron with too few events, min_events = {} (--min-events); or give the penalty, \
         alpha (--alpha)",
        most + 1.0
    )))
}

/// The first of these neurons, for messages.
fn few(neurons: &[usize]) -> String {
    let shown: Vec<String> = neurons.iter().take(10).map(ToString::to_string).collect();
    let more = if neurons.len() > shown.len() { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
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
            let derived = derive(&events, None, &published(), 2).unwrap();
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
            let derived = derive(&events, None, &only, 2).unwrap();
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
        let screened = derive(&events, None, &only, 2).unwrap();
        let plain = derive(&events, None, &Params { descent: Descent::Plain, ..only }, 2).unwrap();
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
            let (a, b) =
                (derive(&events, None, &params, 1).unwrap(), derive(&shuffled, None, &params, 3).unwrap());
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
            assert!(
                a.notes.iter().any(|n| n.starts_with("silent: 1 of 12 neurons have no events")),
                "{:?}",
                a.notes
            );
        }
    }

    #[test]
    fn results_do_not_depend_on_threads() {
        let events = sparse_events(9, 300.0, 6);
        let (a, b) = (derive(&events, None, &defaults(), 1), derive(&events, None, &defaults(), 4));
        assert_eq!(a.unwrap().matrices, b.unwrap().matrices);
    }

    #[test]
    fn part_of_a_recording_equals_a_shorter_recording() {
        let events = sparse_events(6, 300.0, 7);
        let part = Params { from_s: Some(100.0), to_s: Some(200.0), min_events: 3, ..defaults() };
        let moved: Vec<Vec<f64>> = events
            .iter()
            .map(|times| times.iter().filter(|t| (100.0..=200.0).contains(*t)).map(|t| t - 100.0).collect())
            .collect();
        let whole = Params { min_events: 3, ..defaults() };
        let (a, b) = (
            derive(&events, None, &part, 1).unwrap(),
            derive(&moved, Some((0.0, 100.0)), &whole, 1).unwrap(),
        );
        assert_eq!(a.matrices.len(), 4);
        for (name, matrix) in &a.matrices {
            assert!(off(matrix, self::matrix(&b, name)) < 1e-12, "{name}");
        }
        let recording = Some((0.0, 300.0));
        for (from, to, part) in [
            (Some(1000.0), None, "starts at 1000 s"),
            (Some(-1.0), None, "the recording begins at 0 s"),
            (None, Some(301.0), "the recording ends at 300 s"),
            (Some(20.0), Some(10.0), "ends at 10 s but starts at 20 s"),
        ] {
            let error = derive(&events, recording, &Params { from_s: from, to_s: to, ..defaults() }, 1).err();
            assert!(error.is_some_and(|e| e.message.contains(part) && e.help.is_some()), "{part}");
        }
        assert!(derive(&events, None, &Params { to_s: Some(1e6), ..defaults() }, 1).is_err());
        assert!(derive(&events, None, &Params { min_events: 10_000, ..defaults() }, 1).is_err());
    }

    #[test]
    fn set_ends_near_a_frame_are_moved_to_it_with_a_remark_and_others_are_exact() {
        let events = vec![vec![0.2, 0.4, 1.1, 2.0], vec![0.3, 0.5, 1.3]];
        let with = |from: Option<f64>, to: Option<f64>, recording| {
            let params = Params {
                from_s: from,
                to_s: to,
                frame_hz: 10.0,
                sttc: false,
                precision: Method::None,
                ..Params::default()
            };
            let derived = derive(&events, recording, &params, 1).unwrap();
            (matrix(&derived, "correlation")[[0, 1]], derived.notes)
        };
        // numpy.corrcoef of numpy.histogram of the times × 1000, whose edges are integers.
        let exact = [(0.0, 0.452_267_016_866_645_44), (0.006, 0.055_048_188_256_318_02)];
        for recording in [None, Some((0.0, 3.0))] {
            for (from, r) in exact {
                let (found, notes) = with(Some(from), Some(3.0), recording);
                assert!((found - r).abs() < 1e-15, "{from}: {found}");
                assert_eq!(notes.len(), 1, "{notes:?}");
            }
            let moved = with(Some(0.003), Some(2.998), recording);
            assert_eq!(moved.0, with(Some(0.0), Some(3.0), recording).0);
            assert!(moved.1[0].contains("from 0.003 to 2.998 s → from 0 to 3 s"), "{:?}", moved.1);
            assert!(moved.1[1].contains("from 0 to 3 s in 15 bins"), "{:?}", moved.1);
            // 1.7 + 0.1 is not 1.8, but no move.
            assert_eq!(with(None, Some(1.7 + 0.1), recording).1.len(), 1);
        }
    }

    #[test]
    fn a_field_without_events_or_without_any_in_the_part_is_refused_with_what_helps() {
        let error = |events: &[Vec<f64>], from_s: Option<f64>, min_events: u32| {
            let params = Params { from_s, min_events, ..defaults() };
            derive(events, Some((0.0, 100.0)), &params, 1).err().unwrap().to_string()
        };
        assert!(error(&[vec![], vec![]], None, 1).contains("does the file of events have rows?"));
        let events = [vec![1.0, 2.0], vec![3.0]];
        assert!(error(&events, Some(50.0), 1).contains("the field has no events from 50 to 100 s"));
        assert!(error(&events, None, 5).contains("lower min_events"));
    }

    #[test]
    fn shifting_all_times_changes_nothing() {
        let events = sparse_events(6, 300.0, 7);
        let moved = |by: f64| -> Vec<Vec<f64>> {
            events.iter().map(|times| times.iter().map(|t| t + by).collect()).collect()
        };
        for recording in [None, Some((-5.0, 310.0))] {
            let before = derive(&events, recording, &defaults(), 1).unwrap();
            for by in [600.0, 86_400.0] {
                let known = recording.map(|(begin, end)| (begin + by, end + by));
                let after = derive(&moved(by), known, &defaults(), 1).unwrap();
                for (name, matrix) in &before.matrices {
                    let off = off(matrix, self::matrix(&after, name));
                    assert!(off < 1e-9, "{name} by {by} s: {off}");
                }
                let warned =
                    after.notes.iter().any(|note| note.contains("the start of the recording is not"));
                assert_eq!(warned, recording.is_none(), "{:?}", after.notes);
            }
        }
    }

    #[test]
    fn a_neuron_active_only_once_costs_the_precision_alone_and_is_named() {
        let mut events = sparse_events(6, 300.0, 7);
        events[4] = vec![150.0];
        let derived = derive(&events, None, &defaults(), 1).unwrap();
        let names: Vec<_> = derived.matrices.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["sttc", "correlation"]);
        let note = derived.notes.iter().find(|note| note.starts_with("precision: not computed")).unwrap();
        assert!(note.contains("neuron 4 has all its events in one of 5 parts"), "{note}");
        assert!(note.contains("min_events = 2"), "{note}");
        let left_out = derive(&events, None, &Params { min_events: 2, ..defaults() }, 1).unwrap();
        assert_eq!(left_out.matrices.len(), 4);
        let alone = Params { sttc: false, correlation: false, ..defaults() };
        assert!(derive(&events, None, &alone, 1).err().unwrap().message.contains("neuron 4"));
    }

    #[test]
    fn a_precision_that_has_not_converged_is_marked() {
        // Every neuron leaves out other events of one list, so all correlate by 0.9.
        let all = sparse_events(1, 300.0, 7).remove(0);
        let of =
            |i: usize| all.iter().enumerate().filter(|(k, _)| k % 20 != i).map(|(_, time)| *time).collect();
        let events: Vec<Vec<f64>> = (0..10).map(of).collect();
        let with = |alpha: f64| {
            derive(&events, None, &Params { alpha, standardised: true, ..defaults() }, 1).unwrap().notes
        };
        let marked = |notes: &[String]| {
            notes.iter().any(|n| {
                n.starts_with("precision: graphical") && n.contains("not converged: its duality gap")
            })
        };
        assert!(marked(&with(0.1)), "{:?}", with(0.1));
        assert!(!marked(&with(0.5)), "{:?}", with(0.5));
    }

    #[test]
    fn neurons_with_the_same_counts_are_named_if_the_precision_fails() {
        let mut events = sparse_events(4, 300.0, 7);
        events[3] = events[1].clone();
        let inverse = Params { precision: Method::Inverse, ..defaults() };
        let derived = derive(&events, None, &inverse, 1).unwrap();
        assert!(derived.notes.iter().any(|n| n.contains("neurons 1 and 3 have the same event counts")));
    }

    #[test]
    fn alpha_can_be_set_and_counts_standardised() {
        let events = sparse_events(6, 300.0, 8);
        let given = Params { alpha: 0.01, standardised: true, ..defaults() };
        let derived = derive(&events, None, &given, 1).unwrap();
        assert!(derived.notes.iter().any(|n| n.contains("given α = 0.01")));
        let strong = derive(&events, None, &Params { alpha: 10.0, ..given }, 1).unwrap();
        let off_diagonal = matrix(&strong, "precision").indexed_iter().filter(|((i, j), _)| i != j);
        assert!(off_diagonal.map(|(_, v)| *v).all(|v| v == 0.0));
    }
}
