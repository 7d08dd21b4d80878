//! Who a client is: its credentials, or the exchange of an authentication method, become an identity. Called by the handshake,
//! once a connection. An address that fails too often is not heard, and slow checks take turns.

use std::net::IpAddr;
use std::sync::Arc;

use super::answer;
use super::closing::write_all;
use super::handshake::{Asked, Refused, read_packet};
use crate::config::Config;
use crate::hooks::{AuthStep, Authenticator};
use crate::hub::Hub;
use crate::identity::{Found, Identity, verify};
use crate::net::ByteStream;
use crate::wire::{Connect, Packet, ReasonCode, Version, WireError};

/// An authentication method, and the data that its success is told with.
pub(super) type Proved = (Box<str>, Vec<u8>);

/// Finds out whose the credentials are. An address that has failed too often is not heard.
///
/// Where the client has proved itself by an authentication method, that and what it is told with the success come too. `input`
/// is what has come after the CONNECT, and comes to be what is left of it.
pub(super) async fn authenticate(
    hub: &Hub,
    stream: &mut ByteStream,
    config: &Config,
    address: Option<IpAddr>,
    asked: &Asked,
    connect: &Connect<'_>,
    input: &mut Vec<u8>,
) -> Result<(Identity, Option<Proved>), Refused> {
    let failures = &config.admission.failed_connects_per_ip;
    let may_try = || match address {
        Some(address) if !hub.admission.may_try(address, failures, hub.clock.now().wall) => {
            Err(asked.refuse(ReasonCode::Banned, "too many failed connects from this address"))
        }
        _ => Ok(()),
    };
    may_try()?;
    // Held until a failure is counted, so that those who wait for their turn know of it.
    let turn;
    let found = match connect.properties.authentication_method() {
        None => hub.directory.load().find(connect.user_name, connect.password),
        Some(method) => {
            let first = connect.properties.authentication_data().unwrap_or_default();
            let Some(authenticator) = hub.authenticator(method) else {
                return Err(
                    asked.refuse(ReasonCode::BadAuthenticationMethod, "this authentication method is not offered")
                );
            };
            match exchange(hub, stream, config, asked, (method, first), authenticator, input).await? {
                Some((identity, data)) => return Ok((identity, Some((method.into(), data)))),
                None => Found::Wrong,
            }
        }
    };
    let (code, text) = match found {
        Found::Known(identity) => return Ok((identity, None)),
        Found::Missing => (ReasonCode::NotAuthorized, "credentials are needed"),
        Found::Wrong => (ReasonCode::BadUserNameOrPassword, "bad user name, password or token"),
        Found::Password { hash, identity } => {
            // The semaphore is never closed; were it to be, no password would be good.
            turn = hub.password_checks.acquire().await;
            may_try()?;
            let password: Vec<u8> = connect.password.unwrap_or_default().to_vec();
            let good = turn.is_ok() && check_password(hash, password).await;
            if let Some(identity) = identity.filter(|_| good) {
                return Ok((identity, None));
            }
            (ReasonCode::BadUserNameOrPassword, "bad user name, password or token")
        }
    };
    if let Some(address) = address {
        hub.admission.failed(address, failures, hub.clock.now().wall);
    }
    Err(asked.refuse(code, text))
}

/// Leads an enhanced authentication to its end (section 4.12): who the client is and what it is told with the success, or
/// nothing where it is not who it says. `input` is what has come after the CONNECT, and comes to be what is left of it.
async fn exchange(
    hub: &Hub,
    stream: &mut ByteStream,
    config: &Config,
    asked: &Asked,
    (method, first): (&str, &[u8]),
    mut authenticator: Box<dyn Authenticator>,
    input: &mut Vec<u8>,
) -> Result<Option<(Identity, Vec<u8>)>, Refused> {
    let mut step = authenticator.step(first);
    loop {
        let challenge = match step {
            AuthStep::Fail => return Ok(None),
            AuthStep::Succeed { profile, device, data } => {
                return Ok(Some((hub.vouched(profile, device), data)));
            }
            AuthStep::Continue(challenge) => challenge,
        };
        let mut out = Vec::new();
        if !answer::auth(&mut out, asked.max_packet_size, ReasonCode::ContinueAuthentication, method, &challenge) {
            return Err(asked.refuse(ReasonCode::PacketTooLarge, answer::AUTH_TOO_LARGE));
        }
        // The client's time runs from when it is asked.
        let asked_at = hub.clock.now().mono;
        write_all(hub, stream, &out).await;
        // Until CONNACK the client may send AUTH and DISCONNECT only [MQTT-3.1.2-30].
        let (start, end) = read_packet(hub, stream, config, input, 0xF0, asked_at).await?;
        let malformed = |error: WireError| asked.refuse(error.reason(), error.to_string());
        let Packet::Auth(auth) = Packet::decode(Version::V5, 0xF0, &input[start..end]).map_err(malformed)? else {
            return Err(asked.refuse(ReasonCode::ProtocolError, "AUTH is expected"));
        };
        // [MQTT-4.12.0-3], [MQTT-4.12.0-5]
        if auth.reason != ReasonCode::ContinueAuthentication || auth.properties.authentication_method() != Some(method)
        {
            return Err(asked.refuse(ReasonCode::ProtocolError, "AUTH goes on with another method"));
        }
        step = authenticator.step(auth.properties.authentication_data().unwrap_or_default());
        input.drain(..end);
    }
}

/// Checks a password off the event loop.
async fn check_password(hash: Arc<str>, password: Vec<u8>) -> bool {
    // The check does not panic; were it to, the password is not good.
    tokio::task::spawn_blocking(move || verify(&hash, &password)).await.unwrap_or(false)
}
