//! Servers by name: what name servers tell one worker holds for all, whoever dies, and over reloads.

use std::net::SocketAddrV4;

use nix::sys::signal::Signal;

use crate::crew::{Crew, all_who_answer, tell};
use crate::servers::{GLOBAL, MANY, answers, ask, column, reload};
use crate::service::PATIENCE;
use crate::support::dns::{NameServer, parse_lines};
use crate::support::place::{loopback_address, wait_until};
use crate::turn;

#[test]
fn an_address_holds_for_all_workers_whoever_dies_and_over_reloads() {
    let _turn = turn();
    let [one, two] = [(), ()].map(|()| SocketAddrV4::new(loopback_address(), 8002));
    let through = SocketAddrV4::new(loopback_address(), 8004);
    let at = |name: &str, place: SocketAddrV4| format!("{name} A is {}", place.ip());
    let lines = |text: &str| parse_lines([text]).expect("lines");
    let place = SocketAddrV4::new(loopback_address(), 8053);
    let names = NameServer::start("dns", place.into(), lines(&at("www.test", one))).expect("a name server");
    let more = format!(
        "resolvers r\n    nameserver d {place}\n    timeout resolve 50ms\n    timeout retry 50ms\n    hold timeout 1h\n    \
         hold nx 100ms\n    hold obsolete 0s\nlisten through\n    bind {through}\n    use_backend b\nbackend b\n    \
         server s www.test:8002 resolvers r resolve-prefer ipv4 init-addr none\n{}{}",
        answers("one", one),
        answers("two", two)
    );
    let mut crew = Crew::start(GLOBAL, &more);
    let status = |crew: &Crew, word: &str| wait_until(PATIENCE, || column(crew, "b", "s", "status") == word);
    let answering = |name: &str| wait_until(PATIENCE, || all_who_answer(through, MANY) == [name]);
    assert!(status(&crew, "no check"), "it has found its address");
    assert!(answering("one"));
    names.play(lines(&at("www.test", two)));
    assert!(answering("two"));
    // Nobody answers any more: whoever asks instead of the dead keeps what is known, and so does a new process.
    names.play(lines("* * silent"));
    for number in [1, 2, 3] {
        let old = crew.worker(number);
        tell(old, Signal::SIGKILL);
        crew.successor(number, old);
        let asked = names.asked().len();
        assert!(wait_until(PATIENCE, || names.asked().len() > asked + 10), "somebody asks");
        assert_eq!(all_who_answer(through, MANY), ["two"]);
    }
    let mut old = reload(&mut crew, &more);
    assert!(old.wait(PATIENCE).is_some(), "the old one goes");
    assert_eq!(all_who_answer(through, MANY), ["two"]);
    // Another name, which one worker is told, and another process again.
    names.play(lines(&at("other.test", one)));
    let said = ask(&crew, "set server b/s fqdn other.test");
    assert_eq!(said.trim(), "b/s changed its FQDN from www.test to other.test by 'stats socket command'");
    assert!(answering("one"));
    let mut old = reload(&mut crew, &more);
    assert!(old.wait(PATIENCE).is_some(), "the old one goes");
    assert_eq!(all_who_answer(through, MANY), ["one"]);
    assert!(ask(&crew, "show servers state b").contains(" other.test 8002 "));
    // The name is gone, and comes back.
    names.play(lines("* * nx"));
    assert!(status(&crew, "MAINT (resolution)"));
    assert!((0..6).all(|_| ask(&crew, "show servers state b").contains(" s - 0 96 ")));
    names.play(lines(&at("other.test", two)));
    assert!(status(&crew, "no check"));
    assert!(answering("two"));
}
