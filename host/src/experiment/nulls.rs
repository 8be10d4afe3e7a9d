//! `[nulls]`: null models of variants, each of which becomes a variant of its own before
//! the tree is read.

use pallium_core::Result;
use pallium_record::defaults;

use super::tree::{Node, Table, Value, check_keys};

const KEYS: &[&str] = &["of", "keep"];

/// Adds the variants that `[nulls]` describes, each behind the one that it belongs to.
///
/// # Errors
/// If a key is unknown or missing, or a name is not a variant's.
pub(super) fn write_out(tree: &mut Node) -> Result<()> {
    let Value::Table(top) = &mut tree.value else { return Ok(()) };
    let Some(nulls) = top.remove("nulls") else { return Ok(()) };
    let table = nulls.table("`nulls`")?;
    check_keys(table, KEYS, "[nulls]")?;
    let Some(of) = table.get("of") else {
        return Err(nulls
            .at
            .error("`nulls.of` is missing")
            .help("add of = \"NAME\", the variant whose weights the null models change, or a list"));
    };
    let keep = table.get("keep").map(Node::list).unwrap_or_default();
    if keep.is_empty() {
        return Err(nulls.at.error("`nulls.keep` is missing or empty").help(format!(
            "add keep = [\"density\", \"degrees\"]: `degrees` is the weight source `{}.degrees`; `pallium plugins \
             list` lists all",
            defaults::NULLS
        )));
    }
    let mut kept: Vec<(String, Node)> = Vec::new();
    for node in keep {
        let null = self::kept(node)?;
        if kept.iter().any(|(label, _)| *label == null.0) {
            return Err(node
                .at
                .error(format!("`nulls.keep` has two null models `{}`", null.0))
                .help("give one of them a name of its own: { use = \"…\", name = \"…\" }"));
        }
        kept.push(null);
    }
    let name = |variant: &Node| variant.table("").ok()?.get("name")?.text("").ok();
    let mut variants: Vec<Node> =
        top.get("variant").map(Node::list).unwrap_or_default().into_iter().cloned().collect();
    let originals: Vec<String> = variants.iter().filter_map(name).collect();
    let originals_of = of.list();
    if originals_of.is_empty() {
        return Err(of
            .at
            .error("`nulls.of` is empty")
            .help(format!("variants: {}", super::names(&originals))));
    }
    let mut seen: Vec<String> = Vec::new();
    for of in originals_of {
        let wanted = of.text("a variant of `nulls.of`")?;
        if seen.contains(&wanted) {
            return Err(of
                .at
                .error(format!("`nulls.of` names `{wanted}` twice"))
                .help("leave out one of them"));
        }
        seen.push(wanted.clone());
        let Some(at) = variants.iter().position(|variant| name(variant).as_deref() == Some(&*wanted)) else {
            return Err(of
                .at
                .error(format!("`nulls.of` is `{wanted}`, which is not a variant"))
                .help(format!("variants: {}", super::names(&originals))));
        };
        let original = variants[at].clone();
        if original.table("a variant")?.contains_key("null") {
            return Err(of
                .at
                .error(format!("`nulls.of` is `{wanted}`, which is itself a null model"))
                .help("name the variant whose weights it changes"));
        }
        let all = kept.iter().map(|(label, null)| {
            let mut variant = original.clone();
            if let Value::Table(table) = &mut variant.value {
                table.insert("name".into(), leaf(null, format!("{wanted}, null {label}")));
                table.insert("null".into(), null.clone());
            }
            variant
        });
        variants.splice(at + 1..at + 1, all.collect::<Vec<_>>());
    }
    if let Some(list) = top.get_mut("variant") {
        list.value = Value::List(variants);
    }
    Ok(())
}

fn leaf(at: &Node, text: String) -> Node {
    Node { at: at.at.clone(), value: Value::Leaf(text.into()), raw: None }
}

/// An entry of `keep`: its label in the names of variants, and the component.
fn kept(node: &Node) -> Result<(String, Node)> {
    let mut table = match &node.value {
        Value::Table(table) => table.clone(),
        _ => Table::from([("use".to_owned(), leaf(node, node.text("an entry of `nulls.keep`")?))]),
    };
    let Some(used) = table.get("use") else {
        return Err(node
            .at
            .error("an entry of `nulls.keep` does not name its component")
            .help("add use = \"…\", such as { use = \"degrees\", diagonal = \"keep\" }"));
    };
    let written = used.text("`use`")?;
    let id = match written.contains('.') {
        true => written.clone(),
        false => format!("{}.{written}", defaults::NULLS),
    };
    let at = leaf(used, id);
    table.insert("use".into(), at);
    let label = match table.remove("name") {
        Some(name) => super::read::label(&name, "the name of a null model")?,
        None => written,
    };
    Ok((label, Node { value: Value::Table(table), ..node.clone() }))
}
