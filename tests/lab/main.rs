//! Labs in network namespaces. The configurations of the documents as they stand, with their addresses: that of
//! the two-node document with two real Apache nodes, rsyslog and socat; the others in front of nginx and MariaDB.
//! Checks against the servers whose protocols they speak.
//! And what contrib has for more than one director: the keepalived pair, anycast by BGP, directors behind IPVS, a
//! node of Kubernetes.
//!
//! Each test builds a lab of its own, so they run side by side and leave nothing behind. They need
//! root, namespaces and a few Debian packages; where these are missing they are reported as ignored,
//! with the reason. `EPOXY_BIN` names another program to test, such as Debian's haproxy.

mod affinity;
mod annotated;
mod cluster;
mod conditions;
mod director;
mod distribution;
mod dns;
mod document;
mod ecmp;
mod failure;
mod fast_open;
mod files;
mod forward;
mod host;
mod init;
mod ipvs;
mod kubernetes;
mod load;
mod machine;
mod mysql;
mod namespaces;
mod nginx;
mod pair;
mod resolvers;
mod services;
mod smtp;
mod source;
#[path = "../support/mod.rs"]
mod support;
mod syslog;
mod verdict;
mod web;

use std::{env, fs};

use libtest_mimic::{Arguments, Failed, Trial};

use cluster::Lab;
use host::{Host, Switch};

/// Name and body of a test.
type Scenario = (&'static str, fn() -> Result<(), String>);

/// Tests, and what they need.
struct Family {
    /// Programs that it runs.
    programs: &'static [&'static str],
    scenarios: &'static [Scenario],
}

const FAMILIES: &[Family] = &[
    Family {
        programs: &["curl", "socat", "wrk", "apache2", "rsyslogd", "haproxy"],
        scenarios: &[
            ("the_documents_transcript_step_by_step", || on_lab(document::transcript)),
            ("the_daemon_is_chrooted_and_unprivileged", || on_lab(document::daemon)),
            ("nodes_and_log_see_what_the_document_configures", || on_lab(document::headers_and_log)),
            ("disabling_every_server_logs_and_gives_503", || on_lab(document::last_server)),
            ("requests_in_flight_get_502_when_their_node_dies", || on_lab(failure::in_flight)),
            ("a_dead_node_fails_no_request_once_it_is_down_and_returns", || on_lab(failure::death_and_return)),
        ],
    },
    Family {
        programs: &["curl", "socat", "nginx", "rsyslogd", "killall"],
        scenarios: &[
            ("the_distributions_example_serves", distribution::serves),
            ("the_distributions_example_is_a_daemon_with_checks", distribution::process),
            ("the_distributions_example_is_restarted_smoothly_and_killed", distribution::is_operated),
            ("the_example_of_conditions_chooses_backends", conditions::choose),
            ("the_annotated_example_is_a_daemon_with_two_logs", annotated::process),
            ("the_annotated_example_routes_blocks_and_redirects", annotated::routes),
            ("the_annotated_example_keeps_clients_by_the_nodes_cookie", annotated::keeps),
            ("the_annotated_example_watches_its_sites", annotated::watches),
            ("the_annotated_example_is_administrated", annotated::administrates),
            ("the_annotated_example_has_its_error_pages_and_captures", annotated::pages),
            ("a_client_is_kept_by_a_cookie", affinity::by_cookie),
            ("a_client_is_kept_by_its_address", affinity::by_source),
            ("a_client_is_kept_by_its_session", affinity::by_session),
            ("the_example_of_affinity_has_its_statistics", affinity::statistics),
            ("the_forward_proxy_fetches_and_refuses", forward::fetches),
            ("the_forward_proxy_has_four_workers", forward::process),
            ("the_directors_statistics_have_a_password", mysql::statistics),
            ("rsyslog_gets_the_lines_that_the_document_shows", syslog::lines),
        ],
    },
    Family {
        programs: &["curl", "socat", "nginx", "rsyslogd", "ab", "wrk"],
        scenarios: &[("the_documents_load_test_succeeds", affinity::under_load)],
    },
    Family {
        programs: &["curl", "rsyslogd", "mariadbd", "mariadb", "mariadb-install-db"],
        scenarios: &[("real_databases_are_balanced_at_layer_four", mysql::serves)],
    },
    Family {
        programs: &[
            "haproxy",
            "socat",
            "pidof",
            "setpriv",
            "mariadbd",
            "mariadb-install-db",
            "pg_createcluster",
            "redis-server",
            "slapd",
            "exim4",
        ],
        scenarios: &[("servers_are_checked_in_their_own_protocols", services::checked)],
    },
    Family {
        programs: &["curl", "socat", "keepalived"],
        scenarios: &[
            ("the_pairs_address_moves_when_epoxy_dies_and_back_when_the_other_does", pair::dies),
            ("the_pairs_address_moves_when_epoxy_hangs_and_is_taken_back", pair::hangs_and_takes_back),
            ("the_pairs_address_moves_when_a_director_vanishes", pair::vanishes),
            ("the_pairs_address_moves_when_the_master_is_killed_with_its_keepalived", pair::killed),
            ("the_pairs_address_moves_when_the_cable_is_pulled_and_comes_back", pair::unplugged),
            ("the_pairs_address_moves_as_the_document_says", pair::as_the_document_says),
        ],
    },
    Family {
        programs: &["haproxy", "keepalived", "socat", "python3"],
        scenarios: &[("the_directors_changes_are_mailed", pair::mails)],
    },
    Family {
        programs: &["haproxy", "rsyslogd", "curl", "killall", "pidof", "ps"],
        scenarios: &[
            ("the_init_script_does_what_it_says", init::lifecycle),
            ("the_init_script_reloads_without_a_loss", init::reloads_under_load),
            ("supervisor_and_workers_are_found_by_name", init::workers_have_the_name),
            ("a_master_is_found_by_name_after_reloads", init::the_master_keeps_the_name),
        ],
    },
    Family {
        programs: &["haproxy", "rsyslogd", "curl", "socat", "logrotate"],
        scenarios: &[
            ("the_snippet_for_rsyslog_sorts_lines", files::rsyslog),
            ("the_snippet_for_logrotate_loses_no_line", files::logrotate),
        ],
    },
    Family { programs: &["sysctl"], scenarios: &[("the_settings_for_the_kernel_are_known_to_it", files::sysctl)] },
    Family {
        programs: &["socat", "bird", "birdc"],
        scenarios: &[
            ("the_route_to_a_director_goes_when_it_is_drained_or_dead", ecmp::drains_and_dies),
            ("the_route_to_a_director_goes_before_it_stops_softly", ecmp::stops_softly),
            ("the_route_to_a_director_goes_when_nobody_watches_it_or_it_vanishes", ecmp::vanishes),
        ],
    },
    Family {
        programs: &["curl", "keepalived", "sysctl"],
        scenarios: &[("directors_behind_ipvs_are_silent_and_serve", ipvs::directors)],
    },
    Family {
        programs: &["curl", "python3"],
        scenarios: &[
            ("servers_see_clients_by_their_own_addresses", source::transparent),
            ("several_addresses_have_ports_when_one_has_none", source::ports),
        ],
    },
    Family {
        programs: &["curl", "dnsmasq"],
        scenarios: &[
            ("servers_follow_a_name_that_moves_vanishes_and_returns", resolvers::names_move),
            ("a_service_fills_a_template_and_empties_it", resolvers::services_fill_a_template),
            ("a_forward_proxy_asks_for_the_hosts_of_requests", resolvers::names_of_requests),
            ("every_fourth_datagram_lost_changes_nothing", resolvers::losses_change_nothing),
        ],
    },
    Family {
        programs: &["curl", "awk"],
        scenarios: &[("requests_go_with_the_packets_that_ask_for_connections", fast_open::requests)],
    },
    Family {
        programs: &["curl", "ss"],
        scenarios: &[
            ("servers_and_addresses_are_in_namespaces", namespaces::reached),
            ("a_master_that_gave_namespaces_up_says_so", namespaces::given_up),
        ],
    },
    Family {
        programs: &["curl", "setpriv"],
        scenarios: &[("a_pods_reloads_and_pre_stop_hook_lose_no_request", kubernetes::drains)],
    },
];

fn on_lab(scenario: fn(&Lab) -> Result<(), String>) -> Result<(), String> {
    scenario(&Lab::start()?)
}

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(3));
    let general = obstacle();
    let mut trials = Vec::new();
    for family in FAMILIES {
        let obstacle = general.clone().or_else(|| missing(family.programs));
        for &(name, scenario) in family.scenarios {
            let trial = Trial::test(name, move || scenario().map_err(Failed::from));
            trials.push(match &obstacle {
                // The kind is printed before the name: it says why the test does not run.
                Some(obstacle) => trial.with_ignored_flag(true).with_kind(format!("needs {obstacle}")),
                None => trial,
            });
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// What keeps all labs from running on this machine, if anything does.
fn obstacle() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("root".into());
    }
    if let Some(program) = missing(&["unshare", "nsenter", "ip"]) {
        return Some(program);
    }
    // From Debian's package: the user of the configuration, and folders to mount over.
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    if !users.lines().any(|line| line.starts_with("haproxy:")) {
        return Some("the user haproxy".into());
    }
    let trial = Switch::start().and_then(|switch| {
        let host = Host::start("trial")?;
        switch.plug(&host, cluster::CLIENT)?;
        host.shell("mount --bind /var/lib/haproxy /etc/haproxy").map(drop)
    });
    trial.err().map(|error| format!("namespaces ({error})"))
}

/// The first of `programs` that this machine does not have.
fn missing(programs: &[&str]) -> Option<String> {
    let path = env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let there =
        |program: &str| path.split(':').any(|folder| fs::exists(format!("{folder}/{program}")).unwrap_or(false));
    programs.iter().find(|program| !there(program)).map(|program| format!("the program {program}"))
}

/// An error that shows what was expected and what was there.
pub fn expect<T: PartialEq + std::fmt::Debug>(what: &str, got: T, want: T) -> Result<(), String> {
    if got == want { Ok(()) } else { Err(format!("{what}: got {got:?}, expected {want:?}")) }
}

/// An error that shows the text in which something was expected.
pub fn expect_in(what: &str, text: &str, part: &str) -> Result<(), String> {
    if text.contains(part) { Ok(()) } else { Err(format!("{what}: no '{part}' in:\n{text}")) }
}
