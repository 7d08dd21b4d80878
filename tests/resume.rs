//! A client that comes back with a smaller Receive Maximum than it left with, against the real binary.

mod common;

use common::{Client, Received, Weir, connect, id, publish};
use weir::wire::{Ack, Connect, Packet, Properties, Property, PropertyBuf, QoS, ReasonCode, Version};

const CONFIG: &str = "plans: { free: {} }\nprofiles: { acme: { plan: free } }\nanonymous: acme\n";

/// A client whose session outlives its connection, and what it takes.
fn pump(weir: &Weir, properties: &[Property<'_>]) -> Client {
    let mut buffer = PropertyBuf::new();
    buffer.push(Property::SessionExpiryInterval(3_600));
    properties.iter().for_each(|property| buffer.push(*property));
    let anonymous = Connect { user_name: None, password: None, ..connect(Version::V5, "", "pump") };
    weir.connect(&Connect { clean_start: false, properties: buffer.as_properties(), ..anonymous })
}

fn acknowledge(client: &mut Client, received: &Received) {
    let reason = ReasonCode::Success;
    client.send(&Packet::PubAck(Ack { packet_id: id(received.packet_id), reason, properties: Properties::EMPTY }));
}

/// Sends itself these messages at QoS 1, and vanishes with none of them acknowledged; their packet identifiers.
fn leave_unacknowledged(weir: &Weir, payloads: &[&[u8]]) -> Vec<u16> {
    let mut client = pump(weir, &[]);
    client.subscribe("t", QoS::AtLeastOnce);
    let mut ids = Vec::new();
    for payload in payloads {
        client.send(&Packet::Publish(publish("t", payload, QoS::AtLeastOnce, 1)));
        let frames = [client.frame(), client.frame()];
        let delivered = frames.iter().find(|frame| frame[0] >> 4 == 3).expect("one is the PUBACK");
        ids.push(Received::parse(Version::V5, delivered).packet_id);
    }
    client.vanish();
    ids
}

#[test]
fn what_does_not_fit_a_smaller_receive_maximum_is_sent_again_as_acknowledgements_come() {
    let weir = Weir::at("2026-11-21T12:45:09Z", CONFIG);
    let ids = leave_unacknowledged(&weir, &[b"1", b"2", b"3", b"4", b"5"]);
    let mut client = pump(&weir, &[Property::ReceiveMaximum(2)]);
    client.send(&Packet::Publish(publish("t", b"new", QoS::AtLeastOnce, 9)));
    let mut in_flight = Vec::new();
    let mut again = Vec::new();
    while again.len() < ids.len() {
        let frame = client.frame();
        if frame[0] >> 4 == 3 {
            let received = Received::parse(Version::V5, &frame);
            assert!(received.dup, "{received:?}");
            again.push(received.packet_id);
            in_flight.push(received);
        }
        if in_flight.len() == 2 || again.len() == ids.len() {
            in_flight.drain(..).for_each(|received| acknowledge(&mut client, &received));
        }
    }
    assert_eq!(again, ids, "each once, in its order");
    let received = client.expect_publish();
    assert_eq!((received.text(), received.dup), ("new", false));
}

#[test]
fn what_is_larger_than_the_client_takes_now_is_not_sent_again_and_holds_up_nothing() {
    let weir = Weir::at("2026-11-21T12:45:09Z", CONFIG);
    let ids = leave_unacknowledged(&weir, &[&[0; 100], b"small", &[0; 100]]);
    let mut client = pump(&weir, &[Property::MaximumPacketSize(60)]);
    let received = client.expect_publish();
    assert_eq!((received.text(), received.dup, received.packet_id), ("small", true, ids[1]));
    client.expect_nothing();
}
