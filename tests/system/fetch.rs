//! `pallium field fetch` with a local test server that fails in many ways.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Ended, Scratch, execute, field, pallium, program, skipped, text};

/// How the server answers a request.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Sends this many bytes, then nothing until the client disconnects.
    Stall(usize),
    /// Announces all bytes, sends this many, and disconnects.
    BreakOff(usize),
    /// Disconnects at once.
    HangUp,
    /// Sends other bytes of the same length.
    Wrong,
    /// Sends more than the file.
    TooLong,
    /// Sends a web page, as portals and proxies do.
    Page,
    /// Ignores the requested range and sends the complete file.
    Whole,
    /// Sends another range than requested.
    OtherPart,
    /// Sends only a status.
    Status(u16),
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    acts: BTreeMap<String, VecDeque<Act>>,
    /// Requested paths, and their first bytes.
    asked: Vec<(String, Option<usize>)>,
    /// Number of clients that waited for the end of a stall.
    waited: usize,
}

/// A server that stops with the test.
struct Server {
    address: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    fn start(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/fields", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { files: files.into_iter().collect(), ..State::default() }));
        let shared = state.clone();
        // It waits for requests until the process ends.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                std::thread::spawn(move || drop(answer(stream, &state)));
            }
        });
        Server { address, state }
    }

    fn will(&self, path: &str, acts: &[Act]) {
        self.state.lock().unwrap().acts.insert(path.into(), acts.iter().copied().collect());
    }

    /// Requests since the last call.
    fn asked(&self) -> Vec<(String, Option<usize>)> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

fn answer(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap()?;
    let path = first.split(' ').nth(1).unwrap().trim_start_matches("/fields/").to_owned();
    let mut from = None;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.to_lowercase().strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse::<usize>().ok();
        }
    }
    let (file, act) = {
        let mut state = state.lock().unwrap();
        state.asked.push((path.clone(), from));
        (state.files.get(&path).cloned(), state.acts.get_mut(&path).and_then(VecDeque::pop_front))
    };
    let status = |stream: &mut TcpStream, code: u16| {
        write!(
            stream,
            "HTTP/1.1 {code} no\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
        )
    };
    let Some(mut file) = file else { return status(&mut stream, 404) };
    let total = file.len();
    let mut begin = from.unwrap_or(0);
    match act {
        Some(Act::Status(code)) => return status(&mut stream, code),
        Some(Act::HangUp) => return Ok(()),
        Some(Act::Wrong) => file.iter_mut().skip(20).for_each(|byte| *byte ^= 1),
        Some(Act::TooLong) => file.extend([0; 1000]),
        Some(Act::Page) => file = b"<html>Please log in</html>".to_vec(),
        _ => {}
    }
    if begin >= file.len() {
        return status(&mut stream, 416);
    }
    let head = match (act, from) {
        (Some(Act::Whole | Act::Page), _) | (_, None) => {
            begin = 0;
            "HTTP/1.1 200 OK\r\n".to_owned()
        }
        (Some(Act::OtherPart), _) => {
            format!("HTTP/1.1 206 Part\r\nContent-Range: bytes 0-{}/{total}\r\n", total - 1)
        }
        _ => {
            format!("HTTP/1.1 206 Part\r\nContent-Range: bytes {begin}-{}/{}\r\n", file.len() - 1, file.len())
        }
    };
    let body = &file[begin..];
    write!(stream, "{head}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    match act {
        Some(Act::Stall(bytes)) => {
            stream.write_all(&body[..bytes.min(body.len())])?;
            stream.flush()?;
            // Much longer than the client's limit of a second.
            stream.set_read_timeout(Some(Duration::from_secs(60)))?;
            let ended = stream.read(&mut [0]);
            if ended.is_err_and(|e| matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)) {
                state.lock().unwrap().waited += 1;
            }
            Ok(())
        }
        Some(Act::BreakOff(bytes)) => stream.write_all(&body[..bytes.min(body.len())]),
        _ => stream.write_all(body),
    }
}

/// A synthetic field, whose checksums Pallium does not know.
const SYNTHETIC: &str = "4_7_4";

fn synthetic(name: &str) -> Vec<(String, Vec<u8>)> {
    let npy = |seed: u8| {
        let bytes = (0..50_000_u32).map(|k| (k.wrapping_mul(2_654_435_761) >> 24) as u8 ^ seed);
        b"\x93NUMPY".iter().copied().chain(bytes).collect::<Vec<u8>>()
    };
    [
        "corr_matrix.npy".to_owned(),
        format!("positions_{name}.npy"),
        "precision_matrix.npy".into(),
        format!("root_ids_{name}.npy"),
        "sttc_matrix.npy".into(),
        format!("target_ids_{name}.npy"),
        format!("unit_ids_{name}.npy"),
    ]
    .into_iter()
    .zip(0..)
    .map(|(file, k)| (format!("{name}/{file}"), npy(k)))
    .chain([(format!("{name}/connectome_{name}.csv"), b",0,1\n0,0,1\n1,2,0\n".to_vec())])
    .collect()
}

/// The command with its own cache and without a proxy.
fn fetch(cache: &Path, arguments: &[&str]) -> Ended {
    let mut command = program(&["field", "fetch", "--timeout", "1", "--retries", "2", "--json"]);
    for proxy in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    command.args(arguments).env("XDG_CACHE_HOME", cache);
    execute(command.env_remove("PALLIUM_FIELDS_URL").env_remove("PALLIUM_FIELDS_LISTING"))
}

/// A server, a cache and an output folder.
struct Scene {
    server: Server,
    cache: Scratch,
    out: Scratch,
}

impl Scene {
    fn of(files: Vec<(String, Vec<u8>)>) -> Self {
        let folder = || Scratch::new();
        Scene { server: Server::start(files), cache: folder(), out: folder() }
    }

    fn synthetic() -> Self {
        Self::of(synthetic(SYNTHETIC))
    }

    fn fetch(&self, more: &[&str]) -> Ended {
        let arguments = ["--url", &self.server.address, "--out", text(self.out.path())];
        fetch(self.cache.path(), &[more, &arguments].concat())
    }

    /// Fails unless the fetched folder equals the server's files.
    #[track_caller]
    fn is_right(&self, name: &str) {
        let state = self.server.state.lock().unwrap();
        let expected: Vec<_> = state.files.iter().filter(|(path, _)| path.starts_with(name)).collect();
        assert!(expected.len() >= 8);
        for (path, bytes) in &expected {
            assert_eq!(&&std::fs::read(self.out.path().join(path)).unwrap(), bytes, "{path}");
        }
        let found = std::fs::read_dir(self.out.path().join(name)).unwrap().count();
        // The files, and their sums.
        assert_eq!(found, expected.len() + 1);
    }

    /// Fails if there are unfinished files.
    #[track_caller]
    fn is_empty(&self) {
        assert_eq!(std::fs::read_dir(self.out.path()).unwrap().count(), 0);
    }
}

/// Checks a folder with sha256sum, if it is installed.
fn checks_out(folder: &Path) {
    let Ok(checked) =
        Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(folder).output()
    else {
        skipped("there is no sha256sum here");
        return;
    };
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[test]
fn a_field_is_fetched_once_and_then_taken_from_the_cache() {
    let scene = Scene::synthetic();
    let first = scene.fetch(&[SYNTHETIC]).ok();
    scene.is_right(SYNTHETIC);
    checks_out(&scene.out.path().join(SYNTHETIC));
    let printed = &first.json()["fields"][0];
    assert_eq!((&printed["files"], &printed["has_spikes"]), (&json!(8), &json!(false)), "{printed}");
    assert_eq!((&printed["transferred"], &printed["checked_by"]), (&printed["bytes"], &json!("length only")));
    assert_eq!(scene.server.asked().len(), 9);
    // The same folder: no request. Another folder: the cache is enough.
    let again = scene.fetch(&[SYNTHETIC]).ok();
    assert!(again.stderr.contains("already present"), "{}", again.stderr);
    let other = Scratch::new();
    let printed =
        fetch(scene.cache.path(), &[SYNTHETIC, "--out", text(other.path()), "--url", "http://127.0.0.1:9/"])
            .ok()
            .json();
    assert_eq!(
        (&printed["fields"][0]["transferred"], &printed["fields"][0]["checked_by"]),
        (&json!(0), &json!("SHA-256 of the first download"))
    );
    checks_out(&other.path().join(SYNTHETIC));
    assert_eq!(scene.server.asked(), []);
    // A changed folder is refused and not overwritten.
    std::fs::write(other.path().join(SYNTHETIC).join("corr_matrix.npy"), "mine").unwrap();
    fetch(scene.cache.path(), &[SYNTHETIC, "--out", text(other.path()), "--offline"])
        .refused(&["its corr_matrix.npy is changed or missing"]);
    std::fs::create_dir(scene.out.path().join("4_7_6")).unwrap();
    std::fs::write(scene.out.path().join("4_7_6/notes"), "mine").unwrap();
    scene.fetch(&["4_7_6"]).refused(&["was not created by `pallium field fetch`"]);
}

#[test]
fn a_transfer_that_stalls_or_breaks_off_continues_where_it_stopped() {
    let scene = Scene::synthetic();
    let path = |file: &str| format!("{SYNTHETIC}/{file}");
    scene.server.will(&path("corr_matrix.npy"), &[Act::Stall(20_000), Act::BreakOff(10_000), Act::HangUp]);
    scene.server.will(&path("sttc_matrix.npy"), &[Act::Status(503), Act::BreakOff(100), Act::Status(429)]);
    scene.server.will(&path("precision_matrix.npy"), &[Act::BreakOff(40_000), Act::Whole]);
    scene.server.will(&path("positions_4_7_4.npy"), &[Act::BreakOff(40_000), Act::OtherPart]);
    scene.fetch(&[SYNTHETIC]).ok();
    scene.is_right(SYNTHETIC);
    assert_eq!(scene.server.state.lock().unwrap().waited, 0, "the client waits for the end of a stall");
    let asked = scene.server.asked();
    let of = |file: &str| -> Vec<Option<usize>> {
        asked.iter().filter(|(asked, _)| *asked == path(file)).map(|(_, from)| *from).collect()
    };
    assert_eq!(of("corr_matrix.npy"), [None, Some(20_000), Some(30_000), Some(30_000)]);
    assert_eq!(of("sttc_matrix.npy"), [None, None, Some(100), Some(100)]);
    assert_eq!(of("precision_matrix.npy"), [None, Some(40_000)]);
    assert_eq!(of("positions_4_7_4.npy"), [None, Some(40_000), None]);
}

#[test]
fn an_interrupted_command_continues_where_it_stopped() {
    let scene = Scene::synthetic();
    let file = format!("{SYNTHETIC}/corr_matrix.npy");
    scene.server.will(&file, &[Act::BreakOff(30_000), Act::HangUp, Act::HangUp, Act::HangUp]);
    scene.fetch(&[SYNTHETIC]).refused(&[
        "corr_matrix.npy could not be fetched in 3 attempts",
        "the same command continues the download",
    ]);
    scene.is_empty();
    scene.server.asked();
    scene.fetch(&[SYNTHETIC]).ok();
    scene.is_right(SYNTHETIC);
    assert_eq!(scene.server.asked()[0], (file, Some(30_000)));
}

#[test]
fn a_partial_file_of_another_field_is_discarded() {
    let Some(real) = field("5_3_8") else { return };
    let scene = Scene::of(real_files(&real, "5_3_8"));
    let file = "5_3_8/corr_matrix.npy";
    // The beginning of another file.
    scene.server.state.lock().unwrap().files.get_mut(file).unwrap()[100] ^= 1;
    scene.server.will(file, &[Act::BreakOff(5_000), Act::HangUp, Act::HangUp, Act::HangUp]);
    scene.fetch(&["5_3_8"]).refused(&["could not be fetched"]);
    scene.server.state.lock().unwrap().files.get_mut(file).unwrap()[100] ^= 1;
    scene.server.asked();
    let printed = scene.fetch(&["5_3_8"]).ok().json();
    scene.is_right("5_3_8");
    let asked: Vec<_> = scene.server.asked().into_iter().filter(|(path, _)| path == file).collect();
    assert_eq!(asked, [(file.to_owned(), Some(5_000)), (file.to_owned(), None)]);
    assert_eq!(printed["fields"][0]["checked_by"], "known SHA-256");
    // The field is complete.
    let page = pallium(&["field", "info", text(&scene.out.path().join("5_3_8")), "--json"]).ok().json();
    assert_eq!((&page["neurons"], &page["has_spikes"]), (&json!(42), &json!(true)));
}

fn real_files(folder: &Path, name: &str) -> Vec<(String, Vec<u8>)> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let file = path.file_name().unwrap().to_str().unwrap().to_owned();
            (format!("{name}/{file}"), std::fs::read(path).unwrap())
        })
        .collect()
}

#[test]
fn wrong_bytes_are_refused() {
    // With a known checksum.
    if let Some(real) = field("5_3_8") {
        let scene = Scene::of(real_files(&real, "5_3_8"));
        scene.server.will("5_3_8/sttc_matrix.npy", &[Act::Wrong]);
        scene.fetch(&["5_3_8"]).refused(&["sttc_matrix.npy is not the file of the release", "SHA-256"]);
        scene.is_empty();
        // What was wrong is not kept: the next time it is asked for anew.
        scene.fetch(&["5_3_8"]).ok();
        scene.is_right("5_3_8");
    }
    // With git's hash.
    let scene = Scene::synthetic();
    let listing = Server::start([("listing".to_owned(), listing(&synthetic(SYNTHETIC)).into_bytes())]);
    let by_listing = ["--listing", &format!("{}/listing", listing.address)];
    for (act, expected) in [
        (Act::Wrong, "its git hash is"),
        (Act::TooLong, "the server offers 51006 bytes, but the file has 50006"),
        (Act::Page, "offers 26 bytes"),
    ] {
        scene.server.will(&format!("{SYNTHETIC}/sttc_matrix.npy"), &[act; 4]);
        scene.fetch(&[&[SYNTHETIC], &by_listing[..]].concat()).refused(&["sttc_matrix.npy", expected]);
        scene.is_empty();
    }
    scene.server.will(&format!("{SYNTHETIC}/sttc_matrix.npy"), &[]);
    let printed = scene.fetch(&[&[SYNTHETIC], &by_listing[..]].concat()).ok().json();
    assert_eq!(printed["fields"][0]["checked_by"], "git hash in the release");
    scene.is_right(SYNTHETIC);
    // The list is requested once.
    assert_eq!(listing.asked().len(), 1);
    // Without a checksum, by the content.
    let scene = Scene::synthetic();
    scene.server.will(&format!("{SYNTHETIC}/sttc_matrix.npy"), &[Act::Page]);
    scene.fetch(&[SYNTHETIC]).refused(&["sttc_matrix.npy", "does not start like a .npy file"]);
    scene.is_empty();
    // In the cache.
    scene.fetch(&[SYNTHETIC]).ok();
    let cached = find(scene.cache.path(), "corr_matrix.npy");
    let mut bytes = std::fs::read(&cached).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&cached, bytes).unwrap();
    std::fs::remove_dir_all(scene.out.path().join(SYNTHETIC)).unwrap();
    scene.server.asked();
    let again = scene.fetch(&[SYNTHETIC]).ok();
    assert!(again.stderr.contains("corr_matrix.npy is downloaded again"), "{}", again.stderr);
    scene.is_right(SYNTHETIC);
    assert_eq!(scene.server.asked().len(), 1);
}

/// A tree in GitHub's format, with git's hashes.
fn listing(files: &[(String, Vec<u8>)]) -> String {
    let tree: Vec<Value> = files
        .iter()
        .map(|(path, bytes)| {
            let path = format!("Model/DATA/info/{path}");
            json!({"path": path, "type": "blob", "size": bytes.len(), "sha": git_sum(bytes)})
        })
        .collect();
    json!({"sha": "0", "tree": tree, "truncated": false}).to_string()
}

fn git_sum(bytes: &[u8]) -> String {
    let mut git = Command::new("git")
        .args(["hash-object", "--stdin", "--no-filters"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git is here, since the project is");
    git.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = git.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn find(folder: &Path, name: &str) -> PathBuf {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let inside = find(&path, name);
            if !inside.as_os_str().is_empty() {
                return inside;
            }
        } else if path.ends_with(name) {
            return path;
        }
    }
    PathBuf::new()
}

#[test]
fn missing_and_forbidden_files_are_named() {
    let mut files = synthetic(SYNTHETIC);
    files.retain(|(path, _)| !path.ends_with("unit_ids_4_7_4.npy"));
    let scene = Scene::of(files);
    scene.fetch(&[SYNTHETIC]).refused(&["unit_ids_4_7_4.npy does not exist", "--url"]);
    scene.is_empty();
    scene.server.will(&format!("{SYNTHETIC}/connectome_4_7_4.csv"), &[Act::Status(403)]);
    std::fs::remove_dir_all(scene.cache.path()).unwrap();
    scene.fetch(&[SYNTHETIC]).refused(&["the server refused", "connectome_4_7_4.csv: 403"]);
    // A field that is not released; no field; both.
    scene.fetch(&["4_7_3"]).refused(&["no field `4_7_3`", "did you mean `4_7_"]);
    scene.fetch(&["../../etc"]).refused(&["no field `../../etc`"]);
    scene.fetch(&[]).refused(&["<NAME>..."]);
    scene.fetch(&[SYNTHETIC, "--all"]).refused(&["--all"]);
    let list = pallium(&["field", "fetch", "--list", "--json"]).ok().json();
    assert_eq!(list["fields"].as_array().unwrap().len(), 56);
}

#[test]
fn without_network_and_cache_the_message_says_so() {
    let scratch = Scratch::new();
    let out = scratch.path().join("out");
    // No server listens on the discard port.
    fetch(scratch.path(), &[SYNTHETIC, "--url", "http://127.0.0.1:9/x", "--out", text(&out)])
        .refused(&["could not be fetched in 3 attempts", "Without a network"]);
    fetch(scratch.path(), &[SYNTHETIC, "--offline", "--out", text(&out)])
        .refused(&["is not in the cache, and --offline forbids the network"]);
    fetch(scratch.path(), &[SYNTHETIC, "--url", "ftp://127.0.0.1/x", "--out", text(&out)])
        .refused(&["ftp://"]);
    assert!(!out.exists());
}
