//! Asks name servers and remembers what they say: all of a section at once, the first valid answer counts (manual 5.3.2).
//!
//! ```text
//!            ask, watch           all answered, none well          answered badly again, tries are left
//!  (nothing) ──────────► asking ─────────────────────────► asking ──────────────┐
//!     ▲                  first   ◄──────────────────────── second               │
//!     │                  kind       retry: one try less    kind                 ▼
//!     │                   │ valid, or silence and no tries  │           (waits for the retry)
//!     │ nobody waits      ▼                                 ▼
//!     └─────────────── report ── watchers: again after `timeout resolve`
//! ```

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::Rc;

use slab::Slab;

use super::message::{self, Fault, Kind};
use super::resolution::{Key, Resolution, Running};
use super::{Name, Report, Requester, Tallied, Tally, Verdict, Wanted};
use crate::proxy::resolvers::{Resolvers, ResolversId};
use crate::time::{Millis, Tick};

/// Ids that are looked at for one that is free.
const IDS_TRIED_MAX: usize = 1024;

/// All that is asked and known.
#[derive(Debug, Default)]
pub struct Engine {
    sections: Vec<Resolvers>,
    resolutions: Slab<Resolution>,
    by_key: HashMap<Key, usize>,
    by_requester: HashMap<Requester, usize>,
    by_id: HashMap<(ResolversId, u16), usize>,
    due: BTreeSet<(Tick, usize)>,
    outgoing: VecDeque<Outgoing>,
    reports: VecDeque<Report>,
    tallies: Vec<Vec<Tally>>,
    /// Some of the tallies are not zero.
    has_tallies: bool,
    random: u64,
}

/// A message for a name server.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The section that the name server belongs to.
    pub section: ResolversId,
    /// Its place there.
    pub nameserver: usize,
    /// The message.
    pub bytes: Rc<[u8]>,
}

impl Engine {
    /// An engine for these sections. `seed` must not be guessable: who can guess ids of questions can give false answers.
    #[must_use]
    pub fn new(sections: &[Resolvers], seed: u64) -> Engine {
        let tallies = sections.iter().map(|section| vec![Tally::default(); section.nameservers.len()]).collect();
        Engine { sections: sections.to_vec(), tallies, random: seed | 1, ..Engine::default() }
    }

    /// Reports to `who` every time that `name` was asked for, once each `timeout resolve`, until [`Engine::cancel`].
    pub fn watch(&mut self, section: ResolversId, name: Name, wanted: Wanted, who: Requester, now: Tick) {
        let slot = self.enter(Key { section, name, wanted }, who, true);
        // What was known before counts as an answer: errors change nothing until `hold` is over.
        self.resolutions[slot].valid.get_or_insert(now);
        if self.resolutions[slot].running.is_none() && self.resolutions[slot].due == Tick::NEVER {
            self.start(slot, now);
        }
    }

    /// Reports once to `who`: at once if an answer is known that is not older than `hold valid`, else by
    /// [`Engine::report`] when there is one, or an error.
    pub fn ask(
        &mut self,
        section: ResolversId,
        name: Name,
        wanted: Wanted,
        who: Requester,
        now: Tick,
    ) -> Option<Report> {
        let key = Key { section, name, wanted };
        let hold = self.sections.get(section.0 as usize)?.hold.valid;
        let known = self.by_key.get(&key).map(|slot| &self.resolutions[*slot]);
        let is_fresh = |known: &&Resolution| {
            known.running.is_none()
                && known.verdict == Some(Verdict::Valid)
                && known.resolved.is_some_and(|resolved| resolved + hold > now)
        };
        if let Some(known) = known.filter(is_fresh) {
            let answer = Some(Rc::clone(&known.answer));
            return Some(Report { who, section, verdict: Verdict::Valid, is_held: true, answer, nameserver: None });
        }
        let slot = self.enter(key, who, false);
        if self.resolutions[slot].running.is_none() {
            self.start(slot, now);
        }
        None
    }

    /// `who` no longer wants to know.
    pub fn cancel(&mut self, who: Requester) {
        self.reports.retain(|report| report.who != who);
        let Some(slot) = self.by_requester.remove(&who) else { return };
        self.resolutions[slot].requesters.retain(|(requester, _)| *requester != who);
        self.drop_if_unwanted(slot);
    }

    /// Asks soon for what `who` watches, instead of at its time: there is reason to think that it has changed.
    pub fn hasten(&mut self, who: Requester, now: Tick) {
        let Some(slot) = self.by_requester.get(&who).copied() else { return };
        let (resolution, section) = (&self.resolutions[slot], self.section(slot));
        let is_new = resolution.valid.is_some_and(|valid| valid + section.hold.valid > now);
        if resolution.running.is_none() && !is_new {
            self.start(slot, now);
        }
    }

    /// The next message to be sent. Tell [`Engine::sent`] what came of it.
    pub fn outgoing(&mut self) -> Option<Outgoing> {
        self.outgoing.pop_front()
    }

    /// Whether the answer to a message is waited for. One that was not sent yet need not be where the question was given up,
    /// or answered, meanwhile.
    #[must_use]
    pub fn is_wanted(&self, message: &Outgoing) -> bool {
        let slot = message::id(&message.bytes).and_then(|id| self.by_id.get(&(message.section, id)));
        // Another question may have the id by now.
        let running = slot.and_then(|slot| self.resolutions[*slot].running.as_ref());
        running.is_some_and(|running| running.bytes == message.bytes)
    }

    /// A message went out, or could not. The time of its repetition begins.
    pub fn sent(&mut self, message: &Outgoing, well: bool, now: Tick) {
        let Outgoing { section, nameserver, bytes } = message;
        self.count(*section, *nameserver, if well { Tallied::Sent } else { Tallied::SendErrors });
        let Some(slot) = message::id(bytes).and_then(|id| self.by_id.get(&(*section, id)).copied()) else { return };
        let retry_after = self.section(slot).retry_after;
        let running = self.resolutions[slot].running.as_mut();
        // Another question may have the id by now.
        let Some(running) = running.filter(|running| running.bytes == *bytes) else { return };
        running.asked[*nameserver] &= well;
        running.is_waiting = false;
        self.plan(slot, now + retry_after);
    }

    /// A message came from a name server, by its place in the section.
    pub fn received(&mut self, section: ResolversId, nameserver: usize, bytes: &[u8], now: Tick) {
        let Some(settings) = self.sections.get(section.0 as usize) else { return };
        if bytes.len() > usize::from(settings.payload_bytes_max) {
            return self.count(section, nameserver, Tallied::TooBig);
        }
        let Some(id) = message::id(bytes) else { return self.count(section, nameserver, Tallied::Invalid) };
        let slot = self.by_id.get(&(section, id)).copied();
        let asked = |slot: &usize| {
            let running = self.resolutions[*slot].running.as_ref();
            running.is_some_and(|running| running.asked.get(nameserver) == Some(&true))
        };
        let Some(slot) = slot.filter(asked) else { return self.count(section, nameserver, Tallied::Outdated) };
        let resolution = &mut self.resolutions[slot];
        let Some(running) = &mut resolution.running else { return };
        let judged = message::judge(bytes, &resolution.key.name, running.kind);
        if judged != Err(Fault::Foreign) {
            running.asked[nameserver] = false;
            running.is_answered = true;
        }
        match judged {
            Ok(records) => {
                self.count(section, nameserver, Tallied::Valid);
                let obsolete = self.section(slot).hold.obsolete;
                let resolution = &mut self.resolutions[slot];
                resolution.learn(records, now, obsolete);
                resolution.valid = Some(now);
                self.finish(slot, Verdict::Valid, Some(nameserver), now);
            }
            Err(fault) => {
                let (verdict, tallied) = fault.weigh();
                self.count(section, nameserver, tallied);
                if fault != Fault::Foreign {
                    self.failed(slot, verdict, nameserver, now);
                }
            }
        }
    }

    /// When there is something to do: [`Engine::expire`], or at once something to send, to report or to count.
    #[must_use]
    pub fn deadline(&self) -> Tick {
        if self.has_tallies || !self.outgoing.is_empty() || !self.reports.is_empty() {
            return Tick(0);
        }
        self.due.first().map_or(Tick::NEVER, |(due, _)| *due)
    }

    /// Does what is due: repeats questions, gives up, asks anew.
    pub fn expire(&mut self, now: Tick) {
        while let Some(&(due, slot)) = self.due.first() {
            if due > now {
                return;
            }
            match &self.resolutions[slot].running {
                Some(_) => self.repeat(slot, now),
                None => self.start(slot, now),
            }
        }
    }

    /// The next report.
    pub fn report(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }

    /// Counts something of a name server.
    pub fn count(&mut self, section: ResolversId, nameserver: usize, what: Tallied) {
        let tallies = self.tallies.get_mut(section.0 as usize);
        if let Some(tally) = tallies.and_then(|tallies| tallies.get_mut(nameserver)) {
            tally.count(what);
            self.has_tallies = true;
        }
    }

    /// Hands out what was counted since the last call: each name server's section, place and counts.
    pub fn take_tallies(&mut self, mut take: impl FnMut(ResolversId, usize, &Tally)) {
        if !std::mem::take(&mut self.has_tallies) {
            return;
        }
        for (section, tallies) in (0..).zip(&mut self.tallies) {
            for (nameserver, tally) in tallies.iter_mut().enumerate() {
                take(ResolversId(section), nameserver, &std::mem::take(tally));
            }
        }
    }

    /// Whether nobody asks for anything.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.resolutions.is_empty()
    }

    /// Finds or makes the resolution that `who` is to hear of.
    fn enter(&mut self, key: Key, who: Requester, stays: bool) -> usize {
        self.cancel(who);
        let slot = match self.by_key.get(&key) {
            Some(slot) => *slot,
            None => {
                let slot = self.resolutions.insert(Resolution::new(key.clone()));
                self.by_key.insert(key, slot);
                slot
            }
        };
        self.resolutions[slot].requesters.push((who, stays));
        self.by_requester.insert(who, slot);
        slot
    }

    fn section(&self, slot: usize) -> &Resolvers {
        &self.sections[self.resolutions[slot].key.section.0 as usize]
    }

    /// Begins to ask for a name.
    fn start(&mut self, slot: usize, now: Tick) {
        let section = self.resolutions[slot].key.section;
        let id = self.unused_id(section);
        // The first question counts; none of none is without end, as in HAProxy.
        let tries = self.section(slot).retries.wrapping_sub(1);
        let resolution = &mut self.resolutions[slot];
        let kind = resolution.key.first();
        resolution.running = Some(Running {
            id,
            kind,
            bytes: Rc::default(),
            tries,
            is_waiting: true,
            asked: Vec::new(),
            is_answered: false,
            error: None,
        });
        self.by_id.insert((section, id), slot);
        self.send(slot, kind, now);
    }

    /// Asks all name servers of the section.
    fn send(&mut self, slot: usize, kind: Kind, now: Tick) {
        let resolution = &mut self.resolutions[slot];
        let section = resolution.key.section;
        let settings = &self.sections[section.0 as usize];
        let Some(running) = &mut resolution.running else { return };
        (running.kind, running.is_waiting, running.is_answered) = (kind, true, false);
        running.asked.clear();
        running.asked.resize(settings.nameservers.len(), true);
        let bytes = message::question(running.id, &resolution.key.name, kind, settings.payload_bytes_max);
        let bytes: Rc<[u8]> = bytes.into();
        running.bytes = Rc::clone(&bytes);
        for nameserver in 0..settings.nameservers.len() {
            self.outgoing.push_back(Outgoing { section, nameserver, bytes: Rc::clone(&bytes) });
        }
        let due = now + settings.retry_after;
        self.plan(slot, due);
    }

    /// A name server answered with an error. When all have, the other kind is asked for.
    fn failed(&mut self, slot: usize, verdict: Verdict, nameserver: usize, now: Tick) {
        let resolution = &mut self.resolutions[slot];
        let (first, second) = (resolution.key.first(), resolution.key.second());
        let Some(running) = &mut resolution.running else { return };
        running.error = Some((verdict, nameserver));
        if !running.is_complete() {
            return;
        }
        match second {
            Some(second) if running.kind == first => self.send(slot, second, now),
            Some(_) if running.tries == 0 => self.finish(slot, verdict, Some(nameserver), now),
            _ => {}
        }
    }

    /// Nobody has answered well until the time of the retry.
    fn repeat(&mut self, slot: usize, now: Tick) {
        let retry_after = self.section(slot).retry_after;
        let resolution = &mut self.resolutions[slot];
        let (first, second) = (resolution.key.first(), resolution.key.second());
        let Some(running) = &mut resolution.running else { return };
        // A second message would only wait behind the first. Where another question has got the id, that is lost.
        if running.is_waiting && self.by_id.get(&(resolution.key.section, running.id)) == Some(&slot) {
            return self.plan(slot, now + retry_after.max(Millis(1)));
        }
        if running.tries == 0 {
            let error = running.error.filter(|_| running.is_answered);
            let verdict = error.map_or(Verdict::Timeout, |(verdict, _)| verdict);
            return self.finish(slot, verdict, error.map(|(_, nameserver)| nameserver), now);
        }
        match second {
            Some(second) if running.is_answered && running.kind == first => self.send(slot, second, now),
            _ => {
                running.tries -= 1;
                self.send(slot, first, now);
            }
        }
    }

    /// Tells everybody what came of it.
    fn finish(&mut self, slot: usize, verdict: Verdict, nameserver: Option<usize>, now: Tick) {
        let settings = self.section(slot);
        let (hold, every) = (verdict.hold(&settings.hold), settings.resolve_every);
        let resolution = &mut self.resolutions[slot];
        (resolution.verdict, resolution.resolved) = (Some(verdict), Some(now));
        let section = resolution.key.section;
        if let Some(running) = resolution.running.take() {
            self.by_id.remove(&(section, running.id));
        }
        let is_held = hold.is_none_or(|hold| resolution.valid.is_some_and(|valid| valid + hold > now));
        if !is_held {
            resolution.forget();
        }
        let answer = (verdict == Verdict::Valid).then(|| Rc::clone(&resolution.answer));
        let mut nameserver = nameserver;
        for (who, stays) in &resolution.requesters {
            if !stays {
                self.by_requester.remove(who);
            }
            let answer = answer.clone();
            let nameserver = nameserver.take();
            self.reports.push_back(Report { who: *who, section, verdict, is_held, answer, nameserver });
        }
        resolution.requesters.retain(|(_, stays)| *stays);
        self.plan(slot, now + every);
        self.drop_if_unwanted(slot);
    }

    /// What nobody wants to know of is forgotten.
    fn drop_if_unwanted(&mut self, slot: usize) {
        if !self.resolutions[slot].requesters.is_empty() {
            return;
        }
        self.plan(slot, Tick::NEVER);
        let resolution = self.resolutions.remove(slot);
        if let Some(running) = resolution.running {
            let section = resolution.key.section;
            self.by_id.remove(&(section, running.id));
        }
        self.by_key.remove(&resolution.key);
    }

    fn plan(&mut self, slot: usize, due: Tick) {
        let before = std::mem::replace(&mut self.resolutions[slot].due, due);
        self.due.remove(&(before, slot));
        if due != Tick::NEVER {
            self.due.insert((due, slot));
        }
    }

    /// An id that no question of the section bears; where none is found soon, the one that was looked at last serves twice.
    fn unused_id(&mut self, section: ResolversId) -> u16 {
        let mut id = self.draw();
        for _ in 0..IDS_TRIED_MAX {
            if !self.by_id.contains_key(&(section, id)) {
                break;
            }
            id = id.wrapping_add(1);
        }
        id
    }

    /// SplitMix64's next number, cut.
    fn draw(&mut self) -> u16 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as u16
    }
}

impl Fault {
    /// What it comes to, and what it counts as.
    fn weigh(self) -> (Verdict, Tallied) {
        match self {
            Fault::Foreign | Fault::Malformed => (Verdict::Invalid, Tallied::Invalid),
            Fault::Truncated => (Verdict::Other, Tallied::Truncated),
            Fault::NxDomain => (Verdict::NxDomain, Tallied::NxDomain),
            Fault::Refused => (Verdict::Refused, Tallied::Refused),
            Fault::Failure => (Verdict::Other, Tallied::Other),
            Fault::Empty => (Verdict::Other, Tallied::Empty),
            Fault::BadAlias => (Verdict::Other, Tallied::CnameErrors),
        }
    }
}
