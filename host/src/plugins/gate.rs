//! The gate: what a file must pass before its components are offered. The
//! plainest check comes first, and every refusal says what to do.

use std::path::Path;

use abi_stable::library::{LibraryError, ROOT_MODULE_LOADER_NAME_WITH_NUL, lib_header_from_path};
use pallium_core::abi::{Library, Manifest, PluginModuleRef};
use pallium_core::{Error, Result};

use super::elf;
use crate::hash;

/// A library that passed.
#[derive(Clone)]
pub struct Admitted {
    /// The open library.
    pub library: Library,
    /// What it says of itself.
    pub manifest: Manifest,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// Loads the plugin at `path`, or says why not.
///
/// # Errors
/// One message per cause: no such file, not a shared library, cut short, not
/// loadable, not a plugin, built against another contract, panics abort.
pub fn admit(path: &Path) -> Result<Admitted> {
    elf::check(path)?;
    let sha256 = hash::file(path)?;

    // SAFETY: loading runs the library's initialisers. That is what a plugin
    // is: code that the user chose to run. The library is never unloaded.
    #[expect(unsafe_code, reason = "loading a plugin")]
    let opened = unsafe { libloading::Library::new(path) };
    let opened = opened.map_err(|e| {
        Error::input(format!("{} cannot be loaded", path.display()))
            .because(e.to_string())
            .help("the plugin needs a library that this machine lacks, or was built for another system; build it here")
    })?;
    // SAFETY: the symbol is only looked up, not used.
    #[expect(unsafe_code, reason = "looking up a symbol")]
    let is_plugin = unsafe { opened.get::<*const ()>(ROOT_MODULE_LOADER_NAME_WITH_NUL.as_bytes()) }.is_ok();
    std::mem::forget(opened);
    if !is_plugin {
        return Err(Error::input(format!("{} is a shared library, but not a Pallium plugin", path.display()))
            .help("a plugin's lib.rs ends in `pallium_core::plugin!();` and its Cargo.toml has crate-type = [\"cdylib\"]"));
    }

    let module = lib_header_from_path(path)
        .and_then(|header| header.init_root_module::<PluginModuleRef>())
        .map_err(|e| contract_mismatch(path, &e))?;
    let library = Library::new(module);
    let manifest = library.manifest().map_err(|e| e.context(format!("{} was refused", path.display())))?;
    if !manifest.unwinds {
        return Err(Error::input(format!("{} is built with panic = \"abort\"", path.display())).help(
            "a panic in it would end the whole program: remove `panic = \"abort\"` from the plugin's Cargo profile and build it again",
        ));
    }
    if !compatible(&manifest.core_version, pallium_core::VERSION) {
        return Err(Error::input(format!(
            "{} was built against pallium-core {}, and this is {}",
            path.display(),
            manifest.core_version,
            pallium_core::VERSION
        ))
        .help(format!("build the plugin again against pallium-core {}", pallium_core::VERSION)));
    }
    Ok(Admitted { library, manifest, sha256 })
}

/// Versions before 1.0 are compatible within a minor version, later ones
/// within a major version.
fn compatible(theirs: &str, ours: &str) -> bool {
    let series = |version: &str| {
        let mut parts = version.split('.').map(str::to_owned);
        let major = parts.next();
        let minor = parts.next();
        (major.clone(), if major.as_deref() == Some("0") { minor } else { None })
    };
    series(theirs) == series(ours)
}

fn contract_mismatch(path: &Path, error: &LibraryError) -> Error {
    let text = error.to_string();
    tracing::debug!("{}: {text}", path.display());
    Error::input(format!("{} was built against another version of the plugin contract", path.display()))
        .because(first_lines(&text))
        .help(format!(
            "build the plugin again against pallium-core {}; `--log debug` shows the whole difference",
            pallium_core::VERSION
        ))
}

/// The layout checker explains a mismatch in up to thousands of lines; the
/// first that say something are enough for people.
fn first_lines(text: &str) -> String {
    let telling = |line: &&str| {
        let line = line.to_lowercase();
        ["error", "incompatible", "too many", "too few", "mismatch", "expected", "found"]
            .iter()
            .any(|word| line.contains(word))
    };
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|l| !l.is_empty()).filter(telling).take(4).collect();
    let text =
        if lines.is_empty() { text.lines().next().unwrap_or_default().to_owned() } else { lines.join("; ") };
    text.chars().take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_versions_before_one_are_apart() {
        assert!(compatible("0.1.0", "0.1.7"));
        assert!(!compatible("0.1.0", "0.2.0"));
        assert!(compatible("1.2.0", "1.9.1"));
        assert!(!compatible("1.2.0", "2.0.0"));
    }

    #[test]
    fn a_text_file_and_a_cut_library_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("libnotes.so");
        std::fs::write(&text, "just notes").unwrap();
        assert!(admit(&text).err().unwrap().message.contains("not a shared library"));

        // This very test is an ELF file of this machine.
        let own = std::env::current_exe().unwrap();
        let cut = folder.path().join("libcut.so");
        let mut bytes = std::fs::read(&own).unwrap();
        bytes.truncate(bytes.len() / 2);
        std::fs::write(&cut, bytes).unwrap();
        assert!(admit(&cut).err().unwrap().message.contains("is cut short"));
    }
}
