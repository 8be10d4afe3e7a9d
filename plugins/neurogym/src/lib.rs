//! Cognitive tasks as NeuroGym 2.2.0 (Molano-Mazón et al. 2022) lays them out:
//! the same periods, channels and right answers, given the same parameters of a
//! trial. `docs/tasks.md` is the user's page.
//!
//! Common to all of them:
//! - time is in milliseconds; a period of t ms has ⌊t / dt_ms⌋ steps. It is
//!   fixed, or drawn anew for every trial (`duration.rs`), so trials
//!   may differ in length;
//! - channel 0 says whether to fixate; rings of channels with preferred angles
//!   2πk/n show stimuli;
//! - there is a right answer at each step: class 0 (fixate) before the
//!   decision, one of the choices in it. Every step counts in the loss, those
//!   outside the decision with the weight `fixation_weight`; in the accuracy,
//!   the steps of the decision alone count;
//! - noise has standard deviation sigma/√dt_ms at a step;
//! - every trial is drawn independently of all others; the same seed gives the
//!   same trials, and a shorter draw is the beginning of a longer one;
//! - chance is the accuracy of an observer that knows which answers occur in
//!   the decision and picks among them equally often; memoryless is the best
//!   for one that sees the present input alone; ideal is the best for one that
//!   sees, and forgets, nothing. What is not known in closed form is left out.

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
