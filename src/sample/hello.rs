//! TLS hellos read from bytes that pass by, so that connections can be told apart without being decrypted
//! (manual 7.3.5, `req.ssl_sni` and others; RFC 5246 6.2.1 and 7.4.1, RFC 6066 3, RFC 7301 3.1, RFC 5077 3.2).
//!
//! Everything is `Pending` while more bytes may complete it, and `Ready(None)` where there is no such thing.

use std::task::Poll;

/// Octets of a record's header.
const RECORD_HEAD_BYTES: usize = 5;
/// The same with the head of its first handshake message.
const MESSAGE_HEAD_BYTES: usize = RECORD_HEAD_BYTES + 4;
/// A record holds no more (RFC 5246 6.2.3).
const RECORD_BYTES_MAX: usize = (1 << 14) + 2048;
/// Version and random octets at the begin of a hello.
const RANDOM_END: usize = 34;
const HANDSHAKE: u8 = 0x16;
const CLIENT_HELLO: u8 = 1;
const SSL_3: u32 = 0x0003_0000;

/// Extensions that are asked for (RFC 6066, 8422, 7301, 5077).
pub mod extension {
    /// `server_name`
    pub const SERVER_NAME: u16 = 0;
    /// `supported_groups`
    pub const GROUPS: u16 = 10;
    /// `application_layer_protocol_negotiation`
    pub const ALPN: u16 = 16;
    /// `session_ticket`
    pub const TICKET: u16 = 35;
}

/// The type of the handshake message that begins the stream, once all of the message is here.
pub fn hello_type(bytes: &[u8]) -> Poll<Option<u8>> {
    let Some(&first) = bytes.first() else { return Poll::Pending };
    if !(0x14..=0x17).contains(&first) && first != 0xff {
        return Poll::Ready(None);
    }
    let Some(head) = bytes.get(..MESSAGE_HEAD_BYTES) else { return Poll::Pending };
    if version(&head[1..]) < SSL_3 || usize::from(u16::from_be_bytes([head[3], head[4]])) < 4 {
        return Poll::Ready(None);
    }
    let length = u32::from_be_bytes([0, head[6], head[7], head[8]]) as usize;
    if bytes.len() < MESSAGE_HEAD_BYTES + length {
        return Poll::Pending;
    }
    Poll::Ready(Some(head[5]))
}

/// The version that a client offers: major times 65536 and minor. `room` is what the buffer holds at most: a record
/// that is longer is not waited for.
pub fn client_version(bytes: &[u8], room: usize) -> Poll<Option<u32>> {
    let Some(&first) = bytes.first() else { return Poll::Pending };
    if first != HANDSHAKE {
        return old_version(bytes, room);
    }
    let Some(head) = bytes.get(..MESSAGE_HEAD_BYTES + 2) else { return Poll::Pending };
    let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
    if version(&head[1..]) < SSL_3 || !(6..=RECORD_BYTES_MAX).contains(&length) {
        return Poll::Ready(None);
    }
    if bytes.len() - RECORD_HEAD_BYTES < length.min(room) {
        return Poll::Pending;
    }
    Poll::Ready(Some(version(&head[MESSAGE_HEAD_BYTES..])))
}

/// The same of a hello in the form of SSL 2 (RFC 5246 E.2): two octets of length, the message's type and version.
fn old_version(bytes: &[u8], room: usize) -> Poll<Option<u32>> {
    if bytes[0] & 0x80 == 0 {
        return Poll::Ready(None);
    }
    let Some(head) = bytes.get(..11) else { return Poll::Pending };
    let part = |at: usize| usize::from(u16::from_be_bytes([head[at], head[at + 1]]));
    let length = part(0) & 0x7fff;
    let (ciphers, session, challenge) = (part(5), part(7), part(9));
    let sound = head[2] == CLIENT_HELLO
        && length == 9 + ciphers + session + challenge
        && ciphers > 0
        && ciphers.is_multiple_of(3)
        && (session == 0 || session == 16)
        && (16..=32).contains(&challenge);
    if !sound {
        return Poll::Ready(None);
    }
    if bytes.len() - 2 < length.min(room) {
        return Poll::Pending;
    }
    Poll::Ready(Some(version(&head[3..])))
}

/// Two octets as a version.
fn version(bytes: &[u8]) -> u32 {
    u32::from(bytes[0]) << 16 | u32::from(bytes[1])
}

/// The extensions of a client's hello, once they are here.
pub fn extensions(bytes: &[u8]) -> Poll<Option<Extensions<'_>>> {
    let Some(head) = bytes.get(..RECORD_HEAD_BYTES) else {
        return if bytes.first().is_none_or(|first| *first == HANDSHAKE) { Poll::Pending } else { Poll::Ready(None) };
    };
    if head[0] != HANDSHAKE || head[1] < 3 {
        return Poll::Ready(None);
    }
    let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
    let Some(record) = bytes.get(RECORD_HEAD_BYTES..RECORD_HEAD_BYTES + length) else { return Poll::Pending };
    Poll::Ready(in_record(record).map(Extensions))
}

fn in_record(record: &[u8]) -> Option<&[u8]> {
    let (head, hello) = record.split_at_checked(4)?;
    let length = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
    if head[0] != CLIENT_HELLO || *hello.first()? < 3 {
        return None;
    }
    let rest = hello.get(..length)?.get(RANDOM_END..)?;
    let (_session, rest) = counted(rest, 1)?;
    let (_ciphers, rest) = counted(rest, 2)?;
    let (_compressions, rest) = counted(rest, 1)?;
    counted(rest, 2).map(|(extensions, _)| extensions).filter(|extensions| !extensions.is_empty())
}

/// Cuts off a part whose length stands before it in `digits` octets.
fn counted(bytes: &[u8], digits: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(digits)?;
    let length = length.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
    rest.split_at_checked(length)
}

/// The extensions of a hello.
#[derive(Clone, Copy, Debug)]
pub struct Extensions<'a>(&'a [u8]);

impl<'a> Extensions<'a> {
    /// What the extension of this number holds.
    pub fn get(self, number: u16) -> Option<&'a [u8]> {
        let mut rest = self.0;
        loop {
            let (head, after) = rest.split_at_checked(2)?;
            let (body, after) = counted(after, 2)?;
            if u16::from_be_bytes([head[0], head[1]]) == number {
                return Some(body);
            }
            rest = after;
        }
    }

    /// The host that the client means.
    pub fn server_name(self) -> Option<&'a [u8]> {
        let (list, _) = counted(self.get(extension::SERVER_NAME)?, 2)?;
        let (&kind, name) = list.split_first()?;
        (kind == 0).then_some(())?;
        counted(name, 2).map(|(name, _)| name)
    }

    /// The first protocol that it wants to speak.
    pub fn protocol(self) -> Option<&'a [u8]> {
        let (list, _) = counted(self.get(extension::ALPN)?, 2)?;
        counted(list, 1).map(|(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hello of TLS 1.2 for `name`, that wants `h2`.
    pub fn hello(name: &str) -> Vec<u8> {
        let framed = |digits: usize, body: &[u8]| {
            let length = (body.len() as u32).to_be_bytes();
            [&length[4 - digits..], body].concat()
        };
        let one = |number: u16, body: &[u8]| [&number.to_be_bytes()[..], &framed(2, body)].concat();
        let name = framed(2, &[&[0][..], &framed(2, name.as_bytes())].concat());
        let extensions = [
            one(extension::SERVER_NAME, &name),
            one(extension::ALPN, &framed(2, &framed(1, b"h2"))),
            one(extension::TICKET, b""),
        ]
        .concat();
        let body = [
            &[3, 3][..],
            &[7; 32],
            &framed(1, &[9; 32]),
            &framed(2, &[0xc0, 0x2f]),
            &framed(1, &[0]),
            &framed(2, &extensions),
        ]
        .concat();
        let message = [&[CLIENT_HELLO][..], &framed(3, &body)].concat();
        [&[HANDSHAKE, 3, 1][..], &framed(2, &message)].concat()
    }

    #[test]
    fn a_hello_tells_what_the_client_wants() {
        let bytes = hello("www.example.com");
        assert_eq!(hello_type(&bytes), Poll::Ready(Some(1)));
        assert_eq!(client_version(&bytes, 16384), Poll::Ready(Some(0x0003_0003)));
        let Poll::Ready(Some(found)) = extensions(&bytes) else { panic!("no extensions") };
        assert_eq!(found.server_name(), Some(&b"www.example.com"[..]));
        assert_eq!(found.protocol(), Some(&b"h2"[..]));
        assert_eq!(found.get(extension::TICKET), Some(&b""[..]));
        assert_eq!(found.get(extension::GROUPS), None);
    }

    #[test]
    fn a_cut_hello_is_waited_for() {
        let bytes = hello("a");
        for end in 0..bytes.len() {
            assert_eq!(hello_type(&bytes[..end]), Poll::Pending, "{end}");
            assert_eq!(client_version(&bytes[..end], 16384), Poll::Pending, "{end}");
            assert!(extensions(&bytes[..end]).is_pending(), "{end}");
        }
    }

    #[test]
    fn other_bytes_are_no_hello() {
        for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"SSH-2.0-x", b"\x03\x00\x00\x2b", b"\x00"] {
            assert_eq!(hello_type(bytes), Poll::Ready(None));
            assert_eq!(client_version(bytes, 16384), Poll::Ready(None));
            assert!(matches!(extensions(bytes), Poll::Ready(None)));
        }
    }

    #[test]
    fn any_change_of_one_octet_is_survived() {
        let bytes = hello("www.example.com");
        for at in 0..bytes.len() {
            for octet in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = octet;
                let _ = (hello_type(&changed), client_version(&changed, 16384));
                if let Poll::Ready(Some(found)) = extensions(&changed) {
                    let _ = (found.server_name(), found.protocol());
                }
            }
        }
    }

    #[test]
    fn a_hello_of_ssl_2_tells_its_version() {
        let mut old = vec![0x80, 9 + 3 + 16, 1, 3, 1, 0, 3, 0, 0, 0, 16];
        assert_eq!(client_version(&old, 16384), Poll::Pending);
        old.extend([0; 19]);
        assert_eq!(client_version(&old, 16384), Poll::Ready(Some(0x0003_0001)));
        old[2] = 2;
        assert_eq!(client_version(&old, 16384), Poll::Ready(None));
    }
}
