//! Adding a device to a profile over HTTP, and removing it. What is kept of one, and how it gets into the configuration in force,
//! is in `added`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};

use super::Admin;
use super::auth::Operator;
use super::body::Sent;
use super::model::{AddedDevice, NewDevice};
use super::params::{Names, NoParams};
use super::problem::Failure;

/// Adds a device. Its token is in the answer, and nowhere else.
#[utoipa::path(
    post,
    path = "/api/v1/profiles/{profile}/devices",
    operation_id = "addDevice",
    tag = "devices",
    params(("profile" = String, Path, description = "The profile.")),
    request_body = NewDevice,
    responses(
        (status = 201, description = "It is added; its token is shown this once.", body = AddedDevice, headers(
            ("Location" = String, description = "Where it can be removed."),
        )),
        (status = 400, description = "The body is not what is expected."),
        (status = 404, description = "There is no such profile."),
        (status = 409, description = "The profile has a device of that name."),
    ),
    security(("token" = []), ("session" = []))
)]
pub(super) async fn post(
    State(admin): State<Arc<Admin>>,
    _: Operator,
    Names(profile): Names<String>,
    _: NoParams,
    Sent(device): Sent<NewDevice>,
) -> Result<Response, Failure> {
    let place = format!("/api/v1/profiles/{profile}/devices/{}", device.name);
    let token = {
        let (profile, device) = (profile.clone(), device.clone());
        admin.off_thread(move |admin| admin.added.add(&admin.hub, &profile, &device)).await?
    };
    tracing::info!(profile, device = device.name, "device added");
    let added = AddedDevice { profile, name: device.name, token };
    Ok((StatusCode::CREATED, [(LOCATION, place)], Json(added)).into_response())
}

/// Removes a device that was added; its clients are disconnected.
#[utoipa::path(
    delete,
    path = "/api/v1/profiles/{profile}/devices/{device}",
    operation_id = "removeDevice",
    tag = "devices",
    params(
        ("profile" = String, Path, description = "The profile."),
        ("device" = String, Path, description = "The device."),
    ),
    responses(
        (status = 204, description = "It is removed, and its clients are being disconnected."),
        (status = 400, description = "The path or a parameter is not what is expected."),
        (status = 404, description = "There is no such profile or device."),
        (status = 409, description = "It is a device of the configuration file."),
    ),
    security(("token" = []), ("session" = []))
)]
pub(super) async fn delete(
    State(admin): State<Arc<Admin>>,
    _: Operator,
    Names((profile, device)): Names<(String, String)>,
    _: NoParams,
) -> Result<StatusCode, Failure> {
    let names = (profile.clone(), device.clone());
    admin.off_thread(move |admin| admin.added.remove(&admin.hub, &names.0, &names.1)).await?;
    tracing::info!(profile, device, "device removed");
    Ok(StatusCode::NO_CONTENT)
}
