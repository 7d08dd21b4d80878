//! What the API says, as types: served as JSON, described in `/api/v1/openapi.json`, and read back by `weir top` and `weir
//! usage`. Times are RFC 3339 in UTC. Plain data, with nothing of HTTP in it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One resource and one of its rates: how much of it is used in the current window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Limit {
    /// `connect`, `publish`, `receive`, `subscribe`, `publish_bytes`, `receive_bytes`, or a name of the operator's own.
    pub resource: String,
    /// The rate as it is configured, such as `250/min`; nothing where the resource is unlimited.
    pub limit: Option<String>,
    /// How much fits in a window, in requests or bytes; nothing where the resource is unlimited.
    pub max: Option<u64>,
    /// The window: `s`, `min`, `h`, `day` or `month`.
    pub window: String,
    /// How much was used in the current window.
    pub used: u64,
    /// How many requests were denied in it (with `enforce: false`: would have been).
    pub denied: u64,
    /// Whole seconds until the window ends, rounded up.
    pub reset_seconds: u64,
    /// When the window ends.
    pub resets_at: String,
}

/// A profile in the list of profiles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// The plan it is on.
    pub plan: String,
    /// Whether its limits are enforced, or only counted.
    pub enforce: bool,
    /// How many of its clients are connected.
    pub connections: u64,
    /// How many devices are configured.
    pub devices: u64,
    /// How full its fullest limit is: used by limit, 1.0 at the limit; 0 where nothing is limited.
    pub fullest: f64,
    /// The resource of the fullest limit; nothing where nothing is limited.
    pub fullest_resource: Option<String>,
    /// Requests denied in the current windows, over all resources.
    pub denied: u64,
    /// Every resource and rate.
    pub limits: Vec<Limit>,
}

/// A page of the list of profiles, the fullest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Profiles {
    /// The profiles of this page.
    pub profiles: Vec<Profile>,
    /// How many there are in all.
    pub total: u64,
    /// What to give as `cursor` for the next page; nothing on the last.
    pub next: Option<String>,
}

/// What one device did; of all its clients together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeviceActivity {
    /// The device; `(anonymous)` for clients without credentials.
    pub device: String,
    /// How many of its clients are connected.
    pub connections: u64,
    /// Messages it has published in the current minute.
    pub published: u64,
    /// Messages it was sent in the current minute.
    pub received: u64,
    /// Its requests that were denied in the current minute.
    pub denied: u64,
    /// Messages it has published since the broker started.
    pub published_total: u64,
    /// Messages it was sent since the broker started.
    pub received_total: u64,
    /// Its requests that were denied since the broker started.
    pub denied_total: u64,
    /// Its own rates, where it has any, with what is used of them.
    pub limits: Vec<Limit>,
}

/// A denial as the client saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Denial {
    /// When.
    pub at: String,
    /// The client identifier.
    pub client_id: String,
    /// Its device; nothing for one without credentials.
    pub device: Option<String>,
    /// The resource whose limit was exceeded.
    pub resource: String,
    /// The rate that was exceeded.
    pub limit: String,
    /// Whole seconds until the window ends.
    pub retry_after: u64,
    /// The text of the answer: `Too many requests (Retry-After: 51)`.
    pub text: String,
    /// What the client was sent, such as `PUBACK 0x97 Quota exceeded`, or what happened where MQTT has no answer: `dropped`,
    /// `connection closed`, `waits for the next window`.
    pub answer: String,
    /// The version of MQTT that the client speaks: `3.1`, `3.1.1` or `5`; `HTTP` for the check API and `POST /data`.
    pub protocol: String,
}

/// All about one profile's limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProfileLimits {
    /// The profile as in the list.
    pub profile: Profile,
    /// The devices that were denied or did most in the current minute, those first; at most 50.
    pub busiest: Vec<DeviceActivity>,
    /// The last denials, the newest first; at most 50.
    pub denials: Vec<Denial>,
}

/// One step of a usage series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsagePoint {
    /// When the step begins.
    pub at: String,
    /// How much was used in it.
    pub used: u64,
    /// How many requests were denied in it.
    pub denied: u64,
}

/// Used and denied over time, of one resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageSeries {
    /// The resource.
    pub resource: String,
    /// The rates that hold for it now, as configured.
    pub limits: Vec<String>,
    /// The sum of `used` over all points.
    pub used: u64,
    /// The sum of `denied` over all points.
    pub denied: u64,
    /// One point for each step, in order, zeros included.
    pub points: Vec<UsagePoint>,
}

/// Used and denied over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// The profile.
    pub profile: String,
    /// The device, where one was asked for.
    pub device: Option<String>,
    /// The beginning of the first step.
    pub from: String,
    /// The end of the last step.
    pub to: String,
    /// `1m`, `1h`, `1d` or `1mo`.
    pub step: String,
    /// One series for each resource that was asked for.
    pub series: Vec<UsageSeries>,
}

/// A connected client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Client {
    /// Its profile.
    pub profile: String,
    /// Its client identifier.
    pub client_id: String,
    /// Its device; nothing for one without credentials.
    pub device: Option<String>,
    /// The version of MQTT it speaks: `3.1`, `3.1.1` or `5`.
    pub protocol: String,
    /// Where it connects from; nothing over a Unix socket.
    pub peer: Option<String>,
    /// How many filters it subscribes.
    pub subscriptions: u64,
    /// Messages that wait for it.
    pub queued: u64,
}

/// A page of the list of clients, by profile and client identifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Clients {
    /// The clients of this page.
    pub clients: Vec<Client>,
    /// How many there are in all.
    pub total: u64,
    /// What to give as `cursor` for the next page; nothing on the last.
    pub next: Option<String>,
}

/// The broker itself, now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct System {
    /// The version of Weir.
    pub version: String,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// The time at the broker.
    pub now: String,
    /// Processor time per wall time over the last ten seconds: 1.0 is one processor all the time.
    pub cpu: f64,
    /// Resident memory in bytes.
    pub memory: u64,
    /// Open connections.
    pub connections: u64,
    /// Application messages from clients, a second, over the last ten seconds.
    pub messages_in_rate: f64,
    /// Application messages to clients, a second, over the last ten seconds.
    pub messages_out_rate: f64,
    /// Every figure of the broker by name: what came in, what went out, what was dropped and why.
    pub figures: std::collections::BTreeMap<String, u64>,
}

/// The broker over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SystemHistory {
    /// Seconds in a step.
    pub step_seconds: u64,
    /// One point for each step that anything is known of, in order.
    pub points: Vec<SystemPoint>,
}

/// The broker in one step of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SystemPoint {
    /// When the step begins.
    pub at: String,
    /// Processor time per wall time: 1.0 is one processor all the time. The mean of the step.
    pub cpu: f64,
    /// Resident memory in bytes: the highest of the step.
    pub memory: u64,
    /// Open connections: the highest of the step.
    pub connections: u64,
    /// Application messages from clients, a second: the mean of the step.
    pub messages_in: f64,
    /// Application messages to clients, a second: the mean of the step.
    pub messages_out: f64,
}

/// What is asked of the check API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The profile whose limit is asked for.
    pub profile: String,
    /// The device, whose own rates must fit too.
    #[serde(default)]
    pub device: Option<String>,
    /// The resource: one of the plan's, such as `POST /data`.
    pub resource: String,
    /// How much it costs; 1 where it is left out, and 0 to ask whether one more fits, without counting.
    #[serde(default = "one")]
    #[schema(minimum = 0, maximum = 1_000_000_000, default = 1)]
    pub cost: u64,
}

fn one() -> u64 {
    1
}

/// That a request fits: it is counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Checked {
    /// Always true.
    pub status: bool,
    /// The limit with the least left; nothing where the resource is unlimited.
    pub limit: Option<Limit>,
}

/// That a request does not fit. Its status is 429.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TooMany {
    /// Always false.
    pub status: bool,
    /// `Too many requests (Retry-After: S)`.
    pub message: String,
}

/// What became of a message that came by `POST /data`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Published {
    /// Always true.
    pub status: bool,
    /// `1 message accepted`.
    pub result: String,
}

/// A device that is added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDevice {
    /// Its name: 1 to 64 of the letters a-z and A-Z, digits, `-`, `_` and `.`.
    #[schema(pattern = "^[A-Za-z0-9_.-]{1,64}$")]
    pub name: String,
    /// Rates of its own, as in `broker.yaml`: `{"publish": ["60/min"]}`.
    #[serde(default)]
    pub limits: std::collections::BTreeMap<String, Vec<String>>,
}

/// A device that was added, with its token, which is shown this once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AddedDevice {
    /// The profile.
    pub profile: String,
    /// The device.
    pub name: String,
    /// What the device gives as its MQTT password, with user name `Token`.
    pub token: String,
}

/// What went wrong, as `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A URI that names the kind of problem; `about:blank` where the status says it all.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong, and what was expected.
    pub detail: String,
}
