//! Recurrent weights that need no data.
//!
//! | component | role | what |
//! |---|---|---|
//! | `init.orthogonal` | weights | W: a random orthogonal matrix |

mod orthogonal;

pallium_core::plugin!();
