//! The description of the API, made from the handlers and the types: OpenAPI 3.1. Here is only what they have in common: how one
//! signs in, and what any of them may answer.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::{check, clients, data, devices, events, profiles, routes, system, usage};

/// The description, as it is served.
pub(super) static DESCRIPTION: LazyLock<String> = LazyLock::new(|| {
    // It is made of strings and lists, which always can be written.
    let mut description = serde_json::to_value(Api::openapi()).unwrap_or_default();
    complete(&mut description);
    description.to_string()
});

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Weir",
        description = "Limits, usage, clients and devices of an MQTT broker with hard limits built in; and the same limits for \
                       any other service."
    ),
    paths(
        profiles::list,
        profiles::limits,
        usage::get,
        events::get,
        clients::list,
        clients::delete,
        devices::post,
        devices::delete,
        check::post,
        check::get,
        data::post,
        system::get,
        system::history,
        routes::metrics,
        routes::description,
        routes::healthz,
        routes::readyz,
    ),
    tags(
        (name = "limits", description = "How full the limits are, now and over time."),
        (name = "clients", description = "Who is connected."),
        (name = "devices", description = "Who may connect."),
        (name = "check", description = "Holding the routes of another service to the same plans."),
        (name = "data", description = "Publishing without MQTT."),
        (name = "system", description = "The broker itself."),
        (name = "health", description = "For who keeps it running."),
    )
)]
struct Api;

/// Adds what all calls have in common.
fn complete(description: &mut Value) {
    description["components"]["securitySchemes"] = json!({
        "token": {
            "type": "http", "scheme": "bearer",
            "description": "The admin token; or, to read, the read token of a profile, which shows that profile alone.",
        },
        "session": {
            "type": "apiKey", "in": "cookie", "name": "weir_session",
            "description": "A browser that has signed in at `/login`.",
        },
        "device": { "type": "apiKey", "in": "header", "name": "Device-Token", "description": "The token of a device." },
    });
    // A message may be empty, and is any bytes.
    let schema = json!({ "type": "string", "format": "binary" });
    description["paths"]["/data"]["post"]["requestBody"] =
        json!({ "description": "The payload.", "content": { "application/octet-stream": { "schema": schema } } });
    let paths = description["paths"].as_object_mut();
    for operation in
        paths.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut).flat_map(Map::values_mut)
    {
        let takes_body = operation.get("requestBody").is_some();
        let secured = operation.get("security").is_some();
        if let Some(parameters) = operation.get_mut("parameters").and_then(Value::as_array_mut) {
            parameters.iter_mut().for_each(without_null);
        }
        let Some(responses) = operation["responses"].as_object_mut() else { continue };
        let problem = json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } });
        // What says no more than why it is refused says so as a problem.
        for (_, refused) in responses.iter_mut().filter(|(status, _)| status.starts_with(['4', '5'])) {
            if refused.get("content").is_none() {
                refused["content"] = problem.clone();
            }
        }
        for (status, too_long) in [("414", "The path and query are"), ("431", "The head of the request is")] {
            // Told before anyone knows whom it is for.
            responses.insert(status.to_owned(), json!({ "description": format!("{too_long} longer than 64 KiB.") }));
        }
        let mut may = |status: &str, description: &str| {
            responses.entry(status).or_insert(json!({ "description": description, "content": problem }));
        };
        if secured {
            may("401", "The token is missing, or wrong.");
            may("403", "The token does not allow this.");
            may("429", "Too many wrong tokens from this address.");
            may("503", "The broker cannot do this now.");
        }
        if takes_body {
            may("408", "The body did not come in time.");
            may("413", "The body is larger than it may be.");
            may("415", "The body is not of the type that is expected.");
        }
    }
}

/// A parameter that may be left out cannot be null: there is no way to write that in a query.
fn without_null(parameter: &mut Value) {
    let kinds = parameter["schema"]["type"].as_array().cloned().unwrap_or_default();
    if let [kind] = kinds.into_iter().filter(|kind| kind != "null").collect::<Vec<_>>().as_slice() {
        parameter["schema"]["type"] = kind.clone();
    }
}
