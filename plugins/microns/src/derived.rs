//! `microns.derived`: a field with functional matrices recomputed from its event
//! times.

use std::path::PathBuf;

use pallium_core::prelude::*;
use pallium_fields::derive::{Params, derive};
use pallium_fields::folder::{self, ReadOptions, Sttc};

/// A field with correlation, spike time tiling coefficient (Cutts and Eglen
/// 2014) and precision (graphical lasso, Friedman, Hastie and Tibshirani 2008)
/// computed from its event times; positions, ids, connectome and event times
/// are kept.
///
/// With Δt = 100 ms, raw counts and `descent = "plain"`, the result equals the
/// released matrices: correlation to 1e-15, STTC to 2e-13, precision to 1e-12.
///
/// Memory is that of the event times and the N×N matrices, because counts are
/// kept sparsely. The result does not depend on the number of threads. It does
/// not depend on the order of the neurons either, up to rounding (for precision,
/// up to the tolerance of its estimate).
pub struct Derived {
    params: Params,
    threads: usize,
}

impl Component for Derived {
    const ID: &'static str = "microns.derived";
    const ABOUT: &'static str = "a field with correlation, STTC and precision recomputed from event times";
    const CITE: &'static str = "Cutts and Eglen 2014; Friedman, Hastie and Tibshirani 2008; \
                                recipe recovered from the data released with arXiv 2606.14975";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        one_of_range("bin_ms", params.bin_ms, 1e-3, 1e9)?;
        one_of_range("frame_hz", params.frame_hz, 0.0, 1e6)?;
        one_of_range("delta_t_ms", params.delta_t_ms, 0.0, 1e9)?;
        for (name, time) in [("from_s", params.from_s), ("to_s", params.to_s)] {
            time.map_or(Ok(()), |time| one_of_range(name, time, -1e12, 1e12))?;
        }
        at_least_zero("alpha", params.alpha)?;
        one_of_range("folds", params.folds.into(), 2.0, 1e6)?;
        if let (Some(from), Some(to)) = (params.from_s, params.to_s)
            && to <= from
        {
            return Err(Error::input(format!("the analysed part ends at {to} s but starts at {from} s"))
                .help("set to_s later than from_s, or leave one of them out"));
        }
        Ok(Derived { params, threads: setting.threads.max(1) })
    }
}

impl SubstrateSource for Derived {
    fn substrate(&mut self, _seed: u64) -> Result<Substrate> {
        let params = &self.params;
        if params.path.is_empty() {
            return Err(Error::input("`microns.derived`: parameter `path` is not set")
                .help("set path to the folder of a field with event times"));
        }
        let reading = ReadOptions {
            order: params.connectome_order,
            sttc: Sttc::Released,
            frame_hz: Some(params.frame_hz).filter(|hz| *hz > 0.0),
            events: true,
        };
        let mut field = folder::read(&PathBuf::from(&params.path), &reading)?;
        let Some(events) = field.events.as_deref() else {
            return Err(Error::input(format!("{} holds no event times", params.path))
                .help("matrices are computed from event times: add spikes_<field>.npy"));
        };
        let params = Params { frame_hz: field.frame_hz.unwrap_or(0.0), ..params.clone() };
        let derived = derive(events, field.recording, &params, self.threads)?;
        let replaced = |note: &str| {
            let about = note.split_once(": ").map(|(name, _)| name);
            derived.matrices.iter().any(|(name, _)| Some(*name) == about)
        };
        field.notes.retain(|note| !replaced(note));
        let new = |note: &String| !field.notes.contains(note);
        let notes: Vec<String> = derived.notes.into_iter().filter(new).collect();
        field.notes.extend(notes);
        for (name, matrix) in derived.matrices {
            field.matrices.insert(name.to_owned(), matrix.into());
            field.derived.insert(name.to_owned());
        }
        Ok(field)
    }
}
pallium_core::register!(SubstrateSource, Derived);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_out_of_range_are_refused() {
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
        let mut source = Derived::build(Params::default(), &Setting::default()).unwrap();
        assert!(source.substrate(0).unwrap_err().message.contains("`path` is not set"));
    }
}
