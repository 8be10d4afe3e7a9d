//! Sweeps.

use std::time::Duration;

use super::*;
use crate::experiment::Expansion;
use crate::limits::Limits;

fn expand(text: &str, sets: &[&str]) -> Expansion {
    Folder::new(&[("x.toml", text)]).load(sets).unwrap().expansion(&catalogue()).unwrap()
}

/// The variants, in order, each once.
fn variants(expansion: &Expansion) -> Vec<&str> {
    let mut names: Vec<_> = expansion.cells.iter().map(|c| c.variant.as_str()).collect();
    names.dedup();
    let mut seen = Vec::new();
    names.retain(|name| {
        !seen.contains(name) && {
            seen.push(name);
            true
        }
    });
    names
}

const ONE_TASK: &str = "runs = 1\ntasks = ['cognition.one-choice']\n";

#[test]
fn a_parameter_of_a_variant_multiplies_that_variant() {
    let text = format!(
        "{ONE_TASK}[[variant]]\nname = 'W'\n[[variant]]\nname = 'W*D'\n\
         constraints = [{{ use = 'spatial.distance', strength = {{ sweep = [0.1, 0.3, 1.0] }} }}]\n"
    );
    let expansion = expand(&text, &[]);
    assert_eq!(variants(&expansion), ["W", "W*D[strength=0.1]", "W*D[strength=0.3]", "W*D[strength=1.0]"]);
    let strengths: Vec<_> =
        expansion.cells[1..].iter().map(|c| c.constraints[0].params["strength"].as_f64().unwrap()).collect();
    assert_eq!(strengths, [0.1, 0.3, 1.0]);
    assert_eq!(
        expansion.axes_table(),
        [
            ["variant", "task", "strength"],
            ["W", "cognition.one-choice", ""],
            ["W*D[strength=0.1]", "cognition.one-choice", "0.1"],
            ["W*D[strength=0.3]", "cognition.one-choice", "0.3"],
            ["W*D[strength=1.0]", "cognition.one-choice", "1.0"],
        ]
    );
}

#[test]
fn axes_of_the_experiment_multiply_every_variant_in_order() {
    let text = "runs = 2\ntasks = ['cognition.one-choice', 'cognition.go-no-go']\n\
        [substrate]\nneurons = { sweep = [10, 20] }\n[training]\nepochs = { sweep = [1, 2] }\n\
        [[variant]]\nname = 'A'\n[[variant]]\nname = 'B'\n";
    let expansion = expand(text, &[]);
    assert_eq!(expansion.cells.len(), 2 * 2 * 2 * 4);
    assert_eq!(
        variants(&expansion),
        [
            "A[neurons=10,epochs=1]",
            "A[neurons=10,epochs=2]",
            "A[neurons=20,epochs=1]",
            "A[neurons=20,epochs=2]",
            "B[neurons=10,epochs=1]",
            "B[neurons=10,epochs=2]",
            "B[neurons=20,epochs=1]",
            "B[neurons=20,epochs=2]",
        ]
    );
    let cell = &expansion.cells[2];
    assert_eq!((cell.substrate.params["neurons"].as_u64(), cell.training.epochs), (Some(20), 1));
    assert_eq!(expansion.axes, ["neurons", "epochs"]);
    let runs: Vec<_> = expansion.cells.iter().map(|c| c.run).collect();
    assert!(runs.is_sorted() && runs[16] == 1);
}

#[test]
fn an_axis_that_does_not_affect_a_variant_does_not_multiply_it() {
    let text = format!(
        "{ONE_TASK}[defaults.'spatial.l1']\nstrength = {{ sweep = [0.1, 0.3] }}\n\
         [switches]\npositive_start = {{ sweep = ['none', 'rescaled'] }}\n\
         [[variant]]\nname = 'W'\nconstraints = ['spatial.l1']\n\
         [[variant]]\nname = 'W+'\nconstraints = ['spatial.l1', 'spatial.non-negative']\n\
         [[variant]]\nname = 'W*D'\nconstraints = ['spatial.distance']\n"
    );
    assert_eq!(
        variants(&expand(&text, &[])),
        [
            "W[strength=0.1]",
            "W[strength=0.3]",
            "W+[strength=0.1,positive_start=none]",
            "W+[strength=0.1,positive_start=rescaled]",
            "W+[strength=0.3,positive_start=none]",
            "W+[strength=0.3,positive_start=rescaled]",
            "W*D",
        ]
    );
}

#[test]
fn an_axis_in_a_task_names_the_task() {
    let text = "runs = 1\ntasks = [{ use = 'cognition.one-choice', delay = { sweep = [5, 10] } }, \
        { use = 'cognition.go-no-go', name = 'go', delay = { sweep = [1] } }]\n[[variant]]\nname = 'W'\n";
    let expansion = expand(text, &[]);
    let labels: Vec<_> = expansion.cells.iter().map(CellSpec::label).collect();
    assert_eq!(
        labels,
        ["W/cognition.one-choice[delay=5]/0", "W/cognition.one-choice[delay=10]/0", "W/go[delay=1]/0"]
    );
    assert_eq!(expansion.axes_table()[2], ["W", "cognition.one-choice[delay=10]", "10"]);
    assert_eq!(expansion.cells[1].task_component.params["delay"], 10);
}

#[test]
fn a_list_is_one_value_unless_it_is_swept() {
    let text = format!(
        "{ONE_TASK}[[variant]]\nname = 'A'\nconstraints = {{ sweep = [['spatial.l1'], ['spatial.l1', 'spatial.distance']] }}\n\
         weights = {{ sweep = ['init.orthogonal', {{ use = 'microns.functional', shuffle = 'all' }}] }}\n"
    );
    let expansion = expand(&text, &[]);
    assert_eq!(
        variants(&expansion),
        [
            "A[constraints=1,weights=init.orthogonal]",
            "A[constraints=1,weights=microns.functional]",
            "A[constraints=2,weights=init.orthogonal]",
            "A[constraints=2,weights=microns.functional]",
        ]
    );
    assert_eq!(expansion.cells[2].constraints.len(), 2);
    assert_eq!(expansion.cells[1].weights.params["shuffle"], "all");
    let labelled = text.replace("distance']] }", "distance']], labels = ['bare', 'placed'] }");
    assert_eq!(variants(&expand(&labelled, &[]))[2], "A[constraints=placed,weights=init.orthogonal]");
}

#[test]
fn ranges_are_linear_or_logarithmic_and_rounded() {
    let values = |range: &str| -> Vec<String> {
        let set = format!("defaults.'spatial.l1'.strength={{sweep={{{range}}}}}");
        let text = format!("{ONE_TASK}[[variant]]\nname = 'W'\nconstraints = ['spatial.l1']\n");
        expand(&text, &[&set]).cells.iter().map(|c| c.constraints[0].params["strength"].to_string()).collect()
    };
    assert_eq!(values("from = 0.1, to = 0.5, steps = 5"), ["0.1", "0.2", "0.3", "0.4", "0.5"]);
    assert_eq!(
        values("from = 0.01, to = 100, steps = 5, scale = 'log'"),
        ["0.01", "0.1", "1.0", "10.0", "100.0"]
    );
    assert_eq!(values("from = 1, to = 2, steps = 3"), ["1", "1.5", "2"]);
    assert_eq!(
        values("from = 10, to = 1000, steps = 5, scale = 'log', whole = true"),
        ["10", "32", "100", "316", "1000"]
    );
    assert_eq!(values("from = 3, to = 1, steps = 3"), ["3", "2", "1"]);
}

#[test]
fn profiles_fields_and_seeds_can_be_swept() {
    let text = "runs = 1\nprofile = { sweep = ['published', 'corrected'] }\nseed = { sweep = [1, 2] }\n\
        tasks = ['cognition.one-choice']\n[substrate]\npath = { sweep = ['data/one', 'data/two'] }\n\
        [[variant]]\nname = 'W'\nconstraints = ['spatial.l1']\n";
    let folder = Folder::new(&[("x.toml", text), ("data/one/a", ""), ("data/two/a", "")]);
    let x = folder.load(&[]).unwrap();
    let expansion = x.expansion(&catalogue()).unwrap();
    assert_eq!(expansion.cells.len(), 8);
    let last = &expansion.cells[7];
    assert_eq!(last.variant, "W[profile=corrected,seed=2,path=two]");
    assert_eq!(last.seed, 2);
    assert!(last.substrate.params["path"].as_str().unwrap().ends_with("data/two"));
    assert_eq!(expansion.profiles["W[profile=published,seed=1,path=one]"], "published");
    assert_eq!(expansion.profiles["W[profile=corrected,seed=1,path=one]"], "corrected");
    assert_eq!(last.constraints[0].params["strength_rule"], "applied");
    // The resolved experiment gives the same trainings from any folder.
    let again = Folder::new(&[("x.toml", &x.resolved_text(&catalogue()).unwrap())]);
    assert_eq!(again.cells(&[]).unwrap(), expansion.cells);
}

#[test]
fn axes_with_one_name_vary_together_and_clashing_names_are_extended() {
    let linked = format!(
        "{ONE_TASK}[training]\nepochs = {{ sweep = [1, 2], name = 'effort' }}\n\
         trials = {{ sweep = [100, 200], name = 'effort' }}\n[[variant]]\nname = 'W'\n"
    );
    let expansion = expand(&linked, &[]);
    assert_eq!(variants(&expansion), ["W[effort=1]", "W[effort=2]"]);
    assert_eq!(expansion.cells[1].training.trials, 200);
    let both = format!(
        "{ONE_TASK}[[variant]]\nname = 'W'\nconstraints = [{{ use = 'spatial.l1', strength = {{ sweep = [0.1] }} }}, \
         {{ use = 'spatial.distance', strength = {{ sweep = [0.2] }} }}]\n"
    );
    assert_eq!(variants(&expand(&both, &[])), ["W[spatial.l1.strength=0.1,spatial.distance.strength=0.2]"]);
}

#[test]
fn overrides_replace_sweeps_by_values_and_values_by_sweeps() {
    let text = format!(
        "{ONE_TASK}[training]\nepochs = {{ sweep = [1, 2] }}\n[[variant]]\nname = 'W'\nweights = 'init.orthogonal'\n"
    );
    assert_eq!(variants(&expand(&text, &["training.epochs=3"])), ["W"]);
    assert_eq!(variants(&expand(&text, &["training.epochs={sweep=[5]}"])), ["W[epochs=5]"]);
    let range = "training.epochs={sweep={from=1, to=3, steps=3}}";
    assert_eq!(variants(&expand(&text, &[range])).len(), 3);
    let set = "variant.W.weights={sweep=['init.orthogonal', 'microns.functional']}";
    assert_eq!(variants(&expand(&text, &["training.epochs=3", set])).len(), 2);
}

#[test]
fn mistakes_in_sweeps_are_reported_with_their_place() {
    let tail = "runs = 1\ntasks = ['cognition.one-choice']\n[[variant]]\nname = 'W'\n";
    let epochs = |sweep: &str| format!("training.epochs = {sweep}\n{tail}");
    for (text, message, help) in [
        (epochs("{ sweep = [] }"), "x.toml:1: `sweep` is empty", "at least one"),
        (
            epochs("{ sweep = 3 }"),
            "x.toml:1: `sweep` cannot be 3: it must be a list, or { from = …, to = …, steps = … }",
            "",
        ),
        (epochs("{ sweep = [1], step = 2 }"), "x.toml:1: unknown key `step` in a sweep", "sweep"),
        (epochs("{ sweep = [1, 1] }"), "x.toml:1: `1` is the name of two values of a sweep", "labels"),
        (epochs("{ sweep = [1, 2], labels = ['a'] }"), "x.toml:1: 1 labels for 2 values", ""),
        (epochs("{ sweep = [1, 0] }"), "x.toml:1: `training.epochs` is 0", "at least 1"),
        (epochs("{ sweep = [1, { sweep = [2] }] }"), "x.toml:1: a value that is swept is itself a sweep", ""),
        (epochs("{ sweep = { from = 1, to = 2 } }"), "x.toml:1: a range has no `steps`", "steps = 5"),
        (
            epochs("{ sweep = { from = 0, to = 2, steps = 3, scale = 'log' } }"),
            "x.toml:1: a logarithmic range from 0 to 2",
            "above 0",
        ),
        (epochs("{ sweep = { from = 1, to = 2, steps = 1 } }"), "x.toml:1: `steps` is 1", "at least 2"),
        (epochs("{ sweep = [1], name = 'a/b' }"), "x.toml:1: an axis cannot be called `a/b`", "brackets"),
        (
            tail.replace("runs = 1", "runs = { sweep = [1, 2] }"),
            "x.toml:1: `runs` cannot be swept",
            "applies to the complete",
        ),
        (
            format!("training = {{ sweep = [{{ epochs = 1 }}] }}\n{tail}"),
            "x.toml:1: `training` cannot be swept",
            "one of its keys",
        ),
        (tail.replace("'W'", "{ sweep = ['W', 'V'] }"), "x.toml:4: a name cannot be swept", "named after"),
        (
            tail.replace("['cognition.one-choice']", "[{ sweep = ['cognition.one-choice'] }]"),
            "x.toml:2: an entry of `tasks` cannot be swept",
            "a key in it",
        ),
        (
            format!(
                "training.epochs = {{ sweep = [1, 2], name = 'a' }}\ntraining.trials = {{ sweep = [1, 2, 3], name = 'a' }}\n{tail}"
            ),
            "x.toml:2: the axis `a` has 3 values here and 2 elsewhere",
            "the same length",
        ),
        (
            format!(
                "defaults.'spatial.l1'.strength = {{ sweep = [0.1, 0.2] }}\n{tail}constraints = [{{ use = 'spatial.l1', strength_rule = {{ sweep = ['applied', 'ignored'], name = 'strength' }} }}]\n"
            ),
            "x.toml:5: variant `W` has two axes called `strength`",
            "a name of its own",
        ),
    ] {
        refused(&text, &[], message, help);
    }
    refused(
        &format!(
            "defaults.'spatial.l1'.strength = {{ sweep = [0.1, 'a'] }}\n{tail}constraints = ['spatial.l1']\n"
        ),
        &[],
        "x.toml:1: parameter `strength` of `spatial.l1` cannot be \"a\": it must be a number",
        "plugins show",
    );
}

#[test]
fn limits_do_not_affect_the_trainings() {
    let text =
        format!("{ONE_TASK}[limits]\ncell_timeout = 90.5\ncell_memory = 4000\n[[variant]]\nname = 'W'\n");
    let folder = Folder::new(&[("x.toml", &text)]);
    let x = folder.load(&[]).unwrap();
    assert_eq!(x.limits, Limits { timeout: Some(Duration::from_millis(90_500)), memory_mb: Some(4000) });
    let without =
        Folder::new(&[("x.toml", &text.replace("[limits]\ncell_timeout = 90.5\ncell_memory = 4000\n", ""))]);
    assert_eq!(x.expand(&catalogue()).unwrap(), without.cells(&[]).unwrap());
    assert_eq!(without.load(&[]).unwrap().limits, Limits::default());
    refused(
        &text.replace("90.5", "0"),
        &[],
        "x.toml:4: `limits.cell_timeout` cannot be 0: it must be a number of seconds above 0",
        "",
    );
    refused(&text.replace("4000", "1"), &[], "x.toml:5: `limits.cell_memory` is 1", "at least 64");
    refused(
        &text.replace("4000", "{ sweep = [100, 200] }"),
        &[],
        "x.toml:3: nothing in `limits` can be swept",
        "",
    );
    let long = format!("{}[[variant]]\nname = '{}'\n", ONE_TASK, "x".repeat(300));
    let cell = expand(&long, &[]).cells.remove(0);
    assert!(cell.folder_name(&"0".repeat(64)).len() < 200);
}
