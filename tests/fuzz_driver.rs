//! The fuzz targets on the stable toolchain: the seeds of `fuzz/seeds`, and a bounded number of random mutations of them.
//! `WEIR_FUZZ_SECONDS` runs each test for that long instead, `WEIR_FUZZ_SEED` starts elsewhere. A failure prints the seed that
//! makes it the very first mutation, and the bytes, which then belong into `fuzz/seeds`.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, fs};

use weir::fuzzing;
use weir::wire::{frame_header, put_varint};

/// How many mutations are tried when no time is given.
const DECODES: u64 = 60_000;
const CONNECTIONS: u64 = 1_000;
/// No input is longer.
const LONGEST: usize = 4096;
/// Bytes at the edges of what fields of one or two bytes mean.
const EDGES: [u8; 12] = [0x00, 0x01, 0x02, 0x03, 0x7F, 0x80, 0xC0, 0xE0, 0xED, 0xFF, b'#', b'$'];

type Target = fn(&[u8]);

#[test]
fn whatever_bytes_come_they_are_refused_or_read_the_same_again_when_written() {
    let targets: [(&str, Target); 3] = [
        ("decode_v3", |bytes| fuzzing::decode(3, bytes)),
        ("decode_v4", |bytes| fuzzing::decode(4, bytes)),
        ("decode_v5", |bytes| fuzzing::decode(5, bytes)),
    ];
    drive(&targets, DECODES);
}

#[test]
fn whatever_a_client_says_the_broker_answers_well_formed_and_the_connection_ends() {
    drive(&[("connection", fuzzing::connection)], CONNECTIONS);
}

/// Runs the seeds of each target, and then mutations of them in turn.
fn drive(targets: &[(&str, Target)], mutations: u64) {
    let targets: Vec<_> = targets.iter().map(|(name, target)| (*name, target, seeds(name))).collect();
    for (name, target, seeds) in &targets {
        for (file, bytes) in seeds {
            run(target, bytes, &format!("fuzz/seeds/{name}/{file}"));
        }
    }
    let first = variable("WEIR_FUZZ_SEED").unwrap_or(0);
    let until = variable("WEIR_FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let goes_on = |done| until.map_or(done < mutations, |until| Instant::now() < until);
    let mut done = 0;
    while goes_on(done) {
        let seed = first.wrapping_add(done);
        for (name, target, seeds) in &targets {
            let input = mutation(seeds, &mut Random(seed));
            run(target, &input, &format!("a mutation for {name}; WEIR_FUZZ_SEED={seed} makes it the first"));
        }
        done += 1;
    }
    println!("{done} mutations for each of {:?}, from seed {first}", targets.iter().map(|t| t.0).collect::<Vec<_>>());
}

fn variable(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a whole number, not {value:?}")))
}

/// Runs one input; a failure says what it was.
fn run(target: &Target, input: &[u8], origin: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        eprintln!("the input that failed: {origin}\n{hex}");
        resume_unwind(panic);
    }
}

/// The checked-in inputs of a target with their names, in the order of the names.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let files = fs::read_dir(directory).expect("the seeds are in the repository");
    let mut seeds: Vec<_> = files
        .map(|file| file.expect("a file"))
        .map(|file| (file.file_name().to_string_lossy().into_owned(), fs::read(file.path()).expect("a seed")))
        .collect();
    assert!(!seeds.is_empty(), "{target} has seeds");
    seeds.sort();
    seeds
}

/// A seed, changed in a few places. Half of them keep the lengths of their frames right, so that it is the packets that are
/// wrong and not the framing.
fn mutation(seeds: &[(String, Vec<u8>)], random: &mut Random) -> Vec<u8> {
    let seed = |random: &mut Random| random.pick(seeds).1.clone();
    let mut input = seed(random);
    let other = seed(random);
    if random.below(2) == 0 {
        for _ in 0..=random.below(4) {
            mutate(&mut input, &other, random);
        }
    } else {
        let mut frames = frames(&input);
        for _ in 0..=random.below(3) {
            mutate_frames(&mut frames, &other, random);
        }
        input = frames.iter().flat_map(|frame| framed(frame)).collect();
    }
    input.truncate(LONGEST);
    input
}

/// Changes bytes, wherever they are.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let some = random.below(16).min(bytes.len() - at);
    match random.below(7) {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(at..at + some)),
        2 => bytes.insert(at, *random.pick(&EDGES)),
        3 => {
            let again = bytes[at..at + some].to_vec();
            bytes.splice(at..at, again);
        }
        4 => {
            let from = random.below(other.len() + 1);
            bytes.splice(at..at + some, other[from..].iter().copied().take(32));
        }
        kind => {
            let edge = *random.pick(&EDGES);
            let bit = 1 << random.below(8);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = if kind == 5 { edge } else { *byte ^ bit };
            }
        }
    }
}

/// Changes packets: their bodies, their kinds, their order, their number.
fn mutate_frames(frames: &mut Vec<Vec<u8>>, other: &[u8], random: &mut Random) {
    let at = random.below(frames.len());
    match random.below(6) {
        0 => {
            let again = frames[at].clone();
            frames.insert(random.below(frames.len() + 1), again);
        }
        1 => {
            let others = self::frames(other);
            frames.insert(random.below(frames.len() + 1), random.pick(&others).clone());
        }
        2 => {
            let to = random.below(frames.len());
            frames.swap(at, to);
        }
        _ => mutate(&mut frames[at], other, random),
    }
}

/// The frames of `bytes` without their lengths, at least one; what is no frame is the last.
fn frames(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Ok(Some(header)) = frame_header(bytes, bytes.len()) {
        frames.push([&[header.first], &bytes[header.header_len..header.total_len()]].concat());
        bytes = &bytes[header.total_len()..];
    }
    if !bytes.is_empty() || frames.is_empty() {
        frames.push(bytes.to_vec());
    }
    frames
}

/// A frame with the length it has.
fn framed(frame: &[u8]) -> Vec<u8> {
    let Some((first, body)) = frame.split_first() else { return Vec::new() };
    let mut bytes = vec![*first];
    put_varint(&mut bytes, u32::try_from(body.len()).expect("inputs are short"));
    bytes.extend(body);
    bytes
}

/// SplitMix64 (Steele, Lea and Flood, 2014): neighbouring seeds have nothing in common.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number less than `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}
