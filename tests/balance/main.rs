//! The same keys reach the same servers as through HAProxy: for each way to balance, both programs are given
//! a thousand keys, then again with a server down, then with another weight, and their choices compared.
//!
//! What a node answers names it, and so the server that was chosen.

#[path = "../support/mod.rs"]
mod support;

mod farm;
mod keys;

use std::path::Path;
use std::process::Command;

use libtest_mimic::{Arguments, Failed, Trial};

use farm::{Farm, Order};
use keys::Keys;

/// Keys of one way to balance, before each order and after the last.
const KEYS: usize = 1000;

/// The lines of a backend, and the keys that it is sent.
type Way = (&'static str, Keys);

/// Ways to balance.
const WAYS: &[Way] = &[
    ("balance source", Keys::Sources),
    ("balance source\n hash-type map-based sdbm avalanche", Keys::Sources),
    ("balance source\n hash-type consistent", Keys::Sources),
    ("balance source\n hash-type consistent crc32", Keys::Sources),
    ("balance uri", Keys::Paths),
    ("balance uri\n hash-type map-based djb2", Keys::Paths),
    ("balance uri\n hash-type map-based wt6", Keys::Paths),
    ("balance uri\n hash-type map-based crc32", Keys::Paths),
    ("balance uri\n hash-type map-based sdbm avalanche", Keys::Paths),
    ("balance uri\n hash-type map-based djb2 avalanche", Keys::Paths),
    ("balance uri\n hash-type map-based wt6 avalanche", Keys::Paths),
    ("balance uri\n hash-type map-based crc32 avalanche", Keys::Paths),
    ("balance uri\n hash-type consistent", Keys::Paths),
    ("balance uri\n hash-type consistent sdbm", Keys::Paths),
    ("balance uri\n hash-type consistent djb2", Keys::Paths),
    ("balance uri\n hash-type consistent wt6 avalanche", Keys::Paths),
    ("balance uri\n hash-type consistent crc32", Keys::Paths),
    ("balance uri len 7", Keys::Paths),
    ("balance uri depth 1", Keys::Paths),
    ("balance uri depth 2 len 9", Keys::Paths),
    ("balance uri whole", Keys::Paths),
    ("balance uri whole depth 3", Keys::Paths),
    ("balance uri path-only", Keys::Paths),
    ("balance uri path-only whole len 12\n hash-type consistent", Keys::Paths),
    ("balance url_param id", Keys::Paths),
    ("balance url_param id\n hash-type consistent", Keys::Paths),
    ("balance url_param id check_post", Keys::Forms),
    ("balance hdr(X-User)", Keys::Headers),
    ("balance hdr(x-user)\n hash-type consistent djb2 avalanche", Keys::Headers),
    ("balance hdr(Host)", Keys::Headers),
    ("balance hdr(Host) use_domain_only", Keys::Headers),
    ("balance hash path", Keys::Paths),
    ("balance hash req.hdr(x-user),lower\n hash-type consistent", Keys::Headers),
    ("balance hash src", Keys::Sources),
    ("balance hash url_param(n)\n hash-type map-based wt6", Keys::Paths),
    ("balance hash urlp_val(n)\n hash-type consistent crc32 avalanche", Keys::Paths),
    ("balance hash path\n hash-type consistent\n hash-balance-factor 125", Keys::Paths),
    ("balance first", Keys::Paths),
    ("balance roundrobin", Keys::Paths),
    ("balance static-rr", Keys::Paths),
    ("balance leastconn", Keys::Paths),
    ("balance rdp-cookie", Keys::Cookies),
    ("balance rdp-cookie(user)\n hash-type consistent", Keys::Cookies),
];

/// What happens between the rounds. A static algorithm refuses the weights, in both programs.
const ORDERS: &[Order] = &[
    Order::Nothing,
    Order::Say("disable server be/s3"),
    Order::Say("set weight be/s2 30"),
    Order::Say("enable server be/s3"),
    Order::Say("set weight be/s5 0"),
    Order::Down(&["s1", "s2", "s3", "s4", "s5"]),
];

fn main() {
    let mut arguments = Arguments::from_args();
    // Each plays two programs with two threads of its own.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let oracle = std::env::var("ORACLE_BIN").unwrap_or("haproxy".to_owned());
    let is_missing = Command::new(&oracle).arg("-v").output().is_err();
    let trial = |way: &Way| {
        let (name, oracle, way) = (way.0.replace("\n", ","), oracle.clone(), *way);
        let trial = Trial::test(name, move || compare(&oracle, way));
        if is_missing { trial.with_ignored_flag(true).with_kind("needs haproxy") } else { trial }
    };
    libtest_mimic::run(&arguments, WAYS.iter().map(trial).collect()).exit();
}

/// Plays all orders to both programs and compares where the keys went.
fn compare(oracle: &str, way: Way) -> Result<(), Failed> {
    let epoxy = std::env::var("EPOXY_BIN").unwrap_or(env!("CARGO_BIN_EXE_epoxy").to_owned());
    let play = |program: &str| Farm::start(Path::new(program), way).play(ORDERS);
    let (theirs, ours) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| play(oracle));
        (play(&epoxy), theirs.join().expect("haproxy's choices"))
    });
    let mut differences = Vec::new();
    for (order, (theirs, ours)) in ORDERS.iter().zip(theirs.iter().zip(&ours)) {
        assert_eq!(theirs.len(), KEYS);
        if theirs != ours {
            let differ = theirs.chars().zip(ours.chars()).filter(|(a, b)| a != b).count();
            differences.push(format!(
                "{order:?}: {differ} differ\n  theirs {}\n  ours   {}",
                &theirs[..60],
                &ours[..60]
            ));
        }
    }
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n").into()) }
}
