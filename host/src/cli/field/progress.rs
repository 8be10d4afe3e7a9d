//! The progress of a component.
//!
//! A component reports progress by log events of the target `progress`, with a
//! description and the completed share: `precision fraction=0.4`. On a terminal
//! they move a bar; elsewhere each new description is a line.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, layer::Filter};

/// The layer that shows progress.
pub struct Progress {
    bar: Option<ProgressBar>,
    last: Mutex<String>,
}

impl Progress {
    /// The bar, on standard error.
    pub fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(
                "{bar:30.cyan/black} {percent:>3} % {msg}, elapsed {elapsed}, remaining {eta}",
            )
            .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(1000).with_style(style)
        });
        Progress { bar, last: Mutex::default() }
    }

    /// This layer, limited to events of components.
    pub fn filtered<S>(self) -> impl Layer<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
        Targets: Filter<S>,
    {
        self.with_filter(Targets::new().with_target("plugin", Level::INFO))
    }

    fn show(&self, what: &str, fraction: f64) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
            bar.set_position((1000.0 * fraction.clamp(0.0, 1.0)) as u64);
            if fraction >= 1.0 {
                bar.finish_and_clear();
            }
            return;
        }
        let Ok(mut last) = self.last.lock() else { return };
        if *last != what && fraction < 1.0 {
            what.clone_into(&mut last);
            // A closed terminal is not a reason to stop.
            let _ = writeln!(io::stderr().lock(), "{what} …");
        }
    }
}

impl<S: Subscriber> Layer<S> for Progress {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = ProgressMessage::default();
        event.record(&mut message);
        if message.origin == "progress"
            && let Some((what, fraction)) = parse(&message.message)
        {
            self.show(what, fraction);
        }
    }
}

/// Parses `precision fraction=0.4` into description and share.
fn parse(message: &str) -> Option<(&str, f64)> {
    let (what, fraction) = message.rsplit_once(" fraction=")?;
    Some((what, fraction.parse().ok()?))
}

#[derive(Default)]
struct ProgressMessage {
    origin: String,
    message: String,
}

impl Visit for ProgressMessage {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "origin" {
            value.clone_into(&mut self.origin);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read() {
        assert_eq!(parse("spike time tiling fraction=0.02"), Some(("spike time tiling", 0.02)));
        assert_eq!(parse("precision fraction=1.0"), Some(("precision", 1.0)));
        assert_eq!(parse("anything else"), None);
        assert_eq!(parse("x fraction=much"), None);
    }
}
