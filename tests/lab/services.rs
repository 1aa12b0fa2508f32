//! Checks in the servers' own protocols against the servers themselves: PostgreSQL, MariaDB, Redis, OpenLDAP and Exim,
//! each once as it should be and once as it refuses; then all of them stop, go on and die. HAProxy sits beside.

use crate::cluster::{PATIENCE, binary};
use crate::host::Host;
use crate::mysql::{SMALL, install};
use crate::support::place::{TempDir, wait_until};

const DEFAULTS: &str = "defaults\n mode tcp\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n \
    timeout check 2s\nfrontend f\n bind 127.0.0.1:PORT\n";

const EXIM: &str = "primary_hostname = mail.lab
spool_directory = ROOT/spool
log_file_path = ROOT/spool/%slog
acl_smtp_connect = connect
begin acl
connect:
 deny condition = ${if eq{$received_port}{26}}
  message = no mail from you
 accept
";

/// Nobody's PostgreSQL, two Redis and two OpenLDAP of which the second wants to know who asks, and an Exim with a port
/// at which nobody is welcome.
const START: &str = r#"set -e
cd ROOT
echo "create user 'check'@'%';" >> users.sql
TMPDIR=ROOT/base.tmp setsid mariadbd SMALL --user=root --datadir=ROOT/base --socket=ROOT/sock --pid-file=ROOT/pid \
    --init-file=ROOT/users.sql > mariadb.log 2>&1 &
nobody="setpriv --reuid=nobody --regid=nogroup --clear-groups"
PATH="$PATH:$(echo /usr/lib/postgresql/*/bin)"
install -d -o nobody -g nogroup postgres
$nobody initdb -D ROOT/postgres/data -U lab --auth=trust --no-sync > initdb.log 2>&1
printf 'host all locked all reject\nhost all hashed all scram-sha-256\nhost all all all trust\n' \
    > postgres/data/pg_hba.conf
setsid $nobody postgres -D ROOT/postgres/data -c unix_socket_directories= -c listen_addresses=127.0.0.1 \
    -c fsync=off > postgres.log 2>&1 &
setsid redis-server --port 6379 --save '' --dir ROOT > redis.log 2>&1 &
setsid redis-server --port 6380 --save '' --dir ROOT --requirepass secret > redis2.log 2>&1 &
echo 'include /etc/ldap/schema/core.schema' > open.conf
printf 'include /etc/ldap/schema/core.schema\ndisallow bind_anon\n' > closed.conf
setsid slapd -f open.conf -h ldap://127.0.0.1:389 -d 0 > slapd.log 2>&1 &
setsid slapd -f closed.conf -h ldap://127.0.0.1:390 -d 0 > slapd2.log 2>&1 &
install -d -o Debian-exim -g Debian-exim spool
chmod 644 exim.conf
setsid exim4 -C ROOT/exim.conf -bdf -oX '<; [127.0.0.1]:25; [127.0.0.1]:26' -oP ROOT/spool/exim.pid > exim.log 2>&1 &
"#;

/// What all of them run as.
const PROGRAMS: &str = "mariadbd postgres redis-server slapd exim4";

/// A backend: its name, its check, the server's port, and what the check says of the server as it is.
type Case = (&'static str, &'static str, u16, &'static str);

const CASES: &[Case] = &[
    ("pgsql", "option pgsql-check user lab", 5432, "L7OK/0 PostgreSQL server is ok"),
    ("pgsql_hashed", "option pgsql-check user hashed", 5432, "L7OK/0 PostgreSQL server is ok"),
    ("pgsql_locked", "option pgsql-check user locked", 5432, "L7RSP FATAL"),
    ("mysql", "option mysql-check user check", 3306, "L7OK/0 "),
    ("mysql_greeting", "option mysql-check", 3306, "L7OK/0 "),
    ("mysql_stranger", "option mysql-check user stranger", 3306, "L7STS/1045 #28000Access denied for user 'stranger'"),
    ("mysql_old", "option mysql-check user check pre-41", 3306, ""),
    ("redis", "option redis-check", 6379, "L7OK/0 Redis server is ok"),
    ("redis_locked", "option redis-check", 6380, "L7TOUT"),
    ("ldap", "option ldap-check", 389, "L7OK/0 "),
    ("ldap_closed", "option ldap-check", 390, "L7STS/48 See RFC: http://tools.ietf.org/html/rfc4511#section-4.1.9"),
    ("smtp", "option smtpchk EHLO lab", 25, "L7OK/221 mail.lab closing connection"),
    ("smtp_plain", "option smtpchk", 25, "L7OK/221 mail.lab closing connection"),
    ("smtp_closed", "option smtpchk", 26, "L7STS/550 no mail from you"),
    ("smtp_is_not_redis", "option redis-check", 25, "L7TOUT"),
    ("redis_is_not_smtp", "option smtpchk", 6379, "L7TOUT"),
    ("ldap_is_not_tls", "option ssl-hello-chk", 389, "L6RSP"),
    ("postgres_is_not_ldap", "option ldap-check", 5432, ""),
];

/// The host that all of this runs in.
struct Site {
    host: Host,
    folder: TempDir,
}

impl Site {
    fn start() -> Result<Site, String> {
        let folder = TempDir::new("services").map_err(|error| format!("temporary: {error}"))?;
        let site = Site { host: Host::start("services")?, folder };
        let root = site.root();
        install(&site.host, &root)?;
        site.write("exim.conf", &EXIM.replace("ROOT", &root))?;
        site.host.shell(&format!("chmod 755 {root}"))?;
        site.host.shell(&START.replace("ROOT", &root).replace("SMALL", SMALL))?;
        site.proxy("epoxy", &binary().display().to_string(), 8001)?;
        site.proxy("haproxy", "/usr/sbin/haproxy", 8002)?;
        Ok(site)
    }

    fn root(&self) -> String {
        self.folder.path().display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        std::fs::write(self.folder.path().join(name), text).map_err(|error| format!("{name}: {error}"))
    }

    /// Starts a proxy that checks all of them.
    fn proxy(&self, name: &str, program: &str, port: u16) -> Result<(), String> {
        let root = self.root();
        let mut text =
            format!("global\n stats socket {root}/{name}.sock\n{DEFAULTS}").replace("PORT", &port.to_string());
        for (backend, check, port, _) in CASES {
            text +=
                &format!("backend {backend}\n {check}\n server s 127.0.0.1:{port} check inter 500ms rise 1 fall 1\n");
        }
        self.write(&format!("{name}.cfg"), &text)?;
        self.host.shell(&format!("{program} -D -f {root}/{name}.cfg")).map(drop)
    }

    /// What a proxy says of each case: `L7STS/48 words`.
    fn verdicts(&self, proxy: &str) -> Result<Vec<String>, String> {
        let csv = self.host.shell(&format!("echo 'show stat' | socat -t 5 - UNIX:{}/{proxy}.sock", self.root()))?;
        let names: Vec<&str> = csv.lines().next().unwrap_or_default().trim_start_matches("# ").split(',').collect();
        let verdict = |backend: &str| {
            let line = csv.lines().find(|line| line.starts_with(&format!("{backend},s,")))?;
            let field = |name: &str| line.split(',').nth(names.iter().position(|known| *known == name)?);
            let code = Some(field("check_code")?).filter(|code| !code.is_empty());
            let code = code.map(|code| format!("/{code}")).unwrap_or_default();
            Some(format!("{}{code} {}", field("check_status")?.trim_start_matches("* "), field("last_chk")?))
        };
        CASES.iter().map(|case| verdict(case.0).ok_or_else(|| format!("no {} in:\n{csv}", case.0))).collect()
    }

    /// Waits until a proxy says of each server what `expected` does.
    fn wait(&self, what: &str, proxy: &str, expected: impl Fn(&Case, &str) -> bool) -> Result<Vec<String>, String> {
        let mut seen = Err("nothing".to_owned());
        let done = wait_until(PATIENCE * 3, || {
            seen = self.verdicts(proxy);
            let is_expected = |seen: &Vec<String>| CASES.iter().zip(seen).all(|(case, seen)| expected(case, seen));
            seen.as_ref().is_ok_and(is_expected)
        });
        let seen = seen?;
        let odd = CASES.iter().zip(&seen).filter(|(case, seen)| !expected(case, seen));
        let odd: Vec<String> =
            odd.map(|(case, seen)| format!("{}: '{seen}' instead of '{}'", case.0, case.3)).collect();
        if done { Ok(seen) } else { Err(format!("{what}, {proxy}: {}", odd.join("; "))) }
    }

    /// Both proxies see each server as it is, in the same words.
    fn are_as_they_are(&self, what: &str) -> Result<(), String> {
        // The second condition is for what only HAProxy knows.
        let as_told = |case: &Case, seen: &str| seen.starts_with(case.3) && seen.starts_with('L') && !is_away(seen);
        let theirs = self.wait(what, "haproxy", as_told)?;
        self.wait(what, "epoxy", |case, seen| {
            let at = CASES.iter().position(|other| other.0 == case.0).unwrap_or_default();
            as_told(case, seen) && seen == theirs[at]
        })
        .map(drop)
    }

    /// Some may be gone by the time that their parent is.
    fn signal(&self, signal: &str) -> Result<(), String> {
        self.host.shell(&format!("kill -{signal} $(pidof {PROGRAMS}) || true")).map(drop)
    }
}

/// Nobody listens, or nobody answers what always does.
fn is_away(verdict: &str) -> bool {
    verdict.starts_with("L4")
}

/// Healthy, refusing, wrong; silent; back; gone.
pub fn checked() -> Result<(), String> {
    let site = Site::start()?;
    site.are_as_they_are("as they are")?;
    site.signal("STOP")?;
    for proxy in ["haproxy", "epoxy"] {
        // Those that have stopped are connected to until their queues are full.
        site.wait("stopped", proxy, |_, seen| {
            seen.starts_with("L7TOUT") || seen.starts_with("L6TOUT") || is_away(seen)
        })?;
    }
    site.signal("CONT")?;
    site.are_as_they_are("going on")?;
    site.signal("KILL")?;
    for proxy in ["haproxy", "epoxy"] {
        site.wait("killed", proxy, |_, seen| seen == "L4CON Connection refused")?;
    }
    Ok(())
}
