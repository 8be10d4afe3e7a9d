//! Fields from your own data.
//!
//! | component | role | what |
//! |---|---|---|
//! | `field.described` | substrate | files described by a `field.toml` |

mod described;

pallium_core::plugin!();
