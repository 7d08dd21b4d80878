//! `examples/hard-limits.yaml` is the whole table of a platform's limits: every row and number, for each plan.

use weir::Config;
use weir::limits::{Resource, Window};

/// What is counted, and how much of it a minute on the plans free, starter and scale.
const TABLE: [(&str, [u64; 3]); 43] = [
    ("POST /device", [10, 250, 5_000]),
    ("DELETE /device/:id", [10, 250, 5_000]),
    ("GET /device", [50, 100, 500]),
    ("GET /device/:id", [100, 1_000, 5_000]),
    ("GET /device/token/:id", [100, 1_000, 5_000]),
    ("GET /device/:id/data_amount", [100, 1_000, 5_000]),
    ("GET /device/:id/chunk", [100, 1_000, 15_000]),
    ("GET /device/params", [100, 1_000, 5_000]),
    ("GET /device/params/:id", [100, 1_000, 5_000]),
    ("PUT /device/:id", [50, 250, 2_000]),
    ("POST /device/token", [50, 250, 2_000]),
    ("DELETE /device/token/:token", [50, 250, 2_000]),
    ("POST /device/:id/convert", [50, 250, 2_000]),
    ("POST /device/:id/empty", [50, 250, 2_000]),
    ("POST /device/:id/chunk/copy", [50, 250, 2_000]),
    ("DELETE /device/:id/chunk/:chunk_id", [50, 250, 2_000]),
    ("GET /data", [250, 5_000, 15_000]),
    ("POST /data", [250, 5_000, 15_000]),
    ("PUT /data", [60, 250, 1_000]),
    ("DELETE /data", [60, 250, 1_000]),
    ("GET /data?query=aggregate", [5, 10, 100]),
    ("PUT /account", [50, 100, 500]),
    ("GET /account", [50, 100, 500]),
    ("POST, PUT and DELETE /analysis, POST /analysis/:id/upload", [60, 100, 1_000]),
    ("GET /analysis", [60, 1_000, 2_000]),
    ("POST, PUT and DELETE /action", [60, 100, 1_000]),
    ("POST, PUT and DELETE /dashboard", [60, 100, 1_000]),
    ("POST, PUT and DELETE /files", [60, 100, 200]),
    ("POST, PUT and DELETE /profile", [60, 100, 200]),
    ("POST and PUT /notification", [60, 100, 1_000]),
    ("POST /run/notification", [60, 100, 1_000]),
    ("POST and PUT /run/users", [60, 100, 1_000]),
    ("POST and PUT /am", [60, 100, 200]),
    ("GET /tags/keys/:type", [60, 100, 1_000]),
    ("GET /info", [60, 5_000, 10_000]),
    ("POST /integration/network", [60, 100, 500]),
    ("POST /serviceauth", [60, 100, 200]),
    ("POST /dictionary", [60, 100, 200]),
    ("POST /template", [60, 100, 100]),
    ("POST /tcore/instance", [60, 100, 100]),
    ("publish", [250, 5_000, 15_000]),
    ("receive", [250, 5_000, 15_000]),
    ("connect", [20, 100, 200]),
];

#[test]
fn the_example_of_a_whole_platform_has_every_row_of_the_table_and_nothing_else() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/hard-limits.yaml");
    let config = Config::load(path.as_ref()).unwrap_or_else(|error| panic!("{error}"));
    for (at, plan) in ["free", "starter", "scale"].into_iter().enumerate() {
        let limits = &config.plans[plan].limits;
        for (name, numbers) in TABLE {
            let resource: Resource = name.parse().unwrap();
            let rates: Vec<_> = limits.rates(&resource).iter().map(|rate| (rate.count, rate.window)).collect();
            assert_eq!(rates, [(numbers[at], Window::Minute)], "{name} of {plan}");
        }
        assert_eq!(limits.0.len(), TABLE.len(), "{plan}");
    }
    let plans: Vec<&str> = config.profiles.values().map(|profile| &*profile.plan.name).collect();
    assert_eq!(plans, ["starter", "scale", "free"], "a demo profile on each");
}

#[test]
fn the_example_for_nginx_asks_for_every_row_that_is_http() {
    let nginx = include_str!("../examples/nginx.conf");
    for (name, _) in TABLE {
        let asked = name.replace(' ', "%20").replace('?', "%3F").replace('=', "%3D").replace(',', "%2C");
        let there = nginx.contains(&format!("\"{asked}\";"));
        assert_eq!(there, name.contains('/'), "{name}");
    }
}
