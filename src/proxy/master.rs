//! Settings of master-worker mode (manual 3.1 `master-worker`, 3.7 `program`; management manual 9.4).

use super::CliBind;

/// What the configuration and the command line say of the master.
#[derive(Clone, Debug, Default)]
pub struct MasterSettings {
    /// `master-worker`, `-W` or `-Ws`.
    pub wanted: bool,
    /// `mworker-max-reloads`: reloads that an old worker may survive; `None` for any number.
    pub reloads_max: Option<u32>,
    /// `program` sections.
    pub programs: Vec<Program>,
    /// `-S`: where the master's own runtime socket listens.
    pub cli: Vec<CliBind>,
}

/// A program that lives and ends with the service.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its section's name.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<Vec<u8>>,
    /// User to become.
    pub uid: Option<u32>,
    /// Group to become.
    pub gid: Option<u32>,
    /// A reload starts a new one; otherwise it only ends the old one.
    pub start_on_reload: bool,
}
