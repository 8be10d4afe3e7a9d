//! Trials on the wire.

use abi_stable::std_types::RString;
use ndarray::{Ix2, Ix3};

use super::super::wire::{WireLoan, WireParcel};
use super::tensor::{Part, Received, parcel_of, unpack};
use crate::{Batch, BatchView, Error, Result, Targets, TargetsView};

const CLASSES: &str = "classes";
const VALUES: &str = "values";

/// Trials as parts to be lent.
pub fn batch_parts<'a>(batch: &BatchView<'a>) -> Vec<Part<'a>> {
    vec![
        Part::new("inputs", batch.inputs),
        match batch.targets {
            TargetsView::Classes(classes) => Part::new(CLASSES, classes),
            TargetsView::Values(values) => Part::new(VALUES, values),
        },
        Part::new("mask", batch.mask),
        Part::slice("lengths", batch.lengths),
        Part::slice("conditions", batch.conditions),
    ]
}

fn targets<'a>(received: &Received<'a>) -> Result<TargetsView<'a>> {
    if let Some(classes) = received.array_if::<u32, Ix2>(CLASSES)? {
        return Ok(TargetsView::Classes(classes));
    }
    match received.array_if::<f32, Ix3>(VALUES)? {
        Some(values) => Ok(TargetsView::Values(values)),
        None => Err(Error::plugin("trials have no targets")),
    }
}

/// Trials that were lent.
pub fn batch_view<'a>(loan: &WireLoan<'a>) -> Result<BatchView<'a>> {
    let received = Received::new(loan);
    Ok(BatchView::new(
        received.array::<f32, Ix3>("inputs")?,
        targets(&received)?,
        received.array::<f32, Ix2>("mask")?,
        received.list("lengths")?,
        received.list("conditions")?,
    ))
}

/// Hands trials over.
pub fn batch_parcel(batch: &Batch) -> WireParcel {
    let view = batch.view();
    let mut parts = batch_parts(&view);
    if let Some(scored) = &batch.scored {
        parts.push(Part::new("scored", scored.view()));
    }
    if let Some(periods) = &batch.periods {
        parts.push(Part::new("periods", periods.view()));
    }
    parcel_of(RString::from("{}"), &parts)
}

/// Receives trials that were handed over.
pub fn batch_from_parcel(parcel: &WireParcel) -> Result<Batch> {
    unpack(parcel, |_, received| batch(received))
}

/// A copy of trials that were lent.
pub fn batch_from_loan(loan: &WireLoan<'_>) -> Result<Batch> {
    batch(&Received::new(loan))
}

fn batch(received: &Received<'_>) -> Result<Batch> {
    let inputs = received.array::<f32, Ix3>("inputs")?.to_owned();
    let (_, steps, channels) = inputs.dim();
    let mut batch = Batch::zeros(0, steps, channels);
    batch.inputs = inputs;
    batch.targets = match targets(received)? {
        TargetsView::Classes(classes) => Targets::Classes(classes.to_owned()),
        TargetsView::Values(values) => Targets::Values(values.to_owned()),
    };
    batch.mask = received.array::<f32, Ix2>("mask")?.to_owned();
    batch.scored = received.array_if::<f32, Ix2>("scored")?.map(|scored| scored.to_owned());
    batch.lengths = received.list("lengths")?.to_vec();
    batch.conditions = received.list("conditions")?.to_vec();
    batch.periods = received.array_if::<u32, Ix2>("periods")?.map(|periods| periods.to_owned());
    Ok(batch)
}
