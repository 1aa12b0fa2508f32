//! Changes to a head: each appends what is new to the arena and moves or marks a slot.

use super::head::{Head, Slot, Span};
use super::line::{Method, Version};
use super::{Known, status};

impl Head {
    fn append(&mut self, text: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text);
        Span::new(start, self.bytes.len())
    }

    // The start line.

    /// Starts a request made by the proxy itself.
    pub fn start_request(&mut self, method: &[u8], uri: &[u8], version: Version) {
        self.clear();
        self.set_method(method);
        self.set_uri(uri);
        self.set_version(version);
    }

    /// Starts a response made by the proxy itself.
    pub fn start_response(&mut self, version: Version, status: u16, reason: &[u8]) {
        self.clear();
        self.set_version(version);
        self.set_status(status);
        self.set_reason(reason);
    }

    /// Replaces the method.
    pub fn set_method(&mut self, token: &[u8]) {
        self.method = Method::classify(token);
        self.method_token = self.append(token);
    }

    /// Replaces the request target.
    pub fn set_uri(&mut self, uri: &[u8]) {
        self.uri = self.append(uri);
    }

    /// Replaces the version.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
        self.version_text = self.append(version.text());
    }

    /// Replaces the status, and the reason by the usual one for it (`http-response set-status`).
    pub fn set_status(&mut self, code: u16) {
        self.status = code;
        self.status_text = self.append(itoa::Buffer::new().format(code).as_bytes());
        self.reason = self.append(status::reason(code).as_bytes());
    }

    /// Replaces the reason phrase only.
    pub fn set_reason(&mut self, reason: &[u8]) {
        self.reason = self.append(reason);
    }

    // The fields.

    /// Adds a field after all others.
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        self.add_classified(Known::classify(name), name, value);
    }

    /// Adds a field whose name is known already; saves the classification on the hot path.
    pub(crate) fn add_classified(&mut self, known: Known, name: &[u8], value: &[u8]) {
        let slot = self.append_line(known, name, value);
        self.slots.push(slot);
    }

    fn append_line(&mut self, known: Known, name: &[u8], value: &[u8]) -> Slot {
        let name = self.append(name);
        self.bytes.extend_from_slice(b": ");
        let value = self.append(value);
        self.bytes.extend_from_slice(b"\r\n");
        Slot { name, value, known, removed: false, verbatim: true }
    }

    /// Replaces all fields of this name by one at the end (`http-request set-header`).
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        self.remove(name);
        self.add(name, value);
    }

    /// Removes all fields of this name and tells how many there were (`http-request del-header`).
    pub fn remove(&mut self, name: &[u8]) -> usize {
        let known = Known::classify(name);
        if known != Known::Other {
            return self.remove_known(known);
        }
        self.remove_if(|_, candidate, _| candidate.eq_ignore_ascii_case(name))
    }

    /// Removes all fields of this known name and tells how many there were.
    pub fn remove_known(&mut self, known: Known) -> usize {
        let mut count = 0;
        for slot in self.slots.iter_mut() {
            if slot.known == known && !slot.removed {
                slot.removed = true;
                count += 1;
            }
        }
        count
    }

    /// Removes the fields for which `which(known, name, value)` holds and tells how many there were.
    pub fn remove_if(&mut self, mut which: impl FnMut(Known, &[u8], &[u8]) -> bool) -> usize {
        let mut count = 0;
        for at in 0..self.slots.len() {
            let slot = self.slots[at];
            if !slot.removed && which(slot.known, self.at(slot.name), self.at(slot.value)) {
                self.slots[at].removed = true;
                count += 1;
            }
        }
        count
    }

    /// Writes field names as `spelling` has them by their small letters; nothing but the case may differ.
    pub fn respell<'a>(&mut self, spelling: impl Fn(&[u8]) -> Option<&'a [u8]>) {
        for at in 0..self.slots.len() {
            let name = self.slots[at].name;
            let wanted = spelling(&self.at(name).to_ascii_lowercase());
            if let Some(wanted) = wanted.filter(|wanted| wanted.eq_ignore_ascii_case(self.at(name))) {
                self.bytes[name.start as usize..name.end()].copy_from_slice(wanted);
            }
        }
    }

    /// Removes the field at this place ([`super::Field::index`]).
    pub fn remove_at(&mut self, index: usize) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.removed = true;
        }
    }

    /// Replaces the value of the field at this place, keeping its name and position
    /// (`http-request replace-header`).
    pub fn set_value(&mut self, index: usize, value: &[u8]) {
        let Some(old) = self.slots.get(index).copied() else {
            return;
        };
        // The whole line is written anew, so that it still goes out by one copy.
        let start = self.bytes.len();
        let name = old.name.start as usize..old.name.end();
        self.bytes.extend_from_within(name);
        let name = Span::new(start, self.bytes.len());
        self.bytes.extend_from_slice(b": ");
        let value = self.append(value);
        self.bytes.extend_from_slice(b"\r\n");
        self.slots[index] = Slot { name, value, verbatim: true, ..old };
    }

    /// Replaces name and value of the field at this place, keeping its position.
    pub fn set_field(&mut self, index: usize, name: &[u8], value: &[u8]) {
        if index < self.slots.len() {
            self.slots[index] = self.append_line(Known::classify(name), name, value);
        }
    }

    /// Replaces the value of the field at this place by a part of its present value: the bytes
    /// `range` of it. Nothing is copied.
    pub(crate) fn shrink_value(&mut self, index: usize, range: std::ops::Range<usize>) {
        if let Some(slot) = self.slots.get_mut(index) {
            let base = slot.value.start as usize;
            let end = (base + range.end).min(slot.value.end());
            let whole = slot.value;
            slot.value = Span::new(base + range.start, end);
            slot.verbatim &= slot.value == whole;
        }
    }

    // For the parsers.

    /// Removes all fields of this known name but the one at `index`.
    pub(crate) fn keep_only(&mut self, known: Known, index: usize) {
        for (at, slot) in self.slots.iter_mut().enumerate() {
            slot.removed |= slot.known == known && at != index;
        }
    }

    /// Where the request target stands in the raw head.
    pub(crate) fn uri_offset(&self) -> usize {
        self.uri.start as usize
    }

    /// Cuts `range` out of the request target.
    pub(crate) fn cut_uri(&mut self, range: std::ops::Range<usize>) {
        let old = self.uri;
        let base = old.start as usize;
        let start = self.bytes.len();
        let (front, back) = (base + range.start, base + range.end);
        if front <= back && back <= old.end() {
            self.bytes.extend_from_within(base..front);
            self.bytes.extend_from_within(back..old.end());
            self.uri = Span::new(start, self.bytes.len());
        }
    }

    /// Makes `range` of the request target the value of the field at this place; nothing is copied.
    pub(crate) fn value_from_uri(&mut self, index: usize, range: std::ops::Range<usize>) {
        let base = self.uri.start as usize;
        if let Some(slot) = self.slots.get_mut(index) {
            slot.value = Span::new(base + range.start, base + range.end);
            slot.verbatim = false;
        }
    }

    /// Takes a copy of the raw head; the spans given afterwards are offsets in it.
    pub(crate) fn load(&mut self, raw: &[u8]) {
        self.clear();
        self.bytes.extend_from_slice(raw);
        self.raw_bytes = raw.len();
    }

    pub(crate) fn push_span(&mut self, name: Span, value: Span) {
        let known = Known::classify(self.at(name));
        let verbatim = value.start as usize == name.end() + 2
            && self.bytes.get(name.end() + 1) == Some(&b' ')
            && self.bytes.get(value.end()..value.end() + 2) == Some(b"\r\n");
        self.slots.push(Slot { name, value, known, removed: false, verbatim });
    }

    pub(crate) fn set_request_spans(&mut self, method: Span, uri: Span, version: Span) {
        self.method = Method::classify(self.at(method));
        self.method_token = method;
        self.uri = uri;
        self.version = Version::classify(self.at(version));
        self.version_text = version;
    }

    pub(crate) fn set_response_spans(&mut self, version: Span, status: u16, status_text: Span, reason: Span) {
        self.version = Version::classify(self.at(version));
        self.version_text = version;
        self.status = status;
        self.status_text = status_text;
        self.reason = reason;
    }

    /// Where the value of a field stands in the raw head; for error positions.
    pub(crate) fn value_offset(&self, index: usize) -> usize {
        self.slots.get(index).map_or(0, |slot| slot.value.start as usize)
    }

    /// Cuts the raw head where it ends, when more was loaded.
    pub(crate) fn truncate(&mut self, head_bytes: usize) {
        self.bytes.truncate(head_bytes);
        self.raw_bytes = self.bytes.len();
    }

    /// Octets of the head as received, its final empty line included.
    pub(crate) fn raw_bytes(&self) -> usize {
        self.raw_bytes
    }

    /// Overwrites bytes of the arena with spaces (unfolding of obsolete line folds).
    pub(crate) fn blank(&mut self, range: std::ops::Range<usize>) {
        if let Some(bytes) = self.bytes.get_mut(range) {
            bytes.fill(b' ');
        }
    }
}
