//! Answers as no name server should give them, known from the field or thinkable: each has its verdict, and none does harm.

use std::net::IpAddr;

use super::{ANSWER, owned, record, wire};
use crate::dns::Name;
use crate::dns::message::{Fault, Kind, Records, judge};

/// Where the name in the question stands.
const ASKED: [u8; 2] = [0xc0, 12];
const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const OPT: u16 = 41;
const DATA: &[u8] = &[10, 0, 0, 1];

/// A message from its parts: flags, counts, and the octets behind the header.
fn message(flags: u16, counts: [u16; 4], parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![0, 7];
    bytes.extend_from_slice(&flags.to_be_bytes());
    counts.iter().for_each(|count| bytes.extend_from_slice(&count.to_be_bytes()));
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

fn question(host: &str, kind: u16) -> Vec<u8> {
    let mut question = wire(host);
    question.extend_from_slice(&kind.to_be_bytes());
    question.extend_from_slice(&[0, 1]);
    question
}

/// The verdict on an answer to a question for the addresses of www.example, whose first record stands at octet 29.
fn verdict(counts: [u16; 4], parts: &[&[u8]]) -> Result<Records, Fault> {
    let question = question("www.example", A);
    let parts: Vec<&[u8]> = [&question[..]].into_iter().chain(parts.iter().copied()).collect();
    judged(&message(ANSWER, counts, &parts), Kind::A)
}

fn judged(bytes: &[u8], kind: Kind) -> Result<Records, Fault> {
    let host: &[u8] = if kind == Kind::Srv { b"_http._tcp.example" } else { b"www.example" };
    judge(bytes, &Name::parse(host).unwrap(), kind)
}

fn records(addresses: &[[u8; 4]]) -> Result<Records, Fault> {
    Ok(Records { addresses: addresses.iter().map(|octets| IpAddr::from(*octets)).collect(), services: vec![] })
}

fn one() -> Result<Records, Fault> {
    records(&[[10, 0, 0, 1]])
}

fn with_length(kind: u16, length: u16, data: &[u8]) -> Vec<u8> {
    let mut record = record(kind, data);
    let at = record.len() - data.len() - 2;
    record[at..at + 2].copy_from_slice(&length.to_be_bytes());
    record
}

fn of_class(class: u16) -> Vec<u8> {
    let mut record = record(A, DATA);
    record[4..6].copy_from_slice(&class.to_be_bytes());
    record
}

#[test]
fn heads_that_say_no() {
    let question = question("www.example", A);
    let answer = |flags| judged(&message(flags, [1, 1, 0, 0], &[&question, &record(A, DATA)]), Kind::A);
    assert_eq!(answer(ANSWER), one());
    for (flags, fault) in [
        (0x0100, Fault::Foreign),
        (ANSWER | 0x0200, Fault::Truncated),
        (ANSWER | 1, Fault::Failure),
        (ANSWER | 2, Fault::Failure),
        (ANSWER | 3, Fault::NxDomain),
        (ANSWER | 4, Fault::Failure),
        (ANSWER | 5, Fault::Refused),
        (ANSWER | 15, Fault::Failure),
    ] {
        assert_eq!(answer(flags), Err(fault), "{flags:x}");
    }
}

#[test]
fn questions_that_are_not_ours() {
    let answer = |count, question: &[u8]| {
        judged(&message(ANSWER, [count, 1, 0, 0], &[question, &owned(&wire("www.example"), A, DATA)]), Kind::A)
    };
    assert_eq!(answer(1, &question("WWW.EXAMPLE", A)), one());
    assert_eq!(answer(1, &question("www.example.com", A)), Err(Fault::Foreign));
    assert_eq!(answer(1, &question("example", A)), Err(Fault::Foreign));
    assert_eq!(answer(1, &question("www.exampl", A)), Err(Fault::Foreign));
    assert_eq!(answer(1, &question("www.example", AAAA)), Err(Fault::Foreign));
    let mut chaos = question("www.example", A);
    chaos[16] = 3;
    assert_eq!(answer(1, &chaos), Err(Fault::Foreign));
    assert_eq!(answer(0, &[]), Err(Fault::Malformed));
    assert_eq!(answer(2, &question("www.example", A).repeat(2)), Err(Fault::Malformed));
    assert_eq!(answer(9, &question("www.example", A)), Err(Fault::Malformed));
}

#[test]
fn names_that_do_not_end() {
    let of = |owner: &[u8]| verdict([1, 1, 0, 0], &[&owned(owner, A, DATA)]);
    let long_label = [&[64][..], &[b'a'; 64], &[0]].concat();
    let long_name = [&[63; 64][..]; 5].concat();
    for (what, owner) in [
        ("points at itself", &[0xc0, 29][..]),
        ("points at itself behind a label", &[1, b'a', 0xc0, 29]),
        ("points ahead", &[0xc0, 31]),
        ("points out of the message", &[0xff, 0xff]),
        ("points into the header", &[0xc0, 0]),
        ("is half a pointer", &[0xc0]),
        ("is of an unknown kind", &[0x80, 12]),
        ("is a bit label", &[0x41, 1, 0]),
        ("has a label that is too long", &long_label),
        ("is too long", &long_name),
        ("is the root", &[0]),
        ("is another's", b"\x03ftp\x07example\x00"),
    ] {
        assert_eq!(of(owner), Err(Fault::Malformed), "a name that {what}");
    }
    // Two that point at each other.
    let first = owned(&[1, b'a', 0xc0, 31], A, DATA);
    assert_eq!(verdict([1, 1, 0, 0], &[&first]), Err(Fault::Malformed));
    assert_eq!(of(b"\x03WWW\x07eXample\x00"), one());
    assert_eq!(of(b"\x03www\xc0\x10"), one());
}

#[test]
fn a_thousand_jumps_end() {
    // Each record's name points at the one before; the last is 1,000 jumps away.
    let mut body = owned(&ASKED, A, DATA);
    let mut at = 29_u16;
    for _ in 0..999 {
        let owner = (0xc000 | at).to_be_bytes();
        at = 29 + u16::try_from(body.len()).unwrap();
        body.extend_from_slice(&owned(&owner, A, DATA));
    }
    let many = verdict([1, 1000, 0, 0], &[&body]);
    // Either all are read, or it is no message; none is made up.
    assert!(matches!(many, Err(Fault::Malformed)) || many.is_ok_and(|records| records.addresses.len() == 1000));
}

#[test]
fn counts_and_lengths_that_lie() {
    let good = record(A, DATA);
    assert_eq!(verdict([1, 0, 0, 0], &[]), Err(Fault::Empty));
    assert_eq!(verdict([1, 0, 0, 0], &[&good]), Err(Fault::Empty));
    assert_eq!(verdict([1, 2, 0, 0], &[&good]), Err(Fault::Malformed));
    assert_eq!(verdict([1, 65535, 65535, 65535], &[&good]), Err(Fault::Malformed));
    assert_eq!(verdict([1, 1, 0, 0], &[&good, b"and more"]), one());
    for length in [0, 3, 5, 255, 65535] {
        let lies = with_length(A, length, DATA);
        assert_eq!(verdict([1, 1, 0, 0], &[&lies]), Err(Fault::Malformed), "{length}");
        assert_eq!(verdict([1, 2, 0, 0], &[&lies, &good]), Err(Fault::Malformed), "{length}");
    }
    assert_eq!(verdict([1, 1, 0, 0], &[&record(AAAA, DATA)]), Err(Fault::Malformed));
    assert_eq!(verdict([1, 1, 0, 0], &[&record(A, &[])]), Err(Fault::Malformed));
    assert_eq!(verdict([1, 1, 0, 0], &[&with_length(TXT, 900, b"\x03abc")]), Err(Fault::Malformed));
    let thousand = good.repeat(1000);
    assert_eq!(verdict([1, 1000, 0, 0], &[&thousand]).map(|records| records.addresses.len()), Ok(1000));
}

#[test]
fn records_of_other_kinds_and_classes() {
    let good = record(A, DATA);
    for class in [0, 3, 4, 254, 255] {
        assert_eq!(verdict([1, 1, 0, 0], &[&of_class(class)]), Err(Fault::Malformed), "{class}");
        assert_eq!(verdict([1, 2, 0, 0], &[&good, &of_class(class)]), Err(Fault::Malformed), "{class}");
    }
    let text = record(TXT, b"\x03abc");
    assert_eq!(verdict([1, 2, 0, 0], &[&text, &good]), one());
    assert_eq!(verdict([1, 1, 0, 0], &[&text]), records(&[]));
    assert_eq!(verdict([1, 1, 1, 0], &[&good, &record(NS, &wire("ns.example"))]), one());
    assert_eq!(verdict([1, 1, 0, 1], &[&good, &owned(&[0], OPT, &[])]), one());
}

#[test]
fn aliases_lead_somewhere_or_nowhere() {
    let alias = |owner: &str, target: &str| owned(&wire(owner), CNAME, &wire(target));
    let address = |owner: &str| owned(&wire(owner), A, DATA);
    let (first, second) = (alias("www.example", "b.example"), alias("b.example", "c.example"));
    assert_eq!(verdict([1, 3, 0, 0], &[&first, &second, &address("c.example")]), one());
    assert_eq!(verdict([1, 1, 0, 0], &[&first]), Err(Fault::BadAlias));
    assert_eq!(verdict([1, 2, 0, 0], &[&first, &second]), Err(Fault::BadAlias));
    assert_eq!(verdict([1, 2, 0, 0], &[&first, &address("c.example")]), Err(Fault::BadAlias));
    assert_eq!(verdict([1, 2, 0, 0], &[&address("b.example"), &first]), Err(Fault::Malformed));
    let round = alias("b.example", "www.example");
    assert_eq!(verdict([1, 2, 0, 0], &[&first, &round]), Err(Fault::BadAlias));
    let itself = record(CNAME, &ASKED);
    assert_eq!(verdict([1, 1, 0, 0], &[&itself]), Err(Fault::BadAlias));
    assert_eq!(verdict([1, 1, 0, 0], &[&record(CNAME, &[0xc0, 41])]), Err(Fault::Malformed));
    assert_eq!(verdict([1, 1, 0, 0], &[&record(CNAME, &[])]), Err(Fault::Malformed));
}

fn services(targets: &[&[u8]], additional: &[Vec<u8>]) -> Result<Records, Fault> {
    let question = question("_http._tcp.example", SRV);
    let record = |target: &&[u8]| record(SRV, &[&[0, 1, 0, 2, 0, 80], *target].concat());
    let all: Vec<u8> = targets.iter().flat_map(record).chain(additional.iter().flatten().copied()).collect();
    let counts = [1, targets.len() as u16, 0, additional.len() as u16];
    judged(&message(ANSWER, counts, &[&question, &all]), Kind::Srv)
}

#[test]
fn services_that_nobody_can_offer() {
    let target = wire("a.example");
    let good = services(&[&target], &[owned(&target, A, DATA)]).unwrap();
    assert_eq!(good.services[0].address, Some(IpAddr::from([10, 0, 0, 1])));
    assert_eq!(services(&[&[]], &[]), Err(Fault::Malformed));
    assert_eq!(services(&[&target[..3]], &[]), Err(Fault::Malformed));
    // Names that no host has: such services are left out.
    for bad in [&[0][..], b"\x03a.b\x00", b"\x01\xff\x00", b"\x03a b\x00", b"\x02a/\x00"] {
        assert_eq!(services(&[bad], &[]).map(|records| records.services.len()), Ok(0), "{bad:?}");
        assert_eq!(services(&[bad, &target], &[]).map(|records| records.services.len()), Ok(1), "{bad:?}");
    }
    let other = owned(&wire("b.example"), A, DATA);
    assert_eq!(services(&[&target], &[other]).map(|records| records.services[0].address), Ok(None));
    assert_eq!(services(&[&target], &[owned(&target, A, &DATA[..3])]), Err(Fault::Malformed));
    assert_eq!(services(&[&target], &[vec![0xc0]]), Err(Fault::Malformed));
    let chaos = {
        let mut record = owned(&target, A, DATA);
        record[target.len() + 3] = 3;
        record
    };
    assert_eq!(services(&[&target], &[chaos]).map(|records| records.services[0].address), Ok(None));
}

#[test]
fn nothing_cut_off_or_changed_does_harm() {
    let host = wire("www.example");
    let alias = owned(&host, CNAME, &wire("b.example"));
    let body = [alias, owned(&wire("b.example"), A, DATA), owned(&wire("b.example"), AAAA, &[1; 16])].concat();
    let whole = message(ANSWER, [1, 3, 0, 0], &[&question("www.example", A), &body]);
    assert_eq!(judged(&whole, Kind::A).map(|records| records.addresses.len()), Ok(2));
    for end in 0..whole.len() {
        assert!(judged(&whole[..end], Kind::A).is_err(), "cut at {end}");
    }
    for at in 0..whole.len() {
        for value in 0..=255 {
            let mut changed = whole.clone();
            changed[at] = value;
            if let Ok(found) = judged(&changed, Kind::A) {
                assert!(found.addresses.len() <= 3);
            }
        }
    }
}
