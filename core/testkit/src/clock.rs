//! Durations of calls.

use std::time::Instant;

use pallium_core::Result;

/// Seconds per call, measured over about a fifth of a second.
pub(crate) fn repeat(mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    call()?;
    let start = Instant::now();
    let mut calls = 0_u32;
    while calls == 0 || (start.elapsed().as_secs_f64() < 0.2 && calls < 10_000) {
        call()?;
        calls += 1;
    }
    Ok(start.elapsed().as_secs_f64() / f64::from(calls))
}

/// A duration as text.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.1} µs", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}
