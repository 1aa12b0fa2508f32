//! Limits of the process: descriptors from maxconn or maxconn from descriptors, and memory
//! (configuration manual 3.1 `ulimit-n` and 3.2 `maxconn`, management manual 5 and 6).

use super::plan::LimitsWanted;
use super::{Stop, notice};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors that a process needs for itself: standard streams, epoll, signals, logs and the like. The
/// numbers are HAProxy's for one thread, so that the same ulimit gives the same maxconn.
const BASE_DESCRIPTORS: u64 = 10 + 3;

/// Fewest connections that a computed maxconn grants, whatever the limit says.
const COMPUTED_MAXCONN_MIN: u32 = 100;

/// What the limits came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most connections of the process.
    pub maxconn: u32,
    /// True if `maxconn` follows from the descriptors because nobody set it.
    pub maxconn_computed: bool,
    /// Descriptors that so many connections may need.
    pub maxsock: u64,
    /// Pipes for splicing.
    pub maxpipes: u32,
    /// Limit of descriptors to ask for.
    pub descriptors: u64,
}

/// Computes the limits; `available` is the limit of descriptors that this process can have without asking.
pub fn compute(wanted: &LimitsWanted, available: u64) -> Limits {
    let available = wanted.fd_hard_limit.map_or(available, |limit| available.min(limit));
    let fixed = BASE_DESCRIPTORS + (wanted.listeners + wanted.checks + wanted.cli_connections) as u64;
    let maxconn = wanted.maxconn.unwrap_or_else(|| computed_maxconn(wanted, fixed, available));
    let maxpipes = match wanted.maxpipes {
        _ if !wanted.splicing => 0,
        Some(pipes) => pipes,
        None => maxconn / 4,
    };
    let maxsock = fixed + 2 * u64::from(maxconn) + 2 * u64::from(maxpipes);
    Limits {
        maxconn,
        maxconn_computed: wanted.maxconn.is_none(),
        maxsock,
        maxpipes,
        descriptors: wanted.ulimit_n.unwrap_or(maxsock),
    }
}

/// The most connections for which the descriptors suffice: two each, and half a pipe each if spliced.
fn computed_maxconn(wanted: &LimitsWanted, fixed: u64, available: u64) -> u32 {
    let left = available.max(wanted.ulimit_n.unwrap_or(0)).saturating_sub(fixed);
    let connections = match wanted.maxpipes {
        _ if !wanted.splicing => left / 2,
        Some(pipes) => left.saturating_sub(2 * u64::from(pipes)) / 2,
        None => left * 2 / 5,
    };
    u32::try_from(connections).unwrap_or(u32::MAX).max(COMPUTED_MAXCONN_MIN)
}

/// The limit of descriptors that this process can raise itself to: the higher of the soft and hard one.
pub fn available_descriptors() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, hard)| soft.max(hard))
}

/// Puts the limits in force. `Err` means that the start must end; the messages are printed.
pub fn apply(program: &str, wanted: &LimitsWanted, limits: &Limits) -> Result<(), Stop> {
    raise_descriptors(program, wanted, limits)?;
    if wanted.memory_max_mb > 0 {
        let bytes = u64::from(wanted.memory_max_mb) << 20;
        if setrlimit(Resource::RLIMIT_AS, bytes, bytes).is_err() {
            let megabytes = wanted.memory_max_mb;
            complain(program, wanted.strict, format!("Cannot fix MEM limit to {megabytes} megs."))?;
        }
    }
    Ok(())
}

/// Raises the limit of descriptors, never lowers it: to what `ulimit-n` says, else to all that can be had.
fn raise_descriptors(program: &str, wanted: &LimitsWanted, limits: &Limits) -> Result<(), Stop> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((0, 0));
    let own = wanted.fd_hard_limit.unwrap_or(u64::MAX);
    if limits.descriptors > own {
        let granted = if wanted.strict { own.min(hard) } else { hard };
        let needed = limits.descriptors;
        complain(program, wanted.strict, format!("Cannot raise FD limit to {needed}, limit is {granted}."))?;
        // What the system allows is better than nothing where that is tolerated, as in HAProxy.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
        return Ok(());
    }
    if soft > own {
        // A process with privileges could raise it again; HAProxy's does not try either.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, own, hard);
        return Ok(());
    }
    let unasked = if wanted.ulimit_n.is_some() { soft } else { hard.min(own) };
    let target = limits.descriptors.max(soft).max(unasked);
    if soft < target && setrlimit(Resource::RLIMIT_NOFILE, target, target.max(hard)).is_err() {
        // What the hard limit allows is better than nothing where that is tolerated.
        let granted = if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft };
        let needed = limits.descriptors;
        complain(program, wanted.strict, format!("Cannot raise FD limit to {needed}, limit is {granted}."))?;
    }
    Ok(())
}

/// Tells on standard error, as an alert, that connections may fail; the start goes on.
pub fn warn_if_too_few(program: &str, limits: &Limits) {
    let granted = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    if granted < limits.maxsock {
        let (maxconn, maxsock) = (limits.maxconn, limits.maxsock);
        notice::alert(format!(
            "[{program}.main()] FD limit ({granted}) too low for maxconn={maxconn}/maxsock={maxsock}. \
             Please raise 'ulimit-n' to {maxsock} or more to avoid any trouble."
        ));
    }
}

fn complain(program: &str, fatal: bool, text: String) -> Result<(), Stop> {
    let text = format!("[{program}.main()] {text}");
    if fatal {
        notice::alert(text);
        return Err(Stop);
    }
    notice::warning(text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::in_child;

    fn one_listener() -> LimitsWanted {
        LimitsWanted { listeners: 1, ..LimitsWanted::default() }
    }

    #[test]
    fn maxconn_follows_from_the_descriptors_as_in_haproxy() {
        assert_eq!(compute(&one_listener(), 20_000).maxconn, 9993);
        assert_eq!(compute(&one_listener(), 64).maxconn, 100);
        assert_eq!(compute(&one_listener(), 64).descriptors, 214);
        let spliced = LimitsWanted { splicing: true, ..one_listener() };
        assert_eq!(compute(&spliced, 20_000).maxconn, 7994);
        assert!(compute(&spliced, 20_000).maxsock <= 20_000);
        let ulimit = LimitsWanted { ulimit_n: Some(2014), ..one_listener() };
        assert_eq!(compute(&ulimit, 64).maxconn, 1000);
        assert_eq!(compute(&ulimit, 20_000).maxconn, 9993);
    }

    #[test]
    fn descriptors_follow_from_maxconn() {
        let wanted = LimitsWanted { maxconn: Some(1000), ..one_listener() };
        let limits = compute(&wanted, 64);
        assert_eq!((limits.maxconn, limits.maxsock, limits.descriptors), (1000, 2014, 2014));
        let wanted = LimitsWanted { ulimit_n: Some(64), ..wanted };
        assert_eq!(compute(&wanted, 64).descriptors, 64);
    }

    #[test]
    fn ulimit_n_is_the_limit() {
        let code = in_child(|| {
            let _ = setrlimit(Resource::RLIMIT_NOFILE, 64, 128);
            let wanted = LimitsWanted { maxconn: Some(10), ulimit_n: Some(100), ..one_listener() };
            let raised = apply("epoxy", &wanted, &compute(&wanted, 128)).is_ok();
            let asked = getrlimit(Resource::RLIMIT_NOFILE);
            let free = LimitsWanted { ulimit_n: None, ..wanted };
            let raised_more = apply("epoxy", &free, &compute(&free, 128)).is_ok();
            let all = getrlimit(Resource::RLIMIT_NOFILE);
            u8::from(!raised || asked != Ok((100, 128)) || !raised_more || all != Ok((128, 128)))
        });
        assert_eq!(code, 0);
    }

    #[test]
    fn a_limit_that_cannot_be_had_is_fatal_only_if_strict() {
        let code = in_child(|| {
            notice::set_modes(true, false);
            let _ = setrlimit(Resource::RLIMIT_NOFILE, 64, 64);
            let _ = nix::unistd::setuid(nix::unistd::Uid::from_raw(65534));
            let strict = LimitsWanted { maxconn: Some(1000), ..one_listener() };
            let limits = compute(&strict, 64);
            let lenient = LimitsWanted { strict: false, ..strict.clone() };
            let refused = apply("epoxy", &strict, &limits).is_err();
            u8::from(!refused || apply("epoxy", &lenient, &limits).is_err())
        });
        assert_eq!(code, 0);
    }
}
