//! The rows that name everything an operator can write: each feature keeps a `pub static` table of
//! rows beside its functions, and the lists here name the tables. Rows drive parsing, section
//! checks, "did you mean", help and `-dKall`.
//!
//! To add a keyword, add its row to its module's table; to add a table, add it to the list here.

pub mod dump;

use bitflags::bitflags;

use crate::config::draft::{BindDraft, ServerDraft, Settings};
use crate::config::scope::Scope;
use crate::text::Word;

bitflags! {
    /// Sections in which a keyword is meaningful (configuration manual, 4.1).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Sections: u16 {
        /// `global`.
        const GLOBAL = 1;
        /// `defaults`.
        const DEFAULTS = 2;
        /// `frontend`.
        const FRONTEND = 4;
        /// `listen`.
        const LISTEN = 8;
        /// `backend`.
        const BACKEND = 16;
        /// `program`.
        const PROGRAM = 32;
        /// `http-errors`.
        const HTTP_ERRORS = 64;
        /// `userlist`.
        const USERLIST = 128;
        /// `resolvers`.
        const RESOLVERS = 256;
        /// What concerns clients: frontend, listen and their defaults.
        const CLIENT_SIDE = Self::DEFAULTS.bits() | Self::FRONTEND.bits() | Self::LISTEN.bits();
        /// What concerns servers: backend, listen and their defaults.
        const SERVER_SIDE = Self::DEFAULTS.bits() | Self::LISTEN.bits() | Self::BACKEND.bits();
        /// Every proxy, no defaults.
        const PROXIES = Self::FRONTEND.bits() | Self::LISTEN.bits() | Self::BACKEND.bits();
        /// Every proxy and `defaults`.
        const ANY_PROXY = Self::PROXIES.bits() | Self::DEFAULTS.bits();
    }
}

/// A keyword that begins a line.
pub struct Keyword {
    /// One word or several (`timeout connect`); the longest name that fits a line is taken.
    pub name: &'static str,
    /// Where it may stand.
    pub sections: Sections,
    /// Most words after the name; `None` lets `parse` look.
    pub args_max: Option<usize>,
    /// Acts on a line whose words include the keyword's own.
    pub parse: fn(&mut Scope<'_>, &[Word]) -> Result<(), String>,
    /// What it is for, in half a line.
    pub help: &'static str,
}

/// A keyword whose parser looks at the number of words itself.
pub const fn row(
    name: &'static str,
    sections: Sections,
    parse: fn(&mut Scope<'_>, &[Word]) -> Result<(), String>,
    help: &'static str,
) -> Keyword {
    sized_row(name, sections, None, parse, help)
}

/// A keyword that is followed by so many words at most.
pub const fn sized_row(
    name: &'static str,
    sections: Sections,
    args_max: Option<usize>,
    parse: fn(&mut Scope<'_>, &[Word]) -> Result<(), String>,
    help: &'static str,
) -> Keyword {
    Keyword { name, sections, args_max, parse, help }
}

/// A parameter of a `bind` line.
pub struct BindKeyword {
    /// Its name.
    pub name: &'static str,
    /// Words that follow it.
    pub args: usize,
    /// Acts on its arguments. The error follows `'bind ADDRESS' in section 'frontend' : `.
    pub parse: fn(&mut BindDraft, &[Word]) -> Result<(), String>,
    /// What it is for, in half a line.
    pub help: &'static str,
}

/// A parameter of a `server` line.
pub struct ServerKeyword {
    /// Its name.
    pub name: &'static str,
    /// Words that follow it.
    pub args: usize,
    /// Whether `default-server` takes it.
    pub in_default: bool,
    /// Acts on the words of the line, of which the first is its own name.
    pub parse: fn(&mut ServerDraft, &[Word]) -> Result<(), String>,
    /// What it is for, in half a line.
    pub help: &'static str,
}

/// A plain `option`, switched on, off (`no option`) or back (`default option`).
pub struct ProxyOption {
    /// Its name, without `option`.
    pub name: &'static str,
    /// Where it may stand.
    pub sections: Sections,
    /// Only useful with `mode http`.
    pub http: bool,
    /// The field that it sets.
    pub field: fn(&mut Settings) -> &mut bool,
    /// What it is for, in half a line.
    pub help: &'static str,
}

/// Keywords of the `global` section and of proxies.
pub static KEYWORDS: &[&[Keyword]] = &[
    crate::config::global::ROWS,
    crate::config::confinement::ROWS,
    crate::config::tune::ROWS,
    crate::config::spelling::ROWS,
    crate::config::workers::ROWS,
    crate::config::proxies::ROWS,
    crate::config::legacy::ROWS,
    crate::config::timeouts::ROWS,
    crate::config::tcpka::ROWS,
    crate::config::options::ROWS,
    crate::config::balance::ROWS,
    crate::config::persist::ROWS,
    crate::config::stats::ROWS,
    crate::config::logging::ROWS,
    crate::config::bind::ROWS,
    crate::config::capture::ROWS,
    crate::config::server::ROWS,
    crate::config::source::ROWS,
    crate::config::state_file::ROWS,
    crate::config::check::ROWS,
    crate::config::check::protocol::ROWS,
    crate::config::check::external::ROWS,
    crate::config::rules::ROWS,
    crate::config::tcp::ROWS,
    crate::config::program::ROWS,
    crate::config::pages::ROWS,
    crate::config::userlist::ROWS,
    crate::config::resolvers::ROWS,
];

/// Parameters of `bind` and `stats socket`.
pub static BIND_KEYWORDS: &[&[BindKeyword]] = &[crate::config::bind::PARAMETERS];

/// Parameters of `server` and `default-server`.
pub static SERVER_KEYWORDS: &[&[ServerKeyword]] = &[
    crate::config::naming::PARAMETERS,
    crate::config::connection::PARAMETERS,
    crate::config::preface::PARAMETERS,
    crate::config::server::PARAMETERS,
];

/// Plain options.
pub static OPTIONS: &[&[ProxyOption]] = &[crate::config::options::PLAIN];

/// The row for a line: the one with the longest name that the words begin with. In a proxy, rows of other
/// kinds of proxies are found as well, so that a keyword can be told to be misplaced.
#[must_use]
pub fn keyword(words: &[Word], section: Sections) -> Option<&'static Keyword> {
    let family = if section.intersects(Sections::ANY_PROXY) { Sections::ANY_PROXY } else { section };
    let rows = KEYWORDS.iter().copied().flatten();
    rows.filter(|row| row.sections.intersects(family) && begins_with(words, row.name))
        .max_by_key(|row| row.name.split(' ').count())
}

fn begins_with(words: &[Word], name: &str) -> bool {
    let mut words = words.iter();
    name.split(' ').all(|part| words.next().is_some_and(|word| word.text == part))
}

/// The row of a `bind` parameter.
#[must_use]
pub fn bind_keyword(name: &str) -> Option<&'static BindKeyword> {
    BIND_KEYWORDS.iter().copied().flatten().find(|row| row.name == name)
}

/// The row of a `server` parameter.
#[must_use]
pub fn server_keyword(name: &str) -> Option<&'static ServerKeyword> {
    SERVER_KEYWORDS.iter().copied().flatten().find(|row| row.name == name)
}

/// The row of a plain option.
#[must_use]
pub fn option(name: &str) -> Option<&'static ProxyOption> {
    OPTIONS.iter().copied().flatten().find(|row| row.name == name)
}

/// First words of all keywords of a section, for suggestions.
pub fn first_words(section: Sections) -> impl Iterator<Item = &'static str> {
    let rows = KEYWORDS.iter().copied().flatten();
    rows.filter(move |row| row.sections.intersects(section)).filter_map(|row| row.name.split(' ').next())
}
