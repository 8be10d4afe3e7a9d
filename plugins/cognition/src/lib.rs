//! Cognitive tasks whose answer is one choice at the end of a trial.
//!
//! Common to all of them:
//! - every trial's type is drawn uniformly and independently of all other
//!   trials, so the shares of the types in a data set vary as multinomial
//!   counts do;
//! - the label stands at the last step, and no other step is scored;
//! - the same seed gives the same trials, and a shorter draw is the beginning
//!   of a longer one;
//! - chance is the accuracy of an observer that picks each class equally
//!   often; memoryless is the best for an observer that knows the task and
//!   sees the last step's input and nothing earlier; ideal is the best for one
//!   that sees, and forgets, nothing.

mod go_no_go;
mod one_choice;
mod perceptual_decision;
mod trial;

pallium_core::plugin!();
