//! `microns.field`: reads an imaged field of the MICrONS volume from its folder.

use std::path::{Path, PathBuf};

use pallium_core::prelude::*;

use pallium_fields::folder::{self, ConnectomeOrder, ReadOptions, Sttc};
use pallium_fields::store;

pallium_core::params! {
    /// The field, and how it is read.
    pub struct Params {
        /// The field's folder, such as `data/6_6_2`.
        path: String = String::new(),
        /// Order of the connectome's rows and columns: restored to the order of
        /// the neurons, or as released (the iteration order of a Python set, in
        /// which connected neurons are no closer together than others).
        connectome_order: ConnectomeOrder = ConnectomeOrder::Restored,
        /// Coincidence window of the spike time tiling coefficient: half a
        /// frame, recomputed if the folder has event times, or 100 ms as
        /// released; tiles of 100 ms are longer than a frame, which biases the
        /// coefficient negative. Derived and synthetic matrices are kept.
        sttc: Sttc = Sttc::HalfFrame,
        /// Whether to load event times, if the folder has any, for components
        /// that need them.
        events: bool = false,
        /// Frames per second of the recording (Hz), for `sttc = "half-frame"`;
        /// 0 means the folder's own value, or for released folders 6.3009, the
        /// rate of MICrONS recordings.
        frame_hz: f64 = 0.0,
    }
}

/// An imaged field: soma positions, functional matrices and synapse counts.
///
/// Source: MICrONS Consortium 2025; matrices and connectomes as released with
/// Shakiba, Rokni, Mohammadi and Dehghani 2026 (arXiv 2606.14975).
pub struct Field {
    path: PathBuf,
    reading: ReadOptions,
}

impl Component for Field {
    const ID: &'static str = "microns.field";
    const ABOUT: &'static str = "an imaged field of the MICrONS volume: positions, activity and wiring";
    const CITE: &'static str = "MICrONS Consortium 2025; Shakiba et al. 2026, arXiv 2606.14975";
    type Params = Params;
    const PROFILES: &'static [ProfileValue] = &[
        ProfileValue::new("published", "connectome_order", r#""released""#),
        ProfileValue::new("corrected", "connectome_order", r#""restored""#),
        ProfileValue::new("published", "sttc", r#""released""#),
        ProfileValue::new("corrected", "sttc", r#""half-frame""#),
    ];

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        one_of_range("frame_hz", params.frame_hz, 0.0, 1e6)?;
        Ok(Field {
            path: PathBuf::from(params.path),
            reading: ReadOptions {
                order: params.connectome_order,
                sttc: params.sttc,
                frame_hz: Some(params.frame_hz).filter(|hz| *hz > 0.0),
                events: params.events,
            },
        })
    }
}

impl SubstrateSource for Field {
    fn substrate(&mut self, _seed: u64) -> Result<Substrate> {
        if self.path.as_os_str().is_empty() {
            return Err(Error::input("`microns.field`: parameter `path` is not set").help(
                "set substrate.path to the folder of a field, such as path = \"data/6_6_2\"; \
                 `synthetic.field` needs no data",
            ));
        }
        folder::read(&self.path, &self.reading)
    }

    fn store(&mut self, substrate: &SubstrateView<'_>, folder: &Path) -> Result<()> {
        store::write(substrate, folder)
    }
}
pallium_core::register!(SubstrateSource, Field);

#[cfg(test)]
mod tests {
    use super::*;
    use pallium_testing::{golden_json, real_field};

    fn field(name: &str, json: &str) -> Option<Substrate> {
        let path = real_field(name)?;
        let mut params: Params = pallium_core::parse_parameters(Field::ID, json).unwrap();
        params.path = path.to_str().unwrap().into();
        Some(Field::build(params, &Setting::default()).unwrap().substrate(0).unwrap())
    }

    /// Mean distance in µm of all pairs, and of connected ones.
    fn distances(substrate: &Substrate) -> (f64, f64) {
        let um = substrate.positions().unwrap().micrometres();
        let wiring = substrate.matrix(Substrate::CONNECTOME).unwrap();
        let (mut all, mut connected) = (Vec::new(), Vec::new());
        for ((i, j), &count) in wiring.indexed_iter().filter(|((i, j), _)| i != j) {
            let d = (0..3).map(|k| (um[[i, k]] - um[[j, k]]).powi(2)).sum::<f64>().sqrt();
            all.push(d);
            if count > 0.0 {
                connected.push(d);
            }
        }
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        (mean(&all), mean(&connected))
    }

    #[test]
    fn connected_neurons_are_close_in_the_restored_order() {
        let Some(golden) = golden_json() else { return };
        for name in ["5_3_8", "5_3_4", "6_6_2"] {
            let (Some(restored), Some(released)) =
                (field(name, "{}"), field(name, r#"{"connectome_order": "released"}"#))
            else {
                return;
            };
            let expected = &golden[name]["connectome"];
            let near = |value: f64, key: &str| {
                let expected = expected[key].as_f64().unwrap();
                assert!((value / expected - 1.0).abs() < 1e-12, "{name} {key}: {value} {expected}");
            };
            let (all, connected) = distances(&restored);
            near(all, "mean_um_all");
            near(connected, "mean_um_connected_restored");
            near(distances(&released).1, "mean_um_connected_released");
            let wiring = restored.matrix(Substrate::CONNECTOME).unwrap();
            near(wiring.sum(), "synapses");
            near(wiring.iter().filter(|&&c| c > 0.0).count() as f64, "pairs");
            assert_eq!((restored.name.as_str(), restored.neurons), (name, restored.ids["root"].len()));
            assert_eq!(restored.ids.keys().collect::<Vec<_>>(), ["root", "target", "unit"]);
            assert!(released.notes.iter().any(|n| n.contains("released order")), "{:?}", released.notes);
            restored.check().unwrap();
        }
    }

    #[test]
    fn sttc_is_recomputed_if_there_are_event_times() {
        let Some(half) = field("5_3_8", "{}") else { return };
        let released = field("5_3_8", r#"{"sttc": "released", "events": true}"#).unwrap();
        let (a, b) = (half.matrix("sttc").unwrap(), released.matrix("sttc").unwrap());
        assert_eq!(a, a.t());
        assert_eq!(b, b.t());
        // Computed with numpy from the definition.
        for (at, expected) in [
            ([0, 1], -0.018494239461102468),
            ([5, 30], 0.012228753665977792),
            ([41, 17], 0.01458516844735902),
        ] {
            assert!((a[at] - expected).abs() < 1e-12, "{at:?}: {} {expected}", a[at]);
        }
        let mean = |m: ndarray::ArrayView2<'_, f64>| (m.sum() - 42.0) / (42.0 * 41.0);
        assert!(
            (mean(a) - 0.0188).abs() < 1e-4 && (mean(b) - 0.0086).abs() < 1e-4,
            "{} {}",
            mean(a),
            mean(b)
        );
        assert!(half.notes[0].contains("79.4 ms"), "{:?}", half.notes);
        assert!(half.events.is_none());
        assert_eq!(released.events.unwrap().iter().map(Vec::len).sum::<usize>(), 65_389);
        // A field without event times keeps the released matrix and says so.
        let Some(large) = field("6_6_2", "{}") else { return };
        assert!(large.notes[0].contains("no event times"), "{:?}", large.notes);
        assert!(field("6_6_2", r#"{"events": true}"#).unwrap().events.is_none());
    }

    #[test]
    fn a_missing_path_is_an_error() {
        let mut field = Field::build(Params::default(), &Setting::default()).unwrap();
        let error = field.substrate(0).unwrap_err();
        assert!(error.help.unwrap().contains("substrate.path"));
        let params = Params { path: "no/such/folder".into(), ..Params::default() };
        let error = Field::build(params, &Setting::default()).unwrap().substrate(0).unwrap_err();
        assert_eq!(error.kind, pallium_core::Kind::Input);
        assert!(error.message.contains("no/such/folder"));
        let params = Params { frame_hz: -1.0, ..Params::default() };
        assert!(Field::build(params, &Setting::default()).is_err());
    }
}
