//! `balance` and `hash-type` (section 4.2).

use super::scope::{Scope, arg, not_yet};
use super::word::Word;
use crate::proxy::Algorithm;
use crate::registry::{Keyword, Sections};

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    Keyword {
        name: "balance",
        sections: Sections::SERVER_SIDE,
        args_max: None,
        parse: balance,
        help: "how a server is chosen",
    },
    Keyword {
        name: "hash-type",
        sections: Sections::SERVER_SIDE,
        args_max: None,
        parse: hash_type,
        help: "how a hash is turned into a server",
    },
];

fn balance(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    scope.settings().algorithm = match arg(words, 1) {
        "" | "roundrobin" => Algorithm::RoundRobin,
        "static-rr" => Algorithm::StaticRr,
        "leastconn" => Algorithm::LeastConn,
        "source" => Algorithm::Source,
        name @ ("uri" | "url_param" | "first" | "random" | "rdp-cookie" | "hash") => {
            return Err(not_yet(&format!("balance {name}")));
        }
        name if name.starts_with("hdr(") || name.starts_with("rdp-cookie(") || name.starts_with("random(") => {
            return Err(not_yet(&format!("balance {name}")));
        }
        _ => {
            return Err("balance only supports 'roundrobin', 'static-rr', 'leastconn', 'source', 'uri', 'url_param', \
                        'hdr(name)' and 'rdp-cookie(name)' options."
                .into());
        }
    };
    Ok(())
}

fn hash_type(_: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    match (arg(words, 1), arg(words, 2), arg(words, 3)) {
        ("map-based", "" | "sdbm", "") => Ok(()),
        (kind @ ("consistent" | "map-based"), ..) => Err(not_yet(&format!("hash-type {kind}"))),
        _ => Err("'hash-type' only supports 'consistent' and 'map-based'.".into()),
    }
}
