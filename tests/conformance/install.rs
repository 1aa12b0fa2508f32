//! `make install` with the documents' prefix: what they start by the name of haproxy is there and answers.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use crate::root;

#[test]
fn make_install_puts_haproxy_below_its_prefix() {
    let place = std::env::temp_dir().join(format!("epoxy-install-{}", std::process::id()));
    let tree = place.join("tree");
    fs::create_dir_all(tree.join("target/release")).expect("a folder");
    for name in ["Makefile", "README.md", "ARCHITECTURE.md", "CHANGELOG.md", "contrib"] {
        symlink(root().join(name), tree.join(name)).expect("a link to the sources");
    }
    fs::copy(env!("CARGO_BIN_EXE_epoxy"), tree.join("target/release/epoxy")).expect("the program");
    let mut make = Command::new("make");
    make.args(["install", "PREFIX=/usr/local/haproxy", &format!("DESTDIR={}", place.join("root").display())]);
    let output = make.current_dir(&tree).output();
    let installed: PathBuf = place.join("root/usr/local/haproxy/sbin/haproxy");
    let version = Command::new(&installed).arg("-v").output();
    let example = place.join("root/usr/local/haproxy/share/doc/epoxy/examples/init/epoxy");
    let has_example = example.is_file();
    let _ = fs::remove_dir_all(&place);
    let output = output.expect("make");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let version = version.unwrap_or_else(|error| panic!("{}: {error}", installed.display()));
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("HAProxy version "));
    assert!(has_example, "no init script among the examples");
}
