//! A topic space with one filter, with a thousand, with a million, without wildcards and with: what a match costs there, of the
//! same topic over and over and of any, and what a subscribe and an unsubscribe do. Each topic matches one filter.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion};
use weir::measuring::{Counters, Inbox, Message, Publisher, Space};
use weir::wire::QoS;

use crate::publish;

/// Devices of one site.
const SITE: usize = 1_000;
/// Publishers at a time of which each has its first match: few enough that their memory is used again.
const MATCHES: u64 = 64;
/// Subscriptions that are made, and then taken back, at a time.
const BATCH: u64 = 1_000;

pub fn measure(criterion: &mut Criterion) {
    for (count, wildcards) in [(1, false), (1_000, false), (1_000, true), (1_000_000, false), (1_000_000, true)] {
        let (space, inbox) = (Space::default(), Inbox::default());
        (0..count).for_each(|n| space.subscribe(&filter(n, wildcards), &inbox));
        let kind = if wildcards { "filters with wildcards" } else { "filters" };
        let name = |what: &str| format!("router/{what}/{kind}: {count}");
        matches(criterion, &space, count, name);
        subscribes(criterion, &space, count, wildcards, name);
    }
    fan_out(criterion);
}

fn topic(n: usize) -> String {
    format!("site/{}/device/{}", n / SITE, n % SITE)
}

/// The only filter that matches the topic of the same number.
fn filter(n: usize, wildcards: bool) -> String {
    let (site, device) = (n / SITE, n % SITE);
    match n % 4 {
        1 if wildcards => format!("site/{site}/+/{device}"),
        2 if wildcards => format!("site/{site}/device/{device}/#"),
        3 if wildcards => format!("+/{site}/device/{device}"),
        _ => topic(n),
    }
}

fn matches(criterion: &mut Criterion, space: &Space, count: usize, name: impl Fn(&str) -> String) {
    let route = |(mut publisher, topic): (Publisher, &str)| {
        black_box(publisher.route(space, black_box(topic)));
        publisher
    };
    let mut first_match = |what: &str, topics: &[String]| {
        let mut topics = topics.iter().cycle().map(String::as_str);
        let mut given = || (Publisher::default(), topics.next().expect("it goes round"));
        criterion.bench_function(&name(what), |b| b.iter_batched(&mut given, route, BatchSize::NumIterations(MATCHES)));
    };
    first_match("match, the same topic", &[topic(count / 2)]);
    // In an order that no cache foresees: what it takes to come by them is a part of the price.
    let any: Vec<String> = (0..count.min(100_000)).map(|n| topic(n * 7_919_737 % count)).collect();
    first_match("match, any topic", &any);
    first_match("match, no subscriber", &["site/0/device/none".into()]);

    let mut publisher = Publisher::default();
    let topic = topic(count / 2);
    criterion.bench_function(&name("match, remembered"), |b| {
        b.iter(|| {
            black_box(publisher.route(space, black_box(&topic)));
        });
    });
}

fn subscribes(criterion: &mut Criterion, space: &Space, count: usize, wildcards: bool, name: impl Fn(&str) -> String) {
    let inbox = Inbox::default();
    // Others than those that are there, among them and beside them.
    let filters: Vec<String> = (0..BATCH as usize)
        .map(|n| format!("{}/new-{n}", filter(n * 7_919_737 % count, wildcards).trim_end_matches("/#")))
        .collect();
    let subscribe = |filter: &String| space.subscribe(filter, &inbox);
    let unsubscribe = |filter: &String| space.unsubscribe(filter, &inbox);
    criterion.bench_function(&name("subscribe"), |b| {
        b.iter_custom(|times| in_batches(times, &filters, subscribe, unsubscribe).0);
    });
    criterion.bench_function(&name("unsubscribe"), |b| {
        b.iter_custom(|times| in_batches(times, &filters, subscribe, unsubscribe).1);
    });
}

/// Does one thing with each filter, and then the other, so many times in all; tells how long each took together.
fn in_batches(
    times: u64,
    filters: &[String],
    mut one: impl FnMut(&String),
    mut other: impl FnMut(&String),
) -> (Duration, Duration) {
    let (mut first, mut second) = (Duration::ZERO, Duration::ZERO);
    let mut left = times;
    while left > 0 {
        let batch = &filters[..left.min(BATCH) as usize];
        let start = Instant::now();
        batch.iter().for_each(&mut one);
        let half = Instant::now();
        batch.iter().for_each(&mut other);
        first += half - start;
        second += half.elapsed();
        left -= batch.len() as u64;
    }
    (first, second)
}

/// A publish from the remembered route to the mailboxes, which are emptied again.
fn fan_out(criterion: &mut Criterion) {
    let (space, stats, mut publisher) = (Space::default(), Counters::default(), Publisher::default());
    let mut inboxes: Vec<Inbox> = Vec::new();
    let topic = topic(0);
    let packet = publish(&topic, QoS::AtMostOnce);
    let mut body = (topic.len() as u16).to_be_bytes().to_vec();
    body.extend(topic.as_bytes());
    body.extend(packet.payload);
    let message = Message::from_publish(&body, &packet);
    for subscribers in [1, 50] {
        inboxes.resize_with(subscribers, Inbox::default);
        inboxes.iter().for_each(|inbox| space.subscribe(&topic, inbox));
        criterion.bench_function(&format!("router/publish and take/subscribers: {subscribers}"), |b| {
            b.iter(|| {
                assert_eq!(publisher.publish(&space, &message, &stats), subscribers);
                inboxes.iter_mut().for_each(|inbox| assert_eq!(inbox.take().count(), 1));
            });
        });
    }
}
