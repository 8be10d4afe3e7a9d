//! Sweeps: `{ sweep = [0.1, 0.3, 1.0] }` in place of a value makes it an axis,
//! and the experiment has one variant for each of its points.
//!
//! An axis inside a `[[variant]]` multiplies that variant, one inside an entry
//! of `tasks` that task, and any other the complete experiment, except that a
//! variant which it does not affect is not repeated. The first two kinds are
//! expanded here, before the tree is read; the last gives one tree per point.

use std::collections::{BTreeMap, BTreeSet};

use pallium_core::Result;
use serde_json::Number;

use super::Experiment;
use super::tree::{Node, Table, Value, check_keys, is_sweep};

/// Maximum number of points, above which a sweep is a mistake.
const MOST: usize = 10_000;
/// Keys that cannot be swept, since they do not describe trainings.
const FIXED: &[&str] = &["name", "about", "runs", "plugin_path", "limits", "analysis"];

/// The remedy where two axes have one name.
pub(super) const OWN_NAME: &str = "give one of them a name of its own: { sweep = …, name = \"…\" }";

/// A point on an axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coordinate {
    /// Name of the axis.
    pub axis: String,
    /// The label of the value in results.
    pub value: String,
}

/// A name and the points that it represents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Swept {
    pub base: String,
    pub at: Vec<Coordinate>,
}

impl Swept {
    /// A name without points.
    pub(super) fn plain(name: &str) -> Self {
        Swept { base: name.into(), at: Vec::new() }
    }

    /// `W*D*C[strength=0.1,neurons=100]`.
    pub(super) fn name(&self) -> String {
        if self.at.is_empty() {
            return self.base.clone();
        }
        let at: Vec<_> = self.at.iter().map(|c| format!("{}={}", c.axis, c.value)).collect();
        format!("{}[{}]", self.base, at.join(","))
    }
}

/// The names created by axes of single variants or tasks, with their points.
pub(super) type SweptNames = BTreeMap<String, Swept>;

/// The axes of the complete experiment.
#[derive(Clone, Debug, Default)]
pub(super) struct Sweep {
    /// SweptNames of the axes, and labels of their values.
    pub axes: Vec<(String, Vec<String>)>,
    /// For each point the position on each axis, and the experiment there.
    /// Empty without axes.
    pub points: Vec<(Vec<usize>, Experiment)>,
}

enum Step {
    Key(String),
    Item(usize),
}

/// Values that vary together.
struct Axis {
    name: String,
    /// The paths that the values replace.
    sites: Vec<Vec<Step>>,
    /// For each point its label, and a value for each path.
    points: Vec<(String, Vec<Node>)>,
}

impl Axis {
    fn coordinate(&self, point: usize) -> Coordinate {
        let value = self.points.get(point).map(|(label, _)| label.clone()).unwrap_or_default();
        Coordinate { axis: self.name.clone(), value }
    }
}

/// Expands the axes of single variants and tasks. Returns the names of variants
/// and of tasks that they create.
pub(super) fn write_out(tree: &mut Node) -> Result<(SweptNames, SweptNames)> {
    let mut names = (SweptNames::new(), SweptNames::new());
    let Value::Table(top) = &mut tree.value else { return Ok(names) };
    for (key, node) in top.iter() {
        let listed =
            matches!(key.as_str(), "variant" | "tasks" | "metrics" | "training" | "switches" | "defaults");
        if is_sweep(node) && (listed || FIXED.contains(&key.as_str())) {
            return Err(node.at.error(format!("`{key}` cannot be swept")).help(match key.as_str() {
                "variant" | "tasks" => "list several of them instead: all are compared with each other",
                "metrics" | "training" | "switches" | "defaults" => "sweep one of its keys",
                _ => "it applies to the complete experiment: write a single value",
            }));
        }
        if FIXED.contains(&key.as_str()) && has_sweep(node) {
            return Err(node
                .at
                .error(format!("nothing in `{key}` can be swept"))
                .help("it applies to the complete experiment: write a single value"));
        }
    }
    write_out_list(top, "variant", "name", &mut names.0)?;
    write_out_list(top, "tasks", "use", &mut names.1)?;
    Ok(names)
}

fn write_out_list(top: &mut Table, key: &str, fallback: &str, names: &mut SweptNames) -> Result<()> {
    let Some(list) = top.get_mut(key) else { return Ok(()) };
    if !has_sweep(list) {
        return Ok(());
    }
    let mut out = Vec::new();
    for entry in list.list() {
        if is_sweep(entry) {
            return Err(entry
                .at
                .error(format!("an entry of `{key}` cannot be swept"))
                .help("sweep a key in it"));
        }
        let axes = axes(entry)?;
        if let Value::Table(table) = &entry.value
            && let Some(name) = table.get("name").filter(|name| has_sweep(name))
        {
            return Err(name.at.error("a name cannot be swept").help("points are named after what is swept"));
        }
        if axes.is_empty() {
            out.push(entry.clone());
            continue;
        }
        for point in points(&axes, entry)? {
            let mut one = entry.clone();
            let at = put(&mut one, &axes, &point);
            let Value::Table(table) = &mut one.value else { continue };
            // An entry without a name is refused later, with its place.
            let Some(named) = table.get("name").or_else(|| table.get(fallback)) else { break };
            let swept = Swept { base: named.text("`name`")?, at };
            let name = Node { value: Value::Leaf(swept.name().into()), raw: None, at: named.at.clone() };
            table.insert("name".into(), name);
            names.insert(swept.name(), swept);
            out.push(one);
        }
        if out.is_empty() {
            out.push(entry.clone());
        }
    }
    list.value = Value::List(out);
    Ok(())
}

/// The trees of all points of the axes that concern the complete experiment;
/// empty if there are none. Axes of variants and tasks are expanded already.
#[expect(clippy::type_complexity, reason = "the two halves of a Sweep before its trees are read")]
pub(super) fn spread(tree: &Node) -> Result<(Vec<(String, Vec<String>)>, Vec<(Vec<usize>, Node)>)> {
    let axes = axes(tree)?;
    if axes.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let points = points(&axes, tree)?
        .into_iter()
        .map(|point| {
            let mut one = tree.clone();
            put(&mut one, &axes, &point);
            (point, one)
        })
        .collect();
    let named = axes
        .into_iter()
        .map(|axis| (axis.name, axis.points.into_iter().map(|(label, _)| label).collect()))
        .collect();
    Ok((named, points))
}

fn has_sweep(node: &Node) -> bool {
    is_sweep(node)
        || match &node.value {
            Value::Leaf(_) => false,
            Value::List(list) => list.iter().any(has_sweep),
            Value::Table(table) => table.values().any(has_sweep),
        }
}

/// A sweep in a tree.
struct Found<'a> {
    path: Vec<Step>,
    node: &'a Node,
    /// The last key of its path, as a short name.
    key: String,
    /// The component or table of the key, for a longer name.
    of: String,
}

fn find<'a>(node: &'a Node, path: &mut Vec<(Step, Option<String>)>, out: &mut Vec<Found<'a>>) {
    if is_sweep(node) {
        let keys: Vec<_> = path
            .iter()
            .enumerate()
            .filter_map(|(i, (step, _))| match step {
                Step::Key(key) => Some((i, key)),
                Step::Item(_) => None,
            })
            .collect();
        let last = keys.last();
        let key = last.map(|(_, key)| (*key).clone()).unwrap_or_default();
        let named = last.and_then(|(i, _)| path[..=*i].iter().rev().find_map(|(_, used)| used.clone()));
        let above = keys.len().checked_sub(2).and_then(|i| keys.get(i)).map(|(_, key)| (*key).clone());
        let path = path
            .iter()
            .map(|(step, _)| match step {
                Step::Key(key) => Step::Key(key.clone()),
                Step::Item(item) => Step::Item(*item),
            })
            .collect();
        out.push(Found { path, node, key, of: named.or(above).unwrap_or_default() });
        return;
    }
    match &node.value {
        Value::Leaf(_) => {}
        Value::List(list) => {
            for (at, item) in list.iter().enumerate() {
                path.push((Step::Item(at), None));
                find(item, path, out);
                path.pop();
            }
        }
        Value::Table(table) => {
            let used = table.get("use").filter(|id| !has_sweep(id)).and_then(|id| id.text("").ok());
            for (key, item) in table {
                path.push((Step::Key(key.clone()), used.clone()));
                find(item, path, out);
                path.pop();
            }
        }
    }
}

/// The axes in `node`, in the order of the file.
fn axes(node: &Node) -> Result<Vec<Axis>> {
    let mut found = Vec::new();
    find(node, &mut Vec::new(), &mut found);
    found.sort_by(|a, b| a.node.at.cmp(&b.node.at));
    let mut axes: Vec<Axis> = Vec::new();
    let alike = |key: &str| found.iter().filter(|f| f.key == key).count();
    for one in &found {
        let table = one.node.table("a sweep")?;
        check_keys(table, &["sweep", "name", "labels"], "a sweep")?;
        let values = values(one.node, table)?;
        let given = table.get("name").map(|name| name.text("an axis's name")).transpose()?;
        let linked = given.as_ref().and_then(|name| axes.iter_mut().find(|axis| axis.name == *name));
        if let Some(axis) = linked {
            if axis.points.len() != values.len() {
                return Err(one
                    .node
                    .at
                    .error(format!(
                        "the axis `{}` has {} values here and {} elsewhere",
                        axis.name,
                        values.len(),
                        axis.points.len()
                    ))
                    .help("sweeps with one name vary together, so they must have the same length"));
            }
            for ((_, nodes), (_, value)) in axis.points.iter_mut().zip(values) {
                nodes.push(value);
            }
            axis.sites.push(clone(&one.path));
            continue;
        }
        let name = match given {
            Some(name) => name,
            None if alike(&one.key) > 1 && !one.of.is_empty() => format!("{}.{}", one.of, one.key),
            None => one.key.clone(),
        };
        if name.is_empty() || name.contains(['/', '=', ',', '[', ']']) || name.chars().any(char::is_control) {
            return Err(one
                .node
                .at
                .error(format!("an axis cannot be called `{name}`"))
                .help("a name must not contain `/`, `=`, `,` or brackets"));
        }
        if axes.iter().any(|axis| axis.name == name) {
            let error = one.node.at.error(format!("duplicate axis `{name}`"));
            return Err(error.help(OWN_NAME));
        }
        let points = values.into_iter().map(|(label, value)| (label, vec![value])).collect();
        axes.push(Axis { name, sites: vec![clone(&one.path)], points });
    }
    Ok(axes)
}

fn clone(path: &[Step]) -> Vec<Step> {
    path.iter()
        .map(|step| match step {
            Step::Key(key) => Step::Key(key.clone()),
            Step::Item(at) => Step::Item(*at),
        })
        .collect()
}

/// The values of one sweep, each with its label.
fn values(node: &Node, table: &Table) -> Result<Vec<(String, Node)>> {
    let Some(sweep) = table.get("sweep") else { return Ok(Vec::new()) };
    let values = match &sweep.value {
        Value::List(list) => list.clone(),
        Value::Table(range) => self::range(sweep, range)?,
        Value::Leaf(_) => return Err(sweep.wrong("`sweep`", "a list, or { from = …, to = …, steps = … }")),
    };
    if values.is_empty() {
        return Err(sweep.at.error("`sweep` is empty").help("give it at least one value"));
    }
    if let Some(nested) = values.iter().find(|value| has_sweep(value)) {
        return Err(nested
            .at
            .error("a value that is swept is itself a sweep")
            .help("list all values in one sweep"));
    }
    let labels: Vec<String> = match table.get("labels") {
        Some(node) => {
            let labels: Vec<_> =
                node.list().into_iter().map(|label| label.text("a label")).collect::<Result<_>>()?;
            if labels.len() != values.len() {
                return Err(node
                    .at
                    .error(format!("{} labels for {} values", labels.len(), values.len()))
                    .help("write one label for each value"));
            }
            labels
        }
        None => values.iter().enumerate().map(|(at, value)| label(value, at)).collect(),
    };
    let mut seen = BTreeSet::new();
    for label in &labels {
        let clash = !seen.insert(label);
        if clash || label.is_empty() || label.contains('/') || label.chars().any(char::is_control) {
            let what = if clash { "is the name of two values" } else { "cannot name a value" };
            return Err(node
                .at
                .error(format!("`{label}` {what} of a sweep"))
                .help("add labels for the results: { sweep = […], labels = [\"…\", …] }"));
        }
    }
    Ok(labels.into_iter().zip(values).collect())
}

/// The default label of a value in results.
fn label(value: &Node, at: usize) -> String {
    let text = match &value.value {
        Value::Leaf(serde_json::Value::String(text)) => Some(text.clone()),
        Value::Leaf(leaf) => Some(leaf.to_string()),
        // A component is labelled by its id.
        Value::Table(table) => table.get("use").and_then(|id| id.text("").ok()),
        Value::List(_) => None,
    };
    match text {
        // A path is labelled by its last part.
        Some(text) => text.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_string(),
        None => (at + 1).to_string(),
    }
}

fn range(node: &Node, range: &Table) -> Result<Vec<Node>> {
    check_keys(range, &["from", "to", "steps", "scale", "whole"], "a range")?;
    let need = |key: &str| {
        range.get(key).ok_or_else(|| {
            node.at
                .error(format!("a range has no `{key}`"))
                .help("write { from = 0.1, to = 10, steps = 5 }, and scale = \"log\" for equal ratios")
        })
    };
    let number = |key: &str| match &need(key)?.value {
        Value::Leaf(leaf) if leaf.is_number() => Ok(leaf.as_f64().unwrap_or_default()),
        _ => Err(need(key)?.wrong(&format!("`{key}`"), "a number")),
    };
    let (from, to) = (number("from")?, number("to")?);
    let steps = need("steps")?.integer("`steps`", 2, MOST as u64)?;
    let log = match range.get("scale").map(|scale| (scale, scale.text("`scale`"))) {
        None => false,
        Some((scale, text)) => match text?.as_str() {
            "linear" => false,
            "log" => true,
            _ => return Err(scale.wrong("`scale`", "\"linear\" or \"log\"")),
        },
    };
    if log && (from <= 0.0 || to <= 0.0) {
        return Err(node
            .at
            .error(format!("a logarithmic range from {from} to {to}"))
            .help("both ends must be above 0"));
    }
    let whole = range.get("whole").map(|node| node.boolean("`whole`")).transpose()?.unwrap_or(false);
    let ends_whole = from.fract() == 0.0 && to.fract() == 0.0;
    (0..steps)
        .map(|step| {
            let part = step as f64 / (steps - 1) as f64;
            let exact = match step {
                0 => from,
                _ if step == steps - 1 => to,
                _ if log => from * (to / from).powf(part),
                _ => from + (to - from) * part,
            };
            // Twelve digits, so that 0.3 is not 0.30000000000000004.
            let tidy: f64 = format!("{exact:.11e}").parse().unwrap_or(exact);
            let tidy = if whole { tidy.round() } else { tidy };
            let number = match tidy.fract() == 0.0 && (whole || ends_whole) {
                true => Some(Number::from(tidy as i64)),
                false => Number::from_f64(tidy),
            };
            let number = number.ok_or_else(|| node.at.error(format!("{tidy} is not a finite number")))?;
            Ok(Node { at: node.at.clone(), value: Value::Leaf(serde_json::Value::Number(number)), raw: None })
        })
        .collect()
}

/// All combinations; the last axis varies fastest.
fn points(axes: &[Axis], node: &Node) -> Result<Vec<Vec<usize>>> {
    let count = axes.iter().try_fold(1usize, |all, axis| all.checked_mul(axis.points.len()));
    if count.is_none_or(|count| count > MOST) {
        return Err(node
            .at
            .error(format!("the sweep has more than {MOST} points"))
            .help("use fewer values, or give axes one `name`, so that they vary together"));
    }
    let mut points = vec![Vec::new()];
    for axis in axes {
        points = points
            .into_iter()
            .flat_map(|point: Vec<usize>| {
                (0..axis.points.len()).map(move |at| point.iter().copied().chain([at]).collect())
            })
            .collect();
    }
    Ok(points)
}

/// Inserts the values of a point.
fn put(tree: &mut Node, axes: &[Axis], point: &[usize]) -> Vec<Coordinate> {
    let mut at = Vec::new();
    for (axis, &place) in axes.iter().zip(point) {
        at.push(axis.coordinate(place));
        let Some((_, values)) = axis.points.get(place) else { continue };
        for (site, value) in axis.sites.iter().zip(values) {
            if let Some(node) = reach(tree, site) {
                *node = value.clone();
            }
        }
    }
    at
}

fn reach<'a>(tree: &'a mut Node, path: &[Step]) -> Option<&'a mut Node> {
    let mut node = tree;
    for step in path {
        node = match (step, &mut node.value) {
            (Step::Key(key), Value::Table(table)) => table.get_mut(key)?,
            (Step::Item(at), Value::List(list)) => list.get_mut(*at)?,
            _ => return None,
        };
    }
    Some(node)
}
