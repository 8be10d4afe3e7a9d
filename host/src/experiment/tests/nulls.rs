//! `[nulls]`.

use pallium_record::spec::Use;

use super::*;
use crate::experiment::Variant;

const FILE: &str = "
tasks = [\"cognition.one-choice\"]
[[variant]]
name = \"W*\"
geometry = \"soma\"
weights = { use = \"microns.functional\", diagonal = { sweep = [\"keep\", \"zero\"] } }
[[variant]]
name = \"W\"
[nulls]
of = \"W*\"
keep = [\"degrees\", { use = \"degrees\", name = \"all\", diagonal = \"keep\" }, \"mylab.null\"]
";

fn load(text: &str) -> Result<Experiment> {
    Folder::new(&[("x.toml", text)]).load(&[])
}

#[test]
fn null_models_are_variants_behind_their_original() {
    let experiment = load(FILE).unwrap();
    let names: Vec<&str> = experiment.variants.iter().map(|variant| variant.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "W*[diagonal=keep]",
            "W*[diagonal=zero]",
            "W*, null degrees[diagonal=keep]",
            "W*, null degrees[diagonal=zero]",
            "W*, null all[diagonal=keep]",
            "W*, null all[diagonal=zero]",
            "W*, null mylab.null[diagonal=keep]",
            "W*, null mylab.null[diagonal=zero]",
            "W"
        ]
    );
    let [original, _, degrees, _, all, _, own, _, other] = experiment.variants.as_slice() else { panic!() };
    assert_eq!(degrees.weights.component, original.weights.component);
    assert_eq!(degrees.geometry, original.geometry);
    let null = |variant: &Variant| variant.null.clone().map(|null| null.component);
    assert_eq!([null(original), null(other)], [None, None]);
    assert_eq!(null(degrees).unwrap(), Use::new("null.degrees"));
    assert_eq!(null(own).unwrap().id, "mylab.null");
    let all = null(all).unwrap();
    assert_eq!((all.id.as_str(), &all.params["diagonal"]), ("null.degrees", &"keep".into()));
}

#[test]
fn mistakes_are_refused_with_their_place() {
    let refused = |from: &str, to: &str| load(&FILE.replace(from, to)).unwrap_err();
    let error = refused("of = \"W*\"", "of = [\"W\", \"V\"]");
    assert!(error.message.contains("x.toml:10: `nulls.of` is `V`, which is not a variant"), "{error}");
    assert_eq!(error.help.unwrap(), "variants: `W*`, `W`");
    let error = refused("of = \"W*\"", "off = \"W*\"");
    assert!(error.message.contains("unknown key `off` in [nulls]"), "{error}");
    assert!(refused("of = \"W*\"\n", "").message.contains("x.toml:9: `nulls.of` is missing"));
    assert!(
        refused("{ use = \"degrees\", name = \"all\"", "{ name = \"all\"").message.contains("its component")
    );
    let error = refused("name = \"all\"", "name = \"degrees\"");
    assert!(error.message.contains("`nulls.keep` has two null models `degrees`"), "{error}");
    assert!(refused("of = \"W*\"", "of = []").message.contains("x.toml:10: `nulls.of` is empty"));
    let error = refused("of = \"W*\"", "of = [\"W\", \"W\"]");
    assert!(error.message.contains("x.toml:10: `nulls.of` names `W` twice"), "{error}");
    assert!(refused("name = \"all\"", "name = \"a/b\"").message.contains("cannot be `a/b`"));
}
