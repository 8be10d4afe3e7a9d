//! Warnings during a training, of plugins and of the host: a result needs care, so
//! they are stored with it.

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use pallium_record::outcome::one_line;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Target of the events that plugins log; see `pallium_core::abi`.
const PLUGIN: &str = "plugin";
/// Target of the host's own events about a training that are stored with it.
pub const OF_RESULT: &str = "pallium::result";
/// Different warnings that are kept of a training. A component may warn in every
/// batch, with other numbers.
const MOST: usize = 20;
/// Characters that are kept of a warning.
const LONGEST: usize = 500;

static KEPT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The subscriber's layer that keeps these warnings, whatever is logged.
pub fn layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    Keep(&KEPT).with_filter(LevelFilter::WARN)
}

/// Takes the warnings that were kept in this process, each once, in the order in
/// which they came.
pub fn take() -> Vec<String> {
    std::mem::take(&mut *KEPT.lock().unwrap_or_else(PoisonError::into_inner))
}

struct Keep(&'static Mutex<Vec<String>>);

impl<S: Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let about = event.metadata();
        if ![PLUGIN, OF_RESULT].contains(&about.target()) || *about.level() != Level::WARN {
            return;
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        let text: String = one_line(&message.0).chars().take(LONGEST).collect();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MOST && !text.is_empty() && !kept.contains(&text) {
            kept.push(text);
        }
    }
}

/// The message of an event.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::prelude::*;

    use super::*;

    static HERE: Mutex<Vec<String>> = Mutex::new(Vec::new());

    #[test]
    fn warnings_of_plugins_are_kept_once_and_nothing_else() {
        let subscriber = tracing_subscriber::registry().with(Keep(&HERE).with_filter(LevelFilter::WARN));
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..3 {
                tracing::warn!(target: "plugin", origin = "lab::model", "the radius\n is 0");
            }
            tracing::info!(target: "plugin", origin = "lab::model", "grown");
            tracing::error!(target: "plugin", origin = "lab::model", "an error fails the training itself");
            tracing::warn!("of the host");
            (0..100).for_each(|n| tracing::warn!(target: "plugin", "batch {n}"));
        });
        let kept = HERE.lock().unwrap();
        assert_eq!(kept[..2], ["the radius is 0", "batch 0"]);
        assert_eq!(kept.len(), MOST);
    }
}
