//! What servers answer in protocols of their own, each judged by a file of its own. Everything here is given all
//! that a server has sent so far, and is called again when more has come.

mod ldap;
mod mysql;
mod spop;

use super::expect::{Judgement, Why};
use super::result::Status;
use crate::proxy::check::Message;

/// Judges what came of a message; `over` when nothing can follow.
pub fn judge(message: Message, input: &[u8], over: bool) -> Judgement {
    match message {
        Message::MysqlGreeting => mysql::greeting(input, over),
        Message::MysqlResult => mysql::result(input, over),
        Message::LdapBind => ldap::bind(input, over),
        Message::SpopHello => spop::hello(input, over),
    }
}

/// What is missing may still come; if it cannot, the answer is none, in these words.
fn incomplete(over: bool, words: &str) -> Judgement {
    if over { invalid(words) } else { Judgement::Open }
}

fn invalid(words: &str) -> Judgement {
    failed(Status::L7Invalid, 0, words.as_bytes())
}

fn failed(status: Status, code: u16, words: &[u8]) -> Judgement {
    Judgement::Failed(status, Why::Told(code, words.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Message; 4] = [Message::MysqlGreeting, Message::MysqlResult, Message::LdapBind, Message::SpopHello];

    /// Any octet at any place, any length at any place: a judgement, and one that stays once there is one.
    #[test]
    fn noise_is_judged() {
        let mut seed = 1_u32;
        for round in 0..4000 {
            let noise: Vec<u8> = (0..round % 40)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    // Few values, so that they are lengths, types and flags that occur.
                    [0, 1, 2, 3, 4, 7, 8, 10, 0x30, 0x61, 0x65, 0x66, 0x82, 0x84, 0xf0, 0xff][(seed >> 28) as usize]
                })
                .collect();
            for message in ALL {
                judge(message, &noise, false);
                assert_ne!(judge(message, &noise, true), Judgement::Open, "{message:?} {noise:?}");
            }
        }
    }
}
