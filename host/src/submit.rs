//! Submits an experiment to a batch system, as an array of shards.
//!
//! Task *i* of *N* runs `pallium run --shard i/N` with the shared run folder. The
//! tasks need no coordination: a finished training appears in the folder in one step,
//! and a task that is killed, requeued or submitted again skips what is finished.
//!
//! Each submission has its own folder in the run folder:
//!
//! ```text
//! submissions/1/experiment.toml  the experiment as submitted, resolved
//! submissions/1/submit.sh        the script with the requested resources
//! submissions/1/task-7.log       the log of task 7
//! ```

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::ValueEnum;
use itertools::Itertools;
use pallium_core::{Error, Kind, Result};

/// A batch system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Slurm: `sbatch --array`.
    Slurm,
    /// HyperQueue: `hq submit --array`.
    #[value(name = "hyperqueue")]
    HyperQueue,
}

/// The resources of one task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resources {
    /// Time limit in minutes.
    pub minutes: u64,
    /// Memory in MB (10^6 bytes).
    pub memory_mb: u64,
    /// Number of trainings that run at the same time.
    pub jobs: u32,
    /// Number of processors.
    pub cpus: u32,
}

impl Resources {
    /// The resources to request, the same for all `tasks`. Each task is a list of
    /// trainings with their estimated seconds and MB; `jobs` of them run at the same
    /// time, with `threads` threads each. The estimates are of this machine and
    /// another one may be slower, and an interrupted task costs more than a limit
    /// that is too long, so there is a margin.
    pub fn estimate(tasks: &[Vec<(f64, f64)>], jobs: u32, threads: u32) -> Self {
        let seconds = |cells: &Vec<(f64, f64)>| {
            let longest = cells.iter().map(|c| c.0).fold(0.0, f64::max);
            let all: f64 = cells.iter().map(|c| c.0).sum();
            // An upper bound if a training starts whenever a processor is free.
            if jobs == 1 { all } else { all / f64::from(jobs) + longest }
        };
        let seconds = tasks.iter().map(seconds).fold(0.0, f64::max);
        let largest = tasks.iter().flatten().map(|c| c.1).fold(0.0, f64::max);
        Resources {
            minutes: ((SLACK * seconds + STARTUP) / 60.0).ceil() as u64,
            memory_mb: (MEMORY_SLACK * largest * f64::from(jobs) + PARENT_MB).ceil() as u64,
            jobs,
            cpus: jobs.saturating_mul(threads),
        }
    }
}

/// Factor by which a node may be slower than this machine.
const SLACK: f64 = 3.0;
/// Seconds for starting, reading data and writing results.
const STARTUP: f64 = 300.0;
const MEMORY_SLACK: f64 = 1.5;
/// Memory of the process that starts the workers, and of the check before a run.
const PARENT_MB: f64 = 500.0;

/// The contents of a submission.
#[derive(Clone, Debug)]
pub struct Submission<'a> {
    /// The batch system.
    pub engine: Engine,
    /// Name of the experiment.
    pub name: &'a str,
    /// The resolved experiment, as TOML.
    pub experiment: &'a str,
    /// Absolute path of the run folder.
    pub out: &'a Path,
    /// This executable.
    pub pallium: &'a Path,
    /// Variables of the environment that each task gets, with their values; see
    /// [`environment`].
    pub environment: &'a [(String, String)],
    /// Further arguments of `pallium run`.
    pub run: &'a [String],
    /// Number of shards.
    pub parts: usize,
    /// Numbers of the shards with unfinished trainings, from 1, ascending; each is a
    /// task.
    pub tasks: &'a [usize],
    /// The resources of each task.
    pub resources: Resources,
    /// Arguments that the user passes to the batch system.
    pub extra: &'a [String],
}

/// A submission whose folder is written.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The folder.
    pub folder: PathBuf,
    /// The script.
    pub script: PathBuf,
    /// The command that submits it.
    pub command: Vec<OsString>,
    engine: Engine,
}

impl Submission<'_> {
    /// Writes the submission's folder.
    ///
    /// # Errors
    /// If it cannot be written, or a path cannot be used in a script.
    pub fn prepare(&self) -> Result<Prepared> {
        let folder = new_folder(&self.out.join("submissions"))?;
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).map_err(|e| Error::io(&path, &e)).map(|()| path)
        };
        write("experiment.toml", self.experiment)?;
        let script = write("submit.sh", &self.script(&folder)?)?;
        #[cfg(unix)]
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .map_err(|e| Error::io(&script, &e))?;
        let start: &[&str] = match self.engine {
            Engine::Slurm => &["sbatch", "--parsable"],
            Engine::HyperQueue => &["hq", "--output-mode=json", "submit", "--directives=always"],
        };
        let mut command: Vec<OsString> = start.iter().map(OsString::from).collect();
        // Arguments take precedence over directives, so the user can override them.
        command.extend(self.extra.iter().map(OsString::from));
        command.push(script.clone().into());
        Ok(Prepared { folder, script, command, engine: self.engine })
    }

    fn script(&self, folder: &Path) -> Result<String> {
        let Resources { minutes, memory_mb, jobs, cpus } = self.resources;
        let Submission { parts, .. } = *self;
        let tasks = ranges(self.tasks);
        let name = pallium_record::spec::file_name(self.name);
        let log = directive_path(&folder.join("task-"))?;
        let cwd = directive_path(&std::env::current_dir().map_err(|e| Error::io(Path::new("."), &e))?)?;
        let mut text = String::from("#!/bin/sh\n");
        let mut line = |line: String| text.push_str(&(line + "\n"));
        let index = match self.engine {
            Engine::Slurm => {
                line(format!("#SBATCH --job-name={name}"));
                line(format!("#SBATCH --array={tasks}"));
                line(format!("#SBATCH --cpus-per-task={cpus}"));
                // Slurm's M is a MiB, slightly more than a MB.
                line(format!("#SBATCH --mem={memory_mb}M"));
                line(format!("#SBATCH --time={minutes}"));
                line(format!("#SBATCH --chdir={cwd}"));
                line(format!("#SBATCH --output={log}%a.log"));
                line("#SBATCH --open-mode=append".into());
                // A task that is preempted or loses its node starts again and
                // continues. It gets a signal to stop a minute before the limit.
                line("#SBATCH --requeue".into());
                line("#SBATCH --signal=B:TERM@60".into());
                "SLURM_ARRAY_TASK_ID"
            }
            Engine::HyperQueue => {
                line(format!("#HQ --name={name}"));
                line(format!("#HQ --array={tasks}"));
                line(format!("#HQ --cpus={cpus}"));
                line(format!("#HQ --resource mem={memory_mb}"));
                line(format!("#HQ --time-request={minutes}m"));
                line(format!("#HQ --time-limit={minutes}m"));
                line(format!("#HQ --cwd={cwd}"));
                line(format!("#HQ --stdout={log}%{{TASK_ID}}.log"));
                line(format!("#HQ --stderr={log}%{{TASK_ID}}.err.log"));
                // The loss of a worker does not count against the task.
                line("#HQ --crash-limit=100".into());
                "HQ_TASK_ID"
            }
        };
        for (name, value) in self.environment {
            line(format!("export {name}={}", quote(value)));
        }
        let mut words = vec![
            unicode(self.pallium)?.to_owned(),
            "run".into(),
            unicode(&folder.join("experiment.toml"))?.to_owned(),
            "--out".into(),
            unicode(self.out)?.to_owned(),
            "--jobs".into(),
            jobs.to_string(),
        ];
        words.extend(self.run.iter().cloned());
        let words: Vec<_> = words.iter().map(|word| quote(word)).collect();
        // `exec`, so that signals of the batch system reach the program itself.
        line(format!("exec {} --shard \"${{{index}}}/{parts}\"", words.join(" ")));
        Ok(text)
    }
}

/// The variables that decide which plugins, libraries, interpreters and caches a
/// training uses. A batch system may give a task an environment of its own
/// (Slurm with `--export=NONE`, HyperQueue that of its worker), so the script
/// sets them.
const VARIABLES: [&str; 8] = [
    "PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "LD_LIBRARY_PATH",
    "HDF5_PLUGIN_PATH",
    "XDG_CACHE_HOME",
];

/// The variables among `all` that a task needs: those of Pallium and its
/// plugins (`PALLIUM_…`), and those that programs and libraries are found with.
///
/// # Errors
/// If a value is not Unicode.
pub fn environment(all: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Vec<(String, String)>> {
    let mut chosen = Vec::new();
    for (name, value) in all {
        let Some(name) = name.to_str() else { continue };
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if value.is_empty() || !plain || !(name.starts_with("PALLIUM_") || VARIABLES.contains(&name)) {
            continue;
        }
        let value = value.into_string().map_err(|value| {
            Error::input(format!(
                "{name}={}: a batch script cannot contain a value that is not Unicode",
                value.display()
            ))
            .help(format!("rename the folder that it names, or unset {name} for this command"))
        })?;
        chosen.push((name.to_owned(), value));
    }
    chosen.sort();
    Ok(chosen)
}

impl Prepared {
    /// Submits the script and returns the number of the job.
    ///
    /// # Errors
    /// If the batch system is missing or refuses the job. The folder is kept.
    pub fn submit(&self) -> Result<String> {
        let (program, arguments) = self.command.split_first().ok_or_else(|| Error::bug("no command"))?;
        let program = program.to_string_lossy();
        let output = Command::new(&*program).args(arguments).stdin(Stdio::null()).output().map_err(|e| {
            match e.kind() {
                io::ErrorKind::NotFound => Error::input(format!("cannot find `{program}` on this machine"))
                    .help(format!(
                        "run this command on a machine with the batch system, or submit {}",
                        self.script.display()
                    )),
                _ => Error::new(Kind::Io, format!("`{program}` cannot be started: {e}")),
            }
        })?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let reason = format!("{}{}", stderr.trim(), stdout.trim());
            let help = if reason.contains("job array") {
                "the array has more tasks than the batch system allows; choose fewer with --array-size".into()
            } else {
                format!(
                    "arguments after `--` are passed to `{program}`, such as -- --partition=NAME; \
                     the script is {}",
                    self.script.display()
                )
            };
            return Err(Error::input(format!("`{program}` refused the job: {reason}")).help(help));
        }
        let id = match self.engine {
            // NUMBER or NUMBER;CLUSTER.
            Engine::Slurm => stdout.trim().split(';').next().map(str::to_owned).filter(|id| is_number(id)),
            Engine::HyperQueue => serde_json::from_str::<serde_json::Value>(stdout.trim())
                .ok()
                .and_then(|answer| Some(answer.get("id")?.as_u64()?.to_string())),
        };
        id.ok_or_else(|| {
            Error::new(Kind::Io, format!("`{program}` returned no job number: {}", stdout.trim()))
                .help("the job may be queued nevertheless; check before submitting again")
        })
    }

    /// The command that submits it, quoted for a shell.
    pub fn command_line(&self) -> String {
        self.command.iter().map(|word| quote(&word.to_string_lossy())).join(" ")
    }
}

impl Engine {
    /// The largest number of a task in an array, if the batch system has a limit
    /// and can be asked for it.
    pub fn most_tasks(self) -> Option<usize> {
        match self {
            Engine::Slurm => {
                let output = Command::new("scontrol")
                    .args(["show", "config"])
                    .stdin(Stdio::null())
                    .stderr(Stdio::null())
                    .output()
                    .ok()?;
                most_in_array(&String::from_utf8_lossy(&output.stdout))
            }
            Engine::HyperQueue => None,
        }
    }

    /// The commands that show and cancel the job `id`.
    pub fn watch(self, id: &str) -> [String; 2] {
        match self {
            Engine::Slurm => [format!("squeue --job {id} --array"), format!("scancel {id}")],
            Engine::HyperQueue => [format!("hq job progress {id}"), format!("hq job cancel {id}")],
        }
    }
}

/// The largest number of a task under Slurm's configuration: one less than
/// `MaxArraySize`.
fn most_in_array(configuration: &str) -> Option<usize> {
    let mut pairs = configuration.lines().filter_map(|line| line.split_once('='));
    let (_, size) = pairs.find(|(name, _)| name.trim() == "MaxArraySize")?;
    size.trim().parse::<usize>().ok()?.checked_sub(1).filter(|most| *most > 0)
}

/// Ascending numbers in the notation of both engines: `1-4,7,9-10`.
fn ranges(numbers: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let text = |(from, to)| if from == to { format!("{from}") } else { format!("{from}-{to}") };
    ranges.into_iter().map(text).join(",")
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Creates a folder in `all`, named by the next free number.
fn new_folder(all: &Path) -> Result<PathBuf> {
    fs::create_dir_all(all).map_err(|e| Error::io(all, &e))?;
    for number in 1_u32.. {
        let folder = all.join(number.to_string());
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io(&folder, &e)),
        }
    }
    Err(Error::bug("there are too many submissions"))
}

fn unicode(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| {
        Error::input(format!("{}: a batch script cannot contain a name that is not Unicode", path.display()))
            .help("rename it, or reach it by a link with a name in Unicode")
    })
}

/// A path for a directive. There is no quoting that both engines support, and `%`
/// starts a placeholder.
fn directive_path(path: &Path) -> Result<String> {
    let text = unicode(path)?;
    if text.contains(|c: char| c.is_whitespace() || "\"'\\%#".contains(c)) {
        return Err(Error::input(format!(
            "{text}: a batch script cannot contain a path with spaces, quotes, \\, % or #"
        ))
        .help("choose another folder with --out, or run the command in another folder"));
    }
    Ok(text.into())
}

/// A word, quoted for a shell if necessary.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut quoted = String::new();
    // Writing to a string cannot fail.
    let _ = write!(quoted, "'{}'", word.replace('\'', "'\\''"));
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submission(engine: Engine, out: &Path) -> Submission<'_> {
        Submission {
            engine,
            name: "Quick start",
            experiment: "seed = 7\n",
            out,
            pallium: Path::new("/opt/pallium's/pallium"),
            environment: &[],
            run: &[],
            parts: 12,
            tasks: &[1, 2, 3, 5, 11, 12],
            resources: Resources { minutes: 90, memory_mb: 1500, jobs: 2, cpus: 2 },
            extra: &[],
        }
    }

    #[test]
    fn resources_have_a_margin() {
        let tasks = [vec![(100.0, 200.0); 3], vec![(100.0, 100.0)]];
        // Three times the longest task, plus five minutes.
        assert_eq!(
            Resources::estimate(&tasks, 1, 1),
            Resources { minutes: 20, memory_mb: 800, jobs: 1, cpus: 1 }
        );
        // Two at the same time: 150 s if they could be split, plus one training.
        assert_eq!(
            Resources::estimate(&tasks, 2, 4),
            Resources { minutes: 18, memory_mb: 1100, jobs: 2, cpus: 8 }
        );
        assert_eq!(
            Resources::estimate(&[], 1, 1),
            Resources { minutes: 5, memory_mb: 500, jobs: 1, cpus: 1 }
        );
    }

    #[test]
    fn words_with_special_characters_are_quoted() {
        assert_eq!(quote("a/b-c.toml"), "a/b-c.toml");
        assert_eq!(quote("W*D*C/t/0"), "'W*D*C/t/0'");
        assert_eq!(quote("it's"), "'it'\\''s'");
        assert_eq!(quote(""), "''");
    }

    #[test]
    fn numbers_are_joined_into_ranges() {
        assert_eq!(ranges(&[1, 2, 3, 4]), "1-4");
        assert_eq!(ranges(&[2, 4, 5, 9]), "2,4-5,9");
        assert_eq!(ranges(&[]), "");
    }

    #[test]
    fn a_script_contains_resources_logs_and_its_shard() {
        let here = tempfile::tempdir().unwrap();
        let run = ["--only=W*/*/0".to_owned()];
        let environment = [
            ("PALLIUM_PLUGIN_PATH".to_owned(), "/opt/a:/opt/b".to_owned()),
            ("PALLIUM_PYTHON".to_owned(), "/opt/it's/bin/python3".to_owned()),
        ];
        let submission =
            Submission { run: &run, environment: &environment, ..submission(Engine::Slurm, here.path()) };
        let prepared = submission.prepare().unwrap();
        let text = fs::read_to_string(&prepared.script).unwrap();
        let folder = here.path().join("submissions/1");
        assert_eq!(prepared.folder, folder);
        assert_eq!(fs::read_to_string(folder.join("experiment.toml")).unwrap(), "seed = 7\n");
        for line in [
            "#!/bin/sh",
            "#SBATCH --job-name=Quick-start",
            "#SBATCH --array=1-3,5,11-12",
            "#SBATCH --cpus-per-task=2",
            "#SBATCH --mem=1500M",
            "#SBATCH --time=90",
            "#SBATCH --requeue",
            "export PALLIUM_PLUGIN_PATH=/opt/a:/opt/b",
            "export PALLIUM_PYTHON='/opt/it'\\''s/bin/python3'",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
        let last = text.lines().last().unwrap();
        let folder = folder.display();
        assert_eq!(
            last,
            format!(
                "exec '/opt/pallium'\\''s/pallium' run {folder}/experiment.toml --out {} --jobs 2 \
                 '--only=W*/*/0' --shard \"${{SLURM_ARRAY_TASK_ID}}/12\"",
                here.path().display()
            )
        );
        // A second submission does not overwrite it.
        let again = Submission { engine: Engine::HyperQueue, run: &[], ..submission }.prepare().unwrap();
        assert!(again.folder.ends_with("submissions/2"));
        let text = fs::read_to_string(&again.script).unwrap();
        for line in
            ["#HQ --array=1-3,5,11-12", "#HQ --cpus=2", "#HQ --resource mem=1500", "#HQ --time-limit=90m"]
        {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
        assert!(text.ends_with("--shard \"${HQ_TASK_ID}/12\"\n"));
        assert!(!text.contains("SBATCH"));
    }

    #[test]
    fn variables_that_matter_travel_with_a_job() {
        let all =
            [("PALLIUM_PYTHON", "/venv/bin/python"), ("HOME", "/root"), ("PATH", "/bin"), ("PYTHONPATH", "")];
        let all = all.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let chosen = environment(all).unwrap();
        let names: Vec<&str> = chosen.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["PALLIUM_PYTHON", "PATH"]);
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStringExt;
            let all = [("PATH".into(), OsString::from_vec(b"/a\xff".to_vec()))];
            let error = environment(all).unwrap_err();
            assert!(error.message.contains("PATH=") && error.help.unwrap().contains("unset PATH"));
        }
    }

    #[test]
    fn the_limit_of_an_array_is_read_from_the_configuration() {
        let text = "Configuration data as of 2026-01-01\nMaxArraySize            = 9\nMaxJobCount = 10000\n";
        assert_eq!(most_in_array(text), Some(8));
        assert_eq!(most_in_array("slurm_load_ctl_conf error"), None);
    }

    #[test]
    fn the_users_arguments_come_last() {
        let here = tempfile::tempdir().unwrap();
        let extra = ["--partition=short".to_owned(), "--time=5".to_owned()];
        let prepared =
            Submission { extra: &extra, ..submission(Engine::Slurm, here.path()) }.prepare().unwrap();
        let script = here.path().join("submissions/1/submit.sh");
        assert_eq!(
            prepared.command_line(),
            format!("sbatch --parsable --partition=short --time=5 {}", script.display())
        );
    }

    #[test]
    fn a_folder_that_a_directive_cannot_contain_is_refused() {
        let here = tempfile::tempdir().unwrap();
        let out = here.path().join("my runs");
        let error = submission(Engine::Slurm, &out).prepare().unwrap_err();
        assert!(error.report().contains("--out"), "{}", error.report());
    }
}
