//! Where expressions are evaluated, and what of an exchange exists there (manual 7.3, "may be used in").

/// A place of the configuration language that evaluates expressions. The order is HAProxy's; the names are
/// what its warnings print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Place {
    /// `tcp-request connection`
    FrontConnection,
    /// `tcp-request session`
    FrontSession,
    /// `tcp-request content` in a frontend
    FrontContent,
    /// `http-request`, `redirect` and the like in a frontend
    FrontRequest,
    /// Request body rules in a frontend
    FrontRequestBody,
    /// `use_backend`
    FrontSwitch,
    /// `tcp-request content` in a backend
    BackContent,
    /// `http-request` in a backend
    BackRequest,
    /// Request body rules in a backend
    BackRequestBody,
    /// `use-server`, `balance`, `stick match`
    BackServer,
    /// `source` of a server
    ServerSource,
    /// `tcp-response content` in a backend
    BackAnswerContent,
    /// `http-response` in a backend
    BackAnswer,
    /// Response body rules in a backend
    BackAnswerBody,
    /// `stick store-response`
    BackStore,
    /// `tcp-response content` in a frontend
    FrontAnswerContent,
    /// `http-response` in a frontend
    FrontAnswer,
    /// Response body rules in a frontend
    FrontAnswerBody,
    /// `log-format`
    Log,
    /// `tcp-check`, `http-check`
    Check,
    /// `set-var` in `global`
    Config,
    /// Runtime commands
    Command,
}

impl Place {
    /// Every place, in order.
    pub const ALL: [Place; 22] = [
        Place::FrontConnection,
        Place::FrontSession,
        Place::FrontContent,
        Place::FrontRequest,
        Place::FrontRequestBody,
        Place::FrontSwitch,
        Place::BackContent,
        Place::BackRequest,
        Place::BackRequestBody,
        Place::BackServer,
        Place::ServerSource,
        Place::BackAnswerContent,
        Place::BackAnswer,
        Place::BackAnswerBody,
        Place::BackStore,
        Place::FrontAnswerContent,
        Place::FrontAnswer,
        Place::FrontAnswerBody,
        Place::Log,
        Place::Check,
        Place::Config,
        Place::Command,
    ];

    const NAMES: [&'static str; 22] = [
        "frontend tcp-request connection rule",
        "frontend tcp-request session rule",
        "frontend tcp-request content rule",
        "frontend http-request header rule",
        "frontend http-request body rule",
        "frontend use-backend rule",
        "backend tcp-request content rule",
        "backend http-request header rule",
        "backend http-request body rule",
        "backend use-server, balance or stick-match rule",
        "server source selection",
        "backend tcp-response content rule",
        "backend http-response header rule",
        "backend http-response body rule",
        "backend stick-store rule",
        "frontend tcp-response content rule",
        "frontend http-response header rule",
        "frontend http-response body rule",
        "logs",
        "backend tcp-check rule",
        "configuration parser",
        "CLI parser",
    ];

    /// HAProxy's name of the place.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The set that holds this place only.
    pub const fn only(self) -> Places {
        Places(1 << self as u32)
    }
}

/// A set of places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places(u32);

impl Places {
    /// Nowhere.
    pub const NONE: Places = Places(0);

    const fn range(first: Place, last: Place) -> Places {
        Places((u32::MAX >> (31 - last as u32)) & (u32::MAX << first as u32))
    }

    /// Both sets together.
    pub const fn union(self, other: Places) -> Places {
        Places(self.0 | other.0)
    }

    /// What is in both sets.
    pub const fn intersection(self, other: Places) -> Places {
        Places(self.0 & other.0)
    }

    /// Whether the place is in the set.
    pub const fn contains(self, place: Place) -> bool {
        self.0 & (1 << place as u32) != 0
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The name of its first place, for warnings.
    pub fn name(self) -> &'static str {
        Place::NAMES.get(self.0.trailing_zeros() as usize).copied().unwrap_or("unknown place")
    }
}

/// What a fetch looks at, and so where it means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: literals, the environment, the date.
    Nothing,
    /// Counters and states of the process.
    Internal,
    /// The frontend.
    Frontend,
    /// The client's connection.
    Client,
    /// What was agreed on when the client's connection began.
    ClientSession,
    /// The request's buffer or head, until it is forwarded.
    Request,
    /// What is kept of the request until the end.
    RequestKept,
    /// The request's octets, as they came.
    RequestBuffer,
    /// The request's body.
    RequestBody,
    /// The backend.
    Backend,
    /// The server.
    Server,
    /// The connection to the server.
    ServerConnection,
    /// The response's head, until it is forwarded.
    Response,
    /// The response's octets, as they came.
    ResponseBuffer,
    /// The octets of the request or of the response, whichever are looked at.
    EitherBuffer,
    /// What is kept of the response until the end.
    ResponseKept,
    /// The request's or the response's head, whichever is at hand.
    EitherHead,
}

impl Needs {
    /// Where it is there.
    pub fn places(self) -> Places {
        use Place::{
            BackAnswerContent, BackContent, Check, Command, FrontAnswerBody, FrontConnection, FrontContent,
            FrontSession, Log, ServerSource,
        };
        let all = Places::range(FrontConnection, Command);
        match self {
            Needs::Nothing => all,
            Needs::Internal => Places(all.0 & !Place::Config.only().0),
            Needs::Frontend => Places::range(FrontConnection, Log),
            Needs::Client => Places::range(FrontConnection, Check),
            Needs::ClientSession => Places::range(FrontSession, Log),
            Needs::Request | Needs::RequestBuffer | Needs::RequestBody => Places::range(FrontContent, ServerSource),
            Needs::RequestKept => Places::range(FrontContent, Log),
            Needs::Backend => Places::range(BackContent, Check),
            Needs::Server => Places::range(ServerSource, Check),
            Needs::ServerConnection | Needs::ResponseKept => Places::range(BackAnswerContent, Check),
            Needs::Response | Needs::ResponseBuffer => {
                Places::range(BackAnswerContent, FrontAnswerBody).union(Check.only())
            }
            Needs::EitherHead | Needs::EitherBuffer => Places::range(FrontContent, FrontAnswerBody).union(Check.only()),
        }
    }

    /// What is missing where it is not there, in HAProxy's words.
    pub fn name(self) -> &'static str {
        match self {
            Needs::Nothing | Needs::Internal => "internal state",
            Needs::Frontend => "frontend",
            Needs::Client => "client address",
            Needs::ClientSession => "client-side connection",
            Needs::Request | Needs::EitherHead => "HTTP request headers",
            Needs::RequestKept => "HTTP request",
            Needs::RequestBuffer | Needs::EitherBuffer => "request buffer",
            Needs::RequestBody => "HTTP request body",
            Needs::Backend => "backend",
            Needs::Server => "server",
            Needs::ServerConnection => "server-side connection",
            Needs::Response => "HTTP response headers",
            Needs::ResponseBuffer => "response buffer",
            Needs::ResponseKept => "HTTP response",
        }
    }

    /// Whether raw octets are looked at, which HTTP proxies do not have.
    pub fn is_raw(self) -> bool {
        matches!(self, Needs::RequestBuffer | Needs::ResponseBuffer | Needs::EitherBuffer)
    }

    /// Whether a head is looked at.
    pub fn is_head(self) -> bool {
        matches!(
            self,
            Needs::Request
                | Needs::RequestKept
                | Needs::RequestBody
                | Needs::Response
                | Needs::ResponseKept
                | Needs::EitherHead
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows that `haproxy -dKsmp` prints, a mark a place.
    #[test]
    fn places_are_haproxys() {
        let row = |needs: Needs| -> String {
            (0..22).map(|i| if needs.places().0 & (1 << i) != 0 { 'Y' } else { '.' }).collect()
        };
        assert_eq!(row(Needs::Nothing), "YYYYYYYYYYYYYYYYYYYYYY");
        assert_eq!(row(Needs::Internal), "YYYYYYYYYYYYYYYYYYYY.Y");
        assert_eq!(row(Needs::Request), "..YYYYYYYYY...........");
        assert_eq!(row(Needs::RequestKept), "..YYYYYYYYYYYYYYYYY...");
        assert_eq!(row(Needs::Client), "YYYYYYYYYYYYYYYYYYYY..");
        assert_eq!(row(Needs::ClientSession), ".YYYYYYYYYYYYYYYYYY...");
        assert_eq!(row(Needs::Frontend), "YYYYYYYYYYYYYYYYYYY...");
        assert_eq!(row(Needs::Backend), "......YYYYYYYYYYYYYY..");
        assert_eq!(row(Needs::Server), "..........YYYYYYYYYY..");
        assert_eq!(row(Needs::Response), "...........YYYYYYY.Y..");
        assert_eq!(row(Needs::ResponseKept), "...........YYYYYYYYY..");
        assert_eq!(row(Needs::EitherHead), "..YYYYYYYYYYYYYYYY.Y..");
    }

    #[test]
    fn a_set_names_its_first_place() {
        assert_eq!(Place::BackAnswer.only().name(), "backend http-response header rule");
        assert_eq!(Place::FrontRequest.only().union(Place::BackRequest.only()).name(), Place::FrontRequest.name());
    }
}
