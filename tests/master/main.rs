//! Master-worker mode of the real program: reloads under load, failing reloads, the master's socket, the service
//! manager's notifications, programs.

#[path = "../reload/load.rs"]
#[allow(dead_code)]
mod load;
#[path = "../support/mod.rs"]
mod support;

mod conversation;
mod life;
mod notify;
mod programs;
mod reloads;
mod service;
