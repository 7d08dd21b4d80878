//! What a person sees while the load runs: on a terminal a few lines that stay in place, elsewhere one plain line every
//! five seconds. Spawned by `main`, ended by dropping it. It must never write to standard output, where the results go.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::time::{Instant, interval};

use crate::ledger::{Totals, until_next_minute};
use crate::report::{clock, code, grouped};
use crate::world::{Phase, World};

const REFRESH: Duration = Duration::from_millis(200);
const PLAIN_LINE: Duration = Duration::from_secs(5);
/// The rate shown is the mean of this long.
const RATE_OVER: Duration = Duration::from_secs(2);

/// Shows progress in `lines` until the phase is [`Phase::Leaving`].
pub async fn show(world: Arc<World>, lines: MultiProgress) {
    if std::io::stderr().is_terminal() {
        on_terminal(&world, &lines).await;
    } else {
        as_lines(&world).await;
    }
}

async fn on_terminal(world: &World, lines: &MultiProgress) {
    let style = |template: &str| {
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─")
    };
    let length = world.options.run_for.as_millis() as u64;
    let bar = lines.add(ProgressBar::new(length));
    bar.set_style(style("{spinner:.cyan} {prefix:.bold}  {bar:30.cyan/dim}  {msg}"));
    let text = || {
        let line = lines.add(ProgressBar::new_spinner());
        line.set_style(style("  {prefix:.dim}  {wide_msg}"));
        line
    };
    let (counters, denials, window) = (text(), text(), text());
    counters.set_prefix("messages");
    denials.set_prefix("denials ");
    window.set_prefix("window  ");

    let mut speed = Speed::new();
    let mut ticks = interval(REFRESH);
    loop {
        ticks.tick().await;
        let phase = *world.phase.borrow();
        let view = View::of(world, phase);
        bar.set_position((view.published.as_millis() as u64).min(length));
        bar.set_prefix(view.doing);
        bar.set_message(view.fleet(world));
        bar.tick();
        let rate = speed.of(&view.totals);
        counters.set_message(format!("{} · {rate:.0}/s answered", view.counters(world)));
        denials.set_message(view.denials);
        window.set_message(view.window);
        if phase == Phase::Leaving {
            break;
        }
    }
    if let Err(error) = lines.clear() {
        eprintln!("(the progress lines could not be cleared: {error})");
    }
}

async fn as_lines(world: &World) {
    let mut phases = world.phase.subscribe();
    let mut ticks = interval(PLAIN_LINE);
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = phases.wait_for(|phase| *phase == Phase::Leaving) => return,
        }
        let view = View::of(world, *world.phase.borrow());
        eprintln!(
            "{} {}  {}  {}  denials: {}  {}",
            clock(SystemTime::now()),
            view.doing,
            view.fleet(world),
            view.counters(world),
            view.denials,
            view.window
        );
    }
}

/// One look at the run.
struct View {
    doing: &'static str,
    published: Duration,
    totals: Totals,
    denials: String,
    window: String,
}

impl View {
    fn of(world: &World, phase: Phase) -> View {
        let (doing, published) = match phase {
            Phase::Connecting => ("connecting", Duration::ZERO),
            Phase::Publishing(since) => ("publishing", since.elapsed()),
            Phase::Draining | Phase::Leaving => ("draining", world.options.run_for),
        };
        let ledger = world.ledger();
        let mut denials: Vec<String> = Vec::new();
        for (denial, times) in &ledger.denials {
            let resource = denial.resource.as_deref().unwrap_or("(not told)");
            let limit = denial.limit.as_ref().map(|limit| format!(" ({limit})")).unwrap_or_default();
            denials.push(format!("{} {} {resource}{limit} ×{}", denial.packet, code(denial), grouped(*times)));
        }
        if ledger.totals.closed > 0 {
            denials.push(format!("connections closed ×{}", grouped(ledger.totals.closed)));
        }
        if denials.is_empty() {
            denials.push("none".into());
        }
        let now = SystemTime::now();
        let left = until_next_minute(now);
        View {
            doing,
            published,
            totals: ledger.totals,
            denials: denials.join(" · "),
            window: format!("next window in {} s ({} UTC)", left.as_secs() + 1, clock(now + left)),
        }
    }

    fn fleet(&self, world: &World) -> String {
        let options = &world.options;
        format!(
            "{} of {} s · {} of {} connected",
            self.published.min(options.run_for).as_secs(),
            options.run_for.as_secs(),
            self.totals.connected,
            options.clients + options.subscribers
        )
    }

    fn counters(&self, world: &World) -> String {
        let totals = &self.totals;
        let mut text = match world.options.qos {
            0 => format!("sent {}", grouped(totals.accepted)),
            _ => format!("accepted {} · denied {}", grouped(totals.accepted), grouped(totals.denied)),
        };
        if world.options.subscribers > 0 {
            text += &format!(" · delivered {} · to come {}", grouped(totals.delivered), grouped(totals.missing));
        }
        for (name, count) in [("behind", totals.behind), ("offline", totals.offline)] {
            if count > 0 {
                text += &format!(" · {name} {}", grouped(count));
            }
        }
        text
    }
}

/// Answers per second, over the last moments.
struct Speed {
    since: Instant,
    answered: u64,
    rate: f64,
}

impl Speed {
    fn new() -> Speed {
        Speed { since: Instant::now(), answered: 0, rate: 0.0 }
    }

    fn of(&mut self, totals: &Totals) -> f64 {
        let passed = self.since.elapsed();
        if passed >= RATE_OVER {
            let answered = totals.accepted + totals.denied;
            self.rate = (answered - self.answered) as f64 / passed.as_secs_f64();
            self.answered = answered;
            self.since = Instant::now();
        }
        self.rate
    }
}
