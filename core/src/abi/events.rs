//! Forwards log events from a plugin to the host.
//!
//! Every library has its own copy of `tracing`'s dispatcher, so the host's
//! subscriber does not receive a plugin's events. The plugin installs a small
//! subscriber that passes each event, as level, origin and text, to a function of
//! the host, which emits it again. The origin is the event's target, followed by
//! its spans from the outermost: `lab::model > fit{step=3}`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

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

/// The host's sink, at the most detailed level that the host logs.
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
        // Fails only if the plugin installed its own subscriber, which then stays.
        let _ = tracing::subscriber::set_global_default(Forward::default());
    }
    tracing::callsite::rebuild_interest_cache();
}

/// An open span as text, and the number of handles to it.
struct Span {
    name: &'static str,
    fields: String,
    handles: usize,
}

#[derive(Default)]
struct Forward {
    count: AtomicU64,
    spans: Mutex<BTreeMap<u64, Span>>,
}

thread_local! {
    /// The spans that this thread has entered, from the outermost.
    static INSIDE: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

impl Forward {
    fn spans(&self) -> MutexGuard<'_, BTreeMap<u64, Span>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn origin(&self, target: &str) -> String {
        let spans = self.spans();
        let mut origin = target.to_owned();
        INSIDE.with_borrow(|inside| {
            for span in inside.iter().filter_map(|id| spans.get(id)) {
                // Writing to a string cannot fail.
                let _ = match span.fields.trim_start() {
                    "" => write!(origin, " > {}", span.name),
                    fields => write!(origin, " > {}{{{fields}}}", span.name),
                };
            }
        });
        origin
    }
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

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = 1 + self.count.fetch_add(1, Ordering::Relaxed);
        let mut text = Text::default();
        span.record(&mut text);
        self.spans().insert(id, Span { name: span.metadata().name(), fields: text.fields, handles: 1 });
        Id::from_u64(id)
    }

    fn record(&self, id: &Id, fields: &Record<'_>) {
        let mut text = Text::default();
        fields.record(&mut text);
        if let Some(span) = self.spans().get_mut(&id.into_u64()) {
            span.fields.push_str(&text.fields);
        }
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, id: &Id) {
        INSIDE.with_borrow_mut(|inside| inside.push(id.into_u64()));
    }

    fn exit(&self, id: &Id) {
        INSIDE.with_borrow_mut(|inside| {
            if let Some(at) = inside.iter().rposition(|span| *span == id.into_u64()) {
                inside.remove(at);
            }
        });
    }

    fn clone_span(&self, id: &Id) -> Id {
        if let Some(span) = self.spans().get_mut(&id.into_u64()) {
            span.handles += 1;
        }
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut spans = self.spans();
        let Some(span) = spans.get_mut(&id.into_u64()) else { return true };
        span.handles -= 1;
        let last = span.handles == 0;
        if last {
            spans.remove(&id.into_u64());
        }
        last
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        if let Some(sink) = SINK.get() {
            let metadata = event.metadata();
            text.message.push_str(&text.fields);
            let origin = self.origin(metadata.target());
            sink(number(*metadata.level()), RStr::from_str(&origin), RStr::from_str(&text.message));
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

#[cfg(test)]
mod tests {
    use super::*;

    static EVENTS: Mutex<Vec<(u8, String, String)>> = Mutex::new(Vec::new());

    extern "C" fn on_event(level: u8, origin: RStr<'_>, message: RStr<'_>) {
        EVENTS.lock().unwrap().push((level, origin.to_string(), message.to_string()));
    }

    #[test]
    fn events_arrive_with_their_spans_and_closed_spans_are_removed() {
        let _ = SINK.set(on_event);
        LEVEL.store(4, Ordering::Relaxed);
        let forward = std::sync::Arc::new(Forward::default());
        tracing::subscriber::with_default(std::sync::Arc::clone(&forward), || {
            tracing::info!(target: "lab", neurons = 3, "grown");
            let outer = tracing::info_span!(target: "lab", "fit", step = 3, loss = tracing::field::Empty);
            let inside = outer.enter();
            outer.record("loss", 0.5);
            tracing::debug_span!("deep").in_scope(|| tracing::warn!(target: "lab", "slow"));
            tracing::trace!(target: "lab", "not wanted");
            drop(inside);
            tracing::debug!(target: "lab", "out");
        });
        assert!(forward.spans().is_empty());
        let events = EVENTS.lock().unwrap();
        let expected = [
            (3, "lab", "grown neurons=3"),
            (2, "lab > fit{step=3 loss=0.5} > deep", "slow"),
            (4, "lab", "out"),
        ];
        let events: Vec<_> = events.iter().map(|(l, o, m)| (*l, o.as_str(), m.as_str())).collect();
        assert_eq!(events, expected);
    }
}
