//! The loop of a connected client: read all there is, handle all of it, take all that waits for the client, write once. It
//! sleeps until the socket, the mailbox or a moment wakes it. What packets mean is in `inbound`, what goes out in `outbound`, and
//! how it is written in `writing`.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use super::answer::{self, Addressee, Reasons};
use super::closing::{forget_will, leave, linger, write_all};
use super::counted;
use super::end::{End, How, Step};
use super::outbox;
use super::own_topics::OwnTopics;
use super::relayed::Relayed;
use super::scratch::{self, Scratch};
use super::tallies::{Aliases, Denials, Unsent};
use super::writing::lost;
use super::{Open, give_way};
use crate::clock::Now;
use crate::config::Config;
use crate::hooks::{Authenticator, Client};
use crate::hub::Hub;
use crate::identity::{Access, Identity, Names};
use crate::limits::{Plan, UnixMillis};
use crate::net::ByteStream;
use crate::router::{Message, Publisher, Signal, WakeFor};
use crate::session::{Link, Session};
use crate::wire::{ReasonCode, Version};

/// What the handshake has settled.
pub(super) struct Settings {
    /// Of the configuration that `config` is.
    pub(super) generation: u64,
    pub(super) config: Arc<Config>,
    pub(super) plan: Arc<Plan>,
    pub(super) identity: Identity,
    pub(super) client: Arc<Client>,
    /// This connection's number in the registry.
    pub(super) owner: u64,
    pub(super) session: Session,
    pub(super) link: Link,
    pub(super) access: Access,
    /// The will and its delay in seconds.
    pub(super) will: Option<(Message, u32)>,
    /// Seconds; 0 for none.
    pub(super) keep_alive: u16,
    /// Seconds after the end of the connection; [`u32::MAX`] for ever.
    pub(super) session_expiry: u32,
    /// The largest packet the client may send.
    pub(super) max_packet_size: u32,
    pub(super) wants_reasons: bool,
    /// How the client has proved who it is, if by an authentication method.
    pub(super) authentication: Option<Box<Authentication>>,
}

/// What a connection begins with, and does not keep.
pub(super) struct Beginning {
    /// The CONNACK, not yet sent.
    pub(super) connack: Vec<u8>,
    /// What the client has sent after its CONNECT.
    pub(super) input: Vec<u8>,
    /// The other side, where the client is relayed.
    pub(super) relayed: Option<Box<Relayed>>,
}

/// The authentication method of a connection, and the exchange that is under way to authenticate once more.
pub(super) struct Authentication {
    pub(super) method: Box<str>,
    pub(super) exchange: Option<Box<dyn Authenticator>>,
}

pub(super) struct Connection {
    pub(super) hub: Arc<Hub>,
    pub(super) stream: ByteStream,
    pub(super) settings: Box<Settings>,
    /// The beginning of a frame whose rest has not come, or frames that may not be handled yet.
    input: Vec<u8>,
    /// What the socket would not take yet.
    pub(super) unsent: Unsent,
    pub(super) publisher: Publisher,
    /// Topics that the client has given aliases, by alias less one.
    pub(super) aliases: Option<Box<Aliases>>,
    /// When the client was last heard, in monotonic milliseconds.
    pub(super) heard: u64,
    /// Reading is paused until then (wall clock), under `publish: pause`.
    pub(super) paused: Option<UnixMillis>,
    /// Deliveries of QoS 1 and 2 wait until then (wall clock), under `receive: defer`.
    pub(super) deferred: Option<UnixMillis>,
    /// The other side, where the client is relayed.
    pub(super) relayed: Option<Box<Relayed>>,
    /// How often the client was denied in the current window of each kind.
    pub(super) denials: Option<Box<Denials>>,
    /// The broker's own topics that the client has subscribed.
    pub(super) own: Option<Box<OwnTopics>>,
    timer: Option<Timer>,
    /// Whether it was worked on before.
    begun: bool,
    /// Whether bytes are in the outbox that it does not know to be sent.
    pub(super) posted: bool,
    /// Counts it as open.
    _open: Open,
}

/// The task of a connection: it serves the client until it is gone, and leaves its session in order. A future made by hand, as
/// it is what an idle client keeps: two words, while what it takes to end is allocated when it ends.
pub(super) struct Serving {
    working: Option<Box<Connection>>,
    ending: Option<Box<Ending>>,
}

type Ending = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Serving {
    pub(super) fn new(connection: Box<Connection>) -> Self {
        Serving { working: Some(connection), ending: None }
    }
}

impl Future for Serving {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(connection) = &mut self.working {
            let Poll::Ready(end) = connection.poll(cx) else { return Poll::Pending };
            if let Some(connection) = self.working.take() {
                self.ending = Some(Box::new(Box::pin(connection.close(end))));
            }
        }
        match &mut self.ending {
            Some(ending) => ending.as_mut().as_mut().poll(cx),
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // The runtime ends, and the socket is closed: nobody may write to its number afterwards.
        if let Some(connection) = &self.working
            && connection.posted
        {
            connection.settings.session.mailbox().abandon();
        }
    }
}

struct Timer {
    /// Monotonic milliseconds.
    at: u64,
    sleep: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// While this much waits to be written to a client, nothing more is read from it.
pub(super) const UNSENT_HIGH: usize = 256 * 1024;
/// Rounds of the loop, and bytes read in them, before other connections are let in: one that sends as fast as it can takes no more
/// of each turn than the others can spare.
const ROUNDS: usize = 8;
const TURN: usize = 64 * 1024;
/// Milliseconds after which a wait for a moment of the wall clock is looked at again.
const WALL_CLOCK_CHECK: u64 = 30_000;

impl Connection {
    pub(super) fn new(
        hub: Arc<Hub>,
        stream: ByteStream,
        settings: Box<Settings>,
        beginning: Beginning,
        open: Open,
    ) -> Self {
        let Beginning { connack, input, relayed } = beginning;
        let now = hub.clock.now();
        let heard = now.mono;
        let own = OwnTopics::of(&settings.session, now);
        if own.is_some() {
            settings.client.account.watch(settings.session.mailbox());
        }
        Connection {
            input,
            unsent: Unsent::from(connack),
            relayed,
            settings,
            hub,
            stream,
            publisher: Publisher::default(),
            aliases: None,
            heard,
            paused: None,
            deferred: None,
            denials: None,
            own,
            timer: None,
            begun: false,
            posted: false,
            _open: open,
        }
    }

    /// Works on whatever there is; ready with the end.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Box<End>> {
        // A panic ends this connection alone. Its session ends with it: what state it is in nobody can say.
        let now = self.hub.clock.now();
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| {
            scratch::with(|scratch| {
                let begin = !std::mem::replace(&mut self.begun, true);
                match self.work(cx, now, scratch, begin) {
                    Ok(()) => Poll::Pending,
                    Err(end) => {
                        // What was handled before the end is answered.
                        self.unsent.append(&scratch.out);
                        Poll::Ready(end)
                    }
                }
            })
        }));
        let polled = polled.unwrap_or_else(|_| {
            self.hub.stats.panics.add(1);
            self.settings.session_expiry = 0;
            Poll::Ready(End::told(ReasonCode::UnspecifiedError, "the broker failed on this connection"))
        });
        counted::settle(&self.hub.stats, &self.settings.client, now.wall);
        outbox::turn(now.mono);
        polled
    }

    /// Works until there is nothing to do, and arranges to be woken. What is there is of one moment.
    fn work(&mut self, cx: &mut Context<'_>, now: Now, scratch: &mut Scratch, begin: bool) -> Step<()> {
        let mut handle_input = begin;
        let (mut rounds, mut read, mut look) = (0, 0, true);
        // Whether there may be something to deliver that had to wait for what is posted.
        let mut held_up = false;
        while rounds < ROUNDS && read < TURN {
            rounds += 1;
            if std::mem::take(&mut look) {
                self.look_around(now, scratch)?;
            }
            let mut progress = false;
            if self.paused.is_some_and(|until| until <= now.wall) {
                self.paused = None;
                self.heard = now.mono;
                handle_input = true;
            }
            if std::mem::take(&mut handle_input) && !self.input.is_empty() {
                let input = std::mem::take(&mut self.input);
                self.handle(input, now, scratch)?;
                progress = true;
            }
            let taken = self.relayed.as_ref().is_none_or(|relayed| relayed.takes_more());
            if self.paused.is_none() && self.unsent.len() < UNSENT_HIGH && taken {
                let bytes = self.read(cx, now, scratch)?;
                progress |= bytes > 0;
                read += bytes;
            }
            let mut delivered = false;
            if (self.unsent.is_empty() && !self.posted) || begin {
                delivered = self.deliver(now, scratch)?;
                delivered |= self.deliver_own(now, &mut scratch.out);
            } else if self.posted {
                held_up |= progress || rounds == 1;
            }
            if self.relayed.is_some() {
                progress |= self.exchange(cx, now, scratch)?;
            }
            counted::settle(&self.hub.stats, &self.settings.client, now.wall);
            progress |= self.write(cx, now, scratch)?;
            // Until what is posted is sent nothing more is delivered.
            if progress || (delivered && !self.posted) {
                continue;
            }
            self.check_keep_alive(now)?;
            if self.poll_timer(cx, now) {
                continue;
            }
            let wanted = match (self.posted, self.unsent.is_empty()) {
                (true, empty) if held_up || !empty || self.own.is_some() => WakeFor::Landing,
                (_, false) => WakeFor::Signal,
                (_, true) if self.room() > 0 => WakeFor::Message,
                (_, true) => WakeFor::Urgent,
            };
            if self.settings.session.mailbox().arm(cx.waker(), wanted) {
                return Ok(());
            }
            look = true;
        }
        // Others want to work too; we are not done.
        give_way(cx);
        Ok(())
    }

    /// Notices what has happened elsewhere: bytes that were sent or came back, a signal, another configuration.
    fn look_around(&mut self, now: Now, scratch: &mut Scratch) -> Step<()> {
        if self.posted
            && let Poll::Ready(landed) = self.settings.session.mailbox().landed()
        {
            self.posted = false;
            if self.take_back(landed)? {
                // What was said meanwhile goes out with what there is to say now.
                self.unsent.move_to(&mut scratch.out);
            }
        }
        if let Some(signal) = self.settings.session.mailbox().take_signal() {
            return Err(match signal {
                Signal::TakenOver => {
                    End::told(ReasonCode::SessionTakenOver, "another connection has taken the client identifier")
                }
                Signal::Shutdown => {
                    // What was published before goes out before the goodbye.
                    while scratch.out.len() < UNSENT_HIGH && self.deliver(now, scratch)? {}
                    End::told(ReasonCode::ServerShuttingDown, "the broker is shutting down")
                }
                Signal::Administrative => End::told(ReasonCode::AdministrativeAction, "disconnected by the operator"),
            });
        }
        if self.settings.generation != self.hub.generation() {
            self.refresh(now)?;
        }
        Ok(())
    }

    /// Takes up a changed configuration.
    fn refresh(&mut self, now: Now) -> Step<()> {
        let settings = &mut *self.settings;
        settings.generation = self.hub.generation();
        settings.config = self.hub.config.load_full();
        if !self.hub.still_holds(&settings.identity) {
            return Err(End::told(ReasonCode::AdministrativeAction, "the device is not configured any more"));
        }
        let client = &settings.client;
        let account = Arc::clone(&client.account);
        settings.client =
            Arc::new(Client { meters: account.device_meters(client.device.as_ref()), ..Client::clone(client) });
        let names = Names {
            device: settings.identity.device.as_deref().unwrap_or(""),
            client_id: &settings.client.client_id,
            profile: account.name(),
        };
        settings.access = Access::new(&settings.config.acl, names);
        settings.plan = account.plan();
        settings.session.mailbox().set_caps(account.queue_caps());
        // A higher rate may let through now what was to wait.
        self.deferred = None;
        if self.paused.is_some() {
            self.paused = Some(now.wall);
        }
        Ok(())
    }

    /// Reads once and handles what has come; tells how many bytes have.
    fn read(&mut self, cx: &mut Context<'_>, now: Now, scratch: &mut Scratch) -> Step<usize> {
        let mut buffer = std::mem::take(&mut scratch.read);
        let mut read = ReadBuf::new(&mut buffer);
        let result = match Pin::new(&mut self.stream).poll_read(cx, &mut read) {
            Poll::Pending => Ok(0),
            Poll::Ready(Err(error)) => Err(lost(error)),
            Poll::Ready(Ok(())) if read.filled().is_empty() => {
                Err(End::lost(ReasonCode::UnspecifiedError, "the connection was closed without a DISCONNECT"))
            }
            Poll::Ready(Ok(())) => {
                self.heard = now.mono;
                counted::read(read.filled().len());
                if self.input.is_empty() {
                    self.process(read.filled(), now, &mut scratch.out).map(|handled| {
                        self.input.extend_from_slice(&read.filled()[handled..]);
                    })
                } else {
                    let mut input = std::mem::take(&mut self.input);
                    input.extend_from_slice(read.filled());
                    self.handle(input, now, scratch)
                }
                .map(|()| read.filled().len())
            }
        };
        scratch.read = buffer;
        result
    }

    /// Handles the frames of the input, and keeps what is left of it.
    fn handle(&mut self, mut input: Vec<u8>, now: Now, scratch: &mut Scratch) -> Step<()> {
        let handled = self.process(&input, now, &mut scratch.out)?;
        input.drain(..handled);
        if !input.is_empty() {
            self.input = input;
        }
        Ok(())
    }

    /// [MQTT-3.1.2-22]: silence for one and a half times the keep-alive counts as a lost network. While we do not read, the
    /// client cannot be heard, and is not blamed.
    fn check_keep_alive(&self, now: Now) -> Step<()> {
        match self.keep_alive_ends() {
            Some(ends) if now.mono >= ends => {
                Err(End::told(ReasonCode::KeepAliveTimeout, "nothing was heard for 1.5 times the keep-alive"))
            }
            _ => Ok(()),
        }
    }

    fn keep_alive_ends(&self) -> Option<u64> {
        let keep_alive = self.settings.keep_alive;
        (keep_alive > 0 && self.paused.is_none()).then(|| self.heard + u64::from(keep_alive) * 1500)
    }

    /// Sees to it that the next moment that matters wakes us; tells whether it is already there.
    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        // Looked at again now and then: the wall clock may jump.
        let wall = |at: UnixMillis| now.mono + at.0.saturating_sub(now.wall.0).min(WALL_CLOCK_CHECK);
        let moments = [
            self.keep_alive_ends(),
            self.paused.map(wall),
            self.deferred.filter(|at| *at > now.wall).map(wall),
            // What the client does not take yet it is not told either; when it does, this is asked again.
            self.own.as_ref().and_then(|own| own.due()).filter(|_| self.unsent.is_empty() && !self.posted),
            self.relayed.as_ref().and_then(|relayed| relayed.ping_due()),
        ];
        let Some(next) = moments.into_iter().flatten().min() else {
            self.timer = None;
            return false;
        };
        // A timer that rings too early is wound again then: so a busy client does not wind it with every packet.
        let timer = match &mut self.timer {
            // It has our waker, which stays the same, and is not asked before its time. A clock that is moved by hand forgets whom it
            // has woken too early.
            Some(timer) if timer.at <= next && now.mono < timer.at && self.hub.clock.is_the_systems() => return false,
            Some(timer) if timer.at <= next => timer,
            slot => slot.insert(Timer { at: next, sleep: Box::pin(self.hub.clock.sleep_until(next)) }),
        };
        let rang = timer.sleep.as_mut().poll(cx).is_ready();
        if rang {
            self.timer = None;
        }
        rang
    }

    pub(super) fn version(&self) -> Version {
        self.settings.link.version()
    }

    pub(super) fn addressee(&self) -> Addressee {
        Addressee { max_packet_size: self.settings.link.max_packet_size(), wants_reasons: self.settings.wants_reasons }
    }

    /// Carries out the end: first the session, which another connection may wait for, then the last bytes.
    async fn close(mut self: Box<Self>, end: Box<End>) {
        let client = Arc::clone(&self.settings.client);
        if self.posted {
            self.land().await;
        }
        if let (How::Told, Some(relayed)) = (end.how, &mut self.relayed) {
            let mut answers = Vec::new();
            relayed.drain(&self.hub, &mut answers).await;
            self.unsent.append(&answers);
        }
        if end.how == How::Told && self.version() == Version::V5 {
            let reasons = Reasons { text: &end.text, denial: end.denial.as_deref() };
            let mut out = Vec::new();
            answer::disconnect(&mut out, self.settings.link.max_packet_size(), end.reason, &reasons);
            self.unsent.append(&out);
        }
        let now = self.hub.clock.now();
        self.hub.hooks.disconnect(&client, end.reason, now);
        let Connection { hub, mut stream, mut settings, unsent, relayed, _open, .. } = *self;
        if let Some(relayed) = relayed {
            let forget_will = forget_will(&hub, &mut settings, &end, now);
            relayed.close(&hub, &end, forget_will, settings.session_expiry).await;
        }
        leave(&hub, *settings, &end, now);
        tracing::info!(
            profile = client.profile(),
            device = client.device().unwrap_or("-"),
            client = client.client_id(),
            reason = %end.reason,
            why = %end.text,
            "disconnected"
        );
        if end.how == How::Told {
            write_all(&hub, &mut stream, unsent.bytes()).await;
            linger(&hub, &mut stream).await;
        }
    }
}
