//! Every trick of the list, given what is granted; and random ones against another reader of URLs.

use proptest::prelude::*;

use super::*;

fn egress(entries: &[&str]) -> Egress {
    Egress::new(entries.iter().map(|entry| entry.parse().unwrap()).collect())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Judges in full, with the addresses that a name stands for; an address stands for itself.
fn judge(egress: &Egress, url: &str, addresses: &[&str]) -> Result<Vec<SocketAddr>, Denial> {
    let (scheme, authority) = url.split_once("://").unwrap();
    let destination = egress.judge(Scheme::named(scheme).unwrap(), authority)?;
    let addresses = match destination.host {
        RequestHost::Address(address) => vec![address],
        RequestHost::Name(_) => addresses.iter().map(|address| ip(address)).collect(),
    };
    egress.judge_addresses(&destination, &addresses)
}

const PUBLIC: &[&str] = &["93.184.215.14"];

/// The list of tricks; each is judged with a name server that plays along.
#[test]
fn k3_e06_no_trick_passes_a_grant_of_one_host() {
    let egress = egress(&["https://api.example.com"]);
    let tricks = [
        "http://api.example.com",
        "https://api.example.com:8443",
        "https://api.example.com:80",
        "https://api.example.com.evil.test",
        "https://evilapi.example.com",
        "https://x.api.example.com",
        "https://example.com",
        "https://api.example.com@evil.test",
        "https://evil.test@api.example.com",
        "https://api.example.com:443@evil.test",
        "https://evil.test#api.example.com",
        "https://evil.test/api.example.com",
        "https://evil.test\\api.example.com",
        "https://api.example.com\\.evil.test",
        "https://api.example.com ",
        "https://api.example.com..",
        "https://.api.example.com",
        "https://api.example.com:",
        "https://api.example.com:+443",
        "https://api.example.com:0",
        "https://api.example.com:65536",
        "https://api.example.com:0443x",
        "https://api.example.com:443:443",
        "https://\u{430}pi.example.com",
        "https://api.example\u{3002}com",
        "https://api\u{ff0e}example.com",
        "https://%61pi.example.com",
        "https://api%2eexample.com",
        "https://api.example.com%00.evil.test",
        "https://api.example.com%2f@evil.test",
        "https://",
        "https://:443",
        "https://.",
        "https://127.0.0.1",
        "https://127.1",
        "https://0",
        "https://0.0.0.0",
        "https://2130706433",
        "https://0x7f000001",
        "https://0x7f.0.0.1",
        "https://0177.0.0.1",
        "https://127.0.0.1.",
        "https://127.0.0.0x1",
        "https://[::1]",
        "https://[::]",
        "https://[::ffff:127.0.0.1]",
        "https://[::ffff:7f00:1]",
        "https://[::127.0.0.1]",
        "https://[64:ff9b::7f00:1]",
        "https://[fe80::1%25eth0]",
        "https://[api.example.com]",
        "https://[::1]api.example.com",
        "https://localhost",
        "https://localhost.",
        "https://169.254.169.254",
        "https://[fd00:ec2::254]",
        "https://169.254.1.1",
        "https://10.0.0.1",
        "https://172.16.0.1",
        "https://192.168.0.1",
        "https://100.64.0.1",
    ];
    for url in tricks {
        assert!(judge(&egress, url, PUBLIC).is_err(), "{url} passes");
    }
}

#[test]
fn e06_another_writing_of_the_same_host_passes() {
    let egress = egress(&["https://api.example.com"]);
    for url in [
        "https://api.example.com",
        "https://API.EXAMPLE.COM.",
        "https://api.example.com:443",
        "https://api.example.com.:0443",
    ] {
        assert_eq!(judge(&egress, url, PUBLIC), Ok(vec!["93.184.215.14:443".parse().unwrap()]), "{url}");
    }
}

#[test]
fn e06_a_granted_name_opens_public_addresses_only() {
    let egress = egress(&["https://api.example.com"]);
    let addresses = [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "10.0.0.1",
        "172.20.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "::ffff:10.0.0.1",
        "::ffff:0.0.0.0",
        "64:ff9b::a00:1",
        "fd00:ec2::254",
        "fe80::1",
        "fc00::1",
        "2002:a00:1::",
    ];
    for address in addresses {
        assert!(judge(&egress, "https://api.example.com", &[address]).is_err(), "{address} passes");
        let both = [PUBLIC[0], address];
        assert!(judge(&egress, "https://api.example.com", &both).is_err(), "{address} passes beside another");
    }
    let error = judge(&egress, "https://api.example.com", &["10.0.0.1"]).unwrap_err().to_string();
    assert_eq!(
        error,
        "`https://api.example.com` leads to 10.0.0.1, a private address, which only an entry of its own opens; \
         the entry `https://10.0.0.1` beside the others would allow it"
    );
}

#[test]
fn e06_an_address_is_opened_by_an_entry_of_its_own() {
    let named = egress(&["http://db.internal:8080", "http://10.0.0.0/8:8080"]);
    assert!(judge(&named, "http://db.internal:8080", &["10.9.9.9"]).is_ok());
    assert!(judge(&named, "http://10.9.9.9:8080", &[]).is_ok());
    assert!(judge(&named, "http://[::ffff:10.9.9.9]:8080", &[]).is_ok());
    assert!(judge(&named, "http://db.internal:8080", &["192.168.0.1"]).is_err());
    assert!(judge(&named, "http://10.9.9.9:8081", &[]).is_err());
    assert!(judge(&named, "http://other.internal:8080", &["10.9.9.9"]).is_err());
    let machine = egress(&["http://localhost:3000"]);
    assert!(judge(&machine, "http://localhost:3000", &["127.0.0.1", "::1"]).is_ok());
    assert!(judge(&machine, "http://localhost.:3000", &["127.0.0.1"]).is_ok());
    assert!(judge(&machine, "http://127.0.0.1:3000", &[]).is_err());
    assert!(judge(&machine, "http://localhost:3000", &["10.0.0.1"]).is_err());
}

#[test]
fn e06_wide_grants_open_nothing_that_is_not_public() {
    let wide = egress(&["any", "http://0.0.0.0/0:any", "http://[::/0]:any", "http://169.254.0.0/16:any"]);
    assert!(judge(&wide, "https://anything.test:9", PUBLIC).is_ok());
    assert!(judge(&wide, "http://8.8.8.8", &[]).is_ok());
    assert!(judge(&wide, "http://169.254.1.1", &[]).is_ok());
    for url in
        ["http://127.0.0.1", "http://[::1]", "http://10.0.0.1", "http://169.254.169.254", "http://0.0.0.0"]
    {
        assert!(judge(&wide, url, &[]).is_err(), "{url} passes");
    }
    assert!(judge(&wide, "http://localhost", &["127.0.0.1"]).is_err());
    assert!(wide.judge(Scheme::Tcp, "8.8.8.8:53").is_err());
}

#[test]
fn e06_a_wildcard_stands_for_one_label() {
    let egress = egress(&["https://*.example.com"]);
    assert!(judge(&egress, "https://a.example.com", PUBLIC).is_ok());
    for url in
        ["https://example.com", "https://a.b.example.com", "https://aexample.com", "https://.example.com"]
    {
        assert!(judge(&egress, url, PUBLIC).is_err(), "{url} passes");
    }
}

#[test]
fn e06_an_empty_list_allows_nothing_and_says_so() {
    let error = judge(&Egress::default(), "http://api.example.com:8080", PUBLIC).unwrap_err().to_string();
    assert_eq!(
        error,
        "`http://api.example.com:8080` is not among the `allowed_hosts` of the component; the entry \
         `http://api.example.com:8080` would allow it; the list is empty"
    );
}

#[test]
fn e06_an_authority_is_read_to_its_end() {
    // Whatever is granted: what is left over, or is no port, is no destination at all.
    for authority in ["[::1]", "[::1]:1", "api.example.com:443", "api.example.com:065535"] {
        assert!(Destination::read(Scheme::Https, authority).is_ok(), "{authority}");
    }
    for authority in [
        "[::1]x",
        "[::1]x:443",
        "[::1",
        "[::1]:",
        "api.example.com:0",
        "api.example.com:+443",
        "api.example.com:-1",
    ] {
        assert!(Destination::read(Scheme::Https, authority).is_err(), "{authority}");
    }
    // Sockets have no port of their own that could be left out.
    assert!(Destination::read(Scheme::Tcp, "api.example.com").is_err());
}

#[test]
fn e06_a_denial_shows_the_beginning_of_what_was_asked_for() {
    let long = format!("{}@evil.test", "a".repeat(150));
    let Err(Denial::Authority { found, .. }) = Destination::read(Scheme::Https, &long) else {
        panic!("a user name passes");
    };
    assert_eq!(found, "a".repeat(100));
}

#[test]
fn e06_a_scheme_is_allowed_when_some_entry_is_for_it() {
    let egress = egress(&["https://api.example.com", "tcp://db.example.com:5432"]);
    assert!(egress.allows_some(Scheme::Https) && egress.allows_some(Scheme::Tcp));
    assert!(!egress.allows_some(Scheme::Http) && !egress.allows_some(Scheme::Udp));
    assert!(!Egress::default().allows_some(Scheme::Tcp));
}

#[test]
fn e06_the_entry_that_a_denial_names_allows_it() {
    let grants =
        [egress(&["https://api.example.com"]), egress(&["http://any:any", "https://api.example.com"])];
    let asked = [
        ("http://api.example.com", PUBLIC),
        ("https://evil.test:8443", PUBLIC),
        ("https://10.0.0.1", &[]),
        ("http://[2606:4700::1]:81", &[]),
        ("https://api.example.com", &["10.0.0.1"]),
        ("https://api.example.com", &["127.0.0.1"]),
        ("http://localhost:1", &["127.0.0.1"]),
    ];
    for (grant, (url, addresses)) in
        grants.iter().flat_map(|grant| asked.iter().map(move |asked| (grant, asked)))
    {
        let Err(denied) = judge(grant, url, addresses) else { continue };
        let wanted = match denied {
            Denial::NotListed { wanted, .. } | Denial::Address { wanted, .. } => wanted,
            other => panic!("{url}: {other}"),
        };
        let mut entries = grant.entries.clone();
        entries.insert(wanted);
        assert!(judge(&Egress::new(entries), url, addresses).is_ok(), "{url}");
    }
    for (url, addresses) in asked {
        assert!(judge(&grants[0], url, addresses).is_err(), "{url} has no entry");
    }
}

#[test]
fn e07_sockets_reach_what_their_entries_name() {
    let egress = egress(&["tcp://db.example.com:5432", "udp://8.8.8.8:53", "https://api.example.com"]);
    let peer = |text: &str| text.parse::<SocketAddr>().unwrap();
    let db: RequestHost = "db.example.com".parse().unwrap();
    assert!(egress.judge_socket(Scheme::Udp, peer("8.8.8.8:53"), []).is_ok());
    assert!(egress.judge_socket(Scheme::Udp, peer("[::ffff:8.8.8.8]:53"), []).is_ok());
    assert!(egress.judge_socket(Scheme::Tcp, peer("8.8.8.8:53"), []).is_err());
    assert!(egress.judge_socket(Scheme::Udp, peer("8.8.4.4:53"), []).is_err());
    assert!(egress.judge_socket(Scheme::Tcp, peer("93.184.215.14:5432"), []).is_err());
    assert!(egress.judge_socket(Scheme::Tcp, peer("93.184.215.14:5432"), [&db]).is_ok());
    assert!(egress.judge_socket(Scheme::Tcp, peer("93.184.215.14:443"), [&db]).is_err());
    assert!(egress.judge_socket(Scheme::Tcp, peer("10.0.0.1:5432"), [&db]).is_err());
    // A wide entry that fits and does not open the address stands in nobody's way.
    let both = self::egress(&["tcp://any:any", "tcp://localhost:5432"]);
    let localhost: RequestHost = "localhost".parse().unwrap();
    assert!(both.judge_socket(Scheme::Tcp, peer("127.0.0.1:5432"), []).is_err());
    assert!(both.judge_socket(Scheme::Tcp, peer("127.0.0.1:5432"), [&localhost]).is_ok());
    assert_eq!(egress.judge_lookup("DB.example.com."), Ok(db));
    for name in ["api.example.com", "data.evil.test", "x.db.example.com", "db.example.com%00", "127.1"] {
        assert!(egress.judge_lookup(name).is_err(), "{name} may be looked up");
    }
}

/// Authorities made of what tricks are made of.
fn authority() -> impl Strategy<Value = String> {
    const PARTS: &[&str] = &[
        "api.example.com",
        "api.example.com",
        "api.example.com",
        "API.Example.Com",
        "evil.test",
        "localhost",
        "api",
        "example.com",
        ":443",
        ":0443",
        ":8443",
        ".",
        "@",
        ":",
        "#",
        "/",
        "?",
        "\\",
        "%2e",
        "\u{3002}",
        "[::1]",
        "0x7f",
        "127.1",
        "\t",
    ];
    proptest::collection::vec(proptest::sample::select(PARTS), 0..5).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// What passes is the granted host for browsers too.
    #[test]
    fn g25_what_passes_is_the_granted_host_for_another_reader(authority in authority()) {
        let egress = egress(&["https://api.example.com"]);
        if egress.judge(Scheme::Https, &authority).is_ok() {
            let url = url::Url::parse(&format!("https://{authority}/")).unwrap();
            prop_assert_eq!(url.host_str().unwrap().trim_end_matches('.'), "api.example.com");
            prop_assert_eq!(url.port_or_known_default(), Some(443));
            prop_assert!(url.username().is_empty() && url.password().is_none());
        }
    }

    /// No address that the standard library knows to be special passes by a name.
    #[test]
    fn k3_no_special_address_passes_by_name(bits in any::<u32>()) {
        let address = std::net::Ipv4Addr::from_bits(bits);
        let special = address.is_loopback() || address.is_private() || address.is_link_local()
            || address.is_unspecified() || address.is_broadcast() || address.is_multicast()
            || address.is_documentation();
        let egress = egress(&["any"]);
        let destination = egress.judge(Scheme::Https, "x.test").unwrap();
        let mapped = address.to_ipv6_mapped();
        for address in [IpAddr::V4(address), IpAddr::V6(mapped)] {
            let passes = egress.judge_addresses(&destination, &[address]).is_ok();
            prop_assert!(!(special && passes), "{address} passes");
        }
    }

    #[test]
    fn k3_an_empty_list_allows_nothing(authority in authority(), bits in any::<u128>()) {
        let nothing = Egress::default();
        prop_assert!(Scheme::ALL.iter().all(|scheme| nothing.judge(*scheme, &authority).is_err()));
        let peer = SocketAddr::new(IpAddr::V6(std::net::Ipv6Addr::from_bits(bits)), 443);
        prop_assert!(nothing.judge_socket(Scheme::Tcp, peer, []).is_err());
    }
}
