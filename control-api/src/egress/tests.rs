//! How entries are written, and what a refusal says.

use proptest::prelude::*;

use super::*;

fn entry(text: &str) -> AllowedHost {
    text.parse().unwrap()
}

#[test]
fn every_entry_has_one_way_to_be_written() {
    let cases = [
        ("api.example.com", "https://api.example.com"),
        ("https://API.Example.COM.:443", "https://api.example.com"),
        ("HTTP://api.example.com", "http://api.example.com"),
        ("http://api.example.com:8080", "http://api.example.com:8080"),
        ("https://*.example.com", "https://*.example.com"),
        ("localhost:8080", "https://localhost:8080"),
        ("any", "any"),
        ("https://any", "https://any"),
        ("http://any:any", "http://any:any"),
        ("http://10.1.2.3", "http://10.1.2.3"),
        ("http://10.0.0.0/8:8080", "http://10.0.0.0/8:8080"),
        ("https://10.1.2.3/32", "https://10.1.2.3"),
        ("tcp://[2001:db8::1]:5432", "tcp://[2001:db8::1]:5432"),
        ("udp://[FD00::/8]:any", "udp://[fd00::/8]:any"),
        ("http://[::ffff:10.1.2.3]", "http://10.1.2.3"),
        ("http://my_service.internal", "http://my_service.internal"),
    ];
    for (written, normal) in cases {
        assert_eq!(entry(written).to_string(), normal, "{written}");
        assert_eq!(entry(normal), entry(written));
        assert_eq!(serde_json::to_value(entry(written)).unwrap(), serde_json::json!(normal));
    }
}

#[test]
fn xm35_what_is_no_entry_is_refused_with_its_place() {
    let cases = [
        ("", "", "names no host"),
        ("*", "*", "names no host"),
        ("https://*", "*", "has `*` as host"),
        ("*.*", "*.*", "has a `*` where none may be"),
        ("https://a.*.com", "a.*.com", "has a `*` where none may be"),
        ("https://api*.com", "api*.com", "has a `*` where none may be"),
        ("http://", "", "names no host"),
        ("example.com/path", "example.com/path", "has a path"),
        ("ex ample", "ex ample", "characters that no name has"),
        ("ftp://example.com", "ftp", "has a scheme that is not known"),
        ("http://user:pass@example.com", "user:pass@", "has a user name"),
        ("example.com:0", "0", "has a port that is none"),
        ("example.com:65536", "65536", "has a port that is none"),
        ("example.com:", ":", "has a port that is none"),
        ("example.com:80/x", "80/x", "has a port that is none"),
        ("example.com:+80", "+80", "has a port that is none"),
        ("tcp://db.internal", "tcp://db.internal", "has no port"),
        ("http://127.1", "127.1", "unusual form"),
        ("http://2130706433", "2130706433", "unusual form"),
        ("http://0x7f000001", "0x7f000001", "unusual form"),
        ("http://0177.0.0.1", "0177.0.0.1", "unusual form"),
        ("http://127.0.0.1.", "127.0.0.1.", "unusual form"),
        ("http://0.0.0.0", "0.0.0.0", "names no host"),
        ("http://[::]", "[::]", "names no host"),
        ("http://[::1", "[::1", "without `]`"),
        ("http://[::1]x", "x", "goes on after the host"),
        ("http://[fe80::1%25eth0]", "[fe80::1%25eth0]", "unusual form"),
        ("http://::1", "", "names no host"),
        ("http://10.1.2.3/8", "10.1.2.3/8", "network that is none"),
        ("http://10.0.0.0/33", "10.0.0.0/33", "network that is none"),
        ("http://10.0.0.0/08", "10.0.0.0/08", "network that is none"),
        ("https://bücher.example", "bücher.example", "outside of ASCII"),
        ("https://example。com", "example。com", "outside of ASCII"),
        ("https://ex%61mple.com", "ex%61mple.com", "percent-encoded"),
        ("https://a..b", "a..b", "labels"),
        ("https://-a.example", "-a.example", "characters that no name has"),
        // Written back in its normal form, each of these would stand for every host.
        ("https://any.", "any.", "called `any`"),
        ("https://ANY", "ANY", "called `any`"),
    ];
    for (text, part, what) in cases {
        let error = text.parse::<AllowedHost>().unwrap_err();
        assert!(error.message.contains(what), "{text}: {error}");
        assert_eq!(&text[error.part.clone()], part, "{text}: {error}");
        assert!(!error.help.is_empty());
    }
    let long = format!("https://{}", "a.".repeat(200));
    assert!(long.parse::<AllowedHost>().unwrap_err().message.contains("300 bytes"));
}

#[test]
fn networks_hold_what_begins_with_their_bits() {
    let network = |address: &str, prefix| Network::new(address.parse().unwrap(), prefix).unwrap();
    let ten = network("10.0.0.0", 8);
    assert!(ten.contains("10.255.0.1".parse().unwrap()) && !ten.contains("11.0.0.0".parse().unwrap()));
    assert!(!ten.contains("::10.0.0.1".parse().unwrap()));
    assert!(network("10.1.0.0", 16).within(&ten) && !ten.within(&network("10.1.0.0", 16)));
    assert!(network("0.0.0.0", 0).contains("203.0.113.9".parse().unwrap()));
    assert!(network("::", 0).contains("2001:db8::1".parse().unwrap()));
    assert!(!network("::", 0).contains("10.0.0.1".parse().unwrap()));
    assert!(network("fd00::", 8).contains("fdff::1".parse().unwrap()));
}

proptest! {
    #[test]
    fn reading_never_panics_and_what_was_read_reads_again(text in r"(http|https|tcp|udp|any|\*|://|:|/|\[|\]|\.|@|%|[a-z0-9é]{1,4}){0,10}") {
        match text.parse::<AllowedHost>() {
            Ok(entry) => prop_assert_eq!(entry.to_string().parse::<AllowedHost>(), Ok(entry)),
            Err(error) => prop_assert!(text.get(error.part).is_some()),
        }
    }
}
