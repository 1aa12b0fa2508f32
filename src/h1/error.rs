//! What can be wrong with a message, and the answer to it.

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A byte that may not stand where it stands.
    Syntax,
    /// More fields than [`super::Limits::fields_max`].
    TooManyFields,
    /// The head is longer than [`super::Limits::head_bytes_max`].
    HeadTooLarge,
    /// The request target has a form that its method cannot have.
    Target,
    /// Several `Host` fields that differ, or one that is not the authority of the target.
    Host,
    /// A `Content-Length` that is no number, too large, or said twice differently.
    ContentLength,
    /// A `Transfer-Encoding` whose last coding is not one `chunked`.
    TransferEncoding,
    /// Codings before `chunked`, which the proxy cannot undo.
    UnsupportedCoding,
    /// An HTTP/1.0 request with a method that had no body then, and a body.
    UnexpectedBody,
    /// A WebSocket handshake without its key, or a 101 that nobody asked for.
    Upgrade,
    /// A chunk size that is no hexadecimal number, or too large; a chunk not ended by CRLF.
    Chunk,
    /// A trailer field that cannot be parsed.
    Trailer,
}

/// A fault and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub fault: Fault,
    /// Offset of the first bad byte in the buffer that was parsed (`show errors` points at it).
    pub at: usize,
}

impl ParseError {
    /// A head or trailers that no buffer can hold.
    pub(crate) fn too_large(at: usize) -> ParseError {
        ParseError::new(Fault::HeadTooLarge, at)
    }

    pub(crate) fn new(fault: Fault, at: usize) -> ParseError {
        ParseError { fault, at }
    }

    /// The status with which a client that sent this is answered. A server that sent it makes a 502.
    pub fn request_status(&self) -> u16 {
        match self.fault {
            Fault::UnsupportedCoding => 422,
            Fault::UnexpectedBody => 413,
            _ => 400,
        }
    }
}
