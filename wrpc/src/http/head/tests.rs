//! Heads byte by byte, as they were recorded from 1.x hosts, and against bytes from nowhere.

use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn request_bytes(request: &Request<()>) -> BytesMut {
    let mut out = BytesMut::new();
    put_request(&mut out, request);
    out
}

#[test]
fn the_worked_example_of_a_request() {
    let wire = hex("00 00 00 01 01 2f 01 00 01 0e 6c6f63616c686f73743a38303830 00");
    let request = Request::get("http://localhost:8080/").body(()).unwrap();
    assert_eq!(request_bytes(&request), wire);
    let (head, inline) = get_request(&wire).unwrap();
    assert_eq!((head.method, head.uri.to_string().as_str()), (Method::GET, "http://localhost:8080/"));
    assert!(head.headers.is_empty() && inline.body.is_none() && inline.trailers.is_none());
}

#[test]
fn the_worked_example_of_a_response() {
    let wire = hex("00 00 00 c801 00");
    let mut out = BytesMut::new();
    put_response(&mut out, &http::Response::new(()).into_parts().0);
    assert_eq!(out, wire);
    let (head, _) = get_response(&wire).unwrap().unwrap();
    assert_eq!(head.status, StatusCode::OK);
}

#[test]
fn a_recorded_request_of_the_1x_http_server_is_read_and_written_the_same() {
    // From recordings/wire.jsonl: curl, GET /, three headers.
    let wire = hex(
        "00000001012f0100010e3132372e302e302e313a38303030 03 04686f7374 01 0e3132372e302e302e313a38303030
         0a757365722d6167656e74 01 0b6375726c2f372e38382e31 06616363657074 01 032a2f2a",
    );
    let (head, _) = get_request(&wire).unwrap();
    assert_eq!(head.uri.to_string(), "http://127.0.0.1:8000/");
    assert_eq!(head.headers["user-agent"], "curl/7.88.1");
    let mut out = BytesMut::new();
    put_request(&mut out, &Request::from_parts(head, ()));
    assert_eq!(out, wire);
}

#[test]
fn an_authority_comes_from_the_host_header_when_the_uri_has_none() {
    let request = Request::post("/a?b=c").header("host", "shop.example").body(()).unwrap();
    let (head, _) = get_request(&request_bytes(&request)).unwrap();
    assert_eq!(head.uri.to_string(), "http://shop.example/a?b=c");
    assert_eq!(head.method, Method::POST);
}

#[test]
fn values_of_one_header_stay_together_and_in_order() {
    let request = Request::builder()
        .method("PURGE")
        .uri("https://h/")
        .header("set-cookie", "a=1")
        .header("x", "é")
        .header("set-cookie", "b=2")
        .body(())
        .unwrap();
    let (head, _) = get_request(&request_bytes(&request)).unwrap();
    assert_eq!(head.method.as_str(), "PURGE");
    let cookies: Vec<_> = head.headers.get_all("set-cookie").iter().map(|v| v.to_str().unwrap()).collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(head.headers["x"].as_bytes(), "é".as_bytes());
}

#[test]
fn inline_bodies_and_trailers_are_read() {
    let wire = hex("02 6869 01 01 01 0161 01 0162 00 00 00 00 00");
    let (_, inline) = get_request(&wire).unwrap();
    assert_eq!(inline.body.as_deref(), Some(b"hi".as_slice()));
    assert_eq!(inline.trailers.unwrap().unwrap()["a"], "b");
}

#[test]
fn a_cut_head_is_short_and_a_wrong_one_is_wrong() {
    let wire = request_bytes(&Request::get("http://h/").header("a", "b").body(()).unwrap());
    for cut in 0..wire.len() {
        assert!(matches!(get_request(&wire[..cut]), Err(WireError::Truncated)), "{cut}");
    }
    let mut long = wire.to_vec();
    long.push(0);
    assert!(matches!(get_request(&long), Err(WireError::Invalid(_))));
    // Status 99, and a header with a line break in it.
    assert!(matches!(get_response(&hex("00 00 00 63 00")), Err(WireError::Invalid(_))));
    assert!(matches!(get_response(&hex("00 00 00 c801 01 0161 01 030d0a62")), Err(WireError::Invalid(_))));
}

#[test]
fn options_are_nanoseconds() {
    let mut out = BytesMut::new();
    let options = RequestOptions { first_byte: Some(Duration::from_micros(1)), ..RequestOptions::default() };
    put_options(&mut out, Some(&options));
    assert_eq!(out, hex("01 00 01 e807 00"));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = get_request(&bytes);
        let _ = get_response(&bytes);
        let _ = get_trailers(&bytes);
    }
}
