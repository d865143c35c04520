//! Subjects are read as hosts and wadm read them, and nothing else is taken for one.

use lath_wasmcloud::subject::{Control, Model};

#[test]
fn control_subjects_are_written_as_they_are_read() {
    for text in [
        "registry.put",
        "host.ping",
        "host.get.NABC",
        "host.stop.NABC",
        "claims.get",
        "link.put",
        "link.del",
        "link.get",
        "config.put.a",
        "config.del.a",
        "config.get.a",
        "component.auction",
        "component.scale.NABC",
        "component.update.NABC",
        "provider.auction",
        "provider.start.NABC",
        "provider.stop.NABC",
        "label.put.NABC",
        "label.del.NABC",
    ] {
        assert_eq!(Control::read(text).unwrap().to_string(), text);
    }
}

#[test]
fn what_has_too_few_or_too_many_tokens_is_no_request() {
    for text in
        ["", "host", "host.get", "host.get.", "host.ping.x", "config.put.a.b", "link.put.x", ".host.ping"]
    {
        assert_eq!(Control::read(text), None, "{text}");
    }
    for text in ["", "list.x", "get.", "get.a.b", "put.a", "deploy", "nothing.a"] {
        assert_eq!(Model::read(text), None, "{text}");
    }
    assert_eq!(Model::read("get"), Some(Model::GetAll));
    assert_eq!(Model::read("deploy.a"), Some(Model::Deploy("a")));
}
