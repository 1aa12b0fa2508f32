//! `userlist` sections: who may enter with which password (manual 3.4).

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

/// A `userlist`.
#[derive(Clone, Debug, Default)]
pub struct Userlist {
    /// Its name.
    pub name: String,
    /// Its users.
    pub users: Vec<User>,
    /// The names of its groups.
    pub groups: Vec<String>,
}

/// A user of a list.
#[derive(Clone, Debug)]
pub struct User {
    /// Name.
    pub name: String,
    /// Password.
    pub password: Password,
    /// The groups that the user belongs to.
    pub groups: Vec<String>,
}

/// What is known of a password.
#[derive(Clone)]
pub enum Password {
    /// Nothing: whoever has none may not enter.
    Missing,
    /// The password (`insecure-password`).
    Clear(String),
    /// What crypt(3) makes of it (`password`).
    Crypted(Crypted),
}

/// A password as crypt(3) keeps it. To try one costs what the method was made to cost, milliseconds for the better
/// ones; so the one that was right is recognised from then on, by a keyed hash: each worker has its own memory of 16
/// octets a user, and no password is in it.
#[derive(Clone)]
pub struct Crypted {
    hash: String,
    key: RandomState,
    right: OnceLock<[u64; 2]>,
}

impl Crypted {
    /// What crypt(3) has made.
    pub fn new(hash: String) -> Crypted {
        Crypted { hash, key: RandomState::new(), right: OnceLock::new() }
    }

    fn is(&self, password: &[u8]) -> bool {
        let tag = [0u8, 1].map(|half| self.key.hash_one((half, password)));
        if self.right.get() == Some(&tag) {
            return true;
        }
        let right = pwhash::unix::verify(password, &self.hash);
        if right {
            self.right.get_or_init(|| tag);
        }
        right
    }
}

/// Passwords stay out of debugging output.
impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Password::Missing => "Missing",
            Password::Clear(_) => "Clear",
            Password::Crypted(_) => "Crypted",
        })
    }
}

impl Userlist {
    /// The user of this name, if the password is right.
    pub fn enter(&self, name: &[u8], password: &[u8]) -> Option<&User> {
        let user = self.users.iter().find(|user| user.name.as_bytes() == name)?;
        let right = match &user.password {
            Password::Missing => false,
            Password::Clear(known) => known.as_bytes() == password,
            Password::Crypted(crypted) => crypted.is(password),
        };
        right.then_some(user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_crypt_is_known() {
        let hashes = [
            // openssl passwd -1, -5, -6 and perl's crypt with the salt `ab`.
            "$1$abcdefgh$rwnEbRiN0agqVgZBovWNQ/",
            "$5$abcdefgh$UUoko/Tf0b.8LrDH6BE28ZvVbc7xd//GfzsD0NKugU7",
            "$6$abcdefgh$bp46WUxDu2cphMRE0PvVJlqas2imuSq186YS793XKfmqn9XUEL17HECskUTZInaNigNndLLYc7A6yWBmFEFn3/",
            "abl0JrMf6tlhw",
        ];
        for hash in hashes {
            let user =
                User { name: "u".into(), password: Password::Crypted(Crypted::new(hash.into())), groups: Vec::new() };
            let list = Userlist { name: "l".into(), users: vec![user], groups: Vec::new() };
            for _ in 0..2 {
                assert!(list.enter(b"u", b"hellO").is_none() && list.enter(b"v", b"hello").is_none());
                assert!(list.enter(b"u", b"hello").is_some(), "{hash}");
            }
        }
    }

    #[test]
    fn only_a_right_password_is_remembered() {
        let crypted = Crypted::new("abl0JrMf6tlhw".into());
        assert!(!crypted.is(b"") && !crypted.is(b"hellO") && crypted.right.get().is_none());
        assert!(crypted.is(b"hello"));
        let known = crypted.right.get().copied();
        assert!(known.is_some() && crypted.is(b"hello") && !crypted.is(b"hell") && !crypted.is(b"hello\0x"));
        // The same password of another user, or in another worker's memory, is another tag.
        let other = Crypted::new("abl0JrMf6tlhw".into());
        assert!(other.is(b"hello") && other.right.get().copied() != known);
    }

    #[test]
    fn nonsense_lets_nobody_in() {
        for hash in ["", "*", "!", "x", "$9$abc", "$6$", "$6$rounds=999999999999$a$b", "\u{e9}\u{e9}"] {
            let user =
                User { name: "u".into(), password: Password::Crypted(Crypted::new(hash.into())), groups: Vec::new() };
            let list = Userlist { name: "l".into(), users: vec![user], groups: Vec::new() };
            assert!(list.enter(b"u", b"").is_none() && list.enter(b"u", b"x\0").is_none(), "{hash}");
        }
        let user = User { name: "u".into(), password: Password::Missing, groups: Vec::new() };
        assert!(Userlist { name: "l".into(), users: vec![user], groups: Vec::new() }.enter(b"u", b"").is_none());
    }
}
