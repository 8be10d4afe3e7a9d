//! Fields of the MICrONS volume, and the recurrent weights made from what was
//! measured there.
//!
//! | component | role | what |
//! |---|---|---|
//! | `microns.field` | substrate | a field's folder, as released or as written by Pallium |
//! | `microns.tables` | substrate | fields from tables of coregistration and synapses |
//! | `microns.derived` | substrate | a field, its functional matrices recomputed from event times |
//! | `microns.functional` | weights | W\*: lognormal ∘ correlation ∘ STTC, and its controls |
//! | `microns.relabelled` | weights | W!: the same, its neurons in random order |

mod controls;
mod derived;
mod field;
mod functional;
mod relabelled;
mod tables;
#[cfg(test)]
mod testing;

pallium_core::plugin!();
