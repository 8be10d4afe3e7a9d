//! New plugin crates, as written by `pallium plugins new`.
//!
//! There is a template for each role, with a useful component. The crate made from
//! it builds, passes its tests and loads without changes.

pub mod python;
pub mod vendor;

use std::path::{Path, PathBuf};

use pallium_core::{Error, Result, Role};

const MANIFEST: &str = include_str!("templates/Cargo.toml.in");
const README: &str = include_str!("templates/README.md.in");
const EXPERIMENT: &str = include_str!("templates/experiment.toml.in");

/// The parts of a new crate that depend on its role.
struct Template {
    /// `src/lib.rs`.
    library: &'static str,
    /// What the component does, as the end of a sentence in the README.
    about: &'static str,
    /// The lines of the experiment file that use the component.
    uses: &'static str,
    /// Further files: path and text.
    files: &'static [(&'static str, &'static str)],
    /// What these files are, after the sentence about `src/lib.rs` in the README.
    about_files: &'static str,
    /// Libraries besides pallium-core, in the versions that Pallium is tested with.
    libraries: &'static [&'static str],
}

/// Another library that a template is built on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    /// candle's tensors and automatic differentiation, for models.
    Candle,
}

impl With {
    /// Parses the value of `--with`.
    ///
    /// # Errors
    /// If there is no template with it.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        if text == "candle" { Ok(With::Candle) } else { Err("expected candle".into()) }
    }
}

const OF_CANDLE: Template = Template {
    library: include_str!("templates/candle.rs.in"),
    about: "is a network of leaky tanh units that learn their time constants, differentiated by candle",
    uses: include_str!("templates/model.toml.in"),
    files: &[("src/network.rs", include_str!("templates/candle_network.rs.in"))],
    about_files: "; `src/network.rs` runs it over trials and differentiates it by candle",
    libraries: &["candle-core", "rayon"],
};

fn template(role: Role, with: Option<With>) -> Result<Template> {
    match (role, with) {
        (Role::Model, Some(With::Candle)) => return Ok(OF_CANDLE),
        (_, Some(With::Candle)) => {
            return Err(Error::input(format!("there is no template of a {role} with candle"))
                .help("candle differentiates models: set --role model, or leave --with out"));
        }
        (_, None) => {}
    }
    let (library, about, uses) = match role {
        Role::Substrate => (
            include_str!("templates/substrate.rs.in"),
            "reads soma positions from a folder's `positions.csv`, or lays a jittered sheet of neurons",
            include_str!("templates/substrate.toml.in"),
        ),
        Role::Weights => (
            include_str!("templates/weights.rs.in"),
            "draws random weights that fall off exponentially with distance",
            include_str!("templates/weights.toml.in"),
        ),
        Role::Constraint => (
            include_str!("templates/constraint.rs.in"),
            "pulls the summed input strength of every neuron towards a set point, as synaptic scaling does",
            include_str!("templates/constraint.toml.in"),
        ),
        Role::Task => (
            include_str!("templates/task.rs.in"),
            "requires a network to remember which of two noisy cues was shown before a delay",
            include_str!("templates/task.toml.in"),
        ),
        Role::Model => (
            include_str!("templates/model.rs.in"),
            "is an Elman network of tanh units",
            include_str!("templates/model.toml.in"),
        ),
        Role::Optimizer => (
            include_str!("templates/optimizer.rs.in"),
            "takes steps of equal size against the sign of the averaged gradient, as Lion does",
            include_str!("templates/optimizer.toml.in"),
        ),
        Role::Metric => (
            include_str!("templates/metric.rs.in"),
            "measures the share of a network's strength that is reciprocal",
            include_str!("templates/metric.toml.in"),
        ),
        _ => return Err(Error::bug(format!("there is no template for the role {role}"))),
    };
    Ok(Template { library, about, uses, files: &[], about_files: "", libraries: &[] })
}

/// The source of a plugin's `pallium-core` and `pallium-testkit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Core {
    /// Copies of this executable's sources, inside the plugin's folder.
    Vendored,
    /// The folder `core` of a checkout of Pallium.
    Folder(PathBuf),
    /// A version in a registry that the user's Cargo has access to.
    Version(String),
    /// The address of a git repository, and a commit or tag in it.
    Git(String, Option<String>),
}

impl Core {
    /// Parses the value of `--core`: a version such as `0.1`, the address of a git
    /// repository (with `#` and a commit or tag), the folder `core` or the folder
    /// that contains it.
    ///
    /// # Errors
    /// If it is none of these.
    pub fn parse(text: &str) -> Result<Self> {
        let version = text.split('.').count() <= 3
            && text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        if version {
            return Ok(Core::Version(text.into()));
        }
        if text.contains("://") {
            return Ok(match text.split_once('#') {
                Some((address, revision)) => Core::Git(address.into(), Some(revision.into())),
                None => Core::Git(text.into(), None),
            });
        }
        let given = Path::new(text);
        [given.to_owned(), given.join("core")].into_iter().find_map(|folder| checkout(&folder)).ok_or_else(|| {
            Error::input(format!("no pallium-core in {text}")).help(
                "--core takes the folder `core` of a checkout of Pallium, the address of a git repository (https://…, ssh://…), or a version such as 0.2 if your registry has pallium-core; without it, the sources come with this executable",
            )
        })
    }

    /// The dependency on pallium-core, as a line of a manifest.
    pub fn dependency(&self) -> String {
        self.line("pallium-core", "")
    }

    /// The dependency on pallium-testkit, as a line of a manifest. Its folder is
    /// inside that of pallium-core, and it has the same version.
    pub fn dev_dependency(&self) -> String {
        self.line("pallium-testkit", "testkit")
    }

    fn line(&self, name: &str, folder_in_core: &str) -> String {
        let text = |path: &Path| path.to_string_lossy().trim_end_matches('/').to_owned();
        let keys = match self {
            Core::Vendored => {
                vec![("path", text(&Path::new(vendor::FOLDER).join("core").join(folder_in_core)))]
            }
            Core::Folder(core) => vec![("path", text(&core.join(folder_in_core)))],
            Core::Version(version) => vec![("version", version.clone())],
            Core::Git(address, revision) => {
                let revision = revision.iter().map(|revision| ("rev", revision.clone()));
                std::iter::once(("git", address.clone())).chain(revision).collect()
            }
        };
        let keys: Vec<String> =
            keys.into_iter().map(|(key, value)| format!("{key} = {}", toml::Value::from(value))).collect();
        format!("{name} = {{ {} }}", keys.join(", "))
    }
}

/// The full path of `folder`, if it contains pallium-core.
fn checkout(folder: &Path) -> Option<Core> {
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).ok()?;
    let manifest: toml::Table = manifest.parse().ok()?;
    let name = manifest.get("package")?.get("name")?.as_str()?;
    let full = std::fs::canonicalize(folder).ok()?;
    (name == "pallium-core").then_some(Core::Folder(full))
}

/// A new plugin crate.
#[derive(Debug)]
pub struct Scaffold {
    /// Name of the crate.
    pub name: String,
    /// Role of its component.
    pub role: Role,
    /// Id of its component.
    pub id: String,
    /// The source of pallium-core.
    pub core: Core,
    /// Another library that it is built on.
    pub with: Option<With>,
}

impl Scaffold {
    /// A crate with a component `id`, by default `own.NAME`.
    ///
    /// # Errors
    /// If the name or the id is not allowed, or there is no such template.
    pub fn new(name: &str, role: Role, id: Option<&str>, core: Core, with: Option<With>) -> Result<Self> {
        let word = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_lowercase())
                && !text.ends_with('-')
                && !text.contains("--")
                && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        let refused = |why: String| Error::input(format!("a plugin cannot have the name `{name}`")).help(why);
        if !word(name) {
            return Err(refused(
                "use lower-case letters, digits and hyphens, starting with a letter, such as my-penalty"
                    .into(),
            ));
        }
        // The crate depends on these, and its component may not hide a name that
        // the template uses.
        let type_name = type_name(name);
        let template = template(role, with)?;
        let mut words = template.library.split(|c: char| !c.is_alphanumeric() && c != '_');
        let taken = ["pallium-core", "pallium-testkit"];
        if taken.iter().chain(template.libraries).any(|taken| *taken == name)
            || words.any(|word| word == type_name)
        {
            return Err(refused(format!(
                "its code already uses that name; choose another, such as my-{name}"
            )));
        }
        let id = id.map_or_else(|| format!("own.{name}"), str::to_owned);
        if !matches!(id.split_once('.'), Some((family, name)) if word(family) && word(name)) {
            return Err(Error::input(format!("`{id}` is not a valid id")).help(
                "write family.name in lower-case letters, digits and hyphens, such as lab.my-penalty",
            ));
        }
        Ok(Scaffold { name: name.into(), role, id, core, with })
    }

    /// The files of the crate: their paths in it and their contents.
    ///
    /// # Errors
    /// If there is no template for the role.
    pub fn files(&self) -> Result<Vec<(String, String)>> {
        let template = template(self.role, self.with)?;
        let mut libraries = String::new();
        for name in template.libraries {
            libraries.push_str(&format!("\n{}", vendor::dependency(name)?));
        }
        let vendored = self.core == Core::Vendored;
        let library = self.name.replace('-', "_");
        let file = format!("{}{library}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
        let fill = |text: &str| {
            text.replace(
                "@WORKSPACE@",
                if vendored { "[workspace]\nexclude = [\"vendor\"]" } else { "[workspace]" },
            )
            .replace("@DEPENDENCY@", &self.core.dependency())
            .replace("@LIBRARIES@", &libraries)
            .replace("@FILES@", template.about_files)
            .replace("@DEV_DEPENDENCY@", &self.core.dev_dependency())
            .replace("@USES@", template.uses.trim_end())
            .replace("@ABOUT@", template.about)
            .replace("@NAME@", &self.name)
            .replace("@TYPE@", &type_name(&self.name))
            .replace("@ID@", &self.id)
            .replace("@ROLE@", self.role.name())
            .replace("@FILE@", &file)
        };
        let mut files = vec![
            ("Cargo.toml".to_owned(), fill(MANIFEST)),
            ("src/lib.rs".to_owned(), fill(template.library)),
            ("README.md".to_owned(), fill(README)),
            ("experiment.toml".to_owned(), fill(EXPERIMENT)),
            (".gitignore".to_owned(), "/target\n/runs\n".into()),
        ];
        files.extend(template.files.iter().map(|(path, text)| ((*path).to_owned(), fill(text))));
        if vendored {
            // Cargo removes from it what the plugin does not need.
            files.push(("Cargo.lock".to_owned(), vendor::LOCK.into()));
        }
        Ok(files)
    }

    /// Writes the crate to `folder`, which must not exist.
    ///
    /// # Errors
    /// If the folder exists or cannot be written, or the crate would become a
    /// member of a Cargo workspace above it.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let files = self.files()?;
        if folder.exists() {
            return Err(Error::input(format!("{} exists already", folder.display()))
                .help("choose another name, or another folder with --dir"));
        }
        refuse_members(folder)?;
        all_or_nothing(folder, |folder| {
            write_files(folder, files)?;
            if self.core == Core::Vendored { vendor::write(folder) } else { Ok(()) }
        })
    }
}

/// Creates a folder that did not exist before: it is filled beside its place and then
/// renamed, so that it never exists in part, even if the process is killed.
fn all_or_nothing(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let failed = |e: std::io::Error| Error::io(folder, &e);
    let parent = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(parent).map_err(failed)?;
    let beside = tempfile::Builder::new().prefix(".pallium-new-").tempdir_in(parent).map_err(failed)?;
    // In a subfolder, since the temporary folder itself is private.
    let new = beside.path().join("new");
    std::fs::create_dir(&new).map_err(failed)?;
    fill(&new)?;
    std::fs::rename(&new, folder).map_err(failed)
}

fn write_files(folder: &Path, files: Vec<(String, String)>) -> Result<()> {
    for (name, text) in files {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(|e| Error::io(parent, &e))?;
        std::fs::write(&path, text).map_err(|e| Error::io(&path, &e))?;
    }
    Ok(())
}

/// The name of the component's type: `my-penalty` becomes `MyPenalty`.
fn type_name(name: &str) -> String {
    let capitalized = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
    };
    name.split('-').filter_map(capitalized).collect()
}

/// Refuses a folder that a Cargo workspace above it lists as a member: a plugin is
/// its own workspace, so neither would build.
fn refuse_members(folder: &Path) -> Result<()> {
    let full = std::path::absolute(folder).map_err(|e| Error::io(folder, &e))?;
    // Cargo follows links; the folder itself does not exist yet.
    let full = match (full.parent().and_then(|parent| std::fs::canonicalize(parent).ok()), full.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => full,
    };
    for root in full.ancestors().skip(1) {
        let path = root.join("Cargo.toml");
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let Ok(manifest) = text.parse::<toml::Table>() else { continue };
        let Some(workspace) = manifest.get("workspace") else { continue };
        let Ok(relative) = full.strip_prefix(root) else { continue };
        let listed = |key: &str| -> Vec<String> {
            let list = workspace.get(key).and_then(toml::Value::as_array);
            let texts = list.into_iter().flatten().filter_map(toml::Value::as_str);
            texts.map(|text| text.trim_start_matches("./").trim_end_matches('/').to_owned()).collect()
        };
        let taken = listed("members").into_iter().find(|pattern| {
            let glob = globset::GlobBuilder::new(pattern).literal_separator(true).build();
            glob.is_ok_and(|glob| glob.compile_matcher().is_match(relative))
        });
        let excluded = listed("exclude").iter().any(|excluded| relative.starts_with(excluded));
        if let Some(pattern) = taken
            && !excluded
        {
            return Err(Error::input(format!(
                "{} would be a member of the workspace of {} (members has \"{pattern}\"), but a plugin is its own workspace",
                folder.display(),
                path.display()
            ))
            .help(format!(
                "choose another folder with --dir, or first add exclude = [\"{}\"] to [workspace] in that file",
                relative.display()
            )));
        }
        // Cargo considers only the nearest workspace.
        return Ok(());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scaffold(name: &str) -> Result<Scaffold> {
        Scaffold::new(name, Role::Constraint, None, Core::Version("0.1".into()), None)
    }

    #[test]
    fn every_placeholder_is_filled() {
        let all = Role::ALL.map(|role| (role, None)).into_iter().chain([(Role::Model, Some(With::Candle))]);
        for (role, with) in all {
            let made = Scaffold::new("my-own-thing", role, None, Core::Vendored, with).unwrap();
            for (name, text) in made.files().unwrap().iter().filter(|(name, _)| name != "Cargo.lock") {
                let left =
                    text.split('@').nth(1).filter(|w| w.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'));
                assert_eq!(left, None, "{role}: {name}");
            }
            let files: std::collections::BTreeMap<_, _> = made.files().unwrap().into_iter().collect();
            assert!(
                files["src/lib.rs"].contains("\"own.my-own-thing\"")
                    && files["src/lib.rs"].contains("MyOwnThing")
            );
            files["Cargo.toml"].parse::<toml::Table>().unwrap();
            files["experiment.toml"].parse::<toml::Table>().unwrap();
        }
    }

    #[test]
    fn names_and_ids_are_checked() {
        assert_eq!(scaffold("my-penalty").unwrap().id, "own.my-penalty");
        for wrong in ["", "My-Penalty", "3d", "a--b", "a-", "a_b", "pallium-core", "../x"] {
            assert!(scaffold(wrong).is_err(), "{wrong}");
        }
        let id = |id| Scaffold::new("my-task", Role::Task, Some(id), Core::Version("0.1".into()), None);
        assert!(id("lab.a").is_ok() && id("lab").is_err() && id("lab.a.b").is_err() && id("Lab.a").is_err());
    }

    #[test]
    fn the_core_is_a_version_a_checkout_or_an_address() {
        assert_eq!(Core::parse("0.1").unwrap(), Core::Version("0.1".into()));
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let own = Core::parse(root.to_str().unwrap()).unwrap();
        assert_eq!(own, Core::Folder(root.join("core").canonicalize().unwrap()));
        assert_eq!(Core::parse(root.join("core").to_str().unwrap()).unwrap(), own);
        let error = Core::parse("/nowhere").unwrap_err();
        assert!(error.message.contains("/nowhere") && error.help.is_some());
        let git = Core::parse("https://example.org/pallium.git#v0.1.0").unwrap();
        assert_eq!(
            git.dev_dependency(),
            "pallium-testkit = { git = \"https://example.org/pallium.git\", rev = \"v0.1.0\" }"
        );
        assert_eq!(
            Core::parse("ssh://git@example.org/x").unwrap().dependency(),
            "pallium-core = { git = \"ssh://git@example.org/x\" }"
        );
        assert_eq!(Core::Vendored.dependency(), "pallium-core = { path = \"vendor/pallium/core\" }");
        assert_eq!(
            Core::Vendored.dev_dependency(),
            "pallium-testkit = { path = \"vendor/pallium/core/testkit\" }"
        );
    }

    #[test]
    fn a_workspace_that_lists_the_folder_as_a_member_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = folder.path().join("Cargo.toml");
        let begin = |place: &str| scaffold("a").unwrap().write(&folder.path().join(place));
        std::fs::create_dir(folder.path().join("crates")).unwrap();
        std::fs::write(&manifest, "[workspace]\nmembers = [\"crates/*\"]\n").unwrap();
        let error = begin("crates/a").unwrap_err();
        assert!(error.message.contains("\"crates/*\""), "{error}");
        assert!(error.help.unwrap().contains("exclude = [\"crates/a\"]"));
        assert!(!folder.path().join("crates/a").exists(), "nothing is written");
        begin("a").unwrap();
        std::fs::write(&manifest, "[workspace]\nmembers = [\"crates/*\"]\nexclude = [\"crates/a\"]\n")
            .unwrap();
        begin("crates/a").unwrap();
    }

    #[test]
    fn a_name_that_the_code_uses_gets_another_help_than_a_malformed_one() {
        let help = |name| scaffold(name).unwrap_err().help.unwrap();
        for taken in ["pallium-core", "params", "constraint", "self"] {
            assert!(help(taken).contains(&format!("my-{taken}")), "{taken}");
        }
        assert!(help("A").contains("lower-case"));
        assert!(scaffold("core").is_ok() && scaffold("type").is_ok(), "a library may have these names");
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("a");
        scaffold("a").unwrap().write(&inside).unwrap();
        assert!(inside.join("src/lib.rs").exists());
        let error = scaffold("a").unwrap().write(&inside).unwrap_err();
        assert!(error.message.contains("exists already"));
    }

    #[test]
    fn a_folder_appears_only_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("deep/a");
        let failed = all_or_nothing(&inside, |new| {
            std::fs::write(new.join("half"), "").unwrap();
            assert!(!inside.exists(), "a killed process would leave it");
            Err(Error::input("the disk is full"))
        });
        assert_eq!(failed.unwrap_err().message, "the disk is full");
        assert_eq!(std::fs::read_dir(folder.path().join("deep")).unwrap().count(), 0);
        scaffold("a").unwrap().write(&inside).unwrap();
        assert!(inside.join("src/lib.rs").exists());
        assert_eq!(std::fs::read_dir(folder.path().join("deep")).unwrap().count(), 1);
    }
}
