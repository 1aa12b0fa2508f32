//! What integration tests share: a loopback address of their own, a temporary directory, a guarded
//! process, recording nodes, name servers and log receivers, the framing of HTTP/1 messages, and running services.
//!
//! A test takes what it needs with `mod support;` (from `tests/x.rs`) or
//! `#[path = "../support/mod.rs"] mod support;` (from `tests/x/main.rs`).

// Each test crate compiles all of this and uses a part of it.
#![allow(dead_code)]

pub mod dns;
pub mod message;
pub mod node;
pub mod place;
pub mod process;
pub mod receiver;
pub mod service;
