//! A hierarchical timer wheel over milliseconds: every deadline of a worker waits here.
//!
//! There is no cancel. An owner remembers the earliest tick it is armed for; when an item comes out it
//! looks at its real deadline, and either acts, arms itself again for later, or ignores a stale item.
//! So activity on a connection costs a store and not a timer operation.
//!
//! Level `l` has 64 slots of `64^l` ms. An item waits on the level of the highest digit (base 64) in
//! which its deadline differs from the present, so that slots never wrap, the lowest occupied level
//! always holds the nearest items, and an item moves down at most once a level. Eleven levels cover
//! all of `u64`: there is no far horizon to handle.

const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
const LEVELS: usize = 11;
const _: () = assert!(LEVELS as u32 * DIGIT_BITS >= u64::BITS);
const _: () = assert!(SLOTS == u64::BITS as usize, "a level's occupancy is one word");

/// The end of a list of nodes.
const NIL: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Node<T> {
    deadline_ms: u64,
    next: u32,
    item: T,
}

/// Items that come due, in the order of their deadlines.
///
/// `insert` is O(1), and the memory of delivered items is used again: in steady state nothing allocates.
pub struct Wheel<T: Copy> {
    /// The time up to which everything has been delivered.
    now_ms: u64,
    /// Bit `s` of `occupied[l]`: slot `s` of level `l` is not empty.
    occupied: [u64; LEVELS],
    slots: [[u32; SLOTS]; LEVELS],
    /// Items that were due already when they were inserted.
    overdue: u32,
    nodes: Vec<Node<T>>,
    free: u32,
    len: usize,
}

impl<T: Copy> Wheel<T> {
    /// An empty wheel at time `now_ms`.
    pub fn new(now_ms: u64) -> Self {
        Wheel {
            now_ms,
            occupied: [0; LEVELS],
            slots: [[NIL; SLOTS]; LEVELS],
            overdue: NIL,
            nodes: Vec::new(),
            free: NIL,
            len: 0,
        }
    }

    /// Arms `item` for `deadline_ms`. What is due already comes out of the next `advance`.
    pub fn insert(&mut self, deadline_ms: u64, item: T) {
        let node = Node { deadline_ms, next: NIL, item };
        let index = if self.free == NIL {
            assert!(self.nodes.len() < NIL as usize, "too many timers");
            self.nodes.push(node);
            (self.nodes.len() - 1) as u32
        } else {
            let index = self.free;
            self.free = self.nodes[index as usize].next;
            self.nodes[index as usize] = node;
            index
        };
        self.len += 1;
        self.link(index);
    }

    /// Moves to `now_ms` and appends every item with `deadline <= now_ms` to `due`, overdue ones first,
    /// then by deadline; items of the same millisecond come in no particular order. A `now_ms` in the
    /// past only delivers what is overdue.
    pub fn advance(&mut self, now_ms: u64, due: &mut Vec<T>) {
        let mut overdue = std::mem::replace(&mut self.overdue, NIL);
        while overdue != NIL {
            overdue = self.deliver(overdue, due);
        }
        while let Some((level, slot, start_ms)) = self.nearest() {
            if start_ms > now_ms {
                break;
            }
            // Slots start at or after the present, so this never steps back.
            self.now_ms = start_ms;
            self.occupied[level] &= !(1 << slot);
            let mut index = std::mem::replace(&mut self.slots[level][slot], NIL);
            while index != NIL {
                let Node { deadline_ms, next, .. } = self.nodes[index as usize];
                if deadline_ms == start_ms {
                    self.deliver(index, due);
                } else {
                    self.link(index);
                }
                index = next;
            }
        }
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// A time at or before the first deadline, and exact when that is less than 64 ms away; none when
    /// the wheel is empty. Meant for the timeout of the poll: waking then makes progress.
    pub fn next_deadline(&self) -> Option<u64> {
        if self.overdue != NIL {
            return Some(self.now_ms);
        }
        self.nearest().map(|(_, _, start_ms)| start_ms)
    }

    /// The number of items that wait, stale ones included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<T: Copy> Wheel<T> {
    /// Puts a node where its deadline belongs, seen from the present.
    fn link(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        if node.deadline_ms <= self.now_ms {
            node.next = self.overdue;
            self.overdue = index;
            return;
        }
        let (level, slot) = place(self.now_ms, node.deadline_ms);
        node.next = self.slots[level][slot];
        self.slots[level][slot] = index;
        self.occupied[level] |= 1 << slot;
    }

    /// Hands out a node's item, frees the node and gives the one after it.
    fn deliver(&mut self, index: u32, due: &mut Vec<T>) -> u32 {
        let node = &mut self.nodes[index as usize];
        due.push(node.item);
        let next = std::mem::replace(&mut node.next, self.free);
        self.free = index;
        self.len -= 1;
        next
    }

    /// The first occupied slot in time: level, slot and the time at which it starts.
    fn nearest(&self) -> Option<(usize, usize, u64)> {
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        let slot = self.occupied[level].trailing_zeros() as usize;
        let shift = level as u32 * DIGIT_BITS;
        let above = self.now_ms.checked_shr(shift + DIGIT_BITS).unwrap_or(0);
        let above = above.checked_shl(shift + DIGIT_BITS).unwrap_or(0);
        Some((level, slot, above | (slot as u64) << shift))
    }
}

/// Level and slot of a deadline that lies after `now_ms`.
fn place(now_ms: u64, deadline_ms: u64) -> (usize, usize) {
    debug_assert!(deadline_ms > now_ms);
    let highest_bit = (now_ms ^ deadline_ms).ilog2();
    let level = highest_bit / DIGIT_BITS;
    let slot = (deadline_ms >> (level * DIGIT_BITS)) as usize & (SLOTS - 1);
    (level as usize, slot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn advance(wheel: &mut Wheel<u32>, now_ms: u64) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.advance(now_ms, &mut due);
        due
    }

    #[test]
    fn items_come_out_at_their_deadline_and_not_before() {
        let mut wheel = Wheel::new(1_000);
        wheel.insert(1_005, 1);
        wheel.insert(31_000, 2);
        assert_eq!(wheel.next_deadline(), Some(1_005));
        assert!(advance(&mut wheel, 1_004).is_empty());
        assert_eq!(advance(&mut wheel, 1_005), [1]);
        assert!(advance(&mut wheel, 30_999).is_empty());
        assert_eq!(wheel.next_deadline(), Some(31_000));
        assert_eq!(advance(&mut wheel, 31_000), [2]);
        assert!(wheel.is_empty());
        assert_eq!(wheel.next_deadline(), None);
    }

    #[test]
    fn what_is_due_already_comes_out_of_the_next_turn() {
        let mut wheel = Wheel::new(50);
        wheel.insert(50, 1);
        wheel.insert(0, 2);
        assert_eq!(wheel.next_deadline(), Some(50));
        let mut due = advance(&mut wheel, 50);
        due.sort();
        assert_eq!(due, [1, 2]);
    }

    #[test]
    fn a_jump_over_everything_delivers_in_order() {
        let mut wheel = Wheel::new(0);
        let deadlines = [u64::MAX, 1 << 60, 7, 64, 4096, 4097, 1 << 36, 65];
        for (item, &deadline) in deadlines.iter().enumerate() {
            wheel.insert(deadline, item as u32);
        }
        assert_eq!(advance(&mut wheel, u64::MAX), [2, 3, 7, 4, 5, 6, 1, 0]);
    }

    #[test]
    fn memory_is_used_again() {
        let mut wheel = Wheel::new(0);
        for now_ms in 0..10_000 {
            wheel.insert(now_ms + 50, 0);
            advance(&mut wheel, now_ms);
        }
        assert!(wheel.nodes.len() <= 51, "{}", wheel.nodes.len());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert { after_ms: i64 },
        Advance { by_ms: i64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        let span = prop_oneof![-10..200i64, 0..5_000i64, 0..400_000i64, 0..(1i64 << 45)];
        let near = prop_oneof![-5..100i64, 0..5_000i64, 0..300_000i64];
        prop_oneof![
            3 => span.prop_map(|after_ms| Step::Insert { after_ms }),
            2 => near.prop_map(|by_ms| Step::Advance { by_ms }),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_a_sorted_map(
            start in prop_oneof![0..100u64, Just((1u64 << 36) - 50), 0..(1u64 << 50)],
            steps in proptest::collection::vec(step(), 1..200),
        ) {
            let mut wheel = Wheel::new(start);
            let mut model: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
            let mut now = start;
            for (item, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert { after_ms } => {
                        let deadline = now.saturating_add_signed(after_ms);
                        wheel.insert(deadline, item as u32);
                        model.entry(deadline.max(now)).or_default().push(item as u32);
                    }
                    Step::Advance { by_ms } => {
                        let to = now.saturating_add_signed(by_ms);
                        let mut due = Vec::new();
                        wheel.advance(to, &mut due);
                        now = now.max(to);
                        let later = model.split_off(&(now + 1));
                        let expected = std::mem::replace(&mut model, later);
                        let mut due = due.into_iter();
                        for (_, mut items) in expected {
                            let mut got: Vec<u32> = due.by_ref().take(items.len()).collect();
                            got.sort_unstable();
                            items.sort_unstable();
                            prop_assert_eq!(got, items);
                        }
                        prop_assert_eq!(due.next(), None);
                    }
                }
                let first = model.keys().next().copied();
                prop_assert_eq!(wheel.next_deadline().is_some(), first.is_some());
                if let (Some(bound), Some(first)) = (wheel.next_deadline(), first) {
                    prop_assert!(bound <= first);
                    prop_assert!(bound > now || bound == first, "waking makes progress");
                }
                prop_assert_eq!(wheel.len(), model.values().map(Vec::len).sum::<usize>());
            }
        }
    }
}
