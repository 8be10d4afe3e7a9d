//! Anyone's own field of neurons.
//!
//! | component | role | what |
//! |---|---|---|
//! | `field.described` | substrate | plain files, described by a `field.toml` |

mod described;

pallium_core::plugin!();
