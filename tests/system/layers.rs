//! Three rings, arrows inward.

use crate::harness::root;

/// The contract, its conformance checks, and the libraries, which the host and all
/// plugins may use.
const CORE: [&str; 3] = ["pallium-core", "pallium-testkit", "pallium-process"];

fn dependencies(manifest: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(manifest)).unwrap();
    let table: toml::Table = text.parse().unwrap();
    ["dependencies", "build-dependencies", "dev-dependencies"]
        .iter()
        .filter_map(|section| table.get(*section)?.as_table())
        .flat_map(|section| section.keys().cloned())
        .collect()
}

fn folders(place: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(root().join(place))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() >= 5, "{names:?}");
    names
}

fn plugins() -> Vec<String> {
    folders("plugins")
}

/// Crates of `libs/`: what several plugins, or the host and plugins, need.
fn libraries() -> Vec<String> {
    folders("libs").into_iter().map(|folder| format!("pallium-{folder}")).collect()
}

/// Asserts that a crate depends on none of ours but the core and the libraries.
fn knows_only_core_and_libraries(folder: &str) {
    let libraries = libraries();
    let others: Vec<_> = dependencies(&format!("{folder}/Cargo.toml"))
        .into_iter()
        .filter(|name| name.starts_with("pallium") && name != "pallium-core" && !libraries.contains(name))
        .collect();
    assert!(others.is_empty(), "{folder} depends on {others:?}");
}

#[test]
fn plugins_know_only_the_core_and_the_libraries() {
    for plugin in plugins() {
        knows_only_core_and_libraries(&format!("plugins/{plugin}"));
    }
}

#[test]
fn libraries_know_only_the_core_and_each_other() {
    for library in folders("libs") {
        knows_only_core_and_libraries(&format!("libs/{library}"));
    }
}

#[test]
fn only_one_library_names_faer() {
    for plugin in plugins() {
        assert!(
            !dependencies(&format!("plugins/{plugin}/Cargo.toml")).contains(&"faer".to_owned()),
            "{plugin}"
        );
    }
    let of: Vec<_> = folders("libs")
        .into_iter()
        .filter(|library| dependencies(&format!("libs/{library}/Cargo.toml")).contains(&"faer".to_owned()))
        .collect();
    assert_eq!(of, ["linalg"], "faer is generic: every crate that names it compiles it again");
}

#[test]
fn the_core_knows_nobody_and_the_host_no_plugin() {
    assert!(!dependencies("core/Cargo.toml").iter().any(|name| name.starts_with("pallium")));
    let checks = dependencies("core/testkit/Cargo.toml");
    assert!(!checks.iter().any(|name| name.starts_with("pallium") && name != "pallium-core"), "{checks:?}");
    let host = dependencies("host/Cargo.toml");
    assert!(host.contains(&"pallium-core".to_owned()));
    assert!(
        !host.iter().any(|name| name.starts_with("pallium") && !CORE.contains(&name.as_str())),
        "{host:?}"
    );
}

#[test]
fn only_the_rnn_plugin_links_candle() {
    for plugin in plugins() {
        let candle =
            dependencies(&format!("plugins/{plugin}/Cargo.toml")).iter().any(|n| n.starts_with("candle"));
        assert_eq!(candle, plugin == "rnn", "plugins/{plugin}");
    }
    assert!(!dependencies("host/Cargo.toml").iter().any(|n| n.starts_with("candle")));
}

#[test]
fn plugins_are_libraries_that_nobody_can_link() {
    for plugin in plugins() {
        let text = std::fs::read_to_string(root().join(format!("plugins/{plugin}/Cargo.toml"))).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let kinds = table["lib"]["crate-type"].as_array().unwrap();
        assert_eq!(
            kinds.iter().filter_map(|k| k.as_str()).collect::<Vec<_>>(),
            ["cdylib"],
            "plugins/{plugin}"
        );
    }
}

#[test]
fn only_the_wire_and_the_loader_name_abi_stable() {
    fn visit(folder: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs")
                && std::fs::read_to_string(&path).unwrap().contains("abi_stable::")
            {
                found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    for ring in ["core/src", "core/testkit", "host/src", "libs", "plugins"] {
        visit(&root().join(ring), &mut found);
    }
    found.retain(|path| !path.starts_with("core/src/abi/") && path != "host/src/plugins/gate.rs");
    assert!(found.is_empty(), "{found:?}");
}
