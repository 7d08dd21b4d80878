//! `GET /system`: the broker itself, for administrators: what it takes and does now, over time, and what it dropped and why.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Extension, Query};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::Deserialize;

use super::charts::{self, Chart, Span};
use super::frame::{Frame, html};
use super::{Admin, Source, Viewer, blocking, format};
use crate::limits::UnixMillis;

/// How far back the charts go.
#[derive(Deserialize)]
pub(super) struct Asked {
    span: Option<String>,
}

#[derive(Template)]
#[template(path = "system.html")]
struct Page {
    frame: Frame,
    version: String,
    uptime: String,
    time: String,
    tiles: Vec<Tile>,
    span: &'static str,
    charts: Vec<Chart>,
    drops: Vec<Figure>,
    figures: Vec<Figure>,
}

/// A figure of now that stands out.
struct Tile {
    name: &'static str,
    value: String,
    meaning: &'static str,
}

struct Figure {
    name: String,
    value: u64,
    text: String,
    meaning: String,
}

impl Figure {
    fn new(name: &str, value: u64) -> Self {
        let meaning = meaning(name).map_or_else(|| name.replace('_', " "), Into::into);
        Figure { name: name.into(), value, text: format::number(value), meaning }
    }
}

/// What a figure of the broker means.
fn meaning(name: &str) -> Option<&'static str> {
    Some(match name {
        "connections" => "Connections that are open now, accepted by CONNACK or not yet",
        "connections_opened" => "Network connections accepted since the start",
        "connections_refused" => {
            "Connections refused or closed before CONNACK: credentials, bad packets, limits, time-outs"
        }
        "sessions" => "Sessions that exist now, connected or not",
        "messages_in" => "Application messages taken from clients, wills included",
        "messages_out" => "Application messages written to clients",
        "messages_in_qos0" => "Messages of QoS 0 taken from clients",
        "messages_in_qos1" => "Messages of QoS 1 taken from clients",
        "messages_in_qos2" => "Messages of QoS 2 taken from clients",
        "bytes_in_qos0" => "Payload bytes of QoS 0 taken from clients",
        "bytes_in_qos1" => "Payload bytes of QoS 1 taken from clients",
        "bytes_in_qos2" => "Payload bytes of QoS 2 taken from clients",
        "messages_out_qos0" => "Messages of QoS 0 written to clients",
        "messages_out_qos1" => "Messages of QoS 1 written to clients",
        "messages_out_qos2" => "Messages of QoS 2 written to clients",
        "bytes_out_qos0" => "Payload bytes of QoS 0 written to clients",
        "bytes_out_qos1" => "Payload bytes of QoS 1 written to clients",
        "bytes_out_qos2" => "Payload bytes of QoS 2 written to clients",
        "network_bytes_in" => "Bytes of MQTT read from clients, without what TCP and WebSocket add",
        "network_bytes_out" => "Bytes of MQTT written to clients",
        "webhooks_sent" => "Events that the webhook has taken",
        "webhooks_failed" => "Events that the webhook has refused, or not taken in time",
        "webhooks_dropped" => "Events that were dropped as too many waited for the webhook",
        "denied" => "Requests denied by a limit",
        "dropped_receive_limit" => "Over the receive limit: a delivery at QoS 0, or any under “receive: drop”",
        "dropped_publish_limit" => "Over the publish limit: a publish at QoS 0",
        "dropped_queue_full" => "The session's queue was at its cap",
        "dropped_offline" => "A QoS 0 message for a session that is not connected",
        "dropped_expired" => "The message's expiry interval had passed",
        "dropped_too_large" => "Larger than the client's Maximum Packet Size",
        "dropped_never_fits" => "Could never fit the limit: it costs more than the whole rate",
        "dropped_refused" => "Forbidden by an access rule or a hook, or refused by the backend",
        "dropped_retained_full" => "The profile's retained messages were at their cap",
        "dropped_session_ended" => "The session ended with messages still queued or unacknowledged",
        "dropped_backend_lost" => "The backend was away, and what waited for it was over the bound",
        "backend_lost" => "Times the backend was lost and had to be found again",
        "panics" => "A connection's task panicked, and that connection was closed: please report it",
        _ => return None,
    })
}

/// `GET /system?span=hour|day|month`
pub(super) async fn page(
    _: Admin,
    Extension(source): Extension<Arc<dyn Source>>,
    Query(asked): Query<Asked>,
) -> Response {
    blocking(Viewer::Admin, move || {
        // What is no span is the first one: the links of the page name no other.
        let (span, name) = match asked.span.as_deref() {
            Some("day") => (Span::Day, "day"),
            Some("month") => (Span::Month, "month"),
            _ => (Span::Hour, "hour"),
        };
        let (length, step) = span.seconds();
        // Steps are aligned; the one under way is left out, as its mean is of a part.
        let to = source.now().0 / 1_000 / step * step;
        let from = to.saturating_sub(length);
        let history = source.system_history(UnixMillis(from * 1_000), UnixMillis(to * 1_000), step);
        let from = Timestamp::from_second(from as i64).unwrap_or(Timestamp::UNIX_EPOCH);
        let system = source.system();
        let (drops, figures) = system
            .figures
            .iter()
            .map(|(name, value)| Figure::new(name, *value))
            .partition(|figure: &Figure| figure.name.starts_with("dropped_"));
        let tile = |name, value, meaning| Tile { name, value, meaning };
        let page = Page {
            frame: Frame::new(&Viewer::Admin, "system"),
            uptime: format::duration(system.uptime_seconds),
            time: format::formatted(&system.now, "%Y-%m-%d %H:%M:%S"),
            tiles: vec![
                tile("Processor", format::processor(system.cpu), "of one processor, over the last 10 s"),
                tile("Memory", format::bytes(system.memory), "resident"),
                tile("Connections", format::number(system.connections), "open now"),
                tile(
                    "Messages in",
                    format::per_second(system.messages_in_rate),
                    "a second from clients, over the last 10 s",
                ),
                tile(
                    "Messages out",
                    format::per_second(system.messages_out_rate),
                    "a second to clients, over the last 10 s",
                ),
            ],
            version: system.version,
            span: name,
            charts: charts::system(&history, from, span, &charts::LIGHT),
            drops,
            figures,
        };
        html(StatusCode::OK, &page)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_of_the_broker_has_a_meaning_on_the_page() {
        for (name, _) in crate::stats::Stats::default().named() {
            assert!(meaning(name).is_some(), "{name}");
        }
        assert_eq!(Figure::new("dropped_by_accident", 3).meaning, "dropped by accident");
    }
}
