//! Tells the host which method of a component is entered, so that it can name
//! the component if the process does not survive the call.

use std::sync::OnceLock;

/// The method of a library that is being loaded.
pub const LOADING: &str = "loading";

static OBSERVER: OnceLock<fn(&str, &str)> = OnceLock::new();

/// Has `observer` called with a component's id and the method's name before each
/// call into a plugin. Only the first observer of a process is kept.
pub fn observe(observer: fn(&str, &str)) {
    // A second observer would have to share with the first, which nobody needs.
    let _ = OBSERVER.set(observer);
}

/// Reports that `method` of component `id` is about to be called, or that the
/// library at the path `id` is about to be loaded ([`LOADING`]).
pub fn entered(id: &str, method: &str) {
    if let Some(observer) = OBSERVER.get() {
        observer(id, method);
    }
}
