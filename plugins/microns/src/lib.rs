//! Where networks grow from: imaged fields of the MICrONS volume, anyone's own,
//! and synthetic ones like them, and the recurrent weights made from what was
//! measured there.
//!
//! | component | role | what |
//! |---|---|---|
//! | `microns.field` | substrate | a field's folder, as released or as written by Pallium |
//! | `microns.tables` | substrate | fields from tables of coregistration and synapses |
//! | `field.described` | substrate | anyone's own field: plain files, described by a `field.toml` |
//! | `microns.derived` | substrate | the same, its functional matrices recomputed from event times |
//! | `synthetic.field` | substrate | a made-up field with the statistics of real ones |
//! | `synthetic.like` | substrate | a made-up field with the statistics of a given one |
//! | `microns.functional` | weights | W\*: lognormal ∘ correlation ∘ STTC, and its controls |
//! | `microns.relabelled` | weights | W!: the same, its neurons in random order |
//! | `init.orthogonal` | weights | W: orthogonal |

pub mod activity;
mod connectome;
mod controls;
mod counts;
mod derived;
mod described;
mod field;
mod folder;
mod functional;
mod lasso;
mod like;
mod npy;
mod orthogonal;
mod parallel;
mod pickle;
mod relabelled;
mod rows;
mod set_order;
mod spectrum;
mod store;
mod synthetic;
mod tables;
#[cfg(test)]
mod testing;

pallium_core::plugin!();
