//! `pallium field fetch`.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use pallium_core::{Error, Result};
use serde_json::{Value, json};

use crate::cli::support;
use crate::fetch::{self, Client, FIELDS, LISTING_URL, Listing, Patience, RELEASE_URL, Source};

/// Downloads released fields, each to its own folder.
///
/// Files are kept in the user's cache ($XDG_CACHE_HOME/pallium, or
/// ~/.cache/pallium): no file is downloaded twice, an interrupted download
/// continues, and cached files need no network. Files are verified by hashes that
/// Pallium knows, by the git hashes of the release, or by those recorded at the
/// first download. SHA256SUMS in each folder lists the SHA-256 of its files.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium field fetch 6_6_2 5_3_4 --out data

All 56 fields:
  pallium field fetch --all --out data")]
pub struct Fetch {
    /// Fields, such as 6_6_2 (session, scan and field).
    #[arg(value_name = "NAME", required_unless_present_any = ["all", "list"])]
    names: Vec<String>,
    /// All fields of the release.
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// List the released fields without downloading.
    #[arg(long, conflicts_with_all = ["names", "all"])]
    list: bool,
    /// Folder in which the fields' folders are created.
    #[arg(long, value_name = "DIR", required_unless_present = "list")]
    out: Option<PathBuf>,
    /// URL of a mirror: a folder that contains the fields' folders
    /// [default: the release on GitHub].
    #[arg(long, value_name = "URL", env = "PALLIUM_FIELDS_URL")]
    url: Option<String>,
    /// URL of the list of released files and their git hashes
    /// [default: GitHub's for the release on GitHub, none for a mirror].
    #[arg(long, value_name = "URL", env = "PALLIUM_FIELDS_LISTING")]
    listing: Option<String>,
    /// Use only the cache, never the network.
    #[arg(long)]
    offline: bool,
    /// Seconds to wait for a server that does not respond.
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = support::at_least_one::<u32>)]
    timeout: u32,
    /// Number of retries after an attempt that transferred nothing.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(..=20))]
    retries: u32,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// If a field is not in the release, a file cannot be downloaded or verified, or a
/// folder cannot be written. Earlier fields are kept.
pub fn fetch(args: &Fetch) -> Result<()> {
    let (false, Some(out)) = (args.list, &args.out) else { return list(args.json) };
    let names = fetch::names(&args.names, args.all)?;
    let cache = support::cache_folder().ok_or_else(|| {
        Error::input("there is no cache folder for downloaded files")
            .help("set $XDG_CACHE_HOME to a folder that you can write to")
    })?;
    let url = args.url.clone().unwrap_or_else(|| RELEASE_URL.into());
    let stall = Duration::from_secs(args.timeout.into());
    let patience = Patience { stall, retries: args.retries, ..Patience::default() };
    let client = Client::new(&url, patience);
    let listing_url = args.listing.clone().or_else(|| args.url.is_none().then(|| LISTING_URL.into()));
    let listing = listing_url.and_then(|url| {
        Listing::obtain(&url, &Client::new(&url, patience), &cache, args.offline)
            .map_err(|e| tracing::warn!("continuing without the git hashes of the release: {e}"))
            .ok()
    });
    let source = Source { url, listing, offline: args.offline };
    let shown = Shown::new(names.len());
    let mut fields = Vec::new();
    for name in names {
        let mut on_progress = |file: &str, done, of| shown.file(name, file, done, of);
        let fetched = fetch::fetch(&source, &client, &cache, (name, out), &mut on_progress)?;
        let how = match (fetched.there, fetched.transferred) {
            (true, _) => "already present".to_owned(),
            (false, 0) => "from the cache".to_owned(),
            (false, new) => format!("{:.1} MB fetched", megabytes(new)),
        };
        let spikes = if fetched.has_spikes { "" } else { "; the release has no event times for it" };
        shown.field(&format!(
            "{name}: {} files, {:.1} MB, {how}, checked by {}{spikes}",
            fetched.files,
            megabytes(fetched.bytes),
            fetched.proof.words()
        ));
        fields.push(json!({
            "name": name,
            "folder": fetched.folder.display().to_string(),
            "files": fetched.files,
            "bytes": fetched.bytes,
            "transferred": fetched.transferred,
            "checked_by": fetched.proof.words(),
            "has_spikes": fetched.has_spikes,
        }));
    }
    shown.done();
    if args.json {
        return support::print_json(&json!({ "fields": fields }));
    }
    let what = if fields.len() == 1 { "field is".into() } else { format!("{} fields are", fields.len()) };
    support::print(&format!("the {what} in {}\n", out.display()))
}

fn list(json: bool) -> Result<()> {
    if json {
        let fields: Vec<Value> =
            FIELDS.iter().map(|(name, neurons)| json!({"name": name, "neurons": neurons})).collect();
        return support::print_json(&json!({ "fields": fields }));
    }
    let mut table = support::table(["field", "neurons"]);
    for (name, neurons) in FIELDS {
        table.add_row([name.to_owned(), neurons.to_string()]);
    }
    support::print_table(&table)
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// The progress display: a bar on a terminal, a line for each field elsewhere.
struct Shown {
    bar: Option<ProgressBar>,
}

impl Shown {
    fn new(fields: usize) -> Self {
        let terminal = io::stderr().is_terminal();
        let bar = terminal.then(|| {
            let style = ProgressStyle::with_template("{prefix} {bar:30.cyan/black} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(fields as u64).with_style(style)
        });
        Shown { bar }
    }

    fn file(&self, field: &str, file: &str, done: u64, of: Option<u64>) {
        if let Some(bar) = &self.bar {
            let of = of.map_or_else(String::new, |of| format!(" of {:.1}", megabytes(of)));
            bar.set_prefix(field.to_owned());
            bar.set_message(format!("{file} {:.1}{of} MB", megabytes(done)));
        }
    }

    fn field(&self, line: &str) {
        match &self.bar {
            Some(bar) => {
                bar.println(line);
                bar.inc(1);
            }
            // A closed terminal is not a reason to stop.
            None => drop(writeln!(io::stderr().lock(), "{line}")),
        }
    }

    fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
