//! Components that keep every promise, and break one if their parameter `fault` names
//! it: each check must pass for the former and fail for the latter.

mod constraint;
mod metric;
mod model;
mod optimizer;
mod task;

use pallium_core::abi::Library;
use serde_json::{Value, json};

use crate::{Finding, Subject, Verdict, check_component, checks};

/// The finding of one check on a sample.
fn finding(id: &str, given: Value, check: &str) -> Finding {
    let library = Library::from_this_crate();
    let manifest = library.manifest().unwrap();
    let entry = manifest.components.iter().find(|c| c.id == id).unwrap();
    let given = given.as_object().cloned().unwrap();
    let subject = Subject::new(library, entry, given);
    let check = checks(entry.role().unwrap()).into_iter().find(|c| c.name == check).unwrap();
    subject.run(&check)
}

/// Asserts that every check passes, and that those not named in `skipped` apply.
fn conforms(id: &str, given: &Value, skipped: &[&str]) {
    for found in check_component(id, given) {
        let expected = if skipped.contains(&&*found.check) { Verdict::Skipped } else { Verdict::Passed };
        assert_eq!(
            found.verdict, expected,
            "{id} {given} {}: {} {:?}",
            found.check, found.detail, found.help
        );
    }
}

/// Asserts that a check fails with a message that contains `message`.
fn fails(id: &str, given: Value, check: &str, message: &str) {
    let found = finding(id, given.clone(), check);
    assert_eq!(found.verdict, Verdict::Failed, "{id} {given} {check}: {}", found.detail);
    assert!(found.detail.contains(message), "{id} {given} {check}: {}", found.detail);
}

/// [`fails`] of a sample with a fault.
fn faulty(id: &str, fault: &str, check: &str, message: &str) {
    fails(id, json!({ "fault": fault }), check, message);
}

#[test]
fn the_manifest_of_the_samples_is_valid() {
    let manifest = Library::from_this_crate().manifest().unwrap();
    let found = crate::check_manifest(&manifest);
    assert_eq!(found.verdict, Verdict::Passed, "{}", found.detail);
    let mut lacking = manifest;
    lacking.requires = vec!["time-travel".into()];
    let found = crate::check_manifest(&lacking);
    assert!(found.verdict == Verdict::Failed && found.detail.contains("time-travel"), "{}", found.detail);
}

#[test]
fn values_under_profiles_must_name_parameters() {
    let library = Library::from_this_crate();
    let mut manifest = library.manifest().unwrap();
    let entry = manifest.components.iter_mut().find(|c| c.id == "sample.constraint").unwrap();
    let verdict = |entry: &pallium_core::abi::ComponentEntry| {
        let subject = Subject::new(library, entry, Default::default());
        subject.run(checks(entry.role().unwrap()).iter().find(|c| c.name == "profiles").unwrap())
    };
    assert_eq!(verdict(entry).verdict, Verdict::Passed);
    for (parameter, value, message) in [
        ("strenght", json!(1.0), "not a parameter"),
        ("strength", json!("much"), "cannot be built"),
        ("strength", json!(-1.0), "cannot be built"),
    ] {
        entry.profiles[0].parameter = parameter.into();
        entry.profiles[0].value = value;
        let found = verdict(entry);
        assert!(found.verdict == Verdict::Failed && found.detail.contains(message), "{}", found.detail);
    }
    entry.profiles[0].value = json!(1.0);
    entry.profiles.push(entry.profiles[0].clone());
    assert!(verdict(entry).detail.contains("twice"));
    // A constraint may change the value.
    entry.profiles[1].constraint = Some("sample.constraint".into());
    assert_eq!(verdict(entry).verdict, Verdict::Passed, "{}", verdict(entry).detail);
    entry.profiles[1].value = json!(-1.0);
    assert!(verdict(entry).detail.contains("cannot be built"));
    entry.profiles[1].constraint = Some("non-negative".into());
    assert!(verdict(entry).detail.contains("not an id"));
}
