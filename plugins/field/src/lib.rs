//! Fields of neurons from your own data.
//!
//! | component | role | what |
//! |---|---|---|
//! | `field.described` | substrate | plain files, described by a `field.toml` |

mod described;

pallium_core::plugin!();
