//! Whatever happens in whatever order: nothing is overspent, sums are sums, and a replay comes to the same.

use proptest::prelude::*;
use time::{Duration, OffsetDateTime};

use super::sample::{NOON, admit, ask, budgets, rule, spent, subject};
use super::window::unix_ms;
use super::*;

/// What may happen.
#[derive(Clone, Debug)]
enum Step {
    /// A call that asks for so much; it arrived so many seconds ago.
    Admit(u64, u8, i64),
    /// One of the running calls has taken this part of what it asked for, in percent.
    Settle(usize, u64),
    /// One of them never came to anything.
    Drop(usize),
    /// So many seconds pass.
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..60, 0_u8..3, 0_i64..40).prop_map(|(ask, key, late)| Step::Admit(ask, key, late)),
        3 => (any::<usize>(), 0_u64..=100).prop_map(|(which, part)| Step::Settle(which, part)),
        1 => any::<usize>().prop_map(Step::Drop),
        2 => (0_i64..4000).prop_map(Step::Wait),
    ]
}

fn window() -> impl Strategy<Value = Window> {
    prop_oneof![
        Just(Window::Minute),
        Just(Window::Hour(Zone::utc())),
        Just(Window::Day(Zone::named("Europe/Berlin").unwrap())),
        Just(Window::Rolling(Rolling::parse("1m").unwrap())),
        Just(Window::Rolling(Rolling::parse("90m").unwrap())),
    ]
}

/// A call that was settled: when, whose, how much.
type Settled = (OffsetDateTime, u8, u64);

const KEYS: [&str; 3] = ["AKIA0", "AKIA1", "AKIA2"];
const MOST: u64 = 100;

fn sum(settled: &[Settled], key: u8, within: impl Fn(OffsetDateTime) -> bool) -> u64 {
    let counted = settled
        .iter()
        .filter(|(at, whose, _)| *whose == key && within(*at));
    counted.map(|(_, _, tokens)| tokens).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_is_overspent_and_sums_are_sums(steps in prop::collection::vec(step(), 1..120), window in window()) {
        let per_key = Rule {
            window: Some(window.clone()),
            per: vec![Per::AccessKey],
            ..rule(Counts::TotalTokens, MOST)
        };
        let live = budgets([per_key.clone()]);
        let mut now = NOON;
        let mut running = Vec::new();
        let mut settled: Vec<Settled> = Vec::new();
        for step in steps {
            match step {
                Step::Admit(tokens, key, late) => {
                    let at = now - Duration::seconds(late);
                    if let Ok(admission) = admit(&live, KEYS[usize::from(key)], ask(tokens, 0), at) {
                        running.push((admission, at, key, tokens));
                    }
                }
                Step::Settle(which, part) if !running.is_empty() => {
                    let (admission, at, key, asked) = running.swap_remove(which % running.len());
                    let tokens = asked * part / 100;
                    admission.settle_record("id", &subject(KEYS[usize::from(key)]), &spent(tokens, 0));
                    settled.push((at, key, tokens));
                }
                Step::Drop(which) if !running.is_empty() => {
                    drop(running.swap_remove(which % running.len()));
                }
                Step::Settle(..) | Step::Drop(_) => {}
                Step::Wait(seconds) => now += Duration::seconds(seconds),
            }
        }
        drop(running);
        // No window of the calendar, and none of that length that ends with a call, has more than there may be.
        for &(end, key, _) in &settled {
            let end_ms = unix_ms(end);
            let taken = match &window {
                Window::Rolling(_) => {
                    // A millisecond less than the length: to the first of a slot that is just over.
                    let length = Duration::milliseconds(window.expires(0));
                    sum(&settled, key, |at| at <= end && at > end - length)
                }
                _ => sum(&settled, key, |at| window.slot(unix_ms(at)) == window.slot(end_ms)),
            };
            prop_assert!(taken <= MOST, "{taken} at {end}: {settled:?}");
        }
        // What is told is the sum over what was settled, and a replay in another order comes to the same.
        let replayed = budgets([per_key]);
        for (at, key, tokens) in settled.iter().rev() {
            replayed.replay(&subject(KEYS[usize::from(*key)]), &spent(*tokens, 0), *at);
        }
        replayed.replayed();
        let told = live.report(now);
        let sums = |reports: &[Report]| -> Vec<_> {
            let sums = reports.iter().map(|report| (report.key.clone(), report.spent.clone()));
            sums.collect()
        };
        prop_assert_eq!(sums(&told), sums(&replayed.report(now)));
        let begins = window.begins(unix_ms(now));
        for report in told {
            prop_assert_eq!(report.reserved.as_str(), "0");
            let Some(key) = report.key else { continue };
            let key = KEYS.iter().position(|known| key["access_key"].as_deref() == Some(known)).unwrap();
            let key = u8::try_from(key).unwrap();
            let expected = sum(&settled, key, |at| unix_ms(at) >= begins);
            prop_assert_eq!(report.spent, expected.to_string());
        }
    }
}
