//! Fields of the MICrONS volume, and recurrent weights computed from them.
//!
//! | component | role | what |
//! |---|---|---|
//! | `microns.field` | substrate | a field's folder, as released or as written by Pallium |
//! | `microns.tables` | substrate | fields from CAVE's tables of coregistered units and synapses |
//! | `microns.derived` | substrate | a field with functional matrices recomputed from event times |
//! | `microns.functional` | weights | W\*: lognormal ∘ correlation ∘ STTC, and its controls |
//! | `microns.relabelled` | weights | W!: the same weights with neurons in random order |

mod controls;
mod derived;
mod field;
mod functional;
mod relabelled;
mod tables;
#[cfg(test)]
mod testing;

pallium_core::plugin!();
