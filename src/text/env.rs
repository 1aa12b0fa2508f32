//! The environment as the configuration sees it: the process's own variables, what `setenv` and
//! its kin changed, and the pseudo-variables `.FILE`, `.LINE` and `.SECTION` (section 2.3).
//!
//! The process's real environment is never written: that is not safe once threads exist. Children
//! are given [`Env::iter`].

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStringExt;

/// Variables by name; names and values are bytes.
#[derive(Clone, Debug, Default)]
pub struct Env {
    variables: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Env {
    /// No variables.
    #[must_use]
    pub fn empty() -> Env {
        Env::default()
    }

    /// The variables that the process was started with.
    #[must_use]
    pub fn of_process() -> Env {
        let variables = std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec())).collect();
        Env { variables }
    }

    /// Variables by name and value.
    #[must_use]
    pub fn of(variables: &[(Vec<u8>, Vec<u8>)]) -> Env {
        Env { variables: variables.iter().cloned().collect() }
    }

    /// Sets `name`, replacing an older value.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        self.variables.insert(name.into(), value.into());
    }

    /// Sets `name` unless it exists (`presetenv`).
    pub fn preset(&mut self, name: &str, value: &[u8]) {
        self.variables.entry(name.into()).or_insert_with(|| value.into());
    }

    /// Removes `name`.
    pub fn unset(&mut self, name: &str) {
        self.variables.remove(name.as_bytes());
    }

    /// Keeps only the variables named (`resetenv`).
    pub fn keep_only(&mut self, names: &[&[u8]]) {
        self.variables.retain(|name, _| names.contains(&&name[..]));
    }

    /// Replaces `$NAME` and `${NAME}` in an address, where they count outside of quotes, too (manual 11); a
    /// variable that is not set leaves nothing.
    pub fn expand(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let (name, behind) = variable(after);
            if let Some(value) = self.get(name.as_bytes()) {
                out.push_str(&String::from_utf8_lossy(&value));
            }
            rest = behind;
        }
        out.push_str(rest);
        out
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.variables.get(name).cloned()
    }

    /// All variables that a child process may see, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.variables
            .iter()
            .filter(|(name, _)| name.first() != Some(&b'.'))
            .map(|(name, value)| (&name[..], &value[..]))
    }
}

/// The name behind a `$`, with or without braces, and what follows it.
fn variable(text: &str) -> (&str, &str) {
    let braced = text.strip_prefix('{').and_then(|inner| inner.split_once('}'));
    braced.unwrap_or_else(|| {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        text.split_at(end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_variables_without_quotes() {
        let mut env = Env::empty();
        env.set("PORT", b"8080");
        assert_eq!(env.expand("fd@${PORT}"), "fd@8080");
        assert_eq!(env.expand(":$PORT,[::]:${PORT}"), ":8080,[::]:8080");
        assert_eq!(env.expand("a${NONE}b"), "ab");
        assert_eq!(env.expand("127.0.0.1:80"), "127.0.0.1:80");
    }
}
