//! Measurements.
//!
//! `cargo bench -p pallium-benches` times every kind of component through the
//! real plugin boundary ([`scene`] sets them up); the executable `compare`
//! compares complete trainings with other implementations, taking [`turns`],
//! and with the machine's [`peak`].

pub mod inputs;
pub mod peak;
pub mod report;
pub mod scene;
pub mod turns;
pub mod watch;
