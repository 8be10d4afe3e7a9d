//! `microns.derived`: a field whose functional matrices are recomputed from
//! its event times.

use std::path::PathBuf;

use pallium_core::{ndarray::Array2, prelude::*, tracing};

use crate::activity;
use crate::counts::Counts;
use crate::folder::{self, ConnectomeOrder, Reading, Sttc};
use crate::lasso::{self, Descent, Fold};

/// Target of the events that tell how far the work is.
const PROGRESS: &str = "progress";

pallium_core::choice! {
    /// How the precision matrix is estimated.
    pub enum Method {
        /// Graphical lasso, its penalty chosen by cross-validation unless
        /// `alpha` gives it.
        GraphicalLasso = "graphical-lasso",
        /// The inverse of the covariance.
        Inverse = "inverse",
        /// Not at all.
        None = "none",
    }
}

pallium_core::params! {
    /// Which field, and how its matrices are computed.
    pub struct Params {
        /// The field's folder, with event times.
        path: String = String::new(),
        /// Order of the connectome's rows and columns.
        connectome_order: ConnectomeOrder = ConnectomeOrder::Restored,
        /// Width of the bins of event counts (ms), for correlation and
        /// precision.
        bin_ms: f64 = 200.0,
        /// Coincidence window Δt of the spike time tiling coefficient (ms);
        /// 0 means half a frame. The released matrices were made with 100 ms,
        /// whose tiles are longer than a frame, which biases them negative.
        delta_t_ms: f64 = 0.0,
        /// Frames a second of the recording (Hz), for Δt of half a frame; 0
        /// means what the field says.
        frame_hz: f64 = 0.0,
        /// Begin of the analysed part of the recording (s).
        from_s: f64 = 0.0,
        /// End of the analysed part (s), which may come after the last event;
        /// 0 means 0.1 s after it, as released.
        to_s: f64 = 0.0,
        /// A neuron with fewer events than this in the analysed part counts as
        /// silent: it has no correlation, coefficient or precision with any
        /// other neuron.
        min_events: u32 = 1,
        /// Whether to compute the correlation.
        correlation: bool = true,
        /// Whether to compute the spike time tiling coefficient.
        sttc: bool = true,
        /// How to compute the precision.
        precision: Method = Method::GraphicalLasso,
        /// Penalty α of the graphical lasso, in units of covariance; 0 means
        /// to choose it by cross-validation.
        alpha: f64 = 0.0,
        /// Number of parts of the recording, each of which is predicted from
        /// the others when α is chosen.
        folds: u32 = 5,
        /// Whether counts are brought to variance 1 before the precision is
        /// estimated, so that the penalty weighs on busy and quiet neurons
        /// alike. The released matrices are of raw counts.
        standardised: bool = false,
        /// How the graphical lasso descends and when it stops.
        descent: Descent = Descent::Screened,
        /// Whether to add a matrix `partial-correlation`,
        /// −Pᵢⱼ/√(Pᵢᵢ·Pⱼⱼ), 1 on the diagonal.
        partial_correlation: bool = true,
    }
}

/// A field with correlation, spike time tiling coefficient (Cutts and Eglen
/// 2014) and precision (graphical lasso, Friedman, Hastie and Tibshirani 2008)
/// computed from its event times; positions, ids, connectome and event times
/// are kept.
///
/// With Δt = 100 ms, raw counts and `descent = "plain"` these are the released
/// matrices: correlation to 1e-15, STTC to 2e-13, precision to 1e-12.
///
/// Counts are kept sparsely, so memory is that of the event times and of the
/// N×N matrices. The result does not depend on the number of threads, nor, to
/// rounding (precision: to the tolerance of its estimate), on the order of the
/// neurons.
pub struct Derived {
    params: Params,
    threads: usize,
}

impl Component for Derived {
    const ID: &'static str = "microns.derived";
    const ABOUT: &'static str = "a field, its correlation, STTC and precision recomputed from event times";
    const CITE: &'static str = "Cutts and Eglen 2014; Friedman, Hastie and Tibshirani 2008; \
                                recipe recovered from the data released with arXiv 2606.14975";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        one_of_range("bin_ms", params.bin_ms, 1e-3, 1e9)?;
        one_of_range("frame_hz", params.frame_hz, 0.0, 1e6)?;
        one_of_range("delta_t_ms", params.delta_t_ms, 0.0, 1e9)?;
        at_least_zero("from_s", params.from_s)?;
        at_least_zero("to_s", params.to_s)?;
        at_least_zero("alpha", params.alpha)?;
        one_of_range("folds", params.folds.into(), 2.0, 1e6)?;
        if params.to_s > 0.0 && params.to_s <= params.from_s {
            return Err(Error::input(format!(
                "the analysed part ends at {} s, and begins at {} s",
                params.to_s, params.from_s
            ))
            .help("let to_s be later than from_s, or leave it 0 for the recording's end"));
        }
        Ok(Derived { params, threads: setting.threads.max(1) })
    }
}

impl SubstrateSource for Derived {
    fn substrate(&mut self, _seed: u64) -> Result<Substrate> {
        let params = &self.params;
        if params.path.is_empty() {
            return Err(Error::input("`microns.derived` is not told which field to read")
                .help("set path to the folder of a field with event times"));
        }
        let reading = Reading {
            order: params.connectome_order,
            sttc: Sttc::Released,
            frame_hz: Some(params.frame_hz).filter(|hz| *hz > 0.0),
            events: true,
        };
        let mut field = folder::read(&PathBuf::from(&params.path), &reading)?;
        let Some(events) = field.events.as_deref() else {
            return Err(Error::input(format!("{} holds no event times", params.path))
                .help("matrices are derived from them: add spikes_<field>.npy"));
        };
        let params = Params { frame_hz: field.frame_hz.unwrap_or(0.0), ..params.clone() };
        let derived = derive(events, &params, self.threads)?;
        let replaced = |note: &str| {
            let about = note.split_once(": ").map(|(name, _)| name);
            derived.matrices.iter().any(|(name, _)| Some(*name) == about)
        };
        field.notes.retain(|note| !replaced(note));
        field.notes.extend(derived.notes);
        for (name, matrix) in derived.matrices {
            field.matrices.insert(name.to_owned(), matrix);
            field.derived.insert(name.to_owned());
        }
        Ok(field)
    }
}
pallium_core::register!(SubstrateSource, Derived);

/// Matrices by name, and notes on how they were made.
pub struct Matrices {
    /// The matrices, N×N.
    pub matrices: Vec<(&'static str, Array2<f64>)>,
    /// What a reader of results should know.
    pub notes: Vec<String>,
}

/// How many times as long as up to its last event a recording may be: what
/// exceeds that is more likely in another unit.
const MOST_TIMES: f64 = 100.0;

/// Name of the matrix of partial correlations.
pub const PARTIAL: &str = "partial-correlation";

/// Computes what `params` asks for from ascending event times (s).
///
/// # Errors
/// If the times or the part to be analysed are not usable, or the precision
/// cannot be estimated.
pub fn derive(events: &[Vec<f64>], params: &Params, threads: usize) -> Result<Matrices> {
    let told = |fraction: f64, what: &str| tracing::info!(target: PROGRESS, fraction, "{what}");
    told(0.0, "event times");
    activity::check_events(events)?;
    let recorded = activity::recorded_until(events);
    if params.to_s > MOST_TIMES * recorded {
        return Err(Error::input(format!(
            "the analysed part ends at {} s, but the last event is at {:.1} s",
            params.to_s,
            recorded - 0.1
        ))
        .help("is the end in seconds, and are the event times?"));
    }
    let to = if params.to_s > 0.0 { params.to_s } else { recorded };
    if to <= params.from_s {
        return Err(Error::input(format!(
            "the analysed part begins at {} s, but the recording lasts {recorded:.1} s",
            params.from_s
        ))
        .help("choose an earlier begin"));
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
        told(0.02, "spike time tiling");
        let window = match (params.delta_t_ms, params.frame_hz) {
            (delta_t, _) if delta_t > 0.0 => delta_t / 1e3,
            (_, frame_hz) if frame_hz > 0.0 => 0.5 / frame_hz,
            _ => {
                return Err(Error::input("the recording has no frames to take the half of as Δt")
                    .help("give delta_t_ms (--delta-t), or the frames a second of the recording"));
            }
        };
        matrices.push((Substrate::STTC, activity::sttc(&used, window, length, threads)?));
        let half = if params.delta_t_ms > 0.0 { "" } else { " (half a frame)" };
        notes.push(format!("sttc: computed from event times {span}, Δt = {:.1} ms{half}", window * 1e3));
    }
    if params.correlation || params.precision != Method::None {
        told(0.05, "event counts");
        let counts = Counts::of(&used, params.bin_ms / 1e3, length)?;
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
                told(0.1 + 0.9 * done, "precision");
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
            "silent: {} of {} neurons have fewer than {} events (neurons {}{more}); they are related to none",
            silent.len(),
            events.len(),
            params.min_events.max(1),
            few.join(", ")
        ));
    }
    told(1.0, "done");
    Ok(Matrices { matrices, notes })
}

/// The precision of event counts, and how it was estimated. A neuron whose
/// count never changes has 1 on the diagonal and 0 elsewhere.
fn precision(
    counts: &Counts,
    all: &crate::counts::Moments,
    params: &Params,
    threads: usize,
    told: &(dyn Fn(f64) + Sync),
) -> Result<(Array2<f64>, String)> {
    let varying = all.varying();
    let covariance = all.covariance(&varying);
    let unit: Vec<f64> = match params.standardised {
        true => covariance.diag().iter().map(|v| v.sqrt()).collect(),
        false => vec![1.0; varying.len()],
    };
    let scaled = |c: Array2<f64>| Array2::from_shape_fn(c.dim(), |(i, j)| c[[i, j]] / (unit[i] * unit[j]));
    let covariance = scaled(covariance);
    let of = if params.standardised { "standardised" } else { "raw" };
    let (estimate, how) = match params.precision {
        Method::GraphicalLasso if params.alpha > 0.0 => {
            let estimate = lasso::at(&covariance, params.alpha, params.descent)?;
            (estimate, format!("graphical lasso of {of} counts, α = {} as given", params.alpha))
        }
        Method::GraphicalLasso => {
            let folds = folds(counts, all, &varying, params.folds as usize, threads)?
                .into_iter()
                .map(|fold| Fold { train: scaled(fold.train), test: scaled(fold.test) })
                .collect::<Vec<_>>();
            let chosen = lasso::cross_validated(&covariance, &folds, params.descent, threads, told)?;
            let how = format!(
                "graphical lasso of {of} counts, α = {:.6e}, the best of {} by cross-validation over {} parts",
                chosen.alpha, chosen.compared, params.folds
            );
            (chosen.precision, how)
        }
        Method::Inverse | Method::None => {
            let inverse = crate::spectrum::inverse(&covariance).map_err(|_| {
                Error::input("the covariance of event counts has no inverse")
                    .help("two neurons may have the same events; use precision = \"graphical-lasso\"")
            })?;
            (inverse, format!("inverse covariance of {of} counts"))
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

/// Covariances of consecutive parts of the recording and of what is left
/// without each.
fn folds(
    counts: &Counts,
    all: &crate::counts::Moments,
    varying: &[usize],
    parts: usize,
    threads: usize,
) -> Result<Vec<Fold>> {
    let bins = counts.bins();
    if bins < 2 * parts {
        return Err(Error::input(format!("{bins} bins are too few for {parts} parts"))
            .help("use narrower bins, fewer folds, or give alpha"));
    }
    // The first parts are longer by one where the bins do not divide evenly.
    let begin = |part: usize| part * (bins / parts) + part.min(bins % parts);
    let fold = |part: usize| {
        let left_out = counts.moments(begin(part)..begin(part + 1), threads);
        Fold { train: all.without(&left_out).covariance(varying), test: left_out.covariance(varying) }
    };
    Ok((0..parts).map(fold).collect())
}

/// −Pᵢⱼ/√(Pᵢᵢ·Pⱼⱼ), 1 on the diagonal.
fn partial_correlation(precision: &Array2<f64>) -> Array2<f64> {
    Array2::from_shape_fn(precision.dim(), |(i, j)| {
        let scale = (precision[[i, i]] * precision[[j, j]]).sqrt();
        // Adding zero takes the sign off a zero.
        if i == j { 1.0 } else { (-precision[[i, j]] / scale).clamp(-1.0, 1.0) + 0.0 }
    })
}

#[cfg(test)]
mod tests {
    use rand::seq::SliceRandom;

    use super::*;
    use crate::field::FRAME_HZ;
    use crate::npy;
    use crate::testing::{real_field, sparse_events};

    const REFERENCE: [(&str, f64, f64, f64, f64, usize); 3] = [
        ("5_3_8", 0.00028976937259396815, 173.91165709182806, 25.49496236873089, -0.6800861582216751, 348),
        ("4_7_2", 0.0013397294589735861, 130.8834606247298, 11.783373312339341, -0.35516885109113844, 3760),
        ("5_6_8", 0.00040409376867546243, 315.3197827528124, 22.27404473691274, -0.5009712220848718, 12156),
    ];

    fn plain() -> Params {
        Params { frame_hz: FRAME_HZ, ..Params::default() }
    }

    fn published() -> Params {
        Params { delta_t_ms: 100.0, descent: Descent::Plain, ..plain() }
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
    fn the_published_recipe_gives_the_released_matrices() {
        for name in ["5_3_8", "4_7_2", "5_3_4", "5_6_8"] {
            let Some(folder) = real_field(name) else { return };
            let events = npy::read_lists(&folder.join(format!("spikes_{name}.npy")), &npy::any).unwrap();
            let derived = derive(&events, &published(), 2).unwrap();
            let released = npy::read_matrix(&folder.join("precision_matrix.npy"), &crate::npy::any).unwrap();
            let off = off(matrix(&derived, "precision"), &released);
            println!("{name}: precision off by {off:.1e}");
            assert!(off < 1e-10, "{name}: {off}");
            assert_eq!(released.iter().filter(|v| **v == 0.0).count(), {
                matrix(&derived, "precision").iter().filter(|v| **v == 0.0).count()
            });
        }
    }

    #[test]
    fn the_default_is_what_scikit_learn_estimates() {
        // GraphicalLassoCV of scikit-learn 1.9.1 with its defaults: α, Frobenius
        // norm, two entries and the number of zeros.
        for (name, alpha, norm, diagonal, entry, zeros) in REFERENCE {
            let Some(folder) = real_field(name) else { return };
            let events = npy::read_lists(&folder.join(format!("spikes_{name}.npy")), &npy::any).unwrap();
            let only = Params { sttc: false, correlation: false, ..plain() };
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
    fn both_descents_agree_to_their_tolerance() {
        let Some(folder) = real_field("4_7_2") else { return };
        let events = npy::read_lists(&folder.join("spikes_4_7_2.npy"), &crate::npy::any).unwrap();
        let only = Params { sttc: false, correlation: false, ..plain() };
        let screened = derive(&events, &only, 2).unwrap();
        let plain = derive(&events, &Params { descent: Descent::Plain, ..only }, 2).unwrap();
        let off = off(matrix(&screened, "precision"), matrix(&plain, "precision"));
        assert!(off < 1e-4, "{off}");
    }

    #[test]
    fn matrices_are_symmetric_bounded_and_the_same_in_any_order() {
        let mut events = sparse_events(12, 400.0, 5);
        events[3].clear();
        let mut order: Vec<usize> = (0..12).collect();
        order.shuffle(&mut random::stream(1, "test"));
        let shuffled: Vec<Vec<f64>> = order.iter().map(|&k| events[k].clone()).collect();
        for params in [plain(), published(), Params { precision: Method::Inverse, ..published() }] {
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
    fn threads_change_nothing() {
        let events = sparse_events(9, 300.0, 6);
        let (a, b) = (derive(&events, &plain(), 1), derive(&events, &plain(), 4));
        assert_eq!(a.unwrap().matrices, b.unwrap().matrices);
    }

    #[test]
    fn a_part_of_the_recording_is_as_good_as_a_recording() {
        let events = sparse_events(6, 300.0, 7);
        let part = Params { from_s: 100.0, to_s: 200.0, min_events: 3, ..plain() };
        let moved: Vec<Vec<f64>> = events
            .iter()
            .map(|times| times.iter().filter(|t| (100.0..=200.0).contains(*t)).map(|t| t - 100.0).collect())
            .collect();
        let whole = Params { to_s: 100.0, min_events: 3, ..plain() };
        let (a, b) = (derive(&events, &part, 1).unwrap(), derive(&moved, &whole, 1).unwrap());
        // The second recording ends 0.1 s after its last event.
        for (name, matrix) in &a.matrices {
            assert!(off(matrix, self::matrix(&b, name)) < 2e-2, "{name}");
        }
        assert!(derive(&events, &Params { from_s: 1000.0, ..plain() }, 1).is_err());
        assert!(derive(&events, &Params { min_events: 10_000, ..plain() }, 1).is_err());
        let too_short = Params { from_s: 100.0, to_s: 101.0, ..plain() };
        assert!(derive(&events, &too_short, 1).is_err());
    }

    #[test]
    fn penalties_can_be_given_and_counts_standardised() {
        let events = sparse_events(6, 300.0, 8);
        let given = Params { alpha: 0.01, standardised: true, ..plain() };
        let derived = derive(&events, &given, 1).unwrap();
        assert!(derived.notes.iter().any(|n| n.contains("α = 0.01 as given")));
        let strong = derive(&events, &Params { alpha: 10.0, ..given }, 1).unwrap();
        let off_diagonal = matrix(&strong, "precision").indexed_iter().filter(|((i, j), _)| i != j);
        assert!(off_diagonal.map(|(_, v)| *v).all(|v| v == 0.0));
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        for json in [
            r#"{"bin_ms": 0}"#,
            r#"{"folds": 1}"#,
            r#"{"from_s": 5, "to_s": 4}"#,
            r#"{"alpha": -1}"#,
            r#"{"delta_t_ms": -1}"#,
        ] {
            let params = pallium_core::parse_parameters(Derived::ID, json).unwrap();
            assert!(Derived::build(params, &Setting::default()).is_err(), "{json}");
        }
        let mut source = Derived::build(plain(), &Setting::default()).unwrap();
        assert!(source.substrate(0).unwrap_err().message.contains("not told which field"));
    }
}
