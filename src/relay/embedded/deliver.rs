//! The way out of a link: what the router, the shared subscriptions and the session have for the client, as far as it takes it
//! now. Called by the link whenever it is read; it writes no answers to what the client asked.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use super::Embedded;
use super::answer::Terms;
use super::link::{End, HIGH_WATER};
use super::seat::{Meaning, Taken};
use super::uplink::Event;
use crate::router::Delivery;
use crate::session::Ready;
use crate::wire::{Packet, QoS, ReasonCode, put_ack};

/// How much may wait in the session for quota until the router has to wait too: messages, and their bytes.
const CONGESTED: (u32, u64) = (1_000, 1 << 20);
/// Bytes of messages taken from the mailbox at a time.
const TAKE: u64 = 64 * 1024;

impl Taken {
    /// Tells whether there is a link to the router; until there is one, that is waited for.
    pub(super) fn come_up(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        while !self.uplink.is_up() {
            match self.uplink.poll_event(cx) {
                Poll::Ready(Event::Expelled) => return Err(expelled()),
                Poll::Ready(_) => self.begin_anew(),
                Poll::Pending => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Takes in what the router has to say, and writes what may be sent; tells whether there was any of it.
    pub(super) fn deliver(
        &mut self,
        cx: &mut Context<'_>,
        terms: &mut Terms,
        embedded: &Embedded,
        out: &mut Vec<u8>,
    ) -> Result<bool, End> {
        let now = embedded.now();
        let before = out.len();
        let too_large = self.session.resend(&mut terms.link, now, out);
        embedded.stats.dropped_too_large.add(too_large);
        self.send_waiting(terms, embedded, now, out);
        let mut progress = self.take_mail(terms, embedded, now, out);
        if progress || out.len() > before {
            self.shares.values().for_each(|share| share.has_room());
        }
        while out.len() < HIGH_WATER
            && let Poll::Ready(event) = self.uplink.poll_event(cx)
        {
            progress = true;
            self.happened(event, terms, embedded, now, out)?;
        }
        // A session that holds much for its client lets the router hold the rest.
        let held = self.session.held();
        if held.messages < CONGESTED.0 && held.bytes < CONGESTED.1 {
            self.uplink.acknowledge();
        }
        self.uplink.flush();
        Ok(progress || out.len() > before)
    }

    fn happened(
        &mut self,
        event: Event<Meaning>,
        terms: &mut Terms,
        embedded: &Embedded,
        now: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), End> {
        match event {
            Event::Up => self.begin_anew(),
            Event::Message(forward) => {
                if let Some(delivery) = self.delivery(&forward, embedded) {
                    self.offer(delivery, terms, embedded, now, out);
                }
            }
            Event::Done(Meaning::Nothing) => {}
            Event::Done(Meaning::Ack(kind, packet_id)) => put_ack(out, kind, packet_id),
            Event::Done(Meaning::SubAck(subscribing)) => {
                out.extend_from_slice(&subscribing.suback);
                subscribing.replays.iter().for_each(|filter| self.replay(filter, embedded));
            }
            Event::Done(Meaning::Ping { again: true }) => self.after_that(Meaning::Ping { again: false }),
            Event::Done(Meaning::Ping { again: false }) => {
                terms.put(Packet::PingResp, out);
            }
            Event::Lost(messages) => embedded.stats.dropped_backend_lost.add(messages),
            Event::Expelled => return Err(expelled()),
        }
        Ok(())
    }

    /// Sends what has waited for quota.
    fn send_waiting(&mut self, terms: &mut Terms, embedded: &Embedded, now: u64, out: &mut Vec<u8>) {
        while out.len() < HIGH_WATER
            && let Some(delivery) = self.session.next_waiting()
        {
            if let Some(waits) = self.send(delivery, terms, embedded, now, out) {
                self.session.wait_first(waits);
                return;
            }
        }
    }

    /// Takes what shared subscriptions and retained messages have brought; tells whether that was anything.
    fn take_mail(&mut self, terms: &mut Terms, embedded: &Embedded, now: u64, out: &mut Vec<u8>) -> bool {
        let mut progress = false;
        while out.len() < HIGH_WATER {
            let mut taken = VecDeque::new();
            self.session.mailbox().take(&mut taken, TAKE, usize::MAX, self.session.held());
            if taken.is_empty() {
                break;
            }
            progress = true;
            for delivery in taken {
                self.offer(delivery, terms, embedded, now, out);
            }
        }
        progress
    }

    /// Sends a delivery, or has it wait behind those that do.
    fn offer(&mut self, delivery: Delivery, terms: &mut Terms, embedded: &Embedded, now: u64, out: &mut Vec<u8>) {
        let waits = match delivery.qos {
            QoS::AtMostOnce => self.send(delivery, terms, embedded, now, out),
            // What waits is sent before anything newer [MQTT-4.6.0-6].
            _ if self.session.is_waiting() => Some(delivery),
            _ => self.send(delivery, terms, embedded, now, out),
        };
        if let Some(waits) = waits {
            self.session.wait(waits);
        }
    }

    /// Sends a delivery, if its time, its size and the client's quota allow; gives it back if only the quota does not.
    fn send(
        &mut self,
        delivery: Delivery,
        terms: &mut Terms,
        embedded: &Embedded,
        now: u64,
        out: &mut Vec<u8>,
    ) -> Option<Delivery> {
        match self.session.ready(&delivery, &terms.link, now) {
            Ready::Now => self.session.send(delivery, &mut terms.link, now, out),
            Ready::NoQuota => return Some(delivery),
            Ready::Expired => embedded.stats.dropped_expired.add(1),
            Ready::TooLarge => embedded.stats.dropped_too_large.add(1),
        }
        None
    }
}

fn expelled() -> End {
    End::Told(ReasonCode::UnspecifiedError, "the router has ended the link")
}
