//! The algorithms against sequences recorded from HAProxy 2.6 (`recorded.txt`).

use std::collections::HashMap;

use super::*;
use crate::proxy::HashType;

/// A balancer played by the words of a script, with the connections it is holding.
struct Player {
    balancer: Balancer,
    weights: Vec<u32>,
    configured: Vec<u32>,
    usable: Vec<bool>,
    held: HashMap<char, u32>,
    load: Vec<u32>,
}

fn letter(server: Option<u32>) -> char {
    server.map_or('.', |server| char::from(b'a' + server as u8))
}

fn server(letter: char) -> usize {
    usize::from(letter as u8 - b'a')
}

impl Player {
    /// `servers`: weights, with `b` before a backup's and `x` behind a disabled server's.
    fn new(algorithm: &str, servers: &str) -> Player {
        let member = |(index, word): (usize, &str)| Member {
            id: index as u32 + 1,
            weight: Weight::configured(word.trim_matches(['b', 'x']).parse().unwrap()),
            usable: !word.ends_with('x'),
            backup: word.starts_with('b'),
        };
        let members: Vec<Member> = servers.split_whitespace().enumerate().map(member).collect();
        let (algorithm, all) = match algorithm.strip_suffix("+all") {
            Some(algorithm) => (algorithm, true),
            None => (algorithm, false),
        };
        let weights: Vec<u32> = members.iter().map(|member| member.weight.0 / 16).collect();
        Player {
            usable: members.iter().map(|member| member.usable).collect(),
            configured: weights.clone(),
            weights,
            held: HashMap::new(),
            load: vec![0; members.len()],
            balancer: match algorithm {
                "roundrobin" => Balancer::round_robin(members, all),
                "static-rr" => Balancer::static_rr(members, all),
                "leastconn" => Balancer::least_conn(members, all),
                "source" => Balancer::map(members, all),
                other => panic!("{other}"),
            },
        }
    }

    fn pick(&mut self) -> Option<u32> {
        self.balancer.pick(Wish::default(), |_| true)
    }

    fn add_load(&mut self, server: u32, by: i32) {
        let load = &mut self.load[server as usize];
        *load = load.checked_add_signed(by).unwrap();
        self.balancer.set_load(server, *load);
    }

    /// `12` picks that often; `(xy` opens connections of these names, `)xy` closes them; `-a` takes a
    /// server down, `+a` up; `a=5` sets its weight. What was picked comes back as letters.
    fn play(&mut self, word: &str) -> Option<String> {
        let mut letters = word.chars();
        match letters.next().unwrap() {
            '0'..='9' => return Some((0..word.parse().unwrap()).map(|_| letter(self.pick())).collect()),
            '(' => {
                let open = |name| {
                    let picked = self.pick();
                    if let Some(server) = picked {
                        self.held.insert(name, server);
                        self.add_load(server, 1);
                    }
                    letter(picked)
                };
                return Some(letters.map(open).collect());
            }
            ')' => letters.for_each(|name| {
                if let Some(server) = self.held.remove(&name) {
                    self.add_load(server, -1);
                }
            }),
            '+' => self.change(server(letters.next().unwrap()), None, Some(true)),
            '-' => self.change(server(letters.next().unwrap()), None, Some(false)),
            name => {
                let server = server(name);
                let weight = match &word[2..] {
                    "100%" => self.configured[server],
                    "0%" => 0,
                    weight => weight.parse().unwrap(),
                };
                self.change(server, Some(weight), None);
            }
        }
        None
    }

    fn change(&mut self, server: usize, weight: Option<u32>, usable: Option<bool>) {
        self.weights[server] = weight.unwrap_or(self.weights[server]);
        self.usable[server] = usable.unwrap_or(self.usable[server]);
        self.balancer.update(server as u32, Weight::configured(self.weights[server]), self.usable[server]);
    }
}

#[test]
fn servers_are_picked_in_the_order_of_haproxy() {
    let recorded = match std::env::var("EPOXY_RECORDED") {
        Ok(path) => std::fs::read_to_string(path).unwrap(),
        Err(_) => include_str!("recorded.txt").to_string(),
    };
    let mut failures = Vec::new();
    for line in recorded.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let [algorithm, servers, script, expected] = fields[..] else { panic!("{line}") };
        let mut player = Player::new(algorithm, servers);
        let picked: Vec<String> = script.split_whitespace().filter_map(|word| player.play(word)).collect();
        let picked = picked.join(" ");
        if picked != expected {
            failures.push(format!("{algorithm} | {servers} | {script}\n  expected {expected}\n  picked   {picked}"));
        }
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

/// Addresses and where HAProxy sent them; the second half of a record is with server b down.
const SOURCES: &str = "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6 10.0.0.7 10.0.0.8 10.0.0.9 10.0.0.10 \
    10.0.0.11 160.66.190.92 204.177.242.216 190.167.237.136 8.216.120.199 242.64.167.14 231.41.29.96 121.223.64.98 \
    140.27.147.64 4.188.56.105 72.47.235.223 197.100.41.196 205.19.36.159 159.114.33.34 1.249.224.2 54.199.56.246 \
    43.224.43.75 81.247.51.139 225.174.161.53 47.241.248.177 51.248.248.229 2001:db8::1 2001:db8::2 2001:db8::3 \
    2001:db8::4 2001:db8::5 2001:db8::6 2001:db8::7 2001:db8::8 2001:db8::9 c498:bb8:d454:4a87:21a9:9a01:ad21:9eb5 \
    9cf6:a15e:f6f1:5a1d:830b:b7ce:9d6:bbc0 4e7:175c:643c:7dec:b0b5:80ec:37bc:9712 \
    dd2e:6aae:b94b:ae8d:2f9f:a29c:5a28:4c9e f752:1829:cf10:79b0:80e9:d74a:1c10:fcab \
    6a42:43d3:3656:debe:4c1e:d796:48e8:56e8 f9a2:f58c:95f0:ce4b:39c1:5bff:ad5c:2dfb \
    8bb8:20b6:119c:ba8f:f887:96ae:5b05:f280 a68c:ed93:b6b2:8cb0:d1b3:58e6:baab:4855 \
    65b9:f490:28d5:57d7:9a8a:e64:51e1:5c70 5c15:f173:541b:4438:a25c:f763:12d4:eeb3 \
    c224:6879:bf00:b3cf:8ed1:3abf:129a:3097";

#[test]
fn a_source_address_points_at_haproxys_server() {
    let recorded = [
        (
            "1 1 1",
            false,
            "cabcabcabcabcbabbcacbacbcabcbccabcabcaababcccbbcbaab \
         cacacacacacaaacaaaaccacaaaccccccacacacacccacacccacca",
        ),
        (
            "1 2 5 3",
            false,
            "dccdabcdcbcdcaccccdbccadbacbcdcccdabcddaacaaddcbdddb \
         dccdccdacdccdccccdadccdcdacdcddccdacdcccccdddccdcccc",
        ),
        (
            "1 1 1",
            true,
            "accaabcbcbcccbccacbccaaabaaaccaacccababacaaabcabcbca \
         aaacaccacaaacccaccaccaaaaaaaaccaaccaacccaccaaaacacac",
        ),
        (
            "1 2 5 3",
            true,
            "bccdcbcdcaacbacbddcccccbdacdccccbcbddcbbcccbcdcbbcbd \
         cddcccdcdcdddcddcdcddaaccaccddacdddccaccdcaacdccdcdc",
        ),
    ];
    for (servers, avalanche, expected) in recorded {
        let mut player = Player::new("source", servers);
        let all = |player: &mut Player| -> String {
            let hash =
                |address: &str| source_hash(address.parse().unwrap(), HashType { avalanche, ..HashType::default() });
            let wishes =
                SOURCES.split_whitespace().map(|address| Wish { hash: Some(hash(address)), ..Wish::default() });
            wishes.map(|wish| letter(player.balancer.pick(wish, |_| true))).collect()
        };
        let whole = all(&mut player);
        player.change(1, None, Some(false));
        assert_eq!(whole + " " + &all(&mut player), expected, "{servers}");
    }
}

#[test]
fn the_server_to_avoid_comes_only_when_alone() {
    for algorithm in ["roundrobin", "static-rr", "leastconn"] {
        let mut player = Player::new(algorithm, "1 1");
        let wish = Wish { avoid: Some(0), ..Wish::default() };
        assert_eq!(player.balancer.pick(wish, |_| true), Some(1), "{algorithm}");
        assert_eq!(player.balancer.pick(wish, |_| true), Some(1), "{algorithm}");
        assert_eq!(player.balancer.pick(wish, |server| server == 0), Some(0), "{algorithm}");
        assert_eq!(player.balancer.pick(wish, |_| false), None, "{algorithm}");
        assert!(player.balancer.pick(Wish::default(), |_| true).is_some(), "{algorithm}");
    }
}

#[test]
fn a_hash_and_a_single_backup_have_one_answer_even_without_room() {
    let mut hash = Player::new("source", "1 1");
    assert_eq!(hash.balancer.pick(Wish { hash: Some(3), ..Wish::default() }, |_| false), Some(1));
    for algorithm in ["roundrobin", "leastconn"] {
        let mut backups = Player::new(algorithm, "1x b1 b1");
        assert_eq!(backups.balancer.pick(Wish::default(), |_| false), Some(1), "{algorithm}");
    }
}

#[test]
fn two_thousand_servers_share_by_weight() {
    let weights: Vec<String> = (0..2000).map(|n| (n % 4 + 1).to_string()).collect();
    for algorithm in ["roundrobin", "static-rr"] {
        let mut player = Player::new(algorithm, &weights.join(" "));
        let mut picks = vec![0u32; 2000];
        for _ in 0..5000 * 16 {
            picks[player.pick().unwrap() as usize] += 1;
        }
        assert!(picks.iter().enumerate().all(|(n, &count)| count == (n as u32 % 4 + 1) * 16), "{algorithm}");
    }
}

/// Three primaries of weight 1, 2 and 1 with ids that are not in order.
fn three() -> Vec<Member> {
    let member = |(id, weight)| Member { id, weight: Weight::configured(weight), usable: true, backup: false };
    [(9, 1), (2, 2), (5, 1)].map(member).into()
}

#[test]
fn a_ring_moves_only_the_keys_of_the_server_that_leaves() {
    let mut ring = Balancer::ring(three(), false, 0);
    let all = |ring: &mut Balancer| -> Vec<Option<u32>> {
        let hashes = (0..2000u32).map(|n| n.wrapping_mul(0x9e37_79b9));
        hashes.map(|hash| ring.pick(Wish { hash: Some(hash), ..Wish::default() }, |_| true)).collect()
    };
    let before = all(&mut ring);
    ring.update(1, Weight::configured(2), false);
    let without = all(&mut ring);
    assert!(before.iter().zip(&without).all(|(before, after)| *before == Some(1) || before == after));
    assert!(!without.contains(&Some(1)));
}

#[test]
fn a_balance_factor_bounds_what_one_server_gets() {
    let mut ring = Balancer::ring(three(), false, 125);
    let mut loads = [0u32; 3];
    for _ in 0..400 {
        let wish = Wish { hash: Some(77), ..Wish::default() };
        let server = ring.pick(wish, |_| true).expect("a server");
        loads[server as usize] += 1;
        ring.set_load(server, loads[server as usize]);
    }
    assert!(loads[0] <= 126 && loads[1] <= 251 && loads[2] <= 126, "{loads:?}");
}

#[test]
fn random_draws_by_weight_and_prefers_the_less_loaded() {
    for (draws, loaded) in [(1, 0), (2, 1000)] {
        let mut random = Balancer::random(three(), false, draws, 0);
        random.set_load(0, loaded);
        let mut picks = [0u32; 3];
        for n in 0..4000 {
            let wish = Wish { random: n, ..Wish::default() };
            picks[random.pick(wish, |_| true).expect("a server") as usize] += 1;
        }
        let expected = if draws == 1 { 500..1500 } else { 0..600 };
        assert!(expected.contains(&picks[0]) && picks[1] > picks[2], "{draws} draws: {picks:?}");
    }
}

#[test]
fn first_goes_by_id_and_by_room() {
    let mut first = Balancer::first(three(), false);
    assert_eq!(first.pick(Wish::default(), |_| true), Some(1));
    assert_eq!(first.pick(Wish::default(), |server| server != 1), Some(2));
    assert_eq!(first.pick(Wish { avoid: Some(1), ..Wish::default() }, |_| true), Some(2));
    assert_eq!(first.pick(Wish::default(), |_| false), None);
}

#[test]
fn counts_that_follow_each_change_are_those_of_a_new_farm() {
    let member = |number: u32| Member {
        id: number,
        weight: Weight(number / 3 % 3),
        usable: !(number / 9).is_multiple_of(4),
        backup: !number.is_multiple_of(3),
    };
    let members: Vec<Member> = (0..7).map(member).collect();
    let mut farm = farm::Farm::new(members.clone(), false);
    let mut now = members;
    for step in 0..2000u32 {
        let seat = step * 5 % 7;
        let Member { weight, usable, .. } = member(step.wrapping_mul(0x9e37_79b1) >> 16);
        let after = Member { weight, usable, ..now[seat as usize] };
        now[seat as usize] = after;
        farm.set(seat, after);
        let fresh = farm::Farm::new(now.clone(), false);
        assert_eq!(farm.usable_counts(), fresh.usable_counts(), "step {step}");
        assert_eq!(farm.single_backup(), fresh.single_backup(), "step {step}");
    }
}
