//! Converts the plain types of the contract to their wire forms and back.

mod batch;
mod setting;
mod substrate;
mod tensor;

use abi_stable::std_types::{RResult, RString};
use serde::{Deserialize, Serialize};

use super::wire::{WireError, WireResult};
use crate::{Error, Result};

pub(super) use batch::{batch_from_loan, batch_from_parcel, batch_parcel, batch_parts, batch_view};
pub(super) use setting::{lend_setting, with_setting};
pub(super) use substrate::{receive_substrate, substrate_parcel, substrate_parts};
pub(super) use tensor::{
    Part, Received, borrow_mut, buf, buf_to_array, connection_parts, lend, lend_mut, parcel_of, slice_mut,
    tensors_from_loan, tensors_from_parcel, tensors_parcel, unpack, values, view, view_mut,
};

pub(super) fn wire_error(error: &Error) -> WireError {
    let json = serde_json::to_string(error).unwrap_or_else(|_| "{}".into());
    WireError { json: RString::from(json) }
}

pub(super) fn to_wire<T>(result: Result<T>) -> WireResult<T> {
    match result {
        Ok(value) => RResult::ROk(value),
        Err(error) => RResult::RErr(wire_error(&error)),
    }
}

pub(super) fn from_wire<T>(result: WireResult<T>) -> Result<T> {
    match result {
        RResult::ROk(value) => Ok(value),
        RResult::RErr(WireError { json }) => {
            let error: Error = serde_json::from_str(json.as_str())
                .unwrap_or_else(|_| Error::plugin(format!("a plugin reported an unreadable error: {json}")));
            Err(Error {
                kind: error.kind,
                message: printable(error.message),
                causes: error.causes.into_iter().map(printable).collect(),
                help: error.help.map(printable),
            })
        }
    }
}

/// Text from a plugin, made safe for a terminal and a table: control characters
/// other than line breaks and tabs are replaced.
fn printable(text: String) -> String {
    let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if text.contains(odd) { text.replace(odd, "\u{fffd}") } else { text }
}

pub(super) fn from_json<'a, T: Deserialize<'a>>(what: &str, text: &'a str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| Error::plugin(format!("{what} is malformed: {e}")))
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<RString> {
    serde_json::to_string(value)
        .map(RString::from)
        .map_err(|e| Error::bug(format!("a header cannot be serialized: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_a_plugin_s_error_are_replaced() {
        let error = Error::input("a\u{1b}[2Jb\0c\nd").help("e\u{7}").context("f\rg");
        let received = from_wire::<()>(to_wire(Err(error))).unwrap_err();
        assert_eq!(received.message, "f\u{fffd}g");
        assert_eq!(received.causes, ["a\u{fffd}[2Jb\u{fffd}c\nd"]);
        assert_eq!(received.help.as_deref(), Some("e\u{fffd}"));
    }
}
