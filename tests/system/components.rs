//! `docs/components.md` matches the plugins.

use crate::harness::{pallium, root};

#[test]
fn the_components_page_is_up_to_date() {
    let page = pallium(&["plugins", "list", "--markdown"]).ok().stdout;
    let path = root().join("docs/components.md");
    let written = std::fs::read_to_string(&path).unwrap();
    let differing = page.lines().zip(written.lines()).find(|(now, then)| now != then);
    assert!(
        page == written,
        "docs/components.md is out of date; bring it up to date with\n\
         target/release/pallium plugins list --markdown > docs/components.md\n\
         the first line that differs: {differing:?}; {} lines, and {} there",
        page.lines().count(),
        written.lines().count()
    );
    // Each listed component has an entry.
    let listed = pallium(&["plugins", "list", "--json"]).ok().json();
    for component in listed.as_array().unwrap() {
        let id = component["id"].as_str().unwrap();
        assert!(page.contains(&format!("\n### {id}\n")), "{id}");
    }
}

#[test]
fn markdown_and_json_exclude_each_other() {
    pallium(&["plugins", "list", "--markdown", "--json"]).refused(&["cannot be used with"]);
}
