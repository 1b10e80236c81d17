//! Whether memory is flat: a straight line through the steady part of a run, and where it stands after the load.

use serde::Serialize;

/// A line through points.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Line {
    /// At the first point.
    pub(crate) start: f64,
    /// Per unit of the first coordinate.
    pub(crate) slope: f64,
}

/// The line with the least squares; `None` for fewer than two points apart.
pub(crate) fn fit(points: &[(f64, f64)]) -> Option<Line> {
    let (first, _) = points.first()?;
    let count = f64::from(u32::try_from(points.len()).ok()?);
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    if spread <= 0.0 {
        return None;
    }
    let common: f64 = points
        .iter()
        .map(|(x, y)| (x - mean_x) * (y - mean_y))
        .sum();
    let slope = common / spread;
    Some(Line {
        start: mean_y + slope * (first - mean_x),
        slope,
    })
}

/// The middle of `values`.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
