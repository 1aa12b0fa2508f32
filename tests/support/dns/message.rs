//! DNS messages as a mock needs them (RFC 1035 4, RFC 2782, RFC 6891): questions read, answers written, also wrong ones
//! on purpose. Written apart from what the proxy uses, so that neither can hide the other's mistakes.

use std::net::IpAddr;

/// Types by their names in scripts.
const TYPES: [(&str, u16); 5] = [("A", 1), ("CNAME", 5), ("AAAA", 28), ("SRV", 33), ("OPT", 41)];
const IN: u16 = 1;
const CHAOS: u16 = 3;
const TTL_S: u32 = 60;

/// The number of a type.
pub fn type_number(name: &str) -> Option<u16> {
    TYPES.iter().find(|(other, _)| *other == name).map(|(_, number)| *number).or_else(|| name.parse().ok())
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub id: u16,
    pub recursion: bool,
    /// In the letters of the question, without the last dot.
    pub name: String,
    pub kind: u16,
    pub class: u16,
    /// The size of answers that it takes, if it says so.
    pub payload: Option<u16>,
    /// The question's bytes in the message.
    raw: Vec<u8>,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    Address(IpAddr),
    Cname(String),
    Srv { priority: u16, weight: u16, port: u16, target: String },
}

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The truncation flag is set.
    Truncated,
    WrongId,
    /// The question is about another name.
    WrongQuestion,
    /// The question is of another type.
    WrongType,
    /// Records are about another name.
    WrongName,
    /// Records are of another class.
    WrongClass,
    NoQuestion,
    /// Records' names are pointers to themselves.
    Loop,
    /// Records' names are pointers behind the message.
    Ahead,
    /// More records are promised than there are.
    Overcounted,
    /// The last record promises more than there is.
    Overlong,
    /// Records' names begin with a label of a kind that there is not.
    BadLabel,
    /// Records' names are longer than names may be.
    LongName,
    /// Addresses have one octet too few, and promise no more.
    ShortData,
    /// Only so many octets are sent.
    Cut(usize),
    /// No DNS at all.
    Junk,
    /// It says that it is a question.
    Echo,
}

impl Fault {
    /// The fault of this name in scripts.
    pub fn parse(word: &str) -> Option<Fault> {
        if let Some(octets) = word.strip_prefix("cut=") {
            return octets.parse().ok().map(Fault::Cut);
        }
        Some(match word {
            "truncated" => Fault::Truncated,
            "wrong-id" => Fault::WrongId,
            "wrong-question" => Fault::WrongQuestion,
            "wrong-type" => Fault::WrongType,
            "wrong-name" => Fault::WrongName,
            "wrong-class" => Fault::WrongClass,
            "no-question" => Fault::NoQuestion,
            "loop" => Fault::Loop,
            "ahead" => Fault::Ahead,
            "overcounted" => Fault::Overcounted,
            "overlong" => Fault::Overlong,
            "bad-label" => Fault::BadLabel,
            "long-name" => Fault::LongName,
            "short-data" => Fault::ShortData,
            "junk" => Fault::Junk,
            "echo" => Fault::Echo,
            _ => return None,
        })
    }
}

impl Question {
    /// Reads a question; `None` if it is none.
    pub fn parse(bytes: &[u8]) -> Option<Question> {
        let word = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let (flags, additional) = (word(2)?, word(10)?);
        if word(4)? != 1 || flags & 0x8000 != 0 {
            return None;
        }
        let mut at = 12;
        let mut labels = Vec::new();
        loop {
            let length = usize::from(*bytes.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            labels.push(String::from_utf8_lossy(bytes.get(at..at + length)?).into_owned());
            at += length;
        }
        let (kind, class) = (word(at)?, word(at + 2)?);
        let end = at + 4;
        // An OPT record has the root's name, its type, and the size in the place of a class.
        let has_option = additional == 1 && bytes.get(end) == Some(&0) && word(end + 1)? == 41;
        Some(Question {
            id: word(0)?,
            recursion: flags & 0x0100 != 0,
            name: labels.join("."),
            kind,
            class,
            payload: if has_option { word(end + 3) } else { None },
            raw: bytes[12..end].to_vec(),
        })
    }

    /// The question in words, but for its number.
    pub fn describe(&self) -> String {
        let kind = TYPES.iter().find(|(_, number)| *number == self.kind);
        let kind = kind.map_or_else(|| self.kind.to_string(), |(name, _)| (*name).to_owned());
        let class = if self.class == IN { String::new() } else { format!(" class={}", self.class) };
        let recursion = if self.recursion { " recursive" } else { "" };
        let payload = self.payload.map_or(String::new(), |size| format!(" payload={size}"));
        format!("{} {kind}{class}{recursion}{payload}", self.name)
    }
}

/// An answer to `question`: records after the first CNAME are about what it names.
pub fn answer(
    question: &Question,
    code: u8,
    answers: &[Data],
    additional: &[(String, Data)],
    faults: &[Fault],
) -> Vec<u8> {
    let has = |fault: &Fault| faults.contains(fault);
    if has(&Fault::Junk) {
        return b"HTTP/1.0 200 OK\r\n\r\nnot DNS at all".to_vec();
    }
    let mut bytes = Vec::new();
    let mut put = |number: u16| bytes.extend_from_slice(&number.to_be_bytes());
    put(if has(&Fault::WrongId) { question.id.wrapping_add(1) } else { question.id });
    let flag = |set: bool, bit: u16| if set { bit } else { 0 };
    let answers_it = flag(!has(&Fault::Echo), 0x8000);
    put(answers_it
        | flag(question.recursion, 0x0100)
        | 0x0080
        | flag(has(&Fault::Truncated), 0x0200)
        | u16::from(code));
    put(if has(&Fault::NoQuestion) { 0 } else { 1 });
    put(answers.len() as u16 + flag(has(&Fault::Overcounted), 3));
    put(0);
    put(additional.len() as u16);
    let asked = match has(&Fault::WrongQuestion) {
        true => "elsewhere.lab",
        false => &question.name,
    };
    if !has(&Fault::NoQuestion) {
        write_name(&mut bytes, asked);
        let kind = if has(&Fault::WrongType) { question.kind + 1 } else { question.kind };
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&question.class.to_be_bytes());
        debug_assert!(asked != question.name || has(&Fault::WrongType) || bytes.ends_with(&question.raw));
    }
    let mut owner = if has(&Fault::WrongName) { "elsewhere.lab" } else { asked }.to_owned();
    for data in answers {
        write_record(&mut bytes, &owner, data, faults);
        if let Data::Cname(name) = data {
            owner.clone_from(name);
        }
    }
    for (owner, data) in additional {
        write_record(&mut bytes, owner, data, faults);
    }
    for fault in faults {
        if let Fault::Cut(octets) = fault {
            bytes.truncate(*octets);
        }
    }
    bytes
}

fn write_name(bytes: &mut Vec<u8>, name: &str) {
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
}

fn write_owner(bytes: &mut Vec<u8>, owner: &str, faults: &[Fault]) {
    let has = |fault: &Fault| faults.contains(fault);
    if has(&Fault::Loop) {
        let here = 0xc000 | bytes.len() as u16;
        bytes.extend_from_slice(&here.to_be_bytes());
    } else if has(&Fault::Ahead) {
        bytes.extend_from_slice(&0xcfff_u16.to_be_bytes());
    } else if has(&Fault::BadLabel) {
        bytes.push(0x45);
        bytes.extend_from_slice(b"abcde\0");
    } else if has(&Fault::LongName) {
        write_name(bytes, &vec!["a".repeat(60); 5].join("."));
    } else {
        write_name(bytes, owner);
    }
}

fn write_record(bytes: &mut Vec<u8>, owner: &str, data: &Data, faults: &[Fault]) {
    write_owner(bytes, owner, faults);
    let (kind, mut content) = encode(data);
    if faults.contains(&Fault::ShortData) {
        content.pop();
    }
    let class = if faults.contains(&Fault::WrongClass) { CHAOS } else { IN };
    let length = content.len() as u16 + if faults.contains(&Fault::Overlong) { 100 } else { 0 };
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&class.to_be_bytes());
    bytes.extend_from_slice(&TTL_S.to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&content);
}

fn encode(data: &Data) -> (u16, Vec<u8>) {
    let mut content = Vec::new();
    match data {
        Data::Address(IpAddr::V4(ip)) => (1, ip.octets().to_vec()),
        Data::Address(IpAddr::V6(ip)) => (28, ip.octets().to_vec()),
        Data::Cname(name) => {
            write_name(&mut content, name);
            (5, content)
        }
        Data::Srv { priority, weight, port, target } => {
            for number in [priority, weight, port] {
                content.extend_from_slice(&number.to_be_bytes());
            }
            write_name(&mut content, target);
            (33, content)
        }
    }
}
