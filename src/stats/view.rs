//! What the statistics show of states that change: filled by whoever owns them, a plain copy of a moment.

/// The operational state of a server, as one word and a colour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerStatus {
    /// In maintenance; of another server's, where it tracks that one (`backend/server`).
    Maintenance(Option<String>),
    /// Down; the second is how many checks of how many have passed on its way up.
    Down(u32, u32),
    /// Up and used; how many checks of how many may still fail before it is down.
    Up(u32, u32),
    /// Up, but it gets no new load: its check says so (`http-check disable-on-404`).
    NoLoad(u32, u32),
    /// Up, but the operator wants it to get no new load.
    Drain(u32, u32),
    /// Not checked.
    NoCheck,
}

/// The health check of a server.
#[derive(Clone, Debug, Default)]
pub struct CheckView {
    /// `L4OK` and the like.
    pub word: &'static str,
    /// In words.
    pub description: &'static str,
    /// Status code of the answer, where there is one.
    pub code: Option<u16>,
    /// What else is known: an error, a reason phrase.
    pub info: String,
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
    /// Its state.
    pub status: ServerStatus,
    /// Weight as balancing uses it, on the scale of the configuration.
    pub weight: u32,
    /// Weight that the operator or the configuration set.
    pub user_weight: u32,
    /// Seconds since the state changed last.
    pub changed_s: u64,
    /// Seconds spent down since the start.
    pub downtime_s: u64,
    /// Checks are configured.
    pub checked: bool,
    /// The check, unless there is none or it rests (maintenance).
    pub check: Option<CheckView>,
    /// Where it is reached.
    pub address: String,
    /// Most sessions at a time.
    pub maxconn: Option<u32>,
    /// Idle connections that any session may use, and those that only a session's later requests may.
    pub idle_safe: u64,
    /// See [`ServerView::idle_safe`].
    pub idle_unsafe: u64,
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

impl ServerStatus {
    /// The `status` column.
    pub fn label(&self) -> String {
        let part = |word: &str, have: u32, all: u32| match have < all {
            true => format!("{word} {have}/{all}"),
            false => word.to_owned(),
        };
        match self {
            ServerStatus::Maintenance(None) => "MAINT".to_owned(),
            ServerStatus::Maintenance(Some(of)) => format!("MAINT (via {of})"),
            ServerStatus::Down(0, _) => "DOWN".to_owned(),
            ServerStatus::Down(have, all) => format!("DOWN {have}/{all}"),
            ServerStatus::Up(have, all) => part("UP", *have, *all),
            ServerStatus::NoLoad(have, all) => part("NOLB", *have, *all),
            ServerStatus::Drain(have, all) => part("DRAIN", *have, *all),
            ServerStatus::NoCheck => "no check".to_owned(),
        }
    }
}
