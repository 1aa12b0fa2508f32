//! The usage page and the help of `-dM`.

/// The usage page, in HAProxy's layout, for the program called `name`.
pub fn usage_page(name: &str) -> String {
    format!(
        "Usage : {name} [-f <cfgfile|cfgdir>]* [ -vdVD ] [ -n <maxconn> ] [ -N <maxpconn> ]
        [ -p <pidfile> ] [ -m <max megs> ] [ -C <dir> ] [-- <cfgfile>*]
        -v shows the version ; -vv also what it was built with.
        -d debug mode : foreground, shows what passes ; -db only stays in foreground.
        -dM[<byte>,help,...] fills new memory with <byte> (0x50 unless given)
        -V verbose mode (undoes quiet mode)
        -D goes into background ; -C changes to <dir> before any file is read.
        -W master-worker mode.
        -Ws master-worker mode that tells systemd.
        -q quiet mode : no messages
        -c check mode : reads the configuration, says what is wrong and exits
        -cj check mode : says what is wrong as JSON on standard output, for editors and CI
        -cc evaluates the condition that follows and exits
        -n most connections of the process (ulimit -n follows from it)
        -m most memory of the process (in MB)
        -N most connections of a proxy that sets none (0)
        -L name of this peer (the host's name unless given)
        -p file for the pids of all processes
        -de does without epoll() (refused : there is no other poller)
        -dp does without poll() (it is never used)
        -dS does without splice()
        -dG does without getaddrinfo() (refused : there is no other resolver)
        -dR does without SO_REUSEPORT
        -dL lists the loaded object files after the configuration was read
        -dK{{class[,...]}} lists the keywords of a class ('help' lists the classes)
        -dr tolerates server names that do not resolve
        -dV does not verify the certificates of servers
        -dW fails if there was any warning
        -dD diagnostic mode : more warnings about the configuration
        -sf/-st [pid ]* makes old processes finish/terminate once this one has its sockets.
        -x <unix_socket> takes the listening sockets of the process behind it
        -S <bind>[,<bind options>...] socket of the master

"
    )
}

/// The page of `-dMhelp`, in HAProxy's layout.
pub fn memory_page() -> String {
    let mut page = "-dM alone fills new memory with the byte 0x50. Another byte may follow at once (also 0).
After it, or instead of it, may come options, each set or cleared, with commas
between them ('*' marks what is in force):

    set               clear            description
  -----------------+-----------------+-----------------------------------------
"
    .to_owned();
    for option in super::memory::OPTIONS {
        let mark = |set: bool| if option.is_set == set { '*' } else { ' ' };
        let (set, clear, what) = (option.set, option.clear, option.what);
        page.push_str(&format!("  {} {set:<15}|{} {clear:<16}| {what}\n", mark(true), mark(false)));
    }
    page.push('\n');
    page
}
