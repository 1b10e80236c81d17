//! The chart: processor time per request and requests per second, one bar for each contender.

use crate::figures::Samples;

use super::number;

const SCENARIO: &str = "keepalive";
const WIDTH: f64 = 760.0;
/// Where bars begin.
const LEFT: f64 = 190.0;
/// The longest bar.
const LONGEST: f64 = 460.0;
const ROW: f64 = 24.0;
const PANEL_HEAD: f64 = 44.0;

/// Draws it as SVG.
pub(crate) fn draw(samples: &Samples) -> String {
    let mut panels = String::new();
    let mut height = 8.0;
    for (figure, title) in [
        (
            "cpu_us_per_request",
            "CPU µs per 2 KiB request, keep-alive, 32 connections (less is better)",
        ),
        ("requests_per_s", "requests/s, same load (more is better)"),
    ] {
        let bars: Vec<(&str, f64)> = samples
            .contenders(SCENARIO)
            .into_iter()
            .filter_map(|contender| Some((contender, samples.median(SCENARIO, contender, figure)?)))
            .collect();
        if !bars.is_empty() {
            panels += &panel(title, &bars, height);
            height += PANEL_HEAD + ROW * f64::from(u16::try_from(bars.len()).unwrap_or(u16::MAX));
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" role=\"img\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{panels}</svg>\n"
    )
}

fn panel(title: &str, bars: &[(&str, f64)], top: f64) -> String {
    let mut text = format!(
        "<text x=\"12\" y=\"{:.0}\" font-weight=\"bold\" fill=\"#222222\">{title}</text>\n",
        top + 22.0
    );
    // One peer may be fifty times slower: its bar is cut, its number is not.
    let mut sorted: Vec<f64> = bars.iter().map(|(_, value)| *value).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let largest = sorted.last().copied().unwrap_or(1.0);
    let second = sorted.iter().rev().nth(1).copied().unwrap_or(largest);
    let full = if largest > 4.0 * second {
        second * 1.3
    } else {
        largest
    };
    let mut y = top + PANEL_HEAD - 10.0;
    for (contender, value) in bars {
        let colour = match *contender {
            "direct" | "pump" => "#9aa5b1",
            name if name.starts_with("tollgate") => "#1f6feb",
            _ => "#d29922",
        };
        let length = (value / full).min(1.0) * LONGEST;
        let cut = if *value > full { " (bar cut)" } else { "" };
        text += &format!(
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\" fill=\"#222222\">{contender}</text>\n\
             <rect x=\"{LEFT:.0}\" y=\"{:.0}\" width=\"{length:.1}\" height=\"{:.0}\" fill=\"{colour}\"/>\n\
             <text x=\"{:.1}\" y=\"{:.0}\" fill=\"#222222\">{}{cut}</text>\n",
            LEFT - 8.0,
            y + 14.0,
            y + 2.0,
            ROW - 8.0,
            LEFT + length + 6.0,
            y + 14.0,
            number(*value),
        );
        y += ROW;
    }
    text
}
