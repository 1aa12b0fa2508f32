//! Bodies: where the payload is in the bytes that come, and when the message ends.
//!
//! The decoder borrows nothing and copies nothing. [`BodyDecoder::next`] tells framing from payload,
//! for a reader that wants the payload. [`BodyDecoder::scan`] validates bytes that are forwarded as
//! they are, and says what must be mended on the way so that the receiver sees clean framing: chunk
//! extensions and blanks are dropped, a bare LF becomes CRLF, as HAProxy's rewriting of chunks does.
//! Both eat all they are given, but for trailers, which are taken only when they are complete.

use std::borrow::Cow;

use super::error::{Fault, ParseError};
use super::framing::{self, Body};
use super::parse::{Limits, Parsed};
use super::slow;
use crate::http::Head;

/// Chunk sizes end below this (HAProxy takes thirteen hexadecimal digits, zeros in front aside).
const CHUNK_SIZE_END: u64 = 1 << 52;

/// Where the decoder stands.
///
/// ```text
/// Size -> Extension -> SizeLf -> Data -> DataEnd -> DataLf -> Size
///                         `----> Trailers -> Done
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Done,
    /// Octets left of a body of known length.
    Length(u64),
    UntilClose,
    /// In the digits of a chunk's size.
    Size {
        size: u64,
        digits: bool,
    },
    /// Behind the digits, up to the line end; in an extension once a semicolon came.
    Extension {
        size: u64,
        semicolon: bool,
    },
    /// Behind the CR of a size line.
    SizeLf(u64),
    /// Octets left of a chunk.
    Data(u64),
    /// Before the line end behind a chunk.
    DataEnd,
    DataLf,
    /// Behind the line of the last chunk.
    Trailers,
}

/// One run of a body. The input begins with `framing` octets to skip, then `payload` octets, then
/// `trailers` octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Octets that only delimit.
    pub framing: usize,
    /// Octets of the body itself.
    pub payload: usize,
    /// Octets of the trailer fields with their final empty line, for [`parse_trailers`]; 0 if the
    /// body has none (its empty line counts as framing then).
    pub trailers: usize,
    /// The message is complete.
    pub done: bool,
}

impl Piece {
    /// Octets of the input that are dealt with.
    pub fn consumed(&self) -> usize {
        self.framing + self.payload + self.trailers
    }
}

/// What to do with a run of a body that is forwarded as it is: forward `forward` octets, write
/// `insert`, drop `dropped` octets, then write the `trailers` octets anew (see [`Piece::trailers`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Octets to forward unchanged.
    pub forward: usize,
    /// How many of them are payload.
    pub payload: usize,
    /// Octets to write after them: a CR that was missing, or nothing.
    pub insert: &'static [u8],
    /// Octets to leave out after that.
    pub dropped: usize,
    /// Octets of trailer fields after that, not yet validated: [`parse_trailers`], then
    /// `write_fields_to`.
    pub trailers: usize,
    /// The message is complete.
    pub done: bool,
}

impl Scan {
    /// Octets of the input that are dealt with.
    pub fn consumed(&self) -> usize {
        self.forward + self.dropped + self.trailers
    }
}

/// What is to be done with one octet of framing.
enum Octet {
    Keep,
    Drop,
    /// A LF whose CR is missing.
    AddCr,
}

/// An incremental decoder of one body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyDecoder {
    state: State,
}

impl BodyDecoder {
    /// A decoder at the first octet of a body. A tunnel is a body that lasts until close.
    pub fn new(body: Body) -> BodyDecoder {
        let state = match body {
            Body::None | Body::Length(0) => State::Done,
            Body::Length(length) => State::Length(length),
            Body::Chunked => State::Size { size: 0, digits: false },
            Body::UntilClose | Body::Tunnel => State::UntilClose,
        };
        BodyDecoder { state }
    }

    /// The message is complete: what follows belongs to the next one.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The peer closed. True if the body is complete so (it is done now), false if it is cut off.
    pub fn close(&mut self) -> bool {
        if self.state == State::UntilClose {
            self.state = State::Done;
        }
        self.is_done()
    }

    /// Octets of payload that come next without any framing: what may be spliced. `u64::MAX` for a
    /// body that lasts until close; 0 at framing.
    pub fn run_remaining(&self) -> u64 {
        match self.state {
            State::Length(left) | State::Data(left) => left,
            State::UntilClose => u64::MAX,
            _ => 0,
        }
    }

    /// Notes that `count` octets of payload were moved without being shown here; at most
    /// [`Self::run_remaining`].
    pub fn skip(&mut self, count: u64) {
        debug_assert!(count <= self.run_remaining());
        self.state = match self.state {
            State::Length(left) if left <= count => State::Done,
            State::Length(left) => State::Length(left - count),
            State::Data(left) if left <= count => State::DataEnd,
            State::Data(left) => State::Data(left - count),
            other => other,
        };
    }

    /// Takes the next run of payload with the framing before it. All of `input` is consumed by
    /// repeated calls, except trailers that are not complete (`consumed() == 0`: read more; a buffer
    /// full of them is an error for the caller).
    ///
    /// # Errors
    /// Bad chunks; the offset is one in `input`.
    #[allow(clippy::should_implement_trait)] // it needs the input
    pub fn next(&mut self, input: &[u8]) -> Result<Piece, ParseError> {
        let mut piece = Piece::default();
        while let Some(byte) = input.get(piece.framing) {
            match self.state {
                State::Done => break,
                State::Length(_) | State::Data(_) | State::UntilClose => {
                    piece.payload = self.take_payload(input.len() - piece.framing);
                    break;
                }
                State::Trailers => {
                    let rest = input.get(piece.framing..).unwrap_or_default();
                    let Some(block) = trailer_block(rest) else {
                        break;
                    };
                    match is_empty_line(rest, block) {
                        true => piece.framing += block,
                        false => piece.trailers = block,
                    }
                    self.state = State::Done;
                    break;
                }
                _ => {
                    self.framing_octet(*byte).map_err(|fault| ParseError::new(fault, piece.framing))?;
                    piece.framing += 1;
                }
            }
        }
        piece.done = self.is_done();
        Ok(piece)
    }

    /// Validates what is forwarded as it is. All of `input` is consumed by repeated calls, except
    /// trailers that are not complete, as in [`Self::next`].
    ///
    /// # Errors
    /// Bad chunks; the offset is one in `input`.
    pub fn scan(&mut self, input: &[u8]) -> Result<Scan, ParseError> {
        let mut scan = Scan::default();
        let mut at = 0;
        while let Some(byte) = input.get(at) {
            match self.state {
                State::Done => break,
                State::Length(_) | State::Data(_) | State::UntilClose if scan.dropped > 0 => break,
                State::Length(_) | State::Data(_) | State::UntilClose => {
                    let payload = self.take_payload(input.len() - at);
                    scan.payload += payload;
                    scan.forward += payload;
                    at += payload;
                }
                State::Trailers => {
                    let rest = input.get(at..).unwrap_or_default();
                    let Some(block) = trailer_block(rest) else {
                        break;
                    };
                    let empty = is_empty_line(rest, block);
                    if empty && scan.dropped > 0 {
                        break; // forwarded by the next call
                    }
                    match (empty, block) {
                        (false, _) => scan.trailers = block,
                        (true, 1) => (scan.insert, scan.dropped) = (b"\r\n", 1),
                        (true, _) => scan.forward += block,
                    }
                    self.state = State::Done;
                    break;
                }
                before => {
                    let octet = self.framing_octet(*byte).map_err(|fault| ParseError::new(fault, at))?;
                    match octet {
                        Octet::Keep if scan.dropped > 0 => {
                            self.state = before; // forwarded by the next call
                            break;
                        }
                        Octet::Keep => scan.forward += 1,
                        Octet::Drop => scan.dropped += 1,
                        Octet::AddCr => {
                            (scan.insert, scan.dropped) = (b"\r\n", scan.dropped + 1);
                            break;
                        }
                    }
                    at += 1;
                }
            }
        }
        scan.done = self.is_done();
        Ok(scan)
    }

    fn take_payload(&mut self, available: usize) -> usize {
        let count = self.run_remaining().min(available as u64);
        self.skip(count);
        count as usize
    }

    /// Takes one octet of chunk framing.
    fn framing_octet(&mut self, byte: u8) -> Result<Octet, Fault> {
        let (state, octet) = match (self.state, byte) {
            (State::Size { digits: true, size }, b'\r') => (State::SizeLf(size), Octet::Keep),
            (State::Size { digits: true, size }, b'\n') => (after_size(size), Octet::AddCr),
            (State::Size { digits: true, size }, b' ' | b'\t' | b';') => {
                let semicolon = byte == b';';
                (State::Extension { size, semicolon }, Octet::Drop)
            }
            (State::Size { size, .. }, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(Fault::Chunk)?;
                let size = size << 4 | u64::from(digit);
                if size >= CHUNK_SIZE_END {
                    return Err(Fault::Chunk);
                }
                (State::Size { size, digits: true }, Octet::Keep)
            }
            (State::Extension { size, .. }, b'\r') => (State::SizeLf(size), Octet::Keep),
            (State::Extension { size, .. }, b'\n') => (after_size(size), Octet::AddCr),
            (State::Extension { size, semicolon }, _) => {
                let semicolon = semicolon || byte == b';';
                if !semicolon && !matches!(byte, b' ' | b'\t') {
                    return Err(Fault::Chunk);
                }
                (State::Extension { size, semicolon }, Octet::Drop)
            }
            (State::SizeLf(size), b'\n') => (after_size(size), Octet::Keep),
            (State::DataEnd, b'\r') => (State::DataLf, Octet::Keep),
            (State::DataEnd, b'\n') => (NEXT_CHUNK, Octet::AddCr),
            (State::DataLf, b'\n') => (NEXT_CHUNK, Octet::Keep),
            _ => return Err(Fault::Chunk),
        };
        self.state = state;
        Ok(octet)
    }
}

const NEXT_CHUNK: State = State::Size { size: 0, digits: false };

fn after_size(size: u64) -> State {
    match size {
        0 => State::Trailers,
        size => State::Data(size),
    }
}

/// The octets of the trailers at the start of `input` up to and with the empty line, if it is there.
fn trailer_block(input: &[u8]) -> Option<usize> {
    let mut line = 0;
    loop {
        let rest = input.get(line..)?;
        let end = memchr::memchr(b'\n', rest)?;
        line += end + 1;
        if matches!(rest.get(..end)?, b"" | b"\r") {
            return Some(line);
        }
    }
}

/// Whether a block of trailers is nothing but its empty line.
fn is_empty_line(input: &[u8], block: usize) -> bool {
    matches!(input.get(..block), Some(b"\n" | b"\r\n"))
}

/// The body's octets among those received, without their framing, and whether it ends there.
///
/// # Errors
/// The framing is broken.
pub fn arrived(framing: Body, mut bytes: &[u8]) -> Result<(Cow<'_, [u8]>, bool), ParseError> {
    if let Body::Length(length) = framing {
        let here = usize::try_from(length).unwrap_or(usize::MAX).min(bytes.len());
        return Ok((Cow::Borrowed(&bytes[..here]), here as u64 == length));
    }
    let mut decoder = BodyDecoder::new(framing);
    let mut body = Vec::new();
    while !decoder.is_done() && !bytes.is_empty() {
        let piece = decoder.next(bytes)?;
        body.extend_from_slice(&bytes[piece.framing..piece.framing + piece.payload]);
        if piece.consumed() == 0 {
            break;
        }
        bytes = &bytes[piece.consumed()..];
    }
    Ok((Cow::Owned(body), decoder.is_done()))
}

/// Parses a block of trailers ([`Piece::trailers`]) into `head`, to be looked at and written by
/// `write_fields_to`. HAProxy reads them leniently whatever its options.
///
/// # Errors
/// [`Fault::Trailer`] for lines that are no fields, or too many of them.
pub fn parse_trailers(block: &[u8], head: &mut Head, limits: &Limits) -> Result<(), ParseError> {
    let limits = Limits { lenient: true, ..*limits };
    match slow::trailers(block, head, &limits) {
        Ok(Parsed::Complete { .. }) => framing::check_lengths(head),
        Ok(Parsed::Partial) => Err(ParseError::new(Fault::Trailer, block.len())),
        Err(error) => Err(ParseError::new(Fault::Trailer, error.at)),
    }
}
