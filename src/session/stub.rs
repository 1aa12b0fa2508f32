//! Stand-ins until the real parts have landed.
use crate::log::LogSettings;
use crate::sample::Ctx;
use std::net::IpAddr;
/// Key.
pub struct Key {
    /// source.
    pub source: Option<IpAddr>,
}
/// Balancer.
#[derive(Default)]
pub struct Balancer {
    n: usize,
    at: usize,
}
#[allow(missing_docs)]
impl Balancer {
    pub fn new(n: usize) -> Self {
        Balancer { n, at: 0 }
    }
    pub fn pick(&mut self, _key: &Key, ok: impl Fn(usize) -> bool) -> Option<usize> {
        for _ in 0..self.n {
            let i = self.at % self.n;
            self.at += 1;
            if ok(i) {
                return Some(i);
            }
        }
        None
    }
    pub fn usable(&self) -> usize {
        self.n
    }
    pub fn is_usable(&self, _i: usize) -> bool {
        true
    }
    pub fn taken(&mut self, _i: usize) {}
    pub fn released(&mut self, _i: usize) {}
}
/// Logger.
#[derive(Default)]
pub struct Logger {}
#[allow(missing_docs)]
impl Logger {
    pub fn exchange(&mut self, _ctx: &Ctx<'_>, _s: &LogSettings) {}
}
