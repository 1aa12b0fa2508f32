//! Log formats: `log-format` and all other places that print variables and samples (manual 8.2.6).
//!
//! A format is parsed once into nodes; writing one costs no allocation and looks nothing up by name.

pub mod encode;
mod parse;
mod vars;
mod write;

use bitflags::bitflags;

pub use vars::{ROWS, Row, Var};

use crate::proxy::Mode;
use crate::sample::expr::Scope;
use crate::sample::{Expr, Places};

bitflags! {
    /// Flags of a variable, as `%{+Q,-X}` sets and clears them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u8 {
        /// `Q`: between double quotes.
        const QUOTE = 1;
        /// `X`: addresses and some numbers in hexadecimal.
        const HEX = 2;
        /// `E`: backslash before `"`, `\` and `]`.
        const ESCAPE = 4;
        /// `M`: nothing shows as `-`.
        const MANDATORY = 8;
        /// Samples are encoded for an HTTP message; set by the place, not by the operator.
        const HTTP = 16;
    }
}

/// What a format is for: decides what an absent value looks like and whether spaces are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `log-format`, `log-format-sd`, `error-log-format`: absent is `-`, spaces are merged.
    Log,
    /// `unique-id-format`: spaces are merged, samples encoded.
    UniqueId,
    /// Headers, redirects and the like: samples are encoded.
    Http,
    /// `use_backend`, `lf-string` and the like: as it is.
    Plain,
}

/// The moment at which all that a format prints is known; the line is sent then (manual 4, `option logasap`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// The request was received; in TCP mode the connection was accepted. The default format.
    Request,
    /// The response's head was received; in TCP mode the server was connected.
    Answer,
    /// All is over.
    #[default]
    End,
}

/// A parsed format.
#[derive(Clone, Debug)]
pub struct Format {
    nodes: Box<[Node]>,
    moment: Moment,
    upstream_source: bool,
}

#[derive(Clone, Debug)]
enum Node {
    /// Printed as it is.
    Text(Box<[u8]>),
    /// One space, unless the line ends with one already.
    Space,
    /// A variable.
    Var(Var, Flags),
    /// `%[…]`
    Sample(Box<Expr>, Flags),
}

impl Format {
    /// `option httplog` (manual 8.2.3).
    pub const HTTP: &'static str = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc \
        %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r";
    /// `option httplog clf`.
    pub const HTTP_CLF: &'static str = "%{+Q}o %{-Q}ci - - [%trg] %r %ST %B \"\" \"\" %cp %ms %ft %b %s \
        %TR %Tw %Tc %Tr %Ta %tsc %ac %fc %bc %sc %rc %sq %bq %CC %CS %hrl %hsl";
    /// `option tcplog` (manual 8.2.2).
    pub const TCP: &'static str = "%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq";

    /// Parses a format for a proxy of the given mode. `scope` says which samples the place may use.
    ///
    /// # Errors
    /// HAProxy's words, to follow `failed to parse log-format : ` and the like.
    pub fn parse(text: &str, purpose: Purpose, mode: Mode, scope: &mut Scope) -> Result<Format, String> {
        parse::parse(text, purpose, mode, scope)
    }

    /// One of the predefined formats ([`Format::HTTP`] and its sisters).
    pub fn preset(text: &'static str) -> Format {
        let mut scope = Scope::new(Places::NONE, "".into(), 0);
        match parse::parse(text, Purpose::Log, Mode::Http, &mut scope) {
            Ok(format) => format,
            Err(error) => {
                debug_assert!(false, "preset {text}: {error}");
                Format::default()
            }
        }
    }

    /// When the line may be sent.
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// True for the format of a proxy that sets none.
    pub fn is_default(&self) -> bool {
        matches!(self.nodes.first(), Some(Node::Var(Var::ConnectFrom, _)))
    }

    /// True if the line names the proxy's own address towards the server, which costs a system call to learn.
    pub fn shows_upstream_source(&self) -> bool {
        self.upstream_source
    }
}

/// The format of a proxy that sets none: `Connect from 10.0.1.2:33312 to 10.0.3.31:8012 (www/HTTP)`
/// (manual 8.2.1).
impl Default for Format {
    fn default() -> Self {
        let text = |text: &str| Node::Text(text.as_bytes().into());
        let var = |var| Node::Var(var, Flags::MANDATORY);
        Format {
            nodes: Box::new([
                var(Var::ConnectFrom),
                text(" "),
                var(Var::FrontendIp),
                text(":"),
                var(Var::FrontendPort),
                text(" ("),
                var(Var::FrontendName),
                text("/"),
                var(Var::FrontendMode),
                text(")"),
            ]),
            moment: Moment::Request,
            upstream_source: false,
        }
    }
}

impl Purpose {
    fn flags(self) -> Flags {
        match self {
            Purpose::Log => Flags::MANDATORY,
            Purpose::UniqueId | Purpose::Http => Flags::HTTP,
            Purpose::Plain => Flags::empty(),
        }
    }

    fn merges_spaces(self) -> bool {
        matches!(self, Purpose::Log | Purpose::UniqueId)
    }
}
