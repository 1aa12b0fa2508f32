//! Rules: what to do with requests and responses, and when (manual 4.2, `http-request`, `http-response`,
//! `redirect`, `use_backend`, `acl`), and what older versions had for the same (`reqrep` and its kin).
//!
//! Text becomes [`Rules`] by [`parse::Parser`], line by line. The session layer calls
//! [`Rules::on_request`], [`Rules::filter_request`], [`Rules::redirect`], [`Rules::backend`], [`Rules::on_response`] and
//! [`Rules::after_response`], and does the [`Errand`]s of rules.

pub mod acl;
pub mod address;
pub mod condition;
pub mod edit;
pub mod errand;
pub mod filter;
pub mod lookup;
pub mod pages;
pub mod parse;
pub mod predefined;
pub mod redirect;
pub mod reply;
pub mod request;
pub mod response;
pub mod switching;
pub mod tcp;
pub mod variable;

use std::sync::Arc;

pub use acl::Acls;
pub use condition::Condition;
pub use errand::{Errand, Run};
pub use pages::{NamedPages, Pages};
pub use reply::{Body, Ending, Reply};
pub use request::Verdict;

use crate::sample::Ctx;

/// An action with its condition.
#[derive(Clone, Debug)]
pub struct Rule<A> {
    /// What to do.
    pub action: A,
    /// When; always without one.
    pub condition: Option<Condition>,
    /// The file that the rule stands in.
    pub file: Arc<str>,
    /// Its line there.
    pub line: u32,
}

impl<A> Rule<A> {
    /// Whether the rule applies now.
    pub fn applies<'a>(&'a self, acls: &'a Acls, ctx: &Ctx<'a>) -> bool {
        self.condition.as_ref().is_none_or(|condition| condition.holds(acls, ctx))
    }
}

/// All rules of one proxy.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The access lists that the conditions name.
    pub acls: Acls,
    /// `tcp-request` and `tcp-response`
    pub tcp: tcp::TcpRules,
    /// `http-request`
    pub request: Vec<Rule<request::Action>>,
    /// `stats http-request`
    pub stats: Vec<Rule<request::Action>>,
    /// `stats admin`
    pub admin: Vec<Rule<()>>,
    /// `redirect`
    pub redirects: Vec<Rule<redirect::Redirect>>,
    /// `use-server`
    pub use_server: Vec<Rule<switching::ServerTarget>>,
    /// `use_backend`
    pub switching: Vec<Rule<switching::Target>>,
    /// `force-persist` and `ignore-persist`
    pub persistence: Vec<Rule<switching::Persistence>>,
    /// `http-response`
    pub response: Vec<Rule<response::Action>>,
    /// `http-after-response`
    pub after_response: Vec<Rule<response::Action>>,
    /// `monitor fail`
    pub monitor_fail: Vec<Rule<()>>,
    /// `reqrep` and others
    pub request_filters: Vec<Rule<filter::Filter>>,
    /// `reqadd`
    pub request_additions: Vec<Rule<filter::Addition>>,
    /// `rsprep` and others
    pub response_filters: Vec<Rule<filter::Filter>>,
    /// `rspadd`
    pub response_additions: Vec<Rule<filter::Addition>>,
}

impl Rules {
    /// Whether a rule needs CAP_NET_ADMIN: it silences the client's connection, or marks its packets.
    pub fn administer_net(&self) -> bool {
        self.request.iter().chain(&self.stats).any(|rule| rule.action.administers_net())
            || self.response.iter().any(|rule| rule.action.administers_net())
            || self.tcp.administer_net()
    }

    /// Whether a `monitor fail` rule says that `monitor-uri` is to be answered by an error.
    pub fn monitor_fails(&self, ctx: &Ctx<'_>) -> bool {
        self.monitor_fail.iter().any(|rule| rule.applies(&self.acls, ctx))
    }
}

#[cfg(test)]
mod tests;
