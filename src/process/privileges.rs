//! From root to nobody in particular: chroot, groups, user, capabilities, and what the kernel shall refuse from
//! then on (configuration manual 3.1: chroot, gid, group, uid, user, set-dumpable, insecure-*-wanted).

use super::plan::StartPlan;
use super::sandbox::Sandbox;
use super::{Stop, capability, notice};
use crate::sys::fds;
use crate::sys::process::{Forked, exit_now, fork};
use caps::{CapSet, Capability};
use nix::sys::prctl;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Gid, Uid, chdir, chroot, geteuid, getgroups, setgid, setgroups, setuid};

/// Before anything is opened: closes what the caller left open and the configuration does not name, and tells
/// which capabilities of `setcap` cannot be kept.
pub fn begin(plan: &StartPlan) {
    // A directory among them would lead out of the chroot, a lock would be held for as long as we serve.
    fds::close_inherited(&plan.named_descriptors);
    for capability in &plan.confinement.keep {
        if !caps::has_cap(None, CapSet::Permitted, *capability).unwrap_or(false) {
            let name = capability.to_string().to_lowercase();
            notice::warning(format!(
                "[{}.main()] 'setcap': this process does not have the capability '{name}', so its workers will not.",
                plan.program
            ));
        }
    }
}

/// Whether workers will have what `source` needs of root.
///
/// # Errors
/// They will be somebody else, and no `setcap` helps them.
pub fn are_enough(plan: &StartPlan) -> Result<(), String> {
    let keeps = |capability| plan.confinement.keep.contains(&capability);
    if !plan.needs_root || keeps(Capability::CAP_NET_ADMIN) || keeps(Capability::CAP_NET_RAW) {
        return Ok(());
    }
    if plan.uid.is_some_and(|uid| uid != 0) {
        return Err("Some configuration options require full privileges, so global.uid cannot be changed.".to_owned());
    }
    if !geteuid().is_root() {
        let text = "Some options which require full privileges might not work well.";
        notice::warning(format!("[{}.main()] {text}", plan.program));
    }
    Ok(())
}

/// Goes into the chroot jail, changes group and user and gives up every capability that the configuration does
/// not need. `Err` means that the start must end; the message is printed.
pub fn drop_privileges(plan: &StartPlan) -> Result<(), Stop> {
    enter_jail(plan)?;
    if plan.dumpable {
        // While it may: a core is a file, and a large one.
        raise(Resource::RLIMIT_FSIZE);
        raise(Resource::RLIMIT_CORE);
    }
    let kept = capability::of_worker(plan);
    if !plan.may_gain {
        capability::bound(&kept);
    }
    // The kernel takes all of them with the change of user unless told not to.
    let keeps = !kept.is_empty() && capability::changes_user(plan);
    if keeps && let Err(error) = prctl::set_keepcaps(true) {
        alert(plan, &format!("Cannot keep the capabilities of 'setcap': {}.", error.desc()));
        return Err(Stop);
    }
    change_user(plan)?;
    if keeps {
        let _ = prctl::set_keepcaps(false);
    }
    capability::reduce(&kept).map(drop).map_err(|reason| {
        alert(plan, &format!("Cannot give up capabilities: {reason}."));
        Stop
    })
}

/// Makes this process, which runs programs, who workers are, with all that the system leaves to that user: what
/// HAProxy's processes have, whose programs these are. `Err` means that it cannot be; the message is printed.
pub fn become_runner(plan: &StartPlan) -> Result<(), Stop> {
    enter_jail(plan)?;
    change_user(plan)?;
    confine(plan);
    Ok(())
}

fn alert(plan: &StartPlan, text: &str) {
    notice::alert(format!("[{}.main()] {text}", plan.program));
}

/// Goes into the chroot jail and changes group.
fn enter_jail(plan: &StartPlan) -> Result<(), Stop> {
    if let Some(root) = &plan.chroot
        && chroot(root).and_then(|()| chdir("/")).is_err()
    {
        alert(plan, &format!("Cannot chroot({}).", root.display()));
        return Err(Stop);
    }
    // 0 is HAProxy's "not set": being root needs no call.
    if let Some(gid) = plan.gid.filter(|gid| *gid != 0) {
        if getgroups().is_ok_and(|groups| !groups.is_empty()) && setgroups(&[]).is_err() {
            notice::warning(format!(
                "[{}.main()] Failed to drop supplementary groups. Using 'gid'/'group' without 'uid'/'user' is \
                 generally useless.",
                plan.program
            ));
        }
        if setgid(Gid::from_raw(gid)).is_err() {
            alert(plan, &format!("Cannot set gid {gid}."));
            return Err(Stop);
        }
    }
    Ok(())
}

fn change_user(plan: &StartPlan) -> Result<(), Stop> {
    if let Some(uid) = plan.uid.filter(|uid| *uid != 0)
        && setuid(Uid::from_raw(uid)).is_err()
    {
        alert(plan, &format!("Cannot set uid {uid}."));
        return Err(Stop);
    }
    Ok(())
}

/// Tries in a child of this process whether it could give its privileges up, before old processes are told to
/// leave. `Err` means that the start must end; the messages are printed.
pub fn rehearse(plan: &StartPlan) -> Result<(), Stop> {
    if plan.old_pids.is_empty() || (plan.chroot.is_none() && plan.uid.is_none() && plan.gid.is_none()) {
        return Ok(());
    }
    in_child(plan, || drop_privileges(plan))
}

/// Tries in a child all that a worker does before it serves, for the trial of a reload.
pub fn rehearse_worker(plan: &StartPlan) -> Result<(), Stop> {
    in_child(plan, || {
        let sandbox = Sandbox::prepare(plan)?;
        drop_privileges(plan)?;
        confine(plan);
        sandbox.enter(plan)
    })
}

fn in_child(plan: &StartPlan, attempt: impl FnOnce() -> Result<(), Stop>) -> Result<(), Stop> {
    match fork() {
        Ok(Forked::Child) => exit_now(u8::from(attempt().is_err())),
        Ok(Forked::Parent(child)) => match waitpid(child, None) {
            // Whoever has SIGCHLD ignored is not told.
            Ok(WaitStatus::Exited(_, 0)) | Err(_) => Ok(()),
            Ok(_) => Err(Stop),
        },
        Err(error) => {
            notice::alert(format!("[{}.main()] Cannot fork: {}.", plan.program, notice::reason(&error)));
            Err(Stop)
        }
    }
}

/// Takes a limit away, or raises it as far as this process may.
fn raise(resource: Resource) {
    if setrlimit(resource, RLIM_INFINITY, RLIM_INFINITY).is_err()
        && let Ok((_, hard)) = getrlimit(resource)
    {
        let _ = setrlimit(resource, hard, hard);
    }
}

/// Gives up, for good, gaining privileges by executing something and creating processes, unless the
/// configuration wants them.
pub fn confine(plan: &StartPlan) {
    // Old kernels may refuse; what remains is what HAProxy had before it asked for this.
    if !plan.may_gain {
        let _ = prctl::set_no_new_privs();
    }
    if !plan.may_fork {
        let _ = setrlimit(Resource::RLIMIT_NPROC, 0, 0);
    }
    if plan.dumpable && prctl::set_dumpable(true).is_err() {
        notice::warning(format!("[{}.main()] Failed to set the dumpable flag, no core will be dumped.", plan.program));
    }
}

/// What the process that looks after workers does besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// It replaces them, and nothing else.
    Replace,
    /// It also loads and binds new configurations (`-W`).
    Reload,
    /// And it runs programs, which may need anything.
    RunPrograms,
}

/// Gives up what a supervisor does not need, once its sockets are open and its workers are up. It stays root,
/// for its next workers have to begin as root. The README's section "Privileges" lists what is left.
pub fn keep_for_supervision(plan: &StartPlan, duty: Duty) {
    // Whoever is not root gets what it has over an exec of itself by the ambient set.
    let runs_checks = !plan.programs.is_empty() && !capability::changes_user(plan);
    if duty == Duty::RunPrograms || runs_checks || (duty == Duty::Reload && !geteuid().is_root()) {
        return;
    }
    let kept = capability::of_supervisor(plan, duty == Duty::Reload);
    if !plan.may_gain {
        capability::bound(&kept);
        if duty == Duty::Replace {
            // It never executes anything.
            let _ = prctl::set_no_new_privs();
        }
    }
    if let Err(reason) = capability::reduce(&kept) {
        notice::warning(format!("[{}.main()] Cannot give up capabilities: {reason}.", plan.program));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::in_child;

    fn plan() -> StartPlan {
        StartPlan { program: "epoxy".to_owned(), ..StartPlan::default() }
    }

    fn is_root() -> bool {
        nix::unistd::geteuid().is_root()
    }

    #[test]
    fn a_child_goes_into_its_jail_and_stays_there() {
        if !is_root() {
            return;
        }
        let code = in_child(|| {
            let root = std::env::temp_dir().join(format!("epoxy-jail-{}", std::process::id()));
            std::fs::create_dir(&root).expect("directory");
            let jailed = StartPlan { chroot: Some(root.clone()), gid: Some(65534), uid: Some(65533), ..plan() };
            let dropped = drop_privileges(&jailed).is_ok();
            confine(&plan());
            let empty = std::fs::read_dir("/").is_ok_and(|mut entries| entries.next().is_none());
            let ids = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw()) == (65533, 65534);
            let alone = getgroups().is_ok_and(|groups| groups.is_empty());
            let back = nix::unistd::setuid(Uid::from_raw(0)).is_ok();
            let forks = crate::sys::process::can_fork();
            u8::from(!dropped || !empty || !ids || !alone || back || forks)
        });
        let _ = std::fs::read_dir(std::env::temp_dir()).map(|entries| {
            entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with("epoxy-jail-")).for_each(|e| {
                let _ = std::fs::remove_dir(e.path());
            })
        });
        assert_eq!(code, 0);
    }

    #[test]
    fn what_is_not_permitted_is_fatal() {
        let code = in_child(|| {
            notice::set_modes(true, false);
            let missing = StartPlan { chroot: Some("/nonexistent".into()), ..plan() };
            let no_jail = drop_privileges(&missing).is_err();
            let _ = setuid(Uid::from_raw(65534));
            let no_group = drop_privileges(&StartPlan { gid: Some(33), ..plan() }).is_err();
            let no_user = drop_privileges(&StartPlan { uid: Some(33), ..plan() }).is_err();
            u8::from(!no_jail || !no_group || !no_user)
        });
        assert_eq!(code, 0);
    }
}
