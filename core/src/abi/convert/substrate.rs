//! Substrates on the wire. What is lent is borrowed by the receiver.

use std::borrow::Cow;
use std::collections::BTreeSet;

use ndarray::{ArrayView2, Ix2};
use serde::{Deserialize, Serialize};

use super::super::wire::WireParcel;
use super::json;
use super::tensor::{Part, Received, parcel_of, values};
use crate::{ConnectionsView, Error, PairTable, PositionsBase, Result, SubstrateBase, SubstrateView};

#[derive(Serialize, Deserialize)]
pub struct SubstrateHeader {
    name: String,
    neurons: usize,
    #[serde(default)]
    unit_um: Option<[f64; 3]>,
    #[serde(default)]
    notes: Vec<String>,
    #[serde(default)]
    frame_hz: Option<f64>,
    #[serde(default)]
    recording: Option<(f64, f64)>,
    #[serde(default)]
    derived: BTreeSet<String>,
}

pub fn substrate_parts<'a>(substrate: &'a SubstrateView<'_>) -> (SubstrateHeader, Vec<Part<'a>>) {
    let mut parts = Vec::new();
    if let Some(positions) = &substrate.positions {
        parts.push(Part::new("positions", positions.values.view()));
    }
    for (name, matrix) in &substrate.matrices {
        parts.push(Part::new(format!("matrix:{name}"), matrix.view()));
    }
    for (name, pairs) in &substrate.pairs {
        let of = pairs.connections();
        parts.push(Part::slice(format!("pairs.indptr:{name}"), of.indptr()));
        parts.push(Part::slice(format!("pairs.indices:{name}"), of.indices()));
        parts.push(Part::slice(format!("pairs:{name}"), pairs.values()));
    }
    for (name, ids) in &substrate.ids {
        parts.push(Part::slice(format!("id:{name}"), ids.as_ref()));
    }
    if let Some(events) = &substrate.events {
        let times: Vec<f64> = events.iter().flatten().copied().collect();
        let counts: Vec<u64> = events.iter().map(|e| e.len() as u64).collect();
        parts.push(Part::owned("events", times));
        parts.push(Part::owned("event counts", counts));
    }
    let header = SubstrateHeader {
        name: substrate.name.clone(),
        neurons: substrate.neurons,
        unit_um: substrate.positions.as_ref().map(|p| p.unit_um),
        notes: substrate.notes.clone(),
        frame_hz: substrate.frame_hz,
        recording: substrate.recording,
        derived: substrate.derived.clone(),
    };
    (header, parts)
}

pub fn substrate_parcel(substrate: &SubstrateView<'_>) -> Result<WireParcel> {
    let (header, parts) = substrate_parts(substrate);
    Ok(parcel_of(json(&header)?, &parts))
}

/// The substrate of a loan, whose matrices, positions and ids are borrowed.
pub fn receive_substrate<'a>(header: SubstrateHeader, received: &Received<'a>) -> Result<SubstrateView<'a>> {
    let positions: Option<ArrayView2<'a, f64>> = received.array_if::<f64, Ix2>("positions")?;
    let positions = match (positions, header.unit_um) {
        (Some(values), Some(unit_um)) => Some(PositionsBase { values: values.into(), unit_um }),
        _ => None,
    };
    let mut substrate = SubstrateBase {
        name: header.name,
        neurons: header.neurons,
        positions,
        notes: header.notes,
        frame_hz: header.frame_hz,
        recording: header.recording,
        derived: header.derived,
        ..SubstrateBase::default()
    };
    for tensor in received.tensors() {
        let name = tensor.name.as_str();
        if let Some(matrix) = name.strip_prefix("matrix:") {
            let view = super::view::<f64, Ix2>(tensor)?;
            substrate.matrices.insert(matrix.into(), view.into());
        } else if let Some(pairs) = name.strip_prefix("pairs:") {
            let indptr = received.list(&format!("pairs.indptr:{pairs}"))?;
            let indices = received.list(&format!("pairs.indices:{pairs}"))?;
            let of = ConnectionsView::lent(substrate.neurons, indptr, indices)?;
            substrate.pairs.insert(pairs.into(), PairTable::lent(of, values::<f64>(tensor)?)?);
        } else if let Some(id) = name.strip_prefix("id:") {
            substrate.ids.insert(id.into(), Cow::Borrowed(values::<i64>(tensor)?));
        }
    }
    if let Some(times) = received.find("events") {
        let mut rest = values::<f64>(times)?;
        let counts: &[u64] = received.list("event counts")?;
        let mut events = Vec::with_capacity(counts.len());
        for &count in counts {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            let (head, tail) = rest
                .split_at_checked(count)
                .ok_or_else(|| Error::plugin("`event counts` add up to more than there are events"))?;
            events.push(head.to_vec());
            rest = tail;
        }
        substrate.events = Some(events);
    }
    Ok(substrate)
}
