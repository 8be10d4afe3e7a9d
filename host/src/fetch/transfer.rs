//! Getting a file over HTTP from a server that may stall, break off, or answer
//! something else.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pallium_core::{Error, Result};
use ureq::config::Config;
use ureq::http::{Response, StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};

/// Longest file that is fetched without knowing how long it must be.
const LONGEST: u64 = 1 << 30;
/// Longest text that is fetched.
const LONGEST_TEXT: u64 = 32 << 20;
/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const BUFFER: usize = 1 << 16;

/// How long is waited for a server.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a connection, an answer, or its next bytes.
    pub stall: Duration,
    /// Attempts after the first one that bring nothing new.
    pub retries: u32,
    /// Pause before the first of them; each is twice as long as the one before.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { stall: Duration::from_secs(30), retries: 4, pause: Duration::from_millis(500) }
    }
}

/// How a transfer ended.
#[derive(Debug, PartialEq)]
pub enum End {
    /// The file is whole.
    Whole {
        /// Bytes that came over the network.
        received: u64,
    },
    /// The server has no such file.
    Absent,
}

/// Why an attempt came to nothing.
enum Failure {
    /// It may go better next time, after a pause of at least this.
    Passing(String, Option<Duration>),
    /// It will not.
    Final(Error),
}

/// Fetches files.
pub struct Client {
    agent: Agent,
    patience: Patience,
}

impl Client {
    /// A client for addresses that begin as `url` does: from `https`, no
    /// redirection leads to `http`.
    pub fn new(url: &str, patience: Patience) -> Self {
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Config::builder()
            .https_only(url.starts_with("https:"))
            .http_status_as_error(false)
            .timeout_connect(Some(patience.stall))
            .timeout_resolve(Some(patience.stall))
            .timeout_recv_response(Some(patience.stall))
            .timeout_per_read(Some(patience.stall))
            .timeout_per_write(Some(patience.stall))
            .user_agent(concat!("pallium/", env!("CARGO_PKG_VERSION")))
            // What is checked and resumed are the bytes of the file itself.
            .accept_encoding("identity")
            .tls_config(tls)
            .build();
        Client { agent: Agent::new_with_config(config), patience }
    }

    /// Fetches `url` to the end of what `file` holds already (a transfer that
    /// was cut off), of `size` bytes if that is known.
    ///
    /// # Errors
    /// If the server cannot be reached or does not give the file, however often
    /// it is asked; what has come stays in `file`.
    pub fn download(
        &self,
        url: &str,
        file: &mut File,
        path: &Path,
        size: Option<u64>,
        told: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<End> {
        let failed = |e: std::io::Error| Error::io(path, &e);
        let mut received = 0;
        let mut fruitless = 0;
        loop {
            let mut begin = file.metadata().map_err(failed)?.len();
            if size.is_some_and(|size| begin > size) {
                file.set_len(0).map_err(failed)?;
                begin = 0;
            }
            if size == Some(begin) && begin > 0 {
                return Ok(End::Whole { received });
            }
            file.seek(SeekFrom::End(0)).map_err(failed)?;
            let mut came = 0;
            let outcome = self.attempt(url, (file, path), begin, size, &mut came, told);
            received += came;
            match outcome {
                Ok(true) => return Ok(End::Whole { received }),
                Ok(false) => return Ok(End::Absent),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(what, pause)) => {
                    fruitless = if came > 0 { 0 } else { fruitless + 1 };
                    if fruitless > self.patience.retries {
                        return Err(unreachable(url, &what, fruitless));
                    }
                    let doubled = self.patience.pause * 2_u32.pow(fruitless.saturating_sub(1).min(10));
                    let pause = pause.unwrap_or_default().max(doubled).min(LONGEST_PAUSE);
                    tracing::info!("{url}: {what}; trying again in {:.1} s", pause.as_secs_f64());
                    std::thread::sleep(pause);
                }
            }
        }
    }

    /// The text at `url`.
    ///
    /// # Errors
    /// As [`Client::download`]; also if there is none.
    pub fn text(&self, url: &str) -> Result<String> {
        let mut fruitless = 0;
        loop {
            let outcome = self.get(url, 0).and_then(|mut response| match response.status() {
                StatusCode::OK => response
                    .body_mut()
                    .with_config()
                    .limit(LONGEST_TEXT)
                    .read_to_string()
                    .map_err(|e| Failure::Passing(e.to_string(), None)),
                status => Err(refusal(url, status, &response)),
            });
            match outcome {
                Ok(text) => return Ok(text),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(what, _)) if fruitless >= self.patience.retries.min(1) => {
                    return Err(unreachable(url, &what, fruitless + 1));
                }
                Err(Failure::Passing(..)) => {
                    fruitless += 1;
                    std::thread::sleep(self.patience.pause);
                }
            }
        }
    }

    fn get(&self, url: &str, from: u64) -> Result<Response<Body>, Failure> {
        let mut request = self.agent.get(url);
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        request.call().map_err(|e| match e {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::RequireHttpsOnly(_) => {
                Failure::Final(
                    Error::input(format!("{url} cannot be asked for: {e}"))
                        .help("an address begins with https:// or http://"),
                )
            }
            e => Failure::Passing(e.to_string(), None),
        })
    }

    /// One request; whether the file is whole now, or absent.
    fn attempt(
        &self,
        url: &str,
        (file, path): (&mut File, &Path),
        begin: u64,
        size: Option<u64>,
        came: &mut u64,
        told: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<bool, Failure> {
        let local = |e: std::io::Error| Failure::Final(Error::io(path, &e));
        let mut response = self.get(url, begin)?;
        let (from, total) = match response.status() {
            StatusCode::OK => (0, length(&response)),
            StatusCode::PARTIAL_CONTENT => match content_range(&response) {
                Some((from, total)) if from == begin => (from, total),
                _ => {
                    file.set_len(0).map_err(local)?;
                    return Err(Failure::Passing("it gave another part than was asked for".into(), None));
                }
            },
            // What is there is all there is, or not a part of this file: only
            // the sum can tell, and the file from its beginning decides.
            StatusCode::RANGE_NOT_SATISFIABLE if begin > 0 => {
                file.set_len(0).map_err(local)?;
                return Err(Failure::Passing("it has no more than is here already".into(), None));
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(false),
            status => return Err(refusal(url, status, &response)),
        };
        if let (Some(size), Some(total)) = (size, total)
            && size != total
        {
            return Err(Failure::Passing(
                format!("the server offers {total} bytes, and the file has {size}"),
                None,
            ));
        }
        if from == 0 {
            file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).map_err(local)?;
        }
        let total = size.or(total);
        let most = total.unwrap_or(LONGEST);
        let mut at = from;
        let mut body = response.body_mut().as_reader();
        let mut buffer = vec![0; BUFFER];
        loop {
            told(at, total);
            let read = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(e) => return Err(Failure::Passing(format!("it broke off after {at} bytes: {e}"), None)),
            };
            if at + read as u64 > most {
                file.set_len(0).map_err(local)?;
                return Err(Failure::Final(
                    Error::input(format!("{url} is longer than the {most} bytes that it may have"))
                        .help("the server gives something else than the file of the release"),
                ));
            }
            file.write_all(&buffer[..read]).map_err(local)?;
            at += read as u64;
            // What only repeats what was here before is no progress.
            if at > begin {
                *came += read as u64;
            }
        }
        match total {
            Some(total) if at < total => {
                Err(Failure::Passing(format!("it broke off after {at} of {total} bytes"), None))
            }
            _ => Ok(true),
        }
    }
}

/// Length of the body, where the server tells.
fn length(response: &Response<Body>) -> Option<u64> {
    response.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// First byte and total of `bytes 100-199/1000`.
fn content_range(response: &Response<Body>) -> Option<(u64, Option<u64>)> {
    let text = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

fn refusal(url: &str, status: StatusCode, response: &Response<Body>) -> Failure {
    let passing = status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if !passing {
        return Failure::Final(
            Error::input(format!("{url} is refused by the server: {status}"))
                .help("check the address, or whether a proxy stands between"),
        );
    }
    let wait = response.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
    Failure::Passing(format!("the server answers {status}"), wait.map(Duration::from_secs))
}

fn unreachable(url: &str, what: &str, attempts: u32) -> Error {
    Error::input(format!("{url} could not be fetched in {attempts} attempts: {what}")).help(
        "check the network, $HTTPS_PROXY, or --url; what has come is kept, and the same command goes on from there. \
         Without a network, copy the fields' folders from a machine that has them",
    )
}
