//! The last invalid request of each frontend and the last invalid response of each backend, kept for
//! `show errors` (management manual 9.3).

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::h1::ParseError;
use crate::proxy::{BackendId, FrontendId, ServerId};
use crate::time::Now;

/// Bytes of a message that are kept; a full default buffer.
const CAPTURE_BYTES_MAX: usize = 16384;

/// One invalid message.
#[derive(Clone, Debug)]
pub struct Capture {
    /// When it came.
    pub when: Now,
    /// Who sent it or asked for it.
    pub source: Option<SocketAddr>,
    /// The frontend of the session.
    pub frontend: FrontendId,
    /// The backend, once one was chosen.
    pub backend: Option<BackendId>,
    /// The server, once one was chosen.
    pub server: Option<ServerId>,
    /// Where the first bad byte stands in [`Capture::bytes`].
    pub position: usize,
    /// The message from its start.
    pub bytes: Vec<u8>,
    /// Events are numbered over both kinds.
    pub event: u64,
}

/// All that are kept.
#[derive(Debug, Default)]
pub struct Captures {
    requests: HashMap<FrontendId, Capture>,
    responses: HashMap<BackendId, Capture>,
}

impl Capture {
    /// A message as far as it was received.
    pub fn new(
        when: Now,
        source: Option<SocketAddr>,
        frontend: FrontendId,
        error: &ParseError,
        bytes: &[u8],
    ) -> Capture {
        let bytes = bytes[..bytes.len().min(CAPTURE_BYTES_MAX)].to_vec();
        Capture { when, source, frontend, backend: None, server: None, position: error.at, bytes, event: 0 }
    }
}

impl Captures {
    /// Keeps a request in place of the one before.
    pub fn put_request(&mut self, capture: Capture) {
        self.requests.insert(capture.frontend, capture);
    }

    /// Keeps a response in place of the one before.
    pub fn put_response(&mut self, backend: BackendId, capture: Capture) {
        self.responses.insert(backend, capture);
    }

    /// The last invalid request of a frontend.
    pub fn request(&self, frontend: FrontendId) -> Option<&Capture> {
        self.requests.get(&frontend)
    }

    /// The last invalid response of a backend.
    pub fn response(&self, backend: BackendId) -> Option<&Capture> {
        self.responses.get(&backend)
    }
}
