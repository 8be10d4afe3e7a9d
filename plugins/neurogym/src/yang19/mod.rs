//! The twenty tasks of Yang et al. 2019, as NeuroGym 2.2.0 lays them out: one
//! fixation channel, then two rings (modalities) of channels; class 0 fixates,
//! class c points to the direction of channel c of a ring.
//!
//! | family | tasks |
//! |---|---|
//! | `reach.rs` | go, anti, rtgo, rtanti, dlygo, dlyanti |
//! | `decision.rs` | dm1, dm2, ctxdm1, ctxdm2, multidm, and each with a delay: dlydm1 … |
//! | `matching.rs` | dms, dnms, dmc, dnmc |
//! | `mod_cog.rs` | all of these with the extensions of Mod-Cog (`extension.rs`) |
//!
//! In the first and the last family, NeuroGym alternates between the
//! modalities; here the modality is drawn, so that trials are independent.

pub mod decision;
mod extension;
pub mod matching;
pub mod mod_cog;
pub mod reach;

#[cfg(test)]
pub use {decision::Decision, matching::Matching, reach::Reach};

/// Defines components from a family's design: type, id, description,
/// parameters, and a function from parameters to the design.
macro_rules! components {
    ($family:ty: $($name:ident = $id:literal, $about:literal, $params:ty, $design:expr;)*) => {$(
        #[doc = concat!("`", $id, "`: ", $about, ".")]
        pub struct $name(pub $family);

        impl pallium_core::Component for $name {
            const ID: &'static str = $id;
            const ABOUT: &'static str = $about;
            const CITE: &'static str = concat!(
                "Yang, Joglekar, Song, Newsome, Wang 2019; Molano-Mazón et al. 2022 (NeuroGym 2.2.0, ",
                $id,
                ")"
            );
            type Params = $params;

            fn build(params: $params, _: &pallium_core::Setting<'_>) -> pallium_core::Result<Self> {
                let design: fn(&'static str, $params) -> pallium_core::Result<$family> = $design;
                Ok($name($crate::design::check_length(design($id, params)?)?))
            }
        }

        impl pallium_core::Task for $name {
            fn info(&self) -> pallium_core::TaskInfo {
                $crate::design::info(&self.0)
            }

            fn trials(&mut self, count: usize, seed: u64) -> pallium_core::Result<pallium_core::Batch> {
                $crate::design::trials(&self.0, count, seed)
            }
        }
        pallium_core::register!(Task, $name);
    )*};
}
use components;

/// Names of the modalities in conditions.
const MODALITIES: [&str; 2] = ["modality 1", "modality 2"];
