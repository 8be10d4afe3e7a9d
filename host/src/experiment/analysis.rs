//! Reads `[analysis]`: which comparisons the report makes.

use pallium_core::Result;
use pallium_record::analysis::{Analysis, AnalysisFactor};

use super::Variant;
use super::sweep::SweptNames;
use super::tree::{Node, Value, check_keys};

const KEYS: &[&str] = &["reference", "factors", "contrasts", "criterion", "equivalence"];

/// The names that `[analysis]` may use: those of variants, and of swept ones
/// without their points.
struct Names<'a> {
    variants: &'a [Variant],
    swept: &'a SweptNames,
}

/// The analysis in `node`; empty without one.
///
/// # Errors
/// If a key is unknown, a value is wrong, or a name is not a variant's.
pub(super) fn read(node: Option<&Node>, variants: &[Variant], swept: &SweptNames) -> Result<Analysis> {
    let Some(node) = node else { return Ok(Analysis::default()) };
    let names = Names { variants, swept };
    let table = node.table("`analysis`")?;
    check_keys(table, KEYS, "[analysis]")?;
    let reference =
        table.get("reference").map(|node| names.read(node, "`analysis.reference`")).transpose()?;
    let mut factors = Vec::new();
    if let Some(node) = table.get("factors") {
        let table = node.table("`analysis.factors`")?;
        let mut all: Vec<(&String, &Node)> = table.iter().collect();
        all.sort_by(|a, b| a.1.at.cmp(&b.1.at));
        for (name, node) in all {
            factors.push(factor(name, node, &names)?);
        }
    }
    let mut contrasts = Vec::new();
    for node in table.get("contrasts").map(Node::list).unwrap_or_default() {
        let (upper, lower) = contrast(node, &names)?;
        let same = |(a, b): &&(String, String)| (a == &upper && b == &lower) || (a == &lower && b == &upper);
        if let Some((a, b)) = contrasts.iter().find(same) {
            return Err(node
                .at
                .error(format!("duplicate contrast of `{a}` and `{b}`"))
                .help("remove one of them; the order of the two variants does not matter"));
        }
        contrasts.push((upper, lower));
    }
    let criterion = table.get("criterion").map(criterion).transpose()?;
    let equivalence = table.get("equivalence").map(equivalence).transpose()?;
    Ok(Analysis { reference, factors, contrasts, criterion, equivalence })
}

fn factor(name: &str, node: &Node, names: &Names<'_>) -> Result<AnalysisFactor> {
    let what = format!("factor `{name}`");
    let table = node.table(&what).map_err(|e| {
        e.help("write its levels and their variants: mask = { none = [\"free\"], cortical = [\"masked\"] }")
    })?;
    let mut levels: Vec<(&String, &Node)> = table.iter().collect();
    levels.sort_by(|a, b| a.1.at.cmp(&b.1.at));
    if levels.len() < 2 {
        return Err(node
            .at
            .error(format!("{what} has {} levels", levels.len()))
            .help("it needs two or more"));
    }
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for (level, node) in levels {
        let mut variants = Vec::new();
        for node in node.list() {
            let variant = names.read(node, &format!("a variant of level `{level}`"))?;
            if found.iter().any(|(_, known)| known.contains(&variant)) || variants.contains(&variant) {
                return Err(node
                    .at
                    .error(format!("{what} names variant `{variant}` twice"))
                    .help("a variant has one level of each factor"));
            }
            variants.push(variant);
        }
        if variants.is_empty() {
            return Err(node
                .at
                .error(format!("level `{level}` of {what} has no variants"))
                .help("list its variants, or remove the level"));
        }
        found.push((level.clone(), variants));
    }
    Ok(AnalysisFactor { name: name.into(), levels: found })
}

fn criterion(node: &Node) -> Result<f64> {
    let value = node.number("`analysis.criterion`")?;
    if !(value > 0.0 && value <= 1.0) {
        return Err(node
            .at
            .error(format!("`analysis.criterion` is {value}"))
            .help("set it to the accuracy that counts as learned, above 0 and at most 1"));
    }
    Ok(value)
}

fn equivalence(node: &Node) -> Result<f64> {
    let value = node.number("`analysis.equivalence`")?;
    if !(value > 0.0 && value < 1.0) {
        return Err(node
            .at
            .error(format!("`analysis.equivalence` is {value}"))
            .help("set it to the largest difference in accuracy that does not matter, above 0 and below 1"));
    }
    Ok(value)
}

fn contrast(node: &Node, names: &Names<'_>) -> Result<(String, String)> {
    let pair = match &node.value {
        Value::List(pair) => pair.as_slice(),
        _ => &[],
    };
    let [upper, lower] = pair else {
        return Err(node
            .wrong("a contrast", "a list of two variants")
            .help("write contrasts = [[\"A\", \"B\"], …]: A compared with B"));
    };
    let what = "a variant of a contrast";
    let (upper, lower) = (names.read(upper, what)?, names.read(lower, what)?);
    if upper == lower {
        return Err(node
            .at
            .error(format!("a contrast compares `{upper}` with itself"))
            .help("name two different variants"));
    }
    Ok((upper, lower))
}

impl Names<'_> {
    fn read(&self, node: &Node, what: &str) -> Result<String> {
        let name = node.text(what)?;
        let known = |name: &str| {
            self.variants.iter().any(|v| v.name == name) || self.swept.values().any(|s| s.base == name)
        };
        // A point of a sweep of the complete experiment, whose names come later.
        let base = name.strip_suffix(']').and_then(|rest| rest.split_once('[')).map(|parts| parts.0);
        if known(&name) || base.is_some_and(known) {
            return Ok(name);
        }
        let all: Vec<&str> = self.variants.iter().map(|v| v.name.as_str()).collect();
        Err(node
            .at
            .error(format!("{what} is `{name}`, which is not a variant"))
            .help(format!("variants: {}", super::names(&all))))
    }
}
