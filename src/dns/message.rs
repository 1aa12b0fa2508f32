//! Questions as messages, and what answers are worth (RFC 1035, RFC 2782, RFC 6891).

use std::net::IpAddr;

use domain::base::iana::{Class, Rcode, Rtype};
use domain::base::message::RecordSection;
use domain::base::name::ToLabelIter;
use domain::base::record::ParsedRecord;
use domain::base::{Message, MessageBuilder, ParsedName, RelativeName};
use domain::rdata::{A, Aaaa, Cname, Srv};

use super::{Name, Service};

/// Type of the records that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Services.
    Srv,
}

impl Kind {
    fn rtype(self) -> Rtype {
        match self {
            Kind::A => Rtype::A,
            Kind::Aaaa => Rtype::AAAA,
            Kind::Srv => Rtype::SRV,
        }
    }
}

/// What a valid answer holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// Addresses in the order of the message.
    pub addresses: Vec<IpAddr>,
    /// Services, likewise.
    pub services: Vec<Service>,
}

/// Why an answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not belong to the question, or is no answer at all.
    Foreign,
    /// Its octets do not make a message, or not one about the name that was asked for.
    Malformed,
    /// It was cut off.
    Truncated,
    /// There is no such name.
    NxDomain,
    /// The name server does not want to answer.
    Refused,
    /// The name server reports another error.
    Failure,
    /// It has no record at all.
    Empty,
    /// An alias leads to nothing that is in the answer.
    BadAlias,
}

/// A question: one message for all name servers of a section. `payload_bytes_max` is announced to them.
#[must_use]
pub fn question(id: u16, name: &Name, kind: Kind, payload_bytes_max: u16) -> Vec<u8> {
    build(id, name, kind, payload_bytes_max).unwrap_or_default()
}

/// Nothing where the name does not fit, which [`Name::parse`] has seen to.
fn build(id: u16, name: &Name, kind: Kind, payload_bytes_max: u16) -> Option<Vec<u8>> {
    let mut message = MessageBuilder::new_vec();
    message.header_mut().set_id(id);
    message.header_mut().set_rd(true);
    let mut question = message.question();
    question.push((absolute(name)?, kind.rtype())).ok()?;
    let mut additional = question.additional();
    additional
        .opt(|opt| {
            opt.set_udp_payload_size(payload_bytes_max);
            Ok(())
        })
        .ok()?;
    Some(additional.finish())
}

fn absolute(name: &Name) -> Option<domain::base::Name<Vec<u8>>> {
    RelativeName::from_octets(name.wire()).ok()?.into_absolute().ok()
}

/// The id of a message, if it has one.
#[must_use]
pub fn id(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|id| u16::from_be_bytes(*id))
}

/// What the answer to a question for `kind` of `name` holds. It may hold nothing, where the answer has other records only.
/// Aliases come before what they lead to, as name servers write them.
///
/// # Errors
/// Why it is no valid answer. A [`Fault::Foreign`] one should be treated as if it had not come: unlike in HAProxy, it does
/// not count when others are waited for, so that nobody but the name server can end a question.
pub fn judge(bytes: &[u8], name: &Name, kind: Kind) -> Result<Records, Fault> {
    let message = Message::from_slice(bytes).map_err(|_| Fault::Malformed)?;
    let header = message.header();
    if !header.qr() {
        return Err(Fault::Foreign);
    }
    if header.tc() {
        return Err(Fault::Truncated);
    }
    match header.rcode() {
        Rcode::NOERROR => {}
        Rcode::NXDOMAIN => return Err(Fault::NxDomain),
        Rcode::REFUSED => return Err(Fault::Refused),
        _ => return Err(Fault::Failure),
    }
    let question = message.sole_question().map_err(|_| Fault::Malformed)?;
    let is_ours = question.qtype() == kind.rtype() && question.qclass() == Class::IN && is(question.qname(), name);
    if !is_ours {
        return Err(Fault::Foreign);
    }
    if message.header_counts().ancount() == 0 {
        return Err(Fault::Empty);
    }
    let mut answers = message.answer().map_err(|_| Fault::Malformed)?;
    let mut records = follow(&mut answers, *question.qname(), kind)?;
    if kind == Kind::Srv {
        let additional = answers.next_section().and_then(|section| match section {
            Some(authority) => authority.next_section(),
            None => Ok(None),
        });
        let additional = additional.map_err(|_| Fault::Malformed)?;
        for record in additional.into_iter().flatten() {
            accompany(&record.map_err(|_| Fault::Malformed)?, &mut records.services)?;
        }
    }
    Ok(records)
}

/// The records of the name `asked` for, and of what it is an alias of.
fn follow<'a>(
    answers: &mut RecordSection<'a, [u8]>,
    asked: ParsedName<&'a [u8]>,
    kind: Kind,
) -> Result<Records, Fault> {
    let (mut records, mut expected, mut is_alias, mut leads_on) = (Records::default(), asked, false, false);
    for record in answers {
        let record = record.map_err(|_| Fault::Malformed)?;
        if !matters(record.rtype()) {
            continue;
        }
        if record.class() != Class::IN {
            return Err(Fault::Malformed);
        }
        if record.owner() != expected {
            return Err(if is_alias { Fault::BadAlias } else { Fault::Malformed });
        }
        leads_on = false;
        if let Some(target) = keep(&record, kind, &mut records)? {
            (expected, is_alias, leads_on) = (target, true, true);
        }
    }
    if leads_on { Err(Fault::BadAlias) } else { Ok(records) }
}

fn matters(rtype: Rtype) -> bool {
    matches!(rtype, Rtype::A | Rtype::AAAA | Rtype::SRV | Rtype::CNAME)
}

/// Whether a name of a message is `name`.
fn is(found: &ParsedName<&[u8]>, name: &Name) -> bool {
    let labels = found.iter_labels().filter(|label| !label.is_root());
    let mut expected = name.labels();
    let mut labels = labels.map(|label| label.as_slice());
    loop {
        match (labels.next(), expected.next()) {
            (None, None) => return true,
            (Some(label), Some(part)) if label.eq_ignore_ascii_case(part.as_bytes()) => {}
            _ => return false,
        }
    }
}

/// Takes a record of the answer; what an alias stands for.
fn keep<'a>(
    record: &ParsedRecord<'a, [u8]>,
    kind: Kind,
    records: &mut Records,
) -> Result<Option<ParsedName<&'a [u8]>>, Fault> {
    if record.rtype() == Rtype::CNAME {
        let alias = record.to_record::<Cname<_>>().map_err(|_| Fault::Malformed)?;
        return Ok(alias.map(|record| *record.data().cname()));
    }
    if kind != Kind::Srv {
        records.addresses.extend(address(record)?);
    } else if let Some(record) = record.to_record::<Srv<_>>().map_err(|_| Fault::Malformed)? {
        let srv = record.data();
        // One whose host nobody can be called is left out: it could not be asked for.
        if let Some(target) = host(srv.target()) {
            let (port, weight, priority) = (srv.port(), srv.weight(), srv.priority());
            records.services.push(Service { target, port, weight, priority, address: None });
        }
    }
    Ok(None)
}

/// Gives a service the address of its host.
fn accompany(record: &ParsedRecord<'_, [u8]>, services: &mut [Service]) -> Result<(), Fault> {
    if record.class() != Class::IN {
        return Ok(());
    }
    let Some(address) = address(record)? else { return Ok(()) };
    let owner = record.owner();
    for service in services.iter_mut().filter(|service| service.address.is_none() && is(&owner, &service.target)) {
        service.address = Some(address);
    }
    Ok(())
}

/// The address of a record that has one.
fn address(record: &ParsedRecord<'_, [u8]>) -> Result<Option<IpAddr>, Fault> {
    let address = match record.rtype() {
        Rtype::A => record.to_record::<A>().map(|found| found.map(|a| IpAddr::V4(a.data().addr()))),
        Rtype::AAAA => record.to_record::<Aaaa>().map(|found| found.map(|a| IpAddr::V6(a.data().addr()))),
        _ => Ok(None),
    };
    address.map_err(|_| Fault::Malformed)
}

/// A host's name out of a message.
fn host(found: &ParsedName<&[u8]>) -> Option<Name> {
    let labels: Vec<&[u8]> =
        found.iter_labels().filter(|label| !label.is_root()).map(|label| label.as_slice()).collect();
    // A dot within a label is not one between two.
    let is_whole = labels.iter().all(|label| !label.contains(&b'.'));
    is_whole.then(|| Name::parse(&labels.join(&b'.')))?
}
