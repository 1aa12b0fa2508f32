//! The layer-4 part of document 002's second file: three real MariaDB behind port 3306; and its statistics.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::cluster::PATIENCE;
use crate::host::{Host, Switch};
use crate::machine::{Machine, curl};
use crate::support::place::{TempDir, wait_until};
use crate::{expect, expect_in};

const CONFIGURATION: &str = include_str!("../fixtures/mission/002-l7-and-mysql.cfg");
/// Small enough that three of them start at once in a test. Each needs a `TMPDIR` of its own: names of temporary files
/// are made of pids, which are the same in several hosts.
pub const SMALL: &str = "--no-defaults --innodb-buffer-pool-size=8M --innodb-log-file-size=4M --skip-log-bin \
    --innodb-flush-log-at-trx-commit=0 --performance-schema=off --skip-name-resolve";

struct Site {
    machine: Machine,
    client: Host,
    databases: Vec<Host>,
    _folder: TempDir,
    _switch: Switch,
}

impl Site {
    fn start() -> Result<Site, String> {
        let switch = Switch::start()?;
        let address = |last| Ipv4Addr::new(192, 168, 122, last);
        let folder = TempDir::new("mysql").map_err(|error| format!("temporary: {error}"))?;
        let root = folder.path().display().to_string();
        let mut databases = Vec::new();
        for (name, last) in [("mysql1", 40), ("mysql2", 50), ("mysql3", 60)] {
            let host = Host::start(name)?;
            switch.plug(&host, address(last))?;
            if databases.is_empty() {
                install(&host, &root)?;
            }
            host.shell(&format!(
                "cp -r {root}/base {root}/{name}
                mkdir {root}/{name}.tmp
                TMPDIR={root}/{name}.tmp setsid mariadbd {SMALL} --user=root --datadir={root}/{name} --socket={root}/{name}.sock \
                    --pid-file={root}/{name}.pid --init-file={root}/users.sql > {root}/{name}.log 2>&1 &"
            ))?;
            databases.push(host);
        }
        let client = Host::start("client")?;
        switch.plug(&client, address(1))?;
        let machine = Machine::plugged(&switch, "director1", address(2), CONFIGURATION)?;
        let site = Site { machine, client, databases, _folder: folder, _switch: switch };
        for (host, last) in site.databases.iter().zip([40, 50, 60]) {
            let there = || query(&site.client, last, "select 1").is_ok();
            if !wait_until(PATIENCE * 3, there) {
                let log = host.shell(&format!("cat {root}/{}.log", host.name)).unwrap_or_default();
                return Err(format!("{} does not start:\n{log}", host.name));
            }
        }
        site.machine.start_proxy()?;
        Ok(site)
    }

    /// The names of the databases that three queries in a row come to.
    fn turns(&self) -> Result<Vec<String>, String> {
        (0..3).map(|_| query(&self.client, 2, "select @@hostname")).collect()
    }

    fn state(&self, server: &str) -> Result<String, String> {
        let csv = curl(&self.client, "-u qfedu:123 'http://192.168.122.2:1314/haproxystats;csv'")?;
        let line = csv.lines().find(|line| line.starts_with(&format!("mysql,{server},"))).unwrap_or_default();
        Ok(line.split(',').nth(17).unwrap_or_default().to_owned())
    }
}

/// Makes the tables of a new database once; the three copy them.
pub fn install(host: &Host, root: &str) -> Result<(), String> {
    host.shell(&format!(
        "echo \"grant all on *.* to 'lab'@'%' identified by 'lab';\" > {root}/users.sql
        mkdir {root}/base.tmp
        TMPDIR={root}/base.tmp mariadb-install-db {SMALL} --user=root --datadir={root}/base --auth-root-authentication-method=normal \
            --skip-test-db"
    ))
    .map(drop)
}

/// Runs a query at 192.168.122.`last`; its answer without titles.
fn query(host: &Host, last: u8, sql: &str) -> Result<String, String> {
    let answer = host.shell(&format!(
        "mariadb --no-defaults --connect-timeout=10 -h 192.168.122.{last} -P 3306 -ulab -plab -N -B -e '{sql}'"
    ));
    answer.map(|text| text.trim().to_owned())
}

/// The client speaks through the proxy with each of them in turn; a dead one is left out.
pub fn serves() -> Result<(), String> {
    let site = Site::start()?;
    expect("roundrobin", site.turns()?, ["mysql1", "mysql2", "mysql3"].map(String::from).to_vec())?;
    let rows = query(&site.client, 2, "select repeat(\"x\", 1000000)")?;
    expect("a large answer", rows.len(), 1_000_000)?;
    site.machine.wait_for_log(&["local2.info", "Connect from 192.168.122.1:", " to 192.168.122.2:3306 (mysql/TCP)"])?;

    // The checks of layer 4 come every second and must not count as clients that fail: of those a database that
    // looks up names shuts out a host after a hundred. A machine that is too slow to reset within 40 ms is one.
    std::thread::sleep(Duration::from_secs(6));
    let aborted = query(&site.client, 40, "show global status like \"Aborted_connects\"")?;
    let count: u32 = aborted.split_whitespace().last().and_then(|count| count.parse().ok()).unwrap_or(u32::MAX);
    expect(&format!("what the database thinks of six checks: {aborted}"), count <= 2, true)?;

    site.databases[1].shell("kill -KILL -1")?;
    site.machine.wait_for("mysql2 to be found dead", || site.state("mysql2").is_ok_and(|state| state == "DOWN"))?;
    site.machine.wait_for_log(&[
        "local2.alert",
        "Server mysql/mysql2 is DOWN",
        "2 active and 0 backup servers left",
    ])?;
    let turns = site.turns()?;
    expect(&format!("without the dead one: {turns:?}"), turns.iter().any(|name| name == "mysql2"), false)
}

/// The statistics with their password, realm, refresh and form.
pub fn statistics() -> Result<(), String> {
    let switch = Switch::start()?;
    let client = Host::start("client")?;
    switch.plug(&client, Ipv4Addr::new(192, 168, 122, 1))?;
    let machine = Machine::plugged(&switch, "director1", Ipv4Addr::new(192, 168, 122, 2), CONFIGURATION)?;
    machine.start_proxy()?;
    let page = |arguments: &str| curl(&client, &format!("-i {arguments} http://192.168.122.2:1314/haproxystats"));
    let answer = page("")?;
    expect_in("without a password", &answer, " 401 Unauthorized\r\n")?;
    expect_in("stats realm", &answer.to_lowercase(), "basic realm=\"haproxy stats\"\r\n")?;
    let answer = page("-u qfedu:123")?;
    expect_in("stats refresh", &answer.to_lowercase(), "\r\nrefresh: 30\r\n")?;
    for part in ["httpservers", "mysql3", "<select name=\"action\">"] {
        expect_in("the page", &answer, part)?;
    }
    expect("stats hide-version", answer.contains("version 2."), false)
}
