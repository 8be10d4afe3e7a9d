//! What differs between variants: the factors of a run's design, by content.
//!
//! A variant's name says nothing about it. The aspects of its specification that
//! differ are the factors, and their distinct values the levels. If all variants
//! are combinations of the study's weights, geometries and constraints, factors
//! and levels have the study's names: W, D and C.

use itertools::Itertools;
use pallium_record::analysis::{Analysis, AnalysisFactor};
use pallium_record::spec::{CellSpec, Geometry, Space, Use};
use pallium_stats::{Design, Factor};
use serde_json::{Map, Value, json};

use super::study;

/// The factors of a design, and what they are.
#[derive(Clone, Debug, PartialEq)]
pub struct ContentDesign {
    /// Factors and levels.
    pub design: Design,
    /// Whether they are the study's W, D and C.
    pub is_study: bool,
}

/// One aspect of a specification: its name, and its value; `None` where it does
/// not apply (a geometry, without space). Null where a variant does without it.
type Aspect = (&'static str, Option<Value>);

/// Number of aspects.
const ASPECTS: usize = 11;

/// Everything about a training but seeds, names and measures.
fn aspects(spec: &CellSpec) -> [Aspect; ASPECTS] {
    let json = |value: serde_json::Result<Value>| value.ok();
    let space = (spec.geometry.space != Space::None).then_some(&spec.geometry);
    [
        ("weights", json(serde_json::to_value(&spec.weights))),
        ("connections", json(serde_json::to_value(&spec.connections))),
        ("null", json(serde_json::to_value(&spec.null))),
        ("geometry", space.and_then(|g| json(serde_json::to_value(g)))),
        ("constraints", json(serde_json::to_value(&spec.constraints))),
        ("model", json(serde_json::to_value(&spec.model))),
        ("optimizer", json(serde_json::to_value(&spec.optimizer))),
        ("neurons", json(serde_json::to_value(&spec.substrate))),
        ("task", json(serde_json::to_value(&spec.task_component))),
        ("training", json(serde_json::to_value(&spec.training))),
        ("trials", json(serde_json::to_value(spec.data_seed))),
    ]
}

/// The aspects in which two specifications differ.
pub fn differences(a: &CellSpec, b: &CellSpec) -> Vec<&'static str> {
    aspects(a).into_iter().zip(aspects(b)).filter(|(a, b)| a.1 != b.1).map(|(a, _)| a.0).collect()
}

/// The design of variants with these specifications (`None` where no training is
/// finished). Levels are compared with those further up: with that of the
/// `reference`, then in the order of the variants.
pub fn by_content(specs: &[Option<&CellSpec>], reference: usize) -> ContentDesign {
    if let Some(design) = of_study(specs) {
        return ContentDesign { design, is_study: true };
    }
    let all: Vec<Option<[Aspect; ASPECTS]>> = specs.iter().map(|spec| spec.map(aspects)).collect();
    let order = || std::iter::once(reference).chain(0..specs.len());
    let mut design = Design { factors: Vec::new(), variants: vec![Vec::new(); specs.len()] };
    for place in 0..ASPECTS {
        let value = |variant: usize| all.get(variant)?.as_ref()?[place].1.as_ref();
        let levels: Vec<&Value> = order().filter_map(value).unique_by(|v| v.to_string()).collect();
        // A variant to which an aspect does not apply differs in it from all others.
        let lacking = all.iter().flatten().any(|aspects| aspects[place].1.is_none());
        if levels.len() + usize::from(lacking) < 2 {
            continue;
        }
        let Some(name) = all.iter().flatten().map(|a| a[place].0).next() else { continue };
        design.factors.push(Factor { name: name.into(), levels: labels(&levels) });
        for (variant, own) in design.variants.iter_mut().enumerate() {
            own.push(value(variant).and_then(|v| levels.iter().position(|l| *l == v)));
        }
    }
    ContentDesign { design, is_study: false }
}

/// The study's design, if every variant is another combination of its weights,
/// geometries and constraints, each of these is the same wherever it occurs, and
/// nothing else differs. Variants without a training have no levels.
fn of_study(all: &[Option<&CellSpec>]) -> Option<Design> {
    let specs: Vec<&CellSpec> = all.iter().flatten().copied().collect();
    let names: Vec<String> = specs.iter().map(|spec| study::name_of(spec)).collect::<Option<_>>()?;
    let alike = |of: &dyn Fn(&CellSpec) -> (String, Value)| {
        specs
            .iter()
            .map(|spec| of(spec))
            .unique_by(|pair| format!("{pair:?}"))
            .map(|pair| pair.0)
            .all_unique()
    };
    let same = alike(&|s| (s.weights.id.clone(), json!(s.weights)))
        && alike(&|s| (s.constraints.iter().map(|c| &c.id).sorted().join(" "), json!(s.constraints)))
        && alike(&|s| (space(&s.geometry), json!(s.geometry)))
        && alike(&|s| {
            (
                String::new(),
                json!([s.model, s.optimizer, s.substrate, s.task_component, s.training, s.data_seed]),
            )
        })
        && specs.iter().map(|s| study::is_positive(s)).all_equal();
    let every = || all.iter().map(|spec| spec.and_then(study::name_of).unwrap_or_default());
    (same && names.iter().all_unique()).then(|| Design::from_names(&every().collect::<Vec<_>>()))
}

/// The design that an experiment file states. Names are those of variants, or of
/// swept ones without their points (`bases`).
pub fn stated(factors: &[AnalysisFactor], names: &[String], bases: &[String], reference: usize) -> Design {
    let mut design = Design { factors: Vec::new(), variants: vec![Vec::new(); names.len()] };
    for factor in factors {
        let level = |variant: usize| {
            let has = |name: &String| factor.levels.iter().position(|(_, variants)| variants.contains(name));
            has(&names[variant]).or_else(|| has(&bases[variant]))
        };
        // The reference's level first.
        let first = level(reference).unwrap_or(0);
        let order: Vec<usize> =
            std::iter::once(first).chain((0..factor.levels.len()).filter(|l| *l != first)).collect();
        let levels = order.iter().map(|&l| factor.levels[l].0.clone()).collect();
        design.factors.push(Factor { name: factor.name.clone(), levels });
        for (variant, own) in design.variants.iter_mut().enumerate() {
            own.push(level(variant).and_then(|l| order.iter().position(|o| *o == l)));
        }
    }
    design
}

/// The index of the variant that others are compared with: the one that the
/// experiment file names, otherwise the first.
pub fn reference(analysis: &Analysis, names: &[String], bases: &[String]) -> usize {
    let named =
        |name: &String| names.iter().position(|n| n == name).or_else(|| bases.iter().position(|b| b == name));
    analysis.reference.as_ref().and_then(named).unwrap_or(0)
}

fn space(geometry: &Geometry) -> String {
    match geometry.space {
        Space::None => "none",
        Space::Soma => "soma",
        Space::Grid(_) => "grid",
    }
    .into()
}

/// Names of levels: of components their ids, with the parameters that differ
/// between levels of one id.
fn labels(levels: &[&Value]) -> Vec<String> {
    levels.iter().map(|level| label(level, levels)).collect()
}

fn label(level: &Value, levels: &[&Value]) -> String {
    if let Value::Array(parts) = level {
        // Constraints: each among the components of all levels.
        let all: Vec<&Value> = levels.iter().filter_map(|l| l.as_array()).flatten().collect();
        let text = parts.iter().map(|part| label(part, &all)).join(" + ");
        return if text.is_empty() { "none".into() } else { text };
    }
    if let Ok(component) = serde_json::from_value::<Use>(level.clone()) {
        let like =
            |l: &&Value| serde_json::from_value::<Use>((*l).clone()).ok().filter(|u| u.id == component.id);
        let others: Vec<Map<String, Value>> = levels.iter().filter_map(like).map(|u| u.params).collect();
        let own = parameters(&component.params, &others);
        return if own.is_empty() { component.id } else { format!("{} ({own})", component.id) };
    }
    match level {
        Value::Object(object) => {
            let others: Vec<Map<String, Value>> =
                levels.iter().filter_map(|l| l.as_object()).cloned().collect();
            parameters(object, &others)
        }
        other => plain(other),
    }
}

/// The entries of `own` that are not the same in all of `others`.
fn parameters(own: &Map<String, Value>, others: &[Map<String, Value>]) -> String {
    let differs =
        |key: &String| others.iter().map(|o| o.get(key)).unique_by(|v| format!("{v:?}")).count() > 1;
    // A parameter that only others set has its default here.
    let keys = others.iter().flat_map(|o| o.keys()).unique().filter(|key| differs(key));
    keys.map(|key| match own.get(key) {
        // The space explains itself.
        Some(value) if key == "space" => plain(value),
        Some(value) => format!("{key} = {}", plain(value)),
        None => format!("default {key}"),
    })
    .join(", ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".into(),
        // A grid's extents.
        Value::Object(object) if object.len() == 1 => object.keys().join(""),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(weights: Value, space: &str, constraints: Value) -> CellSpec {
        let space = if space == "grid" { json!({ "grid": null }) } else { json!(space) };
        serde_json::from_value(json!({
            "variant": "", "task": "t", "run": 0, "seed": 1, "data_seed": "shared",
            "substrate": {"use": "s"}, "weights": weights,
            "geometry": {"space": space, "coordinate_layout": "rows", "coordinate_scale": "micrometre",
                         "distance_scale": "none", "shuffled": false},
            "constraints": constraints, "task_component": {"use": "t"}, "model": {"use": "m"}, "metrics": [],
            "training": {"epochs": 1, "trials": 1, "validation": 1, "test": 1, "batch": 1},
        }))
        .unwrap()
    }

    fn design(specs: &[CellSpec]) -> ContentDesign {
        by_content(&specs.iter().map(Some).collect::<Vec<_>>(), 0)
    }

    fn one(id: &str) -> Value {
        json!({ "use": id })
    }

    #[test]
    fn the_studys_combinations_have_its_factors_whatever_their_names() {
        let (orthogonal, functional) = (one("init.orthogonal"), one("microns.functional"));
        let (l1, distance, c) = (
            json!([one("spatial.l1")]),
            json!([one("spatial.distance")]),
            json!([one("spatial.communicability")]),
        );
        let mut specs = vec![
            spec(orthogonal.clone(), "none", l1),
            spec(orthogonal.clone(), "grid", distance.clone()),
            spec(orthogonal.clone(), "soma", distance),
            spec(functional.clone(), "soma", c.clone()),
        ];
        let found = design(&specs);
        assert_eq!(
            found,
            ContentDesign { design: Design::from_names(&["W", "WD", "WD*", "W*D*C"]), is_study: true }
        );
        // The same weights with other parameters are another level.
        specs.push(spec(json!({"use": "microns.functional", "params": {"diagonal": "zero"}}), "soma", c));
        let found = design(&specs);
        assert!(!found.is_study);
        let factors: Vec<&str> = found.design.factors.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(factors, ["weights", "geometry", "constraints"]);
        assert_eq!(
            found.design.factors[0].levels,
            [
                "init.orthogonal",
                "microns.functional (default diagonal)",
                "microns.functional (diagonal = zero)"
            ]
        );
        assert_eq!(found.design.factors[1].levels, ["grid", "soma"]);
        assert_eq!(found.design.variants[0], [Some(0), None, Some(0)]);
        assert_eq!(found.design.matched(0, 1, 2), [(3, 4)]);
    }

    #[test]
    fn a_name_of_the_study_is_no_evidence() {
        let specs = [spec(one("microns.functional"), "none", json!([])), spec(one("x"), "none", json!([]))];
        let found = design(&specs);
        assert!(!found.is_study);
        assert_eq!(found.design.factors.len(), 1);
        // Without space there is nothing to be equal to.
        let near = design(&[spec(one("x"), "soma", json!([])), spec(one("x"), "none", json!([one("c")]))]);
        assert_eq!(near.design.matched(1, 0, 1), []);
        assert_eq!(differences(&specs[0], &specs[1]), ["weights"]);
    }

    #[test]
    fn null_models_are_compared_with_their_original() {
        let original = spec(one("a"), "none", json!([]));
        let mut specs = vec![original.clone(), original.clone(), original];
        for (spec, id) in specs[1..].iter_mut().zip(["null.density", "null.degrees"]) {
            spec.null = Some(Use::new(id));
        }
        let found = design(&specs).design;
        assert_eq!(found.factors.len(), 1);
        assert_eq!(found.factors[0].levels, ["none", "null.density", "null.degrees"]);
        assert_eq!([found.matched(0, 0, 1), found.matched(0, 0, 2)], [[(0, 1)], [(0, 2)]]);
    }

    #[test]
    fn an_optimizer_is_not_taken_for_something_else() {
        let one_way = spec(one("a"), "none", json!([]));
        let mut other = spec(one("b"), "none", json!([]));
        other.optimizer = CellSpec::clone(&one_way).substrate;
        assert_eq!(differences(&one_way, &other), ["weights", "optimizer"]);
        let found = design(&[one_way, other]).design;
        assert_eq!(
            found.factors.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(),
            ["weights", "optimizer"]
        );
        assert_eq!([found.matched(0, 0, 1), found.matched(1, 0, 1)], [vec![], vec![]]);
    }

    #[test]
    fn constraints_are_levels_as_a_list() {
        let dale = |share: f64| json!({ "use": "circuit.dale", "params": {"excitatory": share} });
        let levels = [json!([]), json!([dale(0.8), one("circuit.mask")]), json!([dale(0.5)])];
        let specs = levels.map(|constraints| spec(one("w"), "none", constraints));
        let found = design(&specs).design;
        assert_eq!(
            found.factors[0].levels,
            ["none", "circuit.dale (excitatory = 0.8) + circuit.mask", "circuit.dale (excitatory = 0.5)"]
        );
    }

    #[test]
    fn stated_factors_compare_with_the_reference() {
        let names: Vec<String> = ["a[x=1]", "a[x=2]", "b[x=1]", "c"].map(String::from).to_vec();
        let bases: Vec<String> = ["a", "a", "b", "c"].map(String::from).to_vec();
        let factor = AnalysisFactor {
            name: "mask".into(),
            levels: vec![("no".into(), vec!["a".into()]), ("yes".into(), vec!["b".into()])],
        };
        let analysis = Analysis { reference: Some("b".into()), ..Analysis::default() };
        assert_eq!(reference(&analysis, &names, &bases), 2);
        let found = stated(&[factor], &names, &bases, 2);
        assert_eq!(found.factors[0].levels, ["yes", "no"]);
        assert_eq!(found.variants, [vec![Some(1)], vec![Some(1)], vec![Some(0)], vec![None]]);
    }
}
