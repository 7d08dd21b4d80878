//! The command line: runs the broker (the default), checks a configuration, makes tokens, and shows what a broker says of itself.
//! All that the broker does is in the library; here are the words for it, the log, and the signals.

mod api_client;
mod clock_from_stdin;
mod numbers;
mod token;
mod top;
mod usage_report;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use weir::config::{self, ConfigError, Warning};
use weir::{Broker, Clock, Config};

/// A broker makes and drops small things by the million, on whichever thread: the system's allocator takes more time for that and
/// keeps more of it. By `cargo bench --bench peers`, 2026-11-22, pairs at QoS 0 cost 0.51 µs a message with it and 0.39 µs with this
/// one (and, in the same step, fewer tables for an idle client).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a wrong command line or configuration, or a port in use, ends with.
const UNUSABLE: u8 = 2;
/// Warnings that are shown one by one; of the rest only their number.
const SHOWN_WARNINGS: usize = 12;

/// An MQTT broker with hard limits built in.
///
/// Weir reads plans and profiles from broker.yaml, and holds the devices of each profile to its plan: so many connects,
/// publishes and deliveries a minute, never one more. Who is over a limit is told what was exceeded and how many seconds
/// to wait. It speaks MQTT 3.1, 3.1.1 and 5.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:\n  \
        weir                                   run with the broker.yaml of this directory\n  \
        weir run --config /etc/weir.yaml       run with another\n  \
        weir check                             what is wrong with it, or the limits that result\n  \
        weir token new                         a token for a device, and what to write into broker.yaml\n  \
        weir token password <secret.txt        the same for a device with a user name and a password\n  \
        weir top                               who is how close to a limit, live, from the broker that runs here\n  \
        weir usage -p acme --month 2026-11     what the profile acme has used, day by day; --format csv for billing\n\n\
        Signals:\n  \
        SIGHUP           read the configuration again; one that is broken changes nothing\n  \
        SIGTERM, SIGINT  say goodbye to the clients and end\n\n\
        Exit codes:\n  \
        0  all went well\n  \
        1  it could not be done: for top and usage, the broker does not answer or refuses\n  \
        2  the command line or the configuration is unusable, or an address to listen on is; nothing was started"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Command {
    /// Run the broker: what `weir` alone does too
    Run,
    /// Check the configuration: every error with its place, or the resulting limits as tables
    Check,
    /// Make credentials for devices
    #[command(subcommand)]
    Token(TokenCommand),
    /// Watch profiles and their limits live in the terminal, over the API of a running broker
    Top(top::TopArguments),
    /// Show what a profile has used and was denied: by the day, hour or minute, as a table, CSV or JSON
    Usage(usage_report::UsageArguments),
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Print a new random token, and its SHA-256 for broker.yaml
    New,
    /// Read a password from standard input, and print its Argon2id hash and its SCRAM keys for broker.yaml
    Password,
}

#[derive(Args)]
struct Options {
    /// The configuration
    #[arg(long, short, global = true, value_name = "FILE", default_value = "broker.yaml", env = "WEIR_CONFIG")]
    config: PathBuf,
    /// How log lines look; they go to standard error
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text", env = "WEIR_LOG_FORMAT")]
    log_format: LogFormat,
    /// The least important lines that are logged: error, warn, info, debug, trace or off
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info", env = "WEIR_LOG_LEVEL")]
    log_level: LevelFilter,
    /// For tests and rehearsals: the clock stands still, and each line of standard input moves it, to a time such as
    /// 2026-11-21T12:45:09Z or on by a time such as +51s
    #[arg(long, global = true, hide = true, value_name = "TIME")]
    clock: Option<clock_from_stdin::Start>,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// For programs: one object a line
    Json,
}

fn main() -> ExitCode {
    let Cli { command, options } = Cli::parse();
    match command {
        None | Some(Command::Run) => run(&options),
        Some(Command::Check) => check(&options.config),
        Some(Command::Token(TokenCommand::New)) => token::new(),
        Some(Command::Token(TokenCommand::Password)) => token::password(),
        Some(Command::Top(arguments)) => top::run(&arguments, &options.config).unwrap_or_else(|code| code),
        Some(Command::Usage(arguments)) => usage_report::run(&arguments, &options.config).unwrap_or_else(|code| code),
    }
}

/// Shows what is wrong with the configuration, or what it comes to.
fn check(path: &Path) -> ExitCode {
    match Config::load(path) {
        Ok(config) => {
            for warning in &config.warnings {
                eprintln!("{warning}");
            }
            print(format_args!("{}", config::table(&config).trim_end()))
        }
        Err(error) => failed(UNUSABLE, error),
    }
}

/// Tells standard error why the process ends with this code.
fn failed(code: impl Into<ExitCode>, why: impl std::fmt::Display) -> ExitCode {
    eprintln!("{why}");
    code.into()
}

/// Prints to standard output.
fn print(text: std::fmt::Arguments<'_>) -> ExitCode {
    written(writeln!(std::io::stdout(), "{text}"))
}

/// What writing to standard output came to. It may be closed: who reads the first lines only wants no more.
fn written(result: std::io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(options: &Options) -> ExitCode {
    let config = match Config::load(&options.config) {
        Ok(config) => config,
        Err(error) => {
            show(&error);
            return ExitCode::from(UNUSABLE);
        }
    };
    start_log(options);
    // Pages of two megabytes would make a broker of few clients as large as one of many. Where that cannot be said, so be it.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    // A connection is a file descriptor: take as many as we may have.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the number of open files cannot be raised: fewer clients can connect");
    }
    let runtime = match weir::runtime(config.threads) {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the threads of the broker cannot be started");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(serve(options, config));
    // A password check may still run; nobody waits for it.
    runtime.shutdown_background();
    code
}

/// Shows what is wrong with the configuration: to a person with the lines in question, to a log without, as lines of the file
/// may hold tokens.
fn show(error: &ConfigError) {
    if std::io::stderr().is_terminal() {
        eprintln!("{error}");
    } else {
        error.problems.iter().for_each(|problem| eprintln!("{problem}"));
    }
}

/// Runs the broker until it is told to end.
async fn serve(options: &Options, config: Config) -> ExitCode {
    warn(&config.warnings);
    let clock = match options.clock {
        Some(start) => clock_from_stdin::spawn(start),
        None => Clock::system(),
    };
    let signals = (signal(SignalKind::hangup()), signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut hangup), Ok(mut terminate), Ok(mut interrupt)) = signals else {
        tracing::error!("signals cannot be caught");
        return ExitCode::FAILURE;
    };
    let protocols: Vec<_> = config.listeners.iter().map(|listener| listener.protocol).collect();
    let (profiles, plans) = (config.profiles.len(), config.plans.len());
    let broker = match Broker::builder(config).clock(clock).start().await {
        Ok(broker) => broker,
        Err(error) => return failed(UNUSABLE, error),
    };
    for (address, protocol) in broker.addresses().iter().zip(protocols) {
        tracing::info!("listening on {address} ({protocol})");
    }
    if let Some(address) = broker.admin_address() {
        tracing::info!("dashboard, API and metrics on http://{address}/");
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), config = %options.config.display(), profiles, plans, "weir is up");
    loop {
        tokio::select! {
            _ = hangup.recv() => reload(&broker, &options.config),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    tracing::info!("shutting down");
    broker.shutdown().await;
    tracing::info!("goodbye");
    ExitCode::SUCCESS
}

/// Reads the configuration again. One that is broken changes nothing.
fn reload(broker: &Broker, path: &Path) {
    match Config::load(path) {
        Ok(config) => {
            warn(&config.warnings);
            let need_restart = broker.reload(config);
            tracing::info!(config = %path.display(), "configuration reloaded");
            for key in need_restart {
                tracing::warn!("`{key}` has changed: that needs a restart");
            }
        }
        Err(error) => {
            // Problem by problem: the whole error shows lines of the file, and those may hold tokens.
            for problem in &error.problems {
                tracing::error!("{problem}");
            }
            tracing::error!(config = %path.display(), "configuration not reloaded: what was in force stays in force");
        }
    }
}

fn warn(warnings: &[Warning]) {
    for warning in warnings.iter().take(SHOWN_WARNINGS) {
        tracing::warn!("{}: {}", warning.place, warning.message);
    }
    if let more @ 1.. = warnings.len().saturating_sub(SHOWN_WARNINGS) {
        tracing::warn!("and {more} more warnings: `weir check` shows them all");
    }
}

fn start_log(options: &Options) {
    // An embedded rumqttd says at each level what Weir says itself, for every connection and every packet.
    // The store's own words are for those who work on it: what is wrong with it, Weir says.
    let silent = ["rumqttd", "fjall", "lsm_tree"].map(|target| (target, LevelFilter::OFF));
    let levels = Targets::new().with_default(options.log_level).with_targets(silent);
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(levels);
    match options.log_format {
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal();
            registry.with(log.with_target(false).with_ansi(colours)).init();
        }
        LogFormat::Json => registry.with(log.json().flatten_event(true)).init(),
    }
}
