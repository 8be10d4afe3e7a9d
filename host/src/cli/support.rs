//! Code shared by commands: common options, settings for single components, and
//! printing.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use ndarray::ArrayView2;
use pallium_core::{Error, Result, Setting, Substrate};
use pallium_profile as profile;
use pallium_record::spec::{CellSpec, Geometry, Space, Use};
pub use pallium_report::text::{human, number};
use serde_json::{Map, Value};

use pallium_report::table::TextTable;

use crate::child::inside;
use crate::plugins::{Catalogue, Refused};
use crate::run::protocol::most_threads;

/// The profile and its switches.
#[derive(Args, Clone, Debug)]
pub struct ProfileArgs {
    /// Named set of switches that control the computation (`published` repeats
    /// the paper's computation, including its errors).
    #[arg(long, value_name = "PROFILE", default_value = "corrected")]
    pub profile: String,
    /// Set a switch of the profile; may be repeated.
    #[arg(long = "switch", value_name = "NAME=VALUE", value_parser = text_pair)]
    pub switches: Vec<(String, String)>,
}

impl ProfileArgs {
    /// The component `id` with the parameters of the profile and of `given`,
    /// which take precedence.
    ///
    /// # Errors
    /// If there is no such profile, switch, value or component, or a parameter is
    /// set twice. Unknown parameters are refused when the component is built.
    pub fn component(&self, catalogue: &Catalogue, id: &str, given: &[(String, Value)]) -> Result<Use> {
        let declared = &catalogue.get(id)?.profiles;
        // Values that need a constraint do not hold outside an experiment.
        let mut params = profile::parameters(&self.profile, &self.overrides()?, declared, &[])?;
        params.extend(once_each("--param", given)?);
        Ok(Use { params: params.into_iter().collect(), ..Use::new(id) })
    }

    /// The geometry of `space` under the profile.
    ///
    /// # Errors
    /// If there is no such profile, switch or value.
    pub fn geometry(&self, space: Space) -> Result<Geometry> {
        profile::geometry(&self.profile, &self.overrides()?, space)
    }

    fn overrides(&self) -> Result<BTreeMap<String, String>> {
        once_each("--switch", &self.switches)
    }
}

/// Parses `NAME=VALUE`: JSON, a TOML list or table, or otherwise text. A single
/// word is never parsed as TOML, where the name `6_6_2` is the number 662.
///
/// # Errors
/// If there is no name or no `=`.
pub fn value_pair(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text_pair(text)?;
    #[derive(serde::Deserialize)]
    struct Line {
        v: Value,
    }
    let value = serde_json::from_str(&value)
        .ok()
        .or_else(|| {
            let value = value.starts_with(['[', '{', '\'']).then_some(&value)?;
            toml::from_str::<Line>(&format!("v = {value}")).ok().map(|line| line.v)
        })
        .unwrap_or(Value::String(value));
    Ok((name, value))
}

/// Parses `NAME=VALUE`.
///
/// # Errors
/// If there is no name or no `=`.
pub fn text_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().into(), value.trim().into())),
        _ => Err("expected NAME=VALUE, such as `strength=0.1`".into()),
    }
}

/// Parses a whole number of at least 1.
///
/// # Errors
/// If it is 0, negative, too large or no whole number.
pub fn at_least_one<N: std::str::FromStr + Default + PartialEq>(text: &str) -> Result<N, String> {
    let number = text.parse().ok().filter(|number| *number != N::default());
    number.ok_or_else(|| match text.bytes().all(|c| c.is_ascii_digit()) && text.bytes().any(|c| c != b'0') {
        true => "the number is too large".into(),
        false => "expected a whole number of at least 1".into(),
    })
}

fn once_each<V: Clone>(option: &str, given: &[(String, V)]) -> Result<BTreeMap<String, V>> {
    let mut values = BTreeMap::new();
    for (name, value) in given {
        if values.insert(name.clone(), value.clone()).is_some() {
            return Err(Error::input(format!("duplicate {option} {name}")).help("set it once"));
        }
    }
    Ok(values)
}

/// Every component of the plugins that are found, those in `extra` among them. A
/// refused file costs a warning; an experiment that needs it fails.
///
/// # Errors
/// If a named folder does not exist or cannot be read.
pub fn catalogue(extra: &[PathBuf]) -> Result<Catalogue> {
    let catalogue = Catalogue::discover(extra, cache_folder().as_deref())?;
    catalogue.refused().iter().for_each(warn_of);
    Ok(catalogue)
}

/// Warns that a plugin file is not used.
pub fn warn_of(file: &Refused) {
    tracing::warn!("plugin left out: {}", file.error.report());
}

/// The substrate in `folder`, read by `reader`.
///
/// # Errors
/// If the folder does not hold a field, or the path is not valid Unicode.
pub fn field(catalogue: &Catalogue, mut reader: Use, folder: &Path) -> Result<Substrate> {
    reader.params.insert("path".into(), Value::String(path_text(folder)?));
    let substrate = catalogue.substrate(&reader, &setting(None, None, None))?.substrate(0)?;
    substrate.check()?;
    Ok(substrate)
}

/// A path as text, for a component's parameter.
///
/// # Errors
/// If it is not valid Unicode.
pub fn path_text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Error::input(format!("the path `{}` is not valid Unicode", path.display()))
            .help("rename it, or reach it by a link with a name in Unicode")
    })
}

/// Refuses a folder whose absolute path is not valid Unicode: trainings receive it
/// as text.
///
/// # Errors
/// If it is not.
pub fn unicode(folder: &Path) -> Result<()> {
    path_text(&std::path::absolute(folder).map_err(|e| Error::io(folder, &e))?).map(drop)
}

/// The setting of a component that a command builds alone, with all cores.
pub fn setting<'a>(
    neurons: Option<usize>,
    substrate: Option<&'a Substrate>,
    distance: Option<ArrayView2<'a, f32>>,
) -> Setting<'a> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Setting { threads, neurons, substrate, distance, ..Setting::default() }
}

/// Replaces the help of an error about something that a component lacks: in a
/// command the remedy is one of its `options`, not a line of an experiment
/// file.
pub fn lacking(error: Error, options: &str) -> Error {
    if error.to_string().contains("but was given none") { error.help(options) } else { error }
}

/// The user's cache folder for results that are slow to compute; `None` without
/// a home folder.
pub fn cache_folder() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        // Workers get it as text.
        .filter(|p| p.is_absolute() && p.to_str().is_some())
        .or_else(|| std::env::home_dir().filter(|p| p.is_absolute()).map(|home| home.join(".cache")))?;
    let folder = base.join("pallium");
    match std::fs::create_dir_all(&folder) {
        Ok(()) => Some(folder),
        Err(e) => {
            tracing::info!("continuing without a cache: {}: {e}", folder.display());
            None
        }
    }
}

/// Prints to standard output. A closed reader (`pallium … | head`) is not an
/// error.
///
/// # Errors
/// If writing fails for another reason.
pub fn print(text: &str) -> Result<()> {
    match inside::write(text.as_bytes()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Error::io(Path::new("standard output"), &e)),
        _ => Ok(()),
    }
}

/// Prints one JSON document to standard output.
///
/// # Errors
/// As [`print()`].
pub fn print_json(value: &Value) -> Result<()> {
    print(&format!("{value:#}\n"))
}

/// A table for the terminal.
pub fn table<const N: usize>(header: [&str; N]) -> TextTable {
    TextTable::new(header)
}

/// Prints a table made by [`table`].
///
/// # Errors
/// As [`print()`].
pub fn print_table(table: &TextTable) -> Result<()> {
    print(&format!("{table}\n"))
}

/// Names and values as a JSON object.
pub fn parameters<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Number of simultaneous trainings: as requested, or as many as use all cores
/// with their threads.
pub fn jobs<'a>(requested: Option<u32>, cells: impl IntoIterator<Item = &'a CellSpec>) -> usize {
    match requested {
        Some(jobs) => usize::try_from(jobs).unwrap_or(usize::MAX),
        None => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            (cores / most_threads(cells)).max(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use pallium_core::{Component, Measures, Metric, Network, ProfileValue, Registration};
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_json_toml_or_text() {
        for (text, expected) in [
            ("a=1", json!(1)),
            ("a = 0.5", json!(0.5)),
            ("a=6_6_2", json!("6_6_2")),
            ("a='6'", json!("6")),
            ("a=true", json!(true)),
            ("a=[1, 2]", json!([1, 2])),
            ("a={\"b\": 1}", json!({"b": 1})),
            ("a={b = 1}", json!({"b": 1})),
            ("a=null", json!(null)),
            ("a=\"0.5\"", json!("0.5")),
            ("a=zero", json!("zero")),
            ("a=x=y", json!("x=y")),
            ("a=", json!("")),
            ("a=1\nb = 2", json!("1\nb = 2")),
        ] {
            assert_eq!(value_pair(text), Ok(("a".to_string(), expected)), "{text}");
        }
        assert!(value_pair("a").is_err());
        assert!(value_pair("=1").is_err());
    }

    pallium_core::params! {
        /// Parameters.
        struct Params {
            /// Factor.
            strength: f64 = 1.0,
            /// Named by a switch.
            strength_rule: String = "applied".into(),
        }
    }
    struct Sample;
    impl Component for Sample {
        const ID: &'static str = "a.sample";
        const ABOUT: &'static str = "measures nothing";
        const CITE: &'static str = "this work";
        type Params = Params;
        const PROFILES: &'static [ProfileValue] = &[
            ProfileValue::new("published", "strength_rule", r#""ignored""#),
            ProfileValue::new("corrected", "strength_rule", r#""applied""#),
        ];
        fn build(_: Params, _: &Setting<'_>) -> Result<Self> {
            Ok(Sample)
        }
    }
    impl Metric for Sample {
        fn measure(&mut self, _: &Network<'_>) -> Result<Measures> {
            Ok(Measures::default())
        }
    }
    static SAMPLE: Registration = Registration::metric::<Sample>();

    #[test]
    fn options_take_precedence_over_the_profile() {
        let profile = |name: &str, switches: &[(&str, &str)]| ProfileArgs {
            profile: name.into(),
            switches: switches.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
        };
        let given = [("strength_rule".to_string(), json!("ignored")), ("strength".to_string(), json!(2))];
        let catalogue = Catalogue::in_process([&SAMPLE]).unwrap();
        let component = |profile: ProfileArgs, given: &[(String, Value)]| {
            profile.component(&catalogue, "a.sample", given)
        };
        let sample = component(profile("corrected", &[]), &given).unwrap();
        assert_eq!(json!(sample.params), json!({"strength_rule": "ignored", "strength": 2}));
        let sample = component(profile("published", &[("l1_strength", "applied")]), &[]).unwrap();
        assert_eq!(json!(sample.params), json!({"strength_rule": "applied"}));
        let sample = component(profile("published", &[]), &[]).unwrap();
        assert_eq!(json!(sample.params), json!({"strength_rule": "ignored"}));
        let error = profile("published", &[]).component(&catalogue, "a.simple", &[]).unwrap_err();
        assert!(error.message.contains("there is no component `a.simple`"), "{error}");
        assert!(component(profile("pubished", &[]), &[]).is_err());
        let twice = [("strength".to_string(), json!(1)), ("strength".to_string(), json!(2))];
        let error = component(profile("corrected", &[]), &twice).unwrap_err();
        assert_eq!(error.message, "duplicate --param strength");
    }

    #[test]
    fn the_remedy_for_a_missing_input_is_an_option() {
        let error = Setting::default().distance().unwrap_err().context("cannot build `x`");
        assert_eq!(lacking(error, "--geometry").help.unwrap(), "--geometry");
        let error = Setting::default().substrate().unwrap_err();
        assert_eq!(lacking(error, "--field").help.unwrap(), "--field");
        assert_eq!(lacking(Error::input("a").help("b"), "--field").help.unwrap(), "b");
    }
}
