//! Log events on their way from a plugin to the host.
//!
//! Every library has its own copy of `tracing`'s dispatcher, so an event in a
//! plugin reaches nobody by itself. The plugin installs a small subscriber
//! that hands each event, as level, target and text, to a function of the
//! host, which emits it anew.

use std::fmt::{self, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use abi_stable::std_types::RStr;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::wire::WireLog;

fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// The host's end: emits a plugin's event under the target `plugin`.
extern "C" fn receive(level: u8, origin: RStr<'_>, message: RStr<'_>) {
    let (origin, message) = (origin.as_str(), message.as_str());
    match level {
        1 => tracing::error!(target: "plugin", origin, "{message}"),
        2 => tracing::warn!(target: "plugin", origin, "{message}"),
        3 => tracing::info!(target: "plugin", origin, "{message}"),
        4 => tracing::debug!(target: "plugin", origin, "{message}"),
        _ => tracing::trace!(target: "plugin", origin, "{message}"),
    }
}

/// The host's sink, at the most detailed level that the host listens to.
pub(super) fn host_log() -> WireLog {
    let level = LevelFilter::current().into_level().map_or(0, number);
    WireLog { level, sink: receive }
}

static SINK: OnceLock<extern "C" fn(u8, RStr<'_>, RStr<'_>)> = OnceLock::new();
static LEVEL: AtomicU8 = AtomicU8::new(0);

/// The plugin's end; see [`super::wire::PluginModule::log_to`].
pub(super) extern "C" fn log_to(log: WireLog) {
    LEVEL.store(log.level, Ordering::Relaxed);
    if SINK.set(log.sink).is_ok() {
        // Fails only if the plugin's author installed a subscriber; theirs wins.
        let _ = tracing::subscriber::set_global_default(Forward { spans: AtomicU64::new(1) });
    }
    tracing::callsite::rebuild_interest_cache();
}

struct Forward {
    spans: AtomicU64,
}

impl Subscriber for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        number(*metadata.level()) <= LEVEL.load(Ordering::Relaxed)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match LEVEL.load(Ordering::Relaxed) {
            0 => LevelFilter::OFF,
            1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 => LevelFilter::INFO,
            4 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        })
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        if let Some(sink) = SINK.get() {
            let metadata = event.metadata();
            text.message.push_str(&text.fields);
            sink(number(*metadata.level()), RStr::from_str(metadata.target()), RStr::from_str(&text.message));
        }
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
