//! Who may ask what: the admin, a profile's readers, browsers that have signed in, and nobody else.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use weir::{Broker, Config};

use super::common::http::{Answer, admin, request};
use super::common::{ADMIN_TOKEN, Weir};
use super::weir;

/// Every path that asks who one is.
const GUARDED: [(&str, &str); 14] = [
    ("GET", "/metrics"),
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/api/v1/profiles"),
    ("GET", "/api/v1/profiles/acme/limits"),
    ("GET", "/api/v1/profiles/acme/usage"),
    ("POST", "/api/v1/profiles/acme/devices"),
    ("DELETE", "/api/v1/profiles/acme/devices/pump"),
    ("GET", "/api/v1/clients"),
    ("DELETE", "/api/v1/clients/acme/c"),
    ("POST", "/api/v1/check"),
    ("GET", "/api/v1/check"),
    ("GET", "/api/v1/system"),
    ("GET", "/api/v1/system/history"),
    ("GET", "/api/v1/events"),
];

fn with_token(weir: &Weir, method: &str, path: &str, token: &str) -> Answer {
    request(weir.admin(), method, path, &[("Authorization", &format!("Bearer {token}"))], b"")
}

fn sign_in(weir: &Weir, token: &str, more: &[(&str, &str)]) -> Answer {
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let body = format!("token={token}");
    request(weir.admin(), "POST", "/login", &[&form, more].concat(), body.as_bytes())
}

/// The session's cookie, as a browser sends it back.
fn cookie(signed_in: &Answer) -> String {
    assert_eq!((signed_in.status, signed_in.header("location")), (303, Some("/")), "{}", signed_in.text());
    signed_in.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

#[test]
fn without_a_token_nothing_is_told_but_health() {
    let weir = weir();
    for (method, path) in GUARDED {
        let answer = request(weir.admin(), method, path, &[], b"");
        assert_eq!(answer.problem(401), "a token is expected: `Authorization: Bearer TOKEN`", "{method} {path}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"weir\""));
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(request(weir.admin(), "GET", path, &[], b"").status, 200);
    }
    let first = request(weir.admin(), "GET", "/", &[], b"");
    assert_eq!((first.status, first.header("location")), (303, Some("/login")));
    let basic = request(weir.admin(), "GET", "/metrics", &[("Authorization", "Basic eDp5")], b"");
    assert_eq!(basic.problem(401), "`Authorization: Bearer TOKEN` is expected");
}

#[test]
fn wrong_tokens_are_answered_later_and_later_and_the_right_one_at_once() {
    let mut weir = weir();
    let wrong = "the token is neither the admin token nor a profile's read token";
    for _ in 0..5 {
        assert_eq!(with_token(&weir, "GET", "/metrics", "guessed").problem(401), wrong);
    }
    let (address, answered) = (weir.admin(), std::sync::mpsc::channel());
    std::thread::spawn(move || {
        let answer = request(address, "GET", "/metrics", &[("Authorization", "Bearer guessed")], b"");
        answered.0.send(answer.status)
    });
    assert!(answered.1.recv_timeout(Duration::from_millis(150)).is_err(), "the sixth waits");
    assert_eq!(with_token(&weir, "GET", "/metrics", ADMIN_TOKEN).status, 200, "the right one does not");
    weir.clock("+1s");
    assert_eq!(answered.1.recv_timeout(super::common::PATIENCE), Ok(401));
}

#[test]
fn a_read_token_shows_its_profile_alone_and_changes_nothing() {
    let weir = weir();
    let ask = |method, path| with_token(&weir, method, path, "acme-reads");
    let list = ask("GET", "/api/v1/profiles").json(200);
    assert_eq!((&list["total"], &list["profiles"][0]["name"]), (&1.into(), &"acme".into()));
    assert_eq!(ask("GET", "/api/v1/profiles/acme/limits").status, 200);
    assert_eq!(ask("GET", "/api/v1/profiles/acme/usage").status, 200);
    assert_eq!(ask("GET", "/api/v1/clients").json(200)["total"], 0);
    for path in ["/api/v1/profiles/beta/limits", "/api/v1/profiles/beta/usage", "/api/v1/events?profile=beta"] {
        assert_eq!(ask("GET", path).problem(404), "there is no profile \"beta\"");
    }
    for path in ["/metrics", "/api/v1/system", "/api/v1/system/history"] {
        assert_eq!(ask("GET", path).problem(403), "the read token of a profile shows that profile alone");
    }
    for (method, path) in GUARDED {
        if method != "GET" || path == "/api/v1/check" {
            let told = ask(method, path).problem(403);
            assert_eq!(told, "the read token of a profile changes nothing; the admin token does", "{method} {path}");
        }
    }
}

#[test]
fn a_browser_that_has_signed_in_has_a_cookie_that_works_until_it_signs_out() {
    let mut weir = weir();
    let signed_in = sign_in(&weir, ADMIN_TOKEN, &[]);
    let set = signed_in.header("set-cookie").unwrap();
    assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200"), "{set}");
    let cookie = cookie(&signed_in);
    let ask = |weir: &Weir| request(weir.admin(), "GET", "/api/v1/system", &[("Cookie", &cookie)], b"").status;
    assert_eq!(ask(&weir), 200);
    weir.clock("+12h");
    assert_eq!(ask(&weir), 401, "after twelve hours it is over");

    let cookie = self::cookie(&sign_in(&weir, ADMIN_TOKEN, &[]));
    let out = request(weir.admin(), "POST", "/logout", &[("Cookie", &cookie)], b"");
    assert_eq!((out.status, out.header("location")), (303, Some("/login")));
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(request(weir.admin(), "GET", "/api/v1/system", &[("Cookie", &cookie)], b"").status, 401);
}

#[test]
fn behind_tls_the_cookie_is_for_tls_alone() {
    let weir = weir();
    let signed_in = sign_in(&weir, ADMIN_TOKEN, &[("X-Forwarded-Proto", "https")]);
    assert!(signed_in.header("set-cookie").unwrap().ends_with("; Secure"));
}

#[test]
fn a_sign_in_with_a_wrong_token_is_told_to_people_by_the_page_and_to_programs_by_a_problem() {
    let weir = weir();
    sign_in(&weir, "guessed", &[]).problem(401);
    let browser = sign_in(&weir, "guessed", &[("Accept", "text/html")]);
    assert_eq!(browser.status, 401);
    assert!(String::from_utf8_lossy(&browser.body).contains("That token is not one of this broker."));
    let no_form = request(weir.admin(), "POST", "/login", &[], b"token=x");
    let expected = "a form with the field `token` is expected, as application/x-www-form-urlencoded";
    assert_eq!(no_form.problem(400), expected);
    assert!(sign_in(&weir, &"x".repeat(5_000), &[]).problem(413).contains("up to 4096 bytes"));
}

#[test]
fn a_cookie_changes_something_only_from_our_own_pages() {
    let weir = weir();
    let cookie = cookie(&sign_in(&weir, ADMIN_TOKEN, &[]));
    let host = weir.admin().to_string();
    let own = format!("http://{host}");
    let delete = |more: &[(&str, &str)]| {
        let cookie = [("Cookie", cookie.as_str())];
        request(weir.admin(), "DELETE", "/api/v1/clients/acme/nobody", &[&cookie, more].concat(), b"")
    };
    let refused: [&[(&str, &str)]; 4] = [
        &[],
        &[("Origin", "http://elsewhere.example")],
        &[("Origin", "null")],
        &[("Sec-Fetch-Site", "cross-site"), ("Origin", &own)],
    ];
    for headers in refused {
        assert!(delete(headers).problem(403).contains("must come from Weir's own pages"), "{headers:?}");
    }
    let taken: [&[(&str, &str)]; 2] = [&[("Origin", &own)], &[("Sec-Fetch-Site", "same-origin")]];
    for headers in taken {
        delete(headers).problem(404);
    }
    let elsewhere = sign_in(&weir, ADMIN_TOKEN, &[("Sec-Fetch-Site", "cross-site")]);
    assert_eq!(elsewhere.problem(403), "to sign in from a page that is not Weir's own is not possible");
}

#[test]
fn a_reader_who_has_signed_in_sees_its_profile_until_its_token_is_taken_out() {
    let mut weir = weir();
    let cookie = cookie(&sign_in(&weir, "acme-reads", &[]));
    let ask = |weir: &Weir| request(weir.admin(), "GET", "/api/v1/profiles", &[("Cookie", &cookie)], b"").status;
    assert_eq!(ask(&weir), 200);
    weir.reload(&super::CONFIG.replace("acme-reads", "others-read"));
    assert_eq!(ask(&weir), 401);
}

#[test]
fn the_token_is_made_at_the_first_start_and_is_the_same_at_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let text = format!("data_dir: {}\nlisteners: [{{ address: \"127.0.0.1:0\" }}]\n{}", data.display(), super::CONFIG);
    let config = Config::parse(&text, "broker.yaml").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for _ in 0..2 {
        let broker = runtime.block_on(Broker::builder(config.clone()).start()).unwrap();
        let token = std::fs::read_to_string(data.join("admin.token")).unwrap();
        let mode = std::fs::metadata(data.join("admin.token")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let bearer = format!("Bearer {}", token.trim());
        let address = broker.admin_address().unwrap();
        assert_eq!(request(address, "GET", "/metrics", &[("Authorization", &bearer)], b"").status, 200);
        runtime.block_on(broker.shutdown());
    }
}

#[test]
fn every_answer_says_that_nobody_is_to_keep_it() {
    let weir = weir();
    assert_eq!(admin(&weir, "GET", "/api/v1/profiles", "").header("cache-control"), Some("no-store"));
}
