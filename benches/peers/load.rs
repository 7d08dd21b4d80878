//! The load: publishers that send as fast as it goes or at an even pace, subscribers that count, all on one thread (and one
//! more that keeps the pace), so that the brokers have the rest of the machine. Called by the cases; a message is never
//! held back or dropped here but by TCP, and a run ends when all has arrived, or nothing for two seconds.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::{JoinSet, spawn_blocking, spawn_local, yield_now};
use tokio::time::sleep;

use crate::connection::{Connection, Failure, Result};
use crate::ledger::{Board, Faults, Ledger, Template, nanoseconds};
use crate::packets::{self, Packet};

/// Connections that are opened at one time.
const AT_ONCE: usize = 64;
/// What a publisher at full speed writes at once, in bytes.
const BATCH: usize = 16 << 10;
/// How long nothing must arrive for what is missing to count as lost.
const SILENCE: Duration = Duration::from_secs(2);

/// Who publishes what, and who is to get it.
pub struct Plan {
    pub publishers: Vec<Publisher>,
    pub subscribers: Vec<Subscriber>,
    /// Whether the subscribers share one subscription: then each message goes to one of them.
    pub shared: bool,
    pub qos: u8,
    /// In bytes.
    pub payload: usize,
}

pub struct Publisher {
    pub topic: String,
    /// What it subscribes itself, where nobody publishes.
    pub own_filter: Option<String>,
}

pub struct Subscriber {
    pub filter: String,
    /// Those whose messages it is to get.
    pub publishers: Range<u32>,
}

/// How the publishers go about it.
#[derive(Clone, Copy)]
pub enum Drive {
    /// As fast as TCP takes it, with no more than `window` unacknowledged at QoS 1.
    Flood { window: u32 },
    /// So many a second in all, in turn, each alone in its TCP segment.
    Paced { per_second: u32 },
}

/// What one run came to.
pub struct Totals {
    pub sent: u64,
    pub delivered: u64,
    /// From the first message sent to the last that arrived.
    pub elapsed: Duration,
    /// In nanoseconds.
    pub latencies: Histogram<u64>,
    /// Of all runs of the stage so far.
    pub faults: Faults,
}

/// All clients of a plan, connected and subscribed.
pub struct Stage {
    plan: Plan,
    board: Rc<Board>,
    ledgers: Vec<Rc<RefCell<Ledger>>>,
    publishers: Vec<Connection>,
    writers: Vec<Writer>,
    /// By publisher, how many messages it has sent.
    sent: Rc<[Cell<u32>]>,
    attending: JoinSet<()>,
}

/// Opens `count` of something, some at a time, and gives them in order.
pub async fn open_all<T, F>(count: usize, open: impl Fn(usize) -> F) -> Result<Vec<T>>
where
    T: 'static,
    F: Future<Output = Result<T>> + 'static,
{
    let mut opened = Vec::with_capacity(count);
    for first in (0..count).step_by(AT_ONCE) {
        let last = count.min(first + AT_ONCE);
        let tasks: Vec<_> = (first..last).map(|number| spawn_local(open(number))).collect();
        for task in tasks {
            opened.push(task.await??);
        }
    }
    Ok(opened)
}

impl Stage {
    /// Connects everyone, subscribers first.
    pub async fn set(broker: SocketAddr, plan: Plan) -> Result<Self> {
        let qos = plan.qos;
        let filters: Vec<_> = plan.subscribers.iter().map(|subscriber| subscriber.filter.clone()).collect();
        let subscribers = open_all(filters.len(), |number| {
            let filter = [filters[number].clone()];
            async move {
                let mut connection = Connection::open(broker, &format!("subscriber-{number}"), None).await?;
                connection.subscribe(&filter, qos).await?;
                Ok(connection)
            }
        });
        let subscribers = subscribers.await?;
        let publishers = open_all(plan.publishers.len(), |number| {
            let own_filter = plan.publishers[number].own_filter.clone();
            async move {
                let mut connection = Connection::open(broker, &format!("publisher-{number}"), None).await?;
                if let Some(filter) = own_filter {
                    connection.subscribe(&[filter], qos).await?;
                }
                Ok(connection)
            }
        });
        let mut stage = Self {
            publishers: publishers.await?,
            writers: vec![],
            board: Rc::new(Board::new()),
            ledgers: vec![],
            sent: plan.publishers.iter().map(|_| Cell::new(0)).collect(),
            attending: JoinSet::new(),
            plan,
        };
        for (number, connection) in subscribers.into_iter().enumerate() {
            let publishers = stage.plan.subscribers[number].publishers.clone();
            let ledger = match stage.ledgers.first() {
                Some(shared) if stage.plan.shared => shared.clone(),
                _ => {
                    let ledger = Ledger::new(publishers, !stage.plan.shared, stage.plan.payload);
                    let ledger = Rc::new(RefCell::new(ledger));
                    stage.ledgers.push(ledger.clone());
                    ledger
                }
            };
            stage.attending.spawn_local(attend(connection, Some(ledger), stage.board.clone()));
        }
        Ok(stage)
    }

    /// Publishes for so long, and waits until everything has arrived. A stage that was driven at full speed has no
    /// publishers left; at a pace it can be driven again.
    pub async fn drive(&mut self, drive: Drive, duration: Duration) -> Result<Totals> {
        let (sent_before, received_before) = (self.sent(), self.board.received.get());
        self.board.take_latencies();
        let start = Instant::now();
        match drive {
            Drive::Flood { window } => self.flood(window, start + duration).await?,
            Drive::Paced { per_second } => self.pace(per_second, duration).await?,
        }
        let sent: Vec<u32> = self.sent.iter().map(Cell::get).collect();
        let mut faults = Faults::default();
        self.ledgers.iter().for_each(|ledger| faults.add(ledger.borrow().faults(&sent)));
        if self.plan.qos > 0 {
            faults.unacknowledged = self.sent().saturating_sub(self.board.acknowledged.get());
        }
        Ok(Totals {
            sent: self.sent() - sent_before,
            delivered: self.board.received.get() - received_before,
            elapsed: self.board.last.get().saturating_duration_since(start),
            latencies: self.board.take_latencies(),
            faults,
        })
    }

    fn sent(&self) -> u64 {
        self.sent.iter().map(|sent| u64::from(sent.get())).sum()
    }

    fn templates(&self) -> impl Iterator<Item = Template> {
        let (qos, payload) = (self.plan.qos, self.plan.payload);
        (0..).zip(&self.plan.publishers).map(move |(n, publisher)| Template::new(n, &publisher.topic, qos, payload))
    }

    async fn flood(&mut self, window: u32, until: Instant) -> Result<()> {
        let window = (self.plan.qos > 0).then_some(window);
        let writing = Rc::new(Cell::new(self.publishers.len()));
        let templates: Vec<_> = self.templates().collect();
        for (number, (connection, template)) in self.publishers.drain(..).zip(templates).enumerate() {
            let (board, sent, writing) = (self.board.clone(), self.sent.clone(), writing.clone());
            self.attending.spawn_local(async move {
                let flood = Flood { connection, template, window, until };
                match flood.run(&board, &sent[number]).await {
                    Ok(connection) => {
                        writing.set(writing.get() - 1);
                        attend(connection, None, board).await;
                    }
                    Err(failure) => fail(&board, "a publisher", &failure),
                }
            });
        }
        self.drained(|| writing.get() == 0).await
    }

    async fn pace(&mut self, per_second: u32, duration: Duration) -> Result<()> {
        if self.writers.is_empty() {
            let templates: Vec<_> = self.templates().collect();
            for (mut connection, template) in self.publishers.drain(..).zip(templates) {
                let half = connection.take_writer().ok_or("a connection has lost its writing side")?;
                self.writers.push(Writer { half, template, waiting: vec![] });
                self.attending.spawn_local(attend(connection, None, self.board.clone()));
            }
        }
        let (writers, epoch) = (std::mem::take(&mut self.writers), self.board.epoch());
        self.writers = spawn_blocking(move || keep_pace(writers, per_second, duration, epoch)).await??;
        for (sent, writer) in self.sent.iter().zip(&self.writers) {
            sent.set(writer.template.made());
        }
        self.drained(|| true).await
    }

    /// Waits until all that is sent has arrived and is acknowledged, once `written` says that nothing more will be sent.
    async fn drained(&self, written: impl Fn() -> bool) -> Result<()> {
        let copies = self.copies();
        let (mut before, mut since) = (None, Instant::now());
        loop {
            if let Some(failure) = self.board.failure.take() {
                return Err(failure.into());
            }
            let (sent, board) = (self.sent(), &self.board);
            let now = Some((sent, board.received.get(), board.acknowledged.get()));
            let acknowledged = self.plan.qos == 0 || board.acknowledged.get() >= sent;
            if written() && acknowledged && board.received.get() >= sent * copies {
                // What comes twice may come a little later.
                sleep(Duration::from_millis(20)).await;
                return Ok(());
            }
            if now != before {
                (before, since) = (now, Instant::now());
            } else if since.elapsed() > SILENCE {
                return Ok(());
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// How many subscribers a message goes to, the same for each publisher.
    fn copies(&self) -> u64 {
        let subscribers = self.plan.subscribers.iter().filter(|subscriber| subscriber.publishers.contains(&0)).count();
        if self.plan.shared { 1 } else { subscribers as u64 }
    }
}

fn fail(board: &Board, who: &str, failure: &Failure) {
    board.failure.borrow_mut().get_or_insert_with(|| format!("{who} was cut off: {failure}"));
}

/// Takes what comes: counts and acknowledges messages, counts acknowledgements.
async fn attend(mut connection: Connection, ledger: Option<Rc<RefCell<Ledger>>>, board: Rc<Board>) {
    let ended = poll_fn(|cx| {
        let mut now = None;
        let each = |packet: Packet<'_>, out: &mut Vec<u8>| {
            let now = *now.get_or_insert_with(Instant::now);
            match packet {
                Packet::Publish(message) => {
                    if let Some(ledger) = &ledger {
                        ledger.borrow_mut().note(&message, nanoseconds(now - board.epoch()), &board);
                    }
                    if let Some(id) = message.id {
                        packets::puback(out, id);
                    }
                }
                Packet::PubAck => board.acknowledged.set(board.acknowledged.get() + 1),
                _ => {}
            }
        };
        let closed = connection.poll_packets(cx, each)?;
        if let Some(now) = now {
            board.last.set(now);
        }
        // Where it is pending, it wakes this one too.
        let _ = connection.poll_flush(cx)?;
        closed.map(|()| Result::<()>::Err("the broker closed the connection".into()))
    });
    if let Err(failure) = ended.await {
        fail(&board, "a client", &failure);
    }
}

/// A publisher at full speed.
struct Flood {
    connection: Connection,
    template: Template,
    window: Option<u32>,
    until: Instant,
}

impl Flood {
    /// Gives the connection back once all is written, acknowledged or not.
    async fn run(mut self, board: &Board, sent: &Cell<u32>) -> Result<Connection> {
        let mut acknowledged = 0;
        loop {
            let now = Instant::now();
            if now >= self.until {
                return Ok(self.connection);
            }
            let time = nanoseconds(now - board.epoch());
            let most = self.window.map_or(u32::MAX, |window| acknowledged + window);
            while self.template.made() < most && self.connection.out.len() < BATCH {
                self.connection.out.extend_from_slice(self.template.next(time));
            }
            sent.set(self.template.made());
            let progress = poll_fn(|cx| {
                let flushed = self.connection.poll_flush(cx)?;
                let closed = self.connection.poll_packets(cx, |packet, _| {
                    if let Packet::PubAck = packet {
                        acknowledged += 1;
                        board.acknowledged.set(board.acknowledged.get() + 1);
                    }
                })?;
                if closed.is_ready() {
                    return Poll::Ready(Err("the broker closed the connection".into()));
                }
                let room = self.window.is_none_or(|window| self.template.made() - acknowledged < window);
                if flushed.is_ready() && room { Poll::Ready(Result::Ok(())) } else { Poll::Pending }
            });
            progress.await?;
            // The subscribers' turn.
            yield_now().await;
        }
    }
}

/// A publisher that is told when.
struct Writer {
    half: OwnedWriteHalf,
    template: Template,
    /// What TCP did not take yet.
    waiting: Vec<u8>,
}

impl Writer {
    fn send(&mut self, time: u64) -> Result<()> {
        let message = self.template.next(time);
        if self.waiting.is_empty() {
            match self.half.try_write(message) {
                Ok(written) => self.waiting.extend_from_slice(&message[written..]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.waiting.extend_from_slice(message),
                Err(error) => return Err(error.into()),
            }
            return Ok(());
        }
        self.waiting.extend_from_slice(message);
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        while !self.waiting.is_empty() {
            match self.half.try_write(&self.waiting) {
                Ok(written) => drop(self.waiting.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Has the writers send in turn, evenly. When it comes late it catches up, but not beyond the end.
fn keep_pace(mut writers: Vec<Writer>, per_second: u32, duration: Duration, epoch: Instant) -> Result<Vec<Writer>> {
    let start = Instant::now();
    let interval = Duration::from_secs(1) / per_second;
    let mut due = start;
    let mut turns = (0..writers.len()).cycle();
    loop {
        let now = Instant::now();
        if now - start >= duration {
            break;
        }
        if now < due {
            thread::sleep(due - now);
            continue;
        }
        if let Some(turn) = turns.next() {
            writers[turn].send(nanoseconds(now - epoch))?;
        }
        due += interval;
    }
    let deadline = Instant::now() + SILENCE;
    while writers.iter().any(|writer| !writer.waiting.is_empty()) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
        writers.iter_mut().try_for_each(Writer::flush)?;
    }
    Ok(writers)
}

/// Runs the clients of a run, all on this thread; whatever is left of them ends with it.
pub fn on_reactor<T>(run: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, run)
}
