//! `weir top` and `weir usage` as an operator meets them, against a little HTTP server that answers as the API does.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde::Serialize;
use tempfile::TempDir;
use tokio_rustls::rustls;
use weir::admin::model::{Clients, Limit, Problem, Profile, Profiles, System, Usage, UsagePoint, UsageSeries};

const TOKEN: &str = "0123456789abcdef";

/// An answer: status, type and body.
type Answer = (u16, &'static str, String);

/// A server that keeps what it was asked: the first line of each request and its `Authorization`.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Server {
    fn start(answer: impl Fn(&str) -> Answer + Send + 'static) -> Self {
        Self::serve("http", answer, |stream| stream)
    }

    fn serve<S: Read + Write>(
        scheme: &str,
        answer: impl Fn(&str) -> Answer + Send + 'static,
        wrap: impl Fn(TcpStream) -> S + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("{scheme}://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                handle(wrap(stream), &answer, &log);
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<(String, String)> {
        self.asked.lock().expect("no thread panics").clone()
    }
}

fn handle<S: Read + Write>(stream: S, answer: &impl Fn(&str) -> Answer, log: &Mutex<Vec<(String, String)>>) {
    let mut stream = BufReader::new(stream);
    let (mut target, mut authorization) = (String::new(), String::new());
    loop {
        let mut line = String::new();
        match stream.read_line(&mut line) {
            Ok(1..) => {}
            _ => return,
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some(rest) = line.strip_prefix("GET ") {
            target = rest.trim_end_matches(" HTTP/1.1").to_owned();
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("authorization: ") {
            authorization = value.to_owned();
        }
    }
    let (status, kind, body) = answer(&target);
    log.lock().expect("no thread panics").push((target, authorization));
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let stream = stream.get_mut();
    // Who has seen enough may close.
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).and_then(|()| stream.flush());
}

fn json(value: &impl Serialize) -> Answer {
    (200, "application/json", serde_json::to_string(value).expect("it is plain data"))
}

fn problem(status: u16, title: &str, detail: &str) -> Answer {
    let problem = Problem { kind: "about:blank".into(), title: title.into(), status, detail: detail.into() };
    (status, "application/problem+json", serde_json::to_string(&problem).expect("it is plain data"))
}

fn profile(name: &str, used: u64) -> Profile {
    let limit = |resource: &str, max: Option<u64>| Limit {
        resource: resource.into(),
        limit: max.map(|max| format!("{max}/min")),
        max,
        window: "min".into(),
        used,
        denied: 7,
        reset_seconds: 51,
        resets_at: "2026-11-21T12:46:00Z".into(),
    };
    Profile {
        name: name.into(),
        plan: "free".into(),
        enforce: true,
        connections: 2,
        devices: 1,
        fullest: used as f64 / 250.0,
        fullest_resource: Some("publish".into()),
        denied: 7,
        limits: vec![limit("connect", None), limit("publish", Some(250)), limit("receive", None)],
    }
}

fn usage() -> Usage {
    let series = |resource: &str, used: [u64; 2], denied: [u64; 2]| UsageSeries {
        resource: resource.into(),
        limits: vec!["250/min".into()],
        used: used.iter().sum(),
        denied: denied.iter().sum(),
        points: ["2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"]
            .iter()
            .zip(used.iter().zip(denied))
            .map(|(at, (used, denied))| UsagePoint { at: (*at).into(), used: *used, denied })
            .collect(),
    };
    Usage {
        profile: "acme, \"the\" first".into(),
        device: None,
        from: "2026-11-01T00:00:00Z".into(),
        to: "2026-11-03T00:00:00Z".into(),
        step: "1d".into(),
        series: vec![
            series("publish", [1_234_567, 0], [7_002, 1]),
            series("receive", [0, 0], [0, 0]),
            series("GET /device/:id", [10, 20], [0, 0]),
        ],
    }
}

/// What a broker with two profiles, on two pages, says.
fn broker(target: &str) -> Answer {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match path {
        "/api/v1/profiles" if query.contains("cursor=next") => {
            json(&Profiles { profiles: vec![profile("hobby", 25)], total: 2, next: None })
        }
        "/api/v1/profiles" => {
            json(&Profiles { profiles: vec![profile("acme", 250)], total: 2, next: Some("next".into()) })
        }
        "/api/v1/profiles/acme/usage" => {
            let mut usage = usage();
            if query.contains("resource=") {
                usage.series.truncate(1);
            }
            json(&usage)
        }
        "/api/v1/clients" => json(&Clients { clients: Vec::new(), total: 0, next: None }),
        "/api/v1/system" => json(&System {
            version: "0.1.0".into(),
            uptime_seconds: 9,
            now: "2026-11-21T12:45:09Z".into(),
            cpu: 0.5,
            memory: 1 << 20,
            connections: 2,
            messages_in_rate: 1.0,
            messages_out_rate: 1.0,
            figures: BTreeMap::new(),
        }),
        _ => problem(404, "Not Found", "there is no such profile"),
    }
}

/// The binary in an empty directory, with the token in the environment, and its output.
fn weir(url: &str, args: &[&str]) -> Output {
    let directory = TempDir::new().expect("a directory");
    command(directory.path(), args).env("WEIR_URL", url).env("WEIR_ADMIN_TOKEN", TOKEN).output().expect("it runs")
}

fn command(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command
        .current_dir(directory)
        .args(args)
        .env_remove("WEIR_URL")
        .env_remove("WEIR_ADMIN_TOKEN")
        .env_remove("WEIR_CONFIG");
    command
}

/// Exit code, standard output and standard error.
fn said(output: &Output) -> (i32, &str, &str) {
    let text = |bytes| std::str::from_utf8(bytes).expect("what is said is text");
    (output.status.code().expect("it ended by itself"), text(&output.stdout), text(&output.stderr))
}

// weir top

#[test]
fn top_once_prints_every_profile_of_every_page_and_ends() {
    let server = Server::start(broker);
    let output = weir(&server.url, &["top", "--once"]);
    let expected = [
        "weir 0.1.0  2026-11-21T12:45:09Z  CPU 50%  memory 1MiB  connections 2",
        "",
        "PROFILE  PLAN       FULLEST  CONNECT  PUBLISH  RECEIVE  DENIED  CONNECTIONS",
        "acme     free  100% publish      250  250/250      250       7            2",
        "hobby    free   10% publish       25   25/250       25       7            2\n",
    ];
    assert_eq!(said(&output), (0, expected.join("\n").as_str(), ""));
    assert!(server.asked().iter().all(|(_, authorization)| *authorization == format!("bearer {TOKEN}")));
}

#[test]
fn top_without_a_terminal_suggests_once() {
    let server = Server::start(broker);
    let output = weir(&server.url, &["top"]);
    let hint = "error: standard output is no terminal; `weir top --once` prints one table instead\n";
    assert_eq!(said(&output), (2, "", hint));
}

#[test]
fn top_in_a_terminal_gives_it_back_after_q_and_after_a_signal() {
    if Command::new("script").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("left out: script(1), which makes a terminal for it, is not installed");
        return;
    }
    let server = Server::start(broker);
    let directory = TempDir::new().expect("a directory");
    for end in ["q", "signal"] {
        let binary = env!("CARGO_BIN_EXE_weir");
        // The shell's process becomes that of the binary: its number is known.
        let line = format!("stty rows 20 cols 80; echo $$ >pid; exec {binary} top --url {}", server.url);
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).current_dir(directory.path()).env("WEIR_ADMIN_TOKEN", TOKEN);
        script.env("TERM", "xterm").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = script.spawn().expect("it is installed");
        let mut out = BufReader::new(script.stdout.take().expect("it is piped"));
        let mut seen = Vec::new();
        let shown = |seen: &[u8], text: &[u8]| seen.windows(text.len()).any(|window| window == text);
        while !shown(&seen, b"hobby") && !shown(&seen, b"acme") {
            let more = out.fill_buf().expect("it can be read").to_vec();
            assert!(!more.is_empty(), "it ended early: {}", String::from_utf8_lossy(&seen));
            out.consume(more.len());
            seen.extend(more);
        }
        if end == "q" {
            script.stdin.as_mut().expect("it is piped").write_all(b"q").expect("it is read");
        } else {
            let pid = std::fs::read_to_string(directory.path().join("pid")).expect("the shell wrote it");
            let killed = Command::new("kill").args(["-TERM", pid.trim()]).status().expect("kill is installed");
            assert!(killed.success());
        }
        out.read_to_end(&mut seen).expect("it can be read");
        assert!(script.wait().expect("it ends").success(), "{end}");
        assert!(shown(&seen, b"\x1b[?1049h"), "{end}: a screen of its own is taken");
        assert!(
            seen.ends_with(b"\x1b[?1049l") || shown(&seen[seen.len().saturating_sub(40)..], b"\x1b[?1049l"),
            "{end}: and left"
        );
        assert!(shown(&seen, b"\x1b[?25h"), "{end}: the cursor is shown again");
    }
}

// weir usage

#[test]
fn usage_is_a_table_with_totals_by_default() {
    let server = Server::start(broker);
    let output = weir(&server.url, &["usage", "--profile", "acme", "--month", "2026-11"]);
    let expected = [
        "acme, \"the\" first: 2026-11-01 to 2026-11-03 (UTC)",
        "┌────────────┬───────────┬────────┬─────────────────┬────────┐",
        "│ day        ┆   publish ┆ denied ┆ GET /device/:id ┆ denied │",
        "╞════════════╪═══════════╪════════╪═════════════════╪════════╡",
        "│ 2026-11-01 ┆ 1,234,567 ┆  7,002 ┆              10 ┆      0 │",
        "│ 2026-11-02 ┆         0 ┆      1 ┆              20 ┆      0 │",
        "│ total      ┆ 1,234,567 ┆  7,003 ┆              30 ┆      0 │",
        "└────────────┴───────────┴────────┴─────────────────┴────────┘",
        "Nothing used or denied: receive\n",
    ];
    assert_eq!(said(&output), (0, expected.join("\n").as_str(), ""));
}

#[test]
fn usage_as_csv_has_a_row_for_each_step_and_resource() {
    let server = Server::start(broker);
    let output =
        weir(&server.url, &["usage", "-p", "acme", "-r", "GET /device/:id", "-r", "publish", "--format", "csv"]);
    let name = "\"acme, \"\"the\"\" first\"";
    let expected = [
        "profile,device,resource,from,to,used,denied".to_owned(),
        format!("{name},,GET /device/:id,2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,10,0"),
        format!("{name},,GET /device/:id,2026-11-02T00:00:00Z,2026-11-03T00:00:00Z,20,0"),
        format!("{name},,publish,2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,1234567,7002"),
        format!("{name},,publish,2026-11-02T00:00:00Z,2026-11-03T00:00:00Z,0,1"),
        String::new(),
    ];
    assert_eq!(said(&output), (0, expected.join("\r\n").as_str(), ""));
}

#[test]
fn usage_as_json_is_what_the_api_says() {
    let server = Server::start(broker);
    let output = weir(&server.url, &["usage", "-p", "acme", "--format", "json"]);
    assert_eq!(serde_json::from_slice::<Usage>(&output.stdout).expect("it is JSON"), usage());
}

#[test]
fn usage_asks_for_the_span_the_step_the_device_and_the_resource() {
    let server = Server::start(broker);
    let month =
        ["usage", "-p", "acme", "--month", "2026-02", "--step", "1h", "--resource", "POST /data", "--device", "pump 1"];
    weir(&server.url, &month);
    weir(&server.url, &["usage", "-p", "a/b", "--from", "2026-11-01", "--to", "2026-11-01T12:00:00Z", "--step", "1m"]);
    let asked: Vec<String> =
        server.asked().into_iter().map(|(target, _)| target.replace("%3A", ":").replace('+', "%20")).collect();
    assert_eq!(
        asked[0].replace("%2F", "/"),
        "/api/v1/profiles/acme/usage?from=2026-02-01T00:00:00Z&to=2026-03-01T00:00:00Z&step=1h&device=pump%201\
         &resource=POST%20/data"
    );
    assert_eq!(asked[1], "/api/v1/profiles/a%2Fb/usage?from=2026-11-01T00:00:00Z&to=2026-11-01T12:00:00Z&step=1m");
}

#[test]
fn usage_ends_quietly_where_its_reader_has_seen_enough() {
    let server = Server::start(|_| {
        let mut usage = usage();
        let point = usage.series[0].points[0].clone();
        usage.series[0].points = vec![point; 20_000];
        json(&usage)
    });
    let directory = TempDir::new().expect("a directory");
    let args = ["usage", "-p", "acme", "--format", "csv", "--url", &server.url];
    let mut command = command(directory.path(), &args);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut first).expect("there is a line");
    assert_eq!(first, "profile,device,resource,from,to,used,denied\r\n");
    assert_eq!(said(&child.wait_with_output().expect("it ends")), (0, "", ""));
}

#[test]
fn a_wrong_use_is_told_with_what_is_expected() {
    let cases = [
        (&["usage"][..], "--profile <NAME>"),
        (&["usage", "-p", "acme", "--month", "november"], "a month such as 2026-11 is expected"),
        (&["usage", "-p", "acme", "--month", "9999-12"], "error: 9999-12 has not begun yet"),
        (
            &["usage", "-p", "acme", "--from", "noon"],
            "a day such as 2026-11-01 or a time such as 2026-11-01T12:00:00Z is expected",
        ),
        (&["usage", "-p", "acme", "--to", "2026-11-01"], "--from <TIME>"),
        (&["usage", "-p", "acme", "--from", "2026-11-02", "--to", "2026-11-01"], "is not before --to"),
        (&["usage", "-p", "acme", "--step", "1w"], "1mo, 1d, 1h, 1m"),
        (&["usage", "-p", "acme", "--format", "xml"], "table, csv, json"),
        (&["top", "--once", "--url", "localhost:8080"], "a URL such as http://127.0.0.1:8080"),
        (&["top", "--once", "--token-file", "nowhere"], "error: the token cannot be read from nowhere: No such file"),
        (
            &["top", "--once", "--url", "https://127.0.0.1:1", "--ca-file", "nowhere"],
            "error: --ca-file nowhere: No such file",
        ),
    ];
    for (args, expected) in cases {
        let output = weir("http://127.0.0.1:1", args);
        let (code, out, err) = said(&output);
        assert_eq!((code, out), (2, ""), "{args:?}: {err}");
        assert!(err.contains(expected), "{args:?}: {err}");
    }
}

// What both say when it does not go well

/// What is said, with exit code 1, where the server at this address answers like this.
fn failure(url: &str, args: &[&str]) -> String {
    let output = weir(url, args);
    let (code, out, err) = said(&output);
    assert_eq!((code, out), (1, ""), "{err}");
    err.to_owned()
}

#[test]
fn where_nobody_listens_it_is_said_how_to_switch_the_http_side_on() {
    let url = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        format!("http://{}", listener.local_addr().expect("an address"))
    };
    for args in [&["top", "--once"][..], &["usage", "-p", "acme"]] {
        let err = failure(&url, args);
        assert!(err.starts_with(&format!("error: nobody listens at {url}\n")), "{err}");
        assert!(err.contains("admin: { address: \"127.0.0.1:8080\" }") && err.contains("--url or WEIR_URL"), "{err}");
    }
}

#[test]
fn what_is_not_weir_is_called_so() {
    let html = Server::start(|_| (200, "text/html", "<h1>It works!</h1>".into()));
    let other = Server::start(|_| (404, "text/plain", "no".into()));
    let elsewhere = Server::start(|_| (302, "text/plain", String::new()));
    for server in [html, other, elsewhere] {
        let err = failure(&server.url, &["top", "--once"]);
        assert!(err.starts_with(&format!("error: what answers at {} is not the API of Weir", server.url)), "{err}");
        assert!(err.contains("admin.address"), "{err}");
    }
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = silent.accept() {
            // As an MQTT listener does: it reads what is no CONNECT, and closes.
            let _ = stream.read(&mut [0; 512]);
        }
    });
    let err = failure(&url, &["top", "--once"]);
    assert!(err.contains("does not answer as an HTTP server does") && err.contains("not one for MQTT"), "{err}");
}

#[test]
fn a_refused_token_is_told_with_where_it_was_from_and_where_it_is_looked_for() {
    let server = Server::start(|_| problem(401, "Unauthorized", "this token is not known"));
    let err = failure(&server.url, &["usage", "-p", "acme"]);
    assert!(
        err.starts_with(&format!("error: {} does not take the token of WEIR_ADMIN_TOKEN: this token", server.url)),
        "{err}"
    );
    assert!(err.contains("--token-file FILE, then in WEIR_ADMIN_TOKEN, then in data_dir/admin.token"), "{err}");
    assert!(!err.contains(TOKEN), "{err}");

    let directory = TempDir::new().expect("a directory");
    let output = command(directory.path(), &["top", "--once", "--url", &server.url]).output().expect("it runs");
    let (code, _, err) = said(&output);
    let expected = "wants the admin token, and none was found: broker.yaml is not there or not valid\n";
    assert!(code == 1 && err.contains(expected), "{err}");
    assert_eq!(server.asked().last().map(|(_, authorization)| authorization.as_str()), Some(""));
}

#[test]
fn a_profile_that_is_not_there_is_told_with_those_that_are() {
    let server = Server::start(broker);
    let err = failure(&server.url, &["usage", "-p", "amce"]);
    let expected = format!("error: 404 Not Found: there is no such profile\nProfiles at {}: acme, hobby\n", server.url);
    assert_eq!(err, expected);
}

#[test]
fn any_other_problem_is_shown_and_cannot_steer_the_terminal() {
    let server = Server::start(|_| problem(400, "Bad Request", "step: 1d is expected\u{1b}[2J"));
    let err = failure(&server.url, &["usage", "-p", "acme"]);
    assert_eq!(err, "error: 400 Bad Request: step: 1d is expected\\u{1b}[2J\n");
}

#[test]
fn a_resource_that_is_not_there_is_told_with_those_that_are() {
    let server = Server::start(broker);
    let err = failure(&server.url, &["usage", "-p", "acme", "-r", "publish", "-r", "pubilsh"]);
    assert!(err.starts_with("error: nothing is known of the resource pubilsh of acme"), "{err}");
    assert!(err.ends_with("; known are: publish, receive, GET /device/:id\n"), "{err}");
}

// Where the broker is, and the token

#[test]
fn address_and_token_are_found_through_the_configuration_and_a_token_file_goes_first() {
    let server = Server::start(broker);
    let directory = TempDir::new().expect("a directory");
    let address = server.url.trim_start_matches("http://");
    let config = format!(
        "admin: {{ address: \"{address}\" }}\ndata_dir: state\nplans: {{ p: {{}} }}\nprofiles: {{ acme: {{ plan: p }} }}\n"
    );
    let file = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("it is written");
    std::fs::create_dir(directory.path().join("state")).expect("it is made");
    file("weir.yaml", &config);
    file("state/admin.token", "from-the-data-directory\n");
    file("mine", "from-a-file\n");
    let sent = |args: &[&str], token: Option<&str>| {
        let mut command = command(directory.path(), args);
        let output = command.envs(token.map(|token| ("WEIR_ADMIN_TOKEN", token))).output().expect("it runs");
        assert_eq!(said(&output).0, 0, "{}", said(&output).2);
        server.asked().pop().map(|(_, authorization)| authorization)
    };
    let args = ["top", "--once", "--config", "weir.yaml"];
    assert_eq!(sent(&args, None).as_deref(), Some("bearer from-the-data-directory"));
    assert_eq!(sent(&args, Some("from-the-environment")).as_deref(), Some("bearer from-the-environment"));
    let with_file = ["top", "--once", "--config", "weir.yaml", "--token-file", "mine"];
    assert_eq!(sent(&with_file, Some("from-the-environment")).as_deref(), Some("bearer from-a-file"));
}

#[test]
fn https_is_spoken_with_a_ca_of_ones_own_and_nothing_is_told_to_who_is_not_known() {
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("it can be made");
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()).into();
    let chain = vec![certified.cert.der().clone()];
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("they fit");
    let config = Arc::new(config);
    let server = Server::serve("https", broker, move |stream| {
        let connection = rustls::ServerConnection::new(Arc::clone(&config)).expect("it is valid");
        rustls::StreamOwned::new(connection, stream)
    });
    let err = failure(&server.url, &["top", "--once"]);
    assert!(err.contains(": no TLS connection: ") && err.contains("--ca-file FILE"), "{err}");
    assert!(server.asked().is_empty(), "no token was sent");

    let directory = TempDir::new().expect("a directory");
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, certified.cert.pem()).expect("it is written");
    let output = weir(&server.url, &["top", "--once", "--ca-file", ca.to_str().expect("it is text")]);
    assert_eq!(said(&output).0, 0, "{}", said(&output).2);
}

#[test]
fn the_help_has_an_example_of_each() {
    let output = weir("http://127.0.0.1:1", &["--help"]);
    let (_, help, _) = said(&output);
    for line in ["  weir top  ", "  weir usage -p acme --month 2026-11  ", "  1  "] {
        assert!(help.contains(line), "{line} is not in\n{help}");
    }
    for command in ["top", "usage"] {
        let output = weir("http://127.0.0.1:1", &[command, "--help"]);
        let (_, help, _) = said(&output);
        for option in ["--url", "--token-file", "--ca-file", "WEIR_URL", "WEIR_ADMIN_TOKEN"] {
            assert!(help.contains(option), "{option} is not in\n{help}");
        }
    }
}
