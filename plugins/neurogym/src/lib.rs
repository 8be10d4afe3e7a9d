//! Cognitive tasks with the periods, channels and correct answers of NeuroGym
//! 2.2.0 (Molano-Mazón et al. 2022). `docs/tasks.md` describes them for users.
//!
//! One file is one task, except for the families of `yang19`. To add a task,
//! implement `Design` of `design.rs` in a new file and declare the module below.
//!
//! Properties common to all of them:
//! - time is in milliseconds; a period of t ms has ⌊t / dt_ms⌋ steps. Its
//!   duration is fixed or drawn for every trial (`duration.rs`), so trials may
//!   differ in length;
//! - channel 0 shows whether to fixate; rings of channels with preferred angles
//!   2πk/n show stimuli;
//! - every step has a correct answer: class 0 (fixate) before the decision, one
//!   of the choices in it. Every step counts in the loss, those outside the
//!   decision with the weight `fixation_weight`; only the steps of the decision
//!   count in the accuracy;
//! - noise has standard deviation sigma/√dt_ms at a step;
//! - trials are drawn independently; the same seed gives the same trials, and a
//!   shorter draw is the beginning of a longer one;
//! - chance is the accuracy of an observer that picks equally often among the
//!   answers that occur in the decision; memoryless is the best accuracy of an
//!   observer that sees only the present input; ideal is the best accuracy of an
//!   observer that remembers everything. Levels without a closed form are left
//!   out.

mod design;
mod duration;
mod levels;
mod ring;

mod anti_reach;
mod context_decision_making;
mod delay_comparison;
mod delay_match_sample;
mod delay_paired_association;
mod interval_discrimination;
mod multisensory_integration;
mod ready_set_go;
mod yang19;

#[cfg(test)]
mod tests;

pallium_core::plugin!();
