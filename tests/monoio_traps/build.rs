//! Trap 5: features that must stay off.

use toml::{Table, Value};

/// Trap 5: with the feature `sync` and file tables of their own, cores lose wakes, and the runtime's eventfd writes land in clients'
/// sockets; `poll-io` changes what the descriptors are registered with.
///
/// It may not be deleted: one word in the manifest would switch it on, nothing would fail to build, and clients would find eight strange
/// bytes in their streams.
#[test]
fn the_runtime_is_built_without_sync_and_poll_io() {
    let manifest: Table = include_str!("../../Cargo.toml").parse().expect("a manifest");
    let monoio = manifest["dependencies"]["monoio"].as_table().expect("a table");
    assert_eq!(monoio["version"].as_str(), Some("=0.2.4"), "the traps were measured with this one");
    assert_eq!(monoio["default-features"].as_bool(), Some(false));
    let mut features: Vec<_> =
        monoio["features"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    features.sort_unstable();
    assert_eq!(features, ["async-cancel", "bytes", "iouring", "legacy"]);
    for (name, enabled) in manifest["features"].as_table().expect("a table") {
        let mut enabled = enabled.as_array().expect("a list").iter().filter_map(Value::as_str);
        assert!(!enabled.any(|feature| feature.starts_with("monoio")), "feature {name} changes the runtime");
    }
}
