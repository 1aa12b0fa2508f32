//! The `epoxy` binary: command line in, exit code out.

fn main() -> std::process::ExitCode {
    epoxy::run(std::env::args_os().collect())
}
