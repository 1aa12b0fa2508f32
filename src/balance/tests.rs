//! The algorithms against sequences recorded from HAProxy 2.6 (`recorded.txt`).

use std::collections::HashMap;

use super::*;

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
        let member = |word: &str| Member {
            weight: Weight::configured(word.trim_matches(['b', 'x']).parse().unwrap()),
            usable: !word.ends_with('x'),
            backup: word.starts_with('b'),
        };
        let members: Vec<Member> = servers.split_whitespace().map(member).collect();
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
                "source" => Balancer::hash(members, all),
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
