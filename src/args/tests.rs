//! Tests of the command line.

use super::*;

fn run(line: &str) -> Result<Command, Refusal> {
    let argv: Vec<OsString> =
        std::iter::once("epoxy").chain(line.split(' ').filter(|w| !w.is_empty())).map(OsString::from).collect();
    parse(&argv)
}

fn started(line: &str) -> Args {
    match run(line) {
        Ok(Command::Start(args)) => *args,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_usual_lines_of_init_scripts() {
    let args = started("-f /etc/a.cfg -f b.cfg -D -p /run/x.pid -sf 12 345 -n 2000 -- c d");
    assert_eq!(args.files, ["/etc/a.cfg", "b.cfg", "c", "d"].map(PathBuf::from));
    assert_eq!((args.daemon, args.maxconn), (true, 2000));
    assert_eq!((args.old_processes, args.old_pids), (OldProcesses::Finish, vec![12, 345]));
    assert_eq!(args.pidfile, Some("/run/x.pid".into()));
    let args = started("-c -q -V -f x -C /etc -N 5 -m 64 -L me -st -dS -dV -dKall,cfg -dM7");
    assert!(args.check && args.quiet && args.verbose && args.no_splice && args.no_server_verify);
    assert_eq!((args.proxy_maxconn, args.memory_max_mb, args.old_pids.len()), (5, 64, 0));
    assert_eq!(args.old_processes, OldProcesses::Terminate);
    assert_eq!((args.local_peer.as_deref(), args.keyword_classes.as_deref()), (Some("me"), Some("all,cfg")));
    assert_eq!(args.memory.poison_byte, Some(7));
}

#[test]
fn lenient_as_haproxy() {
    assert_eq!(started("-n abc -f x").maxconn, 0);
    assert_eq!(started("-n -5 -f x").maxconn, 0);
    assert!(started("-cfoo -f x").check);
    assert!(started("-dfoo -f x").debug);
    assert_eq!(started("-fok.cfg -c").files, [PathBuf::from("-c")]);
    assert!(started("-W -c -f x").check);
    assert_eq!(started("-x /nowhere -f x").sockets_from, Some("/nowhere".into()));
    assert_eq!(started("-sf 99999999999 -f x").old_pids, [i32::MAX]);
}

#[test]
fn lines_that_end_at_once() {
    assert_eq!(run("-v"), Ok(Command::Version));
    assert_eq!(run("-c -f x -vx"), Ok(Command::Version));
    assert_eq!(run("-vvv -f nope"), Ok(Command::BuildOptions));
    assert_eq!(run("-dMhelp"), Ok(Command::MemoryHelp));
    let condition = |quiet| Command::Condition { text: "version_atleast(2.4)".to_owned(), quiet, verbose: false };
    assert_eq!(run("-cc version_atleast(2.4)"), Ok(condition(false)));
    assert_eq!(run("-cc version_atleast(2.4) -q"), Ok(condition(true)));
}

#[test]
fn lines_that_get_the_usage_page() {
    for line in [
        "",
        "-c",
        "-h",
        "-z",
        "-W",
        "-s",
        "-sx",
        "-st",
        "-cc",
        "x.cfg",
        "-c x.cfg",
        "--",
        "-",
        "-sf 0 -f x",
        "-f x --help",
    ] {
        assert_eq!(run(line), Err(Refusal::Usage), "{line}");
    }
    let empty = ["epoxy", "-sf", "", "-f", "x"].map(OsString::from);
    assert_eq!(parse(&empty), Err(Refusal::Usage));
    assert!(matches!(run("-x"), Err(Refusal::AlertAndUsage(_))));
}

#[test]
fn lines_that_get_an_alert() {
    let pids = |how: &str, rest: &str| {
        Err(Refusal::Alert(format!("{how} option: some bytes unconsumed in PID list {{{rest}}}")))
    };
    assert_eq!(run("-sf abc -f x"), pids("-sf", "abc"));
    assert_eq!(run("-st 12ab -f x"), pids("-st", "ab"));
    assert_eq!(run("-sf 12,34 -f x"), pids("-sf", ",34"));
    for line in ["-f", "-C", "-n", "-p", "-S", "-dMzz -f x", "-de -f x", "-dG -f x"] {
        assert!(matches!(run(line), Err(Refusal::Alert(_))), "{line}");
    }
}

#[test]
fn background_is_the_command_lines_choice_first() {
    assert!(started("-D -db -f x").goes_to_background(false));
    assert!(started("-f x").goes_to_background(true));
    assert!(!started("-db -f x").goes_to_background(true));
    assert!(!started("-d -f x").goes_to_background(true));
    assert!(!started("-f x").goes_to_background(false));
}

#[test]
fn a_directory_stands_for_its_files() {
    let dir = std::env::temp_dir().join(format!("epoxy-args-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("sub.cfg")).expect("directory");
    for name in ["b.cfg", "a.cfg", ".hidden.cfg", "c.conf", ".cfg", "B.cfg"] {
        std::fs::write(dir.join(name), "").expect("file");
    }
    let named = [PathBuf::from("/dev/null"), dir.clone()];
    let files = config_files(&named);
    let missing = config_files(&[dir.join("none")]);
    std::fs::remove_dir_all(&dir).expect("clean up");
    let expected = ["/dev/null".into(), dir.join("B.cfg"), dir.join("a.cfg"), dir.join("b.cfg")];
    assert_eq!(files.as_deref(), Ok(&expected[..]));
    let path = dir.join("none");
    let message =
        format!("config : Cannot open configuration file/directory {} : No such file or directory", path.display());
    assert_eq!(missing, Err(message));
}

/// Debian's haproxy, where it is installed, ends with the same code.
#[test]
fn exit_codes_are_haproxys() {
    if !std::path::Path::new("/usr/sbin/haproxy").exists() {
        return;
    }
    let lines = [
        "",
        "-h",
        "-v",
        "-vv",
        "-vx",
        "-z",
        "-c",
        "-C",
        "-f",
        "-n",
        "-p",
        "-L",
        "-m",
        "-x",
        "-S",
        "-s",
        "-sx",
        "-st",
        "-cc",
        "-dMhelp",
        "-dMzz -c -f /dev/null",
        "-sf abc -f /dev/null",
        "-sf 0 -c -f /dev/null",
        "-",
        "-sf 12,34 -c -f /dev/null",
        "x.cfg",
        "-dKhelp",
        "-W",
        "--",
        "-sf -5 -f /dev/null",
    ];
    for line in lines {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let oracle = std::process::Command::new("/usr/sbin/haproxy").args(&words).output().expect("haproxy runs");
        let ours = match run(line) {
            Err(_) => 1,
            Ok(Command::Start(_)) => continue,
            Ok(_) => 0,
        };
        assert_eq!(Some(ours), oracle.status.code(), "{line}");
    }
}
