//! What workers keep and give up beyond HAProxy's defaults: `setcap` and `sandbox` of the global section.

use caps::Capability;

/// What workers keep and what they are locked into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// `setcap`: capabilities that workers keep whoever they become.
    pub keep: Vec<Capability>,
    /// `sandbox landlock`: no file can be opened any more, no TCP address bound, no other process signalled.
    pub landlock: bool,
    /// `sandbox seccomp`: only the system calls that a worker makes.
    pub seccomp: bool,
}

impl Confinement {
    /// Whether there is a sandbox of any kind.
    pub fn is_sandbox(&self) -> bool {
        self.landlock || self.seccomp
    }
}
