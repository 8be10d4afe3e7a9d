//! `[analysis]`.

use pallium_record::analysis::{Analysis, AnalysisFactor};

use super::*;

const VARIANTS: &str = "
tasks = [\"cognition.one-choice\"]
[[variant]]
name = \"free\"
[[variant]]
name = \"bound\"
constraints = [{ use = \"spatial.l1\", strength = { sweep = [0.1, 0.3] } }]
[analysis]
";

#[test]
fn reference_factors_and_contrasts_are_read_in_the_order_of_the_file() {
    let text = format!(
        "{VARIANTS}reference = \"free\"
        criterion = 0.9
        equivalence = 0.02
        contrasts = [[\"bound\", \"free\"], [\"bound[strength=0.3]\", \"bound[strength=0.1]\"]]
        [analysis.factors]
        second = {{ z = [\"bound\"], a = \"free\" }}
        first = {{ x = [\"free\"], y = [\"bound[strength=0.1]\"] }}
        "
    );
    let folder = Folder::new(&[("x.toml", &text)]);
    let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let level = |level: &str, variants: &[&str]| (level.to_owned(), names(variants));
    let factor = |name: &str, levels| AnalysisFactor { name: name.into(), levels };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let found = folder.load(&[]).unwrap().analysis;
    let expected = Analysis {
        reference: Some("free".into()),
        factors: vec![
            factor("second", vec![level("z", &["bound"]), level("a", &["free"])]),
            factor("first", vec![level("x", &["free"]), level("y", &["bound[strength=0.1]"])]),
        ],
        contrasts: vec![pair("bound", "free"), pair("bound[strength=0.3]", "bound[strength=0.1]")],
        criterion: Some(0.9),
        equivalence: Some(0.02),
    };
    assert_eq!(found, expected);
}

#[test]
fn the_analysis_does_not_change_any_training() {
    let with = format!("{VARIANTS}reference = \"bound\"\n");
    let without = VARIANTS.replace("[analysis]", "");
    let cells = |text: &str| Folder::new(&[("x.toml", text)]).cells(&[]).unwrap();
    assert_eq!(cells(&with), cells(&without));
}

#[test]
fn mistakes_in_the_analysis_are_reported_with_their_place() {
    let of = |lines: &str, message: &str, help: &str| {
        refused(&format!("{VARIANTS}{lines}"), &[], message, help);
    };
    of("referenz = \"free\"", "x.toml:9: unknown key `referenz` in [analysis]", "`reference`");
    of(
        "reference = \"W\"",
        "x.toml:9: `analysis.reference` is `W`, which is not a variant",
        "`free`, `bound[strength=0.1]`",
    );
    of(
        "contrasts = [\"free\"]",
        "x.toml:9: a contrast cannot be \"free\": it must be a list of two variants",
        "[[",
    );
    of(
        "contrasts = [[\"free\", \"free\"]]",
        "x.toml:9: a contrast compares `free` with itself",
        "two different",
    );
    of(
        "contrasts = [[\"free\", \"bound\"], [\"bound\", \"free\"]]",
        "x.toml:9: duplicate contrast of `free` and `bound`",
        "remove one",
    );
    of(
        "factors.f = { a = [\"free\"], b = [] }",
        "x.toml:9: level `b` of factor `f` has no variants",
        "remove the level",
    );
    of("criterion = 90", "x.toml:9: `analysis.criterion` is 90", "above 0 and at most 1");
    of("factors.f = [\"free\"]", "x.toml:9: factor `f` cannot be [\"free\"]: it must be a table", "levels");
    of("factors.f.a = [\"free\"]", "x.toml:9: factor `f` has 1 levels", "two or more");
    of(
        "factors.f = { a = [\"free\"], b = [\"bound\", \"free\"] }",
        "x.toml:9: factor `f` names variant `free` twice",
        "one level",
    );
    of("reference = { sweep = [\"free\", \"bound\"] }", "x.toml:8: nothing in `analysis` can be swept", "");
}
