//! The system calls of a worker, as seen in all tests and in the C library's ways to allocate, panic and end.

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

/// What a worker does.
const CALLS: &[i64] = &[
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_ppoll,
    libc::SYS_signalfd4,
    libc::SYS_clock_getres,
    // Also of other workers, for `show info`.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_futex,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    // Connections.
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    // Bytes.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_pipe2,
    libc::SYS_splice,
    libc::SYS_tee,
    // Descriptors.
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_lseek,
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_membarrier,
    // Whether another worker lives; nothing more can be done with what it opens.
    libc::SYS_pidfd_open,
    // Signals, itself, the end.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigpending,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_sched_getaffinity,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Likewise, where the older forms exist.
#[cfg(target_arch = "x86_64")]
const OLDER_CALLS: &[i64] =
    &[libc::SYS_epoll_wait, libc::SYS_poll, libc::SYS_dup2, libc::SYS_time, libc::SYS_arch_prctl];
#[cfg(not(target_arch = "x86_64"))]
const OLDER_CALLS: &[i64] = &[];

/// Answered by EPERM.
const REFUSED: &[i64] = &[
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
];
#[cfg(target_arch = "x86_64")]
const OLDER_REFUSED: &[i64] = &[libc::SYS_open, libc::SYS_stat, libc::SYS_lstat, libc::SYS_access, libc::SYS_readlink];
#[cfg(not(target_arch = "x86_64"))]
const OLDER_REFUSED: &[i64] = &[];

/// This machine, if filters can be made for it.
pub fn architecture() -> Option<TargetArch> {
    TargetArch::try_from(std::env::consts::ARCH).ok()
}

/// The filters, of whose verdicts the kernel takes the hardest: one refuses softly, the other kills.
pub fn filters() -> Result<Vec<BpfProgram>, BackendError> {
    let Some(architecture) = architecture() else { return Ok(Vec::new()) };
    let refused: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().chain(OLDER_REFUSED).map(|call| (*call, Vec::new())).collect();
    let mut known = refused.clone();
    known.extend(CALLS.iter().chain(OLDER_CALLS).map(|call| (*call, Vec::new())));
    known.extend(narrowed()?);
    let errno = SeccompAction::Errno(libc::EPERM as u32);
    let soft = SeccompFilter::new(refused, SeccompAction::Allow, errno, architecture)?;
    let hard = SeccompFilter::new(known, SeccompAction::KillProcess, SeccompAction::Allow, architecture)?;
    Ok(vec![soft.try_into()?, hard.try_into()?])
}

/// Calls that are allowed with some arguments only.
fn narrowed() -> Result<Vec<(i64, Vec<SeccompRule>)>, BackendError> {
    let argument = |index, operator, value| SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value);
    let one = |condition| SeccompRule::new(vec![condition]);
    let equals = |index, value: i64| argument(index, SeccompCmpOp::Eq, value as u64).and_then(one);
    // Memory never becomes code.
    let executable = SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64);
    let no_code = || argument(2, executable.clone(), 0).and_then(one);
    Ok(vec![
        (libc::SYS_mmap, vec![no_code()?]),
        (libc::SYS_mprotect, vec![no_code()?]),
        // Bytes that wait in a socket or terminal, and the mode of a descriptor.
        (
            libc::SYS_ioctl,
            vec![
                equals(1, libc::FIONREAD as i64)?,
                equals(1, libc::TIOCOUTQ as i64)?,
                equals(1, libc::FIONBIO as i64)?,
            ],
        ),
        // What there is of limits may be read.
        (libc::SYS_prlimit64, vec![one(SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)?)?]),
        // Sockets in other networks (which takes a capability).
        (libc::SYS_setns, vec![equals(1, libc::CLONE_NEWNET.into())?]),
        // Whether a process is there.
        (libc::SYS_kill, vec![equals(1, 0)?]),
        // A name for mappings (glibc), and the word that the parent died.
        (libc::SYS_prctl, vec![equals(0, i64::from(libc::PR_SET_VMA))?, equals(0, i64::from(libc::PR_SET_PDEATHSIG))?]),
    ])
}
