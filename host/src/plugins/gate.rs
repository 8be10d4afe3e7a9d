//! The gate: the checks that a file must pass before its components are offered.
//! The simplest check comes first, and every refusal says what to do.

use std::path::Path;
use std::sync::Once;

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::check_layout_compatibility;
use abi_stable::library::{LibHeader, LibraryError, ROOT_MODULE_LOADER_NAME_WITH_NUL, lib_header_from_path};
use pallium_core::abi::{Library, Manifest, PluginModuleRef, last_call};
use pallium_core::{Error, Result};
use pallium_files::hash;

use super::{elf, manifest};

/// A library that passed.
#[derive(Clone)]
pub struct Admitted {
    /// The open library.
    pub library: Library,
    /// Its manifest.
    pub manifest: Manifest,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// Loads the plugin at `path`, in a child process: loading runs code of the
/// plugin.
///
/// # Errors
/// One message for each cause: no such file, not a shared library, truncated, not
/// loadable, not a plugin, built against another contract, panics abort, ids or
/// texts that are not allowed.
pub fn admit(path: &Path) -> Result<Admitted> {
    admit_known(path, None)
}

/// As [`admit`], for a file whose SHA-256 may already be `known`.
pub(super) fn admit_known(path: &Path, known: Option<&str>) -> Result<Admitted> {
    elf::check(path)?;
    let sha256 = match known {
        Some(sum) => sum.to_owned(),
        None => hash::file(path)?,
    };

    // The dynamic linker searches the system's folders for a path without `/`.
    let full = std::path::absolute(path).map_err(|e| Error::io(path, &e))?;
    last_call::entered(&path.to_string_lossy(), last_call::LOADING);
    // SAFETY: loading runs the library's initializers, which is code that the
    // user chose to run. The library is never unloaded.
    #[expect(unsafe_code, reason = "loading a plugin")]
    let opened = unsafe { libloading::Library::new(&full) };
    let opened = opened.map_err(|e| {
        Error::input(format!("{} cannot be loaded", path.display()))
            .because(reason(&e))
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

    let header = lib_header_from_path(&full).map_err(|e| contract_mismatch(path, &e))?;
    // Checked first, since its message is plainer than that of a layout mismatch.
    same_series(path, header.version_strings().version.as_str())?;
    let module = module(header).map_err(|e| contract_mismatch(path, &e))?;
    let library = Library::new(module);
    let manifest = library.manifest().map_err(|e| e.context(format!("{} was refused", path.display())))?;
    if !manifest.unwinds {
        return Err(Error::input(format!("{} is built with panic = \"abort\"", path.display())).help(
            "a panic in it would end the whole program: remove `panic = \"abort\"` from the plugin's Cargo profile and build it again",
        ));
    }
    same_series(path, &manifest.core_version)?;
    manifest::check(&manifest).map_err(|e| e.context(format!("{} was refused", path.display())))?;
    Ok(Admitted { library, manifest, sha256 })
}

/// The message of the dynamic linker, which is the innermost source of the error.
fn reason(error: &libloading::Error) -> String {
    let mut nearest: &dyn std::error::Error = error;
    while let Some(source) = nearest.source() {
        nearest = source;
    }
    nearest.to_string()
}

/// The plugin's module, if its layout is compatible: the same as here, extended at
/// its ends (a newer core), or not yet extended as here (an older core).
fn module(header: &'static LibHeader) -> Result<PluginModuleRef, LibraryError> {
    check_own_layout();
    let module = header.init_root_module::<PluginModuleRef>();
    let Err(LibraryError::AbiInstability(_)) = &module else { return module };
    // abi_stable allows only the library to be newer. Extension at the end is
    // safe in both directions: every access to a later field or method checks
    // whether the library has it, and otherwise takes the default of this side.
    // So the check is repeated with the sides exchanged.
    let behind = header.layout().is_some_and(|theirs| {
        check_layout_compatibility(theirs, <PluginModuleRef as StableAbi>::LAYOUT).is_ok()
    });
    if !behind {
        return module;
    }
    // SAFETY: the check above found that the layouts agree up to the end of the
    // shorter one.
    #[expect(unsafe_code, reason = "abi_stable's own check allows growth in one direction only")]
    unsafe {
        header.init_root_module_with_unchecked_layout::<PluginModuleRef>()
    }
}

/// Has the layout checker see this side's layout before the first foreign one.
/// The checker keeps what it has seen for the rest of the process; if that began
/// with an older plugin, whose traits have fewer methods, it would refuse every
/// later plugin of the present contract.
fn check_own_layout() {
    static FIRST: Once = Once::new();
    FIRST.call_once(|| {
        let own = <PluginModuleRef as StableAbi>::LAYOUT;
        if let Err(e) = check_layout_compatibility(own, own) {
            tracing::debug!("this program's own layout: {e}");
        }
    });
}

/// Refuses a plugin that was built against an incompatible version of the core.
fn same_series(path: &Path, core_version: &str) -> Result<()> {
    if compatible(core_version, pallium_core::VERSION) {
        return Ok(());
    }
    Err(Error::input(format!(
        "{} was built against pallium-core {core_version}, but this is {}",
        path.display(),
        pallium_core::VERSION
    ))
    .help(format!(
        "port the plugin to pallium-core {} and build it again (`pallium plugins vendor FOLDER` provides it; the \
         changelog lists what has changed under Plugin contract)",
        pallium_core::VERSION
    )))
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
        .because(first_difference(&text))
        .help(format!(
            "build the plugin again against pallium-core {}; `--log debug` shows the full difference",
            pallium_core::VERSION
        ))
}

/// The first difference in a report of the layout checker, which can have
/// thousands of lines.
fn first_difference(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let at = lines.iter().position(|line| line.starts_with("Error:"));
    let difference = at.and_then(|at| {
        let after = |heading: &str| {
            let heading = at + lines[at..].iter().position(|line| *line == heading)?;
            lines.get(heading + 1).map(|line| line.trim_start_matches("field_name:"))
        };
        let (expected, found) = (after("Expected:")?, after("Found:")?);
        // The path to the place, down to its last named step.
        let way = lines[..at].iter().rposition(|line| line.starts_with("Layout of expected type"))?;
        let step = lines[..way].iter().rev().filter_map(|line| line.strip_prefix("field_name:"));
        let step = step.into_iter().find(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
        let place = step.map(|name| format!(" in `{name}`")).unwrap_or_default();
        let what = lines[at].trim_start_matches("Error:");
        Some(format!("{what}{place}: {found} instead of {expected}"))
    });
    let difference = difference.unwrap_or_else(|| lines.first().copied().unwrap_or_default().to_owned());
    difference.chars().take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_of_a_layout_is_reported_in_a_line() {
        let text = "Compared <this>:\n  a\n0 error(s).\n\n2 error(s)inside:\n    <other>\n    field_name:0\n    \
            type:VTable\n\n    field_name:project\n    type:AFunctionPointer\n\nLayout of expected type:\n    \
            field_name:other\nLayout of found type:\n    x\n\nError:unexpected field\nExpected:\n    \
            field_name:__returns\n    type:RResult\nFound:\n    field_name:param_2\n    type:f64\n";
        assert_eq!(first_difference(text), "unexpected field in `project`: param_2 instead of __returns");
        assert_eq!(first_difference("no library\nat all"), "no library");
        assert_eq!(first_difference(""), "");
    }

    #[test]
    fn minor_versions_before_one_are_incompatible() {
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

        // The test executable is an ELF file for this machine.
        let own = std::env::current_exe().unwrap();
        let cut = folder.path().join("libcut.so");
        let mut bytes = std::fs::read(&own).unwrap();
        bytes.truncate(bytes.len() / 2);
        std::fs::write(&cut, bytes).unwrap();
        assert!(admit(&cut).err().unwrap().message.contains("is truncated"));
    }
}
