//! Workers: how many, who listens where, on which processors (section 3.1 `cpu-map` and `nbthread`, 4.2
//! `bind-process`, 5.1 `process` and `thread`; the manual of 1.8 for `nbproc`).
//!
//! HAProxy 2.6 knows one process only, and says so of numbers above 1. They are accepted here where `nbproc`
//! stands before them.

use super::draft::{BindDraft, ProxyDraft};
use super::finding::{Place, Severity};
use super::global::{count, time};
use super::resolve::Resolver;
use super::scope::{Scope, arg};
use super::word::Word;
use crate::proxy::workers::{CPUS_MAX, WORKERS_MAX};
use crate::proxy::{CpuMap, CpuSet, NumberSet};
use crate::registry::{Keyword, Sections, sized_row as row};

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    row("nbproc", Sections::GLOBAL, Some(1), nbproc, "worker processes"),
    row("nbthread", Sections::GLOBAL, Some(1), nbthread, "workers, as threads are called there"),
    row("cpu-map", Sections::GLOBAL, None, cpu_map, "processors of workers"),
    row("stats bind-process", Sections::GLOBAL, None, stats_bind_process, "workers that answer on runtime sockets"),
    row("noreuseport", Sections::GLOBAL, Some(0), noreuseport, "one socket an address, shared by all workers"),
    row("bind-process", Sections::ANY_PROXY, None, bind_process, "workers that a proxy listens in"),
    row("tune.worker.hang-timeout", Sections::GLOBAL, Some(1), hang_timeout, "when a stuck worker is replaced"),
];

/// A set of numbers as written: `all`, `odd`, `even`, a number or a range. Numbers above `max` are refused,
/// those that a word implies are left out.
fn numbers(text: &str, max: u32) -> Result<NumberSet, String> {
    const ODD: u64 = 0x5555_5555_5555_5555;
    let set = match text {
        "all" => NumberSet::ALL,
        "odd" => NumberSet(ODD),
        "even" => NumberSet(!ODD),
        _ => range(text, max)?,
    };
    Ok(set.and(NumberSet::up_to(max)))
}

fn range(text: &str, max: u32) -> Result<NumberSet, String> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    if !(low.bytes().chain(high.bytes())).all(|byte| byte.is_ascii_digit()) {
        return Err(format!("'{text}' is not a valid number/range."));
    }
    // An empty lower end is zero, an empty upper end the highest number there is.
    let number = |text: &str| text.parse::<u32>().unwrap_or(if text.is_empty() { 0 } else { u32::MAX });
    let ends = (number(low), if high.is_empty() && text.contains('-') { max } else { number(high) });
    let (low, high) = (ends.0.min(ends.1), ends.0.max(ends.1));
    if low < 1 || high > max {
        return Err(format!("'{text}' is not a valid number/range. It supports numbers from 1 to {max}.\n"));
    }
    Ok(NumberSet((low..=high).map(|number| NumberSet::only(number).0).sum()))
}

/// All sets on a line, together.
fn union(words: &[Word], max: u32) -> Result<NumberSet, String> {
    let written = words.iter().take_while(|word| !word.text.is_empty());
    written.into_iter().try_fold(NumberSet::default(), |sum, word| Ok(NumberSet(sum.0 | numbers(&word.text, max)?.0)))
}

/// The highest number of a process that may be written: 1 for HAProxy 2.6, any where there are several.
pub(super) fn processes_max(scope: &mut Scope<'_>) -> u32 {
    if scope.global().crew().are_processes { WORKERS_MAX } else { 1 }
}

fn nbproc(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    super::legacy::note(scope, words, "nbproc");
    if scope.global().nbproc.is_some() {
        let text = "'nbproc' already specified. Continuing.".to_owned();
        scope.report(Severity::Complaint, text, None);
        return Ok(());
    }
    let n = match arg(words, 1) {
        "auto" => i64::from(processors()),
        _ => i64::from(count(words)?),
    };
    match u32::try_from(n).ok().filter(|n| (1..=WORKERS_MAX).contains(n)) {
        Some(n) => scope.global().nbproc = Some(n),
        None => return Err(format!("'nbproc' must be between 1 and {WORKERS_MAX} (was {n}).")),
    }
    Ok(())
}

/// Processors that this process may use, as many as workers may be.
fn processors() -> u32 {
    let count = std::thread::available_parallelism().map_or(1, |count| count.get());
    u32::try_from(count).unwrap_or(WORKERS_MAX).min(WORKERS_MAX)
}

fn nbthread(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    let n: i64 =
        text.parse().map_err(|_| format!("'nbthread' passed a missing or unparsable integer value in '{text}'"))?;
    match u32::try_from(n).ok().filter(|n| (1..=WORKERS_MAX).contains(n)) {
        Some(n) => scope.global().nbthread = Some(n),
        None => return Err(format!("'nbthread' value must be between 1 and {WORKERS_MAX} (was {n})")),
    }
    Ok(())
}

fn noreuseport(scope: &mut Scope<'_>, _: &[Word]) -> Result<(), String> {
    scope.global().no_reuseport = true;
    Ok(())
}

fn cpu_map(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    if text.is_empty() || arg(words, 2).is_empty() {
        return Err(format!(
            "cpu-map expects a process number  ('all', 'odd', 'even', a number from 1 to {WORKERS_MAX} or a range),  \
             followed by a list of CPU ranges with numbers from 0 to 63."
        ));
    }
    let (one_each, sets) = match text.strip_prefix("auto:") {
        Some(sets) => (true, sets),
        None => (false, text),
    };
    let explain = |text: String| format!("cpu-map : {text}");
    let (processes, threads) = match sets.split_once('/') {
        Some((processes, threads)) => (processes, Some(threads)),
        None => (sets, None),
    };
    let processes = numbers(processes, WORKERS_MAX).map_err(explain)?;
    let threads = threads.map(|threads| numbers(threads, WORKERS_MAX)).transpose().map_err(explain)?;
    let cpus = cpus(&words[2..]).map_err(explain)?;
    let found = cpus.iter().count();
    if one_each && processes.len() as usize != found && threads.is_none_or(|threads| threads.len() as usize != found) {
        return Err(explain(
            "PROC/THREAD range and CPU sets must have the same size to be automatically bound".to_owned(),
        ));
    }
    scope.global().cpu_maps.push(CpuMap { processes, threads, one_each, cpus });
    Ok(())
}

/// Processors as written; what follows a number or a range in a word is ignored, as in HAProxy.
fn cpus(words: &[Word]) -> Result<CpuSet, String> {
    let mut set = CpuSet::default();
    for word in words.iter().take_while(|word| !word.text.is_empty()) {
        let text = word.text.as_str();
        let number = |text: &str| {
            let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            (digits > 0).then(|| text[..digits].parse::<usize>().unwrap_or(usize::MAX))
        };
        let low = number(text).ok_or_else(|| format!("'{text}' is not a CPU range."))?;
        let high = text.split_once('-').map_or(low, |(_, high)| number(high).unwrap_or(CPUS_MAX - 1));
        if low.max(high) >= CPUS_MAX {
            return Err(format!("supports CPU numbers from 0 to {}.", CPUS_MAX - 1));
        }
        set.add(low.min(high), low.max(high));
    }
    Ok(set)
}

fn stats_bind_process(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let max = processes_max(scope);
    let set = union(&words[2..], max).map_err(|text| format!("'stats bind-process' : {text}"))?;
    scope.global().cli_processes = set;
    Ok(())
}

fn bind_process(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let max = processes_max(scope);
    let set = union(&words[1..], max).map_err(|text| format!("bind-process : {text}"))?;
    scope.settings().processes = set;
    if max == 1 {
        scope.place = Place::Reader;
        scope.warn("'bind-process' has no effect, is deprecated, and will be removed in version 2.7.");
    } else if scope.sections() == Sections::BACKEND {
        scope.warn("'bind-process' has no effect in a backend: it works wherever a frontend sends requests to it.");
    }
    Ok(())
}

fn hang_timeout(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    let time = time(scope, words)?;
    scope.global().hang_timeout = Some(time);
    Ok(())
}

/// `process` of a `bind` line: processes that use it, and threads behind a slash.
pub(super) fn process(draft: &mut BindDraft, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    let (processes, threads) = match text.split_once('/') {
        Some((processes, threads)) => (processes, Some(threads)),
        None => (text, None),
    };
    let explain = |text: String| format!("'process' : {}", text.trim_end());
    let set = numbers(processes, draft.processes_max).map_err(explain)?;
    draft.options.processes.0 |= set.0;
    if let Some(threads) = threads {
        draft.options.threads.0 |= numbers(threads, WORKERS_MAX).map_err(explain)?.0;
    }
    if draft.processes_max == 1 {
        let hint = threads.map_or_else(String::new, |thread| format!(" Please use 'thread {thread}' instead."));
        let text = format!("'process {text}' on 'bind' lines is deprecated and will be removed in 2.7.{hint}");
        draft.warnings.push(text);
    }
    Ok(())
}

/// `thread` of a `bind` line: threads that use it.
pub(super) fn thread(draft: &mut BindDraft, words: &[Word]) -> Result<(), String> {
    let text = arg(words, 1);
    let set = match text.split_once('/') {
        Some((group, set)) => {
            let group: u32 = group.parse().unwrap_or(0);
            if group != 1 {
                return Err(format!("'{text}' thread-group number must be between 1 and 1 (was {group})"));
            }
            draft.in_thread_group = true;
            set
        }
        None => text,
    };
    let set = numbers(set, WORKERS_MAX).map_err(|error| format!("'{text}' : {}", error.trim_end()))?;
    draft.options.threads.0 |= set.0;
    Ok(())
}

/// Looks whether every address of a proxy has a worker that listens there.
pub(super) fn check(resolver: &mut Resolver<'_>, proxy: &ProxyDraft) {
    let crew = resolver.config.global.crew();
    let (noun, name) = (proxy.kind.noun(), &proxy.name);
    let of_proxy = crew.of(proxy.settings.processes, NumberSet::default());
    if crew.are_processes && of_proxy.is_empty() {
        resolver.findings.warning(format!(
            "{noun} '{name}': 'bind-process' names none of the {} processes: all of them listen.",
            crew.count
        ));
    }
    for bind in &proxy.binds {
        let threads = if crew.are_processes { NumberSet::only(1) } else { crew.all() };
        let written = bind.options.threads;
        let place = format!("in 'bind {}' at [{}]", bind.text, bind.at);
        if !written.is_empty() && written.and(threads).is_empty() {
            let what = match bind.in_thread_group {
                true => "only references threads not belonging to the group",
                false => "contains threads that belong to no group",
            };
            resolver.findings.alert(format!("Proxy '{name}': 'thread' directive {what} {place}."));
        }
        if crew.are_processes
            && !of_proxy.is_empty()
            && crew.of(bind.options.processes, written).and(of_proxy).is_empty()
        {
            resolver.findings.warning(format!(
                "{noun} '{name}': 'process' names no process of the proxy's, so all of these listen {place}."
            ));
        }
    }
}

/// What is odd about `nbproc` and `nbthread` together.
pub(super) fn check_counts(resolver: &mut Resolver<'_>) {
    let (global, crew) = (&resolver.config.global, resolver.config.global.crew());
    if let Some(threads) = global.nbthread.filter(|threads| crew.are_processes && *threads > 1) {
        resolver.findings.warning(format!(
            "'nbthread {threads}' is ignored because of 'nbproc {}': either of them is a number of workers.",
            crew.count
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_words_numbers_and_ranges() {
        let list = |text, max| numbers(text, max).map(|set| set.iter().collect::<Vec<_>>());
        assert_eq!(list("2-4", 64), Ok(vec![2, 3, 4]));
        assert_eq!(list("4-2", 64), Ok(vec![2, 3, 4]));
        assert_eq!(list("63-", 64), Ok(vec![63, 64]));
        assert_eq!(list("odd", 5), Ok(vec![1, 3, 5]));
        assert_eq!(list("even", 1), Ok(vec![]));
        for text in ["", "0", "65", "-3", "1-65", "99999999999"] {
            let error = list(text, 64).expect_err(text);
            assert_eq!(error, format!("'{text}' is not a valid number/range. It supports numbers from 1 to 64.\n"));
        }
        assert_eq!(list("1,2", 64), Err("'1,2' is not a valid number/range.".to_owned()));
        assert_eq!(list("1-2-3", 64), Err("'1-2-3' is not a valid number/range.".to_owned()));
    }
}
