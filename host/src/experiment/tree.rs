//! An experiment file as a tree in which every value has its place: a line of a
//! file, or a `--set`. Files are merged over their base and overrides over
//! files here, so later errors can still name the place.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pallium_core::{Error, Result, nearest};
use pallium_record::defaults;
use serde_json::Number;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The place where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    origin: Arc<Origin>,
    line: usize,
    /// Bytes before it in the file, for the order of what is on one line.
    offset: usize,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    File(PathBuf),
    /// An option of the command line, with its value.
    Option(String),
}

impl Place {
    /// The first line of a file.
    pub(super) fn file(path: &Path) -> Self {
        Place { origin: Arc::new(Origin::File(path.to_path_buf())), line: 1, offset: 0 }
    }

    fn set(text: &str) -> Self {
        Place::option(&format!("--set {text}"))
    }

    /// An option of the command line, with its value.
    pub(super) fn option(text: &str) -> Self {
        Place { origin: Arc::new(Origin::Option(text.to_string())), line: 1, offset: 0 }
    }

    /// The place after `offset` bytes of a file's text.
    fn after(&self, offset: usize, text: &str) -> Self {
        let line = 1 + text[..offset.min(text.len())].matches('\n').count();
        Place { origin: Arc::clone(&self.origin), line, offset }
    }

    /// Makes a path absolute: relative to the file that contains it, or to the
    /// current folder if it comes from `--set`.
    pub(super) fn resolve(&self, path: &str) -> Result<PathBuf> {
        if path.is_empty() {
            return Err(self.error("the path is empty").help("name a file or a folder"));
        }
        let joined = match &*self.origin {
            Origin::File(file) => file.parent().unwrap_or(Path::new("")).join(path),
            Origin::Option(_) => PathBuf::from(path),
        };
        // A path that does not exist cannot be made canonical, and a link with a name in
        // Unicode may lead to one without.
        match joined.canonicalize() {
            Ok(canonical) if canonical.to_str().is_some() => Ok(canonical),
            _ => std::path::absolute(&joined)
                .map_err(|e| self.error(format!("cannot resolve the path `{path}`: {e}"))),
        }
    }

    /// As [`Place::resolve`], as text.
    pub(super) fn absolute(&self, path: &str) -> Result<String> {
        let absolute = self.resolve(path)?;
        absolute.to_str().map(str::to_owned).ok_or_else(|| {
            self.error(format!("the path {} is not Unicode", absolute.display()))
                .help("rename the folder, or reach it by a link with a name in Unicode")
        })
    }

    /// An error at this place.
    pub(super) fn error(&self, message: impl fmt::Display) -> Error {
        Error::input(format!("{self}: {message}"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.origin {
            Origin::File(path) => write!(f, "{}:{}", path.display(), self.line),
            Origin::Option(text) => f.write_str(text),
        }
    }
}

/// A table of the tree.
pub(super) type Table = BTreeMap<String, Node>;

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The place.
    pub at: Place,
    /// The value.
    pub value: Value,
    /// The text after `--set path=`: a number in TOML may be meant as a name.
    pub raw: Option<String>,
}

/// The value of a node.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Text, a number or a boolean.
    Leaf(serde_json::Value),
    /// A list.
    List(Vec<Node>),
    /// A table.
    Table(Table),
}

impl Node {
    /// Parses the text of a file.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self> {
        let file = Place::file(path);
        let line = |offset: usize| file.after(offset, text);
        let table = DeTable::parse(text).map_err(|e| {
            let at = e.span().map_or_else(|| file.clone(), |span| line(span.start));
            at.error(format!("invalid TOML: {}", e.message().replace('\n', ", ")))
        })?;
        Ok(Node { at: file.clone(), value: Value::Table(read_table(table.get_ref(), &line)?), raw: None })
    }

    /// Parses `path=value` into a tree with only that value.
    pub(super) fn parse_set(text: &str) -> Result<Self> {
        let at = Place::set(text);
        let Some((path, value)) = split_at_equals(text) else {
            return Err(at
                .error("a value is missing")
                .help("write --set path=value, such as --set training.epochs=2"));
        };
        let raw = value.trim();
        let mut node = parse_value(&at, raw);
        node.raw = Some(raw.to_string());
        for key in split_path(path).ok_or_else(|| {
            at.error(format!("`{}` is not a path of keys", path.trim()))
                .help("write --set path=value, such as --set training.epochs=2")
        })? {
            node = Node { at: at.clone(), value: Value::Table(BTreeMap::from([(key, node)])), raw: None };
        }
        Ok(node)
    }

    /// This tree with `over` merged over it.
    pub(super) fn overlay(self, over: Node) -> Result<Node> {
        overlay("", self, over)
    }

    /// The node as a table.
    pub(super) fn table(&self, what: &str) -> Result<&Table> {
        match &self.value {
            Value::Table(table) => Ok(table),
            _ => Err(self.wrong(what, "a table")),
        }
    }

    /// The node as a list; any other value counts as a list of one.
    pub(super) fn list(&self) -> Vec<&Node> {
        match &self.value {
            Value::List(list) => list.iter().collect(),
            _ => vec![self],
        }
    }

    /// The node as text.
    pub(super) fn text(&self, what: &str) -> Result<String> {
        match (&self.raw, &self.value) {
            (_, Value::Leaf(serde_json::Value::String(text))) => Ok(text.clone()),
            (Some(raw), Value::Leaf(_)) => Ok(raw.clone()),
            _ => Err(self.wrong(what, "text")),
        }
    }

    /// The node as a boolean.
    pub(super) fn boolean(&self, what: &str) -> Result<bool> {
        match &self.value {
            Value::Leaf(serde_json::Value::Bool(truth)) => Ok(*truth),
            _ => Err(self.wrong(what, "true or false")),
        }
    }

    /// The node as a finite number.
    pub(super) fn number(&self, what: &str) -> Result<f64> {
        let number = match &self.value {
            Value::Leaf(leaf) => leaf.as_f64(),
            _ => None,
        };
        number.filter(|number| number.is_finite()).ok_or_else(|| self.wrong(what, "a number"))
    }

    /// The node as an integer from `low` to `high`.
    pub(super) fn integer(&self, what: &str, low: u64, high: u64) -> Result<u64> {
        match &self.value {
            Value::Leaf(serde_json::Value::Number(number)) => match number.as_u64() {
                Some(number) if (low..=high).contains(&number) => Ok(number),
                _ if number.as_i64().is_some_and(|n| n < low as i64) => Err(self
                    .at
                    .error(format!("{what} is {number}"))
                    .help(format!("it must be at least {low}"))),
                _ if number.as_f64().is_some_and(|n| n.fract() == 0.0 && n > high as f64) => Err(self
                    .at
                    .error(format!("{what} is {number}, which is too large"))
                    .help(format!("it must be at most {high}"))),
                _ => Err(self.wrong(what, "a whole number")),
            },
            Value::Leaf(serde_json::Value::String(text))
                if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() > 18 =>
            {
                Err(self
                    .at
                    .error(format!("{what} is {text}, which is too large"))
                    .help(format!("it must be at most {}", high.min(i64::MAX as u64))))
            }
            _ => Err(self.wrong(what, "a whole number")),
        }
    }

    /// The error for a node that must be something else.
    pub(super) fn wrong(&self, what: &str, must: &str) -> Error {
        self.at.error(format!("{what} cannot be {}: it must be {must}", self.json()))
    }

    /// The value without places.
    pub(super) fn json(&self) -> serde_json::Value {
        match &self.value {
            Value::Leaf(leaf) => leaf.clone(),
            Value::List(list) => list.iter().map(Node::json).collect(),
            Value::Table(table) => serde_json::Value::Object(
                table.iter().map(|(key, node)| (key.clone(), node.json())).collect(),
            ),
        }
    }

    /// The value in TOML, with absolute paths. `is_file` tells whether a parameter of a
    /// component, other than `path`, names a file.
    pub(super) fn toml(&self, is_file: &IsFile<'_>) -> Result<toml::Value> {
        self.toml_of("", is_file)
    }

    /// The value of the key `name` in TOML. A `from` is a path in `training`
    /// alone: components may have a parameter of that name.
    fn toml_of(&self, name: &str, is_file: &IsFile<'_>) -> Result<toml::Value> {
        Ok(match &self.value {
            Value::Leaf(leaf) => toml::Value::try_from(leaf)
                .map_err(|e| Error::bug(format!("{}: a value cannot be written as TOML: {e}", self.at)))?,
            Value::List(list) => {
                toml::Value::Array(list.iter().map(|node| node.toml(is_file)).collect::<Result<_>>()?)
            }
            Value::Table(table) => {
                let used = table.get("use").and_then(|node| node.text("`use`").ok());
                let component = match used.as_deref() {
                    Some(id) => id,
                    None if name == "substrate" => defaults::FIELD,
                    // Below `defaults`, the key is the component.
                    None => name,
                };
                let mut out = toml::Table::new();
                for (key, node) in table {
                    let value = match key.as_str() {
                        "path" => absolute_each(node, is_file)?,
                        "from" if name == "training" && matches!(node.value, Value::Leaf(_)) => {
                            absolute(node)?
                        }
                        "name" | "about" | "use"
                            if node.raw.is_some() && matches!(node.value, Value::Leaf(_)) =>
                        {
                            toml::Value::String(node.text(key)?)
                        }
                        "plugin_path" => {
                            toml::Value::Array(node.list().into_iter().map(absolute).collect::<Result<_>>()?)
                        }
                        _ if is_file(component, key, table) => absolute_each(node, is_file)?,
                        _ => node.toml_of(key, is_file)?,
                    };
                    out.insert(key.clone(), value);
                }
                toml::Value::Table(out)
            }
        })
    }
}

/// Whether a parameter of the component with this id, other than `path`, names a file;
/// the table has the component's other parameters.
pub(super) type IsFile<'a> = dyn Fn(&str, &str, &Table) -> bool + 'a;

/// A path or a sweep of paths, absolute.
fn absolute_each(node: &Node, is_file: &IsFile<'_>) -> Result<toml::Value> {
    if let Value::Leaf(leaf) = &node.value {
        return if leaf == "" { Ok("".into()) } else { absolute(node) };
    }
    let mut out = node.toml(is_file)?;
    if is_sweep(node)
        && let (Value::Table(table), toml::Value::Table(written)) = (&node.value, &mut out)
        && let Some(values) = table.get("sweep").filter(|values| matches!(values.value, Value::List(_)))
    {
        let paths = values.list().into_iter().map(absolute).collect::<Result<_>>()?;
        written.insert("sweep".into(), toml::Value::Array(paths));
    }
    Ok(out)
}

fn absolute(node: &Node) -> Result<toml::Value> {
    Ok(toml::Value::String(node.at.absolute(&node.text("a path")?)?))
}

/// Refuses the first key of `table` that is not `known`.
pub(super) fn check_keys(table: &Table, known: &[&str], what: &str) -> Result<()> {
    check_keys_and(table, known, what, &|_| None)
}

/// As [`check_keys`]; `elsewhere` is the path of a key that belongs into another
/// table.
pub(super) fn check_keys_and(
    table: &Table,
    known: &[&str],
    what: &str,
    elsewhere: &dyn Fn(&str) -> Option<String>,
) -> Result<()> {
    let unknown = table.iter().filter(|(key, _)| !known.contains(&key.as_str()));
    let Some((key, node)) = unknown.min_by(|a, b| a.1.at.cmp(&b.1.at)) else { return Ok(()) };
    let error = node.at.error(format!("unknown key `{key}` in {what}"));
    if let Some(path) = elsewhere(key) {
        return Err(error.help(format!("did you mean `{path}`?")));
    }
    Err(match nearest(key, known.iter().copied()) {
        Some(near) => error.help(format!("did you mean `{near}`?")),
        None => error.help(format!("keys: {}", known.join(", "))),
    })
}

fn read_table(table: &DeTable<'_>, line: &dyn Fn(usize) -> Place) -> Result<Table> {
    let mut out = Table::new();
    for (key, value) in table.iter() {
        let mut node = read_value(value, line)?;
        node.at = line(key.span().start);
        out.insert(key.get_ref().to_string(), node);
    }
    Ok(out)
}

fn read_value(value: &Spanned<DeValue<'_>>, line: &dyn Fn(usize) -> Place) -> Result<Node> {
    let at = line(value.span().start);
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Leaf(text.to_string().into()),
        DeValue::Boolean(truth) => Value::Leaf((*truth).into()),
        DeValue::Integer(text) => Value::Leaf(
            i64::from_str_radix(text.as_str(), text.radix())
                .map_err(|_| at.error(format!("`{text}` is too large")).help("the largest is 2^63 - 1"))?
                .into(),
        ),
        DeValue::Float(text) => Value::Leaf(serde_json::Value::Number(
            text.as_str()
                .parse()
                .ok()
                .and_then(Number::from_f64)
                .ok_or_else(|| at.error(format!("`{text}` is not a finite number")))?,
        )),
        DeValue::Datetime(date) => {
            return Err(at
                .error(format!("`{date}` is a date, but no key takes dates"))
                .help("put text in quotes"));
        }
        DeValue::Array(list) => {
            Value::List(list.iter().map(|item| read_value(item, line)).collect::<Result<_>>()?)
        }
        DeValue::Table(table) => Value::Table(read_table(table, line)?),
    };
    Ok(Node { at, value, raw: None })
}

/// Parses the text after `--set path=`: TOML if possible, otherwise text. A
/// number whose digits are not in groups of three (`6_6_2`) is a name.
fn parse_value(at: &Place, raw: &str) -> Node {
    let named = !raw.starts_with(['[', '{', '"', '\''])
        && raw.contains('_')
        && raw.split('_').skip(1).any(|digits| digits.len() != 3);
    DeValue::parse(raw)
        .ok()
        .filter(|_| !named)
        .and_then(|value| read_value(&value, &|_| at.clone()).ok())
        .unwrap_or_else(|| Node { at: at.clone(), value: Value::Leaf(raw.into()), raw: None })
}

fn split_at_equals(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (i, c) in text.char_indices() {
        match (quote, c) {
            (None, '=') => return Some((&text[..i], &text[i + 1..])),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

/// Parses a dotted path of keys, the last first. Names that TOML requires to be
/// quoted (`W*D*C`) need no quotes as long as they contain no dot.
fn split_path(path: &str) -> Option<Vec<String>> {
    let mut keys = Vec::new();
    if let Ok(table) = DeTable::parse(&format!("{path} = 0")) {
        let mut next = Some(table.get_ref());
        while let Some((key, value)) = next.and_then(|table| table.iter().next()) {
            keys.push(key.get_ref().to_string());
            next = value.get_ref().as_table();
        }
    } else {
        keys = path.split('.').map(|key| key.trim().to_string()).collect();
    }
    keys.reverse();
    (!keys.is_empty() && keys.iter().all(|key| !key.is_empty())).then_some(keys)
}

fn overlay(key: &str, base: Node, over: Node) -> Result<Node> {
    // A sweep and a plain value are not merged; two ranges are.
    let ranges = [&base, &over].map(|node| match &node.value {
        Value::Table(table) => table.get("sweep").is_some_and(|s| matches!(s.value, Value::Table(_))),
        _ => false,
    });
    if (is_sweep(&base) || is_sweep(&over)) && ranges != [true, true] {
        return Ok(over);
    }
    let Node { at, raw, value } = over;
    let value = match (base.value, value) {
        (Value::Table(base), Value::Table(over)) => {
            // The parameters of another component do not apply.
            if matches!((name_of(&base, "use"), name_of(&over, "use")), (Some(a), Some(b)) if a != b) {
                Value::Table(over)
            } else {
                Value::Table(overlay_tables(base, over)?)
            }
        }
        // `weights = "id"` is short for `weights = { use = "id" }`.
        (Value::Leaf(short @ serde_json::Value::String(_)), Value::Table(over)) => {
            let name = if key == "geometry" { "space" } else { "use" };
            let other = name_of(&over, name).is_some();
            let long = Node { at: base.at, value: Value::Leaf(short), raw: base.raw };
            let base = if other { Table::new() } else { Table::from([(name.to_string(), long)]) };
            Value::Table(overlay_tables(base, over)?)
        }
        (Value::List(base), Value::List(over)) if key == "variant" => Value::List(
            over.into_iter()
                .map(|entry| match find(&base, &entry).map(|i| base[i].clone()) {
                    Some(known) => overlay("", known, entry),
                    None => Ok(entry),
                })
                .collect::<Result<_>>()?,
        ),
        // `variant.NAME.key = …` changes one variant.
        (Value::List(mut base), Value::Table(over)) if key == "variant" => {
            for (name, change) in over {
                let names: Vec<_> = base.iter().filter_map(variant_name).collect();
                let Some(i) = names.iter().position(|known| *known == name) else {
                    let error = change.at.error(format!("there is no variant `{name}`"));
                    let is_null = |name: &str| name.contains(", null ");
                    let alike =
                        names.iter().map(String::as_str).filter(|known| is_null(known) == is_null(&name));
                    return Err(match nearest(&name, alike) {
                        Some(near) => error.help(format!("did you mean `{near}`?")),
                        None if is_null(&name) => error.help(
                            "a null model of [nulls] has the settings of its variant; for others write it as a [[variant]] \
                             with `null`",
                        ),
                        None => error.help(format!("variants: {}", super::names(&names))),
                    });
                };
                base[i] = overlay("", base[i].clone(), change)?;
            }
            Value::List(base)
        }
        (_, over) => over,
    };
    Ok(Node { at, value, raw })
}

fn overlay_tables(mut base: Table, over: Table) -> Result<Table> {
    for (key, node) in over {
        let merged = match base.remove(&key) {
            Some(known) => overlay(&key, known, node)?,
            None => node,
        };
        base.insert(key, merged);
    }
    Ok(base)
}

fn name_of<'a>(table: &'a Table, key: &str) -> Option<&'a str> {
    match &table.get(key)?.value {
        Value::Leaf(leaf) => leaf.as_str(),
        _ => None,
    }
}

fn variant_name(node: &Node) -> Option<String> {
    match &node.value {
        Value::Table(table) => table.get("name")?.text("").ok(),
        _ => None,
    }
}

fn find(list: &[Node], entry: &Node) -> Option<usize> {
    let name = variant_name(entry)?;
    list.iter().position(|known| variant_name(known).as_deref() == Some(&name))
}

/// Whether a node represents several values: a table with the key `sweep`.
pub(super) fn is_sweep(node: &Node) -> bool {
    matches!(&node.value, Value::Table(table) if table.contains_key("sweep"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Node {
        Node::parse(Path::new("x.toml"), text).unwrap()
    }

    fn set(base: &str, sets: &[&str]) -> Result<serde_json::Value> {
        let mut over = Node::parse_set(sets[0])?;
        for text in &sets[1..] {
            over = over.overlay(Node::parse_set(text)?)?;
        }
        Ok(tree(base).overlay(over)?.json())
    }

    #[test]
    fn values_have_their_lines() {
        let node = tree("a = 1\n\n[b]\nc = [\n  'x',\n  2.5,\n]\n");
        let table = node.table("").unwrap();
        assert_eq!(table["a"].at.to_string(), "x.toml:1");
        let b = table["b"].table("").unwrap();
        assert_eq!(b["c"].at.to_string(), "x.toml:4");
        assert_eq!(b["c"].list()[1].at.to_string(), "x.toml:6");
        let e = Node::parse(Path::new("x.toml"), "a = 1\nb = = 2\n").unwrap_err();
        assert!(e.message.starts_with("x.toml:2: invalid TOML"), "{e}");
        let e = Node::parse(Path::new("x.toml"), "a = 1\na = 2\n").unwrap_err();
        assert!(e.message.starts_with("x.toml:2: ") && e.message.contains("duplicate"), "{e}");
        assert!(Node::parse(Path::new("x.toml"), "a = nan").unwrap_err().message.contains("not a finite"));
        assert!(Node::parse(Path::new("x.toml"), "a = 2024-01-01").unwrap_err().message.contains("date"));
        assert!(
            Node::parse(Path::new("x.toml"), "a = 9223372036854775808")
                .unwrap_err()
                .message
                .contains("too large")
        );
    }

    #[test]
    fn a_value_of_set_is_toml_or_text() {
        let value = |text: &str| Node::parse_set(text).unwrap().json();
        assert_eq!(value("runs=1"), serde_json::json!({"runs": 1}));
        assert_eq!(value("training.epochs = 2"), serde_json::json!({"training": {"epochs": 2}}));
        assert_eq!(value("substrate.path=../shared/data/6_6_2")["substrate"]["path"], "../shared/data/6_6_2");
        assert_eq!(value("profile=corrected")["profile"], "corrected");
        assert_eq!(value("tasks=[\"a.b\", 'c']")["tasks"], serde_json::json!(["a.b", "c"]));
        assert_eq!(value("model={use='a', width=3}")["model"]["width"], 3);
        assert_eq!(value("defaults.\"spatial.l1\".strength=0.5")["defaults"]["spatial.l1"]["strength"], 0.5);
        assert_eq!(value("variant.W*D*C.weights=a")["variant"]["W*D*C"]["weights"], "a");
        assert_eq!(value("about=a\nruns = 3")["about"], "a\nruns = 3");
        assert_eq!(value("name=")["name"], "");
        // TOML reads 6_6_2 as the number 662, but it is the name of a field.
        assert_eq!(value("name=6_6_2")["name"], "6_6_2");
        assert_eq!(value("training.trials=5_120")["training"]["trials"], 5120);
        let node = Node::parse_set("name=662").unwrap();
        assert_eq!(node.table("").unwrap()["name"].text("name").unwrap(), "662");
        for wrong in ["runs", "=1", "a..b=1"] {
            assert!(Node::parse_set(wrong).unwrap_err().help.unwrap().contains("path=value"), "{wrong}");
        }
    }

    #[test]
    fn merging_keeps_other_keys() {
        let base = "runs = 20\n[training]\nepochs = 10\nbatch = 128\n[substrate]\nuse = 'a'\npath = 'p'\n";
        let out = set(base, &["training.epochs=2", "runs=1"]).unwrap();
        assert_eq!(out["training"], serde_json::json!({"epochs": 2, "batch": 128}));
        assert_eq!(out["runs"], 1);
        // Another component starts with its own defaults, in any order.
        for sets in [["substrate.use=b", "substrate.n=4"], ["substrate.n=4", "substrate.use=b"]] {
            assert_eq!(set(base, &sets).unwrap()["substrate"], serde_json::json!({"use": "b", "n": 4}));
        }
        let out = set(base, &["substrate.path=q"]).unwrap();
        assert_eq!(out["substrate"], serde_json::json!({"use": "a", "path": "q"}));
        // Short forms are expanded if keys are added.
        let out =
            set("model = 'm'\ngeometry = 'soma'", &["model.width=3", "geometry.shuffled=true"]).unwrap();
        assert_eq!(out["model"], serde_json::json!({"use": "m", "width": 3}));
        assert_eq!(out["geometry"], serde_json::json!({"space": "soma", "shuffled": true}));
    }

    #[test]
    fn variants_are_selected_and_changed_by_name() {
        let base = "[[variant]]\nname='A'\nweights='w'\n[[variant]]\nname='W*D'\nweights={use='v', x=1}\n";
        let out = set(base, &["variant=[{name='W*D', geometry='soma'}, {name='new'}]"]).unwrap();
        assert_eq!(
            out["variant"],
            serde_json::json!([
                {"name": "W*D", "weights": {"use": "v", "x": 1}, "geometry": "soma"}, {"name": "new"}
            ])
        );
        let out = set(base, &["variant.W*D.weights.x=2"]).unwrap();
        assert_eq!(out["variant"][1]["weights"], serde_json::json!({"use": "v", "x": 2}));
        assert_eq!(out["variant"][0]["weights"], "w");
        let e = set(base, &["variant.W*E.weights=v"]).unwrap_err();
        assert_eq!(
            e.to_string(),
            "--set variant.W*E.weights=v: there is no variant `W*E` (did you mean `W*D`?)"
        );
        let e = set(base, &["variant.'W*D, null degrees'.weights=v"]).unwrap_err();
        assert!(e.help.unwrap().contains("as a [[variant]] with `null`"));
    }
}
