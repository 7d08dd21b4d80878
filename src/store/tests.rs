//! The same rows on disk and in memory, and what is told when a directory cannot be used.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn keys(keyspace: &Keyspace, from: &[u8], to: &[u8]) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    let visit = |key: &[u8], _: &[u8]| {
        keys.push(key.to_vec());
        ControlFlow::Continue(())
    };
    keyspace.range(from, to, visit).unwrap();
    keys
}

#[test]
fn rows_on_disk_and_in_memory_are_put_read_in_order_and_removed_alike() {
    let directory = tempfile::tempdir().unwrap();
    for store in [Store::Memory, Store::open(directory.path()).unwrap()] {
        let rows = store.keyspace("rows").unwrap();
        let mut batch = store.batch();
        for key in [b"c", b"a", b"b"] {
            batch.put(&rows, key, b"first");
        }
        batch.put(&rows, b"b", b"second");
        batch.commit().unwrap();
        assert_eq!(rows.get(b"b").unwrap().as_deref(), Some(&b"second"[..]));
        assert_eq!(keys(&rows, b"a", b"c"), [b"a", b"b"]);
        assert_eq!(keys(&rows, b"b", b"z"), [b"b", b"c"]);
        assert!(keys(&rows, b"c", b"a").is_empty());
        let mut batch = store.batch();
        batch.remove(&rows, b"a");
        batch.commit().unwrap();
        assert_eq!(rows.get(b"a").unwrap(), None);
        store.sync().unwrap();
    }
}

#[test]
fn rows_on_disk_are_there_after_it_was_closed_and_others_may_not_look_in() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("made").join("here");
    let store = Store::open(&data_dir).unwrap();
    let rows = store.keyspace("rows").unwrap();
    let mut batch = store.batch();
    batch.put(&rows, b"key", b"value");
    batch.commit().unwrap();
    assert_eq!(std::fs::metadata(&data_dir).unwrap().permissions().mode() & 0o777, 0o700);
    drop((store, rows));
    let store = Store::open(&data_dir).unwrap();
    assert_eq!(store.keyspace("rows").unwrap().get(b"key").unwrap().as_deref(), Some(&b"value"[..]));
}

#[test]
fn a_directory_that_cannot_be_used_is_told_with_its_path_and_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let error = |data_dir: &Path| Store::open(data_dir).map(drop).unwrap_err().to_string();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(error(&file).ends_with("; `data_dir` must be a directory, not a file"), "{}", error(&file));

    let used = directory.path().join("used");
    let first = Store::open(&used).unwrap();
    let expected = format!(
        "another broker uses {}: stop it, or give this one a `data_dir` of its own",
        used.join("store").display()
    );
    assert_eq!(error(&used), expected);
    drop(first);

    let broken = directory.path().join("broken");
    drop(Store::open(&broken).unwrap());
    std::fs::write(broken.join("store/version"), "nonsense").unwrap();
    assert!(error(&broken).contains("move it away to begin with an empty one"), "{}", error(&broken));
}
