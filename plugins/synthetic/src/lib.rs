//! Synthetic fields of neurons.
//!
//! | component | role | what |
//! |---|---|---|
//! | `synthetic.field` | substrate | a field with the statistics of imaged ones; needs no data |
//! | `synthetic.like` | substrate | a field with the statistics of a given field |

mod draw;
mod field;
mod like;

pallium_core::plugin!();
