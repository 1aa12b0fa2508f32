//! The little of WebDriver that the tests need (W3C WebDriver, over plain HTTP and JSON).

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;
use std::{env, fs};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::message::{Kind, Progress, chunks, head_len, is_chunked, progress};
use crate::support::place::{TempDir, free_port, wait_listening};
use crate::support::process::Running;

/// A browser may be slow to start on a machine with few cores.
const PATIENCE: Duration = Duration::from_secs(60);

/// Size of the window, in CSS pixels.
#[derive(Clone, Copy, Debug)]
pub enum Screen {
    Desktop,
    Phone,
}

impl Screen {
    fn size(self) -> (u32, u32) {
        match self {
            Screen::Desktop => (1600, 1000),
            Screen::Phone => (390, 844),
        }
    }
}

/// A browser with one window.
pub struct Browser {
    port: u16,
    session: String,
    // The order matters: the driver ends before its profile is removed.
    _driver: Running,
    _profile: TempDir,
}

impl Browser {
    /// Starts chromedriver and, through it, Chromium with a profile of its own.
    pub fn start(screen: Screen) -> Result<Browser, String> {
        let profile = TempDir::new("browser").map_err(|error| format!("profile: {error}"))?;
        let port = free_port();
        let arguments = [format!("--port={port}"), "--log-level=OFF".into()];
        let program = Path::new("chromedriver");
        let driver = Running::start(program, "chromedriver", &arguments, profile.path())
            .map_err(|error| format!("chromedriver: {error}"))?;
        if !wait_listening(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PATIENCE) {
            return Err(format!("chromedriver does not listen: {}", driver.stderr()));
        }
        let reply = call(port, "POST", "/session", &capabilities(screen, profile.path()))?;
        let session = reply["sessionId"].as_str().ok_or(format!("no session: {reply}"))?.to_string();
        Ok(Browser { port, session, _driver: driver, _profile: profile })
    }

    /// Opens a page and waits until it is loaded.
    pub fn open(&self, url: &str) -> Result<(), String> {
        self.command("/url", &json!({ "url": url })).map(drop)
    }

    /// Runs the body of a JavaScript function in the page; its result.
    pub fn run(&self, script: &str) -> Result<Value, String> {
        self.command("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Clicks on the link with this text, as a visitor would.
    pub fn click_link(&self, text: &str) -> Result<(), String> {
        let wanted = json!({ "using": "partial link text", "value": text });
        let element = self.command("/element", &wanted)?;
        let id = element.as_object().and_then(|object| object.values().next()?.as_str());
        let id = id.ok_or(format!("no link '{text}': {element}"))?;
        self.command(&format!("/element/{id}/click"), &json!({})).map(drop)
    }

    /// Clicks on the first element that a CSS selector finds, as a visitor would.
    pub fn click(&self, selector: &str) -> Result<(), String> {
        let element = self.command("/element", &json!({ "using": "css selector", "value": selector }))?;
        let id = element.as_object().and_then(|object| object.values().next()?.as_str());
        let id = id.ok_or(format!("nothing is '{selector}': {element}"))?;
        self.command(&format!("/element/{id}/click"), &json!({})).map(drop)
    }

    /// Keeps what the window shows as tests/artifacts/NAME.png.
    pub fn screenshot(&self, name: &str) -> Result<(), String> {
        let path = format!("/session/{}/screenshot", self.session);
        let picture = call(self.port, "GET", &path, &Value::Null)?;
        let bytes =
            STANDARD.decode(picture.as_str().unwrap_or_default()).map_err(|error| format!("screenshot: {error}"))?;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/artifacts");
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(folder.join(format!("{name}.png")), bytes))
            .map_err(|error| format!("{}: {error}", folder.display()))
    }

    fn command(&self, path: &str, body: &Value) -> Result<Value, String> {
        call(self.port, "POST", &format!("/session/{}{path}", self.session), body)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium would outlive a driver that is killed with the session open.
        let path = format!("/session/{}", self.session);
        let _ = call(self.port, "DELETE", &path, &Value::Null);
    }
}

fn capabilities(screen: Screen, profile: &Path) -> Value {
    let (width, height) = screen.size();
    let mut options = json!({
        "args": [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", "--hide-scrollbars",
            // Nothing but the page under test may be reached.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.*",
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", profile.display()),
        ],
    });
    if matches!(screen, Screen::Phone) {
        options["mobileEmulation"] = json!({
            "deviceMetrics": { "width": width, "height": height, "pixelRatio": 2.0 },
        });
    }
    json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } })
}

/// One exchange with chromedriver: the `value` of its reply, or its error in words.
fn call(port: u16, method: &str, path: &str, body: &Value) -> Result<Value, String> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let reply = exchange(port, request.as_bytes()).map_err(|error| format!("{path}: {error}"))?;
    let mut reply: Value = serde_json::from_slice(&reply).map_err(|error| format!("{path}: {error}"))?;
    let value = reply["value"].take();
    match value.get("error") {
        Some(_) => Err(format!("{path}: {}", value["message"].as_str().unwrap_or_default())),
        None => Ok(value),
    }
}

fn exchange(port: u16, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 65536];
    while !matches!(progress(&bytes, Kind::Response), Progress::Complete(_)) {
        match stream.read(&mut buffer)? {
            0 => break,
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
    let head = head_len(&bytes).unwrap_or(bytes.len());
    let body = bytes.split_off(head);
    Ok(if is_chunked(&bytes) { chunks(&body).data } else { body })
}
