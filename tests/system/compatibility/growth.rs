//! The edits that turn a copy of the core into a newer core, which has grown in every
//! way in which the contract may grow, and into one that changed where it must not.

use std::collections::BTreeMap;

/// Where a line is inserted into a source file, found by the beginning of a line, so
/// that only renamed items need a change here; or a replaced piece of a line.
enum Edit {
    /// After the line with this beginning.
    After(&'static str, &'static str),
    /// Before the end of the item whose first line has this beginning.
    AtEndOf(&'static str, &'static str),
    /// In the place of a text that occurs once.
    Instead(&'static str, &'static str),
    /// At the end of the file.
    Last(&'static str),
}

use Edit::{After, AtEndOf, Instead, Last};

/// The sources of a core by path below `core/src`.
pub type Sources = BTreeMap<String, String>;

/// The roles: plain trait, wire trait, and the file of the plain trait.
const ROLES: [(&str, &str, &str); 7] = [
    ("SubstrateSource", "WireSubstrateSource", "role/source.rs"),
    ("WeightSource", "WireWeightSource", "role/source.rs"),
    ("Constraint", "WireConstraint", "role/constraint.rs"),
    ("Task", "WireTask", "role/task.rs"),
    ("Model", "WireModel", "role/model.rs"),
    ("Optimizer", "WireOptimizer", "role/optimizer.rs"),
    ("Metric", "WireMetric", "role/metric.rs"),
];

/// The structs that cross as JSON.
const HEADERS: [(&str, &str); 15] = [
    ("SettingHeader", "abi/convert/setting.rs"),
    ("SubstrateHeader", "abi/convert/substrate.rs"),
    ("ConstraintWants", "abi/headers.rs"),
    ("MetricWants", "abi/headers.rs"),
    ("PointHeader", "abi/headers.rs"),
    ("MomentHeader", "abi/headers.rs"),
    ("MeasuresHeader", "abi/headers.rs"),
    ("Manifest", "abi/manifest.rs"),
    ("ComponentEntry", "abi/manifest.rs"),
    ("ProfileEntry", "abi/manifest.rs"),
    ("Description", "component.rs"),
    ("TaskInfo", "role/task.rs"),
    ("ModelInfo", "role/model.rs"),
    ("ParameterInfo", "role/model.rs"),
    ("Population", "role/model.rs"),
];

/// Values that a newer core may add to an enumeration, and a new kind of targets.
const VALUES: &[(&str, Edit)] = &[
    ("error.rs", After("pub enum Kind {", "/// New.\nWeather,")),
    ("data/measure.rs", After("pub enum Direction {", "/// New.\nSideways,")),
    ("role/model.rs", After("pub enum Kind {", "/// New.\nGate,")),
    ("abi/manifest.rs", Instead("CAPABILITIES: &[&str] = &[]", "CAPABILITIES: &[&str] = &[\"ranks\"]")),
    ("data/batch.rs", AtEndOf("pub enum Targets {", "/// New.\nRanks(Array2<u32>),")),
    ("data/batch.rs", AtEndOf("pub enum TargetsView<'a> {", "/// New.\nRanks(ArrayView2<'a, u32>),")),
    (
        "data/batch.rs",
        After(
            "Targets::Classes(classes) => TargetsView::",
            "Targets::Ranks(r) => TargetsView::Ranks(r.view()),",
        ),
    ),
    (
        "data/batch.rs",
        After("TargetsView::Classes(classes) => classes.dim()", "TargetsView::Ranks(r) => r.dim(),"),
    ),
    (
        "data/batch.rs",
        After(
            "TargetsView::Classes(classes) => TargetsView::Classes(classes.slice_move",
            "TargetsView::Ranks(r) => TargetsView::Ranks(r.slice_move(s![range, ..])),",
        ),
    ),
    (
        "data/batch.rs",
        Instead("TargetsView::Values(_) => {", "TargetsView::Values(_) | TargetsView::Ranks(_) => {"),
    ),
    (
        "data/batch.rs",
        Instead("TargetsView::Classes(_) => {", "TargetsView::Classes(_) | TargetsView::Ranks(_) => {"),
    ),
    (
        "data/batch.rs",
        Instead("Targets::Values(_) => panic!", "Targets::Values(_) | Targets::Ranks(_) => panic!"),
    ),
    (
        "data/batch.rs",
        Instead("Targets::Classes(_) => panic!", "Targets::Classes(_) | Targets::Ranks(_) => panic!"),
    ),
    ("data/batch.rs", After("(Targets::Classes(_), true) => {}", "(Targets::Ranks(_), _) => {}")),
    (
        "data/batch.rs",
        Instead(" Targets::Classes(_) => {}", " Targets::Classes(_) | Targets::Ranks(_) => {}"),
    ),
    (
        "abi/convert/batch.rs",
        After(
            "TargetsView::Classes(classes) => Part::new",
            "TargetsView::Ranks(r) => Part::new(\"ranks\", r),",
        ),
    ),
    (
        "abi/convert/batch.rs",
        After(
            "fn targets<'a>(",
            "if let Some(r) = received.array_if::<u32, Ix2>(\"ranks\")? { return Ok(TargetsView::Ranks(r)); }",
        ),
    ),
    (
        "abi/convert/batch.rs",
        After(
            "TargetsView::Classes(classes) => Targets::Classes",
            "TargetsView::Ranks(r) => Targets::Ranks(r.to_owned()),",
        ),
    ),
];

/// A new array in settings and a new last function of the module.
const PARTS: &[(&str, Edit)] = &[
    (
        "abi/convert/setting.rs",
        After("parts.extend(extra);", "parts.push(Part::owned(\"orientation\", vec![1.0_f32, 0.0, 0.0]));"),
    ),
    (
        "abi/wire.rs",
        AtEndOf(
            "pub struct PluginModule {",
            "/// New.\n#[sabi(missing_field(option))]\npub greeting: extern \"C\" fn() -> RString,",
        ),
    ),
    ("abi/guard.rs", After("PluginModule {", "greeting,")),
    ("abi/guard.rs", Last("extern \"C\" fn greeting() -> RString { RString::from(\"hello\") }")),
    (
        "abi/loaded.rs",
        AtEndOf(
            "impl Library {",
            "/// New.\npub fn greeting(&self) -> Option<String> { self.module.greeting().map(|greet| greet().into_string()) }",
        ),
    ),
];

/// A new method of what the host lends to metrics.
const DYNAMICS: &[(&str, Edit)] = &[
    (
        "abi/wire.rs",
        AtEndOf("pub trait WireDynamics:", "fn tempo(&self) -> WireResult<f64> { RResult::ROk(-1.0) }"),
    ),
    (
        "abi/loaded.rs",
        AtEndOf(
            "impl WireDynamics for LentDynamics",
            "fn tempo(&self) -> WireResult<f64> { to_wire(Ok(self.0.tempo())) }",
        ),
    ),
    (
        "abi/guard.rs",
        AtEndOf(
            "impl Dynamics for LentDynamics",
            "fn tempo(&self) -> f64 { from_wire(self.0.tempo()).unwrap_or(f64::NAN) }",
        ),
    ),
    ("role/metric.rs", AtEndOf("pub trait Dynamics:", "/// New.\nfn tempo(&self) -> f64 { 0.5 }")),
];

/// A new role.
const ROLE: &[(&str, Edit)] = &[
    (
        "role/mod.rs",
        Last(
            "/// New.\npub trait Analysis: Send + Sync {\n/// New.\nfn analyse(&mut self) -> crate::Result<f64>;\n}",
        ),
    ),
    ("lib.rs", After("pub use role::{", "Analysis,")),
    ("component.rs", Last("use crate::Analysis;")),
    ("component.rs", AtEndOf("pub enum Role {", "/// New.\nAnalysis,")),
    ("component.rs", Instead("[Role; 7]", "[Role; 8]")),
    ("component.rs", After("Role::Optimizer,", "Role::Analysis,")),
    ("component.rs", After("Role::Metric => \"metric\"", "Role::Analysis => \"analysis\",")),
    ("component.rs", AtEndOf("pub enum Builder {", "/// New.\nAnalysis(Build<dyn Analysis>),")),
    ("component.rs", After("registration!(metric,", "registration!(analysis, Analysis, Analysis);")),
    (
        "component.rs",
        After(
            "(Metric, $component:ty)",
            "(Analysis, $component:ty) => { $crate::register!(@ analysis, $component); };",
        ),
    ),
    (
        "abi/wire.rs",
        AtEndOf(
            "pub struct PluginModule {",
            "/// New.\n#[sabi(missing_field(option))]\npub analysis: extern \"C\" fn(RStr<'_>, RStr<'_>, WireLoan<'_>) -> RResult<AnalysisBox, WireError>,",
        ),
    ),
    (
        "abi/wire.rs",
        Last(
            "#[sabi_trait]\npub trait WireAnalysis: Send + Sync {\nfn analyse(&mut self) -> WireResult<f64>;\n\
             #[sabi(last_prefix_field)]\nfn close(&mut self) -> WireResult<()>;\n}\n\
             /// New.\npub type AnalysisBox = WireAnalysis_TO<'static, RBox<()>>;",
        ),
    ),
    ("abi/guard.rs", After("PluginModule {", "analysis,")),
    (
        "abi/guard.rs",
        Last(
            "use crate::Analysis;\nbuilder!(analysis, Analysis, Analysis, AnalysisBox, WireAnalysis_TO);\n\
             impl WireAnalysis for Guard<dyn Analysis> {\n\
             fn analyse(&mut self) -> WireResult<f64> { self.call(\"analyse\", |a| a.analyse()) }\n\
             fn close(&mut self) -> WireResult<()> { Guard::close(self) }\n}",
        ),
    ),
    (
        "abi/loaded.rs",
        AtEndOf(
            "impl Library {",
            "/// New.\npub fn analysis(&self, id: &str, params: &str, setting: &Setting<'_>) -> Result<Box<dyn crate::Analysis>> {\n\
             let build = self.module.analysis().ok_or_else(|| Error::unsupported(\"a plugin without analyses\"))?;\n\
             let object = lend_setting(setting, [], |loan| build(RStr::from_str(id), RStr::from_str(params), loan))?;\n\
             Ok(Box::new(Loaded { id: id.to_owned(), object: from_wire(object)?, info: () }))\n}",
        ),
    ),
    (
        "abi/loaded.rs",
        Last(
            "close!(AnalysisBox);\nimpl crate::Analysis for Loaded<AnalysisBox> {\n\
             fn analyse(&mut self) -> Result<f64> { from_wire(self.object.analyse()) }\n}",
        ),
    ),
];

/// A method in the middle has another parameter, which the contract does not allow.
const CHANGE: &[(&str, Edit)] = &[
    (
        "abi/wire.rs",
        Instead(
            "fn project(&mut self, weights: WireTensorMut<'_>, at: WireLoan<'_>)",
            "fn project(&mut self, weights: WireTensorMut<'_>, at: WireLoan<'_>, strength: f64)",
        ),
    ),
    (
        "abi/guard.rs",
        Instead(
            "fn project(&mut self, weights: WireTensorMut<'_>, at: WireLoan<'_>)",
            "fn project(&mut self, weights: WireTensorMut<'_>, at: WireLoan<'_>, _strength: f64)",
        ),
    ),
    ("abi/loaded.rs", Instead("self.object.project(weights, at)", "self.object.project(weights, at, 1.0)")),
];

/// Lets a core grow at every place where the contract allows it.
pub fn grow(sources: &mut Sources) {
    for edits in [VALUES, PARTS, DYNAMICS, ROLE] {
        edit(sources, edits);
    }
    for (plain, wire, file) in ROLES {
        add_method(sources, plain, wire, file);
    }
    for (header, file) in HEADERS {
        add_key(sources, header, file);
    }
    // Headers that have no keys yet.
    for file in ["abi/loaded.rs", "abi/convert/batch.rs"] {
        replace_all(sources, file, "lend(\"{}\",", "lend(\"{\\\"weather\\\":\\\"fair\\\"}\",");
        replace_all(
            sources,
            file,
            "RString::from(\"{}\")",
            "RString::from(\"{\\\"weather\\\":\\\"fair\\\"}\")",
        );
    }
}

/// Lets a core grow by a single method.
pub fn grow_little(sources: &mut Sources) {
    let (plain, wire, file) = ROLES[4];
    add_method(sources, plain, wire, file);
}

/// Changes a core as the contract does not allow.
pub fn change(sources: &mut Sources) {
    edit(sources, CHANGE);
}

fn edit(sources: &mut Sources, edits: &[(&str, Edit)]) {
    for (file, edit) in edits {
        let source = source(sources, file);
        *source = edited(source, edit);
    }
}

#[track_caller]
fn source<'a>(sources: &'a mut Sources, file: &str) -> &'a mut String {
    sources.get_mut(file).unwrap_or_else(|| panic!("the core has no {file}"))
}

fn replace_all(sources: &mut Sources, file: &str, from: &str, to: &str) {
    let source = source(sources, file);
    *source = source.replace(from, to);
}

/// A method at the end of a role's trait, with a default on both sides.
fn add_method(sources: &mut Sources, plain: &str, wire: &str, file: &str) {
    for (file, item, method) in [
        (
            "abi/wire.rs",
            format!("pub trait {wire}:"),
            "fn motto(&self) -> WireResult<RString> { RResult::ROk(RString::from(\"none yet\")) }",
        ),
        (
            "abi/guard.rs",
            format!("impl {wire} for Guard"),
            "fn motto(&self) -> WireResult<RString> { self.look(\"motto\", |c| Ok(RString::from(c.motto()))) }",
        ),
        (
            "abi/loaded.rs",
            format!("impl {plain} for Loaded<"),
            "fn motto(&self) -> String { from_wire(self.object.motto()).map_or_else(|e| e.to_string(), |m| m.into_string()) }",
        ),
        (file, format!("pub trait {plain}:"), "/// New.\nfn motto(&self) -> String { \"has none\".into() }"),
    ] {
        let source = source(sources, file);
        *source = with_line(source, end_of(source, &item), method);
    }
}

/// A key with a default at the end of a struct that crosses as JSON, set wherever the
/// struct is made.
fn add_key(sources: &mut Sources, header: &str, file: &str) {
    let source = source(sources, file);
    let item = ["pub struct", "pub(super) struct", "struct"]
        .map(|words| format!("{words} {header}"))
        .into_iter()
        .find(|item| source.lines().any(|line| line.trim_start().starts_with(item)))
        .unwrap_or_else(|| panic!("{file} has no struct {header}"));
    let end = end_of(source, &item);
    *source = with_line(source, end, "/// New.\n#[serde(default)]\npub weather: Option<String>,");
    let made = format!("{header} {{");
    for source in sources.values_mut() {
        let lines = source.lines().map(|line| {
            let is_item = ["pub", "struct", "impl", "fn"].iter().any(|w| line.trim_start().starts_with(w));
            match line.find(&made).filter(|&at| !is_item && !line[..at].ends_with(char::is_alphanumeric)) {
                Some(_) => line.replacen(&made, &format!("{made} weather: Some(\"fair\".into()),"), 1),
                None => line.to_owned(),
            }
        });
        *source = lines.collect::<Vec<_>>().join("\n") + "\n";
    }
}

fn edited(source: &str, edit: &Edit) -> String {
    match *edit {
        After(start, text) => with_line(source, first(source, start) + 1, text),
        AtEndOf(start, text) => with_line(source, end_of(source, start), text),
        Instead(from, to) => {
            assert_eq!(source.matches(from).count(), 1, "«{from}»");
            source.replace(from, to)
        }
        Last(text) => format!("{source}{text}\n"),
    }
}

/// The number of the line with this beginning.
#[track_caller]
fn first(source: &str, start: &str) -> usize {
    let mut found =
        source.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with(start)).map(|(at, _)| at);
    let at = found.next().unwrap_or_else(|| panic!("no line begins with «{start}»"));
    assert!(found.next().is_none(), "several lines begin with «{start}»");
    at
}

/// The number of the last line of the item whose first line has this beginning.
#[track_caller]
fn end_of(source: &str, start: &str) -> usize {
    let at = first(source, start);
    let lines: Vec<&str> = source.lines().collect();
    // As rustfmt writes it: the end is as far in as the beginning.
    let margin = &lines[at][..lines[at].len() - lines[at].trim_start().len()];
    let end = format!("{margin}}}");
    at + lines[at..].iter().position(|line| line.starts_with(&end)).expect("an item has an end")
}

/// `source` with `text` before line `at`.
fn with_line(source: &str, at: usize, text: &str) -> String {
    let lines: Vec<&str> = source.lines().collect();
    [&lines[..at], &[text], &lines[at..]].concat().join("\n") + "\n"
}

#[test]
fn growth_goes_to_the_end_of_an_item() {
    let source = "trait A: B {\n    fn a() {\n    }\n}\n\ntrait C {\n}\n";
    assert_eq!(
        edited(source, &AtEndOf("trait A:", "x")),
        "trait A: B {\n    fn a() {\n    }\nx\n}\n\ntrait C {\n}\n"
    );
    assert_eq!(
        edited(source, &After("trait C", "x")),
        "trait A: B {\n    fn a() {\n    }\n}\n\ntrait C {\nx\n}\n"
    );
}

#[test]
fn a_new_key_is_set_wherever_a_header_is_made() {
    let source = "pub struct Head {\n    a: u8,\n}\n\nimpl Head {\n    fn new() -> Self {\n        Head { a: 1 }\n    }\n}\n";
    let mut sources = Sources::from([("x.rs".to_owned(), source.to_owned())]);
    add_key(&mut sources, "Head", "x.rs");
    let grown = &sources["x.rs"];
    assert!(
        grown.contains("    a: u8,\n/// New.\n#[serde(default)]\npub weather: Option<String>,\n}"),
        "{grown}"
    );
    assert!(grown.contains("        Head { weather: Some(\"fair\".into()), a: 1 }"), "{grown}");
    assert_eq!(grown.matches("fair").count(), 1);
}
