//! What fuzzers call: bytes of anyone's choosing go through the functions that meet the network, and what must hold for any
//! bytes is asserted. Called by the fuzz targets in `fuzz/` and by `tests/fuzz_driver.rs`; not for programs that embed the
//! broker. It must never look into a packet in a way of its own: what is tested is the way that real bytes take.

use std::fmt::Write;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::clock::{Clock, ManualClock};
use crate::config::Config;
use crate::edge;
use crate::hub::Hub;
use crate::janitor::Janitor;
use crate::limits::UnixMillis;
use crate::net::{Accepted, ByteStream};
use crate::wire::{Connect, Packet, SharedFilter, Version, WireError, frame_header, levels, matches};

/// How long a connection may take whose client has closed it: far longer than it does.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many bytes a hesitant client sends at a time.
const MORSEL: usize = 7;
/// When it all happens: the middle of a minute.
const WALL: UnixMillis = UnixMillis(1_795_265_130_000);

/// Two profiles: one without limits, which needs no credentials, and one where every limit and cap is met soon.
/// Sessions are kept for a minute. Nothing is paused: the clock stands still.
const CONFIG: &str = r##"
listeners: [{ address: "127.0.0.1:0" }]
plans:
  open: { check_payload_format: true }
  tight:
    connect: 4/min
    publish: [3/min, 64/h]
    receive: 3/min
    subscribe: 4/min
    publish_bytes: 64/min
    receive_bytes: 64/min
    on_exceed: { receive: drop }
    disconnect_after: 8
    max_connections: 2
    max_subscriptions: 3
    max_queued_messages: 4
    max_queued_bytes: 256
    max_retained_messages: 2
    max_retained_bytes: 128
    max_topic_levels: 4
    max_inflight: 2
    max_packet_size: 512
profiles:
  open:
    plan: open
    sys: true
    devices:
      pump: { token: open }
      meter: { token: metered, limits: { publish: 2/min, receive: 2/min } }
      panel:
        username: panel
        scram: "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$Y7KMtnzzL+zDqi0RtBNdAPJekq+PCg4eCcAMKDtLILQ=:\
                c1MMj1kLUJb96FIM7IjzQUXiW2pIi8LDbQl55vL1oRo="
  tight: { plan: tight, devices: { pump: { token: tight } } }
anonymous: open
mqtt: { max_packet_size: 8KiB, max_session_expiry: 60s, receive_maximum: 4, topic_alias_maximum: 4, max_inflight: 4 }
acl:
  - { deny: publish, topic: "deny/#" }
  - { deny: subscribe, topic: "deny/%u/+" }
"##;

static PARSED: LazyLock<Config> = LazyLock::new(|| match Config::parse(CONFIG, "the fuzzers' configuration") {
    Ok(config) => config,
    Err(error) => panic!("{error}"),
});

/// Reads the frames in `bytes` one after the other, as packets of the protocol level `version` (3 or 4; all else is 5). What
/// can be read can be written, and reads the same again.
///
/// # Panics
/// Something did not hold that must hold for any bytes.
pub fn decode(version: u8, bytes: &[u8]) {
    let version = match version {
        3 => Version::V3,
        4 => Version::V4,
        _ => Version::V5,
    };
    let mut rest = bytes;
    while let Some((frame, packet)) = next_packet(version, rest) {
        if let Ok(packet) = packet {
            look_at(&packet);
            let mut again = Vec::new();
            let encoded = packet.encode(version, &mut again);
            assert_eq!(encoded, Ok(()), "{packet:?} was read and cannot be written");
            let (_, reread) = next_packet(version, &again).unwrap_or((0, Err(WireError::BadProtocolName)));
            assert_eq!(reread, Ok(packet), "written as {again:02x?} it is another packet");
        }
        rest = &rest[frame..];
    }
}

/// The size of the first frame of `bytes`, and what is in it; nothing if it is not all there.
fn next_packet(version: Version, bytes: &[u8]) -> Option<(usize, Result<Packet<'_>, WireError>)> {
    let header = frame_header(bytes, usize::MAX).ok()??;
    let body = bytes.get(header.header_len..header.total_len())?;
    Some((header.total_len(), Packet::decode(version, header.first, body)))
}

/// Walks what a packet only shows on demand.
fn look_at(packet: &Packet<'_>) {
    let mut shown = String::new();
    // Writing to a string does not fail.
    let _ = write!(shown, "{packet:?}");
    match packet {
        Packet::Publish(publish) => assert!(levels(publish.topic).count() <= publish.topic.len() + 1),
        Packet::Subscribe(subscribe) => {
            for (filter, _) in subscribe.filters.iter() {
                // Whether it is a good one is for the edge to say.
                let _ = SharedFilter::parse(filter);
                assert!(matches("#", filter) || filter.starts_with('$'));
            }
        }
        Packet::Unsubscribe(unsubscribe) => assert_eq!(unsubscribe.filters.iter().count(), unsubscribe.filters.len()),
        _ => {}
    }
}

/// Serves clients that say `bytes` and close: two at the same time, one of them in morsels, and then a third, which finds what
/// they left behind. Whatever the bytes: no task panics, what the broker answers is well-formed, each connection ends, and
/// when the clock has moved on no session is left.
///
/// # Panics
/// One of these did not hold.
pub fn connection(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no fuzzing without a runtime: {error}"));
    runtime.block_on(async {
        let clock = ManualClock::at(WALL);
        let hub = Hub::new(
            PARSED.clone(),
            Clock::Manual(Arc::clone(&clock)),
            Vec::new(),
            Arc::default(),
            None,
            Arc::default(),
        );
        let lives = async {
            tokio::join!(exchange(&hub, bytes, usize::MAX), exchange(&hub, bytes, MORSEL));
            all_gone(&hub).await;
            exchange(&hub, bytes, usize::MAX).await;
            all_gone(&hub).await;
        };
        assert!(tokio::time::timeout(PATIENCE, lives).await.is_ok(), "a connection outlives its client");
        assert_eq!(hub.stats.panics.get(), 0, "a connection's task panicked");

        // Longer than any session or will delay, and into another window, which wills may have to wait for.
        clock.advance(Duration::from_secs(3_700));
        let idle = async {
            while hub.stats.sessions.get() > 0 {
                tokio::task::yield_now().await;
            }
        };
        let cleared = async {
            tokio::select! {
                () = Janitor::run(Arc::clone(&hub)) => {}
                () = idle => {}
            }
        };
        assert!(tokio::time::timeout(PATIENCE, cleared).await.is_ok(), "a session outlives its expiry");
    });
}

/// Waits until no connection is counted any more: a client hears the end before its connection's task is over.
async fn all_gone(hub: &Hub) {
    while hub.stats.connections.get() > 0 {
        tokio::task::yield_now().await;
    }
}

/// One client's life: it says `bytes`, so many at a time, says no more, and listens to the end.
async fn exchange(hub: &Arc<Hub>, bytes: &[u8], morsel: usize) {
    let pair = UnixStream::pair();
    let (mut client, server) = pair.unwrap_or_else(|error| panic!("no fuzzing without sockets: {error}"));
    let accepted = Accepted::new(ByteStream::Unix(server), false);
    let served = edge::serve(Arc::clone(hub), accepted, hub.clock.now().mono);
    let mut heard = Vec::new();
    let life = async {
        let (mut from, mut to) = client.split();
        let say = async {
            for morsel in bytes.chunks(morsel) {
                if to.write_all(morsel).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            // The broker may have closed first; then there is nothing to close.
            let _ = to.shutdown().await;
        };
        // Bytes of ours that the broker left unread are an error at the end of what it said.
        let _ = tokio::join!(say, from.read_to_end(&mut heard));
    };
    tokio::join!(served, life);
    check_answers(bytes, &heard);
}

/// What the broker says to a client that said `bytes`: packets of the client's version that brokers send, CONNACK before all
/// that needs it, none larger than the client takes. A lost client may not hear the end of the last one.
fn check_answers(bytes: &[u8], heard: &[u8]) {
    let Ok(Some(header)) = frame_header(bytes, usize::MAX) else {
        assert!(heard.is_empty(), "an answer to no packet: {heard:02x?}");
        return;
    };
    let body = bytes.get(header.header_len..header.total_len()).unwrap_or_default();
    let connect = Connect::decode(body);
    let version = match (&connect, Connect::version_of(body)) {
        _ if header.first != 0x10 || body.len() < header.body_len => None,
        (Ok(connect), _) => Some(connect.version),
        (Err(WireError::UnsupportedProtocolVersion { answer_in, .. }), _) => Some(*answer_in),
        (Err(_), version) => version.ok(),
    };
    let Some(version) = version else {
        assert!(heard.is_empty(), "an answer to no CONNECT: {heard:02x?}");
        return;
    };
    let most = connect.ok().and_then(|connect| connect.properties.maximum_packet_size()).unwrap_or(u32::MAX);
    let mut rest = heard;
    let mut connected = false;
    while let Some((frame, packet)) = next_packet(version, rest) {
        let said = &rest[..frame];
        match packet {
            Ok(Packet::ConnAck(_)) => {
                assert!(!connected, "a second CONNACK");
                connected = true;
            }
            Ok(Packet::Auth(_)) => {}
            Ok(
                Packet::Publish(_)
                | Packet::PubAck(_)
                | Packet::PubRec(_)
                | Packet::PubRel(_)
                | Packet::PubComp(_)
                | Packet::SubAck(_)
                | Packet::UnsubAck(_)
                | Packet::PingResp
                | Packet::Disconnect(_),
            ) => assert!(connected, "an answer before CONNACK: {said:02x?}"),
            Ok(_) => panic!("a packet that only a client sends: {said:02x?}"),
            Err(error) => panic!("a malformed answer, {error}: {said:02x?}"),
        }
        // [MQTT-3.1.2-24]
        assert!(frame <= most as usize, "larger than the {most} bytes that the client takes: {said:02x?}");
        rest = &rest[frame..];
    }
}
