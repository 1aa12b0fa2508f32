//! Workers, by number from 1: how many there are, who listens where, and on which processors they run
//! (configuration manual 3.1 `cpu-map` and `nbthread`, 4.2 `bind-process`, 5.1 `process` and `thread`; manual
//! of 1.8 for `nbproc`).
//!
//! A worker stands for a process of `nbproc`, or for a thread of `nbthread` where there is one process: what
//! HAProxy says of either holds for a worker.

/// Most workers that a configuration may ask for: as many as a set has numbers.
pub const WORKERS_MAX: u32 = u64::BITS;

/// Processors that `cpu-map` can name: 0 to one less than this.
pub const CPUS_MAX: usize = 1024;

/// Numbers from 1 to 64, of processes, threads or workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NumberSet(pub u64);

impl NumberSet {
    /// All numbers.
    pub const ALL: NumberSet = NumberSet(u64::MAX);

    /// The numbers 1 to `count`.
    pub fn up_to(count: u32) -> NumberSet {
        NumberSet(if count >= u64::BITS { u64::MAX } else { (1 << count) - 1 })
    }

    /// One number.
    pub fn only(number: u32) -> NumberSet {
        NumberSet(1 << (number - 1).min(u64::BITS - 1))
    }

    /// Whether `number` is in it.
    pub fn contains(self, number: u32) -> bool {
        (1..=u64::BITS).contains(&number) && self.0 >> (number - 1) & 1 == 1
    }

    /// The numbers in both.
    pub fn and(self, other: NumberSet) -> NumberSet {
        NumberSet(self.0 & other.0)
    }

    /// Whether there is none in it: what was not written restricts nothing.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many there are.
    pub fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// All of them, lowest first.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        (1..=u64::BITS).filter(move |number| self.contains(*number))
    }
}

/// What the numbers of a configuration mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crew {
    /// Number of workers.
    pub count: u32,
    /// Workers stand for processes (`nbproc` above 1), otherwise for the threads of process 1.
    pub are_processes: bool,
}

impl Crew {
    /// `nbproc` and `nbthread` as written. Where both ask for more than one, `nbproc` counts.
    pub fn new(nbproc: Option<u32>, nbthread: Option<u32>) -> Crew {
        match nbproc.unwrap_or(1) {
            0 | 1 => Crew { count: nbthread.unwrap_or(1).max(1), are_processes: false },
            count => Crew { count, are_processes: true },
        }
    }

    /// All workers.
    pub fn all(self) -> NumberSet {
        NumberSet::up_to(self.count)
    }

    /// The workers that stand for the written processes and threads; an empty set restricts nothing.
    pub fn of(self, processes: NumberSet, threads: NumberSet) -> NumberSet {
        let written = if self.are_processes { processes } else { threads };
        if written.is_empty() { self.all() } else { written.and(self.all()) }
    }
}

/// Processors, by number from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuSet(Vec<bool>);

impl CpuSet {
    /// Adds `first` to `last`.
    pub fn add(&mut self, first: usize, last: usize) {
        self.0.resize(self.0.len().max(last + 1), false);
        self.0[first..=last].fill(true);
    }

    /// All of them, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().filter_map(|(cpu, is_in)| is_in.then_some(cpu))
    }

    /// The processors in both.
    pub fn and(&self, other: &CpuSet) -> CpuSet {
        CpuSet(self.0.iter().zip(&other.0).map(|(a, b)| *a && *b).collect())
    }

    /// Whether there is none in it.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// One `cpu-map` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuMap {
    /// The processes before the slash.
    pub processes: NumberSet,
    /// The threads behind it.
    pub threads: Option<NumberSet>,
    /// `auto:`: the n-th process or thread on the n-th processor.
    pub one_each: bool,
    /// The processors.
    pub cpus: CpuSet,
}

impl CpuMap {
    /// What the line says of thread number `thread` of process number `process`.
    fn cpus_of(&self, process: u32, thread: u32) -> Option<CpuSet> {
        if !self.processes.contains(process) || self.threads.is_some_and(|threads| !threads.contains(thread)) {
            return None;
        }
        if !self.one_each {
            return Some(self.cpus.clone());
        }
        let cpus = self.cpus.iter().count() as u32;
        let (set, number) = match self.threads {
            Some(threads) if threads.len() == cpus => (threads, thread),
            _ => (self.processes, process),
        };
        let place = set.iter().position(|other| other == number)?;
        let mut one = CpuSet::default();
        let cpu = self.cpus.iter().nth(place)?;
        one.add(cpu, cpu);
        Some(one)
    }
}

/// The processors that worker `number` may run on; `None` leaves it where the start was. Later lines replace
/// earlier ones; what is said of a thread and what of its process hold both, unless they contradict.
pub fn cpus_of(maps: &[CpuMap], crew: Crew, number: u32) -> Option<CpuSet> {
    let (process, thread) = if crew.are_processes { (number, 1) } else { (1, number) };
    let last = |of_thread: bool| {
        let lines = maps.iter().rev().filter(|map| map.threads.is_some() == of_thread);
        lines.into_iter().find_map(|map| map.cpus_of(process, thread))
    };
    match (last(false), last(true)) {
        (Some(a), Some(b)) => Some(a.and(&b)).filter(|both| !both.is_empty()),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus(list: &[usize]) -> CpuSet {
        let mut set = CpuSet::default();
        list.iter().for_each(|cpu| set.add(*cpu, *cpu));
        set
    }

    fn map(processes: NumberSet, threads: Option<NumberSet>, one_each: bool, list: &[usize]) -> CpuMap {
        CpuMap { processes, threads, one_each, cpus: cpus(list) }
    }

    #[test]
    fn sets_hold_numbers_from_1() {
        assert_eq!(NumberSet::up_to(3).iter().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(NumberSet::up_to(64), NumberSet::ALL);
        assert!(!NumberSet::ALL.contains(0) && NumberSet::ALL.contains(64) && !NumberSet::ALL.contains(65));
        assert_eq!(NumberSet::only(64).iter().collect::<Vec<_>>(), [64]);
    }

    #[test]
    fn nbproc_counts_before_nbthread() {
        let crew = |count, are_processes| Crew { count, are_processes };
        assert_eq!(Crew::new(None, None), crew(1, false));
        assert_eq!(Crew::new(Some(1), Some(4)), crew(4, false));
        assert_eq!(Crew::new(Some(2), Some(4)), crew(2, true));
        let (two, three) = (NumberSet::only(2), NumberSet::only(3));
        assert_eq!(crew(4, true).of(two, three), two);
        assert_eq!(crew(4, false).of(two, three), three);
        assert_eq!(crew(2, true).of(NumberSet::default(), three), NumberSet::up_to(2));
        assert!(crew(2, true).of(three, two).is_empty());
    }

    #[test]
    fn processors_follow_from_the_last_line() {
        let processes = Crew { count: 4, are_processes: true };
        let threads = Crew { count: 4, are_processes: false };
        let each = map(NumberSet::up_to(4), None, true, &[3, 0, 1, 2]);
        assert_eq!(cpus_of(std::slice::from_ref(&each), processes, 1), Some(cpus(&[0])));
        assert_eq!(cpus_of(std::slice::from_ref(&each), processes, 4), Some(cpus(&[3])));
        let later = map(NumberSet::only(4), None, false, &[0, 1]);
        assert_eq!(cpus_of(&[each.clone(), later], processes, 4), Some(cpus(&[0, 1])));
        assert_eq!(cpus_of(&[each], threads, 2), Some(cpus(&[0])), "the whole of process 1");
        let of_threads = map(NumberSet::only(1), Some(NumberSet::up_to(4)), true, &[0, 1, 2, 3]);
        assert_eq!(cpus_of(std::slice::from_ref(&of_threads), threads, 3), Some(cpus(&[2])));
        assert_eq!(cpus_of(std::slice::from_ref(&of_threads), processes, 2), None, "no thread of process 2");
        let process = map(NumberSet::only(1), None, false, &[0, 1]);
        let both = [process, of_threads];
        assert_eq!(cpus_of(&both, threads, 2), Some(cpus(&[1])));
        assert_eq!(cpus_of(&both, threads, 3), None, "nothing in common");
    }
}
