//! Dependencies point down the list of layers that ARCHITECTURE.md states, but for the exceptions that it
//! states too.

use std::collections::BTreeSet;

use super::source::{Source, root};

/// The order of the layers, top first, and the exceptions: `from` may name `to` although it stands below.
struct Order {
    layers: Vec<String>,
    exceptions: Vec<(String, String)>,
}

impl Order {
    /// As ARCHITECTURE.md states them: the first block fenced as `layers`, each line with the layers' names
    /// before two blanks; and the rows of the table headed `| From | To |`.
    fn stated() -> Order {
        let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
        let (_, block) = text.split_once("```layers\n").expect("a block fenced as layers");
        let (block, rest) = block.split_once("```").expect("its end");
        let names = |line: &str| line.split("  ").next().unwrap_or_default().to_owned();
        let layers = block.lines().map(names).flat_map(|line| line.split(' ').map(base).collect::<Vec<_>>()).collect();
        let (_, table) = rest.split_once("| From | To |").expect("the table of exceptions");
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let exceptions = rows
            .map(|row| {
                let mut cells = row.split('|').map(|cell| cell.trim().trim_matches('`'));
                let mut next = || cells.nth(0).unwrap_or_default();
                next();
                (base(next()), base(next()))
            })
            .collect();
        Order { layers, exceptions }
    }

    /// Places from the top; none for what is no layer.
    fn place(&self, layer: &str) -> Option<usize> {
        self.layers.iter().position(|name| name == layer)
    }

    fn allows(&self, from: &str, to: &str) -> bool {
        self.exceptions.iter().any(|(f, t)| f == from && t == to)
    }
}

#[test]
fn dependencies_point_down() {
    let order = Order::stated();
    let mut wrong = Vec::new();
    for source in Source::program() {
        let from = layer_of(&source.path);
        let Some(above) = order.place(&from) else { panic!("ARCHITECTURE.md does not place {from}") };
        for (at, to) in uses(&source) {
            let below = order.place(&to).is_some_and(|place| place > above);
            if to != from && !below && !order.allows(&from, &to) {
                wrong.push(format!("{}:{}: {from} -> {to}", source.path, at + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "these point up: {wrong:#?}");
}

#[test]
fn every_layer_and_every_exception_exists() {
    let order = Order::stated();
    let mut layers = BTreeSet::new();
    let mut dependencies = BTreeSet::new();
    for source in Source::program() {
        let from = layer_of(&source.path);
        dependencies.extend(uses(&source).into_iter().map(|(_, to)| (from.clone(), to)));
        layers.insert(from);
    }
    let stale: Vec<_> = order.layers.iter().filter(|layer| !layers.contains(*layer)).collect();
    assert!(stale.is_empty(), "stated, but not there: {stale:?}");
    let unused: Vec<_> = order.exceptions.iter().filter(|pair| !dependencies.contains(pair)).collect();
    assert!(unused.is_empty(), "exceptions that nothing needs any more: {unused:?}");
}

/// The layer of a file: its folder or its own name below `src`.
fn layer_of(path: &str) -> String {
    base(path.trim_start_matches("src/").split('/').next().unwrap_or_default())
}

/// `session/`, `args.rs` and `crate` paths have one name.
fn base(name: &str) -> String {
    name.trim_end_matches('/').trim_end_matches(".rs").to_owned()
}

/// Line and layer of each path that starts at the crate. The library's root names its layers without `crate`.
fn uses(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let lines = source.program_lines();
    for (at, line) in &lines {
        for start in ["crate::", "epoxy::"] {
            for (position, _) in line.match_indices(start) {
                let after = &line[position + start.len()..];
                assert!(!after.starts_with('{'), "{}:{}: one `use` a layer, please", source.path, at + 1);
                let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                // `crate::Name` is an item of the root itself.
                if name.starts_with(|c: char| c.is_lowercase()) && name != "run" {
                    found.push((*at, name));
                }
            }
        }
    }
    found
}
