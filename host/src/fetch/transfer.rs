//! Downloads over HTTP from a server that may stall, disconnect or return something
//! else.

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

/// Maximum size of a file whose size is unknown, in bytes.
const LONGEST: u64 = 1 << 30;
/// Maximum size of a text, in bytes.
const LONGEST_TEXT: u64 = 32 << 20;
/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const BUFFER: usize = 1 << 16;

/// Timeouts and retries.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Maximum time to wait for a connection, a response or its next bytes.
    pub stall: Duration,
    /// Number of further attempts after one that transferred nothing.
    pub retries: u32,
    /// Pause before the first of them; each further pause is twice as long.
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
    /// The file is complete.
    Complete {
        /// Bytes that were transferred over the network.
        received: u64,
    },
    /// The server has no such file.
    Absent,
}

/// Why an attempt failed.
enum AttemptError {
    /// Another attempt may succeed, after a pause of at least this.
    Passing(String, Option<Duration>),
    /// Another attempt would fail, too.
    Final(Error),
}

/// An HTTP client with retries.
pub struct Client {
    agent: Agent,
    patience: Patience,
}

impl Client {
    /// A client for the scheme of `url`: `https` URLs may not redirect to `http`.
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
            // Verification and resuming need the bytes of the file itself.
            .accept_encoding("identity")
            .tls_config(tls)
            .build();
        Client { agent: Agent::new_with_config(config), patience }
    }

    /// Downloads `url` and appends it to `file`, which holds the beginning that an
    /// interrupted transfer left. `size` is the size in bytes, if known.
    ///
    /// # Errors
    /// If the server cannot be reached or does not return the file after all
    /// attempts; the bytes received stay in `file`.
    pub fn download(
        &self,
        url: &str,
        file: &mut File,
        path: &Path,
        size: Option<u64>,
        on_progress: &mut dyn FnMut(u64, Option<u64>),
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
                return Ok(End::Complete { received });
            }
            file.seek(SeekFrom::End(0)).map_err(failed)?;
            let mut new = 0;
            let outcome = self.attempt(url, (file, path), begin, size, &mut new, on_progress);
            received += new;
            match outcome {
                Ok(true) => return Ok(End::Complete { received }),
                Ok(false) => return Ok(End::Absent),
                Err(AttemptError::Final(error)) => return Err(error),
                Err(AttemptError::Passing(what, pause)) => {
                    fruitless = if new > 0 { 0 } else { fruitless + 1 };
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

    /// Downloads the text at `url`.
    ///
    /// # Errors
    /// As [`Client::download`], and if it does not exist.
    pub fn text(&self, url: &str) -> Result<String> {
        let mut fruitless = 0;
        loop {
            let outcome = self.get(url, 0).and_then(|mut response| match response.status() {
                StatusCode::OK => response
                    .body_mut()
                    .with_config()
                    .limit(LONGEST_TEXT)
                    .read_to_string()
                    .map_err(|e| AttemptError::Passing(e.to_string(), None)),
                status => Err(refusal(url, status, &response)),
            });
            match outcome {
                Ok(text) => return Ok(text),
                Err(AttemptError::Final(error)) => return Err(error),
                Err(AttemptError::Passing(what, _)) if fruitless >= self.patience.retries.min(1) => {
                    return Err(unreachable(url, &what, fruitless + 1));
                }
                Err(AttemptError::Passing(..)) => {
                    fruitless += 1;
                    std::thread::sleep(self.patience.pause);
                }
            }
        }
    }

    fn get(&self, url: &str, from: u64) -> Result<Response<Body>, AttemptError> {
        let mut request = self.agent.get(url);
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        request.call().map_err(|e| match e {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::RequireHttpsOnly(_) => {
                AttemptError::Final(
                    Error::input(format!("{url} cannot be requested: {e}"))
                        .help("use a URL that starts with https:// or http://"),
                )
            }
            e => AttemptError::Passing(e.to_string(), None),
        })
    }

    /// Makes one request; false if the server has no such file.
    fn attempt(
        &self,
        url: &str,
        (file, path): (&mut File, &Path),
        begin: u64,
        size: Option<u64>,
        new: &mut u64,
        on_progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<bool, AttemptError> {
        let local = |e: std::io::Error| AttemptError::Final(Error::io(path, &e));
        let mut response = self.get(url, begin)?;
        let (from, total) = match response.status() {
            StatusCode::OK => (0, length(&response)),
            StatusCode::PARTIAL_CONTENT => match content_range(&response) {
                Some((from, total)) if from == begin => (from, total),
                _ => {
                    file.set_len(0).map_err(local)?;
                    return Err(AttemptError::Passing(
                        "the server returned another range than requested".into(),
                        None,
                    ));
                }
            },
            // The local part is already complete or belongs to another file; a
            // download from the beginning decides.
            StatusCode::RANGE_NOT_SATISFIABLE if begin > 0 => {
                file.set_len(0).map_err(local)?;
                return Err(AttemptError::Passing("the server has no further bytes".into(), None));
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(false),
            status => return Err(refusal(url, status, &response)),
        };
        if let (Some(size), Some(total)) = (size, total)
            && size != total
        {
            return Err(AttemptError::Passing(
                format!("the server offers {total} bytes, but the file has {size}"),
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
            on_progress(at, total);
            let read = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(e) => {
                    return Err(AttemptError::Passing(
                        format!("the connection broke after {at} bytes: {e}"),
                        None,
                    ));
                }
            };
            if at + read as u64 > most {
                file.set_len(0).map_err(local)?;
                return Err(AttemptError::Final(
                    Error::input(format!("{url} is larger than {most} bytes"))
                        .help("the server does not return the file of the release; check --url"),
                ));
            }
            file.write_all(&buffer[..read]).map_err(local)?;
            at += read as u64;
            // Bytes that repeat what was here before are not progress.
            if at > begin {
                *new += read as u64;
            }
        }
        match total {
            Some(total) if at < total => {
                Err(AttemptError::Passing(format!("the connection broke after {at} of {total} bytes"), None))
            }
            _ => Ok(true),
        }
    }
}

/// Size of the body, if the server states it.
fn length(response: &Response<Body>) -> Option<u64> {
    response.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// First byte and total of `bytes 100-199/1000`.
fn content_range(response: &Response<Body>) -> Option<(u64, Option<u64>)> {
    let text = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

fn refusal(url: &str, status: StatusCode, response: &Response<Body>) -> AttemptError {
    let passing = status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if !passing {
        return AttemptError::Final(
            Error::input(format!("the server refused {url}: {status}")).help("check the URL and the proxy"),
        );
    }
    let wait = response.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
    AttemptError::Passing(format!("the server returned {status}"), wait.map(Duration::from_secs))
}

fn unreachable(url: &str, what: &str, attempts: u32) -> Error {
    Error::input(format!("{url} could not be fetched in {attempts} attempts: {what}")).help(
        "check the network, $HTTPS_PROXY and --url; the same command continues the download. \
         Without a network, copy the folders of the fields from another machine",
    )
}
