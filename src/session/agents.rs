//! What checks come to, and agents: a server's agent is asked, and what it says is done (manual 5.2, `agent-check`).

use super::Services;
use super::boards::Thing;
use crate::check::agent::{Order, Orders, Report};
use crate::check::server::CheckEffect;
use crate::check::{Outcome, Status, amount};
use crate::proxy::{AgentSettings, ServerId};

impl Services {
    /// An agent was asked: `outcome` of the connection, `answer` if one came.
    pub fn agent_ended(&mut self, id: ServerId, outcome: Outcome, answer: Option<&[u8]>) {
        let outcome = match answer.and_then(Report::parse) {
            Some(report) if self.servers[id.0 as usize].agent.enabled => {
                Outcome { duration: outcome.duration, ..self.obey_agent(id, &report) }
            }
            _ => outcome,
        };
        self.follow();
        let duration = outcome.duration;
        if !self.servers[id.0 as usize].is_confirmed_by_agent(&outcome) {
            self.change_server(id, |state, now_s| state.agent_ended(outcome, now_s));
        }
        self.boards.agent_check(id).confirm(self.boards.followed(Thing::Server(id)), duration);
    }

    /// A check has ended. What says nothing new takes no lock and concerns no other worker.
    pub fn check_ended(&mut self, id: ServerId, mut outcome: Outcome) {
        self.follow();
        let duration = outcome.duration;
        let mut words = Vec::new();
        if outcome.status == Status::L7Passed && self.config[self.config[id].backend].check.forgets_words() {
            words = std::mem::take(&mut outcome.info);
        }
        if !self.servers[id.0 as usize].is_confirmed_by(&outcome) {
            self.change_server(id, |state, now_s| {
                let is_news = outcome.status != state.last.status;
                let words = if is_news { words } else { Vec::new() };
                CheckEffect { words, ..state.checked(outcome, now_s) }
            });
        }
        self.boards.check(id).confirm(self.boards.followed(Thing::Server(id)), duration);
    }

    /// Does what an agent orders, in HAProxy's order.
    fn obey_agent(&mut self, id: ServerId, report: &Report<'_>) -> Outcome {
        let mut warning = None;
        match report.order {
            Some(Order::Ready) => self.change_server(id, |state, now_s| state.order_ready(now_s).into()),
            Some(Order::Drain) => self.change_server(id, |state, now_s| state.order_drain(now_s).into()),
            Some(Order::Maintenance) => self.change_server(id, |state, now_s| state.order_maintenance(now_s).into()),
            None => {}
        }
        // What is no UTF-8 is no number in any case.
        if let Some(word) = report.weight.map(String::from_utf8_lossy) {
            let server = &self.config[id];
            let dynamic = self.balancers[server.backend.0 as usize].is_dynamic();
            let state = &self.servers[id.0 as usize];
            match amount::weight(&word, server.weight, dynamic) {
                // Said again, it is news only to those who drain.
                Ok(weight) if weight == state.weight && !state.admin.is_draining() => {}
                Ok(weight) => self.set_server_weight(id, weight),
                Err(text) => warning = Some(text.trim_end()),
            }
        }
        if let Some(word) = report.maxconn.map(String::from_utf8_lossy) {
            match amount::maxconn(&word) {
                Ok(maxconn) if maxconn != self.server_maxconn(id) => self.set_server_maxconn(id, maxconn),
                Ok(_) => {}
                Err(text) => warning = warning.or(Some(text.trim_end())),
            }
        }
        report.outcome(warning)
    }

    /// Changes what was ordered about a server's agent.
    pub fn order_agent(&mut self, id: ServerId, order: impl FnOnce(&mut Orders)) {
        self.change_server(id, |state, _| {
            order(&mut state.agent.orders);
            CheckEffect::default()
        });
    }

    /// Turns asking on or off; what an agent says that is being asked is ignored then.
    pub fn enable_agent(&mut self, id: ServerId, enabled: bool) {
        self.change_server(id, |state, _| {
            state.agent.enabled = enabled;
            CheckEffect::default()
        });
    }

    /// An agent's settings as they are now.
    pub fn agent_settings(&self, id: ServerId) -> Option<AgentSettings> {
        let orders = &self.servers[id.0 as usize].agent.orders;
        let configured = self.config[id].agent.clone()?;
        Some(AgentSettings {
            addr: orders.addr.or(configured.addr),
            port: orders.port.or(configured.port),
            send: orders.send.clone().unwrap_or(configured.send),
            ..configured
        })
    }
}
