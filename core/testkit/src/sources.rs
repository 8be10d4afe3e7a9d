//! Checks of substrate and weight sources.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::clock::{duration, repeat};
use crate::common::orderly;
use crate::{Check, Note, Subject, World, broken, passed, skipped, world};
use pallium_core::{Error, Kind, Matrix, Result, Setting, Substrate, WeightRequest};

pub(crate) const SUBSTRATE: &[Check] = &[
    Check {
        name: "substrate",
        about: "all parts have the same number of neurons and are finite",
        run: substrate,
    },
    Check {
        name: "deterministic",
        about: "the same seed gives the same substrate, in a second call and in another instance",
        run: same_substrate,
    },
    Check { name: "store", about: "reads what it stored, if it has a format of its own", run: store },
];

pub(crate) const WEIGHTS: &[Check] = &[
    Check { name: "weights", about: "N×N and finite", run: weights },
    Check {
        name: "deterministic",
        about: "the same seed gives the same weights, in a second call and in another instance",
        run: same_weights,
    },
    Check {
        name: "connections",
        about: "on given connections there is a finite weight for each, and the same seed gives the same weights",
        run: crate::connections::weights,
    },
    Check {
        name: "survives",
        about: "one neuron, no substrate and an incomplete substrate cause at most an error",
        run: survives,
    },
    Check { name: "time", about: "how long a call takes", run: time },
];

fn substrate(subject: &Subject<'_>) -> Result<Note> {
    let found = subject.substrate(&Setting { seed: 1, ..Setting::default() })?.substrate(1)?;
    found.check()?;
    if found.name.trim().is_empty() {
        return broken("it has no name");
    }
    let mut parts: Vec<&str> = found.matrices.keys().map(String::as_str).collect();
    parts.extend(found.positions.is_some().then_some("positions"));
    parts.extend(found.events.is_some().then_some("events"));
    passed(format!("`{}`: {} neurons with {}", found.name, found.neurons, parts.join(", ")))
}

fn same_substrate(subject: &Subject<'_>) -> Result<Note> {
    let setting = Setting { seed: 1, ..Setting::default() };
    let mut one = subject.substrate(&setting)?;
    let first = one.substrate(7)?;
    one.substrate(8)?;
    for (what, second) in [
        ("a second call", one.substrate(7)?),
        ("another instance", subject.substrate(&setting)?.substrate(7)?),
    ] {
        if first != second {
            return Err(Error::plugin(format!("{what} gives another substrate for the same seed"))
                .help("draw only from pallium_core::random::stream(seed, …)"));
        }
    }
    passed("")
}

fn store(subject: &Subject<'_>) -> Result<Note> {
    let setting = Setting { seed: 1, ..Setting::default() };
    let mut source = subject.substrate(&setting)?;
    let first = source.substrate(1)?;
    // Tests of one program run at the same time, and each needs its own folder.
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("pallium-check-{}-{number}", std::process::id()));
    let inside = folder.join("stored");
    std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, &e))?;
    let outcome = source.store(&first, &inside);
    let back = outcome.and_then(|()| {
        let Some(path) =
            inside.to_str().filter(|_| subject.properties().iter().any(|(name, _)| name == "path"))
        else {
            return Err(Error::unsupported("it has no parameter `path` to read it again by"));
        };
        let params = subject.params_with("path", path.into());
        subject.library.substrate(&subject.entry.id, &params, &setting)?.substrate(1)
    });
    // Files left in the temporary folder are harmless.
    let _ = std::fs::remove_dir_all(&folder);
    match back {
        Err(error) if error.kind == Kind::Unsupported => skipped(error.message),
        Err(error) => Err(error),
        Ok(back) => compare(&first, &back),
    }
}

fn compare(first: &Substrate, back: &Substrate) -> Result<Note> {
    if first.neurons != back.neurons {
        return broken(format!("{} neurons were stored, but {} were read", first.neurons, back.neurons));
    }
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(1.0);
    if let (Some(a), Some(b)) = (&first.positions, &back.positions)
        && a.micrometres().iter().zip(&b.micrometres()).any(|(a, b)| !near(*a, *b))
    {
        return broken("the positions that were read differ from those stored");
    }
    if first.positions.is_some() && back.positions.is_none() {
        return broken("positions were stored, but none were read");
    }
    for (name, matrix) in &first.matrices {
        match back.matrices.get(name) {
            None => return broken(format!("matrix `{name}` was stored, but not read")),
            Some(again) if matrix.view().iter().zip(again.view()).any(|(a, b)| !near(*a, *b)) => {
                return broken(format!("the matrix `{name}` that was read differs from the one stored"));
            }
            Some(_) => {}
        }
    }
    passed(format!("{} neurons, {} matrices", back.neurons, back.matrices.len()))
}

fn request(world: &World, seed: u64) -> WeightRequest<'_> {
    WeightRequest {
        neurons: world.substrate().neurons,
        substrate: Some(world.substrate()),
        seed,
        draw: None,
        connections: None,
    }
}

fn weights(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let found = subject.weights(&world.setting())?.weights(&request(&world, 1))?;
    if let Some(((i, j), w)) = found.indexed_iter().find(|(_, w)| !w.is_finite()) {
        return broken(format!("the weight is {w} at row {i}, column {j}"));
    }
    let size = found.iter().map(|w| f64::from(w * w)).sum::<f64>().sqrt();
    if size == 0.0 {
        return broken("all weights are zero");
    }
    passed(format!("Frobenius norm {size:.3} at N = {}", world::NEURONS))
}

fn same_weights(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let mut one = subject.weights(&world.setting())?;
    let bits = |m: Matrix| m.iter().map(|w| w.to_bits()).collect::<Vec<_>>();
    let first = bits(one.weights(&request(&world, 7))?);
    let other_seed = bits(one.weights(&request(&world, 8))?);
    for (what, second) in [
        ("a second call", one.weights(&request(&world, 7))?),
        ("another instance", subject.weights(&world.setting())?.weights(&request(&world, 7))?),
    ] {
        if first != bits(second) {
            return Err(Error::plugin(format!("{what} gives other weights for the same seed"))
                .help("draw only from pallium_core::random::stream(request.seed, …)"));
        }
    }
    passed(if first == other_seed { "the seed does not matter" } else { "" })
}

fn survives(subject: &Subject<'_>) -> Result<Note> {
    let call =
        |doing: &str, setting: &Setting<'_>, request: &WeightRequest<'_>| match subject.weights(setting) {
            Ok(mut source) => orderly(doing, source.weights(request).map(drop)),
            Err(error) => orderly(doing, Err(error)),
        };
    let world = World::new(world::NEURONS, 1);
    let single = World::new(1, 1);
    call("a single neuron", &single.setting(), &request(&single, 1))?;
    call(
        "no substrate",
        &Setting { substrate: None, ..world.setting() },
        &WeightRequest { substrate: None, ..request(&world, 1) },
    )?;
    let bare = Substrate { name: "bare".into(), neurons: world::NEURONS, ..Substrate::default() };
    call(
        "a substrate without measurements",
        &world.setting(),
        &WeightRequest { substrate: Some(&bare), ..request(&world, 1) },
    )?;
    call(
        "a substrate of another size",
        &world.setting(),
        &WeightRequest { substrate: Some(single.substrate()), ..request(&world, 1) },
    )?;
    call(
        "no neuron",
        &Setting::default(),
        &WeightRequest { neurons: 0, substrate: None, seed: 1, draw: None, connections: None },
    )?;
    let small = ndarray::Array2::zeros((2, 3));
    call(
        "a draw of a wrong shape",
        &world.setting(),
        &WeightRequest { draw: Some(small.view()), ..request(&world, 1) },
    )?;
    passed("6 cases")
}

fn time(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(100, 1);
    let mut source = subject.weights(&world.setting())?;
    let each = repeat(|| source.weights(&request(&world, 1)).map(drop))?;
    passed(format!("{} at N = 100", duration(each)))
}
