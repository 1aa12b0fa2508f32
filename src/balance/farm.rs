//! A backend's servers as the algorithms see them, and who is in charge: primaries or backups.
use crate::proxy::servers::put;

/// A server's effective weight in sixteenths of a configured one, so that a slow start has steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(pub u32);

/// The highest effective weight a server has.
pub const WEIGHT_MAX: Weight = Weight(256 * Weight::SCALE);

impl Weight {
    /// Sixteenths.
    pub const SCALE: u32 = 16;

    /// The effective weight of a configured `weight` (0 to 256; more counts as 256).
    pub fn configured(weight: u32) -> Weight {
        Weight(weight.min(256) * Weight::SCALE)
    }
}

/// What an algorithm knows of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The server's id, which `first` and rings go by.
    pub id: u32,
    /// Effective weight; a server of weight 0 gets nothing.
    pub weight: Weight,
    /// Up, and neither draining nor in maintenance.
    pub usable: bool,
    /// `backup`.
    pub backup: bool,
}

impl Member {
    /// Whether it may be picked.
    pub fn takes_part(&self) -> bool {
        self.usable && self.weight > Weight(0)
    }
}

/// All servers of a backend.
pub(super) struct Farm {
    members: Vec<Member>,
    all_backups: bool,
    primaries: u32,
    backups: u32,
    first_backup: Option<u32>,
}

impl Farm {
    pub fn new(members: Vec<Member>, all_backups: bool) -> Farm {
        let mut farm = Farm { members, all_backups, primaries: 0, backups: 0, first_backup: None };
        farm.count();
        farm
    }

    /// Gives a seat to a server, which may be one more.
    pub fn seat(&mut self, server: u32, member: Member) {
        put(&mut self.members, server, member);
        self.count();
    }

    /// A server changed. The rest is not counted anew: thousands may change one after the other.
    pub fn set(&mut self, server: u32, member: Member) {
        let before = std::mem::replace(&mut self.members[server as usize], member);
        let parts = |backup| {
            let part = |member: Member| u32::from(member.takes_part() && member.backup == backup);
            (part(before), part(member))
        };
        let (left, came) = parts(false);
        self.primaries = self.primaries - left + came;
        let (left, came) = parts(true);
        self.backups = self.backups - left + came;
        let first = self.first_backup;
        if came > left && first.is_none_or(|first| server < first) {
            self.first_backup = Some(server);
        } else if left > came && first == Some(server) {
            self.first_backup = self.backup_from(server + 1);
        }
    }

    pub fn len(&self) -> u32 {
        self.members.len() as u32
    }

    pub fn member(&self, server: u32) -> Member {
        self.members[server as usize]
    }

    /// The backup that takes everything alone, if one does.
    pub fn single_backup(&self) -> Option<u32> {
        if self.primaries > 0 || self.all_backups { None } else { self.first_backup }
    }

    /// Whether servers are to be taken from among the backups.
    pub fn backups_in_charge(&self) -> bool {
        self.primaries == 0
    }

    /// Whether a server is among those in charge.
    pub fn is_in_charge(&self, server: u32) -> bool {
        let member = self.member(server);
        match self.single_backup() {
            Some(single) => server == single,
            None => member.takes_part() && member.backup == self.backups_in_charge(),
        }
    }

    /// Those in charge, with their weights, in the order written.
    pub fn in_charge(&self) -> impl Iterator<Item = (u32, Weight)> {
        let all = (0..).zip(&self.members);
        all.filter(|(index, _)| self.is_in_charge(*index)).map(|(index, member)| (index, member.weight))
    }

    pub fn usable_counts(&self) -> (u32, u32) {
        (self.primaries, self.backups)
    }

    pub fn total_weight(&self) -> Weight {
        Weight(self.in_charge().map(|(_, weight)| weight.0).sum())
    }

    /// The greatest common divisor of all weights, those out of use included; 1 when all are 0.
    pub fn weight_divisor(&self) -> u32 {
        let weights = self.members.iter().map(|member| member.weight.0);
        weights.fold(0, greatest_common_divisor).max(1)
    }

    fn count(&mut self) {
        let part = |backup| {
            let all = (0..).zip(&self.members);
            all.filter(move |(_, member)| member.takes_part() && member.backup == backup)
        };
        self.primaries = part(false).count() as u32;
        self.backups = part(true).count() as u32;
        self.first_backup = self.backup_from(0);
    }

    /// The first backup that takes part, of this server and those behind it.
    fn backup_from(&self, server: u32) -> Option<u32> {
        let mut rest = (0..).zip(&self.members).skip(server as usize);
        rest.find(|(_, member)| member.takes_part() && member.backup).map(|(index, _)| index)
    }
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
