//! What the charts draw and say.

use jiff::Timestamp;

use super::*;
use crate::admin::model::{Limit, SystemHistory, SystemPoint, UsagePoint, UsageSeries};

fn limit(max: u64, window: &str) -> Limit {
    Limit {
        resource: "publish".into(),
        limit: Some(format!("{max}/{window}")),
        max: Some(max),
        window: window.into(),
        used: 0,
        denied: 0,
        reset_seconds: 1,
        resets_at: "2026-11-21T12:46:00Z".into(),
    }
}

fn series(resource: &str, points: &[(&str, u64, u64)]) -> UsageSeries {
    UsageSeries {
        resource: resource.into(),
        limits: vec![],
        used: points.iter().map(|point| point.1).sum(),
        denied: points.iter().map(|point| point.2).sum(),
        points: points.iter().map(|&(at, used, denied)| UsagePoint { at: at.into(), used, denied }).collect(),
    }
}

const MINUTES: [(&str, u64, u64); 3] =
    [("2026-11-21T12:39:00Z", 0, 0), ("2026-11-21T12:40:00Z", 250, 40), ("2026-11-21T12:41:00Z", 120, 0)];

#[test]
fn used_denied_and_the_limit_are_drawn_each_in_its_own_colour() {
    let chart = usage(&series("publish", &MINUTES), &[limit(250, "min")], Reach::Hour, &LIGHT, false);
    let svg = chart.svg();
    assert_eq!(svg.matches("fill=\"#15788C\"").count(), 2, "two minutes were used: {svg}");
    assert_eq!(svg.matches("fill=\"#C4281C\"").count(), 1, "one had denials");
    assert!(svg.contains("<polyline") && svg.contains(">\n250/min\n<"));
    assert!(svg.contains("12:40") && !svg.contains("12:41"), "every tenth minute is named");
    assert_eq!(chart.rows[1], ["2026-11-21 12:40", "250", "40"]);
}

#[test]
fn a_chart_says_in_words_what_it_shows() {
    let chart = usage(
        &series("publish", &MINUTES),
        &[limit(250, "min"), limit(2_000_000, "month")],
        Reach::Hour,
        &LIGHT,
        false,
    );
    assert_eq!(chart.title, "publish, the last hour");
    assert_eq!(
        chart.description,
        "370 used and 40 denied in the last hour. The most was 250 in the minute of 2026-11-21 12:40."
    );
    assert_eq!(
        chart.caption,
        "Each column is a minute, UTC. The line is the limit, 250/min. Not drawn, as its window is not a minute: 2,000,000/month."
    );
    let svg = chart.svg();
    assert!(svg.contains("role=\"img\" aria-labelledby=\"hour-title hour-desc\""));
    assert!(svg.contains("<title id=\"hour-title\">publish, the last hour</title>"));
    assert!(svg.contains("<desc id=\"hour-desc\">370 used"));
}

#[test]
fn days_are_held_against_limits_of_days_and_months_only() {
    let days = series("publish", &[("2026-11-20T00:00:00Z", 9_000, 0), ("2026-11-21T00:00:00Z", 100, 0)]);
    let limits = [limit(250, "min"), limit(10_000, "day"), limit(310_000, "month")];
    let chart = usage(&days, &limits, Reach::Month, &LIGHT, false);
    let svg = chart.svg();
    assert!(svg.contains(">\n10,000/day\n<") && svg.contains(">\n10,000\n<") && svg.contains("Nov 20"), "{svg}");
    assert!(!svg.contains("250/min"));
    assert_eq!(
        chart.caption,
        "Each column is a day, UTC. The line is the limit, 10,000/day and 1/31 of 310,000/month. Not drawn, as its window \
         is not a day: 250/min."
    );
}

#[test]
fn a_limit_too_long_for_the_end_of_its_line_is_shortened_there_and_whole_in_the_caption() {
    let chart = usage(&series("publish", &MINUTES), &[limit(123_456_789, "min")], Reach::Hour, &LIGHT, false);
    assert!(chart.svg().contains(">\n123.46M\n<") && chart.caption.contains("The line is the limit, 123,456,789/min."));
}

#[test]
fn bytes_have_a_unit_and_requests_are_not_stacked_on_them() {
    let chart =
        usage(&series("publish_bytes", &[("2026-11-21T12:40:00Z", 3 << 20, 7)]), &[], Reach::Hour, &LIGHT, false);
    let svg = chart.svg();
    assert!(svg.contains("MiB") && !svg.contains("#C4281C"), "{svg}");
    assert!(chart.caption.contains("counted in requests") && chart.caption.ends_with("No limit holds for it."));
    assert_eq!(chart.rows[0][1..], ["3 MiB", "7"]);
}

#[test]
fn a_name_in_a_chart_is_text_and_never_markup() {
    let svg = usage(&series("<script>alert(1)</script>", &[]), &[], Reach::Hour, &DARK, true).svg();
    assert!(svg.contains("&#60;script&#62;") && !svg.contains("<script"), "{svg}");
}

#[test]
fn a_chart_on_its_own_has_a_background_and_one_in_a_page_has_none() {
    let series = series("publish", &MINUTES);
    assert!(usage(&series, &[], Reach::Hour, &DARK, true).svg().contains("#171D25"));
    assert!(!usage(&series, &[], Reach::Hour, &DARK, false).svg().contains("#171D25"));
}

fn point(at: &str, cpu: f64, memory: u64) -> SystemPoint {
    SystemPoint { at: at.into(), cpu, memory, connections: 12, messages_in: 3.5, messages_out: 1_200.0 }
}

#[test]
fn the_system_is_four_charts_and_a_gap_stays_a_gap() {
    let from: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    let points = [
        point("2026-11-21T12:00:00Z", 0.1, 1 << 20),
        point("2026-11-21T12:01:00Z", 0.2, 48 << 20),
        point("2026-11-21T12:30:00Z", 0.3, 40 << 20),
        point("2026-11-21T12:31:00Z", 0.3, 40 << 20),
    ];
    let charts = system(&SystemHistory { step_seconds: 60, points: points.into() }, from, Span::Hour, &LIGHT);
    assert_eq!(charts.iter().map(|chart| chart.id).collect::<Vec<_>>(), ["cpu", "memory", "connections", "messages"]);
    assert_eq!(charts[0].description, "In the last hour: processor time at most 30.0 %.");
    assert_eq!(charts[1].description, "In the last hour: memory at most 48 MiB.");
    let lines = charts[0].drawing.matches("stroke-width=\"2\"").count();
    assert_eq!(lines, 2, "one line before the gap and one after: {}", charts[0].drawing);
    assert_eq!(charts[3].rows[0], ["2026-11-21 12:31", "3.5", "1,200"]);
    assert!(charts[3].drawing.contains("#7A52B3"));
}

#[test]
fn without_history_there_is_an_empty_chart_that_says_so() {
    let from: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    for span in [Span::Hour, Span::Day, Span::Month] {
        for chart in system(&SystemHistory { step_seconds: 60, points: vec![] }, from, span, &LIGHT) {
            assert_eq!(chart.description, "Nothing is known yet.");
            assert!(chart.svg().starts_with("<svg"));
        }
    }
}
