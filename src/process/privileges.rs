//! From root to nobody in particular: chroot, groups, user, and what the kernel shall refuse from then on
//! (configuration manual 3.1: chroot, gid, group, uid, user).

use super::plan::StartPlan;
use super::{Stop, notice};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, chdir, chroot, getgroups, setgid, setgroups, setuid};

/// Goes into the chroot jail and changes group and user. `Err` means that the start must end; the message is
/// printed.
pub fn drop_privileges(plan: &StartPlan) -> Result<(), Stop> {
    let alert = |text: String| notice::alert(format!("[{}.main()] {text}", plan.program));
    if let Some(root) = &plan.chroot
        && chroot(root).and_then(|()| chdir("/")).is_err()
    {
        alert(format!("Cannot chroot({}).", root.display()));
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
            alert(format!("Cannot set gid {gid}."));
            return Err(Stop);
        }
    }
    if let Some(uid) = plan.uid.filter(|uid| *uid != 0)
        && setuid(Uid::from_raw(uid)).is_err()
    {
        alert(format!("Cannot set uid {uid}."));
        return Err(Stop);
    }
    Ok(())
}

/// Gives up, for good, gaining privileges by executing something and creating processes, unless the
/// configuration wants them.
pub fn confine(plan: &StartPlan) {
    // Old kernels may refuse; what remains is what HAProxy had before it asked for this.
    if !plan.may_gain {
        let _ = nix::sys::prctl::set_no_new_privs();
    }
    if !plan.may_fork {
        let _ = setrlimit(Resource::RLIMIT_NPROC, 0, 0);
    }
    if plan.dumpable && nix::sys::prctl::set_dumpable(true).is_err() {
        notice::warning(format!("[{}.main()] Failed to set the dumpable flag, no core will be dumped.", plan.program));
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
