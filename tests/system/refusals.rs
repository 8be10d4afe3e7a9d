//! `docs/errors.md`: each heading of that page has a case here that provokes its
//! message.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::crates::copy;
use crate::harness::{
    Ended, Scratch, execute, fixture, pallium, pallium_with, plugin, program, root, shared, text,
};

/// Provokes a message, in a folder of its own.
type Case = Box<dyn Fn(&Path) -> Ended>;

fn listed(path: &Path) -> Ended {
    pallium_with(&[path], &["plugins", "list"])
}

/// `pallium plugins list` with a plugin whose manifest has these keys.
fn claimed(keys: &str) -> Ended {
    let mut command = program(&["plugins", "list"]);
    command.env("PALLIUM_PLUGIN_PATH", fixture("claims")).env("PALLIUM_FIXTURE_MANIFEST", keys);
    // Descriptions are kept by the file's hash, which a test's manifest leaves alone.
    let cache = Scratch::new();
    execute(command.env("XDG_CACHE_HOME", cache.path()))
}

/// A plugin with `bytes` in place of those at `at`.
fn patched(folder: &Path, at: usize, bytes: &[u8]) -> PathBuf {
    let mut library = std::fs::read(plugin("pallium_cognition")).unwrap();
    library[at..at + bytes.len()].copy_from_slice(bytes);
    let path = folder.join("libpatched.so");
    std::fs::write(&path, library).unwrap();
    path
}

fn plugins() -> Vec<(&'static str, Case)> {
    fn case(call: impl Fn(&Path) -> Ended + 'static) -> Case {
        Box::new(call)
    }
    vec![
        ("A folder on the plugin path does not exist", case(|_| listed(Path::new("/nowhere/at/all")))),
        (
            "The file is not a shared library",
            case(|folder| {
                let notes = folder.join("libnotes.so");
                std::fs::write(&notes, "").unwrap();
                let empty = listed(&notes);
                std::fs::write(&notes, "notes, longer than the header of a library is. ".repeat(9)).unwrap();
                let ended = listed(&notes);
                assert_eq!((&empty.code, &empty.stderr), (&ended.code, &ended.stderr));
                ended
            }),
        ),
        // Offsets in the header of an ELF file: type, class, processor.
        ("The file is an executable", case(|folder| listed(&patched(folder, 16, &[2])))),
        ("The library is for another kind of machine", case(|folder| listed(&patched(folder, 4, &[1])))),
        (
            "The library is for another processor",
            // 8: MIPS, which Pallium does not support.
            case(|folder| listed(&patched(folder, 18, &[8, 0]))),
        ),
        (
            "The library is truncated",
            case(|folder| {
                // A truncated library must not be loaded, because that would crash the program.
                let whole = std::fs::read(plugin("pallium_cognition")).unwrap();
                let cut = folder.join("libcut.so");
                let ends = [1, 3, 9].map(|tenths| {
                    std::fs::write(&cut, &whole[..whole.len() * tenths / 10]).unwrap();
                    listed(&cut)
                });
                let [first, others @ ..] = ends;
                assert!(others.iter().all(|ended| ended.stderr.contains("libcut.so is truncated")));
                first
            }),
        ),
        (
            "The library cannot be loaded",
            case(|folder| {
                // It needs a library that does not exist.
                let library = std::fs::read(plugin("pallium_cognition")).unwrap();
                let at = library.windows(10).position(|w| w == b"libc.so.6\0").unwrap();
                listed(&patched(folder, at, b"libq.so.6"))
            }),
        ),
        (
            "The library fails while it is loaded",
            case(|_| {
                let mut command = program(&["plugins", "list"]);
                command.env("PALLIUM_PLUGIN_PATH", fixture("rogue")).env("PALLIUM_FIXTURE_LOAD", "segfault");
                let cache = Scratch::new();
                execute(command.env("XDG_CACHE_HOME", cache.path()))
            }),
        ),
        ("The library is not a plugin", case(|_| listed(&fixture("library")))),
        (
            "The contract differs",
            case(|_| {
                let ended = listed(&fixture("stale"));
                // The complete difference has a thousand lines.
                assert!(ended.stderr.lines().count() < 15);
                ended
            }),
        ),
        ("The core is of another series", case(|_| listed(&fixture("series")))),
        ("The plugin requires something newer", case(|_| claimed("{ \"requires\": [\"weather\"] }"))),
        ("A panic would abort", case(|_| claimed("{ \"unwinds\": false }"))),
        ("The manifest cannot be read", case(|_| listed(&fixture("mute")))),
        ("An id or a text is not allowed", case(|_| claimed("{ \"name\": \"red \\u001b[31m\" }"))),
        (
            "Two plugins offer the same component",
            case(|folder| {
                let copy = folder.join("libcopy.so");
                std::fs::copy(plugin("pallium_cognition"), &copy).unwrap();
                listed(&copy)
            }),
        ),
    ]
}

const BASE: &str = "runs = 1\ntasks = [\"cognition.go-no-go\"]\n\
    [substrate]\nuse = \"synthetic.field\"\nneurons = 16\n\
    [training]\nepochs = 1\ntrials = 32\nbatch = 16\n";
const VARIANT: &str = "[[variant]]\nname = \"a\"\n";

/// `pallium plan` of a file with this text.
fn planned(folder: &Path, text_of_file: &str, options: &[&str]) -> Ended {
    let file = folder.join("experiment.toml");
    std::fs::write(&file, text_of_file).unwrap();
    pallium(&[&["plan", text(&file)], options].concat())
}

fn experiments() -> Vec<(&'static str, Case)> {
    // The usual file with one thing changed.
    let change = |from: &'static str, to: &'static str| -> Case {
        assert!(BASE.contains(from), "{from}");
        Box::new(move |folder| planned(folder, &format!("{}{VARIANT}", BASE.replace(from, to)), &[]))
    };
    let base = |more: &'static str| -> Case {
        Box::new(move |folder| planned(folder, &format!("{BASE}{more}"), &[]))
    };
    let variant = |more: &'static str| -> Case {
        Box::new(move |folder| planned(folder, &format!("{BASE}{VARIANT}{more}\n"), &[]))
    };
    let option = |options: &'static [&'static str]| -> Case {
        Box::new(move |folder| planned(folder, &format!("{BASE}{VARIANT}"), options))
    };
    vec![
        ("There is no such component", variant("constraints = [\"spatial.distanse\"]")),
        ("The component plays another role", variant("constraints = [\"cognition.go-no-go\"]")),
        ("There is no such parameter", variant("constraints = [{ use = \"spatial.l1\", strenght = 1.0 }]")),
        (
            "A parameter has the wrong type",
            variant("constraints = [{ use = \"spatial.l1\", strength = \"much\" }]"),
        ),
        ("A parameter is out of range", variant("constraints = [{ use = \"spatial.l1\", strength = -1.0 }]")),
        ("A component is not named", variant("constraints = [{ strength = 1.0 }]")),
        ("The file cannot be read", Box::new(|_| pallium(&["plan", "nowhere.toml"]))),
        ("The file is not valid TOML", Box::new(|folder| planned(folder, "runs = [\n", &[]))),
        ("There is no such key", variant("constrains = []")),
        ("A value has the wrong type", change("runs = 1", "runs = \"many\"")),
        ("A number is too small", change("runs = 1", "runs = 0")),
        ("A number is too large", change("runs = 1", "seed = 99999999999999999999")),
        ("A number is not finite", variant("weights = { use = \"init.orthogonal\", gain = inf }")),
        ("A date is not text", change("runs = 1", "about = 2026-01-01")),
        ("There are no tasks", change("tasks = [\"cognition.go-no-go\"]\n", "")),
        ("There are no variants", base("")),
        ("A variant has no name", base("[[variant]]\nweights = \"init.orthogonal\"\n")),
        ("A name is empty", base("[[variant]]\nname = \" \"\n")),
        ("A name cannot be part of a path", base("[[variant]]\nname = \"a/b\"\n")),
        ("A variant is a duplicate", variant(VARIANT)),
        ("Null models are of no variant", variant("[nulls]\nof = \"b\"\nkeep = [\"degrees\"]\n")),
        ("Null models keep nothing", variant("[nulls]\nof = \"a\"\n")),
        (
            "A null model is of a null model",
            variant("null = \"null.degrees\"\n[nulls]\nof = \"a\"\nkeep = [\"degrees\"]\n"),
        ),
        ("A null model has no original", variant("weights = \"null.degrees\"")),
        (
            "A null model connects all pairs",
            variant("weights = \"init.sparse\"\nconnections = true\nnull = \"null.eigenvalues\""),
        ),
        (
            "A task is a duplicate",
            change("[\"cognition.go-no-go\"]", "[\"cognition.go-no-go\", \"cognition.go-no-go\"]"),
        ),
        (
            "A network has too few tasks",
            change("[\"cognition.go-no-go\"]", "[{ name = \"both\", members = [\"cognition.go-no-go\"] }]"),
        ),
        (
            "There is no such order",
            change(
                "[\"cognition.go-no-go\"]",
                "[{ name = \"both\", order = \"blocked\", members = [\"cognition.go-no-go\", \"cognition.one-choice\"] }]",
            ),
        ),
        (
            "Tasks do not fit one network",
            change(
                "[\"cognition.go-no-go\"]",
                "[{ name = \"both\", members = [\"cognition.go-no-go\", \"signal.integration\"] }]",
            ),
        ),
        (
            "A stage has no end",
            change(
                "[\"cognition.go-no-go\"]",
                "[{ use = \"cognition.go-no-go\", curriculum = [{ delay = 1 }] }]",
            ),
        ),
        (
            "A stage changes the network",
            change(
                "[\"cognition.go-no-go\"]",
                "[{ use = \"cognition.bandit\", curriculum = [{ arms = 2, until = 3 }] }]",
            ),
        ),
        (
            "A metric is a duplicate",
            base(
                "[metrics]\nuse = [\"organization.entropy\", \"organization.entropy\"]\n[[variant]]\nname = \"a\"\n",
            ),
        ),
        ("There is no such profile", change("runs = 1", "profile = \"pubished\"")),
        (
            "There is no such switch",
            base("[switches]\ncoordinate_layuot = \"rows\"\n[[variant]]\nname = \"a\"\n"),
        ),
        (
            "A switch has no such value",
            base("[switches]\ncoordinate_layout = \"columns\"\n[[variant]]\nname = \"a\"\n"),
        ),
        ("There is no such geometry", variant("geometry = \"sphere\"")),
        ("A geometry has no space", variant("geometry = { shuffled = true }")),
        ("Nothing can be shuffled", variant("geometry = { space = \"none\", shuffled = true }")),
        (
            "The grid is too small",
            Box::new(|folder| {
                let file = folder.join("experiment.toml");
                let lines = "geometry = \"grid:2x2x2\"\nconstraints = [\"spatial.distance\"]\n";
                std::fs::write(&file, format!("{BASE}{VARIANT}{lines}")).unwrap();
                pallium(&["run", text(&file), "--out", text(&folder.join("out"))])
            }),
        ),
        ("Distances are needed", variant("constraints = [\"spatial.distance\"]")),
        (
            "A penalty has nothing to act on",
            Box::new(|folder| {
                let file = folder.join("experiment.toml");
                let lines = "constraints = [\"spatial.l1\"]\n";
                std::fs::write(&file, format!("model = \"rnn.reservoir\"\n{BASE}{VARIANT}{lines}")).unwrap();
                pallium(&["run", text(&file), "--out", text(&folder.join("out"))])
            }),
        ),
        ("The substrate needs a path", change("\"synthetic.field\"\nneurons = 16", "\"microns.field\"")),
        (
            "There is nothing at a path",
            change("\"synthetic.field\"\nneurons = 16", "\"microns.field\"\npath = \"nowhere\""),
        ),
        ("The base cannot be read", change("runs = 1", "base = \"nowhere.toml\"")),
        ("A file is its own base", change("runs = 1", "base = \"experiment.toml\"")),
        ("Defaults are not a table", base("[defaults]\n\"spatial.l1\" = 1.0\n[[variant]]\nname = \"a\"\n")),
        ("An id is not quoted", base("[defaults.spatial.l1]\nstrength = 1.0\n[[variant]]\nname = \"a\"\n")),
        ("An override has no value", option(&["--set", "runs"])),
        ("An override has no path", option(&["--set", "a..b=1"])),
        ("An override names no variant", option(&["--set", "variant.b.geometry=grid"])),
        ("No training matches", option(&["--only", "b"])),
        ("A pattern is invalid", option(&["--only", "[b"])),
    ]
}

fn sweeps() -> Vec<(&'static str, Case)> {
    let change = |from: &'static str, to: &'static str| -> Case {
        assert!(BASE.contains(from), "{from}");
        Box::new(move |folder| planned(folder, &format!("{}{VARIANT}", BASE.replace(from, to)), &[]))
    };
    let base = |more: &'static str| -> Case {
        Box::new(move |folder| planned(folder, &format!("{BASE}{more}"), &[]))
    };
    // A parameter that takes any number, swept so.
    let swept = |sweep: &'static str| -> Case {
        Box::new(move |folder| {
            let weights = format!("weights = {{ use = \"init.orthogonal\", gain = {{ {sweep} }} }}\n");
            planned(folder, &format!("{BASE}{VARIANT}{weights}"), &[])
        })
    };
    vec![
        ("A key cannot be swept", change("runs = 1", "runs = { sweep = [1, 2] }")),
        (
            "An entry of a list cannot be swept",
            change("[\"cognition.go-no-go\"]", "[{ sweep = [\"cognition.go-no-go\"] }]"),
        ),
        ("A name cannot be swept", base("[[variant]]\nname = { sweep = [\"a\", \"b\"] }\n")),
        (
            "Two axes of one name differ in length",
            base(
                "[[variant]]\nname = \"a\"\nconstraints = [\
                 { use = \"spatial.l1\", strength = { sweep = [1.0, 2.0], name = \"x\" } },\
                 { use = \"spatial.distance\", strength = { sweep = [1.0, 2.0, 3.0], name = \"x\" } }]\n",
            ),
        ),
        ("An axis cannot have that name", swept("sweep = [1.0, 2.0], name = \"a=b\"")),
        (
            "A variant has two axes of one name",
            Box::new(|folder| {
                let epochs = BASE.replace("epochs = 1", "epochs = { sweep = [1, 2], name = \"x\" }");
                let weights =
                    "weights = { use = \"init.orthogonal\", gain = { sweep = [1.0, 2.0], name = \"x\" } }\n";
                planned(folder, &format!("{epochs}{VARIANT}{weights}"), &[])
            }),
        ),
        ("A sweep is not a list", swept("sweep = 1.0")),
        ("A sweep is empty", swept("sweep = []")),
        ("A sweep is nested", swept("sweep = [{ sweep = [1.0] }]")),
        ("There are too few labels", swept("sweep = [1.0, 2.0], labels = [\"a\"]")),
        ("Two values of a sweep have one label", swept("sweep = [1.0, 1.0]")),
        ("A range is incomplete", swept("sweep = { from = 1.0, to = 2.0 }")),
        (
            "A logarithmic range reaches zero",
            swept("sweep = { from = 0.0, to = 2.0, steps = 3, scale = \"log\" }"),
        ),
        (
            "A range has an unknown scale",
            swept("sweep = { from = 0.0, to = 2.0, steps = 3, scale = \"cubic\" }"),
        ),
        (
            "A sweep has too many points",
            Box::new(|folder| {
                let many = "{ sweep = { from = 1, to = 200, steps = 200 } }";
                let text = BASE
                    .replace("trials = 32", &format!("trials = {many}"))
                    .replace("batch = 16", &format!("batch = {many}"));
                planned(folder, &format!("{text}{VARIANT}"), &[])
            }),
        ),
        ("A time limit is not a duration", base("[limits]\ncell_timeout = -1\n[[variant]]\nname = \"a\"\n")),
        ("A memory limit is too small", base("[limits]\ncell_memory = 1\n[[variant]]\nname = \"a\"\n")),
    ]
}

fn reports() -> Vec<(&'static str, Case)> {
    /// A copy of a finished run.
    fn ran(folder: &Path) -> String {
        static RUN: LazyLock<PathBuf> = LazyLock::new(|| {
            let folder = shared("refusals");
            let (file, out) = (folder.join("experiment.toml"), folder.join("out"));
            std::fs::write(&file, format!("{BASE}{VARIANT}")).unwrap();
            pallium(&["run", text(&file), "--out", text(&out)]).ok();
            out
        });
        let out = folder.join("out");
        copy(&RUN, &out);
        // A file in place of a folder, for one case.
        std::fs::write(folder.join("experiment.toml"), "").unwrap();
        text(&out).to_owned()
    }
    fn reported(options: &'static [&'static str]) -> Case {
        Box::new(move |folder| {
            let out = ran(folder);
            let options = options.iter().map(|o| o.replace("HERE", text(folder)));
            let arguments: Vec<String> = ["report".to_owned(), out].into_iter().chain(options).collect();
            pallium(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
        })
    }
    vec![
        ("The folder of a run does not exist", Box::new(|_| pallium(&["report", "nowhere/at/all"]))),
        ("The folder holds no run", Box::new(|folder| pallium(&["report", text(folder)]))),
        (
            "A run has no results yet",
            Box::new(|folder| {
                let out = ran(folder);
                let table = Path::new(&out).join("results.csv");
                std::fs::write(table, "variant,task,run,split,measure,value,status\n").unwrap();
                pallium(&["report", &out])
            }),
        ),
        (
            "A table is damaged",
            Box::new(|folder| {
                let out = ran(folder);
                std::fs::write(Path::new(&out).join("results.csv"), "variant,task\nW\n").unwrap();
                pallium(&["report", &out])
            }),
        ),
        (
            "A training is damaged",
            Box::new(|folder| {
                let out = ran(folder);
                let cells = std::fs::read_dir(Path::new(&out).join("cells")).unwrap();
                cells.for_each(|cell| std::fs::write(cell.unwrap().path().join("cell.json"), "{").unwrap());
                pallium(&["report", &out])
            }),
        ),
        ("Several documents for standard output", reported(&["--json", "--latex", "-"])),
        ("The output file is a folder", reported(&["--html", "HERE"])),
        ("The folder of a file does not exist", reported(&["--html", "HERE/no/such/report.html"])),
        ("Figures need a folder", reported(&["--figures", "HERE/experiment.toml"])),
        ("One run folder cannot be compared", Box::new(|folder| pallium(&["compare", text(folder)]))),
    ]
}

/// The messages of the page, by heading.
fn documented() -> BTreeMap<String, String> {
    let page = std::fs::read_to_string(root().join("docs/errors.md")).unwrap();
    let mut all = BTreeMap::new();
    for section in page.split("\n### ").skip(1) {
        let (heading, rest) = section.split_once('\n').unwrap();
        let block = rest.split("```text\n").nth(1).and_then(|b| b.split("\n```").next());
        let block = block.unwrap_or_else(|| panic!("«{heading}» has no message"));
        // A remedy is documented where the message has none.
        assert!(section.contains("\nCause: "), "«{heading}» has no cause");
        let remedy = section.contains("\nRemedy: ") || block.contains("\n  help: ");
        assert!(remedy, "«{heading}» has no remedy");
        assert!(all.insert(heading.to_owned(), block.to_owned()).is_none(), "«{heading}» is a duplicate");
    }
    all
}

/// The first line of `message` that is not among the lines of `stderr`, in order.
fn missing<'a>(message: &'a str, stderr: &str) -> Option<&'a str> {
    let mut lines = stderr.lines();
    message.lines().find(|line| {
        let fits = |found: &str| {
            let mut rest = found;
            line.split('…').enumerate().all(|(place, part)| match rest.find(part) {
                Some(at) if place > 0 || at == 0 => {
                    rest = &rest[at + part.len()..];
                    true
                }
                _ => false,
            })
        };
        !lines.any(fits)
    })
}

/// Runs the cases and compares their messages with the page.
fn hold(cases: Vec<(&'static str, Case)>) {
    let documented = documented();
    let mut wrong = Vec::new();
    for (heading, case) in cases {
        let scratch = Scratch::new();
        let ended = case(scratch.path());
        let missing = missing(&documented[heading], &ended.stderr);
        if ended.code != Some(2) || missing.is_some() {
            wrong.push(format!("«{heading}», code {:?}, without {missing:?}:\n{}", ended.code, ended.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_documented_error_has_a_case_and_every_case_is_documented() {
    let cases: Vec<&str> = [plugins(), experiments(), sweeps(), reports()]
        .into_iter()
        .flatten()
        .map(|(heading, _)| heading)
        .collect();
    let headings: BTreeSet<&str> = cases.iter().copied().collect();
    assert_eq!(headings.len(), cases.len(), "a heading has two cases");
    assert_eq!(headings, documented().keys().map(String::as_str).collect());
}

#[test]
fn plugin_files_are_refused_in_the_documented_words() {
    hold(plugins());
}

#[test]
fn experiment_files_are_refused_in_the_documented_words() {
    hold(experiments());
}

#[test]
fn sweeps_are_refused_in_the_documented_words() {
    hold(sweeps());
}

#[test]
fn reports_are_refused_in_the_documented_words() {
    hold(reports());
}

/// The version is in the module's header, which is checked first, and in the manifest.
#[test]
fn a_core_of_another_series_is_refused_wherever_it_is_stated() {
    let parts = ["was built against pallium-core 0.1.0, but this is", "port the plugin to pallium-core"];
    listed(&fixture("series")).refused(&parts);
    claimed("{ \"core_version\": \"0.1.0\" }").refused(&parts);
    claimed("{ \"core_version\": \"0.2.99\", \"a key of a later version\": 1 }").ok();
}
