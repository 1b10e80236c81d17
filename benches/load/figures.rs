//! Numbers: what one run says, and what several runs say together.

use std::collections::BTreeMap;

/// What was measured in one run, by name; the unit is part of the name.
pub(crate) type Figures = BTreeMap<&'static str, f64>;

/// One run of one contender in one scenario.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Name of the scenario.
    pub scenario: String,
    /// Name of the contender.
    pub contender: String,
    /// What came out.
    pub figures: Figures,
}

/// Several runs together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    /// The middle one.
    pub median: f64,
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub most: f64,
    /// How many there were.
    pub runs: usize,
}

impl Summary {
    /// Of these values; `None` if there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(*values.get(middle.checked_sub(1)?)?, *values.get(middle)?)
        } else {
            *values.get(middle)?
        };
        Some(Self {
            median,
            least: *values.first()?,
            most: *values.last()?,
            runs: values.len(),
        })
    }
}

/// Samples of a whole benchmark.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(pub Vec<Sample>);

impl Samples {
    /// What `contender` did in `scenario`, as far as `figure` tells.
    pub(crate) fn summary(&self, scenario: &str, contender: &str, figure: &str) -> Option<Summary> {
        Summary::of(
            self.0
                .iter()
                .filter(|sample| sample.scenario == scenario && sample.contender == contender)
                .filter_map(|sample| sample.figures.get(figure).copied()),
        )
    }

    /// The median of that.
    pub(crate) fn median(&self, scenario: &str, contender: &str, figure: &str) -> Option<f64> {
        self.summary(scenario, contender, figure)
            .map(|summary| summary.median)
    }

    /// Contenders of a scenario, in the order in which they first ran.
    pub(crate) fn contenders(&self, scenario: &str) -> Vec<&str> {
        let mut found: Vec<&str> = Vec::new();
        for sample in self.0.iter().filter(|sample| sample.scenario == scenario) {
            if !found.contains(&sample.contender.as_str()) {
                found.push(&sample.contender);
            }
        }
        found
    }
}

/// The value that `percent` of all values do not exceed, in microseconds; the values are nanoseconds.
pub(crate) fn percentile_us(values: &mut [u64], percent: f64) -> Option<f64> {
    values.sort_unstable();
    let last = values.len().checked_sub(1)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index of a list that fits into memory"
    )]
    let rank = ((percent / 100.0) * last as f64).round() as usize;
    values.get(rank).map(|value| float(*value) / 1000.0)
}

/// A count as a number to divide.
#[expect(
    clippy::cast_precision_loss,
    reason = "no count of a benchmark is that large"
)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}
