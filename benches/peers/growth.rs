//! Whether memory comes back: clients come, subscribe, publish and leave, round after round, each with names that were never
//! used before; then a million topics. Called by the command line with `--case growth`.

use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::broker::{Broker, Peer, Setup};
use crate::cases::{Effort, PAYLOAD};
use crate::connection::{Connection, Result};
use crate::load::{on_reactor, open_all};
use crate::packets::{self, Packet};
use crate::report::{Progress, Table, grouped};

const ROUNDS: usize = 10;
const CLIENTS: usize = 15_000;
const FILTERS_EACH: usize = 3;
const TOPICS_EACH: usize = 10;
const UNIQUE_TOPICS: usize = 1_000_000;
/// Topics between two answers that are waited for.
const BATCH: usize = 1_000;
/// How long a broker has to clear up.
const PAUSE: Duration = Duration::from_secs(2);

/// Measures each of `peers` once.
pub fn measure(peers: &[Peer], backend: &str, effort: Effort, progress: &Progress) -> Vec<Table> {
    let rounds = if effort.quick { 2 } else { ROUNDS };
    let mut names = vec!["at the start".to_owned()];
    names.extend((1..=rounds).map(|round| format!("after round {round}")));
    names.push(format!("round {rounds} ÷ round 1"));
    names.push(format!("after {} unique topics", grouped(effort.count(UNIQUE_TOPICS) as f64)));
    let mut rows: Vec<Vec<String>> = names.into_iter().map(|name| vec![name]).collect();
    for &peer in peers {
        progress.step(&format!("growth · {}", peer.title()));
        let sizes = Broker::start(peer, Setup { backend, devices: 0, core: None })
            .and_then(|broker| on_reactor(grow(&broker, rounds, effort, progress)));
        let sizes = sizes.unwrap_or_else(|failure| {
            progress.line(&format!("growth · {} · failed: {failure}", peer.title()));
            vec![]
        });
        let mut cells: Vec<String> = sizes.iter().map(|&bytes| megabytes(bytes)).collect();
        if let (Some(&first), Some(&last)) = (sizes.get(1), sizes.get(rounds)) {
            cells.insert(rounds + 1, format!("{:.2}", last as f64 / first as f64));
        }
        cells.resize(rows.len(), "–".into());
        rows.iter_mut().zip(cells).for_each(|(row, cell)| row.push(cell));
    }
    let header: Vec<&str> = std::iter::once("resident").chain(peers.iter().map(|peer| peer.title())).collect();
    vec![Table::new(
        "growth",
        "Growth",
        &format!(
            "In each round {} clients connect, subscribe {FILTERS_EACH} filters of their own, publish to {TOPICS_EACH} topics \
             each, and leave, with names never used before. In the end one client publishes to topics never used before, and is \
             sent them. Memory of the broker's process, {} s after everyone has left.",
            grouped(effort.count(CLIENTS) as f64),
            PAUSE.as_secs()
        ),
        &header,
        rows,
    )]
}

async fn grow(broker: &Broker, rounds: usize, effort: Effort, progress: &Progress) -> Result<Vec<u64>> {
    let mut sizes = vec![broker.resident()?];
    for round in 1..=rounds {
        come_and_go(broker, round, effort.count(CLIENTS)).await?;
        sleep(PAUSE).await;
        let bytes = broker.resident()?;
        progress.line(&format!("growth · {} · round {round} of {rounds} · {}", broker.peer.title(), megabytes(bytes)));
        sizes.push(bytes);
    }
    publish_unique(broker, effort.count(UNIQUE_TOPICS)).await?;
    sleep(PAUSE).await;
    sizes.push(broker.resident()?);
    Ok(sizes)
}

/// All are there at once before the first leaves.
async fn come_and_go(broker: &Broker, round: usize, clients: usize) -> Result<()> {
    let address = broker.address;
    let there = open_all(clients, |n| async move {
        let mut client = Connection::open(address, &format!("growth-{round}-{n}"), None).await?;
        let filters: Vec<_> = (0..FILTERS_EACH).map(|k| format!("growth/{round}/{n}/down/{k}")).collect();
        client.subscribe(&filters, 1).await?;
        for k in 0..TOPICS_EACH {
            let topic = format!("growth/{round}/{n}/up/{k}");
            packets::publish(&mut client.out, &topic, Some(k as u16 + 1), &[b'w'; PAYLOAD]);
        }
        let mut missing = TOPICS_EACH;
        let acknowledged = |packet: Packet<'_>| {
            missing -= usize::from(matches!(packet, Packet::PubAck));
            (missing == 0).then_some(())
        };
        client.exchange(acknowledged).await?;
        Ok(client)
    });
    let leaving: Vec<_> = there.await?.into_iter().map(|client| spawn_local(client.leave())).collect();
    for task in leaving {
        task.await??;
    }
    Ok(())
}

async fn publish_unique(broker: &Broker, topics: usize) -> Result<()> {
    let mut client = Connection::open(broker.address, "unique", None).await?;
    client.subscribe(&["unique/+/state".into()], 0).await?;
    for first in (0..topics).step_by(BATCH) {
        for n in first..topics.min(first + BATCH) {
            packets::publish(&mut client.out, &format!("unique/{n}/state"), None, &[b'w'; PAYLOAD]);
        }
        client.ping().await?;
    }
    client.leave().await
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
