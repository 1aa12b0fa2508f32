//! Which capabilities a process keeps, and giving up the others (capabilities(7)).
//!
//! A feature that needs a capability while a worker serves adds a row to [`NEEDS`].

use super::plan::{ListenSpec, StartPlan};
use caps::{CapSet, Capability, CapsHashSet};
use nix::unistd::geteuid;

use crate::proxy::Config;
use crate::proxy::server::ServerAddress;
use crate::proxy::source::Foreign;

/// What a running worker may need: the capability, and whether a configuration calls for it. All else that takes
/// privileges (addresses, devices, transparent binding, owners of sockets, limits) is done before they are given up.
type Need = (Capability, fn(&Config) -> bool);

const NEEDS: [Need; 5] = [
    // Sockets of servers and log daemons that are open to their owners only.
    (Capability::CAP_DAC_OVERRIDE, |config| {
        let is_path = |address: &ServerAddress| matches!(address, ServerAddress::Unix(_));
        config.servers.written().iter().any(|server| is_path(&server.address))
            || config.log_targets().any(|target| target.destination.is_path())
    }),
    // Connections that end without a word, marks of packets, and addresses that are not ours.
    (Capability::CAP_NET_ADMIN, |config| {
        config.sources().any(|source| source.foreign != Foreign::No)
            || config.frontends.iter().any(|frontend| frontend.rules.administer_net())
            || config.backends.iter().any(|backend| backend.rules.administer_net())
    }),
    // Devices that connections leave by; older kernels want it for all of them.
    (Capability::CAP_NET_RAW, |config| config.sources().any(|source| source.interface.is_some())),
    // Servers in other network namespaces.
    (Capability::CAP_SYS_ADMIN, |config| {
        config.servers.written().iter().any(|server| server.connection.namespace.is_some())
    }),
    // Pipes larger than anybody may have (fs.pipe-max-size).
    (Capability::CAP_SYS_RESOURCE, |config| !config.global.nosplice && config.global.tune.pipesize > PIPE_BYTES_FREE),
];

/// The kernel's own fs.pipe-max-size.
const PIPE_BYTES_FREE: usize = 1 << 20;

/// What a supervisor needs to start the replacement of a worker that changes user: the change itself, and
/// signals to those that have changed.
const REPLACE: [Capability; 5] = [
    Capability::CAP_KILL,
    Capability::CAP_SETGID,
    Capability::CAP_SETUID,
    // For taking capabilities out of the bounding set.
    Capability::CAP_SETPCAP,
    Capability::CAP_SYS_CHROOT,
];

/// What a master needs besides: to load a configuration and bind whatever it may name.
const RELOAD: [Capability; 7] = [
    // Files of the configuration wherever they are, and UNIX sockets, whose names are replaced.
    Capability::CAP_DAC_OVERRIDE,
    // `user`, `group` and `mode` of UNIX sockets.
    Capability::CAP_CHOWN,
    Capability::CAP_FOWNER,
    // Ports below 1024; `interface`, `transparent`; what `setcap` may name.
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_NET_RAW,
    // A higher limit of descriptors.
    Capability::CAP_SYS_RESOURCE,
];

/// The capabilities that this configuration needs while its workers serve as root.
pub fn needs(config: &Config) -> Vec<Capability> {
    NEEDS.iter().filter(|(_, calls_for)| calls_for(config)).map(|(capability, _)| *capability).collect()
}

/// What a worker keeps: the chosen ones, and those that its configuration needs if it stays what it was.
pub fn of_worker(plan: &StartPlan) -> CapsHashSet {
    let needed = if changes_user(plan) { [].as_slice() } else { &plan.needs };
    plan.confinement.keep.iter().chain(needed).copied().collect()
}

/// What a supervisor keeps: what its workers keep, and what it takes to make one of itself; `reloads` if it
/// also loads and binds new configurations.
pub fn of_supervisor(plan: &StartPlan, reloads: bool) -> CapsHashSet {
    let more = if reloads { RELOAD.as_slice() } else { &[] };
    let is_elsewhere = |spec: &ListenSpec| spec.options.namespace.is_some();
    let binds_elsewhere = reloads && plan.listeners.iter().any(is_elsewhere);
    let elsewhere = binds_elsewhere.then_some(Capability::CAP_SYS_ADMIN);
    REPLACE.iter().chain(more).copied().chain(elsewhere).chain(of_worker(plan)).collect()
}

/// Whether workers become somebody else than root.
pub fn changes_user(plan: &StartPlan) -> bool {
    plan.uid.is_some_and(|uid| uid != 0) && geteuid().is_root()
}

/// Takes all but `kept` out of the bounding set, so that nothing executed later gets more. Needs CAP_SETPCAP:
/// who lacks it keeps the set, and has little to fear of it.
pub fn bound(kept: &CapsHashSet) {
    if !caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).unwrap_or(false) {
        return;
    }
    for capability in caps::read(None, CapSet::Bounding).unwrap_or_default() {
        if !kept.contains(&capability) {
            let _ = caps::drop(None, CapSet::Bounding, capability);
        }
    }
}

/// Reduces what this process may do to those of `kept` that it has; gives those that it has not.
///
/// # Errors
/// The kernel's reason: the process has what it had.
pub fn reduce(kept: &CapsHashSet) -> Result<Vec<Capability>, String> {
    let had = caps::read(None, CapSet::Permitted).map_err(|error| error.to_string())?;
    let keep: CapsHashSet = had.intersection(kept).copied().collect();
    let set = |set, value: &CapsHashSet| caps::set(None, set, value).map_err(|error| error.to_string());
    // Old kernels have no ambient set.
    let _ = caps::clear(None, CapSet::Ambient);
    set(CapSet::Inheritable, &CapsHashSet::new())?;
    set(CapSet::Effective, &keep)?;
    set(CapSet::Permitted, &keep)?;
    Ok(kept.difference(&had).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::confinement::Confinement;
    use crate::sys::process::in_child;

    fn plan(config: &str) -> StartPlan {
        let loaded = crate::config::load_text("test.cfg", config);
        let config = loaded.config.expect("a configuration");
        let confinement: Confinement = config.global.confinement.clone();
        StartPlan { needs: needs(&config), uid: config.global.uid, confinement, ..StartPlan::default() }
    }

    const PLAIN: &str = "global\nlisten l\n bind :1\n mode tcp\n timeout client 1s\n timeout server 1s\n \
                         timeout connect 1s\n";

    #[test]
    fn most_configurations_need_none() {
        assert_eq!(of_worker(&plan(PLAIN)), CapsHashSet::new());
        let ip = format!("{PLAIN} server s 127.0.0.1:1\n log 127.0.0.1 local0\n");
        assert_eq!(of_worker(&plan(&ip)), CapsHashSet::new());
    }

    #[test]
    fn unix_sockets_may_belong_to_others() {
        let access = CapsHashSet::from([Capability::CAP_DAC_OVERRIDE]);
        assert_eq!(of_worker(&plan(&format!("{PLAIN} server s /tmp/s.sock\n"))), access);
        assert_eq!(of_worker(&plan(&format!("{PLAIN} log /dev/log local0\n"))), access);
        assert_eq!(of_worker(&plan(&PLAIN.replace("global\n", "global\n log /dev/log local0\n"))), access);
    }

    #[test]
    fn rules_may_administer_the_network() {
        let admin = CapsHashSet::from([Capability::CAP_NET_ADMIN]);
        let http = PLAIN.replace("mode tcp", "mode http");
        assert_eq!(of_worker(&plan(&format!("{http} http-request set-tos 8\n"))), CapsHashSet::new());
        assert_eq!(of_worker(&plan(&format!("{http} http-request silent-drop\n"))), admin);
        assert_eq!(of_worker(&plan(&format!("{http} tcp-request connection silent-drop\n"))), admin);
        assert_eq!(of_worker(&plan(&format!("{http} tcp-request content set-mark 1\n"))), admin);
        assert_eq!(of_worker(&plan(&format!("{http} http-response set-mark 1\n"))), admin);
    }

    #[test]
    fn connections_may_come_from_anywhere() {
        let server = |source: &str| of_worker(&plan(&format!("{PLAIN} server s 127.0.0.1:1 source {source}\n")));
        assert_eq!(server("127.0.0.2:5-7"), CapsHashSet::new());
        assert_eq!(server("0.0.0.0 usesrc clientip"), CapsHashSet::from([Capability::CAP_NET_ADMIN]));
        assert_eq!(server("0.0.0.0 interface lo"), CapsHashSet::from([Capability::CAP_NET_RAW]));
    }

    #[test]
    fn setcap_counts_for_every_user() {
        let raw = PLAIN.replace("global\n", "global\n setcap cap_net_raw\n");
        assert_eq!(of_worker(&plan(&raw)), CapsHashSet::from([Capability::CAP_NET_RAW]));
        if geteuid().is_root() {
            let user = raw.replace("global\n", "global\n uid 65534\n") + " log /dev/log local0\n";
            assert_eq!(of_worker(&plan(&user)), CapsHashSet::from([Capability::CAP_NET_RAW]));
        }
    }

    #[test]
    fn what_is_given_up_does_not_come_back() {
        if !geteuid().is_root() {
            return;
        }
        let code = in_child(|| {
            let kept = CapsHashSet::from([Capability::CAP_NET_RAW]);
            bound(&kept);
            let missing = reduce(&kept).expect("capabilities");
            let sets = [CapSet::Permitted, CapSet::Effective, CapSet::Bounding];
            let all = sets.iter().all(|set| caps::read(None, *set).is_ok_and(|set| set == kept));
            let again = reduce(&caps::all()).is_ok_and(|missing| !missing.is_empty());
            u8::from(!missing.is_empty() || !all || !again || caps::read(None, CapSet::Permitted).ok() != Some(kept))
        });
        assert_eq!(code, 0);
    }
}
