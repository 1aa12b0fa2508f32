//! Byte buffers and the pool that they come from.
//!
//! A connection holds a buffer only while there are bytes in it, so that an idle connection costs none.

/// Bytes on their way: appended at the end, consumed at the front.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    consumed: usize,
}

impl Buffer {
    fn with_room(size: usize) -> Buffer {
        Buffer { bytes: Vec::with_capacity(size), consumed: 0 }
    }

    /// The bytes not consumed yet.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.consumed..]
    }

    /// How many bytes are not consumed yet.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.consumed
    }

    /// Whether everything was consumed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops `n` bytes from the front.
    pub fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.len());
        self.consumed = (self.consumed + n).min(self.bytes.len());
        if self.consumed == self.bytes.len() {
            self.bytes.clear();
            self.consumed = 0;
        }
    }

    /// Bytes that can be appended without growing, once [`Buffer::tail`] has moved what is there to the front.
    pub fn room(&self) -> usize {
        self.bytes.capacity() - self.len()
    }

    /// The vector to append to, with all its room behind the present bytes.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        if self.consumed > 0 && self.bytes.len() == self.bytes.capacity() {
            self.bytes.drain(..self.consumed);
            self.consumed = 0;
        }
        &mut self.bytes
    }

    /// Moves what is there to the front and gives the vector, so that [`Buffer::room`] bytes can be appended.
    pub fn compact(&mut self) -> &mut Vec<u8> {
        if self.consumed > 0 {
            self.bytes.drain(..self.consumed);
            self.consumed = 0;
        }
        &mut self.bytes
    }

    /// Puts `bytes` before what is there; the buffer grows if it must.
    pub fn put_back(&mut self, bytes: &[u8]) {
        self.compact().splice(..0, bytes.iter().copied());
    }

    /// Appends as much of `bytes` as there is room for and says how much that was.
    pub fn fill(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.room());
        if self.bytes.capacity() - self.bytes.len() < n {
            self.compact();
        }
        self.bytes.extend_from_slice(&bytes[..n]);
        n
    }
}

/// Buffers of one size (`tune.bufsize`), used again and again.
#[derive(Debug)]
pub struct Pool {
    size: usize,
    free: Vec<Buffer>,
    lent: usize,
    poison_byte: Option<u8>,
}

/// Free buffers that a pool keeps; more go back to the allocator.
const FREE_MAX: usize = 1024;

impl Pool {
    /// A pool of buffers of `size` bytes.
    pub fn new(size: usize) -> Pool {
        Pool { size, free: Vec::new(), lent: 0, poison_byte: None }
    }

    /// Fills every buffer with this byte before it is lent (`-dM`), so that what reads more than was written
    /// shows.
    pub fn with_poison(self, poison_byte: Option<u8>) -> Pool {
        Pool { poison_byte, ..self }
    }

    /// Size of its buffers in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Buffers lent at the moment.
    pub fn lent(&self) -> usize {
        self.lent
    }

    /// Buffers kept for later.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Gives the buffers that nobody uses back to the allocator.
    pub fn flush(&mut self) {
        self.free = Vec::new();
    }

    /// An empty buffer.
    pub fn take(&mut self) -> Buffer {
        self.lent += 1;
        let mut buffer = self.free.pop().unwrap_or_else(|| Buffer::with_room(self.size));
        if let Some(byte) = self.poison_byte {
            buffer.bytes.resize(self.size, byte);
            buffer.bytes.clear();
        }
        buffer
    }

    /// Takes a buffer back; what is in it is dropped.
    pub fn give(&mut self, mut buffer: Buffer) {
        self.lent -= 1;
        buffer.bytes.clear();
        buffer.consumed = 0;
        // One that a long head made grow is not kept: the pool's buffers have one size.
        if self.free.len() < FREE_MAX && buffer.bytes.capacity() == self.size {
            self.free.push(buffer);
        }
    }

    /// The buffer in `slot`, taken from the pool when there is none.
    pub fn attach<'a>(&mut self, slot: &'a mut Option<Buffer>) -> &'a mut Buffer {
        slot.get_or_insert_with(|| self.take())
    }

    /// Takes back the buffer of `slot` when it is empty.
    pub fn release_if_empty(&mut self, slot: &mut Option<Buffer>) {
        if slot.as_ref().is_some_and(Buffer::is_empty) {
            self.release(slot);
        }
    }

    /// Takes back the buffer of `slot`, whatever is in it.
    pub fn release(&mut self, slot: &mut Option<Buffer>) {
        if let Some(buffer) = slot.take() {
            self.give(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_fills_to_its_size_and_no_further() {
        let mut pool = Pool::new(8);
        let mut buffer = pool.take();
        assert_eq!(buffer.fill(b"0123456789"), 8);
        buffer.consume(5);
        assert_eq!(buffer.fill(b"abcdefgh"), 5);
        assert_eq!(buffer.bytes(), b"567abcde");
        pool.give(buffer);
        assert_eq!(pool.lent(), 0);
    }
}
