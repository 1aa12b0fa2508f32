//! What the statistics show of states that change: filled by whoever owns them, a plain copy of a moment.

/// The health check of a server.
#[derive(Clone, Debug, Default)]
pub struct CheckView {
    /// `L4OK` and the like.
    pub word: &'static str,
    /// In words.
    pub description: &'static str,
    /// Status code of the answer, where there is one.
    pub code: Option<i16>,
    /// What else is known: an error, a reason phrase, in the octets of who said it.
    pub info: Vec<u8>,
    /// Milliseconds; `None` before the first has ended.
    pub duration_ms: Option<u64>,
    /// A check is under way.
    pub running: bool,
    /// `rise`.
    pub rise: u32,
    /// `fall`.
    pub fall: u32,
    /// The counter between both.
    pub health: u32,
}

/// One server.
#[derive(Clone, Debug)]
pub struct ServerView {
    /// Its state in words: `UP`, `UP 1/3`, `DOWN`, `NOLB`, `DRAIN`, `MAINT`, `no check` (management manual 9.1).
    pub status: String,
    /// In maintenance.
    pub maintained: bool,
    /// Not up, for whatever reason.
    pub down: bool,
    /// Weight as balancing uses it, on the scale of the configuration.
    pub weight: u32,
    /// Weight that the operator or the configuration set.
    pub user_weight: u32,
    /// Percent of its weight that it has while it starts slowly.
    pub throttle: Option<u32>,
    /// Seconds since the state changed last.
    pub changed_s: u64,
    /// Seconds spent down since the start.
    pub downtime_s: u64,
    /// Checks are configured.
    pub checked: bool,
    /// The check, unless there is none or it rests (maintenance).
    pub check: Option<CheckView>,
    /// Its agent, if it is asked.
    pub agent: Option<CheckView>,
    /// Where it is reached.
    pub address: String,
    /// The value by which cookies name it.
    pub cookie: Option<String>,
    /// Most sessions at a time.
    pub maxconn: Option<u32>,
    /// Most idle connections.
    pub idle_max: Option<u32>,
}

/// The server side of a proxy.
#[derive(Clone, Debug)]
pub struct BackendView {
    /// A server can be used, or there is none at all.
    pub up: bool,
    /// Sum of the weights in use.
    pub weight: u32,
    /// The same of the weights that were set.
    pub user_weight: u32,
    /// Usable servers that are not backups.
    pub active: u32,
    /// Usable backups.
    pub backup: u32,
    /// Times that the last server went.
    pub downs: u64,
    /// Seconds since `up` changed.
    pub changed_s: u64,
    /// Seconds without a server since the start.
    pub downtime_s: u64,
}

/// The client side of a proxy.
#[derive(Clone, Copy, Debug, Default)]
pub struct FrontendView {
    /// Most sessions at a time.
    pub maxconn: u32,
    /// The operator paused it (`disable frontend`).
    pub paused: bool,
    /// It listens no more (`shutdown frontend`, soft stop).
    pub stopped: bool,
}

/// Whoever knows the states.
pub trait States {
    /// A server's.
    fn server(&self, id: crate::proxy::ServerId) -> ServerView;
    /// A backend's.
    fn backend(&self, id: crate::proxy::BackendId) -> BackendView;
    /// A frontend's.
    fn frontend(&self, id: crate::proxy::FrontendId) -> FrontendView;
}
