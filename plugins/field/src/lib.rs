//! Fields from your own data.
//!
//! | component | role | what |
//! |---|---|---|
//! | `field.described` | substrate | files described by a `field.toml` |
//! | `field.edges` | substrate | a connectome as a list of connections |

mod described;
mod edges;

pallium_core::plugin!();
