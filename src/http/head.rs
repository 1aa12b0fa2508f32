//! The head of a message: an arena of bytes, the slots of its fields and the parts of its start line.
//!
//! Offsets below the length of the raw head are offsets in the bytes as received, so an error found
//! later (in framing, say) can still be shown at its place.

use super::line::{Method, Version};
use super::values::{Values, pick};
use super::{Known, uri};

/// A range of the arena. Heads are smaller than 4 GiB: `tune.bufsize` bounds them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: u32,
    pub len: u32,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Span {
        Span { start: start as u32, len: end.saturating_sub(start) as u32 }
    }

    pub(crate) fn end(self) -> usize {
        self.start as usize + self.len as usize
    }
}

/// The slot of one field line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub name: Span,
    pub value: Span,
    pub known: Known,
    pub removed: bool,
    /// The arena holds exactly `name: value\r\n` here, so the line is written by one copy.
    pub verbatim: bool,
}

/// A live field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Name as received.
    pub name: &'a [u8],
    /// Value without the blanks around it.
    pub value: &'a [u8],
    /// Which name it is, if the proxy knows it.
    pub known: Known,
    /// Place of the field, for [`Head::set_value`] and [`Head::remove_at`]; stays valid until `clear`.
    pub index: usize,
}

/// The head of a request or a response.
///
/// Field lookups never see removed fields. Names compare without regard to case.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub(super) bytes: Vec<u8>,
    /// Octets of the arena that are the head as received; edits follow.
    pub(super) raw_bytes: usize,
    pub(super) slots: Vec<Slot>,
    pub(super) method: Method,
    pub(super) method_token: Span,
    pub(super) uri: Span,
    pub(super) version: Version,
    pub(super) version_text: Span,
    pub(super) status: u16,
    /// The digits as written; empty in a request.
    pub(super) status_text: Span,
    pub(super) reason: Span,
}

impl Head {
    /// An empty head; allocates on first use.
    pub fn new() -> Head {
        Head::default()
    }

    /// Forgets the message and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.raw_bytes = 0;
        self.slots.clear();
        self.method = Method::Get;
        self.method_token = Span::default();
        self.uri = Span::default();
        self.version = Version::Http11;
        self.version_text = Span::default();
        self.status = 0;
        self.status_text = Span::default();
        self.reason = Span::default();
    }

    /// Octets of memory that the head holds on to.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity() + self.slots.capacity() * size_of::<Slot>()
    }

    /// Whether nothing was parsed or started since the last `clear`.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn at(&self, span: Span) -> &[u8] {
        self.bytes.get(span.start as usize..span.end()).unwrap_or_default()
    }

    // The start line.

    /// What HAProxy's form of a start line has besides its texts.
    pub const START_LINE_FIXED_BYTES: usize = 20;

    /// Octets of everything that was ever written into the head, texts that are gone included.
    pub fn written_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Octets of the head as HAProxy counts them for %B, %U and its statistics: those of its internal form,
    /// which has no blanks or line ends, but a fixed part of the start line and an end mark.
    pub fn counted_bytes(&self) -> u64 {
        const END_MARK: usize = 1;
        let request_line = self.method_token().len() + self.uri().len();
        let status_line = if self.status == 0 { 0 } else { 3 + self.reason().len() };
        let fields: usize = self.fields().map(|field| field.name.len() + field.value.len()).sum();
        (Self::START_LINE_FIXED_BYTES + request_line + status_line + self.version_text().len() + fields + END_MARK)
            as u64
    }

    /// The method, classified.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The method as written.
    pub fn method_token(&self) -> &[u8] {
        self.at(self.method_token)
    }

    /// The request target as written (`url` in section 7.3.6).
    pub fn uri(&self) -> &[u8] {
        self.at(self.uri)
    }

    /// The path of the request target (`path`); empty for `*` and an authority.
    pub fn path(&self) -> &[u8] {
        uri::path(self.uri())
    }

    /// The query string without its question mark (`query`); empty if there is none.
    pub fn query(&self) -> &[u8] {
        uri::query(self.uri())
    }

    /// What the version means.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The version as it will be written, such as `HTTP/1.1` (from 1.1 upward always that).
    pub fn version_text(&self) -> &[u8] {
        match self.version {
            Version::Http11 => Version::Http11.text(),
            Version::Http10 => self.at(self.version_text),
        }
    }

    /// The version as it was received, such as `HTTP/1.2`.
    pub fn version_received(&self) -> &[u8] {
        match self.at(self.version_text) {
            b"" => self.version_text(),
            received => received,
        }
    }

    /// The status of a response; 0 in a request.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase of a response; may be empty.
    pub fn reason(&self) -> &[u8] {
        self.at(self.reason)
    }

    // The fields.

    pub(super) fn live(&self) -> impl DoubleEndedIterator<Item = (usize, &Slot)> {
        self.slots.iter().enumerate().filter(|(_, slot)| !slot.removed)
    }

    fn field(&self, index: usize, slot: &Slot) -> Field<'_> {
        Field { name: self.at(slot.name), value: self.at(slot.value), known: slot.known, index }
    }

    /// The live fields in order.
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = Field<'_>> {
        self.live().map(|(index, slot)| self.field(index, slot))
    }

    /// The live fields of this name in order.
    pub fn fields_named<'a>(&'a self, name: &'a [u8]) -> impl DoubleEndedIterator<Item = Field<'a>> {
        // A known name is found by its id; only others compare text.
        let known = Known::classify(name);
        self.live()
            .filter(move |(_, slot)| {
                slot.known == known && (known != Known::Other || self.at(slot.name).eq_ignore_ascii_case(name))
            })
            .map(|(index, slot)| self.field(index, slot))
    }

    /// The live fields of this known name in order.
    pub fn fields_known(&self, known: Known) -> impl DoubleEndedIterator<Item = Field<'_>> {
        self.live().filter(move |(_, slot)| slot.known == known).map(|(index, slot)| self.field(index, slot))
    }

    /// The value of the first field of this name.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let index = self.fields_named(name).next()?.index;
        self.slots.get(index).map(|slot| self.at(slot.value))
    }

    /// The value of the first field of this known name.
    pub fn get_known(&self, known: Known) -> Option<&[u8]> {
        self.fields_known(known).next().map(|field| field.value)
    }

    /// The place of the first field of this known name at or behind the place `from`.
    pub fn find_known(&self, known: Known, from: usize) -> Option<usize> {
        let rest = self.slots.get(from..)?;
        let found = rest.iter().position(|slot| slot.known == known && !slot.removed)?;
        Some(from + found)
    }

    /// The value at a place ([`Field::index`]); empty if there is none.
    pub fn value_at(&self, index: usize) -> &[u8] {
        self.slots.get(index).map_or(&[], |slot| self.at(slot.value))
    }

    /// How many places of fields there are, removed ones included.
    pub fn field_places(&self) -> usize {
        self.slots.len()
    }

    /// Appends the field at a place as `Name: value`, without a line end; false if it was removed.
    pub fn write_line_at(&self, index: usize, out: &mut Vec<u8>) -> bool {
        let Some(slot) = self.slots.get(index).filter(|slot| !slot.removed) else { return false };
        out.extend_from_slice(self.at(slot.name));
        out.extend_from_slice(b": ");
        out.extend_from_slice(self.at(slot.value));
        true
    }

    /// Whether a field of this known name is there.
    pub fn has(&self, known: Known) -> bool {
        self.slots.iter().any(|slot| !slot.removed && slot.known == known)
    }

    /// Whether a field of this known name is or was there.
    pub(crate) fn had(&self, known: Known) -> bool {
        self.slots.iter().any(|slot| slot.known == known)
    }

    /// How many field lines have this name (`fhdr_cnt`).
    pub fn count(&self, name: &[u8]) -> usize {
        self.fields_named(name).count()
    }

    /// The whole value of the `occurrence`th line of this name (`fhdr(name,occ)`): 1 is the first,
    /// -1 the last.
    pub fn nth(&self, name: &[u8], occurrence: i32) -> Option<&[u8]> {
        let index = pick(self.fields_named(name), occurrence)?.index;
        self.slots.get(index).map(|slot| self.at(slot.value))
    }

    /// All comma-separated values of all lines of this name, in order (`hdr(name)`).
    pub fn values<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + Clone {
        let known = Known::classify(name);
        self.slots
            .iter()
            .filter(move |slot| {
                !slot.removed
                    && slot.known == known
                    && (known != Known::Other || self.at(slot.name).eq_ignore_ascii_case(name))
            })
            .flat_map(|slot| Values::new(self.at(slot.value)))
    }

    /// How many comma-separated values this name has (`hdr_cnt`).
    pub fn value_count(&self, name: &[u8]) -> usize {
        self.values(name).count()
    }

    /// The `occurrence`th comma-separated value (`hdr(name,occ)`): 1 is the first, -1 the last.
    pub fn nth_value<'a>(&'a self, name: &'a [u8], occurrence: i32) -> Option<&'a [u8]> {
        match occurrence {
            0 => None,
            1.. => self.values(name).nth(occurrence as usize - 1),
            _ => {
                let back = occurrence.unsigned_abs() as usize;
                let forward = self.value_count(name).checked_sub(back)?;
                self.values(name).nth(forward)
            }
        }
    }

    /// Octets that the head takes on the wire, start line and final empty line included.
    pub fn wire_bytes(&self) -> usize {
        self.text_bytes(": \r\n".len()) + "  \r\n".len() + "\r\n".len()
    }

    /// Octets of the texts of the start line and of the live fields, with `field_extra` for each field.
    pub(crate) fn text_bytes(&self, field_extra: usize) -> usize {
        let start = [self.method_token, self.uri, self.status_text, self.reason];
        let start: usize = start.iter().map(|span| span.len as usize).sum();
        let fields = self.slots.iter().filter(|slot| !slot.removed);
        let fields: usize = fields.map(|slot| slot.name.len as usize + slot.value.len as usize + field_extra).sum();
        start + self.version_text().len() + fields
    }

    // Writing.

    /// Appends the request to `out`.
    pub fn write_request_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.method_token());
        out.push(b' ');
        out.extend_from_slice(self.uri());
        out.push(b' ');
        out.extend_from_slice(self.version_text());
        out.extend_from_slice(b"\r\n");
        self.write_fields_to(out);
    }

    /// Appends the response to `out`.
    pub fn write_response_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.version_text());
        out.push(b' ');
        out.extend_from_slice(self.at(self.status_text));
        out.push(b' ');
        out.extend_from_slice(self.reason());
        out.extend_from_slice(b"\r\n");
        self.write_fields_to(out);
    }

    /// Appends the field lines and the empty line that ends them.
    pub fn write_fields_to(&self, out: &mut Vec<u8>) {
        // Lines that stand verbatim one after the other in the arena go out in one copy.
        let mut run = 0..0;
        for slot in self.slots.iter().filter(|slot| !slot.removed) {
            let line = slot.name.start as usize..slot.value.end() + 2;
            if slot.verbatim && line.start == run.end {
                run.end = line.end;
                continue;
            }
            out.extend_from_slice(self.bytes.get(run).unwrap_or_default());
            run = 0..0;
            if slot.verbatim {
                run = line;
            } else {
                out.extend_from_slice(self.at(slot.name));
                out.extend_from_slice(b": ");
                out.extend_from_slice(self.at(slot.value));
                out.extend_from_slice(b"\r\n");
            }
        }
        out.extend_from_slice(self.bytes.get(run).unwrap_or_default());
        out.extend_from_slice(b"\r\n");
    }
}
