//! When checks run (manual 5.2 `inter`, `fastinter`, `downinter`; 3.2 `spread-checks`,
//! `max-spread-checks`).

use super::health::Health;
use crate::proxy::CheckSettings;
use crate::time::Millis;

/// From the end of a check to the next: `inter` while fully up, `downinter` while fully down, `fastinter`
/// in between.
pub fn interval(settings: &CheckSettings, health: &Health) -> Millis {
    let special = match () {
        () if health.is_moving() => settings.fastinter,
        () if !health.is_up() => settings.downinter,
        () => None,
    };
    special.unwrap_or(settings.inter)
}

/// Moves an interval by up to `percent` of itself either way (`spread-checks`); `random` is any number.
pub fn spread(interval: Millis, percent: u32, random: u32) -> Millis {
    let reach = interval.0 * u64::from(percent) / 100;
    if reach == 0 {
        return interval;
    }
    Millis(interval.0 - reach + u64::from(random) % (2 * reach + 1))
}

/// How long after the start each of the checks runs first, in the order of the configuration: spread over
/// the longest of the intervals with which they begin, or over `max_spread` (`max-spread-checks`) if that
/// is less. (The manual says the shortest; HAProxy 2.6 takes the longest.)
pub fn first_delays(intervals: &[Millis], max_spread: Option<Millis>) -> Vec<Millis> {
    let longest = intervals.iter().copied().max().unwrap_or_default();
    let window = max_spread.map_or(longest, |max| max.min(longest));
    let count = intervals.len() as u64;
    (0..count).map(|which| Millis(window.0 * which / count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_follows_the_health() {
        let settings = CheckSettings {
            inter: Millis(300),
            fastinter: Some(Millis(100)),
            downinter: Some(Millis(700)),
            ..CheckSettings::default()
        };
        let mut health = Health::new(2, 2);
        health.set_up();
        let mut after = |passed: bool| {
            if passed {
                health.passed()
            } else {
                health.failed()
            };
            interval(&settings, &health).0
        };
        assert_eq!([true, false, false, false, true, true].map(&mut after), [300, 100, 700, 700, 100, 300]);
        assert_eq!(interval(&CheckSettings::default(), &Health::new(2, 3)), Millis(2000));
    }

    #[test]
    fn first_checks_spread_over_the_longest_interval() {
        let intervals = [200, 1000, 300, 100].map(Millis);
        assert_eq!(first_delays(&intervals, None), [0, 250, 500, 750].map(Millis));
        assert_eq!(first_delays(&intervals, Some(Millis(400))), [0, 100, 200, 300].map(Millis));
        assert!(first_delays(&[], None).is_empty());
    }

    #[test]
    fn spreading_stays_within_its_percentage() {
        for random in 0..2000 {
            let moved = spread(Millis(1000), 5, random).0;
            assert!((950..=1050).contains(&moved), "{moved}");
        }
        assert_eq!(spread(Millis(1000), 0, 17), Millis(1000));
    }
}
