//! `userlist` sections: who may enter with which password (manual 3.4).

/// A `userlist`.
#[derive(Clone, Debug, Default)]
pub struct Userlist {
    /// Its name.
    pub name: String,
    /// Its users.
    pub users: Vec<User>,
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
    Crypted(String),
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
    /// The user of this name, if the password is right. A crypted one costs what its method was made to cost.
    pub fn enter(&self, name: &[u8], password: &[u8]) -> Option<&User> {
        let user = self.users.iter().find(|user| user.name.as_bytes() == name)?;
        let right = match &user.password {
            Password::Missing => false,
            Password::Clear(known) => known.as_bytes() == password,
            Password::Crypted(hash) => pwhash::unix::verify(password, hash),
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
            let user = User { name: "u".into(), password: Password::Crypted(hash.into()), groups: Vec::new() };
            let list = Userlist { name: "l".into(), users: vec![user] };
            assert!(list.enter(b"u", b"hello").is_some(), "{hash}");
            assert!(list.enter(b"u", b"hellO").is_none() && list.enter(b"v", b"hello").is_none());
        }
    }

    #[test]
    fn nonsense_lets_nobody_in() {
        for hash in ["", "*", "!", "x", "$9$abc", "$6$", "$6$rounds=999999999999$a$b", "\u{e9}\u{e9}"] {
            let user = User { name: "u".into(), password: Password::Crypted(hash.into()), groups: Vec::new() };
            let list = Userlist { name: "l".into(), users: vec![user] };
            assert!(list.enter(b"u", b"").is_none() && list.enter(b"u", b"x\0").is_none(), "{hash}");
        }
        let user = User { name: "u".into(), password: Password::Missing, groups: Vec::new() };
        assert!(Userlist { name: "l".into(), users: vec![user] }.enter(b"u", b"").is_none());
    }
}
