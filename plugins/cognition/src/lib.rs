//! Cognitive tasks whose answer is one choice at the end of a trial, and a bandit,
//! whose stimuli depend on the choices.
//!
//! One file is one task. To add a task, copy the file of a similar one and
//! declare the module below; `trial.rs` holds what tasks share.
//!
//! Properties common to all of them but the bandit:
//! - the type of each trial is drawn uniformly and independently, so the shares
//!   of the types in a data set vary like multinomial counts;
//! - the label is at the last step, and no other step is scored;
//! - the same seed gives the same trials, and a shorter draw is the beginning
//!   of a longer one;
//! - chance is the accuracy of an observer that picks each class equally often;
//!   memoryless is the best accuracy of an observer that knows the task and sees
//!   only the input of the last step; ideal is the best accuracy of an observer
//!   that remembers everything.

mod bandit;
mod go_no_go;
mod one_choice;
mod perceptual_decision;
mod trial;

pallium_core::plugin!();
