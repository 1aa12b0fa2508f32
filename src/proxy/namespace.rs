//! `namespace`: the network namespace of an address or a server (manual 5.1 and 5.2).

use std::io;
use std::sync::Arc;

use crate::sys::netns;

/// A network namespace with a name.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    opened: Arc<netns::Namespace>,
}

impl Namespace {
    /// The namespace with this name.
    ///
    /// # Errors
    /// As [`netns::Namespace::open`].
    pub fn open(name: &str) -> io::Result<Namespace> {
        Ok(Namespace { name: name.to_owned(), opened: Arc::new(netns::Namespace::open(name)?) })
    }

    /// Whether sockets can be made in it.
    ///
    /// # Errors
    /// The namespace may not be entered.
    pub fn enter(&self) -> io::Result<()> {
        self.opened.within(|| Ok(()))
    }

    /// See [`netns::Namespace::cookie`].
    #[must_use]
    pub fn cookie(&self) -> Option<u64> {
        self.opened.cookie()
    }
}

/// Makes a socket in a namespace, or in the process's own where that is none.
///
/// # Errors
/// As [`netns::Namespace::within`].
pub fn within<T>(namespace: Option<&Namespace>, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    match namespace {
        Some(namespace) => namespace.opened.within(make),
        None => make(),
    }
}
