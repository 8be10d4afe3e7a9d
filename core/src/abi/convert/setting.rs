//! Settings on the wire. What is lent is borrowed by the receiver.

use std::path::Path;

use abi_stable::std_types::RString;
use ndarray::{ArrayView, Ix2};
use serde::{Deserialize, Serialize};

use super::super::wire::WireLoan;
use super::substrate::{SubstrateHeader, receive_substrate, substrate_parts};
use super::tensor::{Part, Received, connection_parts, lend};
use super::{from_json, json};
use crate::{ConnectionsView, Loss, Result, Setting, SubstrateView, Units};

#[derive(Serialize, Deserialize)]
struct SettingHeader {
    seed: u64,
    threads: usize,
    cache: Option<String>,
    neurons: Option<usize>,
    inputs: Option<usize>,
    outputs: Option<usize>,
    loss: Option<Loss>,
    #[serde(default)]
    step_ms: Option<f64>,
    substrate: Option<SubstrateHeader>,
    #[serde(default)]
    distance_unit_um: Option<f64>,
}

/// Lends a setting together with `extra` parts for the time of `call`.
pub fn lend_setting<'a, R>(
    setting: &'a Setting<'_>,
    extra: impl IntoIterator<Item = Part<'a>>,
    call: impl FnOnce(WireLoan<'_>) -> R,
) -> Result<R> {
    let (header, parts) = setting_parts(setting, extra)?;
    Ok(lend(&header, &parts, call))
}

fn setting_parts<'a>(
    setting: &'a Setting<'_>,
    extra: impl IntoIterator<Item = Part<'a>>,
) -> Result<(RString, Vec<Part<'a>>)> {
    let (substrate, mut parts) = match setting.substrate.map(substrate_parts) {
        Some((header, parts)) => (Some(header), parts),
        None => (None, Vec::new()),
    };
    if let Some(distance) = setting.distance {
        parts.push(Part::new("distance", distance));
    }
    for (name, units) in [("rows", setting.rows), ("columns", setting.columns)] {
        parts.extend(units.map(|units| Part::slice(name, units.neurons)));
    }
    parts.extend(setting.connections.into_iter().flat_map(connection_parts));
    parts.extend(setting.original.map(|original| Part::new("original", original)));
    parts.extend(extra);
    let header = json(&SettingHeader {
        seed: setting.seed,
        threads: setting.threads,
        cache: setting.cache.map(|path| path.to_string_lossy().into_owned()),
        neurons: setting.neurons,
        inputs: setting.inputs,
        outputs: setting.outputs,
        loss: setting.loss,
        step_ms: setting.step_ms,
        substrate,
        distance_unit_um: setting.distance_unit_um,
    })?;
    Ok((header, parts))
}

/// What a [`Setting`] of the plugin's side borrows from.
struct ReceivedSetting<'a> {
    header: SettingHeader,
    substrate: Option<SubstrateView<'a>>,
    distance: Option<ArrayView<'a, f32, Ix2>>,
    rows: Option<Units<'a>>,
    columns: Option<Units<'a>>,
    connections: Option<ConnectionsView<'a>>,
    original: Option<ArrayView<'a, f32, Ix2>>,
}

impl<'a> ReceivedSetting<'a> {
    fn receive(loan: &WireLoan<'a>) -> Result<Self> {
        let mut header: SettingHeader = from_json("a setting", loan.header.as_str())?;
        let received = Received::new(loan);
        let substrate = header.substrate.take().map(|h| receive_substrate(h, &received)).transpose()?;
        let units = |name: &str| -> Result<Option<Units<'a>>> {
            match received.find(name) {
                Some(_) => Ok(Some(Units { neurons: received.list(name)? })),
                None => Ok(None),
            }
        };
        Ok(ReceivedSetting {
            substrate,
            distance: received.array_if::<f32, Ix2>("distance")?,
            rows: units("rows")?,
            columns: units("columns")?,
            connections: received.connections()?,
            original: received.array_if::<f32, Ix2>("original")?,
            header,
        })
    }

    fn setting(&self) -> Setting<'_> {
        let header = &self.header;
        Setting {
            seed: header.seed,
            threads: header.threads,
            cache: header.cache.as_deref().map(Path::new),
            neurons: header.neurons,
            inputs: header.inputs,
            outputs: header.outputs,
            loss: header.loss,
            step_ms: header.step_ms,
            substrate: self.substrate.as_ref(),
            distance: self.distance,
            distance_unit_um: header.distance_unit_um,
            rows: self.rows,
            columns: self.columns,
            connections: self.connections,
            original: self.original,
        }
    }
}

pub fn with_setting<R>(loan: &WireLoan<'_>, use_it: impl FnOnce(&Setting<'_>) -> Result<R>) -> Result<R> {
    use_it(&ReceivedSetting::receive(loan)?.setting())
}
