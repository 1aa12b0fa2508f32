//! A node dies: what its visitors see before, while and after the proxy notices, and its return.

use std::time::{Duration, Instant};

use crate::cluster::{Lab, WEB};
use crate::load::{End, Load, Record, request_alone};
use crate::{expect, expect_in};

const NODE1_DOWN: &str = "Server ha_xuliangwei_com_backend/web-node1 is DOWN";
const NODE1_UP: &str = "Server ha_xuliangwei_com_backend/web-node1 is UP";

/// Connections of the counting client.
const CLIENTS: usize = 6;

/// Requests that a node has taken and not answered when it dies.
pub fn in_flight(lab: &Lab) -> Result<(), String> {
    lab.node1.freeze()?;
    let seen = lab.log().len();
    let requests: Vec<_> = (0..6).map(|_| lab.client.thread(|| request_alone(WEB))).collect();
    lab.wait_for("node 2's half of the answers", |lab| {
        let log = lab.log();
        log.iter().skip(seen).filter(|line| line.contains("_backend/web-node2 ")).count() == 3
    })?;
    lab.node1.kill()?;

    let ends: Vec<End> =
        requests.into_iter().map(|thread| thread.join().unwrap_or(End::Broken("the client died".into()))).collect();
    let from_node2 = ends.iter().filter(|end| end.is_from("web-node2.com")).count();
    let refused = ends.iter().filter(|end| matches!(end, End::Answer { status: 502, .. })).count();
    expect(&format!("node 2's answers, and 502 in {ends:?}"), (from_node2, refused), (3, 3))?;
    let line = lab.wait_for_new_log(seen, "_backend/web-node1 ")?;
    expect_in("the log of a request in flight", &line, " 502 ")?;
    expect_in("the log of a request in flight", &line, " SH-- ")
}

/// Node 1 is killed under load, is found DOWN, and comes back.
pub fn death_and_return(lab: &Lab) -> Result<(), String> {
    let load = Load::start(&lab.client, WEB, CLIENTS);
    let hammer = wrk(lab, 4);
    lab.wait_for_log("\"GET / HTTP/1.1\"")?;
    std::thread::sleep(Duration::from_secs(1));

    let seen = lab.log().len();
    let killed = Instant::now();
    lab.node1.kill()?;
    lab.wait_for_new_log(seen, NODE1_DOWN)?;
    let down = Instant::now();
    hammer.join().map_err(|_| "wrk's thread died")??;

    let clean = wrk(lab, 2).join().map_err(|_| "wrk's thread died")??;
    for trouble in ["Non-2xx", "Socket errors"] {
        expect(&format!("wrk after node 1 was DOWN: {clean}"), clean.contains(trouble), false)?;
    }

    lab.node1.start()?;
    lab.wait_for_new_log(seen, NODE1_UP)?;
    let up = Instant::now();
    std::thread::sleep(Duration::from_secs(1));
    judge(&load.finish(), killed, down, up)
}

/// Runs wrk for some seconds beside the test; gives what it printed.
fn wrk(lab: &Lab, seconds: u32) -> std::thread::JoinHandle<Result<String, String>> {
    let mut command = lab.client.command("wrk");
    command.args(["-t1", "-c16", &format!("-d{seconds}s"), "http://192.168.90.203/"]);
    std::thread::spawn(move || {
        let output = command.output().map_err(|error| format!("wrk: {error}"))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    })
}

fn judge(records: &[Record], killed: Instant, down: Instant, up: Instant) -> Result<(), String> {
    let began = |from: Option<Instant>, until: Option<Instant>| {
        records.iter().filter(move |record| {
            from.is_none_or(|from| record.began >= from) && until.is_none_or(|until| record.began < until)
        })
    };
    for record in records {
        let after = record.began.saturating_duration_since(killed);
        let allowed = match &record.end {
            End::Answer { status: 200, .. } => true,
            // In flight when the node died, or sent to it before anyone could know.
            End::Answer { status: 502 | 503, .. } | End::Closed => record.began < down,
            _ => false,
        };
        // A request that began before the kill may be in flight in it; not one from long before.
        let in_time = record.end.is_good() || record.began + Duration::from_millis(500) > killed;
        if !allowed || !in_time {
            let down = down.saturating_duration_since(killed);
            return Err(format!(
                "a request that began {after:?} after the kill (DOWN after {down:?}) ended so: {:?}",
                record.end
            ));
        }
    }

    let while_down: Vec<_> = began(Some(down), Some(up)).collect();
    let by_node1 = began(Some(up), None).filter(|record| record.end.is_from("web-node1.com")).count();
    let by_all = began(Some(up), None).count();
    expect("requests while node 1 was DOWN", while_down.len() > 100, true)?;
    expect("requests after the return", by_all > 50, true)?;
    let share = by_node1 as f64 / by_all as f64;
    expect(&format!("node 1's share after its return, half of all: {share:.2}"), (0.4..=0.6).contains(&share), true)
}
