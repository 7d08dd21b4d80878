//! `POST /data`: a device publishes a message without MQTT. It counts `POST /data` where the plan has a rate for that; the rules
//! for the device's topics, the plan's caps and the hooks hold as over MQTT.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::header::HeaderName;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::auth::{Peer, peer, slowed};
use super::model::{Problem, Published, TooMany};
use super::params::{Params, shown};
use super::problem::Failure;
use super::{Admin, body, check};
use crate::account::Account;
use crate::config::Config;
use crate::edge::is_own;
use crate::hooks::{Client, PublishEvent, Verdict};
use crate::identity::{Access, Action, Identity, Names};
use crate::limits::Resource;
use crate::router::{Message, RetainOutcome};
use crate::wire::{QoS, ReasonCode, Version, validate_topic_name};

/// Where a device shows its token.
const TOKEN: HeaderName = HeaderName::from_static("device-token");
const SCHEME: &str = "Device-Token";
/// What it counts, and how hooks see its sender.
const COUNTED: &str = "POST /data";
/// What a PUBLISH has beside its topic and payload, at most: its header, and the lengths of topic and properties.
const OVERHEAD: usize = 12;

/// The device whose token is shown.
pub(super) struct Holder(Identity);

impl FromRequestParts<Arc<Admin>> for Holder {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> Result<Self, Failure> {
        let missing = || Failure::unauthorized("the header `Device-Token` with a device's token is expected", SCHEME);
        let token = parts.headers.get(&TOKEN).filter(|token| !token.is_empty()).ok_or_else(missing)?;
        let token = str::from_utf8(token.as_bytes()).unwrap_or_default();
        let found = slowed(admin, peer(parts), || admin.hub.directory.load().device(token)).await?;
        found.map(Holder).ok_or_else(|| Failure::unauthorized("this is no device's token", SCHEME))
    }
}

/// Publishes the body on a topic of the device's profile.
#[utoipa::path(
    post,
    path = "/data",
    operation_id = "publish",
    tag = "data",
    params(
        ("topic" = String, Query, description = "The topic name, as in MQTT.", min_length = 1),
        ("qos" = Option<u64>, Query, description = "The QoS: 0, 1 or 2.", minimum = 0, maximum = 2),
        ("retain" = Option<bool>, Query, description = "Whether it is kept as the topic's retained message."),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The payload."),
    responses(
        (status = 200, description = "It is published.", body = Published, headers(
            ("RateLimit-Policy" = String, description = "The rates that hold for `POST /data`."),
            ("RateLimit" = String, description = "What is left of them."),
        )),
        (status = 400, description = "A parameter is not what is expected."),
        (status = 403, description = "An access rule, a cap of the plan or a hook forbids it."),
        (status = 429, description = "It does not fit the limit. (Or there were too many wrong tokens from this address: then with a problem body.)", content((TooMany = "application/json"), (Problem = "application/problem+json")), headers(
            ("Retry-After" = String, description = "Seconds until the window ends."),
            ("RateLimit-Policy" = String, description = "The rates that hold."),
            ("RateLimit" = String, description = "What is left of them."),
        )),
    ),
    security(("device" = []))
)]
pub(super) async fn post(
    State(admin): State<Arc<Admin>>,
    Holder(identity): Holder,
    peer: Option<axum::Extension<Peer>>,
    uri: Uri,
    headers: HeaderMap,
    whole: Body,
) -> Result<Response, Failure> {
    let config = admin.hub.config.load_full();
    let wanted = Wanted::of(&uri, &config)?;
    let gone = || Failure::unauthorized("the profile of this device is not there any more", SCHEME);
    let account = admin.hub.account(&identity.profile).ok_or_else(gone)?;
    let caps = &account.plan().caps;
    let largest = caps.max_packet_size.unwrap_or(u32::MAX).min(config.mqtt.max_packet_size) as usize;
    let room = largest.saturating_sub(wanted.topic.len() + OVERHEAD);
    let payload = body::all(&headers, whole, room, &admin.hub.clock).await?;
    let fields = count(&admin, &account, &identity)?;
    let client = Client {
        meters: account.device_meters(identity.device.as_ref()),
        activity: account.device_activity(identity.device.as_ref(), admin.hub.clock.now().wall),
        device: identity.device,
        client_id: COUNTED.into(),
        version: Version::V5,
        peer: peer.map(|peer| (peer.0.0, 0)),
        account,
    };
    publish(&admin, &config, &client, &wanted, &payload)?;
    let published = Published { status: true, result: "1 message accepted".into() };
    Ok((StatusCode::OK, fields, Json(published)).into_response())
}

/// The message that the query asks for, without its payload.
struct Wanted {
    topic: String,
    qos: QoS,
    retain: bool,
}

impl Wanted {
    fn of(uri: &Uri, config: &Config) -> Result<Self, Failure> {
        let params = Params::of(uri, &["topic", "qos", "retain"])?;
        let missing = || Failure::bad_request("`topic` is expected in the query");
        let topic = params.get("topic").ok_or_else(missing)?.to_owned();
        validate_topic_name(&topic).map_err(|error| {
            let found = shown(&topic);
            Failure::bad_request(format!("`topic`: a topic name is expected, not {found}: {error}"))
        })?;
        let qos = match params.whole("qos", 0, 2)? {
            None | Some(0) => QoS::AtMostOnce,
            Some(1) => QoS::AtLeastOnce,
            Some(_) => QoS::ExactlyOnce,
        };
        if qos as u8 > config.mqtt.max_qos {
            return Err(Failure::bad_request(format!("`qos`: this broker takes QoS up to {}", config.mqtt.max_qos)));
        }
        let retain = params.flag("retain")?.unwrap_or(false);
        if retain && !config.mqtt.retain {
            return Err(Failure::bad_request("`retain`: retained messages are switched off"));
        }
        Ok(Wanted { topic, qos, retain })
    }
}

/// Counts the request where the plan has a rate for it; tells what is left.
fn count(admin: &Admin, account: &Arc<Account>, identity: &Identity) -> Result<HeaderMap, Failure> {
    let resource = Resource::Named(COUNTED.into());
    if !account.meters().has(&resource) {
        return Ok(HeaderMap::new());
    }
    let now = admin.hub.clock.now().wall;
    let answer = check::ask(admin, account, identity.device.as_ref(), &resource, 1, now);
    match answer.denial {
        None => Ok(answer.headers),
        Some(denial) => Err(Failure::denied(&denial).with_all(answer.headers)),
    }
}

/// Publishes the message, if nobody objects.
fn publish(admin: &Admin, config: &Config, client: &Client, wanted: &Wanted, payload: &[u8]) -> Result<(), Failure> {
    let Wanted { topic, qos, retain } = wanted;
    let (hub, now) = (&admin.hub, admin.hub.clock.now());
    let account = &client.account;
    let caps = &account.plan().caps;
    let refuse = |reason: &'static str| Verdict::refuse(ReasonCode::NotAuthorized, reason);
    let allowed = || {
        let names = Names { device: client.device().unwrap_or(""), client_id: "", profile: client.profile() };
        if is_own(topic) {
            refuse("only the broker publishes here")
        } else if !Access::new(&config.acl, names).allows(Action::Publish, topic) {
            refuse("an access rule forbids this topic")
        } else if topic.bytes().filter(|byte| *byte == b'/').count() >= caps.max_topic_levels {
            refuse("max_topic_levels is exceeded")
        } else {
            Verdict::Allow
        }
    };
    let event = PublishEvent { topic, payload, qos: *qos, retain: *retain, will: false };
    match hub.hooks.publish_uncounted(client, &event, now, allowed) {
        Verdict::Allow => {}
        Verdict::Refuse(refusal) => {
            hub.stats.dropped_refused.add(1);
            return Err(Failure::forbidden(refusal.reason));
        }
        Verdict::Deny(denial) => {
            hub.denied_over_http(account, "POST /data", client.device.as_ref(), &denial);
            return Err(Failure::denied(&denial));
        }
    }
    let message = Message::of_bytes(topic, payload, *qos, *retain, now.mono);
    if *retain {
        match hub.retain(account, caps, &message, now) {
            RetainOutcome::Done => {}
            RetainOutcome::TooMany => return Err(Failure::forbidden("max_retained_messages is reached")),
            RetainOutcome::TooLarge => return Err(Failure::forbidden("max_retained_bytes is reached")),
        }
    }
    hub.stats.add_received(*qos, 1, payload.len() as u64);
    hub.publish_once(account, &message);
    Ok(())
}
