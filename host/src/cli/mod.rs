//! The command line.
//!
//! Results go to standard output, everything else to standard error. The exit
//! code is 0 for success, 2 for a mistake that the user can fix, 3 if a run
//! finished and some trainings failed, and 101 for a bug.

/// Writes a line to standard error.
macro_rules! status {
    ($($text:tt)*) => {
        $crate::cli::write_stderr(&format!("{}\n", format_args!($($text)*)))
    };
}

mod cite;
mod compare;
mod evaluate;
mod export;
mod field;
mod finished;
mod isolated;
mod likeness;
mod measure;
pub mod npy;
mod output;
mod penalty;
mod plan;
mod plugins;
mod report;
mod run;
mod stats;
mod submit;
pub mod support;
mod tune;
mod weights;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Args, Parser, Subcommand};
use pallium_core::{Error, Kind, Result};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::prelude::*;

use crate::child;
use crate::run::{log, warnings};

/// Trains and compares recurrent neural networks built from recordings of cortex.
#[derive(Parser, Debug)]
#[command(
    name = "pallium",
    version,
    arg_required_else_help = true,
    after_help = "Example:
  pallium run experiments/quickstart.toml --out runs/quickstart

`pallium COMMAND --help` shows an example of each command."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    logging: Logging,
    /// Makes this process a child of another, which reads this file, if it is not
    /// empty; see [`child`]. As text, because a path must not be empty.
    #[arg(long, value_name = "PAGE", global = true, hide = true)]
    child: Option<OsString>,
}

#[derive(Args, Debug)]
struct Logging {
    /// More output on stderr: -v info, -vv debug, -vvv trace
    #[arg(short, long, action = ArgAction::Count, global = true)]
    verbose: u8,
    /// The log level on stderr.
    #[arg(
        long,
        value_name = "LEVEL",
        global = true,
        conflicts_with = "verbose",
        value_parser = ["off", "error", "warn", "info", "debug", "trace"],
        hide_possible_values = true,
        help = "Log level on stderr: off, error, warn, info, debug or trace [default: warn]"
    )]
    log: Option<String>,
    /// The log level of the run folder's log.jsonl.
    #[arg(
        long,
        value_name = "LEVEL",
        global = true,
        value_parser = ["off", "error", "warn", "info", "debug", "trace"],
        hide_possible_values = true,
        help = "Log level of the run folder's log.jsonl [default: info, or the stderr level if more detailed]"
    )]
    keep_log: Option<String>,
}

impl Logging {
    fn level(&self) -> LevelFilter {
        match (&self.log, self.verbose) {
            // clap accepts only names of levels.
            (Some(name), _) => name.parse().unwrap_or(LevelFilter::WARN),
            (None, 0) => LevelFilter::WARN,
            (None, 1) => LevelFilter::INFO,
            (None, 2) => LevelFilter::DEBUG,
            (None, _) => LevelFilter::TRACE,
        }
    }

    fn kept_level(&self) -> LevelFilter {
        match &self.keep_log {
            Some(name) => name.parse().unwrap_or(LevelFilter::INFO),
            None => self.level().max(LevelFilter::INFO),
        }
    }
}

#[derive(Subcommand, Debug)]
enum Command {
    Run(run::Run),
    Plan(plan::Plan),
    Tune(tune::Tune),
    Submit(submit::Submit),
    Report(report::ReportArgs),
    Compare(compare::Compare),
    Cite(cite::Cite),
    Plugins(plugins::Plugins),
    Measure(measure::Measure),
    Evaluate(evaluate::Evaluate),
    Likeness(likeness::Likeness),
    Penalty(penalty::Penalty),
    Weights(weights::Weights),
    Field(field::Field),
    Stats(stats::Stats),
    Export(export::Export),
    /// Runs trainings for a parent process.
    #[command(hide = true)]
    Worker,
}

impl Command {
    /// Whether the command itself builds components, so that it has to run in a
    /// child process.
    fn builds_components(&self) -> bool {
        match self {
            Command::Measure(args) => !args.of_run(),
            Command::Penalty(_) | Command::Weights(_) => true,
            Command::Field(args) => args.builds_components(),
            Command::Plugins(args) => args.builds_components(),
            _ => false,
        }
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|at| format!(" at {at}")).unwrap_or_default();
        let cause = panic.payload_as_str().unwrap_or("no message");
        write_stderr(&format!("error: pallium panicked{place}: {cause}\n{BUG}\n"));
    }));
    let code = run_with(&std::env::args_os().collect::<Vec<_>>());
    ExitCode::from(code)
}

/// Says how the value of an option may begin with a dash, where clap offers `--`,
/// which would make it another argument.
fn with_dash_tip(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    let Some(ContextValue::String(wrong)) = error.get(ContextKind::InvalidArg) else { return error };
    let before = arguments.iter().zip(arguments.iter().skip(1)).find(|(_, next)| **next == **wrong);
    if let Some((option, _)) = before
        && let Some(option) =
            option.to_str().filter(|option| option.starts_with("--") && !option.contains('='))
        && error.kind() == ErrorKind::UnknownArgument
    {
        let tip = format!("to pass '{wrong}' as the value of '{option}', use '{option}={wrong}'");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

const BUG: &str = "  help: this is a bug in pallium; \
    please report this message and the command to Pallium's developers";

fn run_with(arguments: &[OsString]) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(e) => {
            // --help and --version are printed here too; a closed output is not an
            // error.
            let code = e.exit_code();
            let _ = with_dash_tip(e, arguments).print();
            return u8::try_from(code).unwrap_or(2);
        }
    };
    let level = cli.logging.level();
    let to_stderr = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .log_internal_errors(false)
        .with_target(false)
        .without_time()
        .fmt_fields(debug_fn(move |writer, field, value| match field.name() {
            "message" => write!(writer, "{value:?}"),
            // Where in a plugin an event comes from matters only to its author.
            "origin" if level < LevelFilter::DEBUG => Ok(()),
            name => write!(writer, " {name}={value:?}"),
        }))
        .with_filter(
            // Progress of a run is shown by other means.
            filter_fn(move |event| *event.level() <= level && event.target() != log::TRAINING_EVENTS)
                .with_max_level_hint(level),
        );
    // Only these commands have a run folder.
    let has_folder = match &cli.command {
        Command::Run(_) | Command::Worker => true,
        Command::Measure(args) => args.of_run(),
        _ => false,
    };
    let to_folder = has_folder.then(|| log::layer(cli.logging.kept_level()));
    let keep_warnings = matches!(cli.command, Command::Worker).then(warnings::layer);
    let shows_progress = matches!(&cli.command, Command::Field(args) if args.takes_long());
    let progress =
        (shows_progress && level != LevelFilter::OFF).then(|| field::progress::Progress::new().filtered());
    let layers = tracing_subscriber::registry().with(to_stderr).with(to_folder);
    if layers.with(keep_warnings).with(progress).try_init().is_err() {
        write_stderr("warning: logging was set up twice\n");
    }
    let code = match &cli.child {
        Some(page) => child::inside::enter(page.as_ref()).and_then(|()| dispatch(&cli.command)),
        None if cli.command.builds_components() => isolated::run(arguments),
        None => dispatch(&cli.command),
    };
    let code = code.unwrap_or_else(|error| {
        write_stderr(&format!("error: {}\n", error.report()));
        if error.kind == Kind::Bug {
            write_stderr(&format!("{BUG}\n"));
        }
        code_of(&error)
    });
    child::last_call::end(code);
    code
}

fn dispatch(command: &Command) -> Result<u8> {
    let done = match command {
        Command::Run(args) => return run::run(args),
        Command::Worker => return crate::run::worker::main(),
        Command::Plan(args) => plan::plan(args),
        Command::Tune(args) => tune::tune(args),
        Command::Submit(args) => submit::submit(args),
        Command::Report(args) => report::report(args),
        Command::Compare(args) => compare::compare(args),
        Command::Cite(args) => cite::cite(args),
        Command::Plugins(args) => return plugins::plugins(args),
        Command::Measure(args) => return measure::measure(args),
        Command::Evaluate(args) => evaluate::evaluate(args),
        Command::Likeness(args) => likeness::likeness(args),
        Command::Penalty(args) => penalty::penalty(args),
        Command::Weights(args) => weights::weights(args),
        Command::Field(args) => field::field(args),
        Command::Stats(args) => stats::stats(args),
        Command::Export(args) => export::export(args),
    };
    done?;
    // A component that fails while it is dropped cannot return its error.
    match pallium_core::abi::take_close_failures().into_iter().next() {
        Some(error) => Err(error),
        None => Ok(0),
    }
}

/// The exit code of an error, by who can fix it.
fn code_of(error: &Error) -> u8 {
    match error.kind {
        Kind::Bug => 101,
        // The user can remove or replace a faulty plugin.
        _ => 2,
    }
}

/// Writes to standard error; nothing can report a failure of that.
fn write_stderr(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// A command and its subcommands.
    fn commands(command: &clap::Command) -> Vec<&clap::Command> {
        let below = command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help");
        std::iter::once(command).chain(below.flat_map(commands)).collect()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_a_description_and_an_example() {
        let root = Cli::command();
        for command in commands(&root) {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name}");
            let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let begins = ["Example:\n  pallium ", "Examples:\n  pallium "];
            assert!(begins.iter().any(|begin| example.starts_with(begin)), "{name}: {example}");
        }
    }

    #[test]
    fn examples_are_valid_commands() {
        let root = Cli::command();
        let mut checked = 0;
        for command in commands(&root) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let example = help.replace("\\\n", " ");
            for line in example.lines().skip(1).take_while(|line| line.starts_with("  pallium ")) {
                let words = line.split_whitespace().map(|word| word.trim_matches('\''));
                Cli::try_parse_from(words).unwrap_or_else(|e| panic!("{line}: {e}"));
                checked += 1;
            }
        }
        assert!(checked >= 12, "{checked}");
    }

    #[test]
    fn levels_follow_the_options() {
        let level = |arguments: &[&str]| {
            let all = ["pallium", "plugins", "list"].iter().chain(arguments);
            Cli::try_parse_from(all).map(|cli| cli.logging.level())
        };
        assert_eq!(level(&[]).unwrap(), LevelFilter::WARN);
        assert_eq!(level(&["-v"]).unwrap(), LevelFilter::INFO);
        assert_eq!(level(&["-vv"]).unwrap(), LevelFilter::DEBUG);
        assert_eq!(level(&["--log", "off"]).unwrap(), LevelFilter::OFF);
        assert!(level(&["--log", "loud"]).is_err());
    }

    #[test]
    fn mistakes_and_bugs_have_different_exit_codes() {
        assert_eq!(code_of(&Error::input("x")), 2);
        assert_eq!(code_of(&Error::unsupported("x")), 2);
        assert_eq!(code_of(&Error::io(std::path::Path::new("x"), &std::io::Error::other("y"))), 2);
        assert_eq!(code_of(&Error::bug("x")), 101);
        assert_eq!(code_of(&Error::plugin("x")), 2);
        assert_eq!(code_of(&Error::new(Kind::Panic, "x")), 2);
    }
}
